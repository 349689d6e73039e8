//! Options whose effect is seen in the process, and in no response.

use std::collections::BTreeSet;
use std::process::Command;

use crate::admin::Watched;
use crate::harness::clients::say_missing;
use crate::harness::{Server, pattern, wait_until};

/// The names of the threads of a server.
fn threads(server: &Server) -> BTreeSet<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid()));
    let tasks = tasks.expect("our child").flatten();
    // One may be gone since.
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .collect()
}

#[test]
fn there_are_as_many_workers_as_threads_are_asked_for() {
    let server = Server::start(&["--threads", "3"]);
    wait_until("three workers", || {
        // A new thread has its parent's name for a moment.
        let names = threads(&server);
        let workers = names.iter().filter(|name| name.starts_with("zc-worker"));
        workers.count() == 3
    });
}

#[test]
fn without_io_uring_there_is_no_ring() {
    let with = Server::start(&[]);
    let without = Server::start(&["--io-uring", "off"]);
    let rings = |server: &Server| {
        let paths = server.descriptor_paths();
        let links = paths
            .iter()
            .filter_map(|path| std::fs::read_link(path).ok());
        links
            .filter(|link| link.to_string_lossy().contains("io_uring"))
            .count()
    };
    assert_eq!(rings(&without), 0);
    assert!(rings(&with) > 0, "the kernel has no io_uring");
}

#[test]
fn connections_have_the_congestion_control_that_is_asked_for() {
    // Not the one that they have anyhow.
    let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv4/tcp_{name}"));
    let default = read("congestion_control").expect("Linux");
    let available = read("available_congestion_control").expect("Linux");
    let mut available = available.split_whitespace();
    let other = available.find(|name| ["cubic", "bbr"].contains(name) && *name != default.trim());
    let Some(other) = other else {
        return say_missing("another congestion control");
    };
    let server = Server::start(&["--congestion", other]);
    let mut client = server.connect();
    assert_eq!(client.get("/none").status, 404);
    let port = server.address.port();
    let filter = format!("sport = :{port}");
    let Ok(output) = Command::new("ss").args(["-tinH", &filter]).output() else {
        return say_missing("ss");
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&format!(" {other} ")), "{said}");
}

#[test]
fn the_cache_takes_no_more_memory_than_it_may() {
    const BYTES_MAX: f64 = 64.0 * 1024.0;
    let bounds = ["--cache-files", "1000", "--cache-bytes", "64KiB"];
    let options = [&bounds[..], &["--cache-ttl", "1h"]].concat();
    let watched = Watched::start(&[], &options);
    let body = pattern(4_000, 1);
    for index in 0..40 {
        watched.server.write(&index.to_string(), &body);
    }
    watched.server.wait_until_settled("/39");
    let mut client = watched.server.connect();
    wait_until("files make room", || {
        for index in 0..40 {
            // Kept from the second time on.
            for _ in 0..2 {
                assert!(client.get(&format!("/{index}")).body == body);
            }
        }
        let bytes = watched.value("zc_cache_bytes");
        assert!(bytes <= BYTES_MAX, "{bytes}");
        bytes > 0.0 && watched.value("zc_cache_evictions_total") > 0.0
    });
}
