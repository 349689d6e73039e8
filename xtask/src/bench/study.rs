//! The study: wrk with six threads and thirty connections on one video, copied and sent.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Bench;
use super::arena::{Side, pin};
use super::load::{RESPONSES_MIN, STEAL_MAX};
use super::peers::{GO_STUDY, OURS, Peer, Protocol, find_program};
use super::plan::{START, Times, in_words};
use super::process::Running;
use super::report::numbers::count;
use super::results::{Second, Skipped, Study, Wrk};
use super::section::Section;
use super::tool::{End, Tool};
use super::watch::{Repeats, Seen, Sharing, Watch, quietest};
use super::wrk;

const SECOND: Duration = Duration::from_secs(1);
/// Of wrk.
pub(crate) const THREADS: u32 = 6;
pub(crate) const CONNECTIONS: u32 = 30;

/// Ours by each method.
pub(crate) const METHODS: [&str; 4] = ["io", "sendfile", "splice", "auto"];
/// The study's own handlers by each of theirs.
const GO_METHODS: [&str; 2] = ["io", "sendfile"];

/// How long a run is at most for want of responses, unless all are longer.
const RUN_MAX: Duration = Duration::from_secs(60);
/// How much longer than it seems to take.
const MARGIN: f64 = 1.5;
/// One of so many runs may be made again because it was disturbed.
const RUNS_FOR_A_REPEAT: u32 = 4;

/// What this takes by plan: wrk's threads end some time after it.
pub(crate) fn planned(times: &Times) -> Duration {
    let runs = (METHODS.len() + GO_METHODS.len()) as u32;
    (START + times.study + SECOND / 5) * (runs + runs / RUNS_FOR_A_REPEAT)
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
    let mut repeats = bench
        .times
        .repeats(runs.len() as u32 / RUNS_FOR_A_REPEAT, STEAL_MAX);
    for (peer, method, name) in runs {
        if bench.is_stopped() {
            return Ok(());
        }
        bench.progress.step(name.clone());
        // wrk needs what it can get: the cores are shared, as they were in the study.
        let root = bench.fixtures.root().to_owned();
        let server = peer.start(&bench.programs, &root, &[], Protocol::Http, Side::Both)?;
        match run_quietly(bench, &server, method, &mut repeats) {
            Ok((study, seen)) => bench.results.study.push(Study {
                method: name,
                foreign: seen.foreign,
                machine_cpu_seconds: Some(seen.busy_seconds),
                ..study
            }),
            Err(_) if bench.is_stopped() => return Ok(()),
            Err(error) => bench.skip_failed(format!("study: {name}"), &error),
        }
    }
    Ok(())
}

/// The quietest of a few runs, where other programs or the host disturbed the first.
fn run_quietly(
    bench: &mut Bench,
    server: &Running,
    method: &str,
    repeats: &mut Repeats,
) -> anyhow::Result<(Study, Seen)> {
    let url = format!("http://{}/video.mp4?method={method}", server.address);
    let video_bytes = std::fs::metadata(bench.fixtures.root().join("video.mp4"))?.len();
    let stop = Arc::clone(&bench.stop);
    let mut length = bench.times.study.max(SECOND);
    let run = |again: Option<&str>| {
        if let Some(why) = again {
            bench.progress.again(why);
        }
        let found = run_once(bench, server, &url, length)?;
        match longer(&found.0.wrk, video_bytes, length) {
            Some(longer) if !bench.is_stopped() => {
                length = longer;
                let responses = count(found.0.wrk.requests as usize, "response", "responses");
                let why = format!("only {responses}, now for {}", in_words(length));
                bench.progress.again(&why);
                run_once(bench, server, &url, length)
            }
            _ => Ok(found),
        }
    };
    quietest(repeats, &stop, |found: &(Study, Seen)| &found.1, run)
}

/// How long a run must be so that enough responses end in it, where too few have; within bounds, and
/// only if it would be longer than it was. All connections download at once, and all end at about the
/// same time.
fn longer(found: &Wrk, video_bytes: u64, length: Duration) -> Option<Duration> {
    if found.requests >= RESPONSES_MIN || found.bytes_per_second <= 0.0 {
        return None;
    }
    let bytes = u64::from(CONNECTIONS) * video_bytes;
    let seconds = (bytes as f64 / found.bytes_per_second * MARGIN).ceil();
    let longer = Duration::from_secs_f64(seconds.min(RUN_MAX.as_secs_f64()));
    (longer > length).then_some(longer)
}

/// Runs wrk, which prints what it has counted when it is told to end too.
fn run_once(
    bench: &Bench,
    server: &Running,
    url: &str,
    length: Duration,
) -> anyhow::Result<(Study, Seen)> {
    let plan = wrk::Plan {
        url: url.to_owned(),
        threads: THREADS,
        connections: CONNECTIONS,
        seconds: length.as_secs().max(1),
    };
    pin(Side::Both);
    let started = Tool::start(plan.command(), End::Signal(Signal::SIGINT));
    pin(Side::Client);
    let mut tool = started?;
    let mut watch = Watch::new(&bench.results.machine, Sharing::Together);
    watch.begin();
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
    let seen = watch.end();
    // The last one is cut short by the end.
    if seconds.len() > 1 {
        seconds.pop();
    }
    let text = tool.rest(&AtomicBool::new(false))?;
    let study = Study {
        method: String::new(),
        wrk: wrk::parse(&text)?,
        seconds,
        machine_cpu_seconds: None,
        foreign: Vec::new(),
    };
    Ok((study, seen))
}

/// The mean of one figure over the seconds of a run.
pub(crate) fn mean(seconds: &[Second], figure: impl Fn(&Second) -> f64) -> f64 {
    seconds.iter().map(figure).sum::<f64>() / seconds.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_in_which_too_few_responses_ended_is_longer_the_next_time_within_bounds() {
        let next = |requests, gb_per_second: f64, length| {
            let found = Wrk {
                requests,
                bytes_per_second: gb_per_second * 1e9,
                ..Wrk::default()
            };
            let next = longer(&found, 300_000_000, Duration::from_secs(length));
            next.map(|longer| longer.as_secs())
        };
        assert_eq!(next(RESPONSES_MIN, 1.0, 6), None);
        // 30 responses of 300 MB at 1 GB/s take 9 s.
        assert_eq!(next(0, 1.0, 6), Some(14));
        assert_eq!(next(RESPONSES_MIN - 1, 1.0, 6), Some(14));
        assert_eq!(next(0, 1.0, 14), None);
        assert_eq!(next(0, 0.01, 6), Some(60));
        assert_eq!(next(0, 0.01, 120), None);
        assert_eq!(next(0, 0.0, 6), None);
    }
}
