//! Directories: their index, their slash, and their listing.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use crate::harness::clients::Home;
use crate::harness::mounts::slow_fs;
use crate::harness::nginx::Nginx;
use crate::harness::tls::sent_by;
use crate::harness::{Server, binary, temp_root};
use zc_bench::slow_fs::{Content, Operation, Treatment};

#[test]
fn an_index_is_looked_for_by_each_of_its_names() {
    let server = Server::start(&["--index", "start.html", "--index=index.htm"]);
    server.write("a/index.htm", b"second");
    server.write("b/index.htm", b"second");
    server.write("b/start.html", b"first");
    server.write("c/index.html", b"not a name of an index here");
    assert_eq!(server.get("/a/").body, b"second");
    assert_eq!(server.get("/b/").body, b"first");
    let listed = String::from_utf8(server.get("/c/").body).expect("UTF-8");
    assert!(listed.contains("href=\"index.html\""), "{listed}");
    // A directory of that name is none.
    std::fs::create_dir_all(server.path("d/start.html")).expect("a directory");
    server.write("d/index.htm", b"second");
    assert_eq!(server.get("/d/").body, b"second");
}

#[test]
fn a_redirect_never_leads_to_another_host() {
    let server = Server::start(&[]);
    std::fs::create_dir(server.path("d")).expect("a directory");
    std::fs::create_dir(server.path("evil.example")).expect("a directory");
    for (target, location) in [
        ("/d", "./d/"),
        ("/d?a=b&c", "./d/?a=b&c"),
        ("//d", "./d/"),
        ("///d?x", "./d/?x"),
        ("//evil.example", "./evil.example/"),
        ("/.//evil.example", "./evil.example/"),
        ("http://other.example//evil.example", "./evil.example/"),
        ("/%2f%2fevil.example", "./%2F%2Fevil.example/"),
        ("/d/..//evil.example", "./evil.example/"),
        ("/d/..%2f%2fevil.example", "./..%2F%2Fevil.example/"),
        ("/d/../%5c/../d", "./d/"),
    ] {
        let response = server.get(target);
        assert_eq!(
            (response.status, response.field("location")),
            (301, Some(location)),
            "{target}"
        );
    }
    for target in ["/\\evil.example", "/%5cevil.example", "/../%2fevil.example"] {
        let response = server.get(target);
        assert!(matches!(response.status, 400 | 404), "{target}");
        assert_eq!(response.field("location"), None);
    }
}

