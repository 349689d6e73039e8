//! `--compare A.json B.json`: what changed between two runs beyond the noise.

use std::path::Path;

use anyhow::ensure;

use super::report::figures::{Figure, figure, servers};
use super::results::Results;
use super::scenarios::SCENARIOS;
use super::stats::CLAIM_COUNT_MIN;

/// Prints what both runs have, and every figure of that which lay higher in each round of the one run than
/// in any of the other.
pub(crate) fn run(a: &Path, b: &Path) -> anyhow::Result<()> {
    let (before, after) = (Results::read(a)?, Results::read(b)?);
    for (path, results) in [(a, &before), (b, &after)] {
        ensure!(
            !results.is_trial(),
            "{} is of --trial, whose figures mean nothing; give a report of another run",
            path.display()
        );
    }
    let common = Common::of(&before, &after);
    ensure!(
        !common.both.is_empty(),
        "nothing to compare: both reports need the section sizes with a scenario and server in common; {} \
         has {}, {} has {}",
        a.display(),
        told(&before),
        b.display(),
        told(&after)
    );
    println!(
        "from {} ({}) to {} ({})",
        before.commit, before.date, after.commit, after.date
    );
    if before.machine.cpu != after.machine.cpu || before.machine.kernel != after.machine.kernel {
        println!("the machines differ; absolute figures cannot be compared");
    }
    println!("compared:\n  {}", common.both.join("\n  "));
    for (path, only) in [(a, common.before), (b, common.after)] {
        if !only.is_empty() {
            println!("only in {}:\n  {}", path.display(), only.join("\n  "));
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
    fn of(before: &Results, after: &Results) -> Self {
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
        common
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
            for of in Figure::compared(scenario) {
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
        assert_eq!(Common::of(&before, &after), wanted);
    }

    #[test]
    fn reports_without_a_common_figure_and_trials_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let written = |name: &str, results: &Results| {
            let path = directory.path().join(name);
            let text = serde_json::to_string(results).expect("JSON");
            std::fs::write(&path, text).expect("a file");
            path
        };
        let mut cold_only = empty();
        cold_only.cold.push(cold("fuse", "zc", 1, 0));
        let mut trial = sizes(&[("1k", "zc")]);
        trial.command = vec!["--trial".to_owned()];
        let a = written("a.json", &sizes(&[("1k", "zc")]));
        let b = written("b.json", &cold_only);
        let trial = written("trial.json", &trial);
        let told = |b: &Path| run(&a, b).expect_err("refused").to_string();
        assert!(told(&b).contains("a.json has sizes, "), "{}", told(&b));
        assert!(told(&b).ends_with("b.json has cold"), "{}", told(&b));
        assert!(told(&trial).contains("trial.json is of --trial"));
        assert!(told(&directory.path().join("c.json")).contains("c.json; give a report.json"));
        run(&a, &a).expect("they have all in common");
    }
}
