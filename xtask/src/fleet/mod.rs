//! `cargo xtask fleet`: nodes behind a real HAProxy, in networks of their own, with a load that checks every
//! byte while nodes are restarted, killed, cut off and slowed down.

mod about;
mod chart;
mod content;
mod downloads;
mod events;
mod haproxy;
mod head;
mod http;
mod load;
mod measure;
mod model;
mod network;
mod node;
mod process;
mod report;
mod seaweedfs;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use clap::builder::PossibleValuesParser;
use nix::unistd::getuid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::artifacts;
use about::first_line;
use content::Content;
use downloads::{Downloads, Source};
use events::Event;
use haproxy::Haproxy;
use load::Load;
use network::{NODES_MAX, Network, Rate, balancer};
use node::{Node, Programs};
use report::{About, Run};

/// How long something may take to start.
const START_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(20);
/// Each of the two downloads has this part of the rate of a link, so that small requests have room beside it.
const DOWNLOAD_PART: u64 = 4;
/// What a run needs besides zc, and the package that has it.
const NEEDED: [(&str, &str); 9] = [
    ("haproxy", "haproxy"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("curl", "curl"),
    ("aria2c", "aria2"),
    ("openssl", "openssl"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("fusermount", "fuse"),
];
/// Where programs for administrators are, which are not on every `PATH`.
const SBIN: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Run nodes behind HAProxy while they are restarted, killed, cut off and slowed down
///
/// Needs root, for network namespaces. Everything that is started ends with the run.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "cargo xtask fleet",
    bin_name = "cargo xtask fleet",
    max_term_width = 80,
    after_help = "With --model in front, nothing is run but a model of up to 10,000 nodes: see --model --help. With \
                  --seaweedfs in front, files are in SeaweedFS: see --seaweedfs --help."
)]
struct Options {
    /// Numbers of nodes, separated by commas: a run for each
    #[arg(long, value_delimiter = ',', default_value = "3",
          value_parser = clap::value_parser!(u8).range(2..=i64::from(NODES_MAX)))]
    nodes: Vec<u8>,

    /// Rate of the link of each node
    #[arg(long, default_value = "200mbit", value_parser = Rate::parse)]
    rate: Rate,

    /// How long an event lasts at least, in seconds
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    event_seconds: f64,

    /// How long a node goes on accepting after SIGTERM, in seconds
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    drain_delay: f64,

    /// Small requests that are due each second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests: u32,

    /// Length of the large files, in MB
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    large_mb: u32,

    /// Loops of downloads with curl, and as many with aria2. Nodes with downloads have less room for small requests,
    /// by the bounds of their load: 0 shows what consistent hashing alone does
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=16))]
    downloads: u8,

    /// Run only these events, separated by commas; a quiet time is always first
    #[arg(long, value_delimiter = ',', value_parser = event_names())]
    only: Vec<String>,

    /// Take about a minute: events of 2 seconds, and a shorter drain delay
    #[arg(long, conflicts_with_all = ["event_seconds", "drain_delay"])]
    quick: bool,

    /// Directory for the results [default: zc-bench/results; with --quick target/fleet]
    #[arg(long)]
    out: Option<PathBuf>,

    /// Directory for the served files, on a disk [default: $TMPDIR, or /tmp]
    #[arg(long)]
    files: Option<PathBuf>,
}

/// Nodes, balancer and load of a run under way. Fields are dropped in this order: what makes requests first.
#[derive(Debug)]
struct Fleet {
    downloads: Downloads,
    load: Load,
    haproxy: Haproxy,
    nodes: Vec<Node>,
    content: Content,
    began: Instant,
    rate: Rate,
    /// How long an event lasts at least.
    event: Duration,
    /// How long a node that was killed stays away.
    pause: Duration,
    /// Set by Ctrl-C.
    stop: Arc<AtomicBool>,
}

/// Runs what the command line asks for.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    match arguments.split_first() {
        Some((first, rest)) if first == "--model" => return model::run(rest),
        Some((first, rest)) if first == "--seaweedfs" => return seaweedfs::run(rest),
        _ => {}
    }
    let name = "cargo xtask fleet".to_owned();
    let mut options = Options::parse_from(std::iter::once(&name).chain(arguments));
    if options.quick {
        (options.event_seconds, options.drain_delay) = (2.0, 2.0);
    }
    refuse_without_means(&NEEDED)?;
    let out = out(options.out.as_deref(), options.quick)?;
    std::fs::create_dir_all(&out)
        .with_context(|| format!("cannot create the directory {}", out.display()))?;
    let programs = build()?;
    let about = About::of(&name, arguments, &haproxy::version());
    // Before any thread is started: it would stay outside.
    let network = Network::enter()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let mut runs = Vec::new();
    let mut outcome = Ok(());
    for nodes in options.nodes.iter().copied() {
        let (run, ended) = run_once(&network, &options, &programs, nodes, &stop)?;
        println!("\n{}", run.markdown());
        runs.push(run);
        outcome = ended;
        if outcome.is_err() {
            break;
        }
    }
    write(&out, &about, &runs)?;
    outcome?;
    let faults: u64 = runs.iter().map(Run::faults).sum();
    ensure!(
        faults == 0,
        "{faults} requests failed, or downloads had other bytes"
    );
    println!("no request failed, and every byte was as expected");
    Ok(())
}

