//! Limits of rate: what a client is sent at most, what it has to take at least, and how many requests it may send.
//!
//! A lower bound of a duration follows from rate and length, and holds on a machine that is slow as well. Nothing is
//! said of how much longer it may take.

use std::io::Read;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::tls::says_not_by_tls;
use crate::harness::{Client, Server, pattern, wait_until};

/// The rate of most tests, in bytes per second.
const RATE: u64 = 1 << 20;
const LIMITED: &[&str] = &["--limit-rate", "1MiB"];

/// The shortest time that so many bytes may take: the credit of a tenth of a second may be spent once, once more where
/// the clock of the worker was late when it began, and a record may go beyond it.
fn shortest(bytes: u64, rate: u64) -> Duration {
    let free = rate / 5 + 2 * 1_450 + 16_500;
    Duration::from_micros(1_000_000 * bytes.saturating_sub(free) / rate)
}

fn assert_took(log: &serde_json::Value, rate: u64) {
    let number = |name| log[name].as_u64().expect("a number");
    let bytes = number("head_bytes") + number("bytes");
    let took = Duration::from_micros(number("us"));
    assert!(took >= shortest(bytes, rate), "{log}");
}

#[test]
fn a_body_is_sent_at_the_limit_by_every_method() {
    let mut server = Server::start(&[LIMITED, &["--method-override"]].concat());
    let body = pattern(1 << 20, 3);
    server.write("f", &body);
    for method in ["sendfile", "splice", "copy"] {
        let response = server.get(&format!("/f?method={method}"));
        assert!(response.body == body, "{method}");
        let log = server.log();
        assert_eq!(log["outcome"], "complete");
        assert_took(&log, RATE);
    }
}

#[test]
fn parts_and_listings_are_sent_at_the_limit() {
    let mut server = Server::start(LIMITED);
    let body = pattern(1 << 20, 4);
    server.write("f", &body);
    let response = server.get_with("/f", "Range: bytes=0-399999,500000-899999\r\n");
    let parts = response.parts();
    assert_eq!(parts.len(), 2);
    for part in &parts {
        assert!(part.bytes == body[part.range.clone()]);
    }
    assert_took(&server.log(), RATE);

    let server = Server::start(&["--limit-rate", "50kB"]);
    for number in 0..1_000 {
        server.write(&format!("directory/{number:060}"), b"");
    }
    let began = Instant::now();
    let response = server.get_with("/directory/", "Accept: application/json\r\n");
    assert_eq!(response.status, 200);
    let length = response.body.len() as u64;
    // A piece of a listing goes at once.
    assert!(length > 70_000, "{length}");
    assert!(began.elapsed() >= shortest(length - 40_000, 50_000));
}

#[test]
fn a_file_that_is_not_in_memory_is_sent_at_the_limit() {
    for offload in ["on", "off"] {
        let mut server = Server::start(&[LIMITED, &["--offload-cold-reads", offload]].concat());
        let body = pattern(1 << 20, 5);
        server.write("f", &body);
        let file = std::fs::File::open(server.path("f")).expect("a file");
        file.sync_all().expect("a disk");
        let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        nix::fcntl::posix_fadvise(&file, 0, 0, advice).expect("a file");
        assert!(server.get("/f").body == body);
        assert_took(&server.log(), RATE);
    }
}

/// Requests in a row on one connection, and sent together: small files that may be kept in memory, and one that may
/// not.
#[test]
fn a_client_gets_no_more_by_many_small_requests() {
    let server = Server::start(&["--limit-rate", "200kB"]);
    let small = pattern(10_000, 6);
    let large = pattern(80_000, 7);
    server.write("small", &small);
    server.write("large", &large);
    let bytes = 10 * 20_000 + 80_000;
    for is_pipelined in [false, true] {
        let mut client = server.connect();
        client.shake_hands();
        let began = Instant::now();
        let mut paths = vec!["/small"; 20];
        paths.push("/large");
        let request = |path: &&str| format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n");
        if is_pipelined {
            let requests: String = paths.iter().map(request).collect();
            client.send(requests.as_bytes());
        }
        for path in &paths {
            if !is_pipelined {
                client.send(request(path).as_bytes());
            }
            let body = client.response(false).body;
            let expected = if *path == "/small" { &small } else { &large };
            assert!(body == *expected, "{path}");
        }
        assert!(
            began.elapsed() >= shortest(bytes, 200_000),
            "{is_pipelined}"
        );
    }
}

