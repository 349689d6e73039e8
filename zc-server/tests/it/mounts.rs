//! One mount that hangs, and what is served from the others meanwhile.

use std::fs::File;
use std::time::Duration;

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
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let served = root.path().to_owned();
        std::fs::create_dir(served.join("hung")).expect("a directory");
        let mount = mount(&served.join("hung"), files)?;
        let options = [&["--disk-threads", "8"], options].concat();
        let server = Server::start_with(binary(), root, &served, &options);
        server.write("hot", b"hot");
        server.write("cold", &pattern(LENGTH, 1));
        server.write("directory/entry", b"entry");
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

    /// The same, and each client resets its connection, of which the server takes notice.
    fn ask_and_reset(&mut self) {
        for client in self.ask() {
            socket2::SockRef::from(&client.stream)
                .set_linger(Some(Duration::ZERO))
                .expect("a socket");
        }
        for _ in 0..ASKED {
            while self.server.log()["target"] == "/hot" {}
        }
    }

    fn serve_hot(&self) {
        let mut client = self.server.connect();
        for _ in 0..HOT {
            assert_eq!(client.get("/hot").body, b"hot");
        }
    }

    /// What I/O threads do for the disk of the root.
    fn serve_cold(&self) {
        let cold = File::open(self.server.path("cold")).expect("a file");
        cold.sync_all().expect("a disk");
        posix_fadvise(&cold, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).expect("advice");
        let response = self.server.get("/cold");
        assert_eq!(response.status, 200);
        assert!(response.body == pattern(LENGTH, 1));
        let response = self.server.get("/directory/?format=json");
        assert_eq!(response.status, 200);
        assert!(String::from_utf8_lossy(&response.body).contains("entry"));
    }

    fn sockets(&self) -> usize {
        let paths = self.server.descriptor_paths();
        let links = paths.iter().filter_map(|path| path.read_link().ok());
        let is_socket = |link: &std::path::PathBuf| link.to_string_lossy().starts_with("socket:");
        links.filter(is_socket).count()
    }
}

/// `None` where FUSE cannot be used.
fn mount(point: &std::path::Path, files: usize) -> Option<SlowFs> {
    let mount = match SlowFs::mount(point) {
        Ok(mount) => mount,
        Err(error) => {
            println!("no FUSE here ({error}): nothing to test");
            return None;
        }
    };
    for index in 0..files {
        let bytes = pattern(LENGTH, index as u64);
        mount.add(index.to_string(), Content::Bytes(bytes.into()));
    }
    Some(mount)
}

#[test]
fn requests_to_a_hung_mount_leave_the_queue_with_their_clients() {
    let Some(mut hung) = Hung::start(ASKED, &["--max-connections", "50"]) else {
        return;
    };
    hung.serve_hot();
    hung.mount.treat(Operation::LookUp, Treatment::Hold);
    for _ in 0..4 {
        hung.ask_and_reset();
    }
    hung.serve_cold();
    hung.serve_hot();
    hung.mount.treat(Operation::LookUp, Treatment::Answer);
    let response = hung.server.get("/hung/3");
    assert!(response.status == 200 && response.body == pattern(LENGTH, 3));
}

#[test]
fn threads_that_hang_hold_the_sockets_of_their_own_clients_alone() {
    let options = ["--max-connections", "50", "--cache-files", "0"];
    let Some(mut hung) = Hung::start(ASKED, &options) else {
        return;
    };
    hung.serve_cold();
    let (descriptors, sockets) = (hung.server.descriptors(), hung.sockets());
    hung.mount.treat(Operation::Read, Treatment::Hold);
    for _ in 0..4 {
        hung.ask_and_reset();
    }
    wait_until("half of the threads have a socket", || {
        hung.sockets() <= sockets + THREADS / 2
    });
    hung.serve_cold();
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
    hung.serve_cold();
    hung.serve_hot();
    hung.mount.treat(Operation::Close, Treatment::Answer);
}
