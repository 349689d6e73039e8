//! What a connection costs that nobody uses.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::Context;

use super::Bench;
use super::arena::Side;
use super::peers::{OURS, Peer};
use super::results::{Idle, Skipped};

/// Opens idle connections to each server.
pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let peers: Vec<Peer> = [&[OURS], &bench.others[..]].concat();
    bench.begin("idle", peers.len() as u64);
    for peer in peers {
        bench.progress.set_message(peer.name);
        if bench.is_stopped() {
            return Ok(());
        }
        match run_one(bench, peer) {
            Ok(idle) => bench.results.idle.push(idle),
            Err(error) => bench.skip(Skipped {
                what: format!("idle connections of {}", peer.name),
                why: format!("{error:#}"),
                mend: None,
            }),
        }
        bench.progress.inc(1);
    }
    Ok(())
}

fn run_one(bench: &Bench, peer: Peer) -> anyhow::Result<Idle> {
    let root = bench.fixtures.root();
    let server = peer.start(&bench.programs, root, &[], Side::Server)?;
    let connections = bench.times.idle_connections;
    let at_start = server.usage();
    let slab_before = slab_bytes();
    let mut child = Command::new(&bench.programs.bench)
        .arg("idle")
        .arg("--address")
        .arg(server.address.to_string())
        .args(["--target", "/1k.bin", "--connections"])
        .arg(connections.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut word = String::new();
    BufReader::new(child.stdout.take().context("piped")?).read_line(&mut word)?;
    let (with, slab) = (server.usage(), slab_bytes());
    // Its standard input ends, and so does it.
    drop(child.stdin.take());
    child.wait()?;
    anyhow::ensure!(
        word.trim() == "ready",
        "the connections could not be opened"
    );
    let each = |with: u64, without: u64| (with as f64 - without as f64) / connections as f64;
    Ok(Idle {
        server: peer.name.to_owned(),
        connections,
        resident_at_start_bytes: at_start.resident_bytes,
        user_bytes_each: each(with.anonymous_bytes, at_start.anonymous_bytes),
        kernel_bytes_each: each(slab, slab_before),
    })
}

fn slab_bytes() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Slab:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}
