//! Programs that fetch much: aria2, axel and lftp in pieces, rclone, wget and lftp whole trees by our
//! listings.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::harness::clients::{
    Home, answers, assert_same_big, assert_same_files, files_below, say_missing, write_big,
};
use crate::harness::tls::sent_by;
use crate::harness::{Server, pattern};

/// MiB of the file that is fetched in segments.
const BIG_MIB: u64 = 128;
/// Names of files and directories, for all that stands for something else in a URL, in HTML or on a
/// command line.
const NAMES: [&str; 33] = [
    "plain",
    "two words",
    "ümläut",
    "100%",
    "a#b",
    "what?",
    "quo'te",
    "dou\"ble",
    "a+b",
    "a&b",
    "-lead",
    "日本語",
    "semi;colon",
    "co:lon",
    "at@home",
    "eq=ual",
    "com,ma",
    "tilde~",
    "(par)",
    "[br]",
    "{cu}",
    "excl!",
    "star*",
    "dollar$",
    "caret^",
    "back`tick",
    "pipe|",
    "less<more>",
    "%41",
    "%2e%2e",
    "trail ",
    "emoji😀",
    "&amp;",
];

/// A tree of 40 directories with so many files in each, named in many ways.
fn write_tree(root: &Path, files_each: usize) {
    for number in 0..40 {
        // rclone asks for a first segment with a colon as `./a:b/`, and then takes the links of that
        // page, which resolve to `/a:b/`, for those of a strange directory.
        let mut directory = root.join(format!(
            "{number} {}",
            NAMES[number % NAMES.len()].replace(':', "-")
        ));
        if number % 3 == 0 {
            directory.push(NAMES[number * 7 % NAMES.len()]);
        }
        std::fs::create_dir_all(&directory).expect("a directory");
        for file in 0..files_each {
            let name = format!("{}.{file}", NAMES[file % NAMES.len()]);
            let bytes = pattern(file * 37, (number * 1000 + file) as u64);
            std::fs::write(directory.join(name), bytes).expect("a file");
        }
    }
}

#[test]
fn aria2_fetches_a_big_file_in_16_segments() {
    let Some(home) = Home::for_clients(&["aria2c"]) else {
        return;
    };
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    write_big(&server.path("big"), BIG_MIB);
    let url = server.url("/big");
    // With the length known from a HEAD every segment is asked for as a range.
    let how = [
        "--no-conf",
        "--ca-certificate=.authority.pem",
        "--no-netrc",
        "--quiet",
        "--use-head=true",
        "--file-allocation=none",
    ];
    let limits = ["--connect-timeout=10", "--timeout=30", "--max-tries=1"];
    let segments = ["-x16", "-s16", "-k1M", "-o", "big", &url];
    home.succeed("aria2c", &[&how[..], &limits, &segments].concat());
    assert_same_big(&home.path("big"), &server.path("big"));

    let lines = log.so_far(&server);
    let count = |answer| {
        answers(&lines)
            .iter()
            .filter(|&&given| given == answer)
            .count()
    };
    assert_eq!(count(("HEAD", 200)), 1);
    assert!(count(("GET", 206)) >= 16, "{lines:#?}");
    assert_eq!(count(("GET", 200)), 0, "nothing is fetched twice");
    assert!(
        lines
            .iter()
            .filter(|line| line["method"] == "GET")
            .all(|line| line["send_path"] == sent_by("sendfile"))
    );
    let connections: BTreeSet<_> = lines.iter().map(|line| line["remote"].as_str()).collect();
    assert!(connections.len() >= 16, "{connections:?}");
}

