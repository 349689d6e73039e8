//! Criterion's benchmarks: run, and their estimates read. Each is a window of its own, from the result
//! before it to its own; those that other programs disturbed are run once more.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::Bench;
use super::load::STEAL_MAX;
use super::plan;
use super::results::Micro;
use super::section::Section;
use super::tool::{End, Tool};
use super::watch::{FOREIGN_MAX, Sharing, Watch, most};

/// About as many benchmarks there are.
const BENCHMARKS: u32 = 80;
/// The start of cargo, of criterion's programs, and the files that they make.
const PREPARATION: Duration = Duration::from_secs(3);
/// Criterion's analysis of one benchmark.
const ANALYSIS: Duration = Duration::from_millis(100);

/// What criterion is told of every benchmark, unless it is to end each as soon as it can.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) samples: u32,
}

/// One of so many may be run again because it was disturbed.
const BENCHMARKS_FOR_A_REPEAT: u32 = 8;

/// What this takes by plan.
pub(crate) fn planned(times: &plan::Times) -> Duration {
    let each = times.micro.map_or(Duration::ZERO, |micro| {
        micro.warm_up + micro.measured + ANALYSIS
    });
    let repeats = times.repeats(BENCHMARKS / BENCHMARKS_FOR_A_REPEAT, STEAL_MAX);
    PREPARATION + each * (BENCHMARKS + repeats.left)
}

/// Runs `cargo bench`, and what was disturbed again.
pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let listed = Tool::start(
        cargo_bench(bench.times.micro, &["--list".to_owned()]),
        End::Signal(Signal::SIGTERM),
    )?;
    let count = names_in(&listed.rest(&bench.stop)?).len();
    bench.progress.begin(Section::Micro, count as u64);
    let all = |bench: &mut Bench, name: &str| bench.progress.step(name.to_owned());
    let mut found = pass(bench, "criterion", &[], all)?;

    let repeats = count as u32 / BENCHMARKS_FOR_A_REPEAT;
    let repeats = bench.times.repeats(repeats, STEAL_MAX).left;
    let disturbed = most_disturbed(&found, repeats as usize);
    if !disturbed.is_empty() && !bench.is_stopped() {
        bench.progress.add_steps(disturbed.len() as u64);
        let again = |bench: &mut Bench, name: &str| {
            let step = format!("{name}; repeated: other programs disturbed it");
            bench.progress.step(step);
        };
        let filter = filter_of(&disturbed);
        let again = pass(bench, "criterion-again", &[filter], again)?;
        take_quieter(&mut found, again);
    }
    bench.results.micro = found;
    Ok(())
}

/// Runs what the filter lets through, and reads what came of it: all that was finished, if the run is
/// stopped before.
fn pass(
    bench: &mut Bench,
    directory: &str,
    filter: &[String],
    mut step: impl FnMut(&mut Bench, &str),
) -> anyhow::Result<Vec<Micro>> {
    let home = bench.programs.scratch.join(directory);
    std::fs::create_dir_all(&home)?;
    let mut command = cargo_bench(bench.times.micro, filter);
    command.env("CRITERION_HOME", &home);
    let mut tool = Tool::start(command, End::Signal(Signal::SIGTERM))?;
    let mut watch = Watch::new(&bench.results.machine, Sharing::Together);
    watch.begin();
    let mut seen: Vec<(String, Vec<f64>)> = Vec::new();
    let mut before = String::new();
    loop {
        let line = match tool.line_or_end(&bench.stop) {
            Err(_) if bench.is_stopped() => break,
            line => line?,
        };
        let Some(line) = line else { break };
        if let Some(name) = name_in_result(&before, &line) {
            seen.push((name.to_owned(), watch.end().foreign));
            watch.begin();
            step(bench, name);
        }
        before = line;
    }
    drop(tool);
    let mut found = collect(&home)?;
    let place = |micro: &Micro| seen.iter().position(|(name, _)| *name == micro.name);
    // In the order of the run, which is that of the sizes.
    found.sort_by_key(place);
    for micro in &mut found {
        micro.foreign = place(micro).map_or_else(Vec::new, |place| seen[place].1.clone());
    }
    Ok(found)
}

/// The name of the benchmark whose result a line is: it stands on the line itself or, where it is
/// long, on the one before.
fn name_in_result<'l>(before: &'l str, line: &'l str) -> Option<&'l str> {
    let (name, result) = line.split_once("time:")?;
    result.trim_start().strip_prefix('[')?;
    let name = name.trim();
    Some(if name.is_empty() { before.trim() } else { name })
}

/// The names that `--list` prints.
fn names_in(list: &str) -> Vec<&str> {
    let names = list.lines().map(|line| line.strip_suffix(": benchmark"));
    names.flatten().collect()
}

/// The names of those that other programs disturbed, the most disturbed first, and so many at most.
fn most_disturbed(found: &[Micro], count_max: usize) -> Vec<String> {
    let is_disturbed = |micro: &&Micro| most(&micro.foreign) > FOREIGN_MAX;
    let mut disturbed: Vec<&Micro> = found.iter().filter(is_disturbed).collect();
    disturbed.sort_by(|a, b| most(&b.foreign).total_cmp(&most(&a.foreign)));
    let names = disturbed.into_iter().map(|micro| micro.name.clone());
    names.take(count_max).collect()
}

/// What has criterion run these and no others: a regular expression.
fn filter_of(names: &[String]) -> String {
    let escaped = names.iter().map(|name| {
        let special = |char: char| "\\.+*?()|[]{}^$".contains(char);
        let escape = |char: char| special(char).then_some('\\').into_iter().chain([char]);
        name.chars().flat_map(escape).collect::<String>()
    });
    format!("^(?:{})$", escaped.collect::<Vec<_>>().join("|"))
}

