//! What the operator is told on standard error: which file it is about, and not again and again.

use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::mounts::slow_fs;
use crate::harness::{Client, Server, binary, binary_in, pattern, temp_root};
use nix::libc::EIO;
use nix::sys::signal::Signal;
use zc_bench::slow_fs::{Content, Operation, Treatment};

/// The user and group `nobody` of every Linux: the tests may run as root, whom no mode stops.
const NOBODY: u32 = 65_534;

/// Ends the server; answers what it has said since it listened.
fn said_by(server: Server) -> String {
    server.signal(Signal::SIGTERM);
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    said
}

#[test]
fn a_file_that_may_not_be_read_is_named_once() {
    let root = temp_root();
    let served = root.path().join("root");
    std::fs::create_dir(&served).expect("a directory");
    let close = |name: &str| {
        std::fs::set_permissions(served.join(name), PermissionsExt::from_mode(0o000))
            .expect("chmod");
    };
    for name in ["closed", "two\nlines"] {
        std::fs::write(served.join(name), b"SECRET").expect("a file");
        close(name);
    }
    std::fs::create_dir(served.join("dir")).expect("a directory");
    close("dir");
    let mut command = Command::new(binary_in(root.path()));
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let path = served.canonicalize().expect("a path").display().to_string();
    let server = Server::start_with(command, root, &served, &[]);
    let mut client = server.connect();
    for target in ["/closed", "/two%0Alines", "/dir/"] {
        for _ in 0..20 {
            assert_eq!(client.get(target).status, 403, "{target}");
        }
    }
    // The server waits for its clients to read what it has sent.
    drop(client);
    let said = said_by(server);
    for line in [
        format!("cannot open `{path}/closed`: permission denied"),
        format!("cannot open `{path}/two\\nlines`: permission denied"),
        format!("cannot open `{path}/dir` or its index: permission denied"),
    ] {
        assert_eq!(said.matches(&line).count(), 1, "{line}: {said}");
    }
    assert!(!said.contains("more line"), "{said}");
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_is_named() {
    let mut server = Server::start(&[]);
    server.write("film.mkv", &pattern(32 << 20, 1));
    let mut client = server.connect();
    client.send(b"GET /film.mkv HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut received = vec![0; 1000];
    client.read_exact(&mut received).expect("the beginning");
    let file = std::fs::File::options()
        .write(true)
        .open(server.path("film.mkv"));
    file.expect("the file").set_len(4096).expect("a cut");
    let _ = client.read_to_end(&mut received);
    assert_eq!(server.log()["outcome"], "truncated");
    let path = server.path("film.mkv").canonicalize().expect("a path");
    let said = said_by(server);
    assert!(
        said.contains(&format!(" cut off: `{}`: ", path.display())),
        "{said}"
    );
}

#[test]
fn the_page_of_an_error_that_has_gone_is_named_once() {
    let server = Server::start_over(&[("oops.html", b"oops")], &["--error-page=404=oops.html"]);
    let path = server.path("oops.html").canonicalize().expect("a path");
    std::fs::remove_file(&path).expect("a file");
    for _ in 0..20 {
        assert_eq!(server.get("/none").body, b"404 Not Found\n");
    }
    let said = said_by(server);
    let line = format!(
        "cannot open the error page for 404, `{}`: not found",
        path.display()
    );
    assert_eq!(said.matches(&line).count(), 1, "{said}");
}

#[test]
fn a_disk_that_fails_or_does_not_answer_is_told_with_the_file() {
    let root = temp_root();
    let Some(mount) = slow_fs(root.path()) else {
        return;
    };
    for name in ["unopened", "unread", "hung", "dir/file"] {
        let (seed, length) = (1, 500_000);
        mount.add(name, Content::Pattern { seed, length });
    }
    let path = root
        .path()
        .canonicalize()
        .expect("a path")
        .display()
        .to_string();
    let served = root.path().to_owned();
    // A limit for the disk that does not answer alone: one that fails may take longer to be asked where
    // the machine is busy.
    let options = ["--disk-timeout", "300ms"];
    let mut impatient = Server::start_with(binary(), temp_root(), &served, &options);
    let server = Server::start_with(binary(), root, &served, &[]);
    let fail = Treatment::Fail(EIO);
    for (operation, target) in [
        (Operation::Open, "/unopened"),
        (Operation::Read, "/unread"),
        (Operation::List, "/dir/"),
    ] {
        mount.treat(operation, fail);
        assert_eq!(server.get(target).status, 500, "{target}");
        mount.treat(operation, Treatment::Answer);
    }
    mount.treat(Operation::Read, Treatment::Hold);
    let address = impatient.address;
    let is_said = AtomicBool::new(false);
    let hung = std::thread::scope(|scope| {
        // Once more where the machine took too long before the file was read: no line is about that.
        scope.spawn(|| {
            while !is_said.load(Ordering::Relaxed) {
                let mut client = Client::new(TcpStream::connect(address).expect("it accepts"));
                assert_eq!(client.get("/hung").status, 504);
            }
        });
        let line = impatient.said_with("the disk did not answer within --disk-timeout, for ");
        is_said.store(true, Ordering::Relaxed);
        line
    });
    mount.treat(Operation::Read, Treatment::Answer);
    let said = [hung, said_by(server)].concat();
    for line in [
        format!("cannot open `{path}/unopened`: Input/output error"),
        format!(": `{path}/unread`: Input/output error"),
        format!("cannot list the directory `{path}/dir`: Input/output error"),
        format!("`{path}/hung`: the disk did not answer within --disk-timeout, for "),
    ] {
        assert!(said.contains(&line), "{line} is not in: {said}");
    }
}
