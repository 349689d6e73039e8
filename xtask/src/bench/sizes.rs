//! Files of each size, hot, by HTTP and by TLS: ours, the floors and other servers in interleaved rounds.

use std::path::PathBuf;
use std::time::Duration;

use super::Bench;
use super::arena::Side;
use super::load::{Demand, RESPONSES_MIN, STEAL_MAX};
use super::peers::{OURS, Peer, Protocol};
use super::plan::{LOOK, START, Times};
use super::process::Running;
use super::results::{Load, Sample};
use super::scenarios::{Scenario, Tls};
use super::section::Section;
use super::stats::spread;
use super::watch::Repeats;

/// One of so many samples may be taken again: on a machine that is never quiet, the run still ends as
/// planned.
const SAMPLES_FOR_A_REPEAT: u32 = 4;
/// The part of our own peak at which tails are compared: servers that are full have no tail, they
/// have a queue.
pub(crate) const RATE_PART: f64 = 0.6;
/// The part of the sessions that a server must have resumed where it is to.
const RESUMED_PART: f64 = 0.5;
/// Requests per second where the peak is not known.
const RATE_UNKNOWN: f64 = 1000.0;

/// How long the bodies of a server are compared before anything counts, and how long at most.
const VERIFIED: Duration = Duration::from_millis(50);
const VERIFIED_MAX: Duration = Duration::from_secs(20);

/// What a section takes by plan.
pub(crate) fn planned(section: Section, times: &Times, others: &[Peer]) -> Duration {
    let of_scenario = |scenario: &Scenario| {
        let servers = scenario.peers(others).len() as u32;
        let samples = servers * times.rounds;
        let repeats = times.repeats(samples / SAMPLES_FOR_A_REPEAT, STEAL_MAX);
        let sample = times.warm_up + scenario.measured(times) + LOOK;
        (START + LOOK + VERIFIED) * servers + sample * (samples + repeats.left)
    };
    Scenario::of(section).map(of_scenario).sum()
}

/// The samples of a section.
pub(crate) fn samples(section: Section, times: &Times, others: &[Peer]) -> u32 {
    let servers = Scenario::of(section).map(|scenario| scenario.peers(others).len());
    servers.sum::<usize>() as u32 * times.rounds
}

/// Runs all scenarios of a section, whose steps have begun.
pub(crate) fn run(bench: &mut Bench, section: Section) -> anyhow::Result<()> {
    let others = bench.others.clone();
    let samples = samples(section, &bench.times, &others);
    let mut repeats = bench
        .times
        .repeats(samples / SAMPLES_FOR_A_REPEAT, STEAL_MAX);
    for scenario in Scenario::of(section) {
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
            let measured = bench.measure_quietly(server, &demand, repeats);
            let measured = measured.and_then(|measured| {
                ensure_resumed(scenario, &measured.load)?;
                Ok(measured)
            });
            match measured {
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

/// Whether sessions were resumed where they are to be. Each connection has no ticket once.
fn ensure_resumed(scenario: &Scenario, load: &Load) -> anyhow::Result<()> {
    let (resumed, responses) = (load.resumed, load.responses);
    let full = (responses - resumed) as f64;
    let is_enough = full <= (1.0 - RESUMED_PART) * responses as f64 + scenario.connections as f64;
    let resumes = scenario.tls.is_some_and(|tls| tls.resume);
    anyhow::ensure!(
        !resumes || is_enough && resumed > 0,
        "it resumed {resumed} of {responses} sessions"
    );
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
        tls: scenario.tls,
    }
}

/// Starts every server, and has each body of each compared with its file before anything counts.
fn start_all(bench: &mut Bench, scenario: &Scenario, peers: &[Peer]) -> Vec<Running> {
    let root = bench.fixtures.root().to_owned();
    let files = files_of(bench, scenario);
    let mut running = Vec::new();
    for peer in peers {
        let protocol = match scenario.tls {
            None => Protocol::Http,
            Some(_) => Protocol::Https,
        };
        let started = peer.start(&bench.programs, &root, &files, protocol, Side::Server);
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
        tls: scenario.tls.map(|tls| Tls {
            resume: false,
            ..tls
        }),
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
