//! The example answers real connections as its comments say.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use blocking_server::Content;
use zc_http::{EntityTag, HttpTime, Validators};

// Its `main` takes the arguments of a program, which a test has none of.
#[allow(dead_code)]
#[path = "../examples/blocking_server.rs"]
mod blocking_server;

/// A hung test ends here, and fails; a working one never waits this long.
const HANG: Duration = Duration::from_secs(60);

fn bytes() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// A server of `/file`, which ends with the process.
fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let content = Content {
        name: "file".to_owned(),
        bytes: bytes(),
        validators: Validators {
            etag: EntityTag::from_opaque(b"one"),
            last_modified: Some(HttpTime::from_unix_seconds(784_111_777)),
        },
    };
    thread::spawn(move || blocking_server::serve(&listener, &Arc::new(content)));
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.set_write_timeout(Some(HANG)).unwrap();
    stream
}

/// All that the server sends until it closes, after these bytes and nothing behind them.
fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    received
}

/// Splits a head, without its `Date`, from what follows it.
fn split(received: &[u8]) -> (String, &[u8]) {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, rest) = received.split_at(end.expect("a whole head") + 4);
    let lines: Vec<_> = std::str::from_utf8(head)
        .unwrap()
        .split_inclusive("\r\n")
        .collect();
    let dates = lines
        .iter()
        .filter(|line| line.starts_with("Date: "))
        .count();
    assert_eq!(dates, 1);
    let others = lines.iter().filter(|line| !line.starts_with("Date: "));
    (others.copied().collect(), rest)
}

const WHOLE: &str = "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nETag: \"one\"\r\n\
    Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/octet-stream\r\n\
    Content-Length: 400000\r\n\r\n";

#[test]
fn a_file_is_sent_whole_and_its_head_to_head() {
    let received = exchange(start(), b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
    let (head, body) = split(&received);
    assert_eq!(head, WHOLE);
    assert!(body == bytes());

    let received = exchange(start(), b"HEAD /%66ile HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(split(&received), (WHOLE.to_owned(), &b""[..]));
}

#[test]
fn ranges_are_sent_as_one_or_as_parts() {
    let ranges = |value: &str| {
        let request = format!("GET /file HTTP/1.1\r\nHost: a\r\nRange: bytes={value}\r\n\r\n");
        exchange(start(), request.as_bytes())
    };
    let received = ranges("10-1009");
    let (head, body) = split(&received);
    assert!(
        head.starts_with("HTTP/1.1 206 Partial Content\r\n"),
        "{head}"
    );
    assert!(head.contains("Content-Range: bytes 10-1009/400000\r\nContent-Length: 1000\r\n"));
    assert_eq!(body, &bytes()[10..1010]);

    let received = ranges("0-1,-2");
    let (head, body) = split(&received);
    let boundary = head.split("boundary=").nth(1).unwrap();
    let boundary = boundary.split("\r\n").next().unwrap();
    let part = |range: &str, bytes: &[u8]| {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\
             Content-Range: bytes {range}/400000\r\n\r\n"
        );
        [head.as_bytes(), bytes].concat()
    };
    let first = part("0-1", &bytes()[..2]);
    let last = part("399998-399999", &bytes()[399_998..]);
    let end = format!("\r\n--{boundary}--\r\n");
    assert_eq!(body, [&first, &last, end.as_bytes()].concat());
    assert!(
        head.contains(&format!("Content-Length: {}\r\n", body.len())),
        "{head}"
    );

    let received = ranges("400000-");
    let (head, _) = split(&received);
    assert!(head.starts_with("HTTP/1.1 416 "), "{head}");
    assert!(head.contains("Content-Range: bytes */400000\r\n"), "{head}");
}

#[test]
fn requests_follow_each_other_on_a_connection_in_whatever_pieces() {
    let requests: &[u8] = b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /file HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
        GET /file HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"one\"\r\n\r\n\
        DELETE /file HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nGET";
    let statuses = |received: &[u8]| -> Vec<String> {
        let text = std::str::from_utf8(received).unwrap();
        let lines = text.split("\r\n").flat_map(|line| line.split("\n"));
        let status = |line: &str| line.strip_prefix("HTTP/1.1 ").map(str::to_owned);
        lines.filter_map(status).collect()
    };
    let expected = [
        "404 Not Found",
        "405 Method Not Allowed",
        "304 Not Modified",
        "405 Method Not Allowed",
    ];
    let address = start();
    let at_once = exchange(address, requests);
    assert_eq!(statuses(&at_once), expected);

    let mut stream = connect(address);
    stream.set_nodelay(true).unwrap();
    for byte in requests.chunks(1) {
        stream.write_all(byte).unwrap();
    }
    // Not shut down: `Connection: close` ends it.
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(statuses(&received), expected);
}

#[test]
fn what_cannot_be_read_on_is_answered_and_closed() {
    for (request, status, fields) in [
        ("GET /file HTTP/1.1\r\n\r\n", "400 Bad Request", ""),
        (
            "GET /../file HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 Bad Request",
            "",
        ),
        (
            "BREW /file HTTP/1.1\r\nHost: a\r\n\r\n",
            "501 Not Implemented",
            "",
        ),
        (
            "PUT /file HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
            "405 Method Not Allowed",
            "Connection: close\r\nAllow: GET, HEAD\r\n",
        ),
        (
            "PUT /file HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n",
            "413 Content Too Large",
            "Connection: close\r\n",
        ),
        (
            "PUT /file HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx",
            "400 Bad Request",
            "Connection: close\r\n",
        ),
        (
            "GET /nothing HTTP/1.0\r\n\r\n",
            "404 Not Found",
            "Connection: close\r\n",
        ),
    ] {
        let received = exchange(start(), request.as_bytes());
        let (head, body) = split(&received);
        let start = format!("HTTP/1.1 {status}\r\n{fields}");
        assert!(head.starts_with(&start), "{request}: {head}");
        assert_eq!(body, format!("{status}\n").as_bytes());
    }
}

#[test]
fn a_body_that_is_not_read_does_not_cost_the_response() {
    let head = "PUT /file HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n";
    let request = [head.as_bytes(), &bytes()].concat();
    let received = exchange(start(), &request);
    let (head, _) = split(&received);
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
}
