//! What reads archives: GNU tar, bsdtar and Python.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::{ON, server, settle};
use crate::harness::clients::Home;
use crate::harness::{Server, pattern};

const READERS: &[&str] = &["tar", "bsdtar", "python3", "diff", "curl"];

/// Names that have caught programs out.
fn names() -> Vec<Vec<u8>> {
    let long = |byte: u8, count| vec![byte; count];
    let deep = [
        &b"deep/"[..],
        &[&long(b'd', 90)[..], b"/"].concat().repeat(5),
        b"file",
    ]
    .concat();
    vec![
        b"plain.txt".to_vec(),
        b"two words".to_vec(),
        b"-rf".to_vec(),
        b"line\nfeed".to_vec(),
        b"quo\"te's\\".to_vec(),
        b"tab\t*?".to_vec(),
        "na\u{ef}ve \u{6f22}\u{1f600}".as_bytes().to_vec(),
        b"\xff\xfe no text".to_vec(),
        long(b'n', 99),
        long(b'n', 100),
        long(b'n', 101),
        long(b'n', 255),
        long(0xff, 200),
        "\u{e9}".repeat(120).into_bytes(),
        deep,
    ]
}

/// A tree of all kinds of entries below `directory`.
fn write_tree(directory: &Path) {
    for (number, name) in names().iter().enumerate() {
        let path = directory.join(OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, pattern(number * 700, number as u64)).expect("a file");
        settle(&path);
    }
    for name in ["empty/of all", "sub"] {
        std::fs::create_dir_all(directory.join(name)).expect("a directory");
    }
    std::fs::write(directory.join("big"), pattern(3_000_000, 9)).expect("a file");
    std::fs::write(directory.join("program"), "#!/bin/sh\n").expect("a file");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.join("program"), executable).expect("a file");
    let sparse = std::fs::File::create(directory.join("sparse")).expect("a file");
    sparse
        .write_all_at(b"behind a hole", 5_000_000)
        .expect("room");
    symlink("../plain.txt", directory.join("sub/link")).expect("a link");
    symlink("missing/too", directory.join("sub/dangling")).expect("a link");
    symlink("t".repeat(150), directory.join("long link")).expect("a link");
}

/// Takes `archive` apart in `into`, by each reader.
fn extract(home: &Home, reader: &str, archive: &str, into: &str) {
    std::fs::create_dir(home.path(into)).expect("a directory");
    let script =
        format!("import tarfile; tarfile.open({archive:?}).extractall({into:?}, filter='data')");
    match reader {
        "python3" => home.succeed("python3", &["-c", &script]),
        program => home.succeed(program, &["-xf", archive, "-C", into]),
    };
}

fn assert_same(home: &Home, one: &Path, other: &str) {
    let path = home.path(other);
    let arguments = [OsStr::new("-r"), OsStr::new("--no-dereference")];
    let told = home.succeed(
        "diff",
        &[&arguments[..], &[one.as_os_str(), path.as_os_str()]].concat(),
    );
    assert_eq!(told, "");
}

#[test]
fn tar_bsdtar_and_python_have_every_byte_and_name() {
    let Some(home) = Home::for_clients(READERS) else {
        return;
    };
    let mut server = server();
    std::fs::create_dir(server.path("tree")).expect("a directory");
    write_tree(&server.path("tree"));
    home.succeed(
        "curl",
        &["-sSo", "tree.tar", &server.url("/tree/?archive=tar")],
    );
    let log = server.log();
    assert_eq!(log["outcome"], "complete", "{log}");
    for reader in ["tar", "bsdtar", "python3"] {
        extract(&home, reader, "tree.tar", reader);
        assert_same(&home, &server.path("tree"), &format!("{reader}/tree"));
        let state = |name: &str| home.path(&format!("{reader}/tree/{name}")).metadata();
        assert_eq!(state("plain.txt").expect("a file").mtime(), 1_600_000_000);
        let mode = |name| state(name).expect("a file").mode() & 0o111;
        assert_eq!((mode("program"), mode("big")), (0o111, 0));
    }
}

