//! Entity-tags: equal where the bytes are, on every replica and whatever happens to the metadata;
//! different where the bytes are; declared by the owner of the files.

use std::collections::{HashMap, HashSet};
use std::fs::{File, FileTimes};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use crate::harness::clients::Home;
use crate::harness::nginx::Nginx;
use crate::harness::{HANG, Server, binary, pattern, temp_root, wait_until};

fn set_mtime(path: &Path, time: SystemTime) {
    let file = File::options().write(true).open(path);
    file.and_then(|file| file.set_times(FileTimes::new().set_modified(time)))
        .expect("a time");
}

fn run(program: &str, arguments: &[&str], directory: &Path) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

fn tag(server: &Server, target: &str) -> String {
    let response = server.get(target);
    let tag = response.field("etag");
    tag.unwrap_or_else(|| panic!("no tag of {target}"))
        .to_owned()
}

#[test]
fn copies_of_a_tree_have_equal_tags_and_a_download_goes_on_at_another() {
    let original = temp_root();
    let body = pattern(300_000, 8);
    let nanoseconds = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    let whole_second = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    std::fs::create_dir(original.path().join("tree")).expect("a directory");
    for (name, time) in [("exact", nanoseconds), ("whole", whole_second)] {
        let path = original.path().join("tree").join(name);
        std::fs::write(&path, &body).expect("a file");
        set_mtime(&path, time);
    }
    let tree = original.path().join("tree");
    let to = |name: &str| {
        let directory = original.path().join(name);
        std::fs::create_dir(&directory).expect("a directory");
        directory
    };
    run("cp", &["-a", "tree", "copied"], original.path());
    let mut replicas = vec![(tree, true), (original.path().join("copied"), true)];
    // GNU's format has whole seconds: what comes out of it is equal to what else does.
    for (format, keeps_nanoseconds) in [("gnu", false), ("gnu", false), ("posix", true)] {
        let archive = format!("--format={format}");
        run(
            "tar",
            &["-C", "tree", &archive, "-cf", "layer.tar", "."],
            original.path(),
        );
        let extracted = to(&format!("extracted{}", replicas.len()));
        run("tar", &["-xf", "../layer.tar"], &extracted);
        replicas.push((extracted, keeps_nanoseconds));
    }
    if Command::new("rsync").arg("--version").output().is_ok() {
        run("rsync", &["-a", "tree/", "synced"], original.path());
        replicas.push((original.path().join("synced"), true));
    }
    let servers: Vec<_> = replicas
        .iter()
        .map(|(path, keeps)| (Server::start_with(binary(), temp_root(), path, &[]), *keeps))
        .collect();
    for (name, exact) in [("/whole", false), ("/exact", true)] {
        let mut by_precision = HashMap::new();
        for (server, keeps_nanoseconds) in &servers {
            let precision = exact && *keeps_nanoseconds;
            let tag = tag(server, name);
            let first = by_precision.entry(precision).or_insert_with(|| tag.clone());
            assert_eq!(*first, tag, "{name}");
        }
        assert_eq!(by_precision.len(), if exact { 2 } else { 1 });
    }
    // The first half of one, the second half of another.
    let tag = tag(&servers[0].0, "/whole");
    for (server, _) in &servers[1..] {
        let fields = format!("Range: bytes=150000-\r\nIf-Range: {tag}\r\n");
        let rest = server.get_with("/whole", &fields);
        assert_eq!(rest.status, 206);
        assert!(rest.body == body[150_000..]);
        let same = server.get_with("/whole", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!(same.status, 304);
    }
}

#[test]
fn what_changes_the_inode_alone_changes_no_tag() {
    for ttl in ["0", "1s"] {
        let server = Server::start(&["--cache-ttl", ttl]);
        for (name, time) in [("exact", 123_456_789), ("whole", 0)] {
            server.write(name, b"the bytes");
            let time = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, time);
            set_mtime(&server.path(name), time);
            let target = format!("/{name}");
            let expected = tag(&server, &target);
            let directory = server.root.path();
            let steps: [&[&str]; 9] = [
                &["chmod", "600", name],
                &["chmod", "644", name],
                &["chown", "1:1", name],
                &["chown", "0:0", name],
                &["ln", name, "another-link"],
                &["rm", "another-link"],
                &["touch", "-a", name],
                &["cp", "-p", name, "copy"],
                &["mv", "copy", name],
            ];
            for step in steps {
                // Whoever may not give files away changes nothing.
                if step[0] == "chown" && !nix::unistd::geteuid().is_root() {
                    continue;
                }
                run(step[0], &step[1..], directory);
                for _ in 0..3 {
                    let response = server.get(&target);
                    assert_eq!(response.field("etag"), Some(&*expected), "{step:?}");
                    assert!(response.field("last-modified").is_some(), "{step:?}");
                }
            }
            if xattr::set(server.path(name), "user.comment", b"x").is_ok() {
                assert_eq!(tag(&server, &target), expected, "an attribute");
            }
            // Nothing in it tells the number of the inode.
            use std::os::unix::fs::MetadataExt;
            let inode = std::fs::metadata(server.path(name)).expect("a file").ino();
            assert!(!expected.contains(&format!("{inode:x}")), "{expected}");
        }
    }
}

