//! Parts of archives, and copies that clients have already.

use super::{ON, server, settle};
use crate::harness::clients::{Home, answers};
use crate::harness::tls::sent_by;
use crate::harness::{Server, pattern};

const TARGET: &str = "/dir/?archive=tar";

/// A directory with files that fill blocks and do not, which have settled.
fn fill(server: &Server) {
    for (name, length) in [
        ("a", 0),
        ("b", 1),
        ("c", 511),
        ("d", 512),
        ("e", 513),
        ("f", 5000),
    ] {
        server.write(&format!("dir/{name}"), &pattern(length, length as u64));
    }
    server.write(&format!("dir/{}", "long".repeat(50)), b"by a record");
    settle(&server.path("dir"));
}

#[test]
fn ranges_have_the_bytes_of_the_whole_wherever_they_begin() {
    let server = server();
    fill(&server);
    let whole = server.get(TARGET);
    assert_eq!(whole.field("accept-ranges"), Some("bytes"));
    let whole = whole.body;
    let length = whole.len();
    let mut client = server.connect();
    let mut part = |start: usize, end: usize| {
        client.send(
            format!(
                "GET {TARGET} HTTP/1.1\r\nHost: t\r\nRange: bytes={start}-{}\r\n\r\n",
                end - 1
            )
            .as_bytes(),
        );
        let response = client.response(false);
        let range = format!("bytes {start}-{}/{length}", end - 1);
        assert_eq!(response.field("content-range"), Some(&range[..]));
        assert_eq!(response.status, 206);
        assert!(response.body == whole[start..end], "{range}");
        response.body
    };
    let steps = (0..length).step_by(777);
    let parts = steps.flat_map(|start| part(start, length.min(start + 777)));
    assert!(parts.collect::<Vec<_>>() == whole);
    for block in (0..length).step_by(512) {
        let start = block.saturating_sub(1);
        part(start, length.min(block + 1));
        part(block, length.min(block + 513));
    }
    part(length - 1, length);
    let end = server.get_with(TARGET, "Range: bytes=-700\r\n");
    assert!(end.body == whole[length - 700..]);
    let behind = server.get_with(TARGET, &format!("Range: bytes={length}-\r\n"));
    assert_eq!(behind.status, 416);
    let range = format!("bytes */{length}");
    assert_eq!(behind.field("content-range"), Some(&range[..]));
    // Several at once are answered with the whole.
    let several = server.get_with(TARGET, "Range: bytes=0-9,100-109\r\n");
    assert!(several.status == 200 && several.body == whole);
}

#[test]
fn preconditions_are_those_of_files() {
    let server = server();
    fill(&server);
    let whole = server.get(TARGET);
    let tag = whole.field("etag").expect("a tag").to_owned();
    let head = server.head_with(TARGET, "");
    for name in [
        "etag",
        "content-length",
        "content-type",
        "content-disposition",
        "accept-ranges",
    ] {
        assert_eq!(head.field(name), whole.field(name), "{name}");
    }
    let status = |fields: &str| server.get_with(TARGET, fields).status;
    let same = server.get_with(TARGET, &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((same.status, same.field("etag")), (304, Some(&tag[..])));
    assert_eq!(status("If-None-Match: \"other\"\r\n"), 200);
    assert_eq!(status("If-Match: \"other\"\r\n"), 412);
    assert_eq!(status(&format!("If-Match: {tag}\r\n")), 200);
    assert_eq!(
        status(&format!("Range: bytes=5-6\r\nIf-Range: {tag}\r\n")),
        206
    );
    assert_eq!(status("Range: bytes=5-6\r\nIf-Range: \"other\"\r\n"), 200);

    // A file in it is another one.
    server.write("dir/b", b"B");
    let changed = server.get(TARGET);
    assert_ne!(changed.field("etag"), Some(&tag[..]));
    let untagged = Server::start(&[&ON[..], &["--etag", "off"]].concat());
    fill(&untagged);
    assert_eq!(untagged.get(TARGET).field("etag"), None);
}

#[test]
fn curl_goes_on_where_it_stopped() {
    let Some(home) = Home::for_clients(&["curl"]) else {
        return;
    };
    let mut server = server();
    for number in 0..10 {
        let body = pattern(400_000 + number, number as u64);
        server.write(&format!("dir/{number}"), &body);
    }
    settle(&server.path("dir"));
    let whole = server.get(TARGET).body;
    let log = server.follow_log();
    log.so_far(&server);
    let url = server.url(TARGET);
    // A connection that breaks, at the beginning of a body and within a header.
    for have in [2_000_000, 401_408 + 1024 + 700] {
        home.write("dir.tar", &whole[..have]);
        home.succeed("curl", &["-sS", "-C", "-", "-o", "dir.tar", &url]);
        assert!(home.read("dir.tar") == whole, "{have}");
    }
    let lines = log.so_far(&server);
    assert_eq!(answers(&lines), [("GET", 206), ("GET", 206)]);
    assert_eq!(lines[0]["bytes"], whole.len() - 2_000_000);
    assert_eq!(lines[0]["send_path"], sent_by("sendfile"));
}

#[test]
fn every_method_sends_the_same_bytes_over_http_and_https() {
    let options = [&ON[..], &["--method-override"]].concat();
    let mut servers = vec![Server::start(&options)];
    if cfg!(feature = "tls") {
        servers.push(Server::start_https(&options));
    }
    for server in servers {
        let Some(home) = Home::for_clients(&["curl"]) else {
            return;
        };
        fill(&server);
        server.write("dir/long", &pattern(5_000_000, 3));
        settle(&server.path("dir"));
        let whole = || {
            let get = |method: &str| {
                let url = server.url(&format!("{TARGET}&method={method}"));
                home.succeed("curl", &["-sSo", "dir.tar", &url]);
                home.read("dir.tar")
            };
            ["auto", "sendfile", "splice", "copy"].map(get)
        };
        let [auto, others @ ..] = whole();
        assert!(auto.len() > 5_000_000);
        assert!(others.iter().all(|other| *other == auto));
    }
}
