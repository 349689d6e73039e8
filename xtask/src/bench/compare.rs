//! `--compare A.json B.json`: what changed between two runs beyond the noise.

use std::path::Path;

use super::report::figures::{Figure, samples, servers};
use super::results::Results;
use super::sizes::SCENARIOS;
use super::stats::{CLAIM_COUNT_MIN, Spread, spread};

/// Prints every figure that lay higher in each round of the one run than in any of the other.
pub(crate) fn run(a: &Path, b: &Path) -> anyhow::Result<()> {
    let (before, after) = (Results::read(a)?, Results::read(b)?);
    println!(
        "from {} ({}) to {} ({})",
        before.commit, before.date, after.commit, after.date
    );
    if before.machine.cpu != after.machine.cpu || before.machine.kernel != after.machine.kernel {
        println!("the machines differ: absolute figures do not compare");
    }
    let changes = changes(&before, &after);
    for change in &changes {
        println!("{}", change.line());
    }
    println!("{} figures changed beyond the noise", changes.len());
    let rounds = |results: &Results| {
        results
            .samples
            .iter()
            .map(|sample| sample.round as usize + 1)
            .max()
    };
    if rounds(&before).min(rounds(&after)) < Some(CLAIM_COUNT_MIN) {
        println!("with fewer than {CLAIM_COUNT_MIN} rounds nothing can be told from noise");
    }
    Ok(())
}

struct Change {
    what: String,
    unit: &'static str,
    before: Spread,
    after: Spread,
}

impl Change {
    fn line(&self) -> String {
        format!(
            "{}: {:.3} → {:.3} {} ({:+.1} %)",
            self.what,
            self.before.median,
            self.after.median,
            self.unit,
            (self.after.median / self.before.median - 1.0) * 100.0
        )
    }
}

fn changes(before: &Results, after: &Results) -> Vec<Change> {
    let figures = [
        (Figure::CpuPerResponse, "µs CPU/request"),
        (Figure::CpuPerGb, "s CPU/GB"),
        (Figure::MachineCpuPerGb, "s CPU of the machine/GB"),
        (Figure::ResponsesPerSecond, "requests/s"),
        (Figure::P99, "µs p99"),
    ];
    let mut found = Vec::new();
    for scenario in &SCENARIOS {
        for server in servers(after, scenario.id) {
            for (figure, unit) in figures {
                // Bytes count where files are large, requests where they are not.
                let is_of_bytes = match figure {
                    Figure::CpuPerGb | Figure::MachineCpuPerGb => Some(true),
                    Figure::CpuPerResponse => Some(false),
                    _ => None,
                };
                let wants_bytes = Figure::cost_of(scenario.id) == Figure::CpuPerGb;
                if is_of_bytes.is_some_and(|is_of_bytes| is_of_bytes != wants_bytes) {
                    continue;
                }
                let of = |results| {
                    spread(samples(results, scenario.id, &server).map(|sample| figure.of(sample)))
                };
                let (Some(before), Some(after)) = (of(before), of(after)) else {
                    continue;
                };
                if before.is_apart_from(&after) {
                    found.push(Change {
                        what: format!("{}, {server}", scenario.title),
                        unit,
                        before,
                        after,
                    });
                }
            }
        }
    }
    found
}
