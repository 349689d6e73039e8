//! What a request costs before and after the file: parsing, decoding, deciding, writing the head.
//! Each asserts what it measured; httparse stands beside our parser.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use zc_http::{
    AcceptEncoding, EntityTag, HeadWriter, Headers, HttpTime, Limits, Method, Parse, Precondition,
    RangeOutcome, Request, Status, Validators, decode_path, evaluate_preconditions, parse,
    resolve_range,
};

/// As wrk and the load generator of this crate send it.
const SHORT: &str = "GET /video.mp4 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
/// As a browser sends it for a video that it continues.
const BROWSER: &str = "GET /films/summer%202026/video.mp4?t=60 HTTP/1.1\r\n\
    Host: media.example.org\r\nConnection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"146\", \"Not?A_Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/146.0.0.0 Safari/537.36\r\n\
    sec-ch-ua-platform: \"Linux\"\r\nAccept: */*\r\nSec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: video\r\n\
    Referer: https://media.example.org/films/summer%202026/\r\n\
    Accept-Encoding: identity;q=1, *;q=0\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    Range: bytes=1048576-\r\nIf-Range: \"18cf1b6f2f3c4d5e-11e1a300\"\r\n\r\n";

fn group<'c>(
    criterion: &'c mut Criterion,
    name: &str,
    bytes: usize,
) -> criterion::BenchmarkGroup<'c, criterion::measurement::WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes as u64));
    group
}

fn parsing(criterion: &mut Criterion) {
    let limits = Limits::default();
    for (name, head, fields) in [("short", SHORT, 1), ("browser", BROWSER, 15)] {
        let mut group = group(criterion, &format!("parse {name}"), head.len());
        group.bench_function("zc-http", |bencher| {
            bencher.iter(|| match parse(black_box(head.as_bytes()), &limits) {
                Ok(Parse::Complete(request)) => {
                    assert_eq!(request.headers.len(), fields);
                    request.head_bytes
                }
                other => panic!("{other:?}"),
            });
        });
        // It finds where things are, and leaves the target, the host and the framing unchecked.
        group.bench_function("httparse", |bencher| {
            bencher.iter(|| {
                let mut found = [httparse::EMPTY_HEADER; 100];
                let mut request = httparse::Request::new(&mut found);
                let status = request.parse(black_box(head.as_bytes())).expect("valid");
                assert_eq!(request.headers.len(), fields);
                status.unwrap()
            });
        });
        group.finish();
    }
}

fn with_request<T>(head: &str, then: impl FnOnce(&Request<'_>) -> T) -> T {
    match parse(head.as_bytes(), &Limits::default()) {
        Ok(Parse::Complete(request)) => then(&request),
        other => panic!("{other:?}"),
    }
}

fn deciding(criterion: &mut Criterion) {
    let mut path = Vec::new();
    for (name, target, expected) in [
        ("plain", "/films/video.mp4", "films/video.mp4"),
        (
            "escaped",
            "/films/summer%202026/video%20%c3%a4.mp4",
            "films/summer 2026/video ä.mp4",
        ),
    ] {
        let mut group = group(criterion, "target", target.len());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let decoded = decode_path(black_box(target.as_bytes()), &mut path).expect("valid");
                assert_eq!(decoded.bytes, expected.as_bytes());
                decoded.bytes.len()
            });
        });
        group.finish();
    }
    let length = 300_000_000;
    // First positions, and those behind the last. The last 100 bytes are in the third stretch already.
    let one: &[(u64, u64)] = &[(1_048_576, length)];
    let several: &[(u64, u64)] = &[(0, 100), (1000, 2000), (5000, length)];
    for (name, value, expected) in [
        ("one", "bytes=1048576-", one),
        ("four", "bytes=0-99,1000-1999,5000-,-100", several),
    ] {
        let mut group = group(criterion, "range", value.len());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let outcome = resolve_range(black_box(value.as_bytes()), length);
                let is_expected = match &outcome {
                    RangeOutcome::Partial(range) => [(range.start, range.end)] == *expected,
                    RangeOutcome::Parts(parts) => {
                        let parts = parts.iter().map(|range| (range.start, range.end));
                        parts.eq(expected.iter().copied())
                    }
                    RangeOutcome::Whole | RangeOutcome::Unsatisfiable => false,
                };
                assert!(is_expected, "{outcome:?}");
                outcome
            });
        });
        group.finish();
    }
    conditions(criterion);
}

fn conditions(criterion: &mut Criterion) {
    let validators = Validators {
        etag: Some(EntityTag::from_numbers(
            &[0x18cf_1b6f_2f3c_4d5e, 0x11e1_a300],
            "",
        )),
        last_modified: Some(HttpTime::from_unix_seconds(784_111_777)),
    };
    let decide = |headers: &Headers<'_>| evaluate_preconditions(Method::Get, headers, &validators);
    let tagged = "GET / HTTP/1.1\r\nHost: a\r\n\
        If-None-Match: \"x\", \"18cf1b6f2f3c4d5e-11e1a300\"\r\n\r\n";
    for (name, head, expected) in [
        ("none", BROWSER, Precondition::Proceed),
        ("tag", tagged, Precondition::NotModified),
    ] {
        with_request(head, |request| {
            let mut group = group(criterion, "conditional", head.len());
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let outcome = decide(black_box(&request.headers));
                    assert_eq!(outcome, expected);
                });
            });
            group.finish();
        });
    }
    with_request(BROWSER, |request| {
        let mut group = group(criterion, "accept-encoding", BROWSER.len());
        group.bench_function("browser", |bencher| {
            bencher.iter(|| {
                let accepted = AcceptEncoding::from_headers(black_box(&request.headers));
                assert_eq!(accepted.quality(zc_http::Coding::Gzip), 0);
            });
        });
        group.finish();
    });
}

fn writing(criterion: &mut Criterion) {
    let tag = EntityTag::from_numbers(&[0x18cf_1b6f_2f3c_4d5e, 0x11e1_a300], "");
    let time = HttpTime::from_unix_seconds(784_111_777);
    let mut head = Vec::with_capacity(512);
    let mut write = || {
        head.clear();
        HeadWriter::new(&mut head, Status::Ok)
            .date("Date", time)
            .field("Server", b"zc")
            .field("Content-Type", b"video/mp4")
            .field("ETag", tag.as_bytes())
            .date("Last-Modified", time)
            .field("Vary", b"Accept-Encoding")
            .field("Accept-Ranges", b"bytes")
            .number("Content-Length", black_box(300_000_000))
            .finish();
        head.len()
    };
    let bytes = write();
    let mut group = group(criterion, "head", bytes);
    group.bench_function("200", |bencher| bencher.iter(|| assert_eq!(write(), bytes)));
    group.finish();
}

criterion_group! {
    name = benches;
    // Not of the groups: what a group is told, the command line cannot change.
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = parsing, deciding, writing
}
criterion_main!(benches);
