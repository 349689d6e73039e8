//! What a target names: escapes are decoded, then dot segments are removed, and everything is decided
//! on the path that is left.

use std::os::unix::fs::symlink;

use crate::harness::{Server, binary, temp_root};

/// A root with what the targets below name; everything else is missing.
fn with_tree(options: &[&str]) -> Server {
    let server = Server::start(options);
    for (name, content) in [
        ("hls/list.m3u8", "../seg/1.ts"),
        ("seg/1.ts", "segment"),
        ("@sc/pkg", "package"),
        ("a b/c%2fd", "odd"),
        ("deep/er/file", "deep"),
        ("..f", "two dots"),
        (".git/config", "hidden"),
    ] {
        server.write(name, content.as_bytes());
    }
    symlink("deep/er", server.path("link")).expect("a link");
    server
}

#[test]
fn a_target_names_what_is_left_without_dot_segments() {
    let server = with_tree(&["--hidden"]);
    for (target, body) in [
        ("/hls/../seg/1.ts", "segment"),
        ("/hls/%2e%2e/seg/1.ts", "segment"),
        ("/hls/.%2E%2fseg%2F1.ts", "segment"),
        ("/./hls/.././seg/./1.ts", "segment"),
        ("/seg/../seg/../seg/1.ts", "segment"),
        ("http://t/hls/../seg/1.ts", "segment"),
        ("/hls/../seg/1.ts?a/../b", "segment"),
        // An escaped slash is a slash, and one that was escaped twice is not.
        ("/@sc%2fpkg", "package"),
        ("/@sc%2Fpkg", "package"),
        ("/%2f@sc%2f%2fpkg", "package"),
        ("/a%20b/c%252fd", "odd"),
        // Empty segments are dropped before `..` takes one.
        ("/hls//../seg/1.ts", "segment"),
        ("//hls//..//seg//1.ts", "segment"),
        // Nothing is looked up on the way: neither what is missing, nor a file, nor where a link leads.
        ("/missing/../seg/1.ts", "segment"),
        ("/seg/1.ts/../1.ts", "segment"),
        ("/link/../seg/1.ts", "segment"),
        ("/link/../deep/er/file", "deep"),
        ("/link/file", "deep"),
        // Names with dots are names.
        ("/..f", "two dots"),
        ("/hls/../..f", "two dots"),
        ("/.../../..f", "two dots"),
    ] {
        let response = server.get(target);
        assert_eq!(
            (response.status, &response.body[..]),
            (200, body.as_bytes()),
            "{target}"
        );
        let head = server.head_with(target, "");
        assert_eq!(head.status, 200, "{target}");
    }
    for target in [
        "/link/../file",
        "/deep/er/../file",
        "/a%20b/c%2fd",
        "/..%5cf",
    ] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
}

#[test]
fn dots_at_the_end_name_a_directory() {
    let server = with_tree(&[]);
    let listed = |target: &str| {
        let response = server.get_with(target, "Accept: application/json\r\n");
        assert_eq!(response.status, 200, "{target}");
        let entries: serde_json::Value = serde_json::from_slice(&response.body).expect("a listing");
        let first = entries[0]["name"].as_str().expect("a name");
        first.to_owned()
    };
    for (target, first) in [
        ("/deep/er/..", "er"),
        ("/deep/er/../", "er"),
        ("/deep/er/%2e%2e", "er"),
        ("/seg/1.ts/..", "1.ts"),
        ("/seg/.", "1.ts"),
        ("/seg%2f", "1.ts"),
        ("/link/..%2fseg/", "1.ts"),
    ] {
        assert_eq!(listed(target), first, "{target}");
    }
    for target in ["/", "/seg/..", "/seg/../", "/seg/1.ts/../..", "/%2f"] {
        assert_eq!(listed(target), "@sc", "{target}");
    }
    let redirect = server.get("/hls/../seg?x");
    assert_eq!(
        (redirect.status, redirect.field("location")),
        (301, Some("./seg/?x"))
    );
    // Only a directory can be meant.
    assert_eq!(server.get("/seg/1.ts/.").status, 404);
}

