//! Trees that change while their archive is sent, and disks that are slow.

use std::io::Read;
use std::time::{Duration, SystemTime};

use zc_bench::slow_fs::{self, Content, Operation, Treatment};

use super::{ON, server};
use crate::harness::mounts::slow_fs;
use crate::harness::{Server, binary, pattern, temp_root};

/// More than every socket buffer of the way holds, so that a transfer is under way until it is read.
const BIG: usize = 32 << 20;

#[test]
fn a_file_that_changed_since_the_walk_ends_the_archive_and_is_named() {
    type Change = fn(&Server);
    let changes: [(&str, Change); 4] = [
        ("b", |server| server.write("dir/b", b"longer than it was")),
        ("b", |server| {
            std::fs::remove_file(server.path("dir/b")).expect("a file");
        }),
        ("b", |server| {
            let file = std::fs::File::options()
                .write(true)
                .open(server.path("dir/b"));
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
            file.expect("a file").set_modified(time).expect("a time");
        }),
        ("a", |server| {
            let file = std::fs::File::options()
                .write(true)
                .open(server.path("dir/a"));
            file.expect("a file").set_len(4096).expect("a cut");
        }),
    ];
    for (number, (name, change)) in changes.iter().enumerate() {
        let mut server = server();
        server.write("dir/a", &pattern(BIG, 1));
        server.write("dir/b", b"b");
        server.write("next", b"SECOND RESPONSE");
        let mut client = server.connect();
        client.send(
            b"GET /dir/?archive=tar HTTP/1.1\r\nHost: t\r\n\r\n\
              GET /next HTTP/1.1\r\nHost: t\r\n\r\n",
        );
        client.wait_until_begun();
        change(&server);
        let mut received = Vec::new();
        // An orderly end and a reset are both right; more bytes than promised are not.
        let _ = client.read_to_end(&mut received);
        let text = String::from_utf8_lossy(&received);
        assert!(!text.contains("SECOND RESPONSE"), "{number}");
        let log = server.log();
        assert_eq!(log["outcome"], "truncated", "{number}: {log}");
        let told = server.said_with("cut off");
        assert!(told.contains(&format!("dir/{name}`")), "{number}: {told}");
        assert_eq!(server.get("/next").body, b"SECOND RESPONSE");
    }
}

#[test]
fn a_new_file_and_one_that_is_gone_before_the_walk_leave_no_trace() {
    let server = server();
    server.write("dir/a", &pattern(BIG, 1));
    let mut client = server.connect();
    client.send(b"GET /dir/?archive=tar HTTP/1.1\r\nHost: t\r\n\r\n");
    client.wait_until_begun();
    server.write("dir/b", b"new");
    let response = client.response(false);
    assert_eq!(response.body.len(), 512 + 512 + BIG + 1024);
}

#[test]
fn others_are_served_while_a_file_of_an_archive_is_opened_or_read() {
    const LENGTH: u64 = 100_000;
    const FILES: usize = 3;
    for operation in [Operation::Open, Operation::Read, Operation::List] {
        let root = temp_root();
        std::fs::write(root.path().join("hot"), b"hot").expect("a file");
        std::fs::create_dir(root.path().join("cold")).expect("a directory");
        let Some(mount) = slow_fs(&root.path().join("cold")) else {
            return;
        };
        for index in 0..FILES as u64 {
            let seed = index;
            mount.add(
                format!("{index}"),
                Content::Pattern {
                    seed,
                    length: LENGTH,
                },
            );
        }
        let served = root.path().to_owned();
        let server = Server::start_with(binary(), root, &served, &ON);
        mount.treat(operation, Treatment::Hold);
        let mut client = server.connect();
        client.shake_hands();
        client.send(b"GET /cold/?archive=tar HTTP/1.1\r\nHost: t\r\n\r\n");
        mount.wait_until_held(operation, 1);
        for _ in 0..100 {
            assert_eq!(server.get("/hot").body, b"hot");
        }
        mount.treat(operation, Treatment::Answer);
        let response = client.response(false);
        assert_eq!(response.status, 200);
        let member = 512 + (LENGTH as usize).next_multiple_of(512);
        assert_eq!(response.body.len(), 512 + FILES * member + 1024);
        for index in 0..FILES {
            let start = 512 + index * member + 512;
            let expected = slow_fs::pattern(index as u64, 0, LENGTH as usize);
            assert!(
                response.body[start..start + LENGTH as usize] == expected,
                "{index}"
            );
        }
        drop(server);
    }
}
