//! The memory of an idle connection.

use std::process::Command;
use std::time::Duration;

use procfs::{Current, Meminfo};

use super::Bench;
use super::arena::Side;
use super::peers::{OURS, Peer};
use super::plan::{START, Times};
use super::results::Idle;
use super::section::Section;
use super::tool::{End, Tool};

/// Connections that are opened in a second, one after the other.
const OPENED_PER_SECOND: usize = 8_000;

/// What this takes by plan.
pub(crate) fn planned(times: &Times, others: &[Peer]) -> Duration {
    let opening = times.idle_connections as f64 / OPENED_PER_SECOND as f64;
    (START + Duration::from_secs_f64(opening)) * (1 + others.len()) as u32
}

/// Opens idle connections to each server.
pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let peers: Vec<Peer> = [&[OURS], &bench.others[..]].concat();
    bench.progress.begin(Section::Idle, peers.len() as u64);
    for peer in peers {
        if bench.is_stopped() {
            return Ok(());
        }
        bench.progress.step(peer.name.to_owned());
        match run_one(bench, peer) {
            Ok(idle) => bench.results.idle.push(idle),
            Err(_) if bench.is_stopped() => return Ok(()),
            Err(error) => bench.skip_failed(format!("idle connections of {}", peer.name), &error),
        }
    }
    Ok(())
}

fn run_one(bench: &Bench, peer: Peer) -> anyhow::Result<Idle> {
    let root = bench.fixtures.root();
    let server = peer.start(&bench.programs, root, &[], Side::Server)?;
    let connections = bench.times.idle_connections;
    let at_start = server.usage();
    let slab_before = slab_bytes();
    let mut command = Command::new(&bench.programs.bench);
    command.args(["idle", "--target", "/1k.bin", "--connections"]);
    command.arg(connections.to_string());
    command.arg("--address").arg(server.address.to_string());
    let mut tool = Tool::start(command, End::Input)?;
    let word = tool.line(&bench.stop)?;
    let (with, slab) = (server.usage(), slab_bytes());
    drop(tool);
    anyhow::ensure!(word == "ready", "the connections could not be opened");
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
    Meminfo::current().map_or(0, |memory| memory.slab)
}
