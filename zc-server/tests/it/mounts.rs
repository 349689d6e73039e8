//! One mount that hangs, and what is served from the others meanwhile.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::mounts::slow_fs;
use crate::harness::tls::says_not_by_tls;
use crate::harness::{Client, Server, binary, pattern, wait_until};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use zc_bench::slow_fs::{Content, Operation, SlowFs, Treatment};

const LENGTH: usize = 10_000;
/// Requests that are answered while a mount hangs.
const HOT: usize = 200;
/// Requests to the hung mount at a time, fewer than there may be connections.
const ASKED: usize = 40;
/// I/O threads; one mount may have half of them.
const THREADS: usize = 8;

/// A root on a disk, with a file system below it that does what it is told.
struct Hung {
    // Dropped first: a server whose thread waits for a mount cannot end before it.
    mount: SlowFs,
    server: Server,
}

impl Hung {
    /// `None` where FUSE cannot be used.
    fn start(files: usize, options: &[&str]) -> Option<Self> {
        let root = root_on_disk();
        let mount = mount(&root.path().join("hung"), files)?;
        let server = start(root, options);
        Some(Self { mount, server })
    }

    /// One request for each of so many files of the mount, on a connection of its own, which the server
    /// has read.
    fn ask(&self) -> Vec<Client> {
        let ask = |index| {
            let mut client = self.server.connect();
            client.send(format!("GET /hung/{index} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
            client
        };
        let clients = (0..ASKED).map(ask).collect();
        // A reset discards a request that nobody has read.
        let workers = self.server.workers();
        wait_until("all requests are taken", || workers.wait_for_events());
        clients
    }

    /// Each client resets its connection, of which the server takes notice.
    fn reset(&mut self, clients: Vec<Client>) {
        for client in &clients {
            socket2::SockRef::from(&client.stream)
                .set_linger(Some(Duration::ZERO))
                .expect("a socket");
        }
        drop(clients);
        for _ in 0..ASKED {
            while self.server.log()["target"] == "/hot" {}
        }
    }

    fn sockets(&self) -> usize {
        let paths = self.server.descriptor_paths();
        let links = paths.iter().filter_map(|path| path.read_link().ok());
        let is_socket = |link: &PathBuf| link.to_string_lossy().starts_with("socket:");
        links.filter(is_socket).count()
    }
}

fn root_on_disk() -> tempfile::TempDir {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    std::fs::create_dir(root.path().join("hung")).expect("a directory");
    root
}

fn start(root: tempfile::TempDir, options: &[&str]) -> Server {
    let served = root.path().to_owned();
    let options = [&["--disk-threads", "8"], options].concat();
    let server = Server::start_with(binary(), root, &served, &options);
    server.write("hot", b"hot");
    server.write("cold", &pattern(LENGTH, 1));
    server.write("directory/entry", b"entry");
    server
}

fn serve_hot(server: &Server) {
    let mut client = server.connect();
    for _ in 0..HOT {
        assert_eq!(client.get("/hot").body, b"hot");
    }
}

/// What I/O threads do for the disk of the root.
fn serve_cold(server: &Server) {
    let cold = File::open(server.path("cold")).expect("a file");
    cold.sync_all().expect("a disk");
    posix_fadvise(&cold, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).expect("advice");
    let response = server.get("/cold");
    assert_eq!(response.status, 200);
    assert!(response.body == pattern(LENGTH, 1));
    let response = server.get("/directory/?format=json");
    assert_eq!(response.status, 200);
    assert!(String::from_utf8_lossy(&response.body).contains("entry"));
}

/// `None` where FUSE cannot be used.
fn mount(point: &Path, files: usize) -> Option<SlowFs> {
    let mount = slow_fs(point)?;
    for index in 0..files {
        let bytes = pattern(LENGTH, index as u64);
        mount.add(index.to_string(), Content::Bytes(bytes.into()));
    }
    Some(mount)
}

#[test]
fn a_file_that_was_replaced_at_another_mount_has_its_own_length() {
    let root = root_on_disk();
    std::fs::create_dir(root.path().join("shared")).expect("a directory");
    let Some(mount) = mount(&root.path().join("shared"), 1) else {
        return;
    };
    // With FUSE, the kernel gives the state of before to whoever opens the file.
    mount.remember_for(Duration::from_secs(3600));
    let file = root.path().join("shared/0");
    let server = start(root, &["--cache-ttl", "0s"]);
    assert_eq!(server.get("/shared/0").body, pattern(LENGTH, 0));
    // A read has the kernel ask for the access time again, which it has from here on.
    assert_eq!(file.metadata().expect("a file").len(), LENGTH as u64);
    let longer = pattern(2 * LENGTH, 7);
    mount.set_content("0", Content::Bytes(longer.clone().into()));
    let response = server.get("/shared/0");
    assert!(response.body == longer, "{} bytes", response.body.len());
    drop(mount);
    drop(server);
}

#[test]
fn requests_to_a_hung_mount_leave_the_queue_with_their_clients() {
    let Some(mut hung) = Hung::start(ASKED, &["--max-connections", "50"]) else {
        return;
    };
    serve_hot(&hung.server);
    hung.mount.treat(Operation::LookUp, Treatment::Hold);
    for _ in 0..4 {
        let clients = hung.ask();
        hung.reset(clients);
    }
    serve_cold(&hung.server);
    serve_hot(&hung.server);
    hung.mount.treat(Operation::LookUp, Treatment::Answer);
    let response = hung.server.get("/hung/3");
    assert!(response.status == 200 && response.body == pattern(LENGTH, 3));
}

#[test]
fn threads_that_hang_hold_the_sockets_of_their_own_clients_alone() {
    if says_not_by_tls("threads read, and hold no sockets") {
        return;
    }
    let options = ["--max-connections", "50", "--cache-files", "0"];
    let Some(mut hung) = Hung::start(ASKED, &options) else {
        return;
    };
    hung.server.get("/cold");
    hung.server.log();
    let (descriptors, sockets) = (hung.server.descriptors(), hung.sockets());
    // All files are looked up before the first of them is read.
    hung.mount.treat(Operation::LookUp, Treatment::Hold);
    hung.mount.treat(Operation::Read, Treatment::Hold);
    let clients = hung.ask();
    hung.mount.treat(Operation::LookUp, Treatment::Answer);
    wait_until("each waits for a thread that sends to its socket", || {
        hung.sockets() == sockets + 2 * ASKED
    });
    hung.reset(clients);
    wait_until("the threads that hang have a socket each", || {
        hung.sockets() <= sockets + THREADS / 2
    });
    serve_cold(&hung.server);
    hung.mount.treat(Operation::Read, Treatment::Answer);
    wait_until("all descriptors are closed", || {
        hung.server.descriptors() <= descriptors
    });
}

#[test]
fn files_of_a_hung_mount_are_closed_by_threads_whatever_is_queued() {
    let files = 100;
    // As many files are kept as the mount has; so few connections make a short queue.
    let options = ["--max-connections", "5", "--cache-files", "100"];
    let Some(hung) = Hung::start(files, &options) else {
        return;
    };
    for index in 0..files {
        hung.server.write(&format!("other{index}"), b"other");
    }
    hung.server.wait_until_settled("/hung/0");
    hung.server
        .wait_until_settled(&format!("/other{}", files - 1));
    let before = hung.server.descriptors();
    let mut client = hung.server.connect();
    let mut keep = |name: &str| {
        for index in 0..files {
            for _ in 0..2 {
                assert_eq!(client.get(&format!("/{name}{index}")).status, 200);
            }
        }
    };
    keep("hung/");
    let kept = hung.server.descriptors();
    assert!(
        kept > before + files / 2,
        "{kept} descriptors, {before} before"
    );
    hung.mount.treat(Operation::Close, Treatment::Hold);
    keep("other");
    hung.mount.wait_until_held(Operation::Close, THREADS / 2);
    serve_cold(&hung.server);
    serve_hot(&hung.server);
    hung.mount.treat(Operation::Close, Treatment::Answer);
}

/// Unmounted when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where it may not be mounted.
    fn mount(kind: &str, options: &str, point: PathBuf) -> Option<Self> {
        let mut command = Command::new("mount");
        command.args(["-t", kind, "-o", options, kind]).arg(&point);
        let output = command.output().expect("mount of util-linux");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            println!("nothing to test: {command:?}: {said}");
            return None;
        }
        Some(Self(point))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The server closes what it has sent in its own time.
        wait_until("it is unmounted", || {
            let output = Command::new("umount").arg(&self.0).output();
            output.is_ok_and(|output| output.status.success())
        });
    }
}

