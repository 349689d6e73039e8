//! What a service manager hears at `NOTIFY_SOCKET`.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use zc_bench::slow_fs::{Content, Operation, Treatment};

use super::Node;
use crate::harness::mounts::slow_fs;
use crate::harness::{HANG, binary, temp_root};

/// The server over this root, told of a manager.
fn managed(socket: &str, root: &Path) -> Command {
    let mut command = binary();
    command.args(["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"]);
    command
        .arg(root)
        .env("NOTIFY_SOCKET", socket)
        .stdin(Stdio::null());
    command
}

/// The next message that says something but that the watchdog is fed.
fn next(manager: &UnixDatagram) -> String {
    loop {
        let message = message(manager);
        if message != "WATCHDOG=1\n" {
            return message;
        }
    }
}

fn message(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let count = manager.recv(&mut bytes).expect("a message");
    String::from_utf8(bytes[..count].to_vec()).expect("text")
}

fn listening(manager: UnixDatagram) -> UnixDatagram {
    manager.set_read_timeout(Some(HANG)).expect("a timeout");
    manager
}

/// Asserts what a server tells in its life, and what it does when its configuration file is wrong.
fn expect_messages(manager: &UnixDatagram, socket: &str) {
    let root = temp_root();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("zc.toml");
    std::fs::write(&file, "hidden = true\n").expect("a file");
    let mut command = managed(socket, root.path());
    let mut node = Node::start(command.arg("--config").arg(&file));
    let said = next(manager);
    let serving = format!(
        "READY=1\nSTATUS=serving {} at http://127.0.0.1:",
        root.path().display()
    );
    assert!(
        said.starts_with(&serving) && said.ends_with("/\n"),
        "{said}"
    );
    for (text, status) in [
        ("hidden = false\n", "/; the configuration was read again\n"),
        ("hiden = false\n", "; the configuration stays as it was: "),
    ] {
        std::fs::write(&file, text).expect("a file");
        let before = now_us();
        node.signal(Signal::SIGHUP);
        let said = next(manager);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(
            (lines[0], lines[2]),
            ("RELOADING=1", "STATUS=reading the configuration again")
        );
        let at = lines[1].strip_prefix("MONOTONIC_USEC=").expect("a time");
        assert!(
            (before..=now_us()).contains(&at.parse().expect("a number")),
            "{at}"
        );
        let said = next(manager);
        assert!(
            said.starts_with(&serving) && said.contains(status),
            "{said}"
        );
        node.wait_for("the configuration ");
    }
    node.stop();
    assert_eq!(
        next(manager),
        "STOPPING=1\nSTATUS=waiting for responses in progress\n"
    );
}

fn now_us() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

#[test]
fn it_is_told_when_the_server_is_ready_reloads_and_stops() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let manager = listening(UnixDatagram::bind(&path).expect("a path"));
    expect_messages(&manager, path.to_str().expect("UTF-8"));
    // In the abstract namespace.
    let name = format!("zc-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("short");
    let manager = listening(UnixDatagram::bind_addr(&address).expect("a name"));
    expect_messages(&manager, &format!("@{name}"));
}

#[test]
fn a_reload_that_does_nothing_ends_as_well() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let manager = listening(UnixDatagram::bind(&path).expect("a path"));
    let root = temp_root();
    let mut command = managed(path.to_str().expect("UTF-8"), root.path());
    let node = Node::start(command.args(["--drain-delay", "2s"]));
    assert!(next(&manager).starts_with("READY=1\n"));
    node.signal(Signal::SIGHUP);
    assert!(next(&manager).starts_with("RELOADING=1\nMONOTONIC_USEC="));
    let said = next(&manager);
    assert!(
        said.starts_with("READY=1\n") && said.contains("; SIGHUP ignored: "),
        "{said}"
    );
    node.stop();
    let expected = "STOPPING=1\nSTATUS=not ready any more; connections are accepted for 2s, then responses in \
                    progress are waited for\n";
    assert_eq!(next(&manager), expected);
}

#[test]
fn a_manager_that_cannot_be_reached_is_named_and_keeps_nobody_from_serving() {
    let root = temp_root();
    for (socket, reason) in [
        ("/no/such/socket", "No such file"),
        ("vsock:2:1", "not a Unix-domain socket"),
    ] {
        let node = Node::start(&mut managed(socket, root.path()));
        let line =
            format!("cannot reach the service manager at NOTIFY_SOCKET `{socket}`: {reason}");
        assert!(node.said.contains(&line), "{}", node.said);
        node.stop();
    }
}

#[test]
fn the_watchdog_is_fed_while_every_worker_turns_and_not_while_one_is_stuck() {
    let root = temp_root();
    let point = root.path().join("slow");
    std::fs::create_dir(&point).expect("a directory");
    let Some(mount) = slow_fs(&point) else {
        return;
    };
    mount.add(
        "f",
        Content::Pattern {
            seed: 1,
            length: 4096,
        },
    );
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let manager = listening(UnixDatagram::bind(&path).expect("a path"));
    let mut command = managed(path.to_str().expect("UTF-8"), root.path());
    // A worker that waits for the disk itself.
    command.args(["--offload-cold-reads", "off", "--threads", "2"]);
    let mut node = Node::start(command.env("WATCHDOG_USEC", "300000"));
    assert!(message(&manager).starts_with("READY=1\n"));
    for _ in 0..3 {
        assert_eq!(message(&manager), "WATCHDOG=1\n");
    }
    mount.treat(Operation::Read, Treatment::Hold);
    let line = node
        .said
        .lines()
        .find_map(|line| line.trim().strip_prefix("http://"));
    let address = line.expect("its address").trim_end_matches('/');
    let stream = std::net::TcpStream::connect(address).expect("it accepts");
    let mut client = crate::harness::Client::plain(stream);
    client.send(b"GET /slow/f HTTP/1.1\r\nHost: t\r\n\r\n");
    node.wait_for("a worker has not turned for 100ms; the watchdog is not fed until it does");
    // What was said before.
    manager.set_nonblocking(true).expect("a socket");
    let mut bytes = [0; 4096];
    while manager.recv(&mut bytes).is_ok() {}
    // Several periods of the watchdog.
    manager.set_nonblocking(false).expect("a socket");
    manager
        .set_read_timeout(Some(std::time::Duration::from_secs(1)))
        .expect("a timeout");
    let error = manager.recv(&mut bytes).expect_err("nothing comes");
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );
    manager.set_read_timeout(Some(HANG)).expect("a timeout");
    mount.treat_all(Treatment::Answer);
    assert_eq!(message(&manager), "WATCHDOG=1\n");
    assert_eq!(client.response(false).body.len(), 4096);
    drop(client);
    node.stop();
}
