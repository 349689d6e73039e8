//! `cargo xtask bench`: the study, on the reader's own machine, in one command.

mod arena;
pub(crate) mod cold;
mod compare;
mod cores;
mod family;
pub(crate) mod fixtures;
mod idle;
mod load;
mod micro;
mod missing;
pub(crate) mod peers;
mod plan;
pub(crate) mod process;
mod progress;
pub(crate) mod report;
pub(crate) mod results;
pub(crate) mod scenarios;
pub(crate) mod section;
pub(crate) mod sizes;
mod stats;
pub(crate) mod study;
mod tls;
mod tool;
mod watch;
mod wrk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Parser;
use clap::builder::PossibleValuesParser;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::artifacts::{self, root};
use fixtures::Fixtures;
use peers::{OTHERS, Peer, Programs, Protocol};
use plan::{Depth, Plan, QUICK_PEERS, Times, in_words};
use progress::Progress;
use results::{FORMAT, Results, Skipped};
use section::Section;

/// Measure zc, bare system calls and other servers, and write a report
#[derive(Debug, Clone, Parser)]
#[command(
    name = "cargo xtask bench",
    bin_name = "cargo xtask bench",
    max_term_width = 80
)]
pub(crate) struct Options {
    /// Take under five minutes: short rounds, fewer other servers, no TLS
    #[arg(long, conflicts_with = "full")]
    quick: bool,

    /// Take 120 seconds for each run of the study, as it did, and longer rounds elsewhere
    #[arg(long)]
    full: bool,

    /// Check in about a minute that everything can be measured; the figures mean nothing
    #[arg(long, conflicts_with_all = ["quick", "full"])]
    trial: bool,

    /// Run only these sections, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,

    /// Measure only these other servers, separated by commas, or none [default: all that are installed;
    /// with --quick nginx and lighttpd]
    #[arg(long, value_delimiter = ',', value_parser = peer_names())]
    peers: Option<Vec<String>>,

    /// Rounds of each comparison, 1 to 1000 [default: 3, 5 or 7]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=ROUNDS_MAX))]
    rounds: Option<u32>,

    /// Directory for the report [default: target/bench; with --render, that of REPORT.json]
    #[arg(long)]
    out: Option<PathBuf>,

    /// Directory for the served files, on a disk with 5 GB free [default: $TMPDIR, or /tmp]
    #[arg(long)]
    files: Option<PathBuf>,

    /// Compare two reports: print the figures that changed by more than the noise
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"])]
    compare: Option<Vec<PathBuf>>,

    /// Write the pages of a saved report again, without measuring
    #[arg(long, value_name = "REPORT.json", conflicts_with_all = ["compare", "only"])]
    render: Option<PathBuf>,
}

/// In place of the names of other servers.
const NO_PEERS: &str = "none";
/// What `--rounds` may be.
const ROUNDS_MAX: i64 = 1000;
/// The longest reason in a report.
const WHY_CHARS_MAX: usize = 300;

/// A run under way.
pub(crate) struct Bench {
    pub(crate) times: Times,
    pub(crate) programs: Programs,
    pub(crate) fixtures: Fixtures,
    pub(crate) results: Results,
    /// The others that are here.
    pub(crate) others: Vec<Peer>,
    /// Set by Ctrl-C.
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) progress: Progress,
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
    let out = options.out()?;
    std::fs::create_dir_all(&out)
        .with_context(|| format!("cannot create the directory {}", out.display()))?;
    if let Some(saved) = saved {
        report::write_pages(&saved, &out)?;
        println!("report: {}", out.join("report.html").display());
        return Ok(());
    }
    // Before anything is built: that takes minutes.
    let others = options.others()?;
    let files = options.files()?;
    let built = build(options.depth())?;

    let mut bench = Bench::new(&options, arguments, &built, &files)?;
    bench.choose_others(others);
    bench.skip_sections(&options);
    let plan = Plan::of(&bench.times, &options.sections(), &bench.others);
    bench.say(&plan.line());
    bench.progress.plan(plan);
    let outcome = bench.run_sections(&options.sections());
    bench.results.interrupted = bench.is_stopped();
    bench.progress.end();
    // What was measured is written down, whatever happened afterwards.
    report::write(&bench.results, &out)?;
    println!("report: {}", out.join("report.html").display());
    if bench.results.interrupted {
        bail!("interrupted; the report has the measurements so far");
    }
    outcome?;
    match missing::in_words(&bench.results, &options.sections(), &bench.others) {
        Some(missing) if options.trial => bail!(missing),
        Some(missing) => println!("{missing}"),
        None => {}
    }
    Ok(())
}

fn peer_names() -> PossibleValuesParser {
    let names = OTHERS.iter().map(|peer| peer.name);
    PossibleValuesParser::new(names.chain([NO_PEERS]))
}

