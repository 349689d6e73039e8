//! Small requests at a fixed rate, alone and beside others that are slow or greedy.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use super::Bench;
use super::arena::Side;
use super::fixtures::COLD_STREAMS;
use super::load::Demand;
use super::peers::{OURS, Peer};
use super::process::Running;
use super::results::{Cold, Skipped};

/// What runs beside the small requests.
pub(crate) const BESIDE: [&str; 4] = ["fuse", "disk-small", "disk-large", "greedy"];
/// Requests per second.
const RATE: f64 = 500.0;
/// Streams of the slow file system, and greedy downloads.
const FEW: u64 = 8;
/// Milliseconds that each read of the slow file system takes.
const FUSE_DELAY_MS: u64 = 200;

/// Runs each kind on each server.
pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    bench.progress.set_message("making the cold files");
    bench.fixtures.make_cold(bench.times.size)?;
    let peers: Vec<Peer> = [&[OURS], &bench.others[..]].concat();
    let rounds = bench.times.rounds.div_ceil(2);
    let steps = peers.len() as u64 * BESIDE.len() as u64 * u64::from(rounds);
    bench.begin("cold", steps);
    for round in 0..rounds {
        for beside in BESIDE {
            for &peer in &peers {
                bench
                    .progress
                    .set_message(format!("{beside}: {}", peer.name));
                if bench.is_stopped() {
                    return Ok(());
                }
                match run_one(bench, peer, beside, round) {
                    Ok(cold) => bench.results.cold.push(cold),
                    Err(_) if bench.is_stopped() => return Ok(()),
                    Err(error) => bench.skip(Skipped {
                        what: format!("{} beside {beside}", peer.name),
                        why: format!("{error:#}"),
                        mend: None,
                    }),
                }
                bench.progress.inc(1);
            }
        }
    }
    Ok(())
}

fn run_one(bench: &Bench, peer: Peer, beside: &str, round: u32) -> anyhow::Result<Cold> {
    let root = bench.fixtures.root();
    // A mount of its own for each: what one server has read is in memory for the next.
    let mount = match beside {
        "fuse" => Some(Helper::start(
            &bench.programs.bench,
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
    let server = peer.start(&bench.programs, root, &[], Side::Server)?;
    let hot = Demand {
        targets: "/1k.bin".to_owned(),
        connections: 4,
        close: false,
        rate: Some(RATE),
        seconds: bench.times.cold.as_secs_f64(),
        verify_every: 1000,
    };
    let alone = bench.measure(&server, &hot)?.load;
    let disk_bytes_per_second = match beside {
        "disk-small" | "disk-large" => Some(read_without_a_server(bench, beside)?),
        _ => None,
    };
    let others = start_others(bench, &server, beside)?;
    let together = bench.measure(&server, &hot);
    let others_bytes_per_second = others.finish()?;
    // Before the mount goes: a server that hangs in it could not end.
    drop(server);
    drop(mount);
    Ok(Cold {
        beside: beside.to_owned(),
        server: peer.name.to_owned(),
        round,
        alone,
        together: together?.load,
        others_bytes_per_second,
        disk_bytes_per_second,
    })
}

/// The cold files of one kind.
fn files(bench: &Bench, beside: &str) -> anyhow::Result<Vec<PathBuf>> {
    let prefix = if beside == "disk-small" {
        "small-"
    } else {
        "large-"
    };
    Ok(bench.fixtures.cold(prefix)?)
}

/// What the disk gives to as many readers as there are streams.
fn read_without_a_server(bench: &Bench, beside: &str) -> anyhow::Result<f64> {
    let files = files(bench, beside)?;
    let run = |program: &str, arguments: &[PathBuf]| {
        let output = Command::new(&bench.programs.bench)
            .arg(program)
            .args(arguments)
            .output()?;
        anyhow::ensure!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    run("evict", &files)?;
    Ok(run("read", &files)?.parse()?)
}

fn start_others(bench: &Bench, server: &Running, beside: &str) -> anyhow::Result<Helper> {
    let address = server.address.to_string();
    let common = |targets: &str, streams: u64| {
        vec![
            "streams".into(),
            "--address".into(),
            address.clone().into(),
            "--target".into(),
            targets.into(),
            "--connections".into(),
            streams.to_string().into(),
        ]
    };
    let evicting = |mut arguments: Vec<std::ffi::OsString>| {
        arguments.push("--evict".into());
        arguments.push(bench.fixtures.root().into());
        arguments
    };
    let arguments = match beside {
        "fuse" => common(&format!("/fuse/{{0..{FEW}}}.bin"), FEW),
        "greedy" => common("/video.mp4", FEW),
        _ => {
            let prefix = if beside == "disk-small" {
                "small"
            } else {
                "large"
            };
            let count = files(bench, beside)?.len();
            let targets = format!("/cold/{prefix}-{{0..{count}}}.bin");
            evicting(common(&targets, COLD_STREAMS))
        }
    };
    Helper::start(&bench.programs.bench, &arguments)
}

/// A program that works until its standard input ends.
struct Helper {
    child: Child,
}

impl Helper {
    /// Starts it, and waits for the word that it is ready.
    fn start(program: &PathBuf, arguments: &[std::ffi::OsString]) -> anyhow::Result<Self> {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let mut helper = Self { child };
        let word = helper.line()?;
        anyhow::ensure!(word == "ready", "{arguments:?} is not ready: {word}");
        Ok(helper)
    }

    /// One line of what it prints, read byte by byte so that nothing of the next is taken.
    fn line(&mut self) -> anyhow::Result<String> {
        use std::io::Read;
        let output = self.child.stdout.as_mut().context("piped")?;
        let mut line = Vec::new();
        let mut byte = [0];
        while output.read(&mut byte)? == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Ends it; answers the number that it prints last.
    fn finish(mut self) -> anyhow::Result<f64> {
        drop(self.child.stdin.take());
        Ok(self.line()?.parse()?)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // A mount is undone when its program has seen the end of its input.
        let _ = self.child.wait();
    }
}