/// Of each that was run twice, the result with less of other programs in it.
fn take_quieter(found: &mut [Micro], again: Vec<Micro>) {
    for again in again {
        let first = found.iter_mut().find(|first| first.name == again.name);
        if let Some(first) = first
            && most(&again.foreign) < most(&first.foreign)
        {
            *first = again;
        }
    }
}

/// `cargo bench` with what criterion is to be told.
fn cargo_bench(times: Option<Times>, further: &[String]) -> Command {
    let arguments = arguments(times);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = crate::cargo_command(&arguments, &[]);
    command.args(further);
    command
}

fn arguments(times: Option<Times>) -> Vec<String> {
    let of_cargo = ["bench", "--quiet", "--package", "zc-bench", "--benches"];
    let mut arguments = of_cargo.map(str::to_owned).to_vec();
    let mut add = |more: &[&str]| arguments.extend(more.iter().map(|&word| word.to_owned()));
    let seconds = |time: Duration| time.as_secs_f64().to_string();
    match times {
        Some(times) => {
            add(&["--", "--noplot"]);
            add(&["--warm-up-time", &seconds(times.warm_up)]);
            add(&["--measurement-time", &seconds(times.measured)]);
            add(&["--sample-size", &times.samples.to_string()]);
        }
        // Two samples that agree, and little made of them.
        None => {
            add(&["--profile", "dev", "--", "--noplot", "--quick"]);
            add(&["--warm-up-time", "0.01", "--measurement-time", "0.001"]);
            add(&["--nresamples", "1000"]);
        }
    }
    arguments
}

/// Every benchmark that was finished.
fn collect(directory: &Path) -> anyhow::Result<Vec<Micro>> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if !path.is_dir() {
                continue;
            }
            let is_new = path.file_name().is_some_and(|name| name == "new");
            // The last of its files that criterion writes: it may have been interrupted before.
            if is_new && path.join("benchmark.json").exists() {
                found.push(read(&path).with_context(|| path.display().to_string())?);
            }
            pending.push(path);
        }
    }
    Ok(found)
}

fn read(directory: &Path) -> anyhow::Result<Micro> {
    let json = |name: &str| {
        let text = std::fs::read_to_string(directory.join(name))?;
        Ok::<Value, anyhow::Error>(serde_json::from_str(&text)?)
    };
    let (benchmark, estimates) = (json("benchmark.json")?, json("estimates.json")?);
    let median = &estimates["median"];
    let interval = &median["confidence_interval"];
    let number = |value: &Value| value.as_f64().context("a number");
    let name = benchmark["full_id"].as_str().context("a name")?.to_owned();
    Ok(Micro {
        unit: if name.starts_with("ratio") {
            "x floor"
        } else {
            "ns"
        }
        .to_owned(),
        name,
        median: number(&median["point_estimate"])?,
        low: number(&interval["lower_bound"])?,
        high: number(&interval["upper_bound"])?,
        bytes: benchmark["throughput"]["Bytes"].as_u64(),
        foreign: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_result_is_on_its_line_or_on_the_one_before() {
        let found = |before, line| name_in_result(before, line).map(str::to_owned);
        let short = "parse short/zc-http     time:   [167.35 ns 167.43 ns 167.76 ns]";
        assert_eq!(found("", short), Some("parse short/zc-http".to_owned()));
        let long = "transfer 64MiB/floor: bare sendfile loop";
        let below = "                        time:   [8.47 ms 8.52 ms 8.57 ms]";
        assert_eq!(found(long, below), Some(long.to_owned()));
        for other in [
            "                        thrpt:  [278.55 MiB/s 279.10 MiB/s 279.24 MiB/s]",
            "Found 2 outliers among 20 measurements (10.00%)",
            "a benchmark of time: long",
        ] {
            assert_eq!(found(short, other), None, "{other}");
        }
    }

    #[test]
    fn a_list_has_names_and_empty_lines() {
        let list =
            "parse short/zc-http: benchmark\n\ntransfer 4KiB/floor: bare loop: benchmark\n\n";
        let expected = ["parse short/zc-http", "transfer 4KiB/floor: bare loop"];
        assert_eq!(names_in(list), expected);
    }

    fn micro(name: &str, median: f64, foreign: f64) -> Micro {
        Micro {
            name: name.to_owned(),
            unit: "ns".to_owned(),
            median,
            low: median,
            high: median,
            bytes: None,
            foreign: vec![foreign],
        }
    }

    #[test]
    fn what_was_disturbed_is_run_again_the_most_disturbed_first() {
        let found = [
            micro("quiet", 1.0, 0.02),
            micro("loud (a|b)", 1.0, 0.03),
            micro("louder", 1.0, 0.5),
        ];
        assert_eq!(most_disturbed(&found, 9), ["louder", "loud (a|b)"]);
        assert_eq!(most_disturbed(&found, 1), ["louder"]);
        let filter = filter_of(&most_disturbed(&found, 9));
        assert_eq!(filter, r"^(?:louder|loud \(a\|b\))$");
    }

    #[test]
    fn of_two_results_the_quieter_counts() {
        let mut found = [micro("a", 1.0, 0.5), micro("b", 1.0, 0.3)];
        take_quieter(&mut found, vec![micro("a", 2.0, 0.1), micro("b", 2.0, 0.4)]);
        assert_eq!(found.map(|micro| micro.median), [2.0, 1.0]);
    }
}
