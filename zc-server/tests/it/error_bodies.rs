//! What an error without `--error-page` says: a page to browsers, an object of RFC 9457 to programs that want JSON,
//! and a line of text to all others.

use std::os::unix::ffi::OsStrExt;

use crate::harness::own_page::{allowed_by_its_policy, links, resolved};
use crate::harness::{Response, Server, binary, temp_root};

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";
const JSON: &str = "Accept: application/json\r\n";
const PROBLEM: &str = "Accept: application/problem+json\r\n";
const HTML_TYPE: &str = "text/html; charset=utf-8";

/// A name and a value.
type Field = (&'static str, &'static str);

/// Requests that are errors, before their last line, each with its status and a field of its own.
fn requests() -> Vec<(u16, String, Option<Field>)> {
    let get = |fields: &str| format!("GET /dir/f HTTP/1.1\r\nHost: t\r\n{fields}");
    vec![
        (400, "GET /%zz HTTP/1.1\r\nHost: t\r\n".to_owned(), None),
        (404, "GET /none HTTP/1.1\r\nHost: t\r\n".to_owned(), None),
        (
            405,
            "DELETE /dir/f HTTP/1.1\r\nHost: t\r\n".to_owned(),
            Some(("allow", "GET, HEAD, OPTIONS")),
        ),
        (406, get("Accept-Encoding: identity;q=0\r\n"), None),
        (412, get("If-Match: \"other\"\r\n"), None),
        (413, get("Transfer-Encoding: chunked\r\n"), None),
        (
            416,
            get("Range: bytes=1000-\r\n"),
            Some(("content-range", "bytes */6")),
        ),
        (417, get("Expect: wonders\r\n"), None),
        (501, "BREW /dir/f HTTP/1.1\r\nHost: t\r\n".to_owned(), None),
    ]
}

fn answer(server: &Server, status: u16, request: &str, accept: &str) -> Response {
    let mut client = server.connect();
    client.send(format!("{request}{accept}\r\n").as_bytes());
    if status == 413 {
        let chunk = "x".repeat(0x20000);
        client.send(format!("20000\r\n{chunk}\r\n0\r\n\r\n").as_bytes());
    }
    client.response(request.starts_with("HEAD "))
}

fn varies_by_accept(response: &Response) -> bool {
    let vary = response.field("vary").unwrap_or_default();
    vary.split(", ").any(|name| name == "Accept")
}

#[test]
fn each_error_comes_in_the_form_that_the_client_asks_for() {
    let server = Server::start_over(&[("dir/f", b"a file")], &[]);
    // What a cache has of one form is not sent to others.
    for _ in 0..2 {
        for (status, request, own) in requests() {
            for (accept, content_type) in [
                ("", "text/plain; charset=utf-8"),
                ("Accept: */*\r\n", "text/plain; charset=utf-8"),
                ("Accept: text/plain\r\n", "text/plain; charset=utf-8"),
                (BROWSER, HTML_TYPE),
                (JSON, "application/json"),
                (PROBLEM, "application/problem+json"),
            ] {
                let response = answer(&server, status, &request, accept);
                let case = format!("{status} by {accept}");
                assert_eq!(response.status, status, "{case}");
                assert_eq!(response.field("content-type"), Some(content_type), "{case}");
                assert!(varies_by_accept(&response), "{case}");
                if let Some((name, value)) = own {
                    assert_eq!(response.field(name), Some(value), "{case}");
                }
                assert_has_its_body(&response, content_type);
            }
        }
    }
}

/// The length is checked by the client of the tests.
#[track_caller]
fn assert_has_its_body(response: &Response, content_type: &str) {
    let status = response.status;
    let body = String::from_utf8(response.body.clone()).expect("UTF-8");
    match content_type {
        HTML_TYPE => {
            let page = allowed_by_its_policy(response);
            assert!(page.contains(&format!("<h1>{status} ")), "{page}");
            assert!(page.ends_with("</html>\n"), "{page}");
        }
        "text/plain; charset=utf-8" => {
            assert!(body.starts_with(&format!("{status} ")), "{body}");
            assert_eq!(body.lines().count(), 1, "{body}");
        }
        _ => {
            let problem: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(problem["status"], status);
            assert!(problem["title"].is_string(), "{body}");
            assert!(problem["detail"].is_string(), "{body}");
        }
    }
}

#[test]
fn head_has_the_fields_of_the_form_and_no_body() {
    let server = Server::start(&[]);
    for accept in ["", BROWSER, JSON] {
        let get = server.get_with("/none", accept);
        let head = server.head_with("/none", accept);
        let length = get.body.len().to_string();
        assert_eq!(head.field("content-length"), Some(&length[..]), "{accept}");
        assert_eq!(head.field("content-type"), get.field("content-type"));
        assert!(head.body.is_empty() && varies_by_accept(&head), "{accept}");
    }
}

