//! What sites need: fields, pages for errors, programs in the browser, other hosts, hidden names and
//! symbolic links.

use std::os::unix::fs::symlink;

use crate::harness::tls::sent_by;
use crate::harness::{Server, binary, temp_root};

#[test]
fn options_are_told_for_any_target() {
    let server = Server::start(&[]);
    for target in ["/any", "*", "/"] {
        let response = server.request(&format!("OPTIONS {target} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!(response.status, 204, "{target}");
        assert_eq!(response.field("allow"), Some("GET, HEAD, OPTIONS"));
        assert_eq!(response.field("content-length"), None);
        assert_eq!(response.field("access-control-allow-origin"), None);
    }
}

#[test]
fn an_unknown_expectation_fails() {
    let server = Server::start(&[]);
    server.write("f", b"x");
    assert_eq!(
        server.get_with("/f", "Expect: 100-continue\r\n").status,
        200
    );
    assert_eq!(server.get_with("/f", "Expect: magic\r\n").status, 417);
    // HTTP/1.0 knows no expectations.
    let old = server.request("GET /f HTTP/1.0\r\nExpect: magic\r\n\r\n");
    assert_eq!(old.status, 200);
}

#[test]
fn routes_of_a_program_in_the_browser_get_its_page() {
    let files: [(&str, &[u8]); 1] = [("index.html", b"app")];
    let server = Server::start_over(&files, &["--spa", "--listing", "off"]);
    server.write("app.js", b"script");
    for target in [
        "/",
        "/users/7",
        "/users/",
        "/deep/er/v1.2/route",
        "/index.html",
    ] {
        let response = server.get(target);
        assert_eq!(
            (response.status, &response.body[..]),
            (200, &b"app"[..]),
            "{target}"
        );
        assert_eq!(response.field("content-type"), Some("text/html"));
    }
    assert_eq!(server.get("/app.js").body, b"script");
    for target in ["/missing.js", "/users/photo.png", "/.env"] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    let files: [(&str, &[u8]); 1] = [("app/shell.html", b"shell")];
    let named = Server::start_over(&files, &["--spa=app/shell.html"]);
    assert_eq!(named.get("/route").body, b"shell");
}

/// What a browser says where it navigates, where a page loads a script or a picture, and where a script
/// fetches data.
#[test]
fn who_navigates_is_on_a_route_whatever_its_name() {
    const NAVIGATES: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page: (&str, &[u8]) = ("index.html", b"app");
    let server = Server::start_over(&[page], &["--spa", "--cache-ttl", "10s"]);
    server.write("app.js", b"script");
    for _ in 0..3 {
        for (target, accept, status) in [
            ("/users/john.doe", NAVIGATES, 200),
            ("/pkg/vue@3.4.1", NAVIGATES, 200),
            ("/v1.2", NAVIGATES, 200),
            ("/v1.2", "*/*", 404),
            ("/missing.js", "*/*", 404),
            ("/photo.png", "image/avif,image/webp,*/*;q=0.8", 404),
            ("/users/7", "*/*", 200),
            ("/api/users", "application/json", 404),
            ("/users/7", "text/html;q=0, */*", 404),
        ] {
            let response = server.get_with(target, &format!("Accept: {accept}\r\n"));
            assert_eq!(response.status, status, "{target} for {accept}");
            let vary = response
                .field("vary")
                .expect("another client is answered otherwise");
            assert!(vary.split(", ").any(|name| name == "Accept"), "{vary}");
            assert_eq!(response.body == b"app", status == 200);
        }
        // What is there is the same for all.
        let script = server.get_with("/app.js", &format!("Accept: {NAVIGATES}\r\n"));
        assert_eq!((script.status, &script.body[..]), (200, &b"script"[..]));
        assert_eq!(script.field("vary"), Some("Accept-Encoding"));
    }
}

#[test]
fn errors_have_their_pages_and_keep_their_status() {
    let page = crate::harness::pattern(200_000, 9);
    let files: [(&str, &[u8]); 3] = [
        ("errors/404.html", &page),
        ("errors/405.txt", b"not so"),
        ("errors/400.html", b"gone soon"),
    ];
    let mut server = Server::start_over(
        &files,
        &[
            "--error-page",
            "404=errors/404.html",
            "--error-page=405=errors/405.txt",
            "--error-page=400=errors/400.html",
        ],
    );
    std::fs::remove_file(server.path("errors/400.html")).expect("a file");
    let response = server.get("/none");
    assert_eq!(response.status, 404);
    assert_eq!(response.field("content-type"), Some("text/html"));
    assert!(response.body == page);
    assert_eq!(
        (response.field("etag"), response.field("accept-ranges")),
        (None, None)
    );
    let log = server.log();
    assert_eq!(
        (&log["send_path"], &log["status"]),
        (&sent_by("sendfile").into(), &404.into())
    );
    let range = server.get_with("/none", "Range: bytes=0-1\r\nIf-None-Match: *\r\n");
    assert_eq!((range.status, range.body.len()), (404, page.len()));
    let post = server.request("POST / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!((post.status, &post.body[..]), (405, &b"not so"[..]));
    assert_eq!(post.field("allow"), Some("GET, HEAD, OPTIONS"));
    // A page that is not there any more leaves the error as it is.
    let bad = server.get("/%zz");
    assert_eq!(
        (bad.status, &bad.body[..]),
        (400, &b"400 Bad Request\n"[..])
    );
}

#[test]
fn fields_of_the_configuration_stand_where_they_belong() {
    let server = Server::start(&[
        "--header",
        "X-Frame-Options: DENY",
        "--header=Server: other",
        "--cache-control",
        "*.js=public, max-age=3600",
        "--cache-control=assets/**=immutable",
        "--cache-control=**=no-cache",
    ]);
    server.write("app.js", b"x");
    server.write("assets/app.css", b"x");
    server.write("deep/er/lib.js", b"x");
    server.write("page.html", b"x");
    for (target, cache_control) in [
        ("/app.js", Some("public, max-age=3600")),
        ("/deep/er/lib.js", Some("public, max-age=3600")),
        ("/assets/app.css", Some("immutable")),
        ("/page.html", Some("no-cache")),
        ("/none", None),
    ] {
        let response = server.get(target);
        assert_eq!(response.field("cache-control"), cache_control, "{target}");
        assert_eq!(response.field("x-frame-options"), Some("DENY"), "{target}");
        assert_eq!(response.field("server"), Some("other"), "{target}");
        assert!(response.field("date").is_some());
    }
    let unchanged = server.get_with("/app.js", "If-None-Match: *\r\n");
    assert_eq!(unchanged.status, 304);
    assert_eq!(
        unchanged.field("cache-control"),
        Some("public, max-age=3600")
    );
    assert_eq!(unchanged.field("vary"), Some("Accept-Encoding"));
    assert!(unchanged.field("etag").is_some());
}

#[test]
fn other_origins_are_granted_what_the_configuration_says() {
    let any = Server::start(&["--cors"]);
    any.write("f", b"x");
    for target in ["/f", "/none"] {
        let response = any.get_with(target, "Origin: https://a.b\r\n");
        assert_eq!(
            response.field("access-control-allow-origin"),
            Some("*"),
            "{target}"
        );
        let exposed = response
            .field("access-control-expose-headers")
            .expect("names");
        assert!(exposed.contains("Content-Range"), "{exposed}");
    }
    let one = Server::start(&["--cors=https://a.b"]);
    one.write("f", b"x");
    for (fields, origin) in [
        ("Origin: https://a.b\r\n", Some("https://a.b")),
        ("Origin: https://x.y\r\n", None),
        ("", None),
    ] {
        let response = one.get_with("/f", fields);
        assert_eq!(
            response.field("access-control-allow-origin"),
            origin,
            "{fields}"
        );
        assert_eq!(
            response.field("vary"),
            Some("Accept-Encoding, Origin"),
            "{fields}"
        );
    }
    let preflight = |origin: &str| {
        one.request(&format!(
            "OPTIONS /f HTTP/1.1\r\nHost: t\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: GET\r\n\
             Access-Control-Request-Headers: range\r\n\r\n"
        ))
    };
    let granted = preflight("https://a.b");
    assert_eq!(granted.status, 204);
    assert_eq!(
        granted.field("access-control-allow-origin"),
        Some("https://a.b")
    );
    assert_eq!(
        granted.field("access-control-allow-methods"),
        Some("GET, HEAD, OPTIONS")
    );
    let fields = granted
        .field("access-control-allow-headers")
        .expect("names");
    for name in [
        "Range",
        "If-Range",
        "If-None-Match",
        "If-Modified-Since",
        "If-Match",
    ] {
        assert!(
            fields.split(", ").any(|field| field == name),
            "{name}: {fields}"
        );
    }
    for name in [
        "Content-Type",
        "Authorization",
        "X-Requested-With",
        "Pragma",
        "Cache-Control",
    ] {
        assert!(
            fields.split(", ").any(|field| field == name),
            "{name}: {fields}"
        );
    }
    let refused = preflight("https://x.y");
    assert_eq!(refused.field("access-control-allow-origin"), None);
    assert_eq!(refused.field("access-control-allow-methods"), None);
}

#[test]
fn the_fields_that_other_origins_may_send_are_configured() {
    let server = Server::start(&[
        "--cors",
        "--cors-headers=X-A,x-b",
        "--cors-headers",
        "Range",
    ]);
    let preflight = server.request(
        "OPTIONS /f HTTP/1.1\r\nHost: t\r\nOrigin: https://a.b\r\n\
         Access-Control-Request-Method: GET\r\n\r\n",
    );
    let fields = preflight.field("access-control-allow-headers");
    assert_eq!(fields, Some("X-A, x-b, Range"));
}

#[test]
fn a_download_is_of_a_file_by_its_own_path() {
    let files: [(&str, &[u8]); 4] = [
        ("index.html", b"app"),
        ("dir/index.html", b"index"),
        ("film.mkv", b"film"),
        ("film.mkv.gz", b"coded"),
    ];
    let server = Server::start_over(&files, &["--spa"]);
    let off = Server::start_over(&files, &["--spa", "--download-query", "off"]);
    for (target, name) in [
        ("/film.mkv?download", Some("film.mkv")),
        ("/film.mkv?download=1&x", Some("film.mkv")),
        ("/dir/index.html?download", Some("index.html")),
        ("/film.mkv", None),
        ("/?download", None),
        ("/dir/?download", None),
        ("/a/route?download", None),
    ] {
        let expected = name.map(|name| format!("attachment; filename=\"{name}\""));
        // The second time it comes out of the cache.
        for fields in ["", "", "Accept-Encoding: gzip\r\n", "Range: bytes=0-1\r\n"] {
            let response = server.get_with(target, fields);
            assert!([200, 206].contains(&response.status), "{target}");
            let disposition = response.field("content-disposition");
            assert_eq!(disposition, expected.as_deref(), "{target} {fields}");
            let response = off.get_with(target, fields);
            assert_eq!(
                response.field("content-disposition"),
                None,
                "{target} {fields}"
            );
        }
    }
    // A file as root is that file by either path.
    let root = temp_root();
    std::fs::write(root.path().join("film.mkv"), b"film").expect("a file");
    let served = root.path().join("film.mkv");
    let single = Server::start_with(binary(), root, &served, &[]);
    for target in ["/?download", "/film.mkv?download"] {
        let disposition = single
            .get(target)
            .field("content-disposition")
            .map(str::to_owned);
        assert_eq!(
            disposition.as_deref(),
            Some("attachment; filename=\"film.mkv\""),
            "{target}"
        );
    }
}

#[test]
fn a_download_and_the_types_of_files() {
    let server = Server::start(&["--mime", "log=text/x-log", "--default-type", "text/plain"]);
    server.write("a b.mkv", b"x");
    server.write("x.log", b"x");
    server.write("README", b"x");
    let film = server.get("/a%20b.mkv?download");
    assert_eq!(film.field("content-type"), Some("video/x-matroska"));
    let disposition = film.field("content-disposition");
    assert_eq!(disposition, Some("attachment; filename=\"a b.mkv\""));
    assert_eq!(server.get("/a%20b.mkv").field("content-disposition"), None);
    assert_eq!(
        server.get("/x.log").field("content-type"),
        Some("text/x-log")
    );
    assert_eq!(
        server.get("/README").field("content-type"),
        Some("text/plain")
    );
}

#[test]
fn each_host_has_its_root() {
    let root = temp_root();
    for (name, text) in [("main", "main"), ("one", "one"), ("two", "two")] {
        let directory = root.path().join(name);
        std::fs::create_dir(&directory).expect("a directory");
        std::fs::write(directory.join("f"), text).expect("a file");
    }
    let site = |host: &str, name: &str| format!("{host}={}", root.path().join(name).display());
    let (one, two) = (site("One.example", "one"), site("[::1]", "two"));
    let served = root.path().join("main");
    let server = Server::start_with(binary(), root, &served, &["--site", &one, "--site", &two]);
    for (target, host, body) in [
        ("/f", "one.example", "one"),
        ("/f", "ONE.EXAMPLE:8080", "one"),
        ("/f", "one.example.", "one"),
        ("/f", "[::1]:80", "two"),
        ("/f", "other.example", "main"),
        ("/f", "sub.one.example", "main"),
        ("/f", "", "main"),
        // The authority of the target stands in for the field.
        ("http://one.example/f", "other.example", "one"),
        ("http://other.example/f", "one.example", "main"),
    ] {
        let response = server.request(&format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!(response.body, body.as_bytes(), "{target} of {host}");
    }
    // Nothing of one is reachable from another.
    let escape = server.request("GET /../one/f HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(escape.status, 400);
}

#[test]
fn dots_hide_unless_they_may_be_seen() {
    let names = [".env", ".git/config", "a/.x", ".well-known/acme/t", "a/..x"];
    let server = Server::start(&[]);
    let open = Server::start(&["--hidden"]);
    for name in names {
        server.write(name, b"x");
        open.write(name, b"x");
    }
    for name in names {
        let target = format!("/{name}");
        let expected = if name.starts_with(".well-known") {
            200
        } else {
            404
        };
        assert_eq!(server.get(&target).status, expected, "{name}");
        assert_eq!(open.get(&target).status, 200, "{name}");
    }
    assert_eq!(server.get("/%2egit/config").status, 404);
    let listed = String::from_utf8(open.get("/").body).expect("UTF-8");
    assert!(listed.contains("href=\".env\""), "{listed}");
}

/// A root with links of every kind.
fn with_links(options: &[&str]) -> Server {
    let root = temp_root();
    let inside = root.path().join("root");
    std::fs::create_dir_all(inside.join("dir")).expect("a directory");
    std::fs::create_dir(root.path().join("outside")).expect("a directory");
    std::fs::write(root.path().join("outside/secret"), b"secret").expect("a file");
    std::fs::write(inside.join("dir/file"), b"inside").expect("a file");
    let absolute = inside.join("dir");
    for (target, name) in [
        ("dir/file".into(), "relative"),
        (absolute.join("file"), "absolute"),
        (absolute, "directory"),
        ("../root/dir/file".into(), "around"),
        (root.path().join("outside/secret"), "escape"),
        ("../outside/secret".into(), "up"),
        (root.path().join("outside"), "out"),
        ("nowhere".into(), "dangling"),
        ("loop".into(), "loop"),
        ("/proc/self/environ".into(), "magic"),
    ] {
        symlink(target, inside.join(name)).expect("a link");
    }
    symlink(root.path().join("outside"), inside.join("dir/out")).expect("a link");
    symlink("../directory/file", inside.join("dir/chain")).expect("a link");
    Server::start_with(binary(), root, &inside, options)
}

#[test]
fn links_within_the_root_are_followed_and_others_are_not_there() {
    let server = with_links(&[]);
    for name in [
        "relative",
        "absolute",
        "directory/file",
        "around",
        "dir/chain",
    ] {
        let response = server.get(&format!("/{name}"));
        assert_eq!(
            (response.status, &response.body[..]),
            (200, &b"inside"[..]),
            "{name}"
        );
    }
    assert_eq!(
        server.get("/directory").field("location"),
        Some("./directory/")
    );
    assert_eq!(server.get("/directory/").status, 200);
    let missing = server.get("/nothing");
    for name in [
        "escape",
        "up",
        "out/secret",
        "dir/out/secret",
        "dangling",
        "loop",
        "magic",
        "out",
    ] {
        let response = server.get(&format!("/{name}"));
        assert_eq!(
            (response.status, &response.body),
            (404, &missing.body),
            "{name}"
        );
    }
}

#[test]
fn links_can_be_denied_or_followed_anywhere() {
    let denied = with_links(&["--symlinks", "deny"]);
    for name in ["relative", "absolute", "directory/file", "escape"] {
        assert_eq!(denied.get(&format!("/{name}")).status, 404, "{name}");
    }
    assert_eq!(denied.get("/dir/file").status, 200);
    let followed = with_links(&["--symlinks", "follow"]);
    for (name, body) in [
        ("absolute", "inside"),
        ("escape", "secret"),
        ("out/secret", "secret"),
    ] {
        assert_eq!(
            followed.get(&format!("/{name}")).body,
            body.as_bytes(),
            "{name}"
        );
    }
    assert_eq!(followed.get("/loop").status, 404);
}