#[test]
fn rclone_lists_and_checks_2000_files_of_all_names() {
    let Some(home) = Home::for_clients(&["rclone"]) else {
        return;
    };
    let mut server = Server::start_in_memory(&[]);
    let log = server.follow_log();
    write_tree(server.root.path(), 50);
    let original = files_below(server.root.path());
    assert_eq!(original.len(), 2000);
    home.write("rclone.conf", b"");
    let url = server.url("/");
    let rclone = |arguments: &[&str]| {
        let always = [
            "--config",
            "rclone.conf",
            "--contimeout",
            "10s",
            "--retries",
            "1",
        ];
        home.succeed(
            "rclone",
            &[&always, arguments, &["--http-url", &url]].concat(),
        )
    };

    let listed = rclone(&["lsjson", "-R", "--files-only", ":http:"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let listed: BTreeSet<_> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| {
            (
                entry["Path"].as_str().expect("a path"),
                entry["Size"].as_u64(),
            )
        })
        .collect();
    let expected: BTreeSet<_> = original
        .iter()
        .map(|(path, bytes)| (path.to_str().expect("UTF-8"), Some(bytes.len() as u64)))
        .collect();
    assert!(
        listed == expected,
        "{:?}",
        listed.symmetric_difference(&expected)
    );

    let root = server.root.path().to_str().expect("UTF-8");
    rclone(&["check", "--download", root, ":http:"]);
    let lines = log.so_far(&server);
    let are_complete =
        |line: &serde_json::Value| line["status"] == 200 && line["outcome"] == "complete";
    assert!(lines.iter().all(are_complete));
    let fetched: BTreeSet<_> = lines
        .iter()
        .filter(|line| line["method"] == "GET" && line["send_path"] != "none")
        .filter_map(|line| line["target"].as_str())
        .filter(|target| !target.ends_with('/'))
        .collect();
    let with_bytes = original.values().filter(|bytes| !bytes.is_empty()).count();
    assert_eq!(fetched.len(), with_bytes);
}

/// Wget, but not Wget2, which some systems call by the same name: it decodes names like `%41` twice.
pub(super) fn with_wget() -> Option<Home> {
    let home = Home::for_clients(&["wget"])?;
    let version = home.succeed("wget", &["--version"]);
    if !version.starts_with("GNU Wget 1.") {
        say_missing("GNU Wget 1");
        return None;
    }
    Some(home)
}

/// The whole second at which a file was last modified.
fn modified(path: &Path) -> Duration {
    let time = std::fs::metadata(path)
        .and_then(|file| file.modified())
        .expect("a time");
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    Duration::from_secs(since.as_secs())
}

#[test]
fn wget_mirrors_a_tree_and_fetches_each_page_once() {
    let Some(home) = with_wget() else { return };
    let mut server = Server::start_in_memory(&["--archive", "on"]);
    write_tree(server.root.path(), 5);
    server.write("photos/a.jpg", b"x");
    // Buttons, which are no links.
    let page = String::from_utf8(server.get("/photos/").body).expect("UTF-8");
    assert!(page.contains("name=\"view\" value=\"gallery\""));
    assert!(page.contains("name=\"archive\" value=\"tar\""));
    let log = server.follow_log();
    log.so_far(&server);
    let (old, time) = ("1 two words/plain.0", Duration::from_secs(1_600_000_000));
    let file = std::fs::File::options()
        .write(true)
        .open(server.path(old))
        .expect("a file");
    file.set_modified(SystemTime::UNIX_EPOCH + time)
        .expect("a time");
    let url = server.url("/");
    let how = [
        "--no-config",
        "--ca-certificate=.authority.pem",
        "--no-verbose",
        "--tries=1",
        "--timeout=30",
        "-P",
        "tree",
    ];
    let mirror = || {
        home.succeed(
            "wget",
            &[&how[..], &["--mirror", "-np", "-nH", &url]].concat(),
        )
    };
    mirror();
    let pages = remove_pages(&home.path("tree"));
    assert_same_files(&home.path("tree"), server.root.path());
    assert_eq!(
        modified(&home.path("tree").join(old)),
        time,
        "it keeps its date"
    );

    let lines = log.so_far(&server);
    let mut targets: Vec<_> = lines
        .iter()
        .map(|line| line["target"].as_str().expect("a target"))
        .collect();
    let count = targets.len();
    targets.sort_unstable();
    targets.dedup();
    assert_eq!(
        count,
        targets.len(),
        "nothing is fetched twice: {targets:#?}"
    );
    assert!(
        !targets.iter().any(|target| target.contains('?')),
        "{targets:#?}"
    );
    // One for each directory, and those that only lead to others.
    assert_eq!(pages, 1 + 40 + 14 + 1);
    assert_eq!(count, pages + 200 + 1 + 1, "pages, files, and robots.txt");

    // What is there already is not fetched again.
    mirror();
    let lines = log.so_far(&server);
    // Short files that were just written have no date yet, and are fetched.
    let fetched = |line: &&serde_json::Value| {
        line["send_path"] == sent_by("sendfile") && line["bytes"].as_u64() > Some(16 * 1024)
    };
    assert_eq!(lines.iter().filter(fetched).count(), 0);
    assert_eq!(remove_pages(&home.path("tree")), pages);
    assert_same_files(&home.path("tree"), server.root.path());
}

#[test]
fn wget_reads_the_refusal_of_an_upload_that_it_has_sent_whole() {
    let Some(home) = with_wget() else { return };
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    // More than the buffers of both sockets take, so that all of it is sent only if it is read.
    home.write("upload", &pattern(10 << 20, 1));
    let url = server.url("/");
    let how = [
        "--no-config",
        "--ca-certificate=.authority.pem",
        "--no-verbose",
        "--tries=1",
        "--timeout=30",
        "--content-on-error",
    ];
    let output = home.run(
        "wget",
        &[&how[..], &["-O", "answer", "--post-file=upload", &url]].concat(),
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ERROR 405: Method Not Allowed"), "{said}");
    assert_eq!(home.read("answer"), b"405 Method Not Allowed\n");
    assert_eq!(answers(&log.so_far(&server)), [("POST", 405)]);
}

/// Programs that send a path as it was given to them. What a playlist names is relative to it:
/// `/hls/list.m3u8` names `../seg/1.ts`.
#[test]
fn programs_that_leave_dot_segments_to_the_server_get_the_file() {
    let urllib = "import sys, urllib.request as r; r.urlretrieve(sys.argv[2], sys.argv[1])";
    for (program, how) in [
        (
            "aria2c",
            &[
                "--no-conf",
                "--ca-certificate=.authority.pem",
                "--no-netrc",
                "--quiet",
                "-x4",
                "-k1M",
                "-o",
            ][..],
        ),
        // Of a certificate it reads names alone, and no addresses.
        ("axel", &["--quiet", "--insecure", "-n", "4", "-o"]),
        (
            "curl",
            &["--disable", "--silent", "--fail", "--path-as-is", "-o"],
        ),
        ("python3", &["-c", urllib]),
    ] {
        let Some(home) = Home::for_clients(&[program]) else {
            continue;
        };
        let mut server = Server::start(&[]);
        let log = server.follow_log();
        let segment = pattern(8 << 20, 5);
        server.write("seg/1.ts", &segment);
        for target in ["/hls/../seg/1.ts", "/hls%2f../seg%2F1.ts"] {
            let url = server.url(target);
            home.succeed(program, &[how, &["fetched", &url]].concat());
            assert!(home.read("fetched") == segment, "{program} {target}");
            std::fs::remove_file(home.path("fetched")).expect("a file");
        }
        let lines = log.so_far(&server);
        let is_answer = |&(_, status): &(&str, u64)| matches!(status, 200 | 206);
        assert!(answers(&lines).iter().all(is_answer), "{lines:#?}");
        let as_given = |line: &serde_json::Value| {
            let target = line["target"].as_str().expect("a target");
            target.contains("/../") || target.contains("%2f../")
        };
        assert!(
            lines.iter().all(as_given),
            "{program} has changed it: {lines:#?}"
        );
    }
}

#[test]
fn lftp_mirrors_a_tree_and_fetches_in_pieces() {
    let Some(home) = Home::for_clients(&["lftp"]) else {
        return;
    };
    // lftp asks for all of it first, and for pieces while it comes: it must not be there at once.
    let mut server = Server::start_in_memory(&["--limit-rate=seg=4MB"]);
    let log = server.follow_log();
    write_tree(&server.path("tree"), 33);
    write_big(&server.path("seg"), 16);
    let authority = home.authority();
    let settings = format!(
        "set net:max-retries 1; set net:timeout 30; set cmd:fail-exit true; set ssl:ca-file {authority}"
    );
    let lftp =
        |script: &str| home.succeed("lftp", &["--norc", "-c", &format!("{settings}; {script}")]);
    let (tree, segment) = (server.url("/hls/../tree"), server.url("/hls/../seg"));
    lftp(&format!("mirror --parallel=4 {tree} mirrored"));
    assert_same_files(&home.path("mirrored"), &server.path("tree"));
    let lines = log.so_far(&server);
    let are_fine =
        |line: &serde_json::Value| line["status"] == 200 && line["outcome"] == "complete";
    assert!(lines.iter().all(are_fine), "{lines:#?}");

    lftp(&format!("pget -n 4 {segment} -o fetched"));
    assert_same_big(&home.path("fetched"), &server.path("seg"));
    let lines = log.so_far(&server);
    let count = |status: u64| lines.iter().filter(|line| line["status"] == status).count();
    assert!(
        count(206) >= 3 && count(200) + count(206) == lines.len(),
        "{lines:#?}"
    );
    assert!(
        lines.iter().all(|line| line["target"] == "/hls/../seg"),
        "{lines:#?}"
    );
}

/// Removes the pages that wget keeps of listings; answers how many they were.
fn remove_pages(directory: &Path) -> usize {
    let is_page = |name: &&std::path::PathBuf| {
        name.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("index.html"))
    };
    let files = files_below(directory);
    let pages: Vec<_> = files.keys().filter(is_page).collect();
    for page in &pages {
        std::fs::remove_file(directory.join(page)).expect("a page");
    }
    pages.len()
}
