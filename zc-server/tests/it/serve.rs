//! Whole responses: every byte of files of every size, heads, conditions and errors.

use std::os::unix::fs::FileExt;

use crate::harness::tls::sent_by;
use crate::harness::{Server, binary, pattern, temp_root};

#[test]
fn bodies_of_every_size_arrive_whole_by_each_method() {
    let mut server = Server::start(&["--method-override", "--cache-ttl", "0"]);
    for (index, size) in [0, 1, 4096, 1 << 20, 64 << 20].into_iter().enumerate() {
        let expected = pattern(size, index as u64 + 1);
        server.write("body.bin", &expected);
        for (word, path) in [
            ("sendfile", "sendfile"),
            ("splice", "splice"),
            ("io", "copy"),
        ] {
            let response = server.get(&format!("/body.bin?method={word}"));
            assert_eq!(response.status, 200);
            assert_eq!(
                response.field("content-length"),
                Some(size.to_string().as_str())
            );
            assert!(response.body == expected, "{size} bytes by {word} differ");
            let log = server.log();
            assert_eq!(log["bytes"].as_u64(), Some(size as u64));
            let expected_path = if size == 0 { "none" } else { path };
            assert_eq!(log["send_path"], sent_by(expected_path), "{log}");
        }
    }
}

#[test]
fn a_range_at_the_end_of_a_sparse_file_over_4_gib() {
    let server = Server::start(&["--method-override"]);
    let length: u64 = (4 << 30) + 12_345;
    let tail = pattern(1000, 9);
    let file = std::fs::File::create(server.path("sparse")).expect("a file");
    file.set_len(length).expect("a sparse file");
    file.write_all_at(&tail, length - 1000).expect("a tail");
    for method in ["sendfile", "splice", "copy"] {
        for range in [
            "bytes=-1000".to_owned(),
            format!("bytes={}-", length - 1000),
        ] {
            let response = server.request(&format!(
                "GET /sparse?method={method} HTTP/1.1\r\nHost: t\r\nRange: {range}\r\n\r\n"
            ));
            assert_eq!(response.status, 206);
            let expected = format!("bytes {}-{}/{length}", length - 1000, length - 1);
            assert_eq!(response.field("content-range"), Some(expected.as_str()));
            assert!(response.body == tail, "{range} by {method}");
        }
    }
    let head = server.request("HEAD /sparse HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(
        head.field("content-length"),
        Some(length.to_string().as_str())
    );
}

#[test]
fn head_has_the_fields_of_get() {
    let server = Server::start(&[]);
    server.write("page.html", b"<p>hello");
    let mut get = server.request("GET /page.html HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut head = server.request("HEAD /page.html HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(get.body, b"<p>hello");
    for response in [&mut get, &mut head] {
        assert!(response.fields.remove("date").is_some(), "Date always");
    }
    assert_eq!((get.status, &get.fields), (head.status, &head.fields));
    assert_eq!(get.field("content-type"), Some("text/html"));
    assert_eq!(get.field("accept-ranges"), Some("bytes"));
    let missing = server.request("HEAD /missing HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(
        (missing.status, missing.field("content-length")),
        (404, Some("14"))
    );
}

#[test]
fn single_ranges() {
    let server = Server::start(&[]);
    let bytes = pattern(10_000, 3);
    server.write("f", &bytes);
    let rows: [(&str, u16, &str, &[u8]); 9] = [
        ("bytes=0-1", 206, "bytes 0-1/10000", &bytes[..2]),
        ("bytes=0-0", 206, "bytes 0-0/10000", &bytes[..1]),
        ("bytes=9999-", 206, "bytes 9999-9999/10000", &bytes[9999..]),
        (
            "bytes=5000-99999",
            206,
            "bytes 5000-9999/10000",
            &bytes[5000..],
        ),
        ("bytes=-99999", 206, "bytes 0-9999/10000", &bytes),
        (
            "bytes=10000-",
            416,
            "bytes */10000",
            b"416 Range Not Satisfiable\n",
        ),
        (
            "bytes=-0",
            416,
            "bytes */10000",
            b"416 Range Not Satisfiable\n",
        ),
        ("lines=1-2", 200, "", &bytes),
        ("bytes=5-2", 200, "", &bytes),
    ];
    for (range, status, content_range, body) in rows {
        let response = server.request(&format!(
            "GET /f HTTP/1.1\r\nHost: t\r\nRange: {range}\r\n\r\n"
        ));
        assert_eq!(response.status, status, "{range}");
        assert_eq!(
            response.field("content-range").unwrap_or(""),
            content_range,
            "{range}"
        );
        assert!(response.body == body, "{range}");
    }
}

#[test]
fn conditions_by_tag_and_date() {
    let server = Server::start(&["--cache-ttl", "0"]);
    server.write("f", b"content");
    server.wait_until_settled("/f");
    let first = server.get("/f");
    let etag = first.field("etag").expect("a strong tag").to_owned();
    let modified = first.field("last-modified").expect("a date").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    let rows = [
        (format!("If-None-Match: {etag}"), 304),
        (format!("If-None-Match: \"x\", W/{etag}"), 304),
        ("If-None-Match: \"x\"".to_owned(), 200),
        (format!("If-Modified-Since: {modified}"), 304),
        (
            "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT".to_owned(),
            200,
        ),
        (
            format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}"),
            200,
        ),
        ("If-Match: \"x\"".to_owned(), 412),
        ("If-Range: \"x\"\r\nRange: bytes=1-2".to_owned(), 200),
        (format!("If-Range: {etag}\r\nRange: bytes=1-2"), 206),
    ];
    for (fields, status) in rows {
        let response = server.request(&format!("GET /f HTTP/1.1\r\nHost: t\r\n{fields}\r\n\r\n"));
        assert_eq!(response.status, status, "{fields}");
        if status == 304 {
            assert_eq!(response.field("etag"), Some(etag.as_str()), "{fields}");
            assert!(response.field("content-length").is_none(), "{fields}");
        }
    }
    // Another content of the same length within the same second has another tag.
    server.write("f", b"CONTENT");
    assert_ne!(server.get("/f").field("etag"), Some(etag.as_str()));
}

