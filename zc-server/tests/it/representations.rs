//! Several ranges, several codings of one file, and validators that can be trusted.

use std::fs::{File, FileTimes};
use std::ops::Range;
use std::time::{Duration, SystemTime};

use crate::harness::tls::sent_by;
use crate::harness::{Response, Server, codings, pattern};

/// A time that is neither fresh nor a whole second.
fn settled() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(1_600_000_000_123_456_789)
}

/// Gives a file this time. The time at which it was last changed stays that of this call.
fn set_mtime(server: &Server, name: &str, time: SystemTime) {
    let file = File::options()
        .write(true)
        .open(server.path(name))
        .expect("a file");
    file.set_times(FileTimes::new().set_modified(time))
        .expect("a time");
}

#[test]
fn several_ranges_come_in_parts_by_each_method() {
    let mut server = Server::start(&["--method-override"]);
    let body = pattern(3 << 20, 1);
    server.write("f.mp4", &body);
    let ranges: [Range<usize>; 4] = [
        2_000_000..3_000_000,
        0..10,
        500..500_000,
        3_145_727..3_145_728,
    ];
    let field = "Range: bytes=2000000-2999999, 0-9, 500-499999, -1\r\n";
    for method in ["sendfile", "splice", "copy"] {
        let mut client = server.connect();
        client.send(
            format!("GET /f.mp4?method={method} HTTP/1.1\r\nHost: t\r\n{field}\r\n").as_bytes(),
        );
        let response = client.response(false);
        assert_eq!(
            (response.status, response.field("content-range")),
            (206, None)
        );
        let found = response.parts();
        assert_eq!(found.len(), ranges.len());
        for (part, range) in found.iter().zip(&ranges) {
            let expected = format!(
                "Content-Type: video/mp4\r\nContent-Range: bytes {}-{}/{}",
                range.start,
                range.end - 1,
                body.len()
            );
            assert_eq!(part.fields, expected);
            assert!(part.bytes == body[range.clone()], "{method} {range:?}");
        }
        let log = server.log();
        assert_eq!(
            (&log["send_path"], &log["outcome"]),
            (&sent_by(method).into(), &"complete".into())
        );
        assert_eq!(
            log["bytes"],
            response.body.len(),
            "heads of parts are body: {log}"
        );
        assert_eq!(client.get("/none").status, 404, "the connection lives on");
        server.log();
    }
}

#[test]
fn ranges_that_touch_or_are_too_many_are_answered_otherwise() {
    let server = Server::start(&[]);
    let body = pattern(100_000, 2);
    server.write("f", &body);
    let touching = server.get_with("/f", "Range: bytes=0-99,100-199,50-60\r\n");
    assert_eq!(touching.status, 206);
    assert_eq!(touching.field("content-range"), Some("bytes 0-199/100000"));
    assert!(touching.body == body[..200]);
    let many: Vec<_> = (0..1000).map(|n| format!("{}-{}", n * 2, n * 2)).collect();
    let many = server.get_with("/f", &format!("Range: bytes={}\r\n", many.join(",")));
    assert_eq!(many.status, 200);
    assert!(many.body == body, "all of it, once");
    // However often bytes are asked for, they are sent once.
    let again = server.get_with("/f", &format!("Range: bytes={}\r\n", ["0-"; 100].join(",")));
    assert_eq!((again.status, again.body.len()), (206, body.len()));
    let none = server.get_with("/f", "Range: bytes=100000-,200000-300000\r\n");
    assert_eq!(
        (none.status, none.field("content-range")),
        (416, Some("bytes */100000"))
    );
}