#[test]
fn a_target_that_leaves_the_root_is_a_bad_request() {
    let server = with_tree(&[]);
    for target in [
        "/..",
        "/../",
        "/../seg/1.ts",
        "/seg/../../seg/1.ts",
        "/seg/../..",
        "/seg//../../seg/1.ts",
        "/seg/./../../seg/1.ts",
        "/a/b/../../../seg/1.ts",
        "/%2e%2e/seg/1.ts",
        "/seg%2f..%2f..%2fseg/1.ts",
        "/..%2fseg/1.ts",
        "//..",
        "/link/../../seg/1.ts",
        "http://t/../seg/1.ts",
        // Neither is a NUL removed with its segment, nor an escape that is none.
        "/seg%00/../seg/1.ts",
        "/%zz/../seg/1.ts",
    ] {
        let response = server.get(target);
        assert_eq!(response.status, 400, "{target}");
        assert_eq!(response.body, b"400 Bad Request\n", "{target}");
    }
}

#[test]
fn everything_is_decided_on_the_path_that_is_left() {
    let server = with_tree(&[
        "--cache-control",
        "hls/**=no-cache",
        "--cache-control",
        "*.ts=max-age=9",
    ]);
    // Hidden names: what was removed hides nothing, what is left does.
    assert_eq!(server.get("/.git/../seg/1.ts").status, 200);
    for target in [
        "/.git/config",
        "/seg/../.git/config",
        "/seg%2f..%2f.git%2fconfig",
        "/%2egit/config",
        "/%2f.git/config",
        "/seg/..%2f%2egit/config",
    ] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    // Globs, twice: as it is found, and as it is kept.
    for _ in 0..3 {
        for target in ["/hls/../seg/1.ts", "/seg/1.ts", "/hls%2f..%2fseg%2f1.ts"] {
            let response = server.get(target);
            assert_eq!(
                response.field("cache-control"),
                Some("max-age=9"),
                "{target}"
            );
        }
        for target in ["/hls/list.m3u8", "/seg/../hls%2flist.m3u8"] {
            let response = server.get(target);
            assert_eq!(
                response.field("cache-control"),
                Some("no-cache"),
                "{target}"
            );
        }
    }
    // The name of a download.
    let download = server.get("/hls/..%2fseg%2f1.ts?download");
    assert_eq!(
        download.field("content-disposition"),
        Some("attachment; filename=\"1.ts\"")
    );
}

#[test]
fn dots_lead_to_no_other_site_and_to_nothing_beside_a_file() {
    let root = temp_root();
    for (name, content) in [("main/f", "main"), ("other/f", "other"), ("film", "film")] {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }
    let site = format!("other.example={}", root.path().join("other").display());
    let main = root.path().join("main");
    let server = Server::start_with(binary(), root, &main, &["--site", &site]);
    for (target, host, status, body) in [
        ("/x/../f", "other.example", 200, "other"),
        ("/x/../f", "t", 200, "main"),
        ("/../other/f", "t", 400, "400 Bad Request\n"),
        ("/x%2f..%2f..%2fother/f", "t", 400, "400 Bad Request\n"),
        ("http://other.example/x/../f", "t", 200, "other"),
    ] {
        let response = server.request(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(
            (response.status, &response.body[..]),
            (status, body.as_bytes()),
            "{target} of {host}"
        );
    }
    let film = server.path("film");
    let directory = temp_root();
    let single = Server::start_with(binary(), directory, &film, &[]);
    for target in ["/film", "/x/../film", "/x%2f../film", "/film/..", "/"] {
        assert_eq!(single.get(target).body, b"film", "{target}");
    }
    for (target, status) in [
        ("/main%2ff", 404),
        ("/film/../main/f", 404),
        ("/../film", 400),
    ] {
        assert_eq!(single.get(target).status, status, "{target}");
    }
}
