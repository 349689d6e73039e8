//! What is said of the bytes of a file: media type, charset and content coding.

use crate::harness::{Server, codings, pattern};

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

#[test]
fn files_have_the_fields_of_every_glob_that_matches_them() {
    let files: [(&str, &[u8]); 4] = [
        ("index.html", b"index"),
        ("lib/a.js", b"script"),
        ("a.js", b"script"),
        ("oops.html", b"oops"),
    ];
    let options = [
        "--header=X-All: 1=2",
        "--header=*.js=X-Script: yes",
        "--header",
        "lib/**=X-Lib: a",
        "--header=lib/*.js=X-Both: c=d",
        "--header=index.html=X-Index: i",
        "--header=Server:",
        "--error-page=404=oops.html",
    ];
    let server = Server::start_over(&files, &options);
    for (target, names) in [
        ("/", &["x-all", "x-index"][..]),
        ("/a.js", &["x-all", "x-script"]),
        ("/lib/a.js", &["x-all", "x-script", "x-lib", "x-both"]),
        // The fields of files are not those of errors, redirects and listings.
        ("/none.js", &["x-all"]),
        ("/lib", &["x-all"]),
        ("/lib/", &["x-all"]),
    ] {
        let response = server.get(target);
        let has = |name: &&str| response.field(name).is_some();
        let all = ["x-all", "x-script", "x-lib", "x-both", "x-index"];
        let found: Vec<_> = all.into_iter().filter(has).collect();
        let mut expected = names.to_vec();
        expected.sort_by_key(|name| all.iter().position(|other| other == name));
        assert_eq!(found, expected, "{target}");
        assert_eq!(response.field("server"), None, "{target}");
        assert_eq!(response.field("x-all"), Some("1=2"), "{target}");
        let head = server.head_with(target, "");
        assert_eq!(head.field("x-lib"), response.field("x-lib"), "{target}");
    }
    let part = server.get_with("/lib/a.js", "Range: bytes=0-1\r\n");
    assert_eq!((part.status, part.field("x-both")), (206, Some("c=d")));
    let unchanged = server.get_with("/lib/a.js", "If-None-Match: *\r\n");
    assert_eq!(
        (unchanged.status, unchanged.field("x-both")),
        (304, Some("c=d"))
    );
}

#[test]
fn files_in_a_coding_go_out_in_it_with_the_type_of_what_they_hold() {
    let server = Server::start(&[
        "--header=*.gz=Content-Encoding: gzip",
        "--header=build/*.br=Content-Encoding: br",
        "--header=*.gz=Content-Encoding: zstd",
    ]);
    for (name, media_type, coding) in [
        ("game.wasm.gz", "application/wasm", Some("gzip")),
        ("build/game.js.br", "text/javascript", Some("br")),
        ("game.js.br", "application/x-brotli", None),
        ("game.data.gz", "application/octet-stream", Some("gzip")),
    ] {
        let body = pattern(3000, name.len() as u64);
        server.write(name, &body);
        for (sibling, coded) in [
            ("br", codings::brotli(&body)),
            ("gz", codings::gzip(&body)),
            ("zst", codings::zstd(&body)),
        ] {
            server.write(&format!("{name}.{sibling}"), &coded);
        }
        let negotiates = coding.is_none();
        for fields in ["", "Accept-Encoding: identity;q=0.1\r\n"] {
            let response = server.get_with(&format!("/{name}"), fields);
            assert_eq!((response.status, &response.body), (200, &body), "{name}");
            assert_eq!(response.field("content-type"), Some(media_type), "{name}");
            assert_eq!(response.field("content-encoding"), coding, "{name}");
            assert_eq!(response.field("vary").is_some(), negotiates, "{name}");
        }
        let accepted = server.get_with(&format!("/{name}"), "Accept-Encoding: zstd, br, gzip\r\n");
        assert_eq!(accepted.body == body, !negotiates, "{name}");
        // A 304 says nothing of a body that it has not.
        let unchanged = server.get_with(&format!("/{name}"), "If-None-Match: *\r\n");
        assert_eq!(
            (unchanged.status, unchanged.field("content-encoding")),
            (304, None)
        );
    }
    // A file beside its coding is negotiated as ever.
    server.write("app.wasm", b"plain");
    server.write("app.wasm.gz", &codings::gzip(b"plain"));
    let coded = server.get_with("/app.wasm", "Accept-Encoding: gzip\r\n");
    assert_eq!(
        (&coded.body, coded.field("vary")),
        (&codings::gzip(b"plain"), Some("Accept-Encoding"))
    );
    let plain = server.get("/app.wasm");
    assert_eq!(
        (&plain.body[..], plain.field("content-encoding")),
        (&b"plain"[..], None)
    );
}