#[test]
fn a_file_that_was_just_written_has_no_validator_and_soon_has_both() {
    let server = Server::start(&["--cache-ttl", "0"]);
    // The look may come so late that the file counts as settled: then it is written again.
    wait_until("it is looked at while it is new", || {
        std::fs::write(server.path("f"), b"new").expect("a file");
        let response = server.get("/f");
        response.field("etag").is_none() && response.field("last-modified").is_none()
    });
    let mut tags = Vec::new();
    wait_until("it has a tag and a date", || {
        let response = server.get("/f");
        let is_dated = response.field("last-modified").is_some();
        tags.extend(response.field("etag").map(str::to_owned));
        assert!(!is_dated || response.field("etag").is_some());
        is_dated
    });
    tags.dedup();
    assert_eq!(tags.len(), 1, "the tag is the same at every time: {tags:?}");
}

/// A file that is rewritten again and again, by contents of equal length that tell their version.
struct Rewritten {
    path: PathBuf,
    /// The versions whose writing has begun, and has ended.
    begun: AtomicU64,
    ended: AtomicU64,
}

/// One answer with a tag.
struct Seen {
    file: usize,
    tag: String,
    body: Vec<u8>,
    /// The last version that was written when it was asked for, and the last one that was begun when the
    /// answer was there.
    from: u64,
    to: u64,
}

const CONTENT_BYTES: usize = 20_000;

fn content(version: u64) -> Vec<u8> {
    version.to_le_bytes().repeat(CONTENT_BYTES / 8)
}

impl Rewritten {
    /// Writes versions until `is_enough` of the last one.
    fn rewrite(&self, number: usize, is_enough: impl Fn(u64) -> bool) {
        let file = File::options().write(true).open(&self.path);
        let file = file.expect("a file");
        for version in (1..).take_while(|&next| next == 1 || !is_enough(next - 1)) {
            let bytes = content(version);
            self.begun.store(version, Ordering::SeqCst);
            if number % 4 == 3 {
                // Cut and written again, as a shell does it.
                std::fs::write(&self.path, bytes).expect("room");
            } else {
                file.write_all_at(&bytes, 0).expect("room");
            }
            self.ended.store(version, Ordering::SeqCst);
            // From none at all to twice the time in which a file settles.
            let pause = (version * 7 + number as u64 * 3) % 40;
            std::thread::park_timeout(Duration::from_millis(pause));
        }
    }
}

/// A tag that comes with one version comes with no other. Who reads while the next version is written is
/// left out: no server can tell what such a reader is given.
#[test]
fn no_tag_is_ever_given_to_two_contents() {
    const FILES: usize = 48;
    const VERSIONS: u64 = 50;
    /// Versions whose tag was given, before the writers end: the busier the machine, the fewer of all.
    const TAGGED_MIN: usize = 500;
    let server = Server::start(&["--cache-ttl", "0"]);
    let files: Vec<_> = (0..FILES)
        .map(|number| Rewritten {
            path: server.path(&number.to_string()),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        })
        .collect();
    for file in &files {
        std::fs::write(&file.path, content(0)).expect("a file");
    }
    let is_over = AtomicBool::new(false);
    let tagged = AtomicUsize::new(0);
    let ask = &|is_counted: bool| {
        let mut client = server.connect();
        let mut seen = Vec::new();
        let mut counted = HashSet::new();
        while !is_over.load(Ordering::Relaxed) {
            for (number, file) in files.iter().enumerate() {
                let from = file.ended.load(Ordering::SeqCst);
                let target = format!("GET /{number} HTTP/1.1\r\nHost: t\r\n\r\n");
                let Some(Ok(response)) = client.try_request(target.as_bytes()) else {
                    // The file was cut while it was sent, or this one or the one before was changed.
                    client = server.connect();
                    continue;
                };
                let to = file.begun.load(Ordering::SeqCst);
                if let Some(tag) = response.field("etag") {
                    if is_counted && from == to && counted.insert((number, from)) {
                        tagged.fetch_add(1, Ordering::Relaxed);
                    }
                    let tag = tag.to_owned();
                    let (file, body) = (number, response.body);
                    seen.push(Seen {
                        file,
                        tag,
                        body,
                        from,
                        to,
                    });
                }
            }
        }
        seen
    };
    let is_enough = &|version| version >= VERSIONS && tagged.load(Ordering::Relaxed) >= TAGGED_MIN;
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let clients = [true, false].map(|is_counted| scope.spawn(move || ask(is_counted)));
        let writers: Vec<_> = (files.iter().enumerate())
            .map(|(number, file)| scope.spawn(move || file.rewrite(number, is_enough)))
            .collect();
        for writer in writers {
            writer.join().expect("no panic");
        }
        is_over.store(true, Ordering::Relaxed);
        let seen = clients.map(|client| client.join().expect("no panic"));
        seen.into_iter().flatten().collect()
    });
    let mut versions = HashMap::new();
    for Seen {
        file,
        tag,
        body,
        from,
        to,
    } in &seen
    {
        if from == to {
            let first = *versions.entry((file, tag)).or_insert(*from);
            assert_eq!(first, *from, "{tag} of {file} is given to two versions");
            assert!(
                *body == content(*from),
                "{tag} of {file} comes with other bytes"
            );
        }
    }
    assert!(versions.len() >= TAGGED_MIN, "{}", versions.len());
}

