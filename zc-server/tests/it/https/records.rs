//! Requests and responses in records, whatever their borders.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use zc_bench::slow_fs::{self, Content, Operation, Treatment};

use super::{VERSIONS, connect};
use crate::harness::mounts::slow_fs;
use crate::harness::{Client, Server, codings, pattern, temp_root};

/// The most plaintext in one record.
const RECORD: usize = 16 << 10;

#[test]
fn every_length_arrives_whole() {
    let mut server = Server::start_https(&[]);
    let mut lengths = vec![0, 1, 2, 3, 1000, 1 << 20, 64 << 20];
    for records in [1, 2, 3, 4, 5, 8, 9] {
        lengths.extend([records * RECORD - 1, records * RECORD, records * RECORD + 1]);
        // The head goes with the body where both are short.
        lengths.extend([records * RECORD - 300, records * RECORD - 200]);
    }
    for (index, &length) in lengths.iter().enumerate() {
        server.write(&index.to_string(), &pattern(length, index as u64));
    }
    for version in VERSIONS {
        let mut client = connect(&server, version);
        for (index, &length) in lengths.iter().enumerate() {
            // What is kept in memory goes another way.
            for _ in 0..3 {
                let response = client.get(&format!("/{index}"));
                assert!(response.body == pattern(length, index as u64), "{length}");
                let log = server.log();
                assert_eq!(
                    (&log["bytes"], &log["outcome"]),
                    (&length.into(), &"complete".into())
                );
                let path = log["send_path"].as_str().expect("a path");
                let is_tls = path.starts_with("tls-") || (length == 0 && path == "none");
                assert!(is_tls, "{log}");
            }
            client.send(format!("HEAD /{index} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
            let length = length.to_string();
            assert_eq!(
                client.response(true).field("content-length"),
                Some(&length[..])
            );
            server.log();
        }
    }
}

#[test]
fn parts_listings_and_sidecars_arrive_whole() {
    let server = Server::start_https(&[]);
    let body = pattern(300_000, 1);
    server.write("dir/file", &body);
    server.write("dir/text.txt", &body);
    server.write("dir/text.txt.gz", &codings::gzip(&body));
    let file = std::fs::File::create(server.path("sparse")).expect("a file");
    let length: u64 = (4 << 30) + 12_345;
    file.set_len(length).expect("a sparse file");
    file.write_all_at(&body, length - 300_000).expect("a tail");
    for version in VERSIONS {
        let mut client = connect(&server, version);
        let mut ask = |target: &str, fields: &str| {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n{fields}\r\n").as_bytes());
            client.response(false)
        };
        for range in [
            0..1,
            5..RECORD + 5,
            RECORD - 1..3 * RECORD,
            299_999..300_000,
        ] {
            let field = format!("Range: bytes={}-{}\r\n", range.start, range.end - 1);
            let response = ask("/dir/file", &field);
            assert!(response.status == 206 && response.body == body[range]);
        }
        let tail = ask("/sparse", "Range: bytes=-300000\r\n");
        assert!(tail.status == 206 && tail.body == body);
        let parts = ask(
            "/dir/file",
            "Range: bytes=0-9,100000-199999,250000-250000\r\n",
        )
        .parts();
        assert_eq!(parts.len(), 3);
        for part in parts {
            assert!(part.bytes == body[part.range]);
        }
        let coded = ask("/dir/text.txt", "Accept-Encoding: gzip\r\n");
        assert_eq!(coded.field("content-encoding"), Some("gzip"));
        assert!(coded.body == codings::gzip(&body));
        let listing = ask("/dir/?format=json", "").body;
        let listing: serde_json::Value = serde_json::from_slice(&listing).expect("JSON");
        assert_eq!(listing.as_array().map(Vec::len), Some(3), "{listing}");
    }
}

#[test]
fn ten_requests_in_one_record_and_in_many() {
    let server = Server::start_https(&[]);
    let bodies: Vec<_> = (0..10).map(|n| pattern(n * 7919, n as u64 + 1)).collect();
    let mut requests = String::new();
    for (n, body) in bodies.iter().enumerate() {
        server.write(&n.to_string(), body);
        requests.push_str(&format!("GET /{n} HTTP/1.1\r\nHost: t\r\n\r\n"));
    }
    for version in VERSIONS {
        // How many bytes of requests each record has.
        for piece in [requests.len(), 31, 7, 1] {
            let mut client = connect(&server, version);
            client.shake_hands();
            let pieces = requests.as_bytes().chunks(piece);
            let records: Vec<u8> = pieces
                .flat_map(|piece| client.tls().sealed(piece))
                .collect();
            client.stream.write_all(&records).expect("the server reads");
            assert_bodies(&mut client, &bodies);
            assert_eq!(client.get("/1").body, bodies[1], "the connection lives on");
        }
    }
}

fn assert_bodies(client: &mut Client, bodies: &[Vec<u8>]) {
    for (n, body) in bodies.iter().enumerate() {
        let response = client.response(false);
        assert!(response.status == 200 && response.body == *body, "{n}");
    }
}

#[test]
fn a_record_split_at_every_byte() {
    let server = Server::start_https(&[]);
    server.write("f", b"body");
    let request = b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n";
    for version in VERSIONS {
        let (mut client, mut other) = (connect(&server, version), connect(&server, version));
        client.stream.set_nodelay(true).expect("a TCP socket");
        client.shake_hands();
        let mut split = 1;
        loop {
            // In two records, so that the border between them is passed as well.
            let (one, two) = request.split_at(10);
            let records = [client.tls().sealed(one), client.tls().sealed(two)].concat();
            if split == records.len() {
                break;
            }
            let (now, later) = records.split_at(split);
            client.stream.write_all(now).expect("the server reads");
            // Answered: the one worker has seen the first part.
            assert_eq!(other.get("/f").body, b"body");
            client.stream.write_all(later).expect("the server reads");
            assert_eq!(client.response(false).body, b"body", "split at {split}");
            split += 1;
        }
    }
}

#[test]
fn empty_records_and_the_longest_ones_are_read() {
    let server = Server::start_https(&[]);
    server.write("f", b"body");
    for version in VERSIONS {
        let mut client = connect(&server, version);
        // A body longer than a record, which is dropped, and the next request right behind it.
        let head = "GET /f HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\n";
        let next = "GET /f HTTP/1.1\r\nHost: t\r\n\r\n";
        let request = [head.as_bytes(), &[b'x'; 60_000], next.as_bytes()].concat();
        client.send(&request);
        for _ in 0..2 {
            assert_eq!(client.response(false).body, b"body");
        }
    }
}

#[test]
fn keys_change_in_the_middle_of_a_download() {
    let server = Server::start_https(&[]);
    let body = pattern(32 << 20, 3);
    server.write("f", &body);
    let mut client = connect(&server, VERSIONS[0]);
    client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    client.wait_until_begun();
    let renew = |client: &Client| {
        let renewed = client.tls().send_after(&client.stream, |connection| {
            connection.refresh_traffic_keys().expect("TLS 1.3");
            Ok(())
        });
        renewed.expect("the server reads");
    };
    for _ in 0..3 {
        renew(&client);
    }
    assert!(client.response(false).body == body);
    for _ in 0..3 {
        assert!(client.get("/f").body == body, "by the next keys");
        renew(&client);
    }
}

#[test]
fn files_that_are_not_in_memory_arrive_whole() {
    let root = temp_root();
    for name in ["near", "far"] {
        std::fs::create_dir(root.path().join(name)).expect("a directory");
    }
    let Some(far) = slow_fs(&root.path().join("far")) else {
        return;
    };
    let length = 6_000_000;
    for seed in 0..8 {
        far.add(seed.to_string(), Content::Pattern { seed, length });
        let path = root.path().join(format!("near/{seed}"));
        let near = slow_fs::pattern(seed, 0, length as usize);
        std::fs::write(path, near).expect("a file");
    }
    std::fs::write(root.path().join("hot"), b"hot").expect("a file");
    let served = root.path().to_owned();
    let server = Server::start_https_over(root, &served, &[]);
    // Dropped before the server, which cannot end while a thread of it waits for the mount.
    let far = far;
    for version in VERSIONS {
        for place in ["near", "far"] {
            for seed in 0..8 {
                let file = std::fs::File::open(served.join(format!("near/{seed}")));
                let file = file.expect("a file");
                file.sync_all().expect("a disk");
                let cold = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
                posix_fadvise(file, 0, 0, cold).expect("advice");
                far.keep_out_of_memory(seed.to_string());
            }
            far.treat(Operation::Read, Treatment::Hold);
            let ask = |seed: u64| {
                let mut client = connect(&server, version);
                let request = format!("GET /{place}/{seed} HTTP/1.1\r\nHost: t\r\n\r\n");
                client.send(request.as_bytes());
                client
            };
            let clients: Vec<_> = (0..8).map(ask).collect();
            let mut hot = connect(&server, version);
            for _ in 0..100 {
                assert_eq!(hot.get("/hot").body, b"hot", "nobody waits for the disk");
            }
            far.treat(Operation::Read, Treatment::Answer);
            for (seed, mut client) in clients.into_iter().enumerate() {
                let body = slow_fs::pattern(seed as u64, 0, length as usize);
                assert!(client.response(false).body == body, "{place}/{seed}");
            }
        }
    }
}

#[test]
fn a_reader_that_is_fast_does_not_starve_another() {
    let server = Server::start_https(&[]);
    let file = std::fs::File::create(server.path("huge")).expect("a file");
    file.set_len(64 << 30).expect("a sparse file");
    server.write("small", b"small");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for version in VERSIONS {
            let mut greedy = connect(&server, version);
            greedy.send(b"GET /huge HTTP/1.1\r\nHost: t\r\n\r\n");
            let is_over = &is_over;
            scope.spawn(move || {
                let mut sink = vec![0; 1 << 16];
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    assert!(greedy.read(&mut sink).expect("more") > 0);
                }
            });
        }
        let mut client = connect(&server, VERSIONS[0]);
        for _ in 0..200 {
            assert_eq!(client.get("/small").body, b"small");
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
