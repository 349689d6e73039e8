//! What is said of the bytes of a file: media type, charset and content coding.

mod harness;

use harness::{Server, pattern};

#[test]
fn a_charset_is_said_of_text_alone_and_as_configured() {
    for (options, text, page, feed) in [
        (
            &[][..],
            "text/plain; charset=utf-8",
            "text/html",
            "text/xml",
        ),
        (&["--charset=off"], "text/plain", "text/html", "text/xml"),
        (
            &["--charset", "Shift_JIS"],
            "text/plain; charset=Shift_JIS",
            "text/html; charset=Shift_JIS",
            "text/xml",
        ),
    ] {
        let server = Server::start(options);
        for (name, expected) in [("a.txt", text), ("a.html", page), ("a.xml", feed)] {
            server.write(name, b"x");
            let response = server.get(&format!("/{name}"));
            assert_eq!(
                response.field("content-type"),
                Some(expected),
                "{options:?}"
            );
        }
        // What the server writes itself is UTF-8.
        server.write("dir/x", b"x");
        for (target, expected) in [
            ("/dir/", "text/html; charset=utf-8"),
            ("/none", "text/plain; charset=utf-8"),
        ] {
            let response = server.get(target);
            assert_eq!(
                response.field("content-type"),
                Some(expected),
                "{options:?}"
            );
        }
    }
}

#[test]
fn a_configured_extension_may_have_several_parts() {
    let server = Server::start(&[
        "--mime=gz=application/x-first",
        "--mime",
        "Wasm.gz=application/wasm",
    ]);
    for (name, expected) in [
        ("game.wasm.gz", "application/wasm"),
        ("notes.gz", "application/x-first"),
        ("a.tgz", "application/gzip"),
        (".well-known/apple-app-site-association", "application/json"),
    ] {
        server.write(name, b"x");
        let response = server.get(&format!("/{name}"));
        assert_eq!(response.field("content-type"), Some(expected), "{name}");
    }
}

#[test]
fn a_compressed_picture_goes_out_in_its_coding_whatever_is_accepted() {
    let body = pattern(5000, 3);
    let server = Server::start_over(&[("pic.svgz", &body)], &["--error-page=405=pic.svgz"]);
    server.write("pic.svgz.br", b"never asked for");
    server.write("pic.svgz.gz", b"never asked for");
    for fields in [
        "",
        "Accept-Encoding: br, gzip\r\n",
        "Accept-Encoding: identity;q=0\r\n",
        "Accept-Encoding: gzip;q=0\r\n",
    ] {
        let response = server.get_with("/pic.svgz", fields);
        assert_eq!((response.status, &response.body), (200, &body), "{fields}");
        assert_eq!(response.field("content-type"), Some("image/svg+xml"));
        assert_eq!(response.field("content-encoding"), Some("gzip"), "{fields}");
        assert_eq!(response.field("vary"), None, "{fields}");
        let head = server.head_with("/pic.svgz", fields);
        assert_eq!(head.field("content-encoding"), Some("gzip"), "{fields}");
    }
    let part = server.get_with("/pic.svgz", "Range: bytes=10-19\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &body[10..20]));
    assert_eq!(part.field("content-encoding"), Some("gzip"));
    // As the page of an error, too.
    let page = server.request("POST /x HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!((page.status, &page.body), (405, &body));
    assert_eq!(page.field("content-encoding"), Some("gzip"));
}