#[test]
fn a_sidecar_or_an_attribute_gives_any_file_its_tag() {
    let server = Server::start(&["--cache-ttl", "0"]);
    server.write("f", b"the bytes");
    let made = tag(&server, "/f");
    server.write("f.etag", b"\"v1\"\n");
    assert_eq!(tag(&server, "/f"), "\"v1\"");
    assert!(server.get("/f").field("last-modified").is_some());
    assert_eq!(
        server.get_with("/f", "If-None-Match: \"v1\"\r\n").status,
        304
    );
    let part = "Range: bytes=0-1\r\nIf-Range: \"v1\"\r\n";
    assert_eq!(server.get_with("/f", part).status, 206);
    // One that is older than the file is of an earlier state.
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    set_mtime(&server.path("f.etag"), hour_ago);
    assert_eq!(tag(&server, "/f"), made);
    if let Err(error) = xattr::set(server.path("f"), "user.etag", b"from-attribute") {
        println!("no extended attributes here ({error}): nothing to test");
        return;
    }
    assert_eq!(tag(&server, "/f"), "\"from-attribute\"");
    // A sidecar is nearer at hand.
    set_mtime(
        &server.path("f.etag"),
        SystemTime::now() - Duration::from_secs(1),
    );
    assert_eq!(tag(&server, "/f"), "\"v1\"");
    std::fs::remove_file(server.path("f.etag")).expect("a file");
    assert_eq!(tag(&server, "/f"), "\"from-attribute\"");
    // An attribute that says which state it is of is believed for that one.
    xattr::set(server.path("f"), "user.etag.for", b"1-2").expect("an attribute");
    assert_eq!(tag(&server, "/f"), made);
    xattr::remove(server.path("f"), "user.etag.for").expect("an attribute");
    xattr::set(server.path("f"), "user.etag", b"not a tag").expect("an attribute");
    assert_eq!(tag(&server, "/f"), made);
}

#[test]
fn a_declared_tag_that_changes_is_seen_though_the_file_stays_the_same() {
    let server = Server::start(&["--cache-ttl", "50ms"]);
    server.write("f", b"the bytes");
    server.wait_until_settled("/f");
    let mut client = server.connect();
    let made = client.get("/f").field("etag").expect("a tag").to_owned();
    if let Err(error) = xattr::set(server.path("f"), "user.etag", b"one") {
        println!("no extended attributes here ({error}): nothing to test");
        return;
    }
    let mut wait_for = |expected: &str| {
        wait_until("the tag is the new one", || {
            client.get("/f").field("etag") == Some(expected)
        });
    };
    wait_for("\"one\"");
    xattr::set(server.path("f"), "user.etag", b"two").expect("an attribute");
    wait_for("\"two\"");
    server.write("f.etag", b"three");
    wait_for("\"three\"");
    server.write("f.etag", b"four");
    wait_for("\"four\"");
    std::fs::remove_file(server.path("f.etag")).expect("a file");
    wait_for("\"two\"");
    xattr::remove(server.path("f"), "user.etag").expect("an attribute");
    wait_for(&made);
}

#[test]
fn tags_can_be_left_to_the_owner_or_switched_off() {
    for (source, plain, declared) in [
        ("auto", true, true),
        ("declared", false, true),
        ("off", false, false),
    ] {
        let server = Server::start(&["--etag", source]);
        server.write("plain", b"x");
        server.write("declared", b"x");
        server.write("declared.etag", b"v1");
        for (target, expected) in [("/plain", plain), ("/declared", declared)] {
            let response = server.get(target);
            assert_eq!(
                response.field("etag").is_some(),
                expected,
                "{source} {target}"
            );
            assert!(response.field("last-modified").is_some());
        }
        let by_date = server.get_with("/plain", "Range: bytes=0-0\r\n");
        assert_eq!(by_date.status, 206);
    }
}