/// How often a file system is mounted, until it has the device number of one that is gone: others mount
/// theirs meanwhile.
const TRIES: usize = 50;

#[test]
fn what_was_known_of_a_mount_that_is_gone_is_not_believed_of_another() {
    let server = start(root_on_disk(), &["--cache-files", "0"]);
    let point = server.path("hung");
    let device = || std::fs::metadata(&point).expect("a directory").dev();
    for _ in 0..TRIES {
        let Some(memory) = Mounted::mount("tmpfs", "size=1m", point.clone()) else {
            return;
        };
        server.write("hung/0", b"in memory");
        assert_eq!(server.get("/hung/0").body, b"in memory");
        let before = device();
        drop(memory);
        let Some(mount) = mount(&point, 1) else {
            return;
        };
        if device() != before {
            continue;
        }
        mount.treat(Operation::Read, Treatment::Hold);
        let mut client = server.connect();
        client.send(b"GET /hung/0 HTTP/1.1\r\nHost: t\r\n\r\n");
        mount.wait_until_held(Operation::Read, 1);
        serve_hot(&server);
        mount.treat(Operation::Read, Treatment::Answer);
        assert!(client.response(false).body == pattern(LENGTH, 0));
        return;
    }
    println!("nothing to test: no device number was used again");
}

