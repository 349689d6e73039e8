//! What bounds archives.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use super::{ON, server};
use crate::harness::{Server, binary, pattern, temp_root, wait_until};

/// The most archives at once.
const ARCHIVES_MAX: usize = 16;
/// More than every socket buffer of the way holds.
const BIG: usize = 16 << 20;

#[test]
fn so_many_archives_are_sent_at_once_and_then_another_one() {
    let mut server = server();
    server.write("dir/a", &pattern(BIG, 1));
    server.write("b", b"b");
    let mut clients: Vec<_> = (0..ARCHIVES_MAX).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(b"GET /dir/?archive=tar HTTP/1.1\r\nHost: t\r\n\r\n");
        client.wait_until_begun();
    }
    let refused = server.get("/dir/?archive=tar");
    assert_eq!(refused.status, 503);
    assert!(refused.field("retry-after").is_some());
    server.said_with("503: 16 archives are under way");
    assert_eq!(server.get("/b").body, b"b");
    // One that is over makes room for another.
    let mut client = clients.pop().expect("a client");
    assert_eq!(client.response(false).body.len(), 512 + 512 + BIG + 1024);
    wait_until("there is room", || {
        server.head_with("/dir/?archive=tar", "").status == 200
    });
    // So does one that is given up.
    drop(clients);
    let mut all: Vec<_> = (0..ARCHIVES_MAX).map(|_| server.connect()).collect();
    wait_until("all are gone", || {
        all.iter_mut().all(|client| {
            client.send(b"HEAD /dir/?archive=tar HTTP/1.1\r\nHost: t\r\n\r\n");
            client.response(true).status == 200
        })
    });
}

#[test]
fn a_tree_that_is_too_deep_is_told() {
    let mut server = server();
    std::fs::create_dir_all(server.path(&"d/".repeat(129))).expect("directories");
    assert_eq!(server.get("/?archive=tar").status, 500);
    let told = server.said_with("as an archive");
    assert!(told.contains("more than 128 directories deep"), "{told}");
    assert_eq!(server.get("/d/?archive=tar").status, 200);
}

#[test]
fn what_may_not_be_read_is_left_out_and_told() {
    if !nix::unistd::geteuid().is_root() {
        println!("only root can start a server as another user: nothing to test");
        return;
    }
    let root = temp_root();
    let at = |name: &str| root.path().join(name);
    for (name, mode) in [("a", 0o644), ("closed", 0o600)] {
        std::fs::write(at(name), name).expect("a file");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(at(name), mode).expect("a file");
    }
    std::fs::create_dir(at("shut")).expect("a directory");
    std::fs::set_permissions(at("shut"), std::fs::Permissions::from_mode(0o700)).expect("chmod");
    let programs = temp_root();
    let program = crate::harness::binary_in(programs.path());
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.envs(
        binary()
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command.arg(program);
    let served = root.path().to_owned();
    let mut server = Server::start_with(command, root, &served, &ON);
    let archive = server.get("/?archive=tar");
    // The directory, one file and the end.
    assert_eq!(archive.body.len(), 512 + 512 + 512 + 1024);
    let told = server.said_with("left out of the archive");
    assert!(told.contains(": 2 files and directories"), "{told}");
}

#[test]
fn an_archive_is_sent_at_the_limit_of_what_no_glob_matches() {
    let options = [
        &ON[..],
        &["--limit-rate", "1MiB", "--limit-rate", "*.iso=off"],
    ]
    .concat();
    let mut server = Server::start(&options);
    server.write("dir/a.iso", &pattern(1 << 20, 1));
    let mut body = Vec::new();
    let mut client = server.connect();
    client.send(b"GET /dir/?archive=tar HTTP/1.0\r\nHost: t\r\n\r\n");
    client.read_to_end(&mut body).expect("an end");
    let micros = server.log()["us"].as_u64().expect("a number");
    // A tenth of a second may be spent at once, and again where the clock was late.
    assert!(micros >= 700_000, "{micros} us");
}
