//! `cargo xtask bench`: the study, on the reader's own machine, in one command.

mod arena;
mod cold;
mod compare;
mod fixtures;
mod idle;
mod load;
mod micro;
mod peers;
mod process;
mod report;
mod results;
mod small;
mod stats;
mod study;
mod wrk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};

use fixtures::{Fixtures, Size};
use peers::{OTHERS, Peer, Programs};
use results::{FORMAT, Results, Skipped};

/// Measures the server, its floors and other servers, and writes a report.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
pub(crate) struct Options {
    /// Under five minutes: few and short rounds.
    #[arg(long, conflicts_with = "full")]
    quick: bool,

    /// The study's own 120 seconds for each of its runs, and long rounds for all else.
    #[arg(long)]
    full: bool,

    /// A trial of the harness itself, in seconds; its figures mean nothing.
    #[arg(long, hide = true, conflicts_with_all = ["quick", "full"])]
    trial: bool,

    /// Only these sections; may be repeated.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,

    /// Only these other servers, by name. [default: all that are installed]
    #[arg(long, value_delimiter = ',')]
    peers: Option<Vec<String>>,

    /// Rounds of each comparison. [default: 2, 5 or 7]
    #[arg(long)]
    rounds: Option<u32>,

    /// Where the report goes. [default: target/bench, or beside what is rendered]
    #[arg(long)]
    out: Option<PathBuf>,

    /// Where the served files are made; it must have 5 GB free.
    #[arg(long)]
    files: Option<PathBuf>,

    /// Compare two reports instead: prints what changed beyond the noise.
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"])]
    compare: Option<Vec<PathBuf>>,

    /// Measure nothing, and make the pages of a saved report again.
    #[arg(long, value_name = "REPORT.json", conflicts_with_all = ["compare", "only"])]
    render: Option<PathBuf>,
}

/// The longest reason in a report.
const WHY_CHARS_MAX: usize = 300;

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// Criterion: parsing, heads, ranges, transfers.
    Micro,
    /// wrk on one video, copied and sent.
    Study,
    /// Ours beside its floors.
    Small,
    /// Ours beside its floors and other servers.
    Peers,
    /// Small requests beside cold files and greedy downloads.
    Cold,
    /// Memory of idle connections.
    Idle,
    /// HTTPS, which the server does not speak yet.
    Tls,
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) rounds: u32,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) study: Duration,
    pub(crate) cold: Duration,
    pub(crate) idle_connections: usize,
    pub(crate) size: Size,
}

/// A run under way.
pub(crate) struct Bench {
    pub(crate) times: Times,
    pub(crate) programs: Programs,
    pub(crate) fixtures: Fixtures,
    pub(crate) results: Results,
    /// The others that are here.
    pub(crate) others: Vec<Peer>,
    stop: Arc<AtomicBool>,
    pub(crate) progress: ProgressBar,
    _scratch: tempfile::TempDir,
}

/// Runs what the command line asks for.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = "cargo xtask bench".to_owned();
    let options = Options::parse_from(std::iter::once(&name).chain(arguments));
    if let Some([a, b]) = options.compare.as_deref() {
        return compare::run(a, b);
    }
    let saved = options.render.as_deref().map(Results::read).transpose()?;
    let out = options.out();
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    if let Some(saved) = saved {
        report::write_pages(&saved, &out)?;
        println!("report: {}", out.join("report.html").display());
        return Ok(());
    }
    crate::cargo(
        &[
            "build",
            "--release",
            "--package",
            "zc-server",
            "--package",
            "zc-bench",
        ],
        &[],
    )?;

    let mut bench = Bench::new(&options, arguments)?;
    let outcome = bench.run_sections(&options.sections());
    bench.results.interrupted = bench.is_stopped();
    bench.progress.finish_and_clear();
    // What was measured is written down, whatever happened afterwards.
    report::write(&bench.results, &out)?;
    println!("report: {}", out.join("report.html").display());
    outcome?;
    if options.trial {
        bench.demand_a_figure_of_everything(&options.sections())?;
    }
    Ok(())
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.clone(), PathBuf::from)
}

impl Options {
    fn out(&self) -> PathBuf {
        let beside = self.render.as_deref().map(|saved| match saved.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        });
        let out = self.out.clone().or(beside);
        out.unwrap_or_else(|| root().join("target/bench"))
    }

    fn sections(&self) -> Vec<Section> {
        if self.only.is_empty() {
            use Section::{Cold, Idle, Micro, Peers, Study};
            return vec![Micro, Study, Peers, Cold, Idle];
        }
        self.only.clone()
    }

    fn times(&self) -> Times {
        let ms = Duration::from_millis;
        let times = if self.trial {
            Times {
                rounds: 1,
                warm_up: ms(20),
                measured: ms(100),
                study: ms(1000),
                cold: ms(300),
                idle_connections: 100,
                size: Size::Trial,
            }
        } else if self.quick {
            Times {
                rounds: 2,
                warm_up: ms(150),
                measured: ms(500),
                study: ms(6_000),
                cold: ms(2_000),
                idle_connections: 10_000,
                size: Size::Full,
            }
        } else if self.full {
            Times {
                rounds: 7,
                warm_up: ms(1_000),
                measured: ms(5_000),
                study: ms(120_000),
                cold: ms(20_000),
                idle_connections: 10_000,
                size: Size::Full,
            }
        } else {
            Times {
                rounds: 5,
                warm_up: ms(300),
                measured: ms(1_200),
                study: ms(20_000),
                cold: ms(5_000),
                idle_connections: 10_000,
                size: Size::Full,
            }
        };
        Times {
            rounds: self.rounds.unwrap_or(times.rounds),
            ..times
        }
    }
}

