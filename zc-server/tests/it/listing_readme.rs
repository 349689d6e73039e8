//! `--listing-readme`: a listing shows what its directory says of itself, and nothing of it runs.

use crate::harness::mounts::slow_fs;
use crate::harness::own_page::{allowed_by_its_policy, contents, links};
use crate::harness::{Server, binary, pattern, temp_root};
use zc_bench::slow_fs::Content;

const ON: [&str; 2] = ["--listing-readme", "on"];

/// What stands below the entries of a listing.
fn shown(server: &Server, path: &str) -> Option<String> {
    let page = allowed_by_its_policy(&server.get(path));
    let (entries, below) = page.split_once("</main>").expect("entries");
    assert!(!entries.contains("<section"), "{page}");
    let (_, readme) = below.split_once("<section class=\"readme\" aria-label=\"README\">\n")?;
    let (readme, end) = readme.split_once("</section>\n").expect("an end");
    assert!(end.ends_with("</body>\n</html>\n"), "{end}");
    Some(readme.to_owned())
}

#[test]
fn the_readme_of_a_directory_stands_below_its_entries() {
    let server = Server::start(&ON);
    server.write("a/README.md", b"# Title\n\nSee [b](../b/).\n");
    server.write("b/readme.MD", b"of b");
    server.write("c/HEADER.html", b"<p onclick=x>of <b>c</b>");
    server.write("d/README.md", b"first");
    server.write("d/HEADER.html", b"second");
    server.write("e/file", b"x");
    server.write("f/.README.md", b"hidden");
    let long = pattern(256 * 1024 + 1, 1);
    server.write("g/README.md", &long);
    std::fs::create_dir_all(server.path("h/README.md")).expect("a directory");
    std::os::unix::fs::symlink("/etc/passwd", server.path("e/README.md")).expect("a link");
    std::os::unix::fs::symlink("../b/readme.MD", server.path("f/readme.md")).expect("a link");
    let title = "<h1>Title</h1>\n<p>See <a href=\"..&#x2F;b&#x2F;\">b</a>.</p>\n";
    for (path, expected) in [
        ("/a/", Some(title)),
        ("/b/", Some("<p>of b</p>\n")),
        ("/c/", Some("<p>of <b>c</b></p>\n")),
        ("/d/", Some("<p>first</p>\n")),
        // It leads out of the root.
        ("/e/", None),
        ("/f/", Some("<p>of b</p>\n")),
        ("/g/", None),
        ("/h/", None),
        ("/", None),
    ] {
        assert_eq!(shown(&server, path).as_deref(), expected, "{path}");
    }
    let json = server.get_with("/a/", "Accept: application/json\r\n");
    let entries: serde_json::Value = serde_json::from_slice(&json.body).expect("JSON");
    assert_eq!(entries.as_array().expect("an array").len(), 1);
    // The file itself is served as it is.
    assert_eq!(server.get("/b/readme.MD").body, b"of b");
}

#[test]
fn nothing_of_a_readme_runs() {
    let server = Server::start(&ON);
    let hostile = "<script>alert(1)</script> <img src=x onerror=alert(1)>\n\
                   <iframe src=//evil.example></iframe> <a href='javascript:alert(1)'>x</a> <style>*{}</style>\n\
                   </section></body><form action=x><input></form> <svg onload=alert(1)> <base href=//evil.example>\n\
                   <meta http-equiv=refresh content=0> <b onclick=alert(1)>y</b> \u{0} &lt;script&gt;\n\n\
                   [l](javascript:alert(1)) ![i](https://evil.example/i.png)\n";
    server.write("markdown/README.md", hostile.as_bytes());
    server.write("html/HEADER.html", hostile.as_bytes());
    for path in ["/markdown/", "/html/"] {
        let readme = shown(&server, path).expect("a README");
        // A picture of the server itself, without its script.
        let allowed = ["p", "/p", "b", "/b", "img src=\"x\" alt=\"\""];
        for tag in readme.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("an end");
            assert!(allowed.contains(&tag), "{path}: <{tag}>");
        }
        let page = String::from_utf8(server.get(path).body).expect("UTF-8");
        assert_eq!(contents(&page, "script").len(), 1, "{page}");
        assert!(links(&page).iter().all(|link| !link.contains("script:")));
    }
}

#[test]
fn a_readme_is_off_unless_it_is_asked_for_also_by_site() {
    let root = temp_root();
    for site in ["one", "two"] {
        std::fs::create_dir(root.path().join(site)).expect("a directory");
        std::fs::write(root.path().join(site).join("README.md"), "text").expect("a file");
    }
    let lines = "root = \"one\"\n[[site]]\nhost = \"two\"\nroot = \"two\"\nlisting-readme = true\n";
    std::fs::write(root.path().join("zc.toml"), lines).expect("a file");
    let mut command = binary();
    command.current_dir(root.path());
    command.args(["--config", "zc.toml", "--bind", "127.0.0.1:0"]);
    let mut server = Server::start_from(command, root);
    let has_one = |server: &Server, host: &str| {
        let page = server.request(&format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ));
        String::from_utf8(page.body)
            .expect("UTF-8")
            .contains("<section")
    };
    assert_eq!(
        [has_one(&server, "one"), has_one(&server, "two")],
        [false, true]
    );
    let lines = format!(
        "listing-readme = \"on\"\n{}",
        lines.replace("true", "false")
    );
    std::fs::write(server.path("zc.toml"), lines).expect("a file");
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.said_with("the configuration was read again");
    assert_eq!(
        [has_one(&server, "one"), has_one(&server, "two")],
        [true, false]
    );
}

/// In pieces, as a socket takes them.
#[test]
fn a_long_readme_arrives_whole() {
    let server = Server::start(&ON);
    let line = "A line of *some* length that stands there again and again.\n\n";
    let text = line.repeat(200 * 1024 / line.len());
    server.write("README.md", text.as_bytes());
    let readme = shown(&server, "/").expect("a README");
    let expected = "<p>A line of <em>some</em> length that stands there again and again.</p>\n";
    assert_eq!(readme, expected.repeat(200 * 1024 / line.len()));
}

#[test]
fn a_readme_on_another_mount_is_read_by_a_thread() {
    let root = temp_root();
    let point = root.path().join("slow");
    std::fs::create_dir(&point).expect("a directory");
    let Some(mount) = slow_fs(&point) else {
        return;
    };
    mount.add("README.md", Content::Bytes(b"from afar"[..].into()));
    let served = root.path().to_owned();
    let server = Server::start_with(binary(), root, &served, &ON);
    assert_eq!(
        shown(&server, "/slow/").as_deref(),
        Some("<p>from afar</p>\n")
    );
}
