//! `--disk-timeout` ends a wait for a disk that does not answer, and not one for a disk that is slow.

use std::time::Duration;

use zc_bench::slow_fs::{self, Content, Operation, Treatment};

use crate::harness::mounts::slow_fs;
use crate::harness::{Server, binary, temp_root};

/// The time limit, and a part of it that each read takes.
const LIMIT: &str = "1s";
const DELAY: Duration = Duration::from_millis(200);
/// As many reads of 128 KiB as take several times the limit.
const LENGTH: u64 = 4 << 20;
/// Tries where the machine, and not the disk, may take longer than the limit.
const TRIES: usize = 5;

#[test]
fn a_disk_that_is_slow_but_answers_is_waited_for() {
    let root = temp_root();
    let point = root.path().join("slow");
    std::fs::create_dir(&point).expect("a directory");
    let Some(mount) = slow_fs(&point) else {
        return;
    };
    let content = |seed| Content::Pattern {
        seed,
        length: LENGTH,
    };
    for seed in 0..TRIES as u64 {
        mount.add(format!("{seed}"), content(seed));
    }
    let served = root.path().to_owned();
    let server = Server::start_with(binary(), root, &served, &["--disk-timeout", LIMIT]);
    mount.treat(Operation::Read, Treatment::Delay(DELAY));
    let is_whole = |seed: u64| {
        let mut client = server.connect();
        client.send(format!("GET /slow/{seed} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
        let response = client.try_response(false);
        let expected = slow_fs::pattern(seed, 0, LENGTH as usize);
        response.is_ok_and(|response| response.status == 200 && response.body == expected)
    };
    assert!((0..TRIES as u64).any(is_whole), "none arrived as a whole");
    drop(server);
}
