//! What the metrics tell of a disk that is slow: jobs, threads, and the connections that wait.

use std::time::Duration;

use nix::sys::signal::Signal;
use zc_bench::slow_fs::{Content, Operation, SlowFs, Treatment};

use super::Watched;
use crate::harness::mounts::slow_fs;
use crate::harness::tls::says_not_by_tls;
use crate::harness::{Client, Server, binary, pattern, temp_root};

const LENGTH: usize = 10_000;
const WAITING: &str = "zc_connections{state=\"waiting\"}";

/// `None` where FUSE cannot be used. Of two threads of each pool one may work for the mount, which is dropped first: a
/// server whose thread waits for it cannot end before it.
fn start() -> Option<(Watched, SlowFs)> {
    start_with(&[])
}

fn start_with(options: &[&str]) -> Option<(Watched, SlowFs)> {
    let root = temp_root();
    let point = root.path().join("slow");
    std::fs::create_dir(&point).expect("a directory");
    let mount = slow_fs(&point)?;
    for (name, seed) in [("0", 0), ("1", 1), ("2", 2)] {
        let bytes = pattern(LENGTH, seed);
        mount.add(name, Content::Bytes(bytes.into()));
    }
    let served = root.path().to_owned();
    let two_threads = ["--admin-bind", "127.0.0.1:0", "--disk-threads", "2"];
    let options = [&two_threads, options].concat();
    let server = Server::start_with(binary(), root, &served, &options);
    Some((Watched::of(server), mount))
}

/// One request for each file of the mount, on a connection of its own.
fn ask(watched: &Watched) -> Vec<Client> {
    let ask = |index| {
        let mut client = watched.server.connect();
        client.send(format!("GET /slow/{index} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
        client
    };
    (0..3).map(ask).collect()
}

#[test]
fn look_ups_that_the_disk_does_not_answer_are_jobs() {
    let Some((watched, mount)) = start() else {
        return;
    };
    let [jobs, threads, busy] = ["jobs", "threads", "threads_busy"]
        .map(|what| format!("zc_disk_queue_{what}{{pool=\"other\"}}"));
    mount.treat(Operation::LookUp, Treatment::Hold);
    let clients = ask(&watched);
    watched.wait_for(&jobs, 2.0);
    watched.wait_for(WAITING, 3.0);
    watched.wait_for(&busy, 1.0);
    assert!(watched.value(&threads) >= 1.0);
    mount.treat(Operation::LookUp, Treatment::Answer);
    for (mut client, seed) in clients.into_iter().zip(0..) {
        assert!(client.response(false).body == pattern(LENGTH, seed));
    }
    for none in [&jobs[..], &busy, WAITING] {
        watched.wait_for(none, 0.0);
    }
}

#[test]
fn a_look_up_for_which_the_queue_has_no_place_is_refused() {
    let directory = temp_root();
    let config = directory.path().join("zc.toml");
    std::fs::write(&config, "").expect("a file");
    let options = ["--config", config.to_str().expect("UTF-8")];
    let Some((mut watched, mount)) = start_with(&options) else {
        return;
    };
    let mut late = watched.server.connect();
    assert_eq!(late.get("/none").status, 404);
    mount.treat(Operation::LookUp, Treatment::Hold);
    let clients = ask(&watched);
    watched.wait_for("zc_disk_queue_jobs{pool=\"other\"}", 2.0);
    let reload = |watched: &mut Watched, lines: &str| {
        std::fs::write(&config, lines).expect("a file");
        watched.server.signal(Signal::SIGHUP);
        watched.server.said_with("the configuration was read again");
    };
    // There are two places for each connection that may be open, and both are taken.
    reload(&mut watched, "max-connections = 1\n");
    let refused = "zc_disk_queue_refused_total{pool=\"other\"}";
    assert_eq!(watched.value(refused), 0.0);
    let response = late.get("/slow/2");
    assert_eq!(
        (response.status, response.field("retry-after")),
        (503, Some("1"))
    );
    watched.wait_for(refused, 1.0);
    // Who is answered by the disk has to find a place for the next job.
    reload(&mut watched, "");
    mount.treat(Operation::LookUp, Treatment::Answer);
    for (mut client, seed) in clients.into_iter().zip(0..) {
        assert!(client.response(false).body == pattern(LENGTH, seed));
    }
}

#[test]
fn a_request_whose_client_leaves_before_its_answer_has_no_code() {
    let Some((watched, mount)) = start() else {
        return;
    };
    mount.treat(Operation::LookUp, Treatment::Hold);
    let clients = ask(&watched);
    watched.wait_for(WAITING, 3.0);
    for client in clients {
        let socket = socket2::SockRef::from(&client.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    }
    watched.wait_for("zc_http_requests_total{method=\"GET\",code=\"none\"}", 3.0);
    assert_eq!(watched.value("zc_http_request_duration_seconds_count"), 0.0);
    mount.treat(Operation::LookUp, Treatment::Answer);
}

#[test]
fn a_file_system_that_is_not_trusted_with_sendfile_is_a_reason() {
    if says_not_by_tls("nothing asks for sendfile") {
        return;
    }
    let Some((watched, _mount)) = start() else {
        return;
    };
    assert!(watched.server.get("/slow/1").body == pattern(LENGTH, 1));
    watched.wait_for("zc_fallbacks_total{reason=\"file_system\"}", 1.0);
}
