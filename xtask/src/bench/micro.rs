//! Criterion's benchmarks: run, and their estimates read.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use serde_json::Value;

use super::Bench;
use super::fixtures::Size;
use super::results::Micro;

/// Runs `cargo bench`, with shorter times for shorter runs.
pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    bench.begin("micro", 1);
    bench.progress.set_message("cargo bench");
    let began = SystemTime::now();
    let (warm_up, seconds, samples) = match (bench.times.size, bench.times.measured.as_millis()) {
        (Size::Trial, _) => ("0.01", "0.02", "10"),
        (Size::Full, ..1000) => ("0.1", "0.3", "10"),
        (Size::Full, _) => ("0.3", "1", "20"),
    };
    let arguments = [
        "bench",
        "--quiet",
        "--package",
        "zc-bench",
        "--benches",
        "--",
        "--noplot",
        "--warm-up-time",
        warm_up,
        "--measurement-time",
        seconds,
        "--sample-size",
        samples,
    ];
    let target = bench.programs.scratch.join("criterion");
    let directory = target.to_string_lossy().into_owned();
    bench
        .progress
        .suspend(|| crate::cargo_quietly(&arguments, &[("CRITERION_HOME", &directory)]))?;
    bench.progress.inc(1);
    bench.results.micro = collect(&target, began)?;
    Ok(())
}

/// Every benchmark whose estimates were written since `began`.
fn collect(directory: &Path, began: SystemTime) -> anyhow::Result<Vec<Micro>> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if !path.is_dir() {
                continue;
            }
            let estimates = path.join("estimates.json");
            let is_new = path.file_name().is_some_and(|name| name == "new");
            let written = estimates
                .metadata()
                .and_then(|metadata| metadata.modified());
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
