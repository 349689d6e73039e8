//! `--compare A.json B.json`: what changed between two runs beyond the noise.

use std::path::Path;

use super::report::figures::{Figure, figure, servers};
use super::results::Results;
use super::sizes::SCENARIOS;
use super::stats::CLAIM_COUNT_MIN;

/// Prints every figure that lay higher in each round of the one run than in any of the other.
pub(crate) fn run(a: &Path, b: &Path) -> anyhow::Result<()> {
    let (before, after) = (Results::read(a)?, Results::read(b)?);
    println!(
        "from {} ({}) to {} ({})",
        before.commit, before.date, after.commit, after.date
    );
    if before.machine.cpu != after.machine.cpu || before.machine.kernel != after.machine.kernel {
        println!("the machines differ; absolute figures cannot be compared");
    }
    let changes = changes(&before, &after);
    for change in &changes {
        println!("{change}");
    }
    println!("{} figures changed beyond the noise", changes.len());
    if before.rounds().min(after.rounds()) < CLAIM_COUNT_MIN {
        println!("with fewer than {CLAIM_COUNT_MIN} rounds a change cannot be told from noise");
    }
    Ok(())
}

fn changes(before: &Results, after: &Results) -> Vec<String> {
    let mut found = Vec::new();
    for scenario in &SCENARIOS {
        for server in servers(after, scenario.id) {
            for of in Figure::compared(scenario.id) {
                let spread = |results| figure(results, scenario.id, &server, of);
                if let (Some(before), Some(after)) = (spread(before), spread(after))
                    && before.is_apart_from(&after)
                {
                    let (title, unit) = (scenario.title, of.unit());
                    let (before, after) = (before.median, after.median);
                    let part = (after / before - 1.0) * 100.0;
                    found.push(format!(
                        "{title}, {server}: {before:.3} → {after:.3} {unit} ({part:+.1} %)"
                    ));
                }
            }
        }
    }
    found
}
