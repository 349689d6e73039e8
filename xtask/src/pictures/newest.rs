//! The newest of the committed results, for each part of them.

use std::path::Path;

use anyhow::Context;

use crate::bench::results::Results;
use crate::bench::section::Section;

/// Where results are, from the root of the repository.
const DIRECTORY: &str = "zc-bench/results";

/// The runs that the pictures are made of. A run may have only some of the parts; those of which no run
/// has any are of an empty one.
#[derive(Debug, Clone, Default)]
pub(super) struct Newest {
    pub(super) sizes: Results,
    pub(super) study: Results,
    pub(super) cold: Results,
    pub(super) idle: Results,
}

impl Newest {
    /// Reads all results of a repository.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let directory = root.join(DIRECTORY);
        let entries = std::fs::read_dir(&directory)
            .with_context(|| format!("cannot list {}", directory.display()))?;
        let mut runs = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                runs.push(Results::read(&path)?);
            }
        }
        Ok(Self::of(runs))
    }

    fn of(mut runs: Vec<Results>) -> Self {
        runs.retain(|run| !run.interrupted);
        runs.sort_by(|a, b| a.date.cmp(&b.date));
        let newest = |has: fn(&Results) -> bool| {
            let found = runs.iter().rfind(|run| has(run));
            found.cloned().unwrap_or_default()
        };
        Self {
            sizes: newest(|run| run.sections().contains(&Section::Sizes.name())),
            study: newest(|run| !run.study.is_empty()),
            cold: newest(|run| !run.cold.is_empty()),
            idle: newest(|run| run.sections().contains(&Section::Idle.name())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{add_samples, cold, empty, full};

    #[test]
    fn each_part_is_of_the_newest_run_that_has_it_and_was_not_interrupted() {
        let dated = |date: &str, results: Results| Results {
            date: date.to_owned(),
            ..results
        };
        let mut cold_only = dated("2026-02-01T00:00:00Z", empty());
        cold_only.cold.push(cold("fuse", "zc", 1, 0));
        // Samples by TLS are none of the sizes.
        add_samples(&mut cold_only, "1k-tls", "zc", 10.0, 3);
        let mut interrupted = dated("2026-03-01T00:00:00Z", full());
        interrupted.interrupted = true;
        let newest = Newest::of(vec![
            cold_only,
            interrupted,
            dated("2026-01-02T00:00:00Z", full()),
            dated("2026-01-01T00:00:00Z", full()),
        ]);
        let dates = [&newest.sizes, &newest.study, &newest.idle].map(|run| &run.date[..10]);
        assert_eq!(dates, ["2026-01-02"; 3]);
        assert_eq!(&newest.cold.date[..10], "2026-02-01");
    }
}
