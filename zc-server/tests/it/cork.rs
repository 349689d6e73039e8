//! Long bodies go in full segments, and the end of what was sent is never held back: not while the
//! disk is waited for, and not when the response is over.

use std::path::PathBuf;

use crate::harness::mounts::slow_fs;
use crate::harness::segments::Inbox;
use crate::harness::{Server, binary, pattern, temp_root, wait_until};
use nix::libc;
use zc_bench::slow_fs::{self, Content, Operation, Treatment};

const SEED: u64 = 97;

/// Whether a thread of the disk sleeps in a read of a file.
fn a_thread_reads(server: &Server) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("our child");
    let read = |task: &PathBuf, name| std::fs::read_to_string(task.join(name)).unwrap_or_default();
    // Into a pipe by the one, into memory by the others.
    let calls = [libc::SYS_pread64, libc::SYS_preadv, libc::SYS_preadv2];
    let reads = |task: PathBuf| {
        let call = read(&task, "syscall");
        let number = call
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok());
        let is_read = number.is_some_and(|number| calls.contains(&number));
        is_read && read(&task, "comm").starts_with("zc-disk")
    };
    tasks.map(|task| task.expect("our child").path()).any(reads)
}

#[test]
fn what_was_sent_is_at_the_client_before_a_slow_file_system_answers() {
    let root = temp_root();
    let point = root.path().join("slow");
    std::fs::create_dir(&point).expect("a directory");
    let Some(mount) = slow_fs(&point) else {
        return;
    };
    // Longer than what is read while the disk answers.
    let length = 4 << 30;
    mount.add("f", Content::Pattern { seed: SEED, length });
    let served = root.path().to_owned();
    let server = Server::start_with(binary(), root, &served, &[]);
    // Dropped before the server, which cannot end while a thread of it waits for the mount.
    let mount = mount;
    mount.treat(Operation::Read, Treatment::Hold);
    let mut inbox = Inbox::connect(&server);
    inbox.send(b"GET /slow/f HTTP/1.1\r\nHost: t\r\n\r\n");
    mount.wait_until_held(Operation::Read, 1);
    for round in 0..5 {
        // It answers a little, and then no more.
        mount.treat(Operation::Read, Treatment::Answer);
        mount.treat(Operation::Read, Treatment::Hold);
        wait_until("a thread waits for the disk", || {
            inbox.drain();
            a_thread_reads(&server)
        });
        inbox.expect_all_that_was_sent();
        let head_end = inbox.bytes().windows(4).position(|at| at == b"\r\n\r\n");
        let Some(head_end) = head_end else {
            // To be sealed, more is read before any of it is sent.
            assert!(server.is_tls() && inbox.bytes().is_empty());
            continue;
        };
        let body = &inbox.bytes()[head_end + 4..];
        assert!(!body.is_empty(), "round {round}");
        assert!(*body == slow_fs::pattern(SEED, 0, body.len()));
    }
}

#[test]
fn nothing_is_held_back_when_a_response_is_over() {
    let mut server = Server::start(&[]);
    let long = pattern(3_000_001, 5);
    server.write("long", &long);
    server.write("short", b"short");
    let mut inbox = Inbox::connect(&server);
    let whole = "GET /long HTTP/1.1\r\nHost: t\r\n\r\n";
    let part = "GET /long HTTP/1.1\r\nHost: t\r\nRange: bytes=7-2000000\r\n\r\n";
    let parts =
        "GET /long HTTP/1.1\r\nHost: t\r\nRange: bytes=0-999999,1000001-2000001,5-9\r\n\r\n";
    let short = "GET /short HTTP/1.1\r\nHost: t\r\n\r\n";
    // What is asked for together, by a client that waits for all of it.
    let rounds: [&[&str]; 5] = [
        &[whole],
        &[parts],
        &[part],
        &[whole, short, parts],
        &[short],
    ];
    for requests in rounds {
        inbox.send(requests.concat().as_bytes());
        std::thread::scope(|scope| {
            let ended = scope.spawn(|| {
                for _ in requests {
                    assert_eq!(server.log()["outcome"], "complete");
                }
            });
            while !ended.is_finished() {
                inbox.drain();
                std::thread::yield_now();
            }
        });
        inbox.expect_all_that_was_sent();
        for &request in requests {
            let response = inbox.response();
            let body = response.body;
            if request == whole {
                assert!(body == long);
            } else if request == part {
                assert!(body == long[7..=2_000_000]);
            } else if request == parts {
                assert_eq!(response.status, 206);
                for range in [0..=999_999, 1_000_001..=2_000_001] {
                    let part = &long[range];
                    let start = &part[..64];
                    let at = body.windows(64).position(|bytes| bytes == start);
                    assert!(body[at.expect("the part")..].starts_with(part));
                }
            } else {
                assert_eq!(body, b"short");
            }
        }
        assert!(inbox.bytes().is_empty());
    }
}
