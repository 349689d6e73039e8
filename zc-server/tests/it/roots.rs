//! What the path of a root comes to name is served: a link that is replaced, a directory that is made
//! anew, a file that is replaced, a filesystem that is mounted. And what it named before is let go.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::harness::{HANG, Response, Server, binary, binary_in, codings, temp_root, wait_until};

/// What a path named is believed for so long, where a test does not hold the default.
const QUICK: [&str; 2] = ["--cache-ttl", "50ms"];

/// A tree that was not written in this second, so that all of it may be kept.
fn write_tree(directory: &Path, files: &[(&str, &[u8])]) {
    std::fs::create_dir_all(directory).expect("a directory");
    for (name, bytes) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().expect("below it")).expect("a directory");
        std::fs::write(&path, bytes).expect("a file");
        let file = std::fs::File::options().write(true).open(&path);
        let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        file.and_then(|file| file.set_modified(hour_ago))
            .expect("a time");
    }
}

/// Replaces the link `name` in `directory` by one to `target`, in one step.
fn flip(directory: &Path, name: &str, target: &str) {
    symlink(target, directory.join("next")).expect("a link");
    std::fs::rename(directory.join("next"), directory.join(name)).expect("a rename");
}

fn served(name: &str, options: &[&str], make: impl FnOnce(&Path)) -> Server {
    let root = temp_root();
    make(root.path());
    let path = root.path().join(name);
    Server::start_with(binary(), root, &path, options)
}

fn wait_until_served(server: &Server, target: &str, expected: &[u8]) {
    wait_until("the new root is served", || {
        let response = server.get(target);
        response.status == 200 && response.body == expected
    });
}

#[test]
fn a_link_that_is_replaced_is_followed() {
    let server = served("root", &[], |directory| {
        write_tree(&directory.join("r0"), &[("f", b"old")]);
        write_tree(&directory.join("r1"), &[("f", b"new")]);
        symlink("r0", directory.join("root")).expect("a link");
    });
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/f").body, b"old");
    }
    flip(server.root.path(), "root", "r1");
    wait_until("the connection sees it", || client.get("/f").body == b"new");
    // What it named before is let go, though nobody asks for anything any more.
    wait_until("the old directory is closed", || {
        let old = server.root.path().join("r0");
        let mut open = server.descriptor_paths().into_iter();
        !open.any(|fd| std::fs::read_link(fd).is_ok_and(|path| path.starts_with(&old)))
    });
}

#[test]
fn without_a_time_to_live_the_very_next_request_sees_it() {
    let server = served("root", &["--cache-ttl", "0"], |directory| {
        write_tree(&directory.join("r0"), &[("f", b"old")]);
        write_tree(&directory.join("r1"), &[("f", b"new")]);
        symlink("r0", directory.join("root")).expect("a link");
    });
    let mut client = server.connect();
    for _ in 0..50 {
        assert_eq!(client.get("/f").body, b"old");
        flip(server.root.path(), "root", "r1");
        assert_eq!(client.get("/f").body, b"new");
        flip(server.root.path(), "root", "r0");
    }
}

#[test]
fn a_directory_that_is_made_anew_is_served() {
    let server = served("dist", &QUICK, |directory| {
        write_tree(&directory.join("dist"), &[("index.html", b"OLD")]);
    });
    assert_eq!(server.get("/").body, b"OLD");
    let dist = server.path("dist");
    for _ in 0..5 {
        // The new directory is given the inode number of the old one wherever that is free.
        std::fs::remove_dir_all(&dist).expect("it is removed");
        write_tree(&dist, &[("index.html", b"NEW")]);
        wait_until_served(&server, "/", b"NEW");
        std::fs::remove_dir_all(&dist).expect("it is removed");
        write_tree(&dist, &[("index.html", b"OLD")]);
        wait_until_served(&server, "/", b"OLD");
    }
}

#[test]
fn a_file_in_a_directory_that_is_made_anew_is_served() {
    let server = served("d/film.mkv", &QUICK, |directory| {
        write_tree(&directory.join("d"), &[("film.mkv", b"old")]);
    });
    for target in ["/", "/film.mkv"] {
        assert_eq!(server.get(target).body, b"old");
    }
    std::fs::remove_dir_all(server.path("d")).expect("it is removed");
    write_tree(&server.path("d"), &[("film.mkv", b"new")]);
    for target in ["/", "/film.mkv"] {
        wait_until_served(&server, target, b"new");
    }
}