/// One run. What was recorded is answered even where it did not reach its end.
fn run_once(
    network: &Network,
    options: &Options,
    programs: &Programs,
    nodes: u8,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<(Run, anyhow::Result<()>)> {
    println!("{nodes} nodes: start");
    let mut fleet = Fleet::start(network, options, programs, nodes, stop)?;
    let mut events = Vec::new();
    let mut script = || -> anyhow::Result<()> {
        for event in options.events() {
            println!("{nodes} nodes: {}", event.title());
            let before = fleet.haproxy.counters()?;
            let happened = fleet.happen(event).with_context(|| event.title())?;
            let counters = fleet.haproxy.counters()?.since(before);
            events.push((event, happened, counters));
        }
        Ok(())
    };
    let outcome = script();
    let run = Run {
        nodes,
        rate: options.rate.name(),
        requests_per_second: options.requests,
        event_seconds: options.event_seconds,
        drain_delay_seconds: options.drain_delay,
        large_bytes: options.large_bytes(),
        loops: options.downloads,
        interrupted: outcome.is_err(),
        events,
        records: fleet.load.records(),
        downloads: fleet.downloads.done(),
    };
    println!("{}", report::downloads_in_words(&run.downloads));
    Ok((run, outcome))
}

/// Writes page, JSON lines and pictures, named after the day.
fn write(out: &Path, about: &About, runs: &[Run]) -> anyhow::Result<()> {
    let day = about.date.get(..10).unwrap_or("undated");
    let path = |end: &str| out.join(format!("{day}-fleet{end}"));
    let mut pictures = Vec::new();
    let mut lines = String::new();
    for run in runs {
        let picture = path(&format!("-{}.svg", run.nodes));
        std::fs::write(&picture, chart::svg(run))?;
        let name = picture.file_name().unwrap_or_default();
        pictures.push(name.to_string_lossy().into_owned());
        lines += &run.json_lines(about);
    }
    std::fs::write(path(".jsonl"), lines)?;
    std::fs::write(path(".md"), report::page(about, runs, &pictures))?;
    println!("report: {}", path(".md").display());
    Ok(())
}

/// Fails where something is missing that a run needs, and tells what to install.
fn refuse_without_means(needed: &[(&str, &str)]) -> anyhow::Result<()> {
    if !getuid().is_root() {
        bail!("network namespaces and links need root; run it with sudo");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.extend(SBIN.map(PathBuf::from));
    let is_missing = |program: &str| !directories.iter().any(|at| at.join(program).is_file());
    for (program, package) in needed {
        if is_missing(program) {
            bail!("{program} is not installed; run `apt-get install {package}`");
        }
    }
    if !Path::new("/dev/fuse").exists() {
        bail!("/dev/fuse is missing; run `modprobe fuse`");
    }
    Ok(())
}

/// Where the results go.
fn out(chosen: Option<&Path>, is_quick: bool) -> anyhow::Result<PathBuf> {
    match chosen {
        Some(chosen) => Ok(chosen.to_owned()),
        None if is_quick => Ok(artifacts::target_directory()?.join("fleet")),
        None => Ok(artifacts::root().join("zc-bench/results")),
    }
}

/// Builds the programs of a run, and answers where they are.
fn build() -> anyhow::Result<Programs> {
    let arguments = [
        "build",
        "--package",
        "zc-server",
        "--package",
        "zc-bench",
        "--release",
    ];
    let mut built = artifacts::build(crate::cargo_command(&arguments, &[]))?;
    let mut take = |name: &str| {
        built
            .remove(name)
            .with_context(|| format!("{name} was not built"))
    };
    Ok(Programs {
        server: take("zc-server")?,
        bench: take("zc-bench")?,
    })
}

/// Reads a time in seconds.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.5..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("must be 0.5 to 3600".to_owned()),
    }
}

fn event_names() -> PossibleValuesParser {
    PossibleValuesParser::new(Event::ALL.map(Event::name))
}

