//! Framing of requests: pipelines, splits at every byte, bodies, and which connections live on.

use crate::harness::{Server, pattern};

#[test]
fn ten_requests_in_one_segment_are_answered_in_order() {
    let server = Server::start(&[]);
    let bodies: Vec<_> = (0..10).map(|n| pattern(n * 7919, n as u64 + 1)).collect();
    let mut requests = String::new();
    for (n, body) in bodies.iter().enumerate() {
        server.write(&format!("f{n}"), body);
        requests.push_str(&format!("GET /f{n} HTTP/1.1\r\nHost: t\r\n\r\n"));
    }
    let mut client = server.connect();
    client.send(requests.as_bytes());
    for (n, body) in bodies.iter().enumerate() {
        let response = client.response(false);
        assert!(
            response.status == 200 && response.body == *body,
            "response {n}"
        );
    }
    assert_eq!(client.get("/f1").body, bodies[1], "the connection lives on");
}

#[test]
fn more_pipelined_requests_than_one_turn_answers() {
    let server = Server::start(&[]);
    server.write("f", b"0123456789");
    let mut client = server.connect();
    client.send("GET /f HTTP/1.1\r\nHost: t\r\n\r\n".repeat(1000).as_bytes());
    for n in 0..1000 {
        assert_eq!(client.response(false).body, b"0123456789", "response {n}");
    }
}

#[test]
fn a_request_split_at_every_byte() {
    let server = Server::start(&[]);
    server.write("f", b"body");
    let request = b"GET /f HTTP/1.1\r\nHost: t\r\nAccept: */*\r\n\r\n";
    let mut client = server.connect();
    client.stream.set_nodelay(true).expect("a TCP socket");
    for split in 1..request.len() {
        client.send(&request[..split]);
        // An answered request on another connection: the one worker has seen the first part.
        assert_eq!(server.get("/f").status, 200);
        client.send(&request[split..]);
        assert_eq!(client.response(false).body, b"body", "split at {split}");
    }
    for byte in request {
        client.send(&[*byte]);
    }
    assert_eq!(client.response(false).body, b"body");
}

#[test]
fn persistence_follows_version_and_connection_field() {
    let server = Server::start(&[]);
    server.write("f", b"x");
    let rows = [
        ("1.1", "", None, true),
        ("1.1", "Connection: close\r\n", Some("close"), false),
        (
            "1.1",
            "Connection: keep-alive, CLOSE\r\n",
            Some("close"),
            false,
        ),
        ("1.0", "", Some("close"), false),
        (
            "1.0",
            "Connection: keep-alive\r\n",
            Some("keep-alive"),
            true,
        ),
    ];
    for (version, field, answered, lives) in rows {
        let mut client = server.connect();
        client.send(format!("GET /f HTTP/{version}\r\nHost: t\r\n{field}\r\n").as_bytes());
        let response = client.response(false);
        assert_eq!(response.field("connection"), answered, "{version} {field}");
        if lives {
            assert_eq!(client.get("/f").body, b"x", "{version} {field}");
        } else {
            client.expect_end();
        }
    }
}

#[test]
fn small_bodies_are_dropped_and_never_taken_for_requests() {
    let server = Server::start(&[]);
    server.write("f", b"x");
    let inner = "GET /f HTTP/1.1\r\nHost: t\r\n\r\n";
    let length = inner.len();
    let chunked = format!("{length:x};note=1\r\n{inner}\r\n0\r\nTrailer: 1\r\n\r\n");
    let rows = [
        format!("GET /f HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n{inner}"),
        format!("POST /f HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\n{inner}"),
        format!("POST /f HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
    ];
    for (request, status) in rows.iter().zip([200, 405, 405]) {
        let mut client = server.connect();
        client.send(request.as_bytes());
        assert_eq!(client.response(false).status, status, "{request}");
        client.send(b"GET /gone HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(
            client.response(false).status,
            404,
            "exactly one answer each: {request}"
        );
    }
}

#[test]
fn a_long_body_is_answered_readably_and_ends_the_connection() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let body = vec![b'x'; 10 << 20];
    let head = format!(
        "POST /f HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head.as_bytes());
    client.send(&body);
    let response = client.response(false);
    assert_eq!(
        (response.status, response.field("connection")),
        (405, Some("close"))
    );
    client.expect_end();
}

#[test]
fn a_client_that_waits_for_100_is_answered_at_once() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client
        .send(b"POST /f HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let response = client.response(false);
    assert_eq!(
        (response.status, response.field("connection")),
        (405, Some("close"))
    );
}

#[test]
fn ambiguous_framing_is_refused_and_ends_the_connection() {
    let mut server = Server::start(&[]);
    server.write("f", b"x");
    let rows = [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: +5\r\n", 400),
        ("Content-Length: 5, 5\r\n", 400),
        ("Content-Length: 99999999999999999999\r\n", 400),
        ("Transfer-Encoding: chunked, identity\r\n", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
    ];
    for (fields, status) in rows {
        let mut client = server.connect();
        let inner = "GET /f HTTP/1.1\r\nHost: t\r\n\r\n";
        client.send(format!("GET /f HTTP/1.1\r\nHost: t\r\n{fields}\r\n{inner}").as_bytes());
        let response = client.response(false);
        assert_eq!(response.status, status, "{fields}");
        assert_eq!(response.field("connection"), Some("close"), "{fields}");
        client.expect_end();
    }
    for size in ["5\n", "5;\r\n", "5; \r\n", "5;a;;b\r\n", "5;=b\r\n"] {
        let head = "POST /f HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = server.connect();
        client.send(format!("{head}{size}hello\r\n0\r\n\r\n").as_bytes());
        assert_eq!(client.response(false).status, 400, "{size:?}");
        client.expect_end();
    }
    // What is logged is the request, and not the bytes of its body.
    let log = loop {
        let log = server.log();
        if log["method"] == "POST" {
            break log;
        }
    };
    assert_eq!(
        (&log["target"], &log["status"]),
        (&"/f".into(), &400.into()),
        "{log}"
    );
}

#[test]
fn a_half_closed_client_still_gets_its_answer() {
    let server = Server::start(&[]);
    let body = pattern(1 << 20, 5);
    server.write("f", &body);
    let mut client = server.connect();
    client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    client.shutdown_write();
    assert!(client.response(false).body == body);
    client.expect_end();
}

#[test]
fn an_early_answer_is_not_eaten_by_a_reset() {
    let server = Server::start(&[]);
    let body = vec![b'x'; 10_000_000];
    let mut client = server.connect();
    client.send(b"POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: 10000000\r\n\r\n");
    let mut uploader = client.writer();
    std::thread::scope(|scope| {
        let uploaded = scope.spawn(move || {
            std::io::Write::write_all(&mut uploader, &body)?;
            uploader.shutdown()
        });
        let response = client.response(false);
        assert_eq!(response.status, 405);
        assert_eq!(response.field("connection"), Some("close"));
        client.expect_end();
        let uploaded = uploaded.join().expect("no panic");
        assert!(uploaded.is_ok(), "the server reads on: {uploaded:?}");
    });
}