#[test]
fn a_file_behind_a_link_is_known_by_both_names() {
    let server = served("latest.iso", &QUICK, |directory| {
        write_tree(directory, &[("v1.iso", b"one"), ("v2.iso", b"two")]);
        symlink("v1.iso", directory.join("latest.iso")).expect("a link");
    });
    for target in ["/", "/latest.iso", "/v1.iso"] {
        assert_eq!(server.get(target).body, b"one", "{target}");
    }
    assert_eq!(server.get("/v2.iso").status, 404);
    flip(server.root.path(), "latest.iso", "v2.iso");
    for target in ["/latest.iso", "/", "/v2.iso"] {
        wait_until_served(&server, target, b"two");
    }
    assert_eq!(server.get("/v1.iso").status, 404);
}

#[test]
fn the_directory_of_a_site_is_followed_as_well() {
    let root = temp_root();
    write_tree(&root.path().join("main"), &[("f", b"main")]);
    write_tree(&root.path().join("s0"), &[("f", b"old")]);
    write_tree(&root.path().join("s1"), &[("f", b"new")]);
    symlink("s0", root.path().join("site")).expect("a link");
    let site = format!("a.example={}", root.path().join("site").display());
    let main = root.path().join("main");
    let server = Server::start_with(
        binary(),
        root,
        &main,
        &[&QUICK[..], &["--site", &site]].concat(),
    );
    let of_site = || {
        let request = "GET /f HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
        server.request(request).body
    };
    assert_eq!(of_site(), b"old");
    assert_eq!(server.get("/f").body, b"main");
    flip(server.root.path(), "site", "s1");
    wait_until("the site is the new one", || of_site() == b"new");
    assert_eq!(server.get("/f").body, b"main");
}

#[test]
fn the_current_directory_is_the_one_of_its_path() {
    // `.` is where the shell went, by the name that it has: a directory that took that name, or what a
    // link of that name leads to by now.
    for is_link in [false, true] {
        let root = temp_root();
        write_tree(&root.path().join("r0"), &[("f", b"old")]);
        write_tree(&root.path().join("r1"), &[("f", b"new")]);
        let here = root.path().join("here");
        if is_link {
            symlink("r0", &here).expect("a link");
        } else {
            std::fs::rename(root.path().join("r0"), &here).expect("a rename");
        }
        let mut command = binary();
        command.current_dir(&here).env("PWD", &here);
        let server = Server::start_with(command, root, Path::new("."), &QUICK);
        assert_eq!(server.get("/f").body, b"old");
        if is_link {
            flip(server.root.path(), "here", "r1");
        } else {
            std::fs::rename(&here, server.path("aside")).expect("a rename");
            std::fs::rename(server.path("r1"), &here).expect("a rename");
        }
        wait_until_served(&server, "/f", b"new");
    }
}

#[test]
fn a_root_that_is_gone_is_503_until_it_is_back() {
    let options = ["--error-page", "404=404.html", "--cache-ttl", "50ms"];
    let mut server = served("dist", &options, |directory| {
        let files: [(&str, &[u8]); 2] = [("f", b"here"), ("404.html", b"none")];
        write_tree(&directory.join("dist"), &files);
    });
    // The end of the server waits for whoever reads the log.
    let _log = server.follow_log();
    assert_eq!(server.get("/f").body, b"here");
    std::fs::rename(server.path("dist"), server.path("aside")).expect("a rename");
    wait_until("it is gone", || server.get("/f").status == 503);
    let response = server.get("/other");
    assert_eq!(response.status, 503);
    assert_eq!(response.field("retry-after"), Some("1"));
    assert_eq!(
        server
            .request("DELETE / HTTP/1.1\r\nHost: t\r\n\r\n")
            .status,
        405
    );
    std::fs::rename(server.path("aside"), server.path("dist")).expect("a rename");
    wait_until_served(&server, "/f", b"here");
    let path = server.path("dist").display().to_string();
    server.signal(Signal::SIGTERM);
    let (_, said) = server.wait();
    let lines = |end: &str| said.lines().filter(|line| line.ends_with(end)).count();
    assert_eq!(lines("requests are answered with 503"), 1, "{said}");
    assert_eq!(
        lines(&format!("root `{path}` can be opened again")),
        1,
        "{said}"
    );
}

#[test]
fn the_warning_about_a_root_is_one_line_whatever_its_name() {
    let server = served("two\nlines", &["--cache-ttl", "0"], |directory| {
        write_tree(&directory.join("two\nlines"), &[("f", b"found")]);
    });
    assert_eq!(server.get("/f").body, b"found");
    std::fs::remove_dir_all(server.path("two\nlines")).expect("a directory");
    assert_eq!(server.get("/f").status, 503);
    let root = server.root.path().display().to_string();
    server.signal(Signal::SIGTERM);
    let (_, said) = server.wait();
    let warning = format!("zc-server: root `{root}/two\\nlines` cannot be opened: ");
    let is_warning = |line: &str| {
        line.starts_with(&warning) && line.ends_with("; requests are answered with 503")
    };
    assert_eq!(
        said.lines().filter(|line| is_warning(line)).count(),
        1,
        "{said}"
    );
}