impl Options {
    fn large_bytes(&self) -> u64 {
        u64::from(self.large_mb) * 1_000_000
    }

    /// The events of the run.
    fn events(&self) -> impl Iterator<Item = Event> {
        Event::ALL.into_iter().filter(|event| {
            let is_chosen = self.only.iter().any(|name| name == event.name());
            self.only.is_empty() || is_chosen || *event == Event::Quiet
        })
    }
}

impl Fleet {
    /// Starts nodes, balancer and load, and waits until HAProxy uses all nodes.
    fn start(
        network: &Network,
        options: &Options,
        programs: &Programs,
        count: u8,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let files = options.files.clone().unwrap_or_else(std::env::temp_dir);
        // Paths are words of commands.
        let has_space = files.to_string_lossy().contains(char::is_whitespace);
        ensure!(
            !has_space,
            "{} has a space: name another directory by --files",
            files.display()
        );
        let content = Content::make(&files, options.large_bytes())?;
        let mut nodes = Vec::new();
        for number in 1..=count {
            let directory = content.add_node(number)?;
            let place = network.add(number, options.rate)?;
            let drain_delay = Duration::from_secs_f64(options.drain_delay);
            let mut node = Node::make(place, number, directory, programs, drain_delay)?;
            node.start()?;
            nodes.push(node);
        }
        let first = nodes.first().context("no node")?;
        let small = content.small(&first.slow())?;
        let haproxy = Haproxy::start(&artifacts::root(), &content.path(""), count)?;
        wait_until_it_listens(&haproxy, stop)?;
        let at = |port: u16| format!("{}:{port}", balancer()).parse::<SocketAddr>();
        let [http, https] = haproxy::PORTS;
        let addresses = [at(http)?, at(https)?];
        let directory = content.path("downloaded");
        std::fs::create_dir(&directory)?;
        let source = Source {
            origin: format!("http://{}", addresses[0]),
            originals: content.path("large"),
            directory,
            bytes_per_second: options.rate.0 / 8 / DOWNLOAD_PART,
            loops: options.downloads,
        };
        let began = Instant::now();
        let fleet = Self {
            downloads: Downloads::start(began, source),
            load: Load::start(began, addresses, options.requests, small),
            haproxy,
            nodes,
            content,
            began,
            rate: options.rate,
            event: Duration::from_secs_f64(options.event_seconds),
            pause: Duration::from_secs_f64(options.event_seconds / 2.0),
            stop: Arc::clone(stop),
        };
        fleet.wait_until_all_are_up()?;
        Ok(fleet)
    }

    /// The time since the beginning of the run.
    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits for so long, unless the run is to stop before.
    fn wait(&self, time: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < time {
            go_on(&self.stop)?;
            std::thread::sleep(LOOK.min(time.saturating_sub(began.elapsed())));
        }
        Ok(())
    }

    /// Waits until something has come about, unless the run is to stop before.
    fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        has_come: impl Fn(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while !has_come(self)? {
            if began.elapsed() > limit {
                bail!("not within {} s: {what}", limit.as_secs());
            }
            self.wait(LOOK)?;
        }
        Ok(())
    }
}

fn go_on(stop: &AtomicBool) -> anyhow::Result<()> {
    if stop.load(Ordering::SeqCst) {
        bail!("the run was interrupted");
    }
    Ok(())
}

fn wait_until_it_listens(haproxy: &Haproxy, stop: &AtomicBool) -> anyhow::Result<()> {
    let began = Instant::now();
    while haproxy.worker().is_err() {
        go_on(stop)?;
        if haproxy.has_ended() || began.elapsed() > START_MAX {
            bail!("HAProxy does not start: {}", haproxy.said());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Options {
        Options::try_parse_from(["fleet"].iter().chain(words)).expect("options")
    }

    #[test]
    fn a_quiet_time_is_always_first() {
        let all: Vec<Event> = options(&[]).events().collect();
        assert_eq!(all, Event::ALL);
        let some: Vec<Event> = options(&["--only", "kill,drain"]).events().collect();
        assert_eq!(some, [Event::Quiet, Event::Drain, Event::Kill]);
    }

    #[test]
    fn several_numbers_of_nodes_are_several_runs() {
        assert_eq!(options(&["--nodes", "3,12"]).nodes, [3, 12]);
        for wrong in [
            ["--nodes", "1"],
            ["--nodes", "65"],
            ["--rate", "fast"],
            ["--only", "x"],
        ] {
            let parsed = Options::try_parse_from(["fleet"].iter().chain(&wrong));
            assert!(parsed.is_err(), "{wrong:?}");
        }
    }
}