#[test]
fn what_a_listing_leaves_out_is_not_in_an_archive_either() {
    let Some(home) = Home::for_clients(&["tar", "curl"]) else {
        return;
    };
    let names = |options: &[&str]| {
        let server = Server::start(&[&ON[..], options].concat());
        server.write("dir/a", b"a");
        server.write("dir/.hidden", b"h");
        server.write("dir/.git/config", b"h");
        server.write("secret", b"s");
        let at = |name: &str| server.path(&format!("dir/{name}"));
        for (target, name) in [
            ("a", "inside"),
            ("../secret", "outside"),
            ("../dir/a", "around"),
            ("/etc/passwd", "absolute"),
            (".git/config", "to hidden"),
        ] {
            symlink(target, at(name)).expect("a link");
        }
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        let url = server.url("/dir/?archive=tar");
        home.succeed("curl", &["-sSo", "a.tar", &url]);
        let names = home.succeed("tar", &["-tf", "a.tar"]);
        names.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["dir/", "dir/a", "dir/inside"]);
    assert_eq!(names(&["--symlinks", "deny"]), ["dir/", "dir/a"]);
    assert_eq!(
        names(&["--symlinks", "follow"]),
        ["dir/", "dir/a", "dir/inside"]
    );
    let hidden = names(&["--hidden"]);
    let expected = [
        "dir/",
        "dir/.git/",
        "dir/.git/config",
        "dir/.hidden",
        "dir/a",
        "dir/inside",
    ];
    assert_eq!(hidden[..6], expected);
    assert_eq!(hidden[6..], ["dir/to hidden"]);
}

/// Reads an archive by ranges alone, and of a large file its end.
const BY_RANGES: &str = r#"
import io, sys, tarfile, urllib.request
class Remote(io.RawIOBase):
    def __init__(self, url):
        self.url, self.at = url, 0
        head = urllib.request.urlopen(urllib.request.Request(url, method="HEAD"))
        self.length = int(head.headers["Content-Length"])
        self.tag = head.headers["ETag"]
    def readable(self): return True
    def seekable(self): return True
    def tell(self): return self.at
    def seek(self, offset, whence=0):
        self.at = offset + (0, self.at, self.length)[whence]
        return self.at
    def readinto(self, buffer):
        end = min(self.at + len(buffer), self.length)
        if end <= self.at: return 0
        fields = {"Range": "bytes=%d-%d" % (self.at, end - 1), "If-Range": self.tag}
        answer = urllib.request.urlopen(urllib.request.Request(self.url, headers=fields))
        assert answer.status == 206, answer.status
        data = answer.read()
        buffer[:len(data)] = data
        self.at = end
        return len(data)
with tarfile.open(fileobj=Remote(sys.argv[1])) as archive:
    for member in archive:
        print(member.name, member.size)
    large = archive.extractfile("large/sparse")
    large.seek(-9, 2)
    print(large.read().decode())
"#;

#[test]
fn a_file_of_more_than_8_gib_is_read_by_ranges() {
    let Some(home) = Home::for_clients(&["python3"]) else {
        return;
    };
    let server = server();
    server.write("large/before", b"before");
    server.write("large/sparse", b"");
    let length = 9_u64 << 30;
    let sparse = std::fs::File::options()
        .write(true)
        .open(server.path("large/sparse"));
    let sparse = sparse.expect("a file");
    if let Err(error) = sparse.set_len(length) {
        println!("no file of 9 GiB here ({error}): nothing to test");
        return;
    }
    sparse
        .write_all_at(b"the end.\n", length - 9)
        .expect("room");
    settle(&server.path("large/sparse"));
    server.write("large/z", b"behind");
    let told = home.succeed(
        "python3",
        &["-c", BY_RANGES, &server.url("/large/?archive=tar")],
    );
    let expected =
        format!("large 0\nlarge/before 6\nlarge/sparse {length}\nlarge/z 6\nthe end.\n\n");
    assert_eq!(told, expected);
}
