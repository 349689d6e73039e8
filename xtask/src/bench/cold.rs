//! Small requests at a fixed rate, alone and beside others that are slow or greedy.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Bench;
use super::arena::Side;
use super::fixtures::{COLD_STREAMS, Size};
use super::load::{Demand, STEAL_MAX_OF_TAIL};
use super::peers::{OURS, Peer, Protocol};
use super::plan::{LOOK, START, Times};
use super::process::Running;
use super::results::{Cold, Skipped};
use super::section::Section;
use super::tool::{End, Tool};
use super::watch::{Repeats, most};

/// What runs beside the small requests.
pub(crate) const BESIDE: [&str; 4] = ["fuse", "disk-small", "disk-large", "greedy"];
/// Requests per second.
pub(crate) const RATE: u32 = 500;
/// Streams of the slow file system, and greedy downloads.
pub(crate) const FEW: u64 = 8;
/// Milliseconds that each read of the slow file system takes.
pub(crate) const FUSE_DELAY_MS: u64 = 200;

/// Making the cold files, on a disk of a GB/s.
const MAKE: Duration = Duration::from_secs(8);
/// Kinds that are read without a server, too.
const READ: u32 = 2;

/// What this takes by plan.
pub(crate) fn planned(times: &Times, others: &[Peer]) -> Duration {
    let of_each = START + (LOOK + times.warm_up + times.cold) * 2 + START;
    let servers = (1 + others.len()) as u32;
    let kinds = BESIDE.len() as u32;
    let reading = (START + LOOK + times.warm_up + times.cold + START) * READ;
    let making = match times.size {
        Size::Full => MAKE,
        Size::Trial => Duration::ZERO,
    };
    making + (of_each * servers * kinds + reading) * times.cold_rounds
}

/// Runs each kind on each server.
pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    bench.say("making the cold files");
    bench.fixtures.make_cold(bench.times.size)?;
    let peers: Vec<Peer> = [&[OURS], &bench.others[..]].concat();
    let kinds = kinds(bench);
    let rounds = bench.times.cold_rounds;
    let steps = (peers.len() * kinds.len()) as u64 * u64::from(rounds);
    bench.progress.begin(Section::Cold, steps);
    // Of two measurements in each step one is repeated, on average.
    let steps = u32::try_from(steps).unwrap_or(u32::MAX);
    let mut repeats = bench.times.repeats(steps, STEAL_MAX_OF_TAIL);
    for round in 0..rounds {
        for &beside in &kinds {
            let disk = match disk_bytes_per_second(bench, beside) {
                Err(_) if bench.is_stopped() => return Ok(()),
                disk => disk?,
            };
            for &peer in &peers {
                if bench.is_stopped() {
                    return Ok(());
                }
                bench.progress.step(format!("{beside}: {}", peer.name));
                match run_one(bench, peer, beside, &mut repeats) {
                    Ok(cold) => bench.results.cold.push(Cold {
                        round,
                        disk_bytes_per_second: disk,
                        ..cold
                    }),
                    Err(_) if bench.is_stopped() => return Ok(()),
                    Err(error) => {
                        bench.skip_failed(format!("{} beside {beside}", peer.name), &error)
                    }
                }
            }
        }
    }
    Ok(())
}

/// What of [`BESIDE`] this machine can do.
fn kinds(bench: &mut Bench) -> Vec<&'static str> {
    let mut kinds = BESIDE.to_vec();
    if !has_fuse() {
        kinds.retain(|kind| *kind != "fuse");
        bench.skip(Skipped {
            what: "small requests beside slow files".to_owned(),
            why: "this machine has no /dev/fuse".to_owned(),
            mend: None,
        });
    }
    kinds
}

/// Whether file systems can be made here.
pub(crate) fn has_fuse() -> bool {
    Path::new("/dev/fuse").exists()
}