/// Every answer to one request is from one of the two trees, whatever is looked at for it: the index,
/// its sidecars, a page for an error.
#[test]
fn no_request_is_answered_from_half_of_each() {
    let tree = |version: &str| {
        let page = format!("page of {version}, {}", version.repeat(100));
        let gzip = codings::gzip(page.as_bytes());
        let missing = format!("missing in {version}");
        (page.into_bytes(), gzip, missing.into_bytes())
    };
    let (old, new) = (tree("old"), tree("new"));
    for offloads in ["on", "off"] {
        let looks = ["--cache-ttl", "1ms", "--offload-cold-reads", offloads];
        let options = [
            &looks[..],
            &["--error-page", "404=404.html", "--threads", "2"],
        ]
        .concat();
        let server = served("root", &options, |directory| {
            for (name, tree) in [("r0", &old), ("r1", &new)] {
                let files: [(&str, &[u8]); 3] = [
                    ("d/index.html", &tree.0),
                    ("d/index.html.gz", &tree.1),
                    ("404.html", &tree.2),
                ];
                write_tree(&directory.join(name), &files);
                // The other one has no sidecar that fits.
                if name == "r1" {
                    std::fs::remove_file(directory.join("r1/d/index.html.gz")).expect("a file");
                }
            }
            symlink("r0", directory.join("root")).expect("a link");
        });
        let is_over = Arc::new(AtomicBool::new(false));
        let flipping = {
            let (is_over, root) = (Arc::clone(&is_over), server.root.path().to_owned());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    flip(&root, "root", "r1");
                    flip(&root, "root", "r0");
                }
            })
        };
        let mut client = server.connect();
        let mut seen = [0, 0];
        let mut ask = |target: &str| -> Response {
            let fields = "Accept-Encoding: gzip\r\n";
            client.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n{fields}\r\n").as_bytes());
            client.response(false)
        };
        let hang = Instant::now() + HANG;
        // Each of the two as often as that something in between would show.
        while seen.iter().any(|&count| count < 500) {
            assert!(
                Instant::now() < hang,
                "one of the two is never served: {seen:?}"
            );
            let response = ask("/d/");
            assert_eq!(response.status, 200);
            match response.field("content-encoding") {
                Some(_) => assert!(response.body == old.1),
                None => assert!(response.body == new.0),
            }
            seen[usize::from(response.body == new.0)] += 1;
            let missing = ask("/none");
            assert_eq!(missing.status, 404);
            assert!([&old.2, &new.2].contains(&&missing.body));
        }
        is_over.store(true, Ordering::Relaxed);
        flipping.join().expect("no panic");
    }
}

/// Runs a command; false where it is not allowed, as in most containers.
fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => true,
        other => {
            println!("nothing to test: {program} {arguments:?}: {other:?}");
            false
        }
    }
}

#[test]
fn a_filesystem_that_is_mounted_over_the_root_is_served_and_can_be_unmounted() {
    let root = temp_root();
    let served = root.path().join("root");
    write_tree(&served, &[("f", b"below")]);
    let path = served.to_str().expect("UTF-8").to_owned();
    let server = Server::start_with(binary(), root, &served, &QUICK);
    assert_eq!(server.get("/f").body, b"below");
    if !succeeds("mount", &["-t", "tmpfs", "zc-test", &path]) {
        return;
    }
    write_tree(&served, &[("f", b"above")]);
    let mut client = server.connect();
    wait_until("the mount is served", || client.get("/f").body == b"above");
    // A connection that rests keeps nothing of it open.
    wait_until("it is let go", || {
        let mut open = server.descriptor_paths().into_iter();
        !open.any(|fd| std::fs::read_link(fd).is_ok_and(|open| open == served))
    });
    assert!(succeeds("umount", &[&path]), "it is held");
    wait_until("what is below is served again", || {
        client.get("/f").body == b"below"
    });
}

#[test]
fn a_root_that_may_not_be_read_is_served_and_not_listed() {
    let root = temp_root();
    let served = root.path().join("private");
    write_tree(
        &served,
        &[("f", b"x"), ("open/g", b"y"), ("index/index.html", b"z")],
    );
    for (name, mode) in [(".", 0o711), ("index", 0o711)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(served.join(name), permissions).expect("chmod");
    }
    // Root may read everything.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    if !succeeds(
        "setpriv",
        &["--reuid=65534", "--regid=65534", "--clear-groups", "true"],
    ) {
        return;
    }
    command.arg(binary_in(root.path()));
    let server = Server::start_with(command, root, &served, &[]);
    assert_eq!(server.get("/f").body, b"x");
    assert_eq!(server.get("/index/").body, b"z");
    assert_eq!(server.get("/").status, 403);
    assert_eq!(server.get("/open/").status, 200);
}