impl Bench {
    fn new(options: &Options, arguments: &[String]) -> anyhow::Result<Self> {
        // First of all: threads of before would stay outside.
        let machine = arena::enter();
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let times = options.times();
        let parent = options.files.clone().unwrap_or_else(std::env::temp_dir);
        println!("making the files in {}", parent.display());
        let fixtures = Fixtures::make(&parent, times.size)
            .with_context(|| format!("cannot make the files in {}", parent.display()))?;
        let scratch = tempfile::Builder::new()
            .prefix("zc-bench-peers-")
            .tempdir()?;
        let release = root().join("target/release");
        let mut bench = Self {
            times,
            programs: Programs {
                server: release.join("zc-server"),
                bench: release.join("zc-bench"),
                scratch: scratch.path().to_owned(),
            },
            fixtures,
            results: Results {
                format: FORMAT,
                date: jiff::Timestamp::now()
                    .strftime("%Y-%m-%dT%H:%M:%SZ")
                    .to_string(),
                commit: commit(),
                command: arguments.to_vec(),
                machine,
                skipped: Vec::new(),
                interrupted: false,
                micro: Vec::new(),
                study: Vec::new(),
                samples: Vec::new(),
                cold: Vec::new(),
                idle: Vec::new(),
            },
            others: Vec::new(),
            stop,
            progress: bar(),
            _scratch: scratch,
        };
        bench.choose_others(options)?;
        Ok(bench)
    }

    fn choose_others(&mut self, options: &Options) -> anyhow::Result<()> {
        let names: Vec<_> = OTHERS.iter().map(|peer| peer.name).collect();
        for name in options.peers.iter().flatten() {
            if !names.contains(&name.as_str()) {
                bail!(
                    "no server is called `{name}`: choose of {}",
                    names.join(", ")
                );
            }
        }
        let is_wanted = |peer: &&Peer| {
            let chosen = options.peers.as_ref();
            chosen.is_none_or(|names| names.iter().any(|name| name == peer.name))
        };
        for peer in OTHERS.iter().filter(is_wanted) {
            match peer.is_here() {
                Ok(()) => self.others.push(*peer),
                Err(skipped) => self.skip(skipped),
            }
        }
        Ok(())
    }

    fn run_sections(&mut self, sections: &[Section]) -> anyhow::Result<()> {
        for section in sections {
            if self.is_stopped() {
                return Ok(());
            }
            match section {
                Section::Micro => micro::run(self)?,
                Section::Study => study::run(self)?,
                Section::Small => small::run(self, false)?,
                Section::Peers => small::run(self, true)?,
                Section::Cold => cold::run(self)?,
                Section::Idle => idle::run(self)?,
                Section::Tls => self.skip(Skipped {
                    what: "tls".to_owned(),
                    why: "the server does not speak HTTPS yet".to_owned(),
                    mend: None,
                }),
            }
        }
        Ok(())
    }

    /// A trial is there to find a scenario that yields nothing.
    fn demand_a_figure_of_everything(&self, sections: &[Section]) -> anyhow::Result<()> {
        let found = &self.results;
        for section in sections {
            let is_empty = match section {
                Section::Micro => found.micro.is_empty(),
                Section::Study => found.study.is_empty(),
                Section::Small | Section::Peers => {
                    small::ids().any(|id| !found.samples.iter().any(|sample| sample.scenario == id))
                }
                Section::Cold => cold::BESIDE
                    .iter()
                    .any(|beside| !found.cold.iter().any(|cold| cold.beside == *beside)),
                Section::Idle => found.idle.is_empty(),
                Section::Tls => false,
            };
            if is_empty {
                bail!("{section:?} yielded no figure for a part of it: see what was skipped");
            }
        }
        Ok(())
    }

    /// Notes what is not measured, on the screen and for the report.
    pub(crate) fn skip(&mut self, mut skipped: Skipped) {
        // The first line names the reason; what follows are traces.
        let first = skipped.why.lines().next().unwrap_or_default();
        skipped.why = first.chars().take(WHY_CHARS_MAX).collect();
        let mend = skipped
            .mend
            .as_ref()
            .map_or(String::new(), |mend| format!(": {mend}"));
        let line = format!("skipped {}: {}{mend}", skipped.what, skipped.why);
        self.progress.suspend(|| println!("{line}"));
        if !self
            .results
            .skipped
            .iter()
            .any(|other| other.what == skipped.what)
        {
            self.results.skipped.push(skipped);
        }
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Begins a section of so many steps.
    pub(crate) fn begin(&self, section: &'static str, steps: u64) {
        self.progress.reset();
        self.progress.set_prefix(section);
        self.progress.set_length(steps);
        self.progress.enable_steady_tick(Duration::from_millis(500));
    }
}

fn bar() -> ProgressBar {
    let style = "{prefix:>6} [{bar:30}] {pos}/{len} {eta} left  {msg}";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style.progress_chars("=> "))
}

/// The commit that is measured, marked when there are changes on top of it.
fn commit() -> String {
    let output = std::process::Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .current_dir(root())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_report_is_rendered_beside_itself_unless_told_otherwise() {
        let out = |arguments: &[&str]| {
            let name = ["cargo xtask bench"];
            let all = name.iter().chain(arguments);
            Options::try_parse_from(all).expect("options").out()
        };
        let render = ["--render", "saved/report.json"];
        assert_eq!(out(&render), Path::new("saved"));
        assert_eq!(out(&["--render", "report.json"]), Path::new("."));
        assert_eq!(
            out(&[&render[..], &["--out", "x"]].concat()),
            Path::new("x")
        );
        assert_eq!(out(&[]), root().join("target/bench"));
        let both = ["x", "--render", "a.json", "--compare", "a.json", "b.json"];
        assert!(Options::try_parse_from(both).is_err());
    }
}
