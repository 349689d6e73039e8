//! Three nodes behind HAProxy as `deploy/haproxy/haproxy.cfg` has it, and nodes that die.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, SystemTime};

use super::cluster::{Cluster, NODES};
use super::{Load, by_http};
use crate::harness::clients::Home;
use crate::harness::{pattern, wait_until};

const CLIENTS: usize = 8;
/// Files by the ring of HAProxy: each node has some of them.
const FILES: usize = 64;
/// Requests that must be answered while nodes die.
const REQUESTS: usize = 5_000;
/// The length of a download.
const BIG_BYTES: usize = 100_000_000;
/// How fast a client reads: slowly enough that all nodes can die meanwhile.
const BYTES_PER_SECOND: &str = "10M";
const HAPROXY: &str = include_str!("../../../../deploy/haproxy/haproxy.cfg");

/// The lines of the section `backend files` but those with addresses.
fn lines_of_deploy() -> String {
    let section = HAPROXY
        .split_once("\nbackend files\n")
        .expect("a section")
        .1;
    let lines = section
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with(' '));
    let is_own = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#') && !line.starts_with("server ")
    };
    let lines: String = lines
        .filter(is_own)
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(HAPROXY.contains("\ndefaults\n  mode http\n"));
    // Each server has a port of its own for checks here.
    format!("  mode http\n{}", lines.replace(" port 9180", ""))
}

/// Equal on each node, times included.
fn small_files(root: &Path) -> Vec<String> {
    let file = |number| {
        let name = format!("f{number}");
        write(&root.join(&name), b"found");
        format!("/{name}")
    };
    (0..FILES).map(file).collect()
}

fn with_a_big_one(root: &Path) -> Vec<String> {
    write(&root.join("big"), &pattern(BIG_BYTES, 1));
    small_files(root)
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("a file");
    let file = std::fs::File::options().write(true).open(path);
    let written = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    let file = file.expect("a file");
    file.set_modified(written).expect("a time");
}

#[test]
fn nodes_that_die_fail_no_request() {
    let Some(home) = Home::for_clients(&["haproxy"]) else {
        return;
    };
    let mut cluster = Cluster::start(&home, 3, &[], &lines_of_deploy(), small_files);
    let load = Load::of_targets(cluster.address(), CLIENTS, by_http, cluster.targets());
    for index in 0..NODES {
        load.wait_for(10);
        cluster.kill(index);
    }
    wait_until("enough requests", || {
        load.answered() >= REQUESTS || load.failures() > 0
    });
    let (answered, failed) = load.finish();
    println!("{answered} answered, {} failed", failed.len());
    assert_eq!(failed, Vec::<String>::new());
}

/// Kills the node that is sending, three times at most, until the client has ended. Answers how often.
fn kill_nodes_that_send(cluster: &mut Cluster, client: &mut Child) -> usize {
    for killed in 0..NODES {
        let mut sending = None;
        wait_until("a node sends, or the download is over", || {
            sending = cluster.sending();
            sending.is_some() || client.try_wait().expect("our own child").is_some()
        });
        let Some(index) = sending else {
            return killed;
        };
        cluster.kill(index);
    }
    NODES
}

/// Downloads `/big` to `big` while nodes die. `client` has its URL as `$1`, and how fast it may read as `$2`.
fn download_while_nodes_die(home: &Home, network: u8, client: &str) {
    let mut cluster = Cluster::start(home, network, &[], &lines_of_deploy(), with_a_big_one);
    let url = format!("http://{}/big", cluster.address());
    let mut command = home.command("sh");
    command.args(["-c", client, "sh", &url, BYTES_PER_SECOND]);
    let mut client = command.spawn().expect("timeout(1) starts");
    let killed = kill_nodes_that_send(&mut cluster, &mut client);
    assert!(client.wait().expect("our own child").success());
    assert!(killed > 0, "no node died while it sent");
    assert!(home.read("big") == std::fs::read(cluster.root(0).join("big")).expect("a file"));
}

#[test]
fn a_download_by_curl_goes_on_at_other_nodes() {
    let Some(home) = Home::for_clients(&["haproxy", "curl"]) else {
        return;
    };
    // Its option --retry begins again at the first byte.
    let again =
        "until curl --silent --fail --limit-rate $2 --continue-at - --output big $1; do :; done";
    download_while_nodes_die(&home, 4, again);
}

#[test]
fn a_download_by_aria2_goes_on_at_other_nodes() {
    let Some(home) = Home::for_clients(&["haproxy", "aria2c"]) else {
        return;
    };
    let aria2 = "exec aria2c --no-conf --no-netrc --quiet --file-allocation=none -x4 -s4 -k1M --max-tries=0 \
                 --retry-wait=1 --max-overall-download-limit=$2 -o big $1";
    download_while_nodes_die(&home, 5, aria2);
}