#[test]
fn the_first_glob_that_matches_has_the_rate() {
    let rates = ["*.slow=100kB", "b.*=off", "200kB"];
    let options: Vec<&str> = rates
        .iter()
        .flat_map(|rate| ["--limit-rate", rate])
        .collect();
    let mut server = Server::start(&options);
    let body = pattern(100_000, 8);
    for name in ["a.slow", "b.slow", "c"] {
        server.write(name, &body);
    }
    // At a limit it would take longer than a test may.
    let huge = std::fs::File::create(server.path("b.fast")).expect("a file");
    huge.set_len(512 << 20).expect("a sparse file");
    for (name, rate) in [("a.slow", 100_000), ("b.slow", 100_000), ("c", 200_000)] {
        assert!(server.get(&format!("/{name}")).body == body, "{name}");
        assert_took(&server.log(), rate);
    }
    assert_eq!(server.get("/b.fast").body.len(), 512 << 20);
    // What is no body of a file goes at once.
    assert_eq!(server.get("/missing").status, 404);
}

#[test]
fn the_first_bytes_are_sent_without_the_limit_once() {
    let options = ["--limit-rate", "10kB", "--limit-rate-after", "100MB"];
    let mut server = Server::start(&options);
    let body = pattern(50 << 20, 9);
    server.write("f", &body);
    let mut client = server.connect();
    client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    let reader = std::thread::spawn(move || client.response(false).body);
    // At the limit it would take more than an hour.
    assert_eq!(server.log()["outcome"], "complete");
    assert!(reader.join().expect("a response") == body);

    let server = Server::start(&["--limit-rate", "20kB", "--limit-rate-after", "1MB"]);
    let (first, second) = (pattern(990_000, 10), pattern(60_000, 11));
    server.write("first", &first);
    server.write("second", &second);
    let mut client = server.connect();
    let began = Instant::now();
    assert!(client.get("/first").body == first);
    assert!(client.get("/second").body == second);
    // What the second has of the first bytes is what the first has left of them, and what came back meanwhile.
    let due = shortest(1_050_000 - 1_000_000, 20_000);
    assert!(began.elapsed() >= due, "{due:?}");
}

#[test]
fn a_pause_of_the_server_is_no_stall_of_the_client() {
    let options = ["--limit-rate", "2kB", "--send-timeout", "100ms"];
    let slow = ["--min-rate", "100kB", "--min-rate-window", "50ms"];
    let mut server = Server::start(&[options, slow].concat());
    // A pause takes most of a second; and the socket takes all of this.
    let body = pattern(6_000, 12);
    server.write("f", &body);
    assert!(server.get("/f").body == body);
    let log = server.log();
    assert_eq!(log["outcome"], "complete", "{log}");
    if !server.is_tls() {
        assert!(log["us"].as_u64() > Some(1_000_000), "{log}");
    }
}

#[test]
fn a_client_that_goes_in_a_pause_is_noticed() {
    let mut server = Server::start(&["--limit-rate", "100"]);
    server.write("f", &pattern(100_000, 13));
    let mut client = server.connect();
    client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    client.wait_until_begun();
    socket2::SockRef::from(&client.stream)
        .set_linger(Some(Duration::ZERO))
        .expect("a socket");
    drop(client);
    assert_eq!(server.log()["outcome"], "peer_gone");
}

#[test]
fn a_limited_response_goes_on_while_the_server_drains() {
    let mut server = Server::start(&[LIMITED, &["--grace-period", "10m"]].concat());
    let body = pattern(1 << 20, 14);
    server.write("f", &body);
    let mut client = server.connect();
    client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    client.wait_until_begun();
    server.signal(Signal::SIGTERM);
    assert!(client.response(false).body == body);
    let log = server.log();
    assert_eq!(log["outcome"], "complete");
    assert_took(&log, RATE);
    drop(client);
    let (status, _) = server.wait();
    assert_eq!(status.code(), Some(0));

    let mut server = Server::start(&["--limit-rate", "1kB", "--grace-period", "100ms"]);
    server.write("f", &body);
    let mut client = server.connect();
    client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    client.wait_until_begun();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.log()["outcome"], "shutdown");
    let (status, _) = server.wait();
    assert_eq!(status.code(), Some(3));
}

/// A connection of which the server can send little before it has to wait.
fn narrow(server: &Server) -> Client {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("SO_RCVBUF");
    let connected = socket.connect(&server.address.into());
    connected.expect("the server accepts");
    server.client(socket.into())
}

/// A file that no socket takes as a whole.
fn write_huge(server: &Server) {
    let huge = std::fs::File::create(server.path("huge")).expect("a file");
    huge.set_len(1 << 30).expect("a sparse file");
}

