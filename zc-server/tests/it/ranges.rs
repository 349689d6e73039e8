//! Many ranges at once, what they may cost, and ranges of nothing.

use std::ops::Range;

use crate::harness::tls::sent_by;
use crate::harness::{Server, pattern};
use zc_http::PARTS_MAX;

/// How much longer than the file a response may be, its head included.
const OVERHEAD_BYTES_MAX: u64 = 64 * 1024;
/// Of the file that has many ranges.
const LENGTH: usize = 3 << 20;

/// So many ranges of up to 3,000 bytes, with gaps between them and not in order.
fn scattered(count: usize) -> Vec<Range<usize>> {
    let step = LENGTH / count;
    let range = |number: usize| {
        let start = number * step;
        start..start + 1 + number * 37 % 3000.min(step - 1)
    };
    // Coprime with every count that is tried.
    (0..count)
        .map(|number| range(number * 97 % count))
        .collect()
}

fn field(ranges: &[Range<usize>]) -> String {
    let specs: Vec<_> = ranges
        .iter()
        .map(|range| format!("{}-{}", range.start, range.end - 1))
        .collect();
    format!("Range: bytes={}\r\n", specs.join(","))
}

#[test]
fn as_many_parts_as_allowed_come_in_order_by_each_method() {
    let mut server = Server::start(&["--method-override"]);
    let body = pattern(LENGTH, 1);
    server.write("f.mp4", &body);
    let ranges = scattered(PARTS_MAX);
    for method in ["sendfile", "splice", "copy"] {
        let request = format!("GET /f.mp4?method={method} HTTP/1.1\r\nHost: t\r\n");
        let mut client = server.connect();
        client.send(format!("{request}{}\r\n", field(&ranges)).as_bytes());
        let response = client.response(false);
        assert_eq!(response.status, 206, "{method}");
        let parts = response.parts();
        assert!(parts.iter().map(|part| &part.range).eq(&ranges), "{method}");
        for part in &parts {
            assert!(part.fields.starts_with("Content-Type: video/mp4\r\n"));
            assert!(part.bytes == body[part.range.clone()], "{:?}", part.range);
        }
        let log = server.log();
        assert_eq!(
            (&log["send_path"], &log["outcome"]),
            (&sent_by(method).into(), &"complete".into())
        );
        assert_eq!(log["bytes"], response.body.len());
        assert_eq!(client.get("/none").status, 404, "the length was right");
        server.log();
    }
    let one_more = server.get_with("/f.mp4", &field(&scattered(PARTS_MAX + 1)));
    assert_eq!(one_more.status, 200);
    assert!(one_more.body == body, "all of it, once");
}

#[test]
fn no_ranges_make_an_answer_much_longer_than_the_file() {
    let long_type = format!("--mime=long=text/{}", "x".repeat(200));
    let mut server = Server::start(&[&long_type]);
    let every_second = |count: usize| {
        let ranges: Vec<_> = (0..count).map(|n| 2 * n..2 * n + 1).collect();
        field(&ranges)
    };
    let repeated = |spec: &str, count| format!("Range: bytes={}\r\n", vec![spec; count].join(","));
    let overlapping: Vec<_> = (0..500).map(|n| n..n + 50).collect();
    // The heads are longest with the longest type there is; one that is longer still was configured.
    let rows = [
        ("/f", every_second(PARTS_MAX), 206),
        ("/f.pptx", every_second(PARTS_MAX), 206),
        ("/f.long", every_second(PARTS_MAX), 200),
        ("/f.long", every_second(100), 206),
        ("/f.pptx", every_second(PARTS_MAX + 1), 200),
        ("/f.pptx", every_second(1000), 200),
        ("/f", field(&overlapping), 206),
        ("/f", repeated("0-", 1000), 206),
        ("/f", repeated("-1,0-", 500), 206),
        ("/f", repeated("5-,-3,0-1", 500), 206),
    ];
    let body = pattern(600, 3);
    for (target, fields, status) in rows {
        server.write(&target[1..], &body);
        let response = server.get_with(target, &fields);
        let name = &fields[..40];
        assert_eq!(response.status, status, "{target} {name}");
        let log = server.log();
        let bytes = |name: &str| log[name].as_u64().expect("a number");
        let sent = bytes("head_bytes") + bytes("bytes");
        let bound = body.len() as u64 + OVERHEAD_BYTES_MAX;
        assert!(sent <= bound, "{sent} for {target} {name}");
        if response.field("content-range").is_none() && status == 206 {
            let sum: usize = response.parts().iter().map(|part| part.bytes.len()).sum();
            assert!(sum <= body.len(), "{sum} for {target} {name}");
        }
    }
}

#[test]
fn a_range_of_an_empty_file_is_all_of_it() {
    let server = Server::start(&[]);
    server.write("empty", b"");
    server.wait_until_settled("/empty");
    let tag = server
        .get("/empty")
        .field("etag")
        .expect("a tag")
        .to_owned();
    let ranges = [
        "bytes=0-",
        "bytes=0-0",
        "bytes=0-1023",
        "bytes=5-9",
        "bytes=-1",
        "bytes=-0",
        "bytes=0-0,2-2",
        "bytes=-5,0-",
        "bytes=5-4",
        "lines=0-0",
    ];
    for range in ranges {
        for condition in ["", &format!("If-Range: {tag}\r\n"), "If-Range: \"x\"\r\n"] {
            let fields = format!("Range: {range}\r\n{condition}");
            for response in [
                server.get_with("/empty", &fields),
                server.head_with("/empty", &fields),
            ] {
                assert_eq!(response.status, 200, "{fields}");
                assert_eq!(response.field("content-length"), Some("0"), "{fields}");
                assert_eq!(response.field("content-range"), None, "{fields}");
                assert_eq!(response.field("etag"), Some(&*tag), "{fields}");
                assert!(response.body.is_empty());
            }
        }
        let same = format!("Range: {range}\r\nIf-None-Match: {tag}\r\n");
        assert_eq!(server.get_with("/empty", &same).status, 304, "{range}");
        let other = format!("Range: {range}\r\nIf-Match: \"x\"\r\n");
        assert_eq!(server.get_with("/empty", &other).status, 412, "{range}");
    }
}

#[test]
fn a_list_of_ranges_may_have_empty_elements_and_white_space_around_commas() {
    let server = Server::start(&[]);
    server.write("f", b"0123456789abcdef");
    let rows = [
        ("bytes= , 0-9 ,", 206, "0123456789"),
        ("bytes=\t,,0-9", 206, "0123456789"),
        ("bytes=0-9 , \t,", 206, "0123456789"),
        ("bytes= 0-9", 200, "0123456789abcdef"),
        ("bytes=0 -9", 200, "0123456789abcdef"),
        ("bytes =0-9", 200, "0123456789abcdef"),
        ("bytes= ,", 200, "0123456789abcdef"),
    ];
    for (range, status, body) in rows {
        let response = server.get_with("/f", &format!("Range: {range}\r\n"));
        assert_eq!(
            (response.status, &response.body[..]),
            (status, body.as_bytes()),
            "{range}"
        );
    }
}
