//! curl does what people use it for: whole files and parts, resuming, asking whether anything is
//! new, and hearing at once that nothing may be uploaded.

use std::process::Output;
use std::time::{Duration, SystemTime};

use crate::harness::clients::{Home, Log, answers, said};
use crate::harness::tls::sent_by;
use crate::harness::{Server, pattern};

/// Bytes of an upload that no socket buffer takes in whole.
const UPLOAD_BYTES: usize = 10 << 20;

/// A server with one file, its log, and a home for curl; `None` without curl.
fn with_file(body: &[u8]) -> Option<(Server, Log, Home)> {
    let home = Home::for_clients(&["curl"])?;
    let mut server = Server::start(&[]);
    server.write("file", body);
    let log = server.follow_log();
    Some((server, log, home))
}

/// curl, without its configuration and without its progress, for half a minute at most.
fn run_curl(home: &Home, arguments: &[&str]) -> Output {
    let always = ["--disable", "--silent", "--show-error", "--max-time", "30"];
    home.run("curl", &[&always, arguments].concat())
}

/// The same; it must succeed.
fn curl(home: &Home, arguments: &[&str]) -> String {
    said(&run_curl(home, arguments), "curl")
}

#[test]
fn curl_fetches_a_whole_file_and_parts_of_it() {
    let body = pattern(3 << 20, 1);
    let Some((server, log, home)) = with_file(&body) else {
        return;
    };
    let url = server.url("/file");
    curl(&home, &["-o", "whole", &url]);
    assert!(home.read("whole") == body);
    for (range, expected) in [
        ("1000000-1999999", &body[1_000_000..2_000_000]),
        ("3000000-", &body[3_000_000..]),
        ("-100000", &body[body.len() - 100_000..]),
    ] {
        curl(&home, &["-r", range, "-o", "part", &url]);
        assert!(home.read("part") == expected, "{range}");
    }
    let lines = log.so_far(&server);
    assert_eq!(
        answers(&lines),
        [("GET", 200), ("GET", 206), ("GET", 206), ("GET", 206)]
    );
    assert!(
        lines
            .iter()
            .all(|line| line["send_path"] == sent_by("sendfile"))
    );
}

#[test]
fn curl_fetches_several_ranges_at_once() {
    let body = pattern(1000, 2);
    let Some((server, log, home)) = with_file(&body) else {
        return;
    };
    let url = server.url("/file");
    curl(
        &home,
        &["-r", "0-9,100-109", "-D", "head", "-o", "parts", &url],
    );
    let head = String::from_utf8(home.read("head")).expect("ASCII");
    let (_, behind) = head.split_once("boundary=").expect("several parts");
    let boundary = behind.lines().next().expect("a line");
    let part = |range: &str, bytes: &[u8]| {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {range}/1000\r\n\r\n"
        );
        [head.as_bytes(), bytes].concat()
    };
    let end = format!("\r\n--{boundary}--\r\n");
    let expected = [
        part("0-9", &body[..10]),
        part("100-109", &body[100..110]),
        end.into_bytes(),
    ];
    assert_eq!(home.read("parts"), expected.concat());
    assert_eq!(answers(&log.so_far(&server)), [("GET", 206)]);
}

#[test]
fn curl_resumes_half_a_file_and_asks_for_nothing_more_of_a_whole_one() {
    let body = pattern(3 << 20, 3);
    let Some((server, log, home)) = with_file(&body) else {
        return;
    };
    let url = server.url("/file");
    home.write("file", &body[..1_234_567]);
    curl(&home, &["-C", "-", "-O", &url]);
    assert!(home.read("file") == body);
    curl(&home, &["-C", "-", "-O", &url]);
    assert!(home.read("file") == body, "nothing is appended to it");
    let lines = log.so_far(&server);
    assert_eq!(answers(&lines), [("GET", 206), ("GET", 416)]);
    assert_eq!(lines[0]["bytes"], body.len() - 1_234_567);
}

#[test]
fn curl_fetches_again_only_what_has_changed() {
    let body = pattern(100_000, 4);
    let Some((server, log, home)) = with_file(&body) else {
        return;
    };
    let url = server.url("/file");
    server.wait_until_settled("/file");
    log.so_far(&server);

    curl(&home, &["-R", "-o", "file", &url]);
    let modified = |path| {
        std::fs::metadata(path)
            .and_then(|file| file.modified())
            .expect("a time")
    };
    let whole_second = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs()
    };
    let (ours, theirs) = (modified(server.path("file")), modified(home.path("file")));
    assert_eq!(
        whole_second(ours),
        whole_second(theirs),
        "the date of the file is kept"
    );
    curl(&home, &["-R", "-z", "file", "-o", "file", &url]);
    let tags = ["--etag-compare", "tag", "--etag-save", "tag"];
    let by_tag = [&tags[..], &["-o", "by-tag", &url]].concat();
    curl(&home, &by_tag);
    let tag = home.read("tag");
    curl(&home, &by_tag);
    let lines = log.so_far(&server);
    assert_eq!(
        answers(&lines),
        [("GET", 200), ("GET", 304), ("GET", 200), ("GET", 304)]
    );
    assert_eq!(
        (&lines[1]["bytes"], &lines[3]["bytes"]),
        (&0.into(), &0.into())
    );
    assert!(home.read("file") == body && home.read("by-tag") == body);
    assert_eq!(
        modified(home.path("file")),
        theirs,
        "the file is left alone"
    );

    let changed = pattern(100_000, 5);
    server.write("file", &changed);
    let later = std::fs::File::options()
        .write(true)
        .open(server.path("file"))
        .expect("a file");
    later
        .set_modified(ours + Duration::from_secs(2))
        .expect("a time");
    curl(&home, &["-R", "-z", "file", "-o", "file", &url]);
    curl(&home, &by_tag);
    assert_eq!(answers(&log.so_far(&server)), [("GET", 200), ("GET", 200)]);
    assert!(home.read("file") == changed && home.read("by-tag") == changed);
    assert_ne!(home.read("tag"), tag);
}