/// Builds the programs of a run, and answers where they are.
fn build(depth: Depth) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let arguments = match depth {
        Depth::Trial => {
            let programs = ["--bin", "zc-server", "--bin", "zc-bench"];
            [&artifacts::BUILD_AS_TESTED[..], &programs].concat()
        }
        Depth::Quick | Depth::Ordinary | Depth::Full => {
            let packages = ["--package", "zc-server", "--package", "zc-bench"];
            [&["build", "--release"][..], &packages].concat()
        }
    };
    artifacts::build(crate::cargo_command(&arguments, &[]))
}

impl Options {
    fn out(&self) -> anyhow::Result<PathBuf> {
        let beside = self.render.as_deref().map(|saved| match saved.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        });
        match self.out.clone().or(beside) {
            Some(chosen) => Ok(chosen),
            None => Ok(artifacts::target_directory()?.join("bench")),
        }
    }

    /// The directory below which the served files are made.
    fn files(&self) -> anyhow::Result<PathBuf> {
        let files = self.files.clone().unwrap_or_else(std::env::temp_dir);
        if files.is_dir() {
            return Ok(files);
        }
        bail!(
            "{} is not a directory; give one on a disk with 5 GB free: --files DIR",
            files.display()
        );
    }

    /// The other servers that are wanted, and those that `--quick` leaves out: none where the sections
    /// measure none.
    fn others(&self) -> anyhow::Result<(Vec<Peer>, Vec<Peer>)> {
        let named = self.peers.as_deref().unwrap_or_default();
        if named.len() > 1 && named.iter().any(|name| name == NO_PEERS) {
            bail!("--peers {NO_PEERS} leaves out all other servers; name no server beside it");
        }
        if !self.sections().iter().any(|section| section.has_others()) {
            return Ok((Vec::new(), Vec::new()));
        }
        let is_wanted = |peer: &Peer| match &self.peers {
            Some(names) => names.iter().any(|name| name == peer.name),
            None => !self.quick || QUICK_PEERS.contains(&peer.name),
        };
        let (wanted, left_out) = OTHERS.into_iter().partition(is_wanted);
        let left_out = if self.peers.is_none() {
            left_out
        } else {
            Vec::new()
        };
        Ok((wanted, left_out))
    }

    fn sections(&self) -> Vec<Section> {
        // By TLS the video alone takes half a minute.
        let is_usual = |section: &Section| !self.quick || *section != Section::Tls;
        let is_chosen = |section: &Section| match &self.only[..] {
            [] => is_usual(section),
            only => only.contains(section),
        };
        Section::ALL.into_iter().filter(is_chosen).collect()
    }

    fn depth(&self) -> Depth {
        match self {
            Self { trial: true, .. } => Depth::Trial,
            Self { quick: true, .. } => Depth::Quick,
            Self { full: true, .. } => Depth::Full,
            _ => Depth::Ordinary,
        }
    }

    fn times(&self) -> Times {
        let times = Times::of(self.depth());
        Times {
            rounds: self.rounds.unwrap_or(times.rounds),
            cold_rounds: self.rounds.unwrap_or(times.cold_rounds),
            ..times
        }
    }
}

impl Bench {
    fn new(
        options: &Options,
        arguments: &[String],
        built: &BTreeMap<String, PathBuf>,
        files: &Path,
    ) -> anyhow::Result<Self> {
        // First of all: threads of before would stay outside.
        let mut machine = arena::enter();
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let times = options.times();
        println!("creating the served files in {}", files.display());
        let fixtures = Fixtures::make(files, times.size).with_context(|| {
            let files = files.display();
            format!(
                "cannot create the served files in {files}; give another directory: --files DIR"
            )
        })?;
        machine.files_in_memory = fixtures.are_in_memory();
        if machine.files_in_memory && options.sections().contains(&Section::Cold) {
            eprintln!("warning: {}", report::warnings::FILES_IN_MEMORY);
        }
        let scratch = tempfile::Builder::new()
            .prefix("zc-bench-peers-")
            .tempdir()?;
        let program = |name: &str| {
            let found = built.get(name).cloned();
            found.with_context(|| format!("cargo did not build {name}"))
        };
        Ok(Self {
            times,
            programs: Programs {
                server: program("zc-server")?,
                bench: program("zc-bench")?,
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
                ..Results::default()
            },
            others: Vec::new(),
            stop,
            progress: Progress::new(),
            _scratch: scratch,
        })
    }

    /// Notes the sections that `--quick` leaves out.
    fn skip_sections(&mut self, options: &Options) {
        let sections = options.sections();
        let left_out = Section::ALL
            .into_iter()
            .filter(|section| !sections.contains(section));
        for section in left_out.filter(|_| options.only.is_empty()) {
            self.skip(Skipped {
                what: section.name().to_owned(),
                why: "not measured with --quick".to_owned(),
                mend: Some(format!(
                    "cargo xtask bench --quick --only {}",
                    section.name()
                )),
            });
        }
    }

    fn choose_others(&mut self, (wanted, left_out): (Vec<Peer>, Vec<Peer>)) {
        for peer in wanted {
            match peer.is_here() {
                Ok(()) => self.others.push(peer),
                Err(skipped) => self.skip(skipped),
            }
        }
        if !left_out.is_empty() {
            let names: Vec<&str> = left_out.iter().map(|peer| peer.name).collect();
            self.skip(Skipped {
                what: names.join(", "),
                why: "not measured with --quick".to_owned(),
                mend: Some("cargo xtask bench".to_owned()),
            });
        }
    }