#[test]
fn if_range_wants_the_very_state() {
    let server = Server::start(&[]);
    server.write("f", b"0123456789");
    server.wait_until_settled("/f");
    let now = server.get("/f");
    let (tag, date) = (
        now.field("etag").expect("a tag").to_owned(),
        now.field("last-modified").expect("a date").to_owned(),
    );
    let rows = [
        (format!("If-Range: {tag}"), 206),
        (format!("If-Range: {date}"), 206),
        (format!("If-Range: W/{tag}"), 200),
        ("If-Range: \"other\"".to_owned(), 200),
        ("If-Range: Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 200),
    ];
    for (field, status) in rows {
        let response = server.get_with("/f", &format!("Range: bytes=2-4, 6-\r\n{field}\r\n"));
        assert_eq!(response.status, status, "{field}");
    }
}

/// Length of `page.js`. Its codings are longer.
const ORIGINAL_BYTES: usize = 100_000;

/// A server with `page.js` and its three codings.
fn with_codings(options: &[&str]) -> Server {
    let server = Server::start_over(&[("oops.html", b"<p>Not here</p>")], options);
    let original = pattern(ORIGINAL_BYTES, 3);
    server.write("page.js", &original);
    server.write("page.js.gz", &codings::gzip(&original));
    server.write("page.js.br", &codings::brotli(&original));
    server.write("page.js.zst", &codings::zstd(&original));
    for name in ["page.js", "page.js.gz", "page.js.br", "page.js.zst"] {
        server.wait_until_settled(&format!("/{name}"));
    }
    server
}

#[test]
fn the_coding_is_chosen_by_the_client_and_each_has_its_own_tag() {
    let server = with_codings(&[]);
    let rows = [
        ("", None),
        ("Accept-Encoding: gzip\r\n", Some("gzip")),
        ("Accept-Encoding: gzip, br\r\n", Some("br")),
        ("Accept-Encoding: gzip, br;q=0.5\r\n", Some("gzip")),
        ("Accept-Encoding: zstd;q=0.9, br;q=0\r\n", Some("zstd")),
        ("Accept-Encoding: *\r\n", Some("br")),
        ("Accept-Encoding: identity\r\n", None),
        ("Accept-Encoding: deflate\r\n", None),
        ("Accept-Encoding: identity;q=0, gzip\r\n", Some("gzip")),
    ];
    let mut tags = std::collections::BTreeMap::new();
    for (fields, coding) in rows {
        let response = server.get_with("/page.js", fields);
        assert_eq!(response.status, 200, "{fields}");
        assert_eq!(response.field("content-encoding"), coding, "{fields}");
        assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{fields}");
        let expected_type = Some("text/javascript");
        assert_eq!(response.field("content-type"), expected_type, "{fields}");
        let name = match coding {
            None => "page.js",
            Some("gzip") => "page.js.gz",
            Some("br") => "page.js.br",
            Some(_) => "page.js.zst",
        };
        let bytes = std::fs::read(server.path(name)).expect("a file");
        assert!(response.body == bytes, "{fields}");
        let tag = response.field("etag").expect("a tag").to_owned();
        assert!(!tag.starts_with("W/"));
        assert_eq!(
            *tags.entry(name).or_insert_with(|| tag.clone()),
            tag,
            "{fields}"
        );
        let head = server.head_with("/page.js", fields);
        assert_eq!(without_date(&head), without_date(&response), "{fields}");
        // A condition is about the representation that would be sent.
        let same = server.get_with("/page.js", &format!("{fields}If-None-Match: {tag}\r\n"));
        assert_eq!(
            (same.status, same.field("vary")),
            (304, Some("Accept-Encoding"))
        );
    }
    let mut distinct: Vec<_> = tags.values().collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 4, "{tags:?}");
    // Another representation's tag is no match.
    let other = format!(
        "Accept-Encoding: gzip\r\nIf-None-Match: {}\r\n",
        tags["page.js"]
    );
    assert_eq!(server.get_with("/page.js", &other).status, 200);
    assert_eq!(
        server
            .get_with("/page.js", "Accept-Encoding: *;q=0\r\n")
            .status,
        406
    );
}

/// The fields that do not change from one second to the next.
fn without_date(response: &Response) -> std::collections::BTreeMap<String, String> {
    let mut fields = response.fields.clone();
    fields.remove("date").expect("a date");
    fields
}

#[test]
fn ranges_are_of_the_coding_that_is_sent_and_by_sendfile() {
    let mut server = with_codings(&[]);
    let log = server.follow_log();
    let brotli = codings::brotli(&pattern(ORIGINAL_BYTES, 3));
    let fields = "Accept-Encoding: br\r\nRange: bytes=50000-79999\r\n";
    let response = server.get_with("/page.js", fields);
    assert_eq!(response.status, 206);
    assert_eq!(
        response.field("content-range"),
        Some(&*format!("bytes 50000-79999/{}", brotli.len()))
    );
    assert_eq!(response.field("content-encoding"), Some("br"));
    assert!(response.body == brotli[50_000..80_000]);
    let lines = log.so_far(&server);
    assert_eq!(
        lines.last().expect("a line")["send_path"],
        sent_by("sendfile")
    );
}

#[test]
fn a_coding_that_is_older_absent_or_asked_for_directly() {
    let server = with_codings(&["--cache-ttl", "0"]);
    set_mtime(&server, "page.js", settled());
    set_mtime(&server, "page.js.gz", settled() - Duration::from_nanos(1));
    let gzip = "Accept-Encoding: gzip\r\n";
    let stale = server.get_with("/page.js", gzip);
    assert_eq!(
        stale.field("content-encoding"),
        None,
        "older than the original"
    );
    set_mtime(&server, "page.js.gz", settled());
    let fresh = server.get_with("/page.js", gzip);
    assert_eq!(
        fresh.field("content-encoding"),
        Some("gzip"),
        "as old as the original"
    );
    // The file itself is a file like any other: nothing says that it is coded.
    let direct = server.get_with("/page.js.gz", gzip);
    assert!(direct.body == codings::gzip(&pattern(ORIGINAL_BYTES, 3)));
    assert_eq!(direct.field("content-encoding"), None);
    assert_eq!(direct.field("content-type"), Some("application/gzip"));
    // Without an original there is nothing to be coded.
    std::fs::remove_file(server.path("page.js")).expect("a file");
    assert_eq!(server.get_with("/page.js", gzip).status, 404);
}

