//! zsync and zckdl fetch what a new version of a file has that an old one has not: many ranges at a
//! time, as parts of one answer.

use crate::harness::clients::{Home, answers};
use crate::harness::tls::says_not_by_tls;
use crate::harness::{Server, pattern};

/// What of `lines` is for `target`.
fn of(lines: &[serde_json::Value], target: &str) -> Vec<serde_json::Value> {
    let is_of = |line: &&serde_json::Value| line["target"] == target;
    lines.iter().filter(is_of).cloned().collect()
}

/// Bytes that were sent as bodies.
fn bytes(lines: &[serde_json::Value]) -> u64 {
    let bytes = lines.iter().map(|line| line["bytes"].as_u64());
    bytes.map(|bytes| bytes.expect("a number")).sum()
}

#[test]
fn zsync_fetches_what_has_changed_of_a_file() {
    if says_not_by_tls("zsync speaks no TLS") {
        return;
    }
    let Some(home) = Home::for_clients(&["zsync", "zsyncmake"]) else {
        return;
    };
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    let old = pattern(8 << 20, 1);
    let mut new = old.clone();
    // More places than it asks for at a time, which are 20.
    for number in 0..50 {
        let at = number * (new.len() / 50) + 1000;
        new[at..at + 3000].copy_from_slice(&pattern(3000, 100 + number as u64));
    }
    home.write("old", &old);
    server.write("new", &new);
    let served = server.path("new");
    let of_blocks = server.path("new.zsync");
    let (served, of_blocks) = (served.to_str(), of_blocks.to_str());
    let made = [
        "-u",
        "new",
        "-o",
        of_blocks.expect("UTF-8"),
        served.expect("UTF-8"),
    ];
    home.succeed("zsyncmake", &made);

    let url = server.url("/new.zsync");
    home.succeed("zsync", &["-q", "-i", "old", "-o", "fetched", &url]);
    assert!(home.read("fetched") == new);
    let lines = log.so_far(&server);
    let fetched = of(&lines, "/new");
    assert_eq!(answers(&fetched), [("GET", 206); 3], "{lines:#?}");
    assert!(
        fetched.iter().all(|line| line["outcome"] == "complete"),
        "{lines:#?}"
    );
    let bytes = bytes(&fetched);
    assert!(bytes < 500_000, "{bytes} bytes for 50 changes of 3,000");
}

#[test]
fn zckdl_fetches_what_has_changed_of_a_file() {
    if says_not_by_tls("zckdl cannot be told of an authority") {
        return;
    }
    let Some(home) = Home::for_clients(&["zck", "zckdl"]) else {
        return;
    };
    let mut server = Server::start(&[]);
    let log = server.follow_log();
    // Each record is a chunk. Every third one changes: more than zckdl asks for at a time, which are
    // 256.
    let record = |seed: u64| [b"<record>", &pattern(1500, seed)[..]].concat();
    let old: Vec<_> = (1..1000).map(record).collect();
    let changed = |number: u64| {
        if number.is_multiple_of(3) {
            number + 10_000
        } else {
            number
        }
    };
    let new: Vec<_> = (1..1000).map(|number| record(changed(number))).collect();
    let records = 1000 / 3;
    home.write("old", &old.concat());
    home.write("new", &new.concat());
    for name in ["old", "new"] {
        let made = format!("{name}.zck");
        home.succeed("zck", &["-m", "-s", "<record>", "-o", &made, name]);
    }
    let made = home.read("new.zck");
    server.write("new.zck", &made);
    std::fs::remove_file(home.path("new.zck")).expect("a file");

    let url = server.url("/new.zck");
    // It leaves what it fetches where it is.
    home.succeed("zckdl", &["--fail-no-ranges", "-s", "old.zck", &url]);
    assert!(home.read("new.zck") == made);
    let lines = log.so_far(&server);
    assert!(
        answers(&lines).iter().all(|&answer| answer == ("GET", 206)),
        "{lines:#?}"
    );
    // The head of the file twice, and then 256 chunks and the rest of them.
    assert_eq!(lines.len(), 4, "{lines:#?}");
    let bytes = bytes(&lines);
    let most = records * (1500 + 300) + 50_000;
    assert!(bytes < most, "{bytes} bytes for {records} records");
}