#[test]
fn the_links_of_an_error_lead_up_from_where_it_is() {
    let server = Server::start(&[]);
    std::fs::create_dir_all(server.path("a/b c")).expect("directories");
    for (path, parent) in [
        ("/none", None),
        ("/none/", None),
        ("/a/none", Some("/a/")),
        ("/a/none/", Some("/a/")),
        ("/a/b%20c/none", Some("/a/b%20c/")),
        ("/a/b%20c/none/x/y", Some("/a/b%20c/none/x/")),
        ("/a//none", Some("/a//")),
    ] {
        let page = allowed_by_its_policy(&server.get_with(path, BROWSER));
        let links = links(&page);
        let links: Vec<_> = links.iter().map(|link| resolved(path, link)).collect();
        let expected: Vec<_> = parent.into_iter().chain(["/"]).collect();
        assert_eq!(links, expected, "{path}");
    }
    // Below a proxy that takes `/prefix` away, which the browser knows and the server does not.
    let page = allowed_by_its_policy(&server.get_with("/a/none", BROWSER));
    let links = links(&page);
    let links: Vec<_> = links
        .iter()
        .map(|link| resolved("/prefix/a/none", link))
        .collect();
    assert_eq!(links, ["/prefix/a/", "/prefix/"]);
}

#[test]
fn nothing_of_a_request_is_in_a_page() {
    let server = Server::start(&[]);
    for target in [
        "/<script>alert(1)</script>",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
        "/\"onmouseover=\"alert(1)",
        "/'><b>alert(1)",
        "/%ff%fe%00",
        "/%ff%22alert(1)%0a",
        "/javascript:alert(1)",
        "/x?<script>alert(1)</script>",
    ] {
        for accept in [BROWSER, JSON, ""] {
            let response = server.get_with(target, accept);
            assert!(matches!(response.status, 400 | 404), "{target}");
            let body = String::from_utf8(response.body.clone()).expect("UTF-8");
            assert!(!body.contains("alert") && !body.contains("<script"));
            if accept == JSON {
                let problem: serde_json::Value = serde_json::from_str(&body).expect("JSON");
                assert_eq!(problem["status"], response.status);
            }
        }
    }
}

#[test]
fn what_is_no_request_gets_a_line_of_text() {
    let server = Server::start(&["--header-timeout", "1s"]);
    let fields = "X: y\r\n".repeat(200);
    for (status, request) in [
        (400, format!("GET / HTTP/1.1\r\n{BROWSER}\r\n")),
        (408, format!("GET / HTTP/1.1\r\nHost: t\r\n{BROWSER}")),
        (
            431,
            format!("GET / HTTP/1.1\r\nHost: t\r\n{BROWSER}{fields}\r\n"),
        ),
    ] {
        let response = server.request(&request);
        assert_eq!(response.status, status);
        assert!(response.body.starts_with(status.to_string().as_bytes()));
        assert_eq!(response.field("vary"), None, "{status}");
    }
}

#[test]
fn a_page_of_the_operator_comes_first() {
    let own: &[u8] = b"<p>of the operator";
    let server = Server::start_over(&[("404.html", own)], &["--error-page", "404=404.html"]);
    for accept in ["", BROWSER, JSON] {
        assert_eq!(server.get_with("/none", accept).body, own, "{accept}");
    }
    // Where it cannot be read, the forms are as without it.
    std::fs::remove_file(server.path("404.html")).expect("it is there");
    crate::harness::wait_until("the page is gone", || {
        server.get_with("/none", BROWSER).body != own
    });
    let page = server.get_with("/none", BROWSER);
    assert_has_its_body(&page, HTML_TYPE);
}

#[test]
fn who_may_ask_nothing_is_told_so_in_the_form_that_is_asked_for() {
    let server = Server::start(&["--deny", "127.0.0.0/8"]);
    for (accept, content_type) in [(BROWSER, HTML_TYPE), (JSON, "application/json")] {
        let response = server.get_with("/a/b", accept);
        assert_eq!(response.status, 403);
        assert_eq!(response.field("content-type"), Some(content_type));
        assert_has_its_body(&response, content_type);
    }
}

#[test]
fn a_password_is_asked_for_and_a_server_without_its_root_says_when_to_retry() {
    let root = temp_root();
    let users = root.path().join("users");
    std::fs::write(
        &users,
        "a:$2y$04$abcdefghijklmnopqrstuuRnm41fjkyRYz5PZ9Q1r0O7WVkVc6Ag6\n",
    )
    .expect("a file");
    let served = root.path().join("served");
    std::fs::create_dir(&served).expect("a directory");
    let option = format!(
        "--auth-file={}",
        String::from_utf8_lossy(users.as_os_str().as_bytes())
    );
    let server = Server::start_with(binary(), root, &served, &[&option]);
    let page = server.get_with("/x", BROWSER);
    assert_eq!(page.status, 401);
    let challenge = page.field("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("Basic "), "{challenge}");
    assert_has_its_body(&page, HTML_TYPE);

    let root = temp_root();
    let served = root.path().join("served");
    std::fs::create_dir(&served).expect("a directory");
    let server = Server::start_with(binary(), root, &served, &[]);
    std::fs::remove_dir(&served).expect("it is empty");
    crate::harness::wait_until("the root is gone", || {
        server.get_with("/x", BROWSER).status == 503
    });
    for (accept, content_type) in [(BROWSER, HTML_TYPE), (PROBLEM, "application/problem+json")] {
        let response = server.get_with("/x", accept);
        assert_eq!(response.field("retry-after"), Some("1"));
        assert_has_its_body(&response, content_type);
    }
}

#[test]
fn an_unknown_method_of_the_query_is_explained_in_each_form() {
    let server = Server::start_over(&[("f", b"x")], &["--method-override"]);
    for accept in ["", BROWSER, JSON] {
        let response = server.get_with("/f?method=x", accept);
        let body = String::from_utf8(response.body).expect("UTF-8");
        assert!(
            response.status == 400 && body.contains("sendfile, splice"),
            "{body}"
        );
    }
}
