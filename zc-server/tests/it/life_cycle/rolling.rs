//! Three nodes behind HAProxy without retries, restarted one after the other.
//!
//! The configuration of HAProxy is that of the book.

use std::path::Path;

use super::cluster::{Cluster, NODES};
use super::{FOUND, Load, by_http};
use crate::harness::clients::Home;
use crate::harness::wait_until;

const CLIENTS: usize = 8;
/// Requests that must be answered while nodes are restarted.
const REQUESTS: usize = 10_000;
/// Restarts after which one without a delay must have failed a request.
const RESTARTS_MAX: usize = 30;
/// That of the book: four times what HAProxy takes to notice.
const DELAY: [&str; 2] = ["--drain-delay", "2s"];
const BOOK: &str = include_str!("../../../../docs/src/life-cycle.md");

/// The lines of HAProxy's section but those with addresses.
fn lines_of_the_book() -> String {
    let block = BOOK.split_once("```haproxy\n").expect("a block").1;
    let lines = block.lines().take_while(|line| *line != "```");
    let is_own = |line: &&str| {
        let word = line.trim().split(' ').next();
        word.is_some_and(|word| !["listen", "bind", "server"].contains(&word))
    };
    lines
        .filter(is_own)
        .map(|line| format!("{line}\n"))
        .collect()
}

fn one_file(root: &Path) -> Vec<String> {
    std::fs::write(root.join("f"), b"found").expect("a file");
    vec![FOUND.to_owned()]
}

#[test]
fn a_rolling_restart_fails_no_request_with_a_drain_delay() {
    let Some(home) = Home::for_clients(&["haproxy"]) else {
        return;
    };
    assert!(BOOK.contains(&format!("{} /srv/www", DELAY.join(" "))));
    let mut cluster = Cluster::start(&home, 1, &DELAY, &lines_of_the_book(), one_file);
    let load = Load::start(cluster.address(), CLIENTS, by_http);
    for index in 0..NODES {
        load.wait_for(10);
        cluster.restart(index);
    }
    wait_until("enough requests", || {
        load.answered() >= REQUESTS || load.failures() > 0
    });
    let (answered, failed) = load.finish();
    println!("{answered} answered, {} failed", failed.len());
    assert_eq!(failed, Vec::<String>::new());
}

#[test]
fn a_rolling_restart_fails_some_without_one() {
    let Some(home) = Home::for_clients(&["haproxy"]) else {
        return;
    };
    let none = &["--drain-delay", "0s"];
    let mut cluster = Cluster::start(&home, 2, none, &lines_of_the_book(), one_file);
    let load = Load::start(cluster.address(), CLIENTS, by_http);
    for restart in 0..RESTARTS_MAX {
        load.wait_for(10);
        cluster.restart(restart % NODES);
        if restart >= NODES - 1 && load.failures() > 0 {
            break;
        }
    }
    let (answered, failed) = load.finish();
    println!("{answered} answered, {} failed", failed.len());
    assert!(!failed.is_empty(), "what the delay is for");
}
