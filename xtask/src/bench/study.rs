//! The study: wrk with six threads and thirty connections on one video, copied and sent.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Bench;
use super::arena::{Side, pin};
use super::peers::{GO_STUDY, OURS, Peer, find_program};
use super::plan::{START, Times};
use super::process::Running;
use super::results::{Second, Skipped, Study};
use super::section::Section;
use super::tool::{End, Tool};
use super::wrk;

const SECOND: Duration = Duration::from_secs(1);
/// Of wrk.
pub(crate) const THREADS: u32 = 6;
pub(crate) const CONNECTIONS: u32 = 30;

/// Ours by each method.
pub(crate) const METHODS: [&str; 4] = ["io", "sendfile", "splice", "auto"];
/// The study's own handlers by each of theirs.
const GO_METHODS: [&str; 2] = ["io", "sendfile"];

/// What this takes by plan: wrk's threads end some time after it.
pub(crate) fn planned(times: &Times) -> Duration {
    let runs = (METHODS.len() + GO_METHODS.len()) as u32;
    (START + times.study + SECOND / 5) * runs
}

/// Runs the study on ours by each method, and on the study's own two handlers.
pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    if find_program("wrk").is_none() {
        bench.skip(Skipped {
            what: "study".to_owned(),
            why: "wrk is not installed".to_owned(),
            mend: Some("apt-get install wrk".to_owned()),
        });
        return Ok(());
    }
    let mut runs: Vec<(Peer, &str, String)> = METHODS
        .iter()
        .map(|method| (OURS, *method, (*method).to_owned()))
        .collect();
    match GO_STUDY.is_here() {
        Ok(()) => {
            for method in GO_METHODS {
                runs.push((GO_STUDY, method, format!("go {method}")));
            }
        }
        Err(skipped) => bench.skip(skipped),
    }
    bench.progress.begin(Section::Study, runs.len() as u64);
    for (peer, method, name) in runs {
        if bench.is_stopped() {
            return Ok(());
        }
        bench.progress.step(name.clone());
        // wrk needs what it can get: the cores are shared, as they were in the study.
        let root = bench.fixtures.root().to_owned();
        let server = peer.start(&bench.programs, &root, &[], Side::Both)?;
        match run_one(bench, &server, method, name.clone()) {
            Ok(study) => bench.results.study.push(study),
            Err(_) if bench.is_stopped() => return Ok(()),
            Err(error) => bench.skip(Skipped {
                what: format!("study: {name}"),
                why: format!("{error:#}"),
                mend: None,
            }),
        }
    }
    Ok(())
}

fn run_one(bench: &Bench, server: &Running, method: &str, name: String) -> anyhow::Result<Study> {
    let plan = wrk::Plan {
        url: format!("http://{}/video.mp4?method={method}", server.address),
        threads: THREADS,
        connections: CONNECTIONS,
        seconds: bench.times.study.as_secs().max(1),
    };
    pin(Side::Both);
    // Told to end, it prints what it has counted until then.
    let started = Tool::start(plan.command(), End::Signal(Signal::SIGINT));
    pin(Side::Client);
    let mut tool = started?;
    let mut seconds = Vec::new();
    let mut before = (Instant::now(), server.usage());
    loop {
        let is_over = tool.has_ended_within(SECOND.saturating_sub(before.0.elapsed()));
        let now = (Instant::now(), server.usage());
        let elapsed = (now.0 - before.0).as_secs_f64();
        seconds.push(now.1.since(&before.1, elapsed));
        before = now;
        if is_over {
            break;
        }
        if bench.is_stopped() {
            tool.ask_to_end();
        }
    }
    // The last one is cut short by the end.
    if seconds.len() > 1 {
        seconds.pop();
    }
    let text = tool.rest(&AtomicBool::new(false))?;
    Ok(Study {
        method: name,
        wrk: wrk::parse(&text)?,
        seconds,
    })
}

/// The mean of one figure over the seconds of a run.
pub(crate) fn mean(seconds: &[Second], figure: impl Fn(&Second) -> f64) -> f64 {
    seconds.iter().map(figure).sum::<f64>() / seconds.len().max(1) as f64
}
