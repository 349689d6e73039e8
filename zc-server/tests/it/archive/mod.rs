//! Directories as one file: `?archive=tar`.

mod changes;
mod limits;
mod ranges;
mod readers;

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::harness::Server;

/// The option without which there is none.
const ON: [&str; 2] = ["--archive", "on"];

/// A server that makes archives.
fn server() -> Server {
    Server::start(&ON)
}

/// Gives a file or directory a time that is long over.
fn settle(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let file = std::fs::File::open(path).expect("a file");
    file.set_modified(time).expect("a time");
}

#[test]
fn an_archive_is_made_only_where_it_is_asked_for_and_allowed() {
    let server = server();
    server.write("dir/a", b"a");
    server.write("dir/index.html", b"the index");
    let tar = |target: &str| server.get(target);
    let archive = tar("/dir/?archive=tar");
    assert_eq!(archive.status, 200);
    assert_eq!(archive.field("content-type"), Some("application/x-tar"));
    let disposition = archive.field("content-disposition");
    assert_eq!(disposition, Some("attachment; filename=\"dir.tar\""));
    // Any other word is no archive, and the directory of a file is none.
    assert_eq!(tar("/dir/?archive=zip").body, b"the index");
    assert_eq!(tar("/dir/?archive").body, b"the index");
    assert_eq!(tar("/dir/a?archive=tar").body, b"a");
    let redirect = tar("/dir?archive=tar");
    assert_eq!(redirect.field("location"), Some("./dir/?archive=tar"));
    for missing in [
        "/none/?archive=tar",
        "/dir/a/?archive=tar",
        "/.x/?archive=tar",
    ] {
        assert_eq!(tar(missing).status, 404, "{missing}");
    }
    let root = tar("/?archive=tar");
    let disposition = root.field("content-disposition");
    assert_eq!(disposition, Some("attachment; filename=\"files.tar\""));

    let unlisted = Server::start(&[&ON[..], &["--listing", "off"]].concat());
    unlisted.write("a", b"a");
    assert_eq!(unlisted.get("/?archive=tar").status, 404);
    let without = Server::start(&[]);
    without.write("a", b"a");
    let listing = without.get("/?archive=tar");
    assert_eq!(
        listing.field("content-type"),
        Some("text/html; charset=utf-8")
    );
}

#[test]
fn a_file_that_is_served_alone_has_no_archive() {
    let root = crate::harness::temp_root();
    let file = root.path().join("only");
    std::fs::write(&file, "only").expect("a file");
    let server = Server::start_with(crate::harness::binary(), root, &file, &ON);
    assert_eq!(server.get("/?archive=tar").body, b"only");
}

#[test]
fn a_site_has_archives_by_an_option_of_its_own() {
    let root = crate::harness::temp_root();
    for site in ["one", "other"] {
        std::fs::create_dir(root.path().join(site)).expect("a directory");
        std::fs::write(root.path().join(site).join("a"), site).expect("a file");
    }
    let table = |site: &str, archive: &str| {
        let root = root.path().join(site);
        format!("[[site]]\nhost = \"{site}\"\nroot = {root:?}\narchive = \"{archive}\"\n")
    };
    let settings = crate::harness::temp_root();
    let file = settings.path().join("zc.toml");
    std::fs::write(&file, table("one", "on") + &table("other", "off")).expect("a file");
    let served = root.path().join("one");
    let options = ["--config", file.to_str().expect("UTF-8")];
    let server = Server::start_with(crate::harness::binary(), root, &served, &options);
    let type_of = |host: &str| {
        let response = server.request(&format!(
            "GET /?archive=tar HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ));
        response.field("content-type").expect("a type").to_owned()
    };
    assert_eq!(type_of("one"), "application/x-tar");
    assert_eq!(type_of("other"), "text/html; charset=utf-8");
    assert_eq!(type_of("neither"), "text/html; charset=utf-8");
}
