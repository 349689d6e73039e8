//! Where measurements are made: a network of their own, with the congestion control and the packets
//! that servers meet outside, and a core for each side.
//!
//! On plain loopback a packet has 64 KiB and one send buffer swallows megabytes, and a default
//! congestion control that paces (BBR) makes every transfer cost twice: both hide what servers do.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare};
use nix::unistd::{Pid, getgid, getuid};
use procfs::{Current, Meminfo};

use super::results::Machine;

/// The packets of Ethernet, in bytes.
const MTU: u32 = 1500;
/// What Linux uses unless told otherwise, and what does not pace.
const CONGESTION: &str = "cubic";
/// The core of the server; the client has the next one.
pub(crate) const SERVER_CORE: usize = 0;
pub(crate) const CLIENT_CORE: usize = 1;
/// What chrt of util-linux is told to put a program before all that have an ordinary policy.
pub(crate) const URGENT: [&str; 2] = ["--fifo", "1"];

/// Enters a network namespace of our own, if that can be had, and looks at the machine. To be called
/// before any thread is started: threads of before would stay outside.
pub(crate) fn enter() -> Machine {
    let mut machine = look_at_machine();
    match enter_network() {
        Ok(()) => {
            machine.private_network = true;
            machine.congestion = CONGESTION.to_owned();
            machine.mtu = MTU;
        }
        Err(error) => machine.notes.push(format!(
            "no network namespace of our own ({error:#}): packets are as large as loopback makes \
             them, and congestion control is the machine's, {}",
            machine.system_congestion
        )),
    }
    let cores = sched_getaffinity(Pid::from_raw(0));
    machine.pinned = machine.cores >= 2
        && cores.is_ok_and(|cores| {
            [SERVER_CORE, CLIENT_CORE]
                .iter()
                .all(|&core| cores.is_set(core) == Ok(true))
        });
    if machine.pinned {
        // The client, and whatever else is started, inherits it.
        pin(Side::Client);
    } else {
        machine
            .notes
            .push("server and client share CPU cores and compete for them".to_owned());
    }
    machine.urgent_client = may_be_urgent();
    if !machine.urgent_client {
        machine.notes.push(
            "the load generator of cold has no real-time priority (chrt): other programs on its \
             core can delay it"
                .to_owned(),
        );
    }
    machine
}

/// Whether what is started may be put before everything else.
fn may_be_urgent() -> bool {
    let mut command = Command::new("chrt");
    command.args(URGENT).arg("true").stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn enter_network() -> anyhow::Result<()> {
    let (uid, gid) = (getuid(), getgid());
    if uid.is_root() {
        unshare(CloneFlags::CLONE_NEWNET).context("unshare")?;
    } else {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).context("unshare")?;
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    ip(&format!("link set lo up mtu {MTU}"))?;
    // Both ends of a connection take it from the route: the accepted one too.
    let route = "route replace local";
    let table = "dev lo table local";
    ip(&format!("{route} 127.0.0.0/8 {table} congctl {CONGESTION}"))?;
    ip(&format!(
        "{route} 127.0.0.1 {table} src 127.0.0.1 congctl {CONGESTION}"
    ))
}

fn ip(arguments: &str) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.context("cannot run ip; run `apt-get install iproute2`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {arguments}: {}", said.trim());
    Ok(())
}

/// Who runs where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
    /// On every core there is, as in the study.
    Both,
}

/// Has this thread, and what it starts from now on, run on the core of `side`.
pub(crate) fn pin(side: Side) {
    let mut cores = CpuSet::new();
    let chosen: &[usize] = match side {
        Side::Server => &[SERVER_CORE],
        Side::Client => &[CLIENT_CORE],
        Side::Both => &[SERVER_CORE, CLIENT_CORE],
    };
    // Refused only where the cores are not ours, and then the report says that nothing is pinned.
    if chosen.iter().all(|&core| cores.set(core).is_ok()) {
        let _ = sched_setaffinity(Pid::from_raw(0), &cores);
    }
}

fn look_at_machine() -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = |line: &str| {
        Some(
            line.strip_prefix("model name")?
                .split_once(": ")?
                .1
                .to_owned(),
        )
    };
    let cpu = read("/proc/cpuinfo").lines().find_map(model);
    let system_congestion = read("/proc/sys/net/ipv4/tcp_congestion_control")
        .trim()
        .to_owned();
    Machine {
        cpu: cpu.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_bytes: Meminfo::current().map_or(0, |memory| memory.mem_total),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        congestion: system_congestion.clone(),
        system_congestion,
        mtu: 65_536,
        ..Machine::default()
    }
}
