//! Files of each size, hot: ours, the floors and other servers in interleaved rounds.

use std::path::PathBuf;
use std::time::Duration;

use super::Bench;
use super::arena::Side;
use super::fixtures::{Size, VIDEO_BYTES};
use super::load::{Demand, RESPONSES_MIN, STEAL_MAX};
use super::peers::{FLOOR_COPY, FLOOR_CORK, FLOOR_SEND, FLOOR_SENDFILE, OURS, Peer, variants};
use super::plan::{LOOK, START, Times};
use super::process::Running;
use super::results::Sample;
use super::section::Section;
use super::stats::spread;
use super::watch::Repeats;

/// One of so many samples may be taken again: on a machine that is never quiet, the run still ends as
/// planned.
const SAMPLES_FOR_A_REPEAT: u32 = 4;
/// The part of our own peak at which tails are compared: servers that are full have no tail, they
/// have a queue.
const RATE_PART: f64 = 0.6;
/// What a server sends of the video, by plan.
const BULK_BYTES_PER_SECOND: f64 = 7e9;
/// Requests per second where the peak is not known.
const RATE_UNKNOWN: f64 = 1000.0;

/// What all servers are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// `{}` is the number of files where there are many.
    targets: &'static str,
    connections: usize,
    close: bool,
    /// At a fixed rate, measured against our own peak in this scenario.
    paced_by: Option<&'static str>,
    floors: &'static [Peer],
}

impl Scenario {
    /// Who is measured: ours in its variants, the floors, and others.
    pub(crate) fn peers(&self, others: &[Peer]) -> Vec<Peer> {
        [&variants(), self.floors, others].concat()
    }

    /// How long a window is by plan: that of the video is as long as enough responses take.
    fn measured(&self, times: &Times) -> Duration {
        let is_bulk = self.targets == "/video.mp4" && times.size == Size::Full;
        let bytes = RESPONSES_MIN * VIDEO_BYTES;
        let seconds = bytes as f64 / BULK_BYTES_PER_SECOND;
        let bulk = is_bulk.then(|| Duration::from_secs_f64(seconds));
        times.measured.max(bulk.unwrap_or_default())
    }

    /// Whether requests come at a fixed rate, so that tails compare.
    pub(crate) fn is_paced(&self) -> bool {
        self.paced_by.is_some()
    }
}

/// 64 connections that ask again as soon as they have their answer.
const fn scenario(
    id: &'static str,
    title: &'static str,
    targets: &'static str,
    floors: &'static [Peer],
) -> Scenario {
    Scenario {
        id,
        title,
        targets,
        connections: 64,
        close: false,
        paced_by: None,
        floors,
    }
}

const SMALL: &[Peer] = &[FLOOR_SEND];

/// In the order in which they are run and shown.
pub(crate) const SCENARIOS: [Scenario; 9] = [
    scenario("1k", "1 KiB", "/1k.bin", SMALL),
    scenario(
        "4k-many",
        "4 KiB of 10,000 files",
        "/4k/{0..MANY}.bin",
        SMALL,
    ),
    scenario("10k", "10 KiB", "/10k.bin", SMALL),
    scenario("100k", "100 KiB", "/100k.bin", &[FLOOR_SENDFILE]),
    scenario("1m", "1 MiB", "/1m.bin", &[FLOOR_SENDFILE, FLOOR_CORK]),
    Scenario {
        connections: 8,
        floors: &[FLOOR_SENDFILE, FLOOR_CORK, FLOOR_COPY],
        ..scenario("video", "300 MB", "/video.mp4", &[])
    },
    Scenario {
        close: true,
        ..scenario("1k-close", "1 KiB, a new connection each", "/1k.bin", SMALL)
    },
    Scenario {
        paced_by: Some("1k"),
        ..scenario("1k-paced", "1 KiB at 60 % of our peak", "/1k.bin", SMALL)
    },
    Scenario {
        paced_by: Some("10k"),
        ..scenario("10k-paced", "10 KiB at 60 % of our peak", "/10k.bin", SMALL)
    },
];

/// How long the bodies of a server are compared before anything counts, and how long at most.
const VERIFIED: Duration = Duration::from_millis(50);
const VERIFIED_MAX: Duration = Duration::from_secs(20);

/// What this takes by plan.
pub(crate) fn planned(times: &Times, others: &[Peer]) -> Duration {
    let of_scenario = |scenario: &Scenario| {
        let servers = scenario.peers(others).len() as u32;
        let samples = servers * times.rounds;
        let repeats = times.repeats(samples / SAMPLES_FOR_A_REPEAT, STEAL_MAX);
        let sample = times.warm_up + scenario.measured(times) + LOOK;
        (START + LOOK + VERIFIED) * servers + sample * (samples + repeats.left)
    };
    SCENARIOS.iter().map(of_scenario).sum()
}

/// The servers of all scenarios together.
fn servers(others: &[Peer]) -> u32 {
    let of_each = SCENARIOS
        .iter()
        .map(|scenario| scenario.peers(others).len());
    of_each.sum::<usize>() as u32
}