#[test]
fn a_directory_is_listed_as_html_and_as_json() {
    let mut server = Server::start(&[]);
    server.write("dir/b.txt", b"12345");
    server.write("dir/a <b>&\"'.txt", b"1");
    server.write("dir/sub/x", b"");
    server.write("dir/.hidden", b"");
    let html = server.get("/dir/");
    assert_eq!(html.status, 200);
    assert_eq!(html.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(html.field("transfer-encoding"), Some("chunked"));
    assert_eq!(html.field("vary"), Some("Accept-Encoding, Accept"));
    assert_eq!(
        (html.field("etag"), html.field("content-length")),
        (None, None)
    );
    let page = String::from_utf8(html.body).expect("UTF-8");
    let links: Vec<_> = page
        .split("<li><a href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().expect("an end"))
        .collect();
    assert_eq!(
        links,
        ["sub/", "a%20%3Cb%3E%26%22%27.txt", "b.txt"],
        "{page}"
    );
    assert!(page.contains("<li class=\"up\"><a href=\"../\">"));
    assert!(page.contains("<p>1 folder, 2 files, 6 B</p>"), "{page}");
    // Each link leads to what it names.
    for link in &links {
        assert_eq!(server.get(&format!("/dir/{link}")).status, 200, "{link}");
    }
    let log = loop {
        let log = server.log();
        if log["target"] == "/dir/" {
            break log;
        }
    };
    assert_eq!(
        (&log["send_path"], &log["outcome"]),
        (&sent_by("memory").into(), &"complete".into())
    );

    let by_query = server.get("/dir/?format=json&sort=size&order=desc");
    let by_accept = server.get_with("/dir/", "Accept: application/json\r\n");
    for json in [&by_query, &by_accept] {
        assert_eq!(json.field("content-type"), Some("application/json"));
    }
    let names = |body: &[u8]| -> Vec<String> {
        let value: serde_json::Value = serde_json::from_slice(body).expect("JSON");
        let entries = value.as_array().expect("a list").iter();
        entries
            .map(|entry| entry["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(names(&by_query.body), ["sub", "b.txt", "a <b>&\"'.txt"]);
    assert_eq!(names(&by_accept.body), ["sub", "a <b>&\"'.txt", "b.txt"]);
    let value: serde_json::Value = serde_json::from_slice(&by_query.body).expect("JSON");
    assert_eq!(
        (&value[1]["size"], &value[1]["type"]),
        (&5.into(), &"file".into())
    );
}

#[test]
fn http_1_0_gets_a_listing_that_ends_with_the_connection() {
    let server = Server::start(&[]);
    server.write("file", b"x");
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let mut all = Vec::new();
    std::io::Read::read_to_end(&mut client, &mut all).expect("an orderly end");
    let all = String::from_utf8(all).expect("UTF-8");
    assert!(!all.contains("Transfer-Encoding"), "{all}");
    assert!(
        all.ends_with("</html>\n") && all.contains("href=\"file\""),
        "{all}"
    );
}

#[test]
fn the_listing_of_a_deep_directory_is_short_and_its_links_hold() {
    const DEPTH: usize = 1000;
    let server = Server::start(&[]);
    let path = "a/".repeat(DEPTH);
    std::fs::create_dir_all(server.path(&path)).expect("directories");
    server.write("top", b"x");
    let response = server.get(&format!("/{path}"));
    assert_eq!(response.status, 200);
    assert!(response.body.len() < 64 * 1024, "{}", response.body.len());
    let page = String::from_utf8(response.body).expect("UTF-8");
    let links: Vec<usize> = page
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|link| !link.starts_with('#'))
        .map(|link| link.matches("../").count())
        .collect();
    // To the root, to those below it, to the last ones, and to the parent.
    assert_eq!(links[..4], [1000, 999, 998, 997]);
    assert_eq!(links[4..], [7, 6, 5, 4, 3, 2, 1, 0, 1]);
}

#[test]
fn a_listing_can_be_switched_off() {
    let server = Server::start(&["--listing", "off"]);
    server.write("dir/file", b"x");
    server.write("with/index.html", b"index");
    assert_eq!(server.get("/dir/").status, 404);
    assert_eq!(server.get("/").status, 404);
    assert_eq!(server.get("/dir/file").status, 200);
    assert_eq!(server.get("/with/").body, b"index");
}

#[test]
fn a_hundred_thousand_entries_are_all_listed() {
    const COUNT: usize = 100_000;
    const NAMES: usize = 25_000;
    let server = Server::start_in_memory(&[]);
    let directory = server.path("many");
    std::fs::create_dir(&directory).expect("a directory");
    // Names of few files, which cost less than as many files; ext4 has 65,000 of one at most.
    for number in 0..COUNT {
        let name = directory.join(format!("{number:06}"));
        let first = directory.join(format!("{:06}", number / NAMES * NAMES));
        if name == first {
            std::fs::File::create(name).expect("a file");
        } else {
            std::fs::hard_link(first, name).expect("a link");
        }
    }
    let html = server.get("/many/");
    let page = String::from_utf8(html.body).expect("UTF-8");
    let names: BTreeSet<_> = page
        .split("<li><a href=\"")
        .skip(1)
        .map(|rest| &rest[..6])
        .collect();
    assert_eq!(names.len(), COUNT);
    assert!(page.contains("<p>100000 files, 0 B</p>"));
    let json = server.get("/many/?format=json");
    let value: serde_json::Value = serde_json::from_slice(&json.body).expect("JSON");
    assert_eq!(value.as_array().map(Vec::len), Some(COUNT));
    assert_eq!(
        (&value[0]["name"], &value[COUNT - 1]["name"]),
        (&"000000".into(), &"099999".into())
    );
}

#[test]
fn others_are_served_while_a_directory_is_read() {
    let root = temp_root();
    std::fs::create_dir(root.path().join("slow")).expect("a directory");
    std::fs::write(root.path().join("hot"), b"hot").expect("a file");
    let Some(mount) = slow_fs(&root.path().join("slow")) else {
        return;
    };
    mount.add("file", Content::Bytes(b"x".as_slice().into()));
    let served = root.path().to_owned();
    let server = Server::start_with(binary(), root, &served, &[]);
    mount.treat(Operation::List, Treatment::Hold);
    let mut waiting = server.connect();
    waiting.send(b"GET /slow/ HTTP/1.1\r\nHost: t\r\n\r\n");
    mount.wait_until_held(Operation::List, 1);
    for _ in 0..100 {
        assert_eq!(server.get("/hot").body, b"hot");
    }
    assert_eq!(waiting.buffered(), 0);
    mount.treat(Operation::List, Treatment::Answer);
    let page = waiting.response(false);
    assert_eq!(page.status, 200);
    assert!(String::from_utf8_lossy(&page.body).contains("href=\"file\""));
    // The same connection goes on, with what was sent behind the request as well.
    waiting.send(b"GET /slow/ HTTP/1.1\r\nHost: t\r\n\r\nGET /hot HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(waiting.response(false).status, 200);
    assert_eq!(waiting.response(false).body, b"hot");
    // A directory that cannot be read is an error of ours.
    mount.treat(Operation::List, Treatment::Fail(nix::libc::EIO));
    assert_eq!(server.get("/slow/").status, 500);
}

/// A proxy that serves the root under a prefix, and takes that off, sends on what it is given.
#[test]
fn redirects_and_links_hold_below_a_prefix() {
    let Some(home) = Home::for_clients(&["curl", "nginx"]) else {
        return;
    };
    let server = Server::start(&[]);
    server.write("a b/c/file", b"reached");
    server.write("top", b"top");
    let location = format!("location /files/ {{ proxy_pass {}; }}", server.url("/"));
    let nginx = Nginx::start(&home, &location);
    let follow = |target: &str| {
        let how = ["-sS", "-f", "-L", "-w", "\n%{url_effective}"];
        let said = home.succeed("curl", &[&how[..], &[&nginx.url(target)]].concat());
        let (page, reached) = said.rsplit_once('\n').expect("two parts");
        (page.to_owned(), reached.to_owned())
    };
    let (page, reached) = follow("/files/a%20b/c");
    assert_eq!(reached, nginx.url("/files/a%20b/c/"));
    let links: Vec<_> = page
        .split("<a href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(links, ["../../", "../", "./", "../", "file"]);
    for (link, expected) in [("../../", "top"), ("../", "c/"), ("./", "file")] {
        let (page, reached) = follow(&format!("/files/a%20b/c/{link}"));
        assert!(reached.starts_with(&nginx.url("/files/")), "{reached}");
        assert!(
            page.contains(&format!("href=\"{expected}\"")),
            "{link}: {page}"
        );
    }
}

#[test]
fn an_index_that_cannot_be_served_hides_the_listing_too() {
    let outside = temp_root();
    std::fs::write(outside.path().join("page"), b"outside").expect("a file");
    for options in [
        &[][..],
        &["--offload-cold-reads", "off"],
        &["--symlinks", "deny"],
    ] {
        let server = Server::start(options);
        server.write("outside/secret", b"x");
        server.write("nowhere/secret", b"x");
        server.write("directory/secret", b"x");
        let link = |target: &std::path::Path, name: &str| {
            symlink(target, server.path(name)).expect("a link");
        };
        link(&outside.path().join("page"), "outside/index.html");
        link("gone".as_ref(), "nowhere/index.html");
        for target in ["/outside/", "/nowhere/"] {
            let response = server.get(target);
            assert_eq!(response.status, 404, "{target} {options:?}");
            assert!(!response.body.windows(6).any(|bytes| bytes == b"secret"));
        }
        // An index that is a directory is none.
        std::fs::create_dir(server.path("directory/index.html")).expect("a directory");
        assert_eq!(server.get("/directory/").status, 200);
    }
}

/// Their lengths are 0 or made up: a response of that length would be a lie.
#[test]
fn files_that_are_interfaces_of_the_kernel_are_not_served() {
    let server = Server::start_with(
        binary(),
        temp_root(),
        std::path::Path::new("/proc/sys/kernel"),
        &[],
    );
    for target in ["/ostype", "/random/uuid"] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    let names = |target: &str| -> Vec<String> {
        let response = server.get_with(target, "Accept: application/json\r\n");
        let page: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
        let entries = page.as_array().expect("a list").iter();
        entries.map(|entry| entry["href"].to_string()).collect()
    };
    let listed = names("/");
    assert!(listed.contains(&"\"random/\"".to_owned()), "{listed:?}");
    assert!(
        listed.iter().all(|href| href.ends_with("/\"")),
        "{listed:?}"
    );
}

#[test]
fn a_listing_is_compressed_where_the_client_asks_for_it() {
    let Some(home) = Home::for_clients(&["curl"]) else {
        return;
    };
    let server = Server::start(&[]);
    for number in 0..2000 {
        server.write(&format!("dir/release-{number}.tar.gz"), b"x");
    }
    for target in ["/dir/", "/dir/?format=json"] {
        let plain = server.get(target);
        assert_eq!(plain.field("content-encoding"), None);
        for accepts in ["gzip", "deflate, gzip;q=0.5, br"] {
            let field = format!("Accept-Encoding: {accepts}\r\n");
            let packed = server.get_with(target, &field);
            assert_eq!(packed.field("content-encoding"), Some("gzip"));
            assert_eq!(packed.field("vary"), Some("Accept-Encoding, Accept"));
            assert!(packed.body.len() * 5 < plain.body.len(), "{target}");
            let head = server.request(&format!("HEAD {target} HTTP/1.1\r\nHost: t\r\n{field}\r\n"));
            assert_eq!(head.field("content-encoding"), Some("gzip"));
        }
        let url = server.url(target);
        let read = home.run("curl", &["-s", "-f", "--compressed", &url]);
        assert!(
            read.status.success() && read.stdout == plain.body,
            "{target}"
        );
        for accepts in ["identity", "br, zstd", "gzip;q=0"] {
            let field = format!("Accept-Encoding: {accepts}\r\n");
            let same = server.get_with(target, &field);
            assert_eq!(same.field("content-encoding"), None, "{accepts}");
            assert!(same.body == plain.body, "{accepts}");
        }
    }
}

#[test]
fn a_chosen_order_is_kept_from_directory_to_directory() {
    let server = Server::start(&[]);
    server.write("dir/sub/file", b"x");
    let links = |target: &str| -> Vec<String> {
        let page = String::from_utf8(server.get(target).body).expect("UTF-8");
        let links = page.split("href=\"").skip(1);
        let links = links.map(|rest| rest.split('"').next().expect("an end"));
        let of_entries = links.filter(|link| !link.starts_with('#'));
        of_entries.map(|link| link.replace("&amp;", "&")).collect()
    };
    assert_eq!(links("/dir/"), ["../", "./", "../", "sub/"]);
    let chosen = "?sort=time&order=desc";
    let with = |link: &str| format!("{link}{chosen}");
    let expected = ["../", "./", "../", "sub/"].map(with);
    assert_eq!(links(&format!("/dir/{chosen}")), expected);
    let inner = links(&format!("/dir/sub/{chosen}"));
    assert_eq!(inner.last().map(String::as_str), Some("file"));
}