#[test]
fn directories_redirect_and_serve_their_index() {
    let server = Server::start(&[]);
    server.write("index.html", b"root");
    server.write("a b/index.html", b"sub");
    server.write("bare/file", b"x");
    assert_eq!(server.get("/").body, b"root");
    assert_eq!(server.get("/a%20b/").body, b"sub");
    let rows = [
        ("/a%20b", 301, Some("./a%20b/")),
        ("/a%20b?x=1&y=%2f", 301, Some("./a%20b/?x=1&y=%2f")),
        ("//a%20b", 301, Some("./a%20b/")),
        ("/./a%20b", 301, Some("./a%20b/")),
        ("/bare/file/", 404, None),
    ];
    for (target, status, location) in rows {
        let response = server.get(target);
        assert_eq!(
            (response.status, response.field("location")),
            (status, location),
            "{target}"
        );
    }
}

#[test]
fn one_file_as_root() {
    let root = temp_root();
    std::fs::write(root.path().join("film.mkv"), b"film").expect("a file");
    std::fs::write(root.path().join("secret"), b"secret").expect("a file");
    let served = root.path().join("film.mkv");
    let server = Server::start_with(binary(), root, &served, &[]);
    for target in ["/", "/film.mkv"] {
        let response = server.get(target);
        assert_eq!(
            (response.status, response.body.as_slice()),
            (200, &b"film"[..]),
            "{target}"
        );
    }
    for target in ["/secret", "/film.mkv/", "/film.mkv/x", "/x/film.mkv"] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
}

#[test]
fn errors_have_their_status() {
    let server = Server::start(&[]);
    server.write("f", b"x");
    let long_target = "a".repeat(9000);
    let long_field = "a".repeat(20_000);
    let rows = [
        ("GET /f\r\n\r\n".to_owned(), 400),
        ("GET /f HTTP/1.1\r\n\r\n".to_owned(), 400),
        (
            "GET /f HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
            400,
        ),
        ("GET /f HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), 400),
        ("GET /f HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        (
            "GET /f HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n".to_owned(),
            400,
        ),
        ("GET /f%zz HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET /missing HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404),
        ("POST /f HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        (
            "DELETE /missing HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            405,
        ),
        ("BREW /f HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 501),
        ("GET /f HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 505),
        (
            format!("GET /{long_target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            414,
        ),
        (
            format!("GET /f HTTP/1.1\r\nHost: a\r\nX: {long_field}\r\n\r\n"),
            431,
        ),
        (
            format!(
                "GET /f HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: 1\r\n".repeat(101)
            ),
            431,
        ),
    ];
    for (request, status) in rows {
        let name: String = request.chars().take(60).collect();
        let response = server.request(&request);
        assert_eq!(response.status, status, "{name:?}");
        let allow = (status == 405).then_some("GET, HEAD, OPTIONS");
        assert_eq!(response.field("allow"), allow, "{name:?}");
    }
    let unknown = Server::start(&["--method-override"]);
    unknown.write("f", b"x");
    let refused = unknown.get("/f?method=mmap");
    assert_eq!(refused.status, 400);
    assert_eq!(
        String::from_utf8_lossy(&refused.body),
        "400 Bad Request\nunknown method; use auto, sendfile, splice, copy or io\n"
    );
    assert_eq!(
        server.get("/f?method=mmap").status,
        200,
        "ignored unless it is allowed"
    );
}