/// Runs all scenarios.
pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let others = bench.others.clone();
    let samples = servers(&others) * bench.times.rounds;
    bench.progress.begin(Section::Sizes, u64::from(samples));
    let mut repeats = bench
        .times
        .repeats(samples / SAMPLES_FOR_A_REPEAT, STEAL_MAX);
    for scenario in &SCENARIOS {
        run_scenario(bench, scenario, &scenario.peers(&others), &mut repeats)?;
        if bench.is_stopped() {
            return Ok(());
        }
    }
    Ok(())
}

fn run_scenario(
    bench: &mut Bench,
    scenario: &Scenario,
    peers: &[Peer],
    repeats: &mut Repeats,
) -> anyhow::Result<()> {
    let demand = demand(bench, scenario);
    let mut running = start_all(bench, scenario, peers);
    for round in 0..bench.times.rounds {
        // There and back, so that what drifts meets everyone alike.
        running.reverse();
        for server in &running {
            if bench.is_stopped() {
                return Ok(());
            }
            let step = format!("{}: {}", scenario.title, server.name);
            bench.progress.step(step);
            match bench.measure_quietly(server, &demand, repeats) {
                Ok(measured) => bench.results.samples.push(Sample {
                    scenario: scenario.id.to_owned(),
                    server: server.name.clone(),
                    round,
                    load: measured.load,
                    server_cpu_seconds: measured.server_cpu_seconds,
                    machine_cpu_seconds: Some(measured.seen.busy_seconds),
                    steal: measured.seen.steal,
                    foreign: measured.seen.foreign,
                }),
                Err(_) if bench.is_stopped() => return Ok(()),
                Err(error) => {
                    bench.skip_failed(format!("{} with {}", server.name, scenario.title), &error)
                }
            }
        }
    }
    Ok(())
}

fn demand(bench: &Bench, scenario: &Scenario) -> Demand {
    let many = bench.fixtures.many(bench.times.size).to_string();
    let rate = scenario.paced_by.map(|id| {
        let ours = bench
            .results
            .samples
            .iter()
            .filter(|sample| sample.scenario == id && sample.server == OURS.name);
        let peak = spread(ours.map(|sample| sample.load.responses as f64 / sample.load.seconds));
        peak.map(|peak| peak.median * RATE_PART)
            .filter(|rate| *rate >= 1.0)
            .unwrap_or(RATE_UNKNOWN)
    });
    Demand {
        targets: scenario.targets.replace("MANY", &many),
        connections: scenario.connections,
        close: scenario.close,
        rate,
        warm_up: bench.times.warm_up,
        measured: bench.times.measured,
        responses_min: RESPONSES_MIN,
        measured_max: bench.times.measured_max,
        verify_every: 1000,
        is_urgent: false,
    }
}

/// Starts every server, and has each body of each compared with its file before anything counts.
fn start_all(bench: &mut Bench, scenario: &Scenario, peers: &[Peer]) -> Vec<Running> {
    let root = bench.fixtures.root().to_owned();
    let files = files_of(bench, scenario);
    let mut running = Vec::new();
    for peer in peers {
        let started = peer.start(&bench.programs, &root, &files, Side::Server);
        let verified = started.and_then(|server| {
            verify(bench, scenario, &server)?;
            Ok(server)
        });
        match verified {
            Ok(server) => running.push(server),
            Err(error) => {
                bench.skip_failed(format!("{} with {}", peer.name, scenario.title), &error)
            }
        }
    }
    running
}

/// Has a body compared with its file, however long that takes within bounds.
fn verify(bench: &Bench, scenario: &Scenario, server: &Running) -> anyhow::Result<()> {
    let every_body = Demand {
        close: false,
        rate: None,
        warm_up: Duration::ZERO,
        measured: VERIFIED,
        responses_min: 1,
        measured_max: VERIFIED_MAX,
        connections: 1,
        verify_every: 1,
        ..demand(bench, scenario)
    };
    let load = bench.measure(server, &every_body)?.load;
    anyhow::ensure!(
        load.other_status == 0,
        "the server answered with a status other than 200"
    );
    anyhow::ensure!(load.verified > 0, "no response body was verified");
    Ok(())
}

/// The files that a floor is given: the number in a target counts from 0.
fn files_of(bench: &Bench, scenario: &Scenario) -> Vec<PathBuf> {
    let root = bench.fixtures.root();
    match scenario.targets.split_once('{') {
        Some((before, _)) => (0..bench.fixtures.many(bench.times.size))
            .map(|index| root.join(format!("{}{index}.bin", before.trim_start_matches('/'))))
            .collect(),
        None => vec![root.join(scenario.targets.trim_start_matches('/'))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::fixtures::MANY;
    use crate::bench::report::numbers::whole;

    #[test]
    fn titles_tell_what_is_measured() {
        let title = |id: &str| {
            let mut scenarios = SCENARIOS.iter();
            let found = scenarios.find(|scenario| scenario.id == id);
            found.expect("a scenario").title
        };
        let many = usize::try_from(MANY).expect("a count");
        assert_eq!(title("4k-many"), format!("4 KiB of {} files", whole(many)));
        assert_eq!(title("video"), format!("{} MB", VIDEO_BYTES / 1_000_000));
        for scenario in SCENARIOS.iter().filter(|scenario| scenario.is_paced()) {
            let rate = format!(" at {} % of our peak", RATE_PART * 100.0);
            assert!(scenario.title.ends_with(&rate), "{}", scenario.title);
        }
    }
}