#[test]
fn curl_asks_for_heads_and_listings_on_one_connection() {
    let body = pattern(100_000, 6);
    let Some((server, log, home)) = with_file(&body) else {
        return;
    };
    let (file, directory) = (server.url("/file"), server.url("/"));
    let connections = ["-w", "\n%{num_connects} "];
    let again = ["--next", "-sS"];
    let head = curl(
        &home,
        &[
            &["-I", &file][..],
            &again,
            &connections,
            &[&directory],
            &again,
            &connections,
            &["-o", "file", &file],
        ]
        .concat(),
    );
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Length: 100000\r\n"), "{head}");
    assert!(head.contains("<a href=\"file\">"), "{head}");
    assert!(
        head.ends_with("</html>\n\n0 \n0 "),
        "no further connection: {head}"
    );
    assert!(home.read("file") == body);
    let lines = log.so_far(&server);
    assert_eq!(answers(&lines), [("HEAD", 200), ("GET", 200), ("GET", 200)]);
    assert_eq!(lines[0]["bytes"], 0);
}

#[test]
fn curl_is_led_from_a_directory_to_its_slash() {
    let Some((server, log, home)) = with_file(b"") else {
        return;
    };
    server.write("two #words/index.html", b"the index");
    let url = server.url("/two%20%23words");
    let told = curl(&home, &["-L", "-w", " %{url_effective}", &url]);
    assert_eq!(told, format!("the index {url}/"));
    assert_eq!(answers(&log.so_far(&server)), [("GET", 301), ("GET", 200)]);
}

#[test]
fn curl_hears_before_it_uploads_that_it_may_not() {
    let Some((server, log, home)) = with_file(b"kept") else {
        return;
    };
    let url = server.url("/file");
    home.write("upload", &pattern(UPLOAD_BYTES, 7));
    let figures = ["-w", "%{http_code} %{size_upload}", "-o", "answer"];
    for upload in [&["-T", "upload"], &["--data-binary", "@upload"]] {
        // curl would upload without having heard anything only after a minute, which it has not.
        let expect = ["-H", "Expect: 100-continue", "--expect100-timeout", "60"];
        let told = curl(&home, &[&figures[..], &expect, upload, &[&url]].concat());
        assert_eq!(told, "405 0");
        assert_eq!(home.read("answer"), b"405 Method Not Allowed\n");
    }
    let lines = log.so_far(&server);
    assert_eq!(answers(&lines), [("PUT", 405), ("POST", 405)]);
    assert!(server.get("/file").body == b"kept");
}

#[test]
fn curl_reads_the_refusal_of_an_upload_that_has_begun() {
    let Some((server, log, home)) = with_file(b"kept") else {
        return;
    };
    home.write("upload", &pattern(UPLOAD_BYTES, 8));
    let url = server.url("/file");
    let figures = ["-w", "%{http_code}", "-o", "answer"];
    let upload = ["-H", "Expect:", "--data-binary", "@upload", &url];
    let told = curl(&home, &[&figures[..], &upload].concat());
    assert_eq!(told, "405");
    assert_eq!(home.read("answer"), b"405 Method Not Allowed\n");
    assert_eq!(answers(&log.so_far(&server)), [("POST", 405)]);
}

#[test]
fn curl_decodes_what_lies_ready_in_each_coding() {
    let body = "All work and no play makes a compressible file. "
        .repeat(2000)
        .into_bytes();
    for (program, arguments, extension) in [
        ("gzip", &["-kn", "file"][..], "gz"),
        ("brotli", &["-k", "file"], "br"),
        ("zstd", &["-kq", "file"], "zst"),
    ] {
        let Some(home) = Home::for_clients(&["curl", program]) else {
            continue;
        };
        let mut server = Server::start(&[]);
        let log = server.follow_log();
        home.write("file", &body);
        home.succeed(program, arguments);
        let coded = home.read(&format!("file.{extension}"));
        server.write("file", &body);
        server.write(&format!("file.{extension}"), &coded);
        server.wait_until_settled("/file");
        log.so_far(&server);
        let url = server.url("/file");
        curl(&home, &["--compressed", "-o", "decoded", &url]);
        assert!(home.read("decoded") == body);
        curl(&home, &["-o", "plain", &url]);
        assert!(
            home.read("plain") == body,
            "only those get it who ask for it"
        );
        let lines = log.so_far(&server);
        assert_eq!(answers(&lines), [("GET", 200), ("GET", 200)]);
        assert_eq!(
            (&lines[0]["bytes"], &lines[1]["bytes"]),
            (&coded.len().into(), &body.len().into()),
            "{program}"
        );
        let paths: Vec<_> = lines.iter().map(|line| &line["send_path"]).collect();
        assert_eq!(
            paths,
            [sent_by("copy"), sent_by("sendfile")],
            "the short one goes with its head"
        );
    }
}
