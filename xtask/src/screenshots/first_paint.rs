//! How soon a page of very many files is seen: not a test, since it says as much of the machine as of the server.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::browser::Browser;
use super::server::Server;

/// The files of the directory.
const ENTRIES: u64 = 20_000;
const DIRECTORY: &str = "releases";
const PAGE: &str = "first-paint.html";
/// How long all runs may take.
const HANG: Duration = Duration::from_secs(120);

/// Loads the listing in a frame again and again, and asks for the times in the end, so that the access log has them.
/// The first contentful paint is counted from the start of the navigation (W3C Paint Timing).
const LOADER: &str = r#"<!DOCTYPE html>
<title>first paint</title>
<body style="margin:0"><iframe id="frame" style="border:0;width:1280px;height:800px"></iframe>
<script>
const runs = [];
const load = () => new Promise(done => {
  frame.onload = () => {
    const inner = frame.contentWindow;
    new inner.PerformanceObserver(list => {
      const [paint] = list.getEntriesByName("first-contentful-paint");
      const [{ loadEventStart, encodedBodySize }] = inner.performance.getEntriesByType("navigation");
      if (paint) done([paint.startTime, loadEventStart, encodedBodySize].map(Math.round));
    }).observe({ type: "paint", buffered: true });
  };
  frame.src = "DIRECTORY/?" + runs.length;
});
(async () => {
  while (runs.length < RUNS) runs.push(await load());
  fetch("done?" + JSON.stringify(runs).replace(/[[\]]+/g, "_"));
})();
</script>
"#;

/// Prints the median of the first paint, of the load and of the bytes over `runs` runs.
pub(super) fn measure(program: &Path, scratch: &Path, runs: u32) -> anyhow::Result<()> {
    ensure!(runs > 0, "--measure must be at least 1");
    let browser = Browser::find(scratch)?;
    let root = scratch.join("root");
    make_releases(&root.join(DIRECTORY))?;
    let page = LOADER.replace("DIRECTORY", DIRECTORY);
    fs::write(root.join(PAGE), page.replace("RUNS", &runs.to_string()))?;
    let mut server = Server::start(program, &root, &["--access-log", "json"])?;
    let log = server.stdout().context("its log was taken")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(log).lines().map_while(Result::ok);
        let done = { lines }.find_map(|line| times_of(&line));
        // Who waited may have given up.
        let _ = sender.send(done);
    });
    let mut command = browser.command();
    // With a port for a debugger it stays until it is ended.
    command.args(["--remote-debugging-port=0", "--window-size=1280,800"]);
    command.arg(server.url(PAGE));
    let mut browser = command.stderr(Stdio::null()).spawn()?;
    let times = lines.recv_timeout(HANG);
    browser.kill()?;
    browser.wait()?;
    let times = times
        .ok()
        .flatten()
        .context("the browser did not come to an end")?;
    println!("{ENTRIES} files, the median of {runs} runs in Chromium:");
    for (index, (what, unit)) in [
        ("first contentful paint", "ms"),
        ("loaded", "ms"),
        ("compressed", "bytes"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut values: Vec<u64> = times.iter().map(|run| run[index]).collect();
        values.sort_unstable();
        let (least, most) = (values[0], values[values.len() - 1]);
        println!(
            "  {what}: {} {unit} ({least} to {most})",
            values[values.len() / 2]
        );
    }
    Ok(())
}

/// The times of all runs, if this is the line of the log that has them: `/done?_1,2,3_,_1,2,3_`.
fn times_of(line: &str) -> Option<Vec<[u64; 3]>> {
    let line: Value = serde_json::from_str(line).ok()?;
    let runs = line["target"].as_str()?.strip_prefix("/done?")?.split('_');
    let numbers = |run: &str| {
        let numbers = run.split(',').map(|number| number.parse().ok());
        numbers.collect::<Option<Vec<u64>>>()?.try_into().ok()
    };
    Some(runs.filter_map(numbers).collect())
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
        file.set_modified(std::time::SystemTime::UNIX_EPOCH + time)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_read_from_the_line_of_the_log_that_has_them() {
        let line = r#"{"target":"/done?_120,300,260000_,_90,280,260001_"}"#;
        assert_eq!(
            times_of(line),
            Some(vec![[120, 300, 260_000], [90, 280, 260_001]])
        );
        assert_eq!(times_of(r#"{"target":"/releases/?0"}"#), None);
        assert_eq!(times_of("no JSON"), None);
    }
}