#[test]
fn a_client_that_takes_a_byte_at_a_time_is_cut_off() {
    // A send buffer that is full accepts again when a third of it is free, so that bytes taken are no progress of
    // `send`; and the server asks the kernel what it got rid of.
    let options = ["--min-rate", "1MB", "--min-rate-window", "500ms"];
    let mut server = Server::start(&options);
    write_huge(&server);
    let mut client = narrow(&server);
    client.send(b"GET /huge HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut stream = client.stream.try_clone().expect("a socket");
    // A few KiB a second.
    let dripping = std::thread::spawn(move || {
        let mut byte = [0; 64];
        while stream.read(&mut byte).is_ok_and(|count| count > 0) {
            std::thread::park_timeout(Duration::from_millis(10));
        }
    });
    let log = server.log();
    assert_eq!(log["outcome"], "too_slow", "{log}");
    assert!(log["us"].as_u64() >= Some(500_000), "{log}");
    dripping.join().expect("the end of the connection");
}

#[test]
fn the_rate_is_measured_over_the_window_that_is_asked_for() {
    // What comes first ends the response: the window, or the grace period. Where none is asked for, the window is 30
    // seconds.
    let rate = ["--min-rate", "1MB", "--min-rate-window", "100ms"];
    let mut server = Server::start(&[&rate[..], &["--grace-period", "15s"]].concat());
    write_huge(&server);
    let mut client = narrow(&server);
    client.send(b"GET /huge HTTP/1.1\r\nHost: t\r\n\r\n");
    client.wait_until_begun();
    server.signal(Signal::SIGTERM);
    let log = server.log();
    assert_eq!(log["outcome"], "too_slow", "{log}");
}

#[test]
fn a_client_that_takes_enough_is_served_to_the_end() {
    let mut server = Server::start(&["--min-rate", "1KiB"]);
    let body = pattern(24 << 20, 15);
    server.write("f", &body);
    let mut client = narrow(&server);
    client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.response(false).body == body);
    let log = server.log();
    assert_eq!(log["outcome"], "complete");
    assert!(log["would_blocks"].as_u64() > Some(0), "{log}");
}

/// A file from the cache, from the disk, one that the client has, one that is missing, and one that takes many calls.
const TARGETS: [(&str, &str, u16); 5] = [
    ("/f", "", 200),
    ("/large", "", 200),
    ("/missing", "", 404),
    (
        "/f",
        "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
        304,
    ),
    ("/", "", 200),
];

#[test]
fn the_last_request_of_a_connection_is_said_to_be_the_last() {
    let server = Server::start(&["--max-requests-per-connection", "3"]);
    server.write("f", b"body");
    server.write("large", &pattern(8 << 20, 16));
    for (target, field, status) in TARGETS {
        for is_pipelined in [false, true] {
            let mut client = server.connect();
            let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\n{field}\r\n");
            if is_pipelined {
                // Those behind the last are not answered.
                client.send(request.repeat(7).as_bytes());
            }
            for number in 1..=3 {
                if !is_pipelined {
                    client.send(request.as_bytes());
                }
                let response = client.response(false);
                assert_eq!(response.status, status, "{target}");
                let expected = (number == 3).then_some("close");
                assert_eq!(response.field("connection"), expected, "{target} {number}");
            }
            client.expect_end();
        }
    }
    // One with a body counts as one.
    let mut client = server.connect();
    for number in 1..=3 {
        client.send(b"GET /f HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\n");
        client.send(b"abc");
        let response = client.response(false);
        let expected = (number == 3).then_some("close");
        assert_eq!(response.field("connection"), expected);
    }
    client.expect_end();
}

#[test]
fn a_client_that_reads_late_has_its_requests_counted_once() {
    if says_not_by_tls("the client does not read while it waits to write") {
        return;
    }
    const MAX: usize = 2_000;
    let server = Server::start(&["--max-requests-per-connection", "2000"]);
    server.write("f", &pattern(8_000, 17));
    let mut client = narrow(&server);
    // Their answers are more than any socket takes: what did not go is answered when there is room.
    let request = b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n".repeat(MAX + 100);
    let mut writer = client.writer();
    let sending = std::thread::spawn(move || {
        // The server may be gone before it has taken the last of them.
        let _ = std::io::Write::write_all(&mut writer, &request);
    });
    let workers = server.workers();
    wait_until("the worker has met a full socket", || {
        workers.wait_for_events()
    });
    for number in 1..=MAX {
        let response = client.response(false);
        assert_eq!(response.body.len(), 8_000);
        let expected = (number == MAX).then_some("close");
        assert_eq!(response.field("connection"), expected, "{number}");
    }
    client.expect_end();
    sending.join().expect("no panic");
}