#[test]
fn codings_can_be_chosen_or_switched_off() {
    let server = with_codings(&["--precompressed", "gz,br"]);
    let all = "Accept-Encoding: br, gzip, zstd\r\n";
    let response = server.get_with("/page.js", all);
    assert_eq!(
        response.field("content-encoding"),
        Some("gzip"),
        "the first is preferred"
    );
    let only_zstd = server.get_with("/page.js", "Accept-Encoding: zstd\r\n");
    assert_eq!(only_zstd.field("content-encoding"), None);
    let off = with_codings(&["--precompressed", "off"]);
    let response = off.get_with("/page.js", all);
    assert_eq!(
        (response.field("content-encoding"), response.field("vary")),
        (None, None)
    );
}

#[test]
fn times_that_tools_stamp_on_everything_validate_nothing() {
    let server = Server::start(&["--cache-ttl", "0"]);
    for (seconds, name) in [(0, "a"), (1, "b"), (315_532_800, "c")] {
        server.write(name, b"same size");
        set_mtime(
            &server,
            name,
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        );
        let response = server.get(&format!("/{name}"));
        assert_eq!(response.status, 200);
        assert_eq!(response.field("etag"), None, "{seconds}");
        assert_eq!(response.field("last-modified"), None, "{seconds}");
        // So that nothing is taken for current, whatever the client has.
        let since = server.get_with(
            &format!("/{name}"),
            "If-Modified-Since: Fri, 31 Dec 2100 00:00:00 GMT\r\nRange: bytes=0-1\r\n",
        );
        assert_eq!(since.status, 206);
    }
    // A sidecar says what the time does not, quoted or bare.
    server.write("a.etag", b"\"sha256-abc\"\n");
    server.write("b.etag", b"v2");
    server.write("c.etag", b"not a tag, with spaces");
    assert_eq!(server.get("/a").field("etag"), Some("\"sha256-abc\""));
    assert_eq!(server.get("/a").field("last-modified"), None);
    assert_eq!(server.get("/b").field("etag"), Some("\"v2\""));
    assert_eq!(server.get("/c").field("etag"), None);
    let same = server.get_with("/a", "If-None-Match: \"sha256-abc\"\r\n");
    assert_eq!(
        (same.status, same.field("etag")),
        (304, Some("\"sha256-abc\""))
    );
    let part = server.get_with("/a", "Range: bytes=0-1\r\nIf-Range: \"sha256-abc\"\r\n");
    assert_eq!(part.status, 206);
}

#[test]
fn nothing_was_last_modified_after_it_was_sent() {
    let server = Server::start(&[]);
    server.write("f", b"x");
    set_mtime(
        &server,
        "f",
        SystemTime::now() + Duration::from_secs(100_000),
    );
    let response = server.get("/f");
    assert_eq!(response.field("last-modified"), response.field("date"));
}

#[test]
fn head_equals_get_in_every_field() {
    let server = with_codings(&[
        "--cors",
        "--header",
        "X-A: b",
        "--cache-control",
        "*.js=max-age=5",
        "--error-page=404=oops.html",
    ]);
    server.write("d/empty", b"");
    server.write("i/index.html", b"index");
    server.wait_until_settled("/page.js.br");
    server.wait_until_settled("/i/");
    for (target, fields) in [
        ("/page.js", ""),
        ("/page.js", "Accept-Encoding: br\r\n"),
        ("/page.js?download", ""),
        ("/d/empty", ""),
        ("/d", ""),
        ("/d/", ""),
        ("/d/?format=json", ""),
        ("/i/", ""),
        ("/none", ""),
        ("/page.js", "If-Match: \"x\"\r\n"),
        ("/page.js", "If-None-Match: *\r\n"),
        ("/page.js", "Expect: magic\r\n"),
        ("/%zz", ""),
    ] {
        let (get, head) = (
            server.get_with(target, fields),
            server.head_with(target, fields),
        );
        assert_eq!(head.status, get.status, "{target} {fields}");
        assert_eq!(without_date(&head), without_date(&get), "{target} {fields}");
        assert!(head.body.is_empty());
    }
}
