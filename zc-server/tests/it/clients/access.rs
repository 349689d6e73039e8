//! `--allow` and `--deny`.

use super::{connect_behind, line};
use crate::harness::{Response, Server};

fn start(options: &[&str]) -> Server {
    let server = Server::start(options);
    server.write("f", b"found");
    server
}

#[track_caller]
fn assert_forbidden(response: &Response) {
    let kind = response.field("content-type");
    assert_eq!(
        (response.status, kind),
        (403, Some("text/plain; charset=utf-8"))
    );
    assert_eq!(response.body, b"403 Forbidden\n");
}

#[test]
fn who_is_denied_is_answered_with_403() {
    let mut server = start(&["--deny", "127.0.0.0/8"]);
    // The connection goes on.
    let mut client = server.connect();
    for target in ["/f", "/none", "/"] {
        assert_forbidden(&client.get(target));
        let logged = server.log();
        assert_eq!(
            (&logged["status"], &logged["target"]),
            (&403.into(), &target.into())
        );
        assert_eq!(logged["outcome"], "complete");
    }
    let head = server.head_with("/f", "");
    assert_eq!(
        (head.status, head.field("content-length")),
        (403, Some("14"))
    );
    let server = start(&["--deny", "10.0.0.0/8", "--deny", "::1"]);
    assert_eq!(server.get("/f").body, b"found");
}

#[test]
fn who_is_not_allowed_is_answered_with_403() {
    let server = start(&["--allow", "10.0.0.0/8", "--allow", "2001:db8::/32"]);
    assert_forbidden(&server.get("/f"));
    let server = start(&["--allow", "10.0.0.0/8", "--allow", "127.0.0.1"]);
    assert_eq!(server.get("/f").body, b"found");
    // Whatever is allowed.
    let server = start(&["--allow", "127.0.0.1", "--deny", "127.0.0.0/8"]);
    assert_forbidden(&server.get("/f"));
}

#[test]
fn a_403_has_its_page() {
    let files = [("403.html", &b"<p>not you"[..])];
    let options = ["--deny", "127.0.0.1", "--error-page", "403=403.html"];
    let server = Server::start_over(&files, &options);
    for _ in 0..3 {
        let response = server.get("/f");
        assert_eq!(
            (response.status, &response.body[..]),
            (403, &b"<p>not you"[..])
        );
    }
}

#[test]
fn the_client_counts_and_not_the_proxy() {
    let options = [
        "--trusted-proxy=127.0.0.1",
        "--allow=192.0.2.0/24",
        "--deny=192.0.2.66",
    ];
    let server = start(&options);
    for (fields, status) in [
        ("", 403),
        ("X-Forwarded-For: 192.0.2.7\r\n", 200),
        ("X-Forwarded-For: 192.0.2.66\r\n", 403),
        ("X-Forwarded-For: 192.0.2.7, 198.51.100.1\r\n", 403),
        ("X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n", 200),
    ] {
        assert_eq!(server.get_with("/f", fields).status, status, "{fields}");
    }
    // A stranger who says that he is somebody else stays who he is.
    let server = start(&["--allow=192.0.2.0/24"]);
    let spoofed = server.get_with("/f", "X-Forwarded-For: 192.0.2.7\r\n");
    assert_forbidden(&spoofed);
    let server = start(&["--proxy-protocol", "--allow=192.0.2.0/24"]);
    for (named, status) in [("192.0.2.7", 200), ("198.51.100.1", 403)] {
        let mut client = connect_behind(&server, &line(named));
        assert_eq!(client.get("/f").status, status);
    }
}

#[test]
fn a_body_that_is_sent_along_is_read_or_refused_as_ever() {
    let mut server = start(&["--deny", "127.0.0.1"]);
    let mut client = server.connect();
    client.send(b"GET /f HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
    assert_forbidden(&client.response(false));
    assert_forbidden(&client.get("/f"));
    assert_eq!(
        (
            server.log()["status"].clone(),
            server.log()["status"].clone()
        ),
        (403.into(), 403.into())
    );
}
