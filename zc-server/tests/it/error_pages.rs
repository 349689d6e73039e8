//! `--error-page`, for each error that a request can bring about.

use crate::harness::{Client, Server, temp_root};

/// What is sent, and the status that it gets.
fn requests() -> Vec<(u16, String)> {
    let get = |fields: &str| format!("GET /f HTTP/1.1\r\nHost: t\r\n{fields}\r\n");
    let chunk = "x".repeat(0x20000);
    vec![
        (400, "GET /f HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET /%zz HTTP/1.1\r\nHost: t\r\n\r\n".to_owned()),
        (404, "GET /none HTTP/1.1\r\nHost: t\r\n\r\n".to_owned()),
        (405, "DELETE /f HTTP/1.1\r\nHost: t\r\n\r\n".to_owned()),
        (406, get("Accept-Encoding: identity;q=0\r\n")),
        // Its end does not come.
        (408, "GET /f HTTP/1.1\r\nHost".to_owned()),
        (412, get("If-Match: \"other\"\r\n")),
        (
            413,
            get("Transfer-Encoding: chunked\r\n") + &format!("20000\r\n{chunk}\r\n0\r\n\r\n"),
        ),
        (414, format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000))),
        (416, get("Range: bytes=1000-\r\n")),
        (417, get("Expect: wonders\r\n")),
        (431, get(&"X: y\r\n".repeat(200))),
        (501, "BREW /f HTTP/1.1\r\nHost: t\r\n\r\n".to_owned()),
        (505, "GET /f HTTP/2.0\r\nHost: t\r\n\r\n".to_owned()),
    ]
}

fn answer(server: &Server, request: &str) -> crate::harness::Response {
    let mut client: Client = server.connect();
    client.send(request.as_bytes());
    client.response(false)
}

#[test]
fn each_error_has_its_page() {
    let pages: Vec<(String, u16)> = requests()
        .iter()
        .map(|&(code, _)| (format!("errors/{code}.html"), code))
        .collect();
    let mut options = vec!["--header-timeout".to_owned(), "1s".to_owned()];
    for (page, code) in &pages {
        if !options.iter().any(|option| option.ends_with(page)) {
            options.push(format!("--error-page={code}={page}"));
        }
    }
    let bodies: Vec<_> = pages.iter().map(|(page, _)| format!("<p>{page}")).collect();
    let mut files: Vec<(&str, &[u8])> = pages
        .iter()
        .zip(&bodies)
        .map(|((page, _), body)| (&page[..], body.as_bytes()))
        .collect();
    files.push(("f", b"a file"));
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let server = Server::start_over(&files, &options);
    // From the disk, and from the cache.
    for _ in 0..3 {
        for (code, request) in requests() {
            let response = answer(&server, &request);
            let expected = format!("<p>errors/{code}.html");
            assert_eq!(
                (response.status, String::from_utf8_lossy(&response.body)),
                (code, expected.into()),
                "{request:.60}"
            );
            assert_eq!(response.field("content-type"), Some("text/html"), "{code}");
            let range = response.field("content-range");
            assert_eq!(range, (code == 416).then_some("bytes */6"), "{code}");
            let vary = response.field("vary");
            assert_eq!(vary, (code == 406).then_some("Accept-Encoding"), "{code}");
        }
    }
}

#[test]
fn a_page_is_that_of_the_site_or_of_the_root_where_no_site_is_known() {
    let site = temp_root();
    std::fs::write(site.path().join("page"), b"of the site").expect("a file");
    std::fs::write(site.path().join("f"), b"a file").expect("a file");
    let option = format!("t={}", site.path().display());
    let mut options = vec!["--site", &option];
    options.extend(["--error-page=400=page", "--error-page=413=page"]);
    options.extend(["--error-page=412=page", "--error-page=431=page"]);
    let server = Server::start_over(&[("page", b"of the root"), ("f", b"a file")], &options);
    for (code, request) in requests() {
        let expected: &[u8] = match code {
            412 | 413 => b"of the site",
            400 if request.contains("Host") => b"of the site",
            400 | 431 => b"of the root",
            _ => continue,
        };
        let response = answer(&server, &request);
        assert_eq!(response.status, code);
        assert_eq!(response.body, expected, "{request:.60}");
    }
}

/// What is no request gets a page that is read at once, or none.
#[test]
fn a_long_page_is_sent_for_requests_alone() {
    let long = crate::harness::pattern(100_000, 8);
    let options = ["--error-page=416=page", "--error-page=431=page"];
    let server = Server::start_over(&[("page", &long), ("f", b"a file")], &options);
    for (code, request) in requests() {
        match code {
            416 => assert!(answer(&server, &request).body == long),
            431 => assert_eq!(
                answer(&server, &request).body,
                b"431 Request Header Fields Too Large\n"
            ),
            _ => {}
        }
    }
}
