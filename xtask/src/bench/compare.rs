//! `--compare A.json B.json`: what changed between two runs beyond the noise.

use std::path::Path;

use anyhow::ensure;

use super::report::figures::{Figure, figure, servers};
use super::results::Results;
use super::sizes::SCENARIOS;
use super::stats::CLAIM_COUNT_MIN;

/// Prints what both runs have, and every figure of that which lay higher in each round of the one run than
/// in any of the other.
pub(crate) fn run(a: &Path, b: &Path) -> anyhow::Result<()> {
    let (before, after) = (Results::read(a)?, Results::read(b)?);
    let common = Common::of(&before, &after)?;
    println!(
        "from {} ({}) to {} ({})",
        before.commit, before.date, after.commit, after.date
    );
    if before.machine.cpu != after.machine.cpu || before.machine.kernel != after.machine.kernel {
        println!("the machines differ; absolute figures cannot be compared");
    }
    println!("compared: {}", common.both.join("; "));
    for (path, only) in [(a, common.before), (b, common.after)] {
        if !only.is_empty() {
            println!("only in {}: {}", path.display(), only.join("; "));
        }
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

/// The scenarios of `sizes` with their servers: those that both runs have, and those that one has. The
/// other sections have no rounds that could be compared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Common {
    both: Vec<String>,
    before: Vec<String>,
    after: Vec<String>,
}

impl Common {
    fn of(before: &Results, after: &Results) -> anyhow::Result<Self> {
        ensure!(
            !before.is_trial() && !after.is_trial(),
            "a report of --trial cannot be compared: its figures mean nothing"
        );
        let mut common = Self::default();
        for scenario in &SCENARIOS {
            let [old, new] = [before, after].map(|results| servers(results, scenario.id));
            let (both, old): (Vec<_>, Vec<_>) =
                old.into_iter().partition(|server| new.contains(server));
            let new: Vec<_> = new
                .into_iter()
                .filter(|server| !both.contains(server))
                .collect();
            for (found, servers) in [
                (&mut common.both, both),
                (&mut common.before, old),
                (&mut common.after, new),
            ] {
                if !servers.is_empty() {
                    found.push(format!("{} ({})", scenario.title, servers.join(", ")));
                }
            }
        }
        ensure!(
            !common.both.is_empty(),
            "nothing to compare: the section sizes of both reports is compared; the first report has {}, \
             the second {}",
            told(before),
            told(after)
        );
        Ok(common)
    }
}

/// The sections that a report has.
fn told(results: &Results) -> String {
    let sections = results.sections();
    if sections.is_empty() {
        return "no figures".to_owned();
    }
    sections.join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{add_samples, cold, empty};

    fn sizes(servers: &[(&str, &str)]) -> Results {
        let mut results = empty();
        for (scenario, server) in servers {
            add_samples(&mut results, scenario, server, 10.0, 3);
        }
        results
    }

    #[test]
    fn what_both_runs_have_is_told_and_what_one_has() {
        let before = sizes(&[("1k", "zc"), ("1k", "nginx"), ("10k", "zc")]);
        let after = sizes(&[("1k", "zc"), ("1k", "go")]);
        let wanted = Common {
            both: vec!["1 KiB (zc)".to_owned()],
            before: vec!["1 KiB (nginx)".to_owned(), "10 KiB (zc)".to_owned()],
            after: vec!["1 KiB (go)".to_owned()],
        };
        assert_eq!(Common::of(&before, &after).expect("a part"), wanted);
    }

    #[test]
    fn reports_without_a_common_figure_and_trials_are_refused() {
        let before = sizes(&[("1k", "zc")]);
        let mut after = empty();
        after.cold.push(cold("fuse", "zc", 1, 0));
        let told = |before: &Results, after: &Results| {
            let refused = Common::of(before, after).expect_err("nothing in common");
            refused.to_string()
        };
        let said = told(&before, &after);
        assert!(
            said.ends_with("the first report has sizes, the second cold"),
            "{said}"
        );
        let mut trial = before.clone();
        trial.command = vec!["--trial".to_owned()];
        assert!(told(&before, &trial).starts_with("a report of --trial"));
    }
}
