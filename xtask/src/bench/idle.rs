//! The memory of an idle connection.

use std::process::Command;
use std::time::Duration;

use procfs::{Current, Meminfo};

use super::Bench;
use super::arena::Side;
use super::peers::{OURS, Peer, Protocol};
use super::plan::{START, Times};
use super::results::Idle;
use super::tool::{End, Tool};

/// Connections that are opened in a second, one after the other.
const OPENED_PER_SECOND: usize = 8_000;
const OPENED_PER_SECOND_BY_TLS: usize = 1_000;
/// Of so many connections one is opened where each has a handshake.
const TLS_PART: usize = 5;

/// What this takes by plan.
pub(crate) fn planned(protocol: Protocol, times: &Times, others: &[Peer]) -> Duration {
    let per_second = match protocol {
        Protocol::Http => OPENED_PER_SECOND,
        Protocol::Https => OPENED_PER_SECOND_BY_TLS,
    };
    let opening = connections(protocol, times) as f64 / per_second as f64;
    (START + Duration::from_secs_f64(opening)) * peers(protocol, others).len() as u32
}

/// Who is measured.
pub(crate) fn peers(protocol: Protocol, others: &[Peer]) -> Vec<Peer> {
    let speaks = |peer: &Peer| protocol == Protocol::Http || peer.speaks_tls();
    let others = others.iter().copied().filter(speaks);
    [OURS].into_iter().chain(others).collect()
}

fn connections(protocol: Protocol, times: &Times) -> usize {
    match protocol {
        Protocol::Http => times.idle_connections,
        Protocol::Https => times.idle_connections / TLS_PART,
    }
}

/// Opens idle connections to each server. The steps have begun.
pub(crate) fn run(bench: &mut Bench, protocol: Protocol) -> anyhow::Result<()> {
    for peer in peers(protocol, &bench.others) {
        if bench.is_stopped() {
            return Ok(());
        }
        bench.progress.step(format!("idle: {}", peer.name));
        match run_one(bench, peer, protocol) {
            Ok(idle) => bench.results.idle.push(idle),
            Err(_) if bench.is_stopped() => return Ok(()),
            Err(error) => bench.skip_failed(format!("idle connections of {}", peer.name), &error),
        }
    }
    Ok(())
}

fn run_one(bench: &Bench, peer: Peer, protocol: Protocol) -> anyhow::Result<Idle> {
    let root = bench.fixtures.root();
    let server = peer.start(&bench.programs, root, &[], protocol, Side::Server)?;
    let connections = connections(protocol, &bench.times);
    let at_start = server.usage();
    let slab_before = slab_bytes();
    let mut command = Command::new(&bench.programs.bench);
    command.args(["idle", "--target", "/1k.bin", "--connections"]);
    command.arg(connections.to_string());
    command.arg("--address").arg(server.address.to_string());
    if protocol == Protocol::Https {
        let certificate = bench.programs.certificate();
        command.arg("--tls-certificate").arg(certificate);
    }
    let mut tool = Tool::start(command, End::Input)?;
    let word = tool.line(&bench.stop)?;
    let (with, slab) = (server.usage(), slab_bytes());
    drop(tool);
    anyhow::ensure!(word == "ready", "the connections could not be opened");
    let each = |with: u64, without: u64| (with as f64 - without as f64) / connections as f64;
    Ok(Idle {
        server: peer.name.to_owned(),
        tls: protocol == Protocol::Https,
        connections,
        resident_at_start_bytes: at_start.resident_bytes,
        user_bytes_each: each(with.anonymous_bytes, at_start.anonymous_bytes),
        kernel_bytes_each: each(slab, slab_before),
    })
}

fn slab_bytes() -> u64 {
    Meminfo::current().map_or(0, |memory| memory.slab)
}