    /// Runs all sections, even if one fails. Answers the first failure.
    fn run_sections(&mut self, sections: &[Section]) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for &section in sections {
            if self.is_stopped() {
                break;
            }
            let began = Instant::now();
            let run = self.run_section(section);
            let took = in_words(began.elapsed());
            self.say(&format!("{} took {took}", section.name()));
            if let Err(error) = run {
                self.skip_failed(section.name().to_owned(), &error);
                outcome = outcome.and(Err(error.context(section.name())));
            }
        }
        outcome
    }

    fn run_section(&mut self, section: Section) -> anyhow::Result<()> {
        match section {
            Section::Micro => micro::run(self),
            Section::Study => study::run(self),
            Section::Sizes => {
                let samples = sizes::samples(section, &self.times, &self.others);
                self.progress.begin(section, u64::from(samples));
                sizes::run(self, section)
            }
            Section::Tls => tls::run(self),
            Section::Cold => cold::run(self),
            Section::Idle => {
                let peers = idle::peers(Protocol::Http, &self.others).len();
                self.progress.begin(section, peers as u64);
                idle::run(self, Protocol::Http)
            }
        }
    }

    /// Notes what is not measured, on the screen and for the report.
    pub(crate) fn skip(&mut self, mut skipped: Skipped) {
        // The first line names the reason; what follows are traces.
        let first = skipped.why.lines().next().unwrap_or_default();
        skipped.why = first.chars().take(WHY_CHARS_MAX).collect();
        let mend = skipped.mend.as_ref().map(|mend| format!("; run `{mend}`"));
        let mend = mend.unwrap_or_default();
        self.say(&format!("skipped {}: {}{mend}", skipped.what, skipped.why));
        let mut known = self.results.skipped.iter();
        if known.all(|other| other.what != skipped.what) {
            self.results.skipped.push(skipped);
        }
    }

    /// Notes what failed, with the reason.
    pub(crate) fn skip_failed(&mut self, what: String, error: &anyhow::Error) {
        self.skip(Skipped {
            what,
            why: format!("{error:#}"),
            mend: None,
        });
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A line on standard output.
    pub(crate) fn say(&self, line: &str) {
        self.progress.say(line);
    }
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

    fn parsed(arguments: &[&str]) -> Result<Options, clap::Error> {
        let name = ["cargo xtask bench"];
        Options::try_parse_from(name.iter().chain(arguments))
    }

    #[test]
    fn what_cannot_be_measured_is_refused_before_anything_is_built() {
        for (arguments, said) in [
            (["--rounds", "0"], "0 is not in 1..=1000"),
            (["--rounds", "1001"], "1001 is not in 1..=1000"),
            (
                ["--peers", "nginx,ngnix"],
                "a similar value exists: 'nginx'",
            ),
        ] {
            let error = parsed(&arguments).expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
        let options = parsed(&["--peers", "none,nginx"]).expect("options");
        assert!(options.others().is_err());
        let options = parsed(&["--files", "/proc/none"]).expect("options");
        let error = options.files().expect_err("no directory").to_string();
        assert!(error.contains("/proc/none") && error.contains("--files DIR"));
    }

    #[test]
    fn other_servers_are_told_of_where_a_section_measures_them() {
        let names = |arguments: &[&str]| {
            let (wanted, left_out) = parsed(arguments)
                .and_then(|options| options.others().map_err(|error| panic!("{error}")))
                .expect("options");
            let names = |peers: Vec<Peer>| -> Vec<&str> {
                peers.into_iter().map(|peer| peer.name).collect()
            };
            (names(wanted), names(left_out).len())
        };
        assert_eq!(names(&["--quick"]), (vec!["nginx", "lighttpd"], 6));
        assert_eq!(names(&["--quick", "--only", "study,micro"]), (vec![], 0));
        assert_eq!(names(&["--quick", "--peers", "go"]), (vec!["go"], 0));
        assert_eq!(names(&["--peers", "none"]), (vec![], 0));
        assert_eq!(names(&["--only", "idle"]).0.len(), OTHERS.len());
    }

    #[test]
    fn a_saved_report_is_rendered_beside_itself_unless_told_otherwise() {
        let out = |arguments: &[&str]| {
            let options = parsed(arguments).expect("options");
            options.out().expect("a directory")
        };
        let render = ["--render", "saved/report.json"];
        assert_eq!(out(&render), Path::new("saved"));
        assert_eq!(out(&["--render", "report.json"]), Path::new("."));
        assert_eq!(
            out(&[&render[..], &["--out", "x"]].concat()),
            Path::new("x")
        );
        let target = artifacts::target_directory().expect("a directory");
        assert_eq!(out(&[]), target.join("bench"));
        let both = ["x", "--render", "a.json", "--compare", "a.json", "b.json"];
        assert!(Options::try_parse_from(both).is_err());
    }
}
