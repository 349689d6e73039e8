//! Each reason for which a connection is closed.

use std::io::{Read, Write};
use std::net::TcpStream;

use nix::sys::signal::Signal;
use zc_bench::slow_fs::{Content, Operation, Treatment};

use super::Watched;
use crate::harness::mounts::slow_fs;
use crate::harness::{Server, binary, pattern, temp_root, wait_until};

/// More than a socket takes at once.
const LONG: usize = 24 << 20;

fn closed(reason: &str) -> String {
    format!("zc_connections_closed_total{{reason=\"{reason}\"}}")
}

#[test]
fn the_reason_of_a_closed_connection() {
    let options = ["--idle-timeout", "100ms", "--defer-accept", "off"];
    let watched = Watched::start(&[], &options);
    let mut client = watched.server.connect();
    client.get("/none");
    client.expect_end();
    watched.wait_for(&closed("idle_timeout"), 1.0);
    drop(watched.server.connect());
    watched.wait_for(&closed("client"), 1.0);
    let watched = Watched::start(&[], &["--header-timeout", "100ms"]);
    let mut client = watched.server.connect();
    client.send(b"GET / HT");
    assert_eq!(client.response(false).status, 408);
    drop(client);
    watched.wait_for(&closed("header_timeout"), 1.0);
    let watched = Watched::start(&[], &["--max-connections", "1"]);
    let mut client = watched.server.connect();
    client.get("/none");
    watched.wait_for("zc_connections{state=\"idle\"}", 1.0);
    watched.server.get("/none");
    watched.wait_for(&closed("room"), 1.0);
}

#[test]
fn a_client_that_takes_nothing_is_counted_as_stalled() {
    let body = pattern(24 << 20, 3);
    let watched = Watched::start(&[("long", &body)], &["--send-timeout", "200ms"]);
    let mut client = watched.server.connect();
    client.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
    watched.wait_for("zc_connections_closed_total{reason=\"send_timeout\"}", 1.0);
}

#[test]
fn connections_that_are_refused_or_begin_wrong_have_their_reasons() {
    let watched = Watched::start(&[("f", b"x")], &["--max-connections-per-ip", "1"]);
    let mut first = watched.server.connect();
    assert_eq!(first.get("/f").status, 200);
    let mut second = TcpStream::connect(watched.server.address).expect("it listens");
    second
        .write_all(b"GET /f HTTP/1.0\r\n\r\n")
        .expect("it is open");
    // What was not read makes a reset of its end.
    let _ = std::io::copy(&mut second, &mut std::io::sink());
    drop(second);
    watched.wait_for(&closed("refused"), 1.0);

    let mut command = binary();
    command.args([
        "--bind",
        "127.0.0.1:0",
        "--proxy-protocol",
        "--admin-bind",
        "127.0.0.1:0",
    ]);
    let root = temp_root();
    command.arg(root.path());
    let watched = Watched::of(Server::start_from(command, root));
    let mut wrong = TcpStream::connect(watched.server.address).expect("it listens");
    wrong
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("it is open");
    let _ = std::io::copy(&mut wrong, &mut std::io::sink());
    watched.wait_for(&closed("proxy_header"), 1.0);
}

#[test]
fn a_client_that_takes_too_little() {
    let body = pattern(LONG, 5);
    let options = ["--min-rate", "100MB", "--min-rate-window", "100ms"];
    let watched = Watched::start(&[("long", &body)], &options);
    let mut client = watched.server.connect();
    client.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
    watched.wait_for(&closed("too_slow"), 1.0);
}

#[test]
fn a_client_is_not_too_slow_before_the_window_is_over() {
    let body = pattern(LONG, 6);
    // The rate is one that nobody reaches.
    let options = ["--min-rate", "1000GB", "--min-rate-window", "1h"];
    let watched = Watched::start(&[("long", &body)], &options);
    assert!(watched.server.get("/long").body == body);
    watched.wait_for(&closed("complete"), 1.0);
    assert_eq!(watched.value(&closed("too_slow")), 0.0);
}

#[test]
fn a_disk_that_does_not_answer() {
    let root = temp_root();
    let point = root.path().join("slow");
    std::fs::create_dir(&point).expect("a directory");
    let Some(mount) = slow_fs(&point) else {
        return;
    };
    let content = Content::Pattern {
        seed: 1,
        length: LONG as u64,
    };
    mount.add("file", content);
    let served = root.path().to_owned();
    let options = ["--admin-bind", "127.0.0.1:0", "--disk-timeout", "200ms"];
    let server = Server::start_with(binary(), root, &served, &options);
    let watched = Watched::of(server);
    // Before the head is sent, it is answered 504. Once more where the machine, and not the disk, took too long.
    let mut client = watched.server.connect();
    wait_until("the head comes", || {
        client = watched.server.connect();
        client.send(b"GET /slow/file HTTP/1.1\r\nHost: t\r\n\r\n");
        let mut first = [0; 12];
        client.read_exact(&mut first).expect("an answer");
        first == *b"HTTP/1.1 200"
    });
    mount.treat(Operation::Read, Treatment::Hold);
    let mut rest = Vec::new();
    let ended = client.read_to_end(&mut rest);
    assert!(rest.len() < LONG, "{ended:?}: it was cut");
    watched.wait_for(&closed("disk_timeout"), 1.0);
    mount.treat(Operation::Read, Treatment::Answer);
    drop(watched);
}

#[test]
fn a_file_that_is_truncated() {
    let watched = Watched::start(&[("long", &pattern(LONG, 7))], &[]);
    let mut client = watched.server.connect();
    client.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
    watched.wait_for("zc_connections{state=\"sending\"}", 1.0);
    let path = watched.server.path("long");
    let file = std::fs::File::options().write(true).open(path);
    file.expect("a file").set_len(1).expect("it is ours");
    assert!(client.try_response(false).is_err());
    watched.wait_for(&closed("error"), 1.0);
}

#[test]
#[cfg(feature = "tls")]
fn a_handshake_that_does_not_come() {
    let options = [
        "--admin-bind",
        "127.0.0.1:0",
        "--handshake-timeout",
        "100ms",
    ];
    let watched = Watched::of(Server::start_https(&options));
    let mut client = TcpStream::connect(watched.server.address).expect("it listens");
    client.write_all(&[22, 3, 1]).expect("it is open");
    watched.wait_for(&closed("handshake"), 1.0);
}

#[test]
fn the_end_of_the_server() {
    let body = pattern(LONG, 8);
    let watched = Watched::start(&[("long", &body)], &[]);
    let mut idle = watched.server.connect();
    assert_eq!(idle.get("/none").status, 404);
    let mut busy = watched.server.connect();
    busy.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
    watched.wait_for("zc_connections{state=\"sending\"}", 1.0);
    watched.server.signal(Signal::SIGTERM);
    // The other one keeps the server until it is over.
    watched.wait_for(&closed("shutdown"), 1.0);
    assert!(busy.response(false).body == body);
}