fn run_one(
    bench: &mut Bench,
    peer: Peer,
    beside: &str,
    repeats: &mut Repeats,
) -> anyhow::Result<Cold> {
    let root = bench.fixtures.root().to_owned();
    // A mount of its own for each: what one server has read is in memory for the next.
    let mount = match beside {
        "fuse" => Some(start_helper(
            bench,
            &[
                "slow-fs".into(),
                root.join("fuse").into_os_string(),
                "--delay-ms".into(),
                FUSE_DELAY_MS.to_string().into(),
                "--files".into(),
                FEW.to_string().into(),
            ],
        )?),
        _ => None,
    };
    let server = peer.start(&bench.programs, &root, &[], Protocol::Http, Side::Server)?;
    let hot = small_requests(bench);
    let alone = bench.measure_quietly(&server, &hot, repeats)?;
    let others = start_others(bench, &server, beside)?;
    let together = bench.measure_quietly(&server, &hot, repeats);
    let others_bytes_per_second = others.last_line(&bench.stop)?.parse()?;
    // Before the mount goes: a server that hangs in it could not end.
    drop(server);
    drop(mount);
    let together = together?;
    Ok(Cold {
        beside: beside.to_owned(),
        server: peer.name.to_owned(),
        round: 0,
        steal: alone.seen.steal.max(together.seen.steal),
        foreign: more_disturbed(alone.seen.foreign, together.seen.foreign),
        alone: alone.load,
        together: together.load,
        others_bytes_per_second,
        disk_bytes_per_second: None,
    })
}

/// The foreign time of the window that had more of it.
fn more_disturbed(alone: Vec<f64>, together: Vec<f64>) -> Vec<f64> {
    if most(&alone) > most(&together) {
        alone
    } else {
        together
    }
}

fn small_requests(bench: &Bench) -> Demand {
    Demand {
        targets: "/1k.bin".to_owned(),
        connections: 4,
        close: false,
        rate: Some(f64::from(RATE)),
        warm_up: bench.times.warm_up,
        measured: bench.times.cold,
        responses_min: 0,
        measured_max: bench.times.cold,
        verify_every: 1000,
        is_urgent: true,
        tls: None,
    }
}

/// What the disk gives to as many readers as there are streams, who are sent nothing: the same files, in
/// the same order, made cold in the same way, for the same time. Beside the same small requests: their
/// client takes a good part of the core from either.
fn disk_bytes_per_second(bench: &Bench, beside: &str) -> anyhow::Result<Option<f64>> {
    let Some(targets) = cold_targets(bench, beside) else {
        return Ok(None);
    };
    let root = bench.fixtures.root();
    let server = OURS.start(&bench.programs, root, &[], Protocol::Http, Side::Server)?;
    let arguments = evicting(
        bench,
        streams("--read", root.as_os_str(), &targets, COLD_STREAMS),
    );
    let readers = start_helper(bench, &arguments)?;
    bench.measure(&server, &small_requests(bench))?;
    Ok(Some(readers.last_line(&bench.stop)?.parse()?))
}

/// The cold files of one kind, as targets; `None` for what has none.
fn cold_targets(bench: &Bench, beside: &str) -> Option<String> {
    let kind = beside.strip_prefix("disk-")?;
    let count = bench.fixtures.cold(kind, bench.times.size);
    Some(format!("/cold/{kind}-{{0..{count}}}.bin"))
}

fn start_others(bench: &Bench, server: &Running, beside: &str) -> anyhow::Result<Tool> {
    let address = OsString::from(server.address.to_string());
    let from_server = |targets: &str, count| streams("--address", &address, targets, count);
    let arguments = match (cold_targets(bench, beside), beside) {
        (Some(targets), _) => evicting(bench, from_server(&targets, COLD_STREAMS)),
        (None, "fuse") => from_server(&format!("/fuse/{{0..{FEW}}}.bin"), FEW),
        (None, _) => from_server("/video.mp4", FEW),
    };
    start_helper(bench, &arguments)
}

fn streams(option: &str, source: &OsStr, targets: &str, count: u64) -> Vec<OsString> {
    vec![
        "streams".into(),
        option.into(),
        source.into(),
        "--target".into(),
        targets.into(),
        "--streams".into(),
        count.to_string().into(),
    ]
}

fn evicting(bench: &Bench, mut arguments: Vec<OsString>) -> Vec<OsString> {
    arguments.push("--evict".into());
    arguments.push(bench.fixtures.root().into());
    arguments
}

/// Starts a program that works until its standard input ends, and waits until it is ready.
fn start_helper(bench: &Bench, arguments: &[OsString]) -> anyhow::Result<Tool> {
    let mut command = Command::new(&bench.programs.bench);
    command.args(arguments);
    let mut tool = Tool::start(command, End::Input)?;
    let word = tool.line(&bench.stop)?;
    anyhow::ensure!(word == "ready", "{arguments:?} is not ready: {word}");
    Ok(tool)
}
