//! Readers that are slow: nothing is lost, and no more is held for them than one record.

use std::io::Read;

use super::{VERSIONS, connect, connect_narrow};
use crate::harness::beside::Holdings;
use crate::harness::{Server, pattern, wait_until};

const READERS: usize = 200;
/// More than the buffers of both sockets take.
const BIG: usize = 16 << 20;
/// What the server may hold for each reader, in KiB: a record, what it knows of the connection, and what an
/// allocator rounds up.
const READER_KIB: u64 = 16 + 16;
/// What it may need besides, in KiB: buffers that all connections share.
const SHARED_KIB: u64 = 8 << 10;

#[test]
fn two_hundred_slow_readers_cost_one_record_each_and_lose_nothing() {
    for version in VERSIONS {
        let server = Server::start_https(&[]);
        let body = pattern(BIG, 1);
        server.write("f", &body);
        let mut fast = connect(&server, version);
        assert!(fast.get("/f").body == body);
        let before = Holdings::of(&server).memory_kib;
        let start = |_| {
            let mut client = connect_narrow(server.address, version);
            client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
            client
        };
        let mut clients: Vec<_> = (0..READERS).map(start).collect();
        let workers = server.workers();
        wait_until("every socket is full", || workers.wait_for_events());
        assert_eq!(fast.get("/none").status, 404);
        let held = Holdings::of(&server).memory_kib.saturating_sub(before);
        println!("{held} KiB more for {READERS} readers");
        assert!(
            held <= READERS as u64 * READER_KIB + SHARED_KIB,
            "{held} KiB"
        );
        // A few KiB of each in turn, and then a few as a whole.
        let mut expected: Vec<Option<usize>> = vec![None; READERS];
        let mut chunk = [0; 3000];
        for _ in 0..5 {
            for (client, at) in clients.iter_mut().zip(&mut expected) {
                let count = client.read(&mut chunk).expect("more");
                let mut bytes = &chunk[..count];
                if at.is_none() {
                    let head = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n");
                    bytes = &bytes[head.expect("a head") + 4..];
                }
                let from = at.unwrap_or(0);
                assert!(body[from..].starts_with(bytes));
                *at = Some(from + bytes.len());
            }
        }
        for (client, at) in clients.iter_mut().zip(&expected).take(10) {
            let mut rest = vec![0; BIG - at.expect("begun")];
            client.read_exact(&mut rest).expect("the rest");
            assert!(body.ends_with(&rest));
            assert_eq!(client.get("/none").status, 404, "it lives on");
        }
        drop(clients);
        assert!(fast.get("/f").body == body);
    }
}

/// Responses that are in memory, more of them than the sockets take.
#[test]
fn many_short_responses_are_resumed_where_a_full_socket_stopped_them() {
    const REQUESTS: usize = 20_000;
    for version in VERSIONS {
        let mut server = Server::start_https(&[]);
        server.write("empty", b"");
        server.write("short", &pattern(700, 9));
        let mut client = connect_narrow(server.address, version);
        client.shake_hands();
        let pair = [
            "GET /empty HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET /short HTTP/1.1\r\nHost: t\r\n\r\n",
        ];
        let mut sender = client.writer();
        let requests = pair.concat().repeat(REQUESTS / 2);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::io::Write::write_all(&mut sender, requests.as_bytes()).expect("it reads");
            });
            let logged = scope.spawn(|| {
                let stopped = |log: &serde_json::Value| log["would_blocks"].as_u64() > Some(0);
                let logs = (0..REQUESTS).map(|_| server.log());
                logs.filter(stopped).count()
            });
            for _ in 0..REQUESTS / 2 {
                assert!(client.response(false).body.is_empty());
                assert!(client.response(false).body == pattern(700, 9));
            }
            let stopped = logged.join().expect("every line");
            println!("{stopped} of {REQUESTS} responses met a full socket");
        });
    }
}
