//! Full sockets: sends that stop in the head and in the body, and go on at the right byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::tls::{says_not_by_tls, sent_by};
use crate::harness::{Client, Server, pattern, wait_until};
use socket2::{Domain, Socket, Type};

/// More than the send buffer of a socket grows to (`net.ipv4.tcp_wmem` says 4 MiB or so), which the
/// tests assert.
const BODY_BYTES: usize = 24 << 20;

/// Turns of 128 KiB at least, which are more than any send buffer takes.
const TURNS: usize = 64;

/// A client whose socket takes only a few KiB before the server has to wait.
fn narrow(server: &Server) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("SO_RCVBUF");
    socket
        .connect(&server.address.into())
        .expect("the server accepts");
    Client::new(TcpStream::from(socket))
}

#[test]
fn a_body_is_resumed_where_a_full_socket_stopped_it() {
    let mut server = Server::start(&["--method-override"]);
    let body = pattern(BODY_BYTES, 7);
    server.write("f", &body);
    for method in ["sendfile", "splice", "copy"] {
        let mut client = narrow(&server);
        client.send(format!("GET /f?method={method} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
        // Answered requests of another client: behind each the worker has sent us 128 KiB, and it has filled
        // our socket in the end.
        for _ in 0..TURNS {
            assert_eq!(server.get("/missing").status, 404);
            server.log();
        }
        assert!(client.response(false).body == body, "{method}");
        let log = server.log();
        assert_eq!(
            (&log["send_path"], &log["outcome"]),
            (&sent_by(method).into(), &"complete".into())
        );
        assert!(log["would_blocks"].as_u64() > Some(0), "{log}");
        assert!(log["calls"].as_u64() > Some(1), "{log}");
        assert_eq!(
            client.get("/missing").status,
            404,
            "the connection lives on"
        );
        server.log();
    }
}

#[test]
fn many_parts_are_resumed_where_a_full_socket_stopped_them() {
    let mut server = Server::start(&["--method-override"]);
    let body = pattern(BODY_BYTES, 8);
    server.write("f", &body);
    // Long ones and short ones, so that it is full within parts and within their heads.
    let step = body.len() / zc_http::PARTS_MAX;
    let range = |part: usize| part * step..part * step + 1 + part * 60_013 % (step - 1);
    let ranges: Vec<_> = (0..zc_http::PARTS_MAX).map(range).collect();
    let specs: Vec<_> = ranges
        .iter()
        .map(|range| format!("{}-{}", range.start, range.end - 1))
        .collect();
    let field = format!("Range: bytes={}\r\n", specs.join(","));
    for method in ["sendfile", "splice", "copy"] {
        let mut client = narrow(&server);
        let request = format!("GET /f?method={method} HTTP/1.1\r\nHost: t\r\n{field}\r\n");
        client.send(request.as_bytes());
        // Answered requests of another client: behind each the worker has sent us 128 KiB, and it has filled
        // our socket in the end.
        for _ in 0..TURNS {
            assert_eq!(server.get("/missing").status, 404);
            server.log();
        }
        let parts = client.response(false).parts();
        assert!(parts.iter().map(|part| &part.range).eq(&ranges), "{method}");
        for part in &parts {
            assert!(part.bytes == body[part.range.clone()], "{:?}", part.range);
        }
        let log = server.log();
        assert_eq!(
            (&log["send_path"], &log["outcome"]),
            (&sent_by(method).into(), &"complete".into())
        );
        assert!(log["would_blocks"].as_u64() > Some(0), "{log}");
    }
}

#[test]
fn a_head_is_resumed_where_a_full_socket_stopped_it() {
    if says_not_by_tls("the client sends parts of records, and `https` has the like") {
        return;
    }
    // A worker that sleeps although requests are there waits for the socket, and not for a thread of the
    // disk, which a busy machine may keep from its processor for seconds.
    let mut server = Server::start(&["--offload-cold-reads", "off"]);
    server.write("empty", b"");
    let mut client = narrow(&server);
    assert_eq!(client.get("/missing").status, 404);
    let (workers, server_address) = (server.workers(), server.address);
    std::thread::scope(|scope| {
        // Read from the beginning: a log that nobody reads loses lines once its bounds are met.
        let stopped = scope.spawn(|| {
            let mut stopped = 0;
            loop {
                let log = server.log();
                if log["target"] == "/last" {
                    return stopped;
                }
                if log["would_blocks"].as_u64() > Some(0) {
                    assert_eq!(
                        (&log["calls"], &log["send_path"]),
                        (&0.into(), &"none".into()),
                        "{log}"
                    );
                    stopped += 1;
                }
            }
        });
        // Nobody reads the answers, and requests go until the worker waits although bytes of ours
        // are there for it: it has met a full socket.
        let request = b"GET /empty HTTP/1.1\r\nHost: t\r\n\r\n";
        let bulk = request.repeat(1000);
        let stream = &client.stream;
        stream.set_nonblocking(true).expect("a socket");
        let mut sent = 0;
        wait_until("a full socket", || {
            match { stream }.write(&bulk[sent % bulk.len()..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            let unread = unread_bytes(server_address, stream);
            unread > 0
                && workers.wait_for_events()
                && unread_bytes(server_address, stream) == unread
        });
        stream.set_nonblocking(false).expect("a socket");
        let requests = sent.div_ceil(request.len());
        let rest = &request[request.len() - (requests * request.len() - sent)..];
        let mut completer = client.stream.try_clone().expect("a socket");
        scope.spawn(move || completer.write_all(rest).expect("the server reads again"));
        for _ in 0..requests {
            let response = client.response(false);
            assert_eq!(
                (response.status, response.field("content-length")),
                (200, Some("0"))
            );
        }
        assert_eq!(client.get("/last").status, 404);
        let stopped = stopped.join().expect("the last line of the log");
        assert!(
            stopped > 0,
            "no head met a full socket in {requests} answers"
        );
    });
}

#[test]
fn a_fast_reader_does_not_starve_a_small_request() {
    let server = Server::start(&[]);
    let file = std::fs::File::create(server.path("huge")).expect("a file");
    file.set_len(64 << 30).expect("a sparse file");
    server.write("small", b"small");
    let mut greedy: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut greedy {
        client.send(b"GET /huge HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in &mut greedy {
            scope.spawn(|| {
                let mut sink = vec![0; 1 << 20];
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    assert!(client.read(&mut sink).expect("more") > 0);
                }
            });
        }
        // All of these finish while none of the big ones does.
        let mut client = server.connect();
        for _ in 0..200 {
            assert_eq!(client.get("/small").body, b"small");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// How long a response may go without a byte.
const STALL: Duration = Duration::from_secs(1);

/// A reader that is itself kept from reading for long, by a machine that is busy, proves nothing: it is
/// tried again.
#[test]
fn a_reader_that_takes_nothing_is_dropped_and_a_slow_one_is_not() {
    let mut tries = 0;
    wait_until("a reader that is slow and not late", || {
        tries += 1;
        stalled_and_slow(tries)
    });
}

/// False where the slow reader was late.
fn stalled_and_slow(seed: u64) -> bool {
    let mut server = Server::start(&["--send-timeout", "1s"]);
    let body = pattern(BODY_BYTES, seed);
    server.write("f", &body);
    let mut stalled = narrow(&server);
    stalled.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut slow = narrow(&server);
    slow.send(b"GET /f HTTP/1.1\r\nHost: t\r\nX: slow\r\n\r\n");
    // The slow one takes a little whenever a tick of the clock has passed, far longer in all than
    // the limit; the log tells when the other was dropped.
    let mut received = vec![0; 256 << 10];
    let mut expected = body.as_slice();
    let head_end = read_head(&mut slow);
    assert!(expected.starts_with(&head_end));
    expected = &expected[head_end.len()..];
    let mut was_late = false;
    let log = std::thread::scope(|scope| {
        let log = scope.spawn(|| server.log());
        let mut last = Instant::now();
        while !log.is_finished() && !was_late {
            let count = slow.read(&mut received).unwrap_or(0);
            was_late = last.elapsed() > STALL / 2;
            last = Instant::now();
            let is_served = count > 0 && expected.starts_with(&received[..count]);
            assert!(is_served || was_late, "{count} bytes");
            expected = &expected[count..];
            std::thread::park_timeout(Duration::from_millis(20));
        }
        log.join().expect("a line of the log")
    });
    if was_late {
        return false;
    }
    assert_eq!(
        (&log["outcome"], &log["status"]),
        (&"stalled".into(), &200.into()),
        "{log}"
    );
    assert!(
        !expected.is_empty(),
        "the slow reader was still being served"
    );
    while !expected.is_empty() {
        let count = slow.read(&mut received).expect("still served");
        assert!(count > 0 && expected.starts_with(&received[..count]));
        expected = &expected[count..];
    }
    assert_eq!(server.log()["outcome"], "complete");
    true
}

/// What the server's end of a connection has received and not read, from `/proc/net/tcp`.
fn unread_bytes(server: SocketAddr, client: &TcpStream) -> u64 {
    let client = client.local_addr().expect("connected");
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("the table");
    let ends = format!(":{:04X} 0100007F:{:04X} 01 ", server.port(), client.port());
    let line = table.lines().find(|line| line.contains(&ends));
    let queues = line.expect("the connection").split_whitespace().nth(4);
    let (_, unread) = queues
        .and_then(|queues| queues.split_once(':'))
        .expect("two queues");
    u64::from_str_radix(unread, 16).expect("a number")
}

/// Reads a head; answers what came of the body with it.
fn read_head(client: &mut Client) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 2048];
    loop {
        let count = client.read(&mut chunk).expect("a head");
        assert!(count > 0);
        bytes.extend_from_slice(&chunk[..count]);
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            return bytes.split_off(at + 4);
        }
    }
}