/// Slices of one download come from requests of their own, and nginx holds each to the tag of the first.
#[test]
fn nginx_slices_a_file_whose_metadata_changes_meanwhile() {
    let Some(home) = Home::for_clients(&["curl", "nginx"]) else {
        return;
    };
    let server = Server::start(&[]);
    let body = pattern(30 << 20, 5);
    server.write("file", &body);
    let nginx = Nginx::start(
        &home,
        &format!(
            "location / {{ slice 1m; proxy_set_header Range $slice_range; proxy_http_version 1.1;\n\
             proxy_max_temp_file_size 0; proxy_pass {}; }}",
            server.url("")
        ),
    );
    let is_over = Arc::new(AtomicBool::new(false));
    let changing = {
        let (is_over, path) = (Arc::clone(&is_over), server.path("file"));
        std::thread::spawn(move || {
            let mut changes = 0;
            while !is_over.load(Ordering::Relaxed) {
                let mode = 0o600 + changes % 2 * 0o44;
                let permissions = std::fs::Permissions::from_mode(mode);
                std::fs::set_permissions(&path, permissions).expect("chmod");
                changes += 1;
                std::thread::park_timeout(Duration::from_millis(1));
            }
            changes
        })
    };
    let url = nginx.url("/file");
    for _ in 0..3 {
        let limit = HANG.as_secs().to_string();
        home.succeed("curl", &["-sS", "-f", "-m", &limit, "-o", "sliced", &url]);
        assert!(home.read("sliced") == body);
    }
    is_over.store(true, Ordering::Relaxed);
    let changes = changing.join().expect("no panic");
    let log = String::from_utf8_lossy(&home.read("error.log")).into_owned();
    assert!(!log.contains("etag mismatch"), "{log}");
    assert!(changes > 3, "{changes}");
}

/// Runs `zc-server etag`; answers its exit code and what it said.
fn write_tags(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = binary()
        .arg("etag")
        .args(arguments)
        .output()
        .expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn tags_of_contents_are_written_once_and_believed_while_the_content_stays() {
    for store in ["attributes", "sidecars"] {
        let server = Server::start(&["--cache-ttl", "0"]);
        if store == "attributes" && xattr::set(server.root.path(), "user.test", b"x").is_err() {
            println!("no extended attributes here: nothing to test");
            continue;
        }
        server.write("a", b"abc");
        server.write("deep/er/b", b"");
        server.write("odd name\n\u{e9}", b"x");
        std::os::unix::fs::symlink("/etc/passwd", server.path("link")).expect("a link");
        let root = server.root.path().to_str().expect("UTF-8").to_owned();
        let (code, said, failed) = write_tags(&["--to", store, &root]);
        assert_eq!((code, &*failed), (Some(0), ""), "{said}");
        assert!(said.starts_with("tags: 3 written, 0 up to date"), "{said}");
        let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(tag(&server, "/a"), format!("\"sha256-{sha}\""));
        assert!(tag(&server, "/deep/er/b").starts_with("\"sha256-e3b0c442"));
        assert!(
            xattr::get("/etc/passwd", "user.etag")
                .ok()
                .flatten()
                .is_none()
        );

        let (_, said, _) = write_tags(&["--to", store, &root]);
        assert!(said.starts_with("tags: 0 written, 3 up to date"), "{said}");
        // Another content, and nobody has run it again: the tag is made of time and length.
        server.write("a", b"xyz");
        assert!(!tag(&server, "/a").contains("sha256"));
        let (_, said, _) = write_tags(&["--to", store, &root]);
        assert!(said.starts_with("tags: 1 written, 2 up to date"), "{said}");
        assert!(tag(&server, "/a").starts_with("\"sha256-3608bca1"));
        // A copy has the same, where copying takes it along.
        run("cp", &["-a", "a", "copy"], server.root.path());
        if store == "attributes" {
            assert_eq!(tag(&server, "/copy"), tag(&server, "/a"));
        }
        // What somebody else has declared stays.
        if store == "attributes" {
            xattr::remove(server.path("a"), "user.etag.for").expect("an attribute");
            xattr::set(server.path("a"), "user.etag", b"mine").expect("an attribute");
        } else {
            server.write("a.etag", b"mine");
        }
        let (_, said, _) = write_tags(&["--to", store, &root]);
        assert!(said.contains("1 set by other programs"), "{said}");
        assert_eq!(tag(&server, "/a"), "\"mine\"");
    }
    // The variables of the server are none of its business.
    let output = binary()
        .args(["etag", "/nonexistent/root"])
        .env("ZC_ROOT", "/")
        .env("ZC_THREADS", "many")
        .output();
    assert_eq!(output.expect("it runs").status.code(), Some(1));
    let (code, _, said) = write_tags(&["/nonexistent/root"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("/nonexistent/root"), "{said}");
}
