//! How soon a page of very many files is seen: not a test, since it says as much of the machine as of the server.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::ensure;
use serde_json::json;

use super::browser::Browser;
use super::server::Server;

/// The files of the directory.
const ENTRIES: u64 = 20_000;

const SCRIPT: &str = include_str!("first_paint.mjs");

/// Prints the median of the first paint, of the load and of the bytes over `runs` runs.
pub(super) fn measure(program: &Path, scratch: &Path, runs: u32) -> anyhow::Result<()> {
    ensure!(runs > 0, "--measure must be at least 1");
    let browser = Browser::find(scratch)?;
    let root = scratch.join("root");
    make_releases(&root)?;
    let server = Server::start(program, &root)?;
    let times = browser.run(SCRIPT, json!({ "url": server.url(""), "runs": runs }))?;
    let times: Vec<[u64; 3]> = serde_json::from_str(&times)?;
    println!("{ENTRIES} files, the median of {runs} runs in Chromium, and the range:");
    let figures = [
        ("first contentful paint", "ms"),
        ("loaded", "ms"),
        ("compressed", "bytes"),
    ];
    for (index, (what, unit)) in figures.into_iter().enumerate() {
        let mut values: Vec<u64> = times.iter().map(|run| run[index]).collect();
        values.sort_unstable();
        let median = values[values.len() / 2];
        let range = (values.first(), values.last());
        if let (Some(least), Some(most)) = range {
            println!("  {what}: {median} {unit} ({least} to {most})");
        }
    }
    Ok(())
}

/// Files as a build server leaves them behind, which take no space: sizes of all magnitudes, and times minutes apart.
fn make_releases(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    for number in 1..=ENTRIES {
        let file = File::create(directory.join(format!("release-{number:05}-amd64.deb")))?;
        // Multiples of a prime, taken within a limit, are in no order.
        file.set_len(number * 1_299_709 * 1009 % 2_000_000_000)?;
        let minutes = 60 * (number * 7 + number % 5);
        let time = Duration::from_secs(1_700_000_000 + minutes);
        file.set_modified(SystemTime::UNIX_EPOCH + time)?;
    }
    Ok(())
}
