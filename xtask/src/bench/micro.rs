//! Criterion's benchmarks: run, and their estimates read.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::Bench;
use super::plan;
use super::results::Micro;
use super::section::Section;
use super::tool::{End, Tool};

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

/// What this takes by plan.
pub(crate) fn planned(times: &plan::Times) -> Duration {
    let each = times.micro.map_or(Duration::ZERO, |micro| {
        micro.warm_up + micro.measured + ANALYSIS
    });
    PREPARATION + each * BENCHMARKS
}

/// Runs `cargo bench`.
pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    bench.progress.begin(Section::Micro, 1);
    bench.progress.step("cargo bench".to_owned());
    let began = SystemTime::now();
    let home = bench.programs.scratch.join("criterion");
    std::fs::create_dir_all(&home)?;
    let arguments = arguments(bench.times.micro);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = crate::cargo_command(&arguments, &[]);
    command.env("CRITERION_HOME", &home);
    let outcome = Tool::start(command, End::Signal(Signal::SIGTERM))?.rest(&bench.stop);
    if !bench.is_stopped() {
        outcome?;
    }
    bench.results.micro = collect(&home, began)?;
    Ok(())
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

/// Every benchmark that was finished since `began`.
fn collect(directory: &Path, began: SystemTime) -> anyhow::Result<Vec<Micro>> {
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
            let last = path.join("benchmark.json").metadata();
            let written = last.and_then(|metadata| metadata.modified());
            if is_new && written.is_ok_and(|time| time >= began) {
                found.push(read(&path).with_context(|| path.display().to_string())?);
            }
            pending.push(path);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
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
    })
}