#[test]
fn a_mount_that_was_made_while_serving_has_a_share_of_its_own() {
    let server = start(root_on_disk(), &[]);
    serve_cold(&server);
    let Some(mount) = mount(&server.path("hung"), ASKED) else {
        return;
    };
    mount.treat(Operation::LookUp, Treatment::Hold);
    let hung = Hung { mount, server };
    let _clients = [hung.ask(), hung.ask()];
    hung.mount.wait_until_held(Operation::LookUp, 1);
    serve_cold(&hung.server);
    serve_hot(&hung.server);
    // Gone again, it has none.
    let Hung { mount, server } = hung;
    drop(mount);
    serve_cold(&server);
}

/// A server of an overlay above a file system that does what it is told, and of another site on a disk.
struct Overlay {
    server: Option<Server>,
    overlay: Option<Mounted>,
    layer: SlowFs,
    _directory: tempfile::TempDir,
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // No process ends that waits for it in the kernel, and it is not unmounted below the overlay.
        for operation in [Operation::LookUp, Operation::Close] {
            self.layer.treat(operation, Treatment::Answer);
        }
        self.server = None;
        self.overlay = None;
    }
}

impl Overlay {
    /// `None` where it cannot be mounted.
    fn start() -> Option<Self> {
        let directory = root_on_disk();
        let path = |name: &str| directory.path().join(name);
        for name in ["upper", "served", "site"] {
            std::fs::create_dir(path(name)).expect("a directory");
        }
        std::fs::write(path("site/hot"), b"hot").expect("a file");
        let layer = mount(&path("hung"), 2)?;
        let (upper, lower) = (path("upper"), path("hung"));
        let options = format!("lowerdir={}:{}", upper.display(), lower.display());
        let overlay = Mounted::mount("overlay", &options, path("served"))?;
        let site = format!("other={}", path("site").display());
        let options = ["--cache-files", "0", "--site", &site];
        let server = Server::start_with(binary(), root_on_disk(), &path("served"), &options);
        Some(Self {
            server: Some(server),
            overlay: Some(overlay),
            layer,
            _directory: directory,
        })
    }

    fn serve_hot(&self) {
        let server = self.server.as_ref().expect("it runs");
        for _ in 0..HOT {
            let hot =
                server.request("GET /hot HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n");
            assert_eq!(hot.body, b"hot");
        }
    }
}

#[test]
fn an_overlay_above_a_mount_that_hangs_holds_no_worker() {
    let Some(overlay) = Overlay::start() else {
        return;
    };
    let server = overlay.server.as_ref().expect("it runs");
    assert!(server.get("/0").body == pattern(LENGTH, 0));
    for operation in [Operation::Close, Operation::LookUp] {
        overlay.layer.treat(operation, Treatment::Hold);
        let mut client = server.connect();
        client.send(b"GET /1 HTTP/1.1\r\nHost: t\r\n\r\n");
        overlay.layer.wait_until_held(operation, 1);
        overlay.serve_hot();
        overlay.layer.treat(operation, Treatment::Answer);
        assert!(client.response(false).body == pattern(LENGTH, 1));
    }
}
