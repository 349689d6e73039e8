//! Runs the commands of a page as printed: in one shell, an empty directory, and a network of its own.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, killpg};

use super::page::{Step, Way};
use crate::bench::process::{has_ended_within, number};
use crate::ci::end_group;

/// How long one block may take.
const BLOCK_MAX: Duration = Duration::from_secs(60);
/// How often it is looked how far a page has come.
const LOOK: Duration = Duration::from_millis(20);
/// What shells answer when there is no program of a name.
const NOT_FOUND: i32 = 127;
/// Directories of programs that are not in the `PATH` of every user.
const MORE_PATHS: &str = "/usr/sbin:/sbin";
/// The longest output of a block that is printed, from its end.
const SHOWN_BYTES_MAX: usize = 4000;
/// Functions that the blocks are called by.
const DRIVER: &str = include_str!("driver.sh");

/// Programs around the shell that give it a network of its own, with `lo` alone, and end with it all that it
/// has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    Unshared(&'static [&'static str]),
    /// The kernel or a container refuses: ports are those of the machine.
    Shared,
}

const AS_ROOT: &[&str] = &["--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
const AS_USER: &[&str] = &[
    "--user",
    "--map-root-user",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];
/// Brings up the network, and becomes the shell.
const ENTER: &str = "ip link set lo up && exec \"$@\"";

impl Isolation {
    /// The best that is permitted here.
    pub(super) fn permitted() -> Self {
        let is_permitted = |options: &&&'static [&str]| {
            let mut command = Self::Unshared(options).command("true");
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let found = [AS_ROOT, AS_USER];
        let found = found.iter().find(is_permitted);
        found.map_or(Self::Shared, |options| Self::Unshared(options))
    }

    fn command(self, program: &str) -> Command {
        match self {
            Self::Unshared(options) => {
                let mut command = Command::new("unshare");
                command
                    .args(options)
                    .args(["sh", "-c", ENTER, "sh", program]);
                command
            }
            Self::Shared => Command::new(program),
        }
    }
}

/// What came of a page.
#[derive(Debug)]
pub(super) enum Outcome {
    Passed,
    /// A program is not installed: this and what follows on the page was not run.
    NotInstalled(Report),
    Failed(Report),
}

/// What happened to which block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// The line of the command, or of the fence where that is not known.
    pub(super) line: usize,
    pub(super) what: String,
    pub(super) output: String,
}

/// What pages are run with.
#[derive(Debug)]
pub(super) struct Runner<'a> {
    /// The program `zc-server`.
    pub(super) server: &'a Path,
    pub(super) isolation: Isolation,
    pub(super) block_max: Duration,
}

impl<'a> Runner<'a> {
    pub(super) fn new(server: &'a Path) -> Self {
        Self {
            server,
            isolation: Isolation::permitted(),
            block_max: BLOCK_MAX,
        }
    }

    /// Runs the blocks of the page of this name.
    pub(super) fn run(&self, name: &str, steps: &[Step]) -> anyhow::Result<Outcome> {
        let run = Run::prepare(self.server, name, steps)?;
        let mut child = run.start(self.isolation)?;
        let end = run.watch(&mut child, self.block_max)?;
        Ok(run.outcome(end))
    }
}

/// How the shell ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Exited(Option<i32>),
    TooLong(Duration),
}

/// What the shell has told.
#[derive(Debug, Default)]
struct Told {
    /// How many blocks have begun.
    begun: usize,
    /// The block that is running.
    block: Option<usize>,
    /// The line of the command that failed in it, and the status.
    failed: Option<(usize, i32)>,
    /// Servers in the background that ended by themselves: the block, and the status.
    ended: Option<(usize, i32)>,
}

/// A page that is being run.
struct Run<'a> {
    name: &'a str,
    steps: &'a [Step],
    /// Holds the empty directory, the home, the programs and the blocks; removed with it.
    directory: tempfile::TempDir,
}

impl<'a> Run<'a> {
    fn prepare(server: &Path, name: &'a str, steps: &'a [Step]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let run = Self {
            name,
            steps,
            directory,
        };
        for part in ["work", "home", "bin", "blocks"] {
            fs::create_dir(run.part(part))?;
        }
        std::os::unix::fs::symlink(server, run.part("bin").join("zc-server"))?;
        let mut script = String::from(DRIVER);
        for (index, step) in steps.iter().enumerate() {
            fs::create_dir(run.block(index))?;
            // The shell counts the lines of the page.
            let commands = format!("{}{}", "\n".repeat(step.line), step.commands);
            fs::write(run.block(index).join(name), commands)?;
            fs::write(run.block(index).join("output"), "")?;
            let line = match &step.way {
                Way::NotRun { .. } => continue,
                Way::Foreground => format!(
                    ". \"$_book_blocks/{index}/$_book_page\" >\"$_book_blocks/{index}/output\" 2>&1 </dev/null"
                ),
                Way::Background { ports } => {
                    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                    format!("_book_background {index} {}", ports.join(" "))
                }
            };
            writeln!(script, "_book_begin {index}\n{line}")?;
        }
        fs::write(run.part("blocks").join("events"), "")?;
        fs::write(run.part("blocks").join("page.sh"), script)?;
        Ok(run)
    }

    fn part(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn block(&self, index: usize) -> PathBuf {
        self.part("blocks").join(index.to_string())
    }

    /// Starts the shell, with nothing of this user's settings.
    fn start(&self, isolation: Isolation) -> anyhow::Result<Child> {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}:{MORE_PATHS}", self.part("bin").display());
        let mut command = isolation.command("bash");
        command
            .arg(self.part("blocks").join("page.sh"))
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.part("home"))
            .env("LANG", "C.UTF-8")
            .env("TERM", "dumb")
            .env("_book_blocks", self.part("blocks"))
            .env("_book_page", self.name)
            .current_dir(self.part("work"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.part("blocks").join("stderr"))?)
            .process_group(0);
        command.spawn().context("cannot run bash")
    }

    fn watch(&self, child: &mut Child, block_max: Duration) -> anyhow::Result<End> {
        let mut began = Instant::now();
        let mut begun = 0;
        loop {
            if has_ended_within(child, LOOK) {
                // What a page leaves behind ends with it; refused where nothing is.
                let _ = killpg(number(child), Signal::SIGKILL);
                return Ok(End::Exited(child.wait()?.code()));
            }
            let told = self.told();
            if told.begun != begun {
                (begun, began) = (told.begun, Instant::now());
            }
            if began.elapsed() > block_max {
                end_group(child)?;
                return Ok(End::TooLong(block_max));
            }
        }
    }

    fn told(&self) -> Told {
        let events = fs::read_to_string(self.part("blocks").join("events")).unwrap_or_default();
        Told::read(&events)
    }

    fn outcome(&self, end: End) -> Outcome {
        let told = self.told();
        let (block, line, status) = match (end, told.failed, told.ended) {
            (End::TooLong(_), ..) => (told.block, None, None),
            // A server that failed is why what follows failed, if anything did.
            (_, _, Some((block, status))) => (Some(block), None, Some(status)),
            (End::Exited(Some(0)), ..) => return Outcome::Passed,
            (_, Some((line, status)), _) => (told.block, Some(line), Some(status)),
            (End::Exited(status), None, _) => (told.block, None, status),
        };
        let Some((index, step)) = block.and_then(|block| Some((block, self.steps.get(block)?)))
        else {
            let output = fs::read_to_string(self.part("blocks").join("stderr"));
            return Outcome::Failed(Report {
                line: 1,
                what: "the shell cannot be started".to_owned(),
                output: output.unwrap_or_default(),
            });
        };
        // The first of a block without a line that is known.
        let (line, command) = command_at(step, line.unwrap_or(step.line + 1));
        let what = match (end, status) {
            (End::TooLong(limit), _) => format!(
                "not over after {} s, and ended: {}",
                limit.as_secs(),
                step.commands.trim_end()
            ),
            (_, Some(status)) => format!("failed with status {status}: {command}"),
            (_, None) => format!("ended by a signal: {command}"),
        };
        let report = Report {
            line,
            what,
            output: self.output(index),
        };
        match status {
            Some(NOT_FOUND) => Outcome::NotInstalled(report),
            _ => Outcome::Failed(report),
        }
    }

    /// What a block has printed, or the end of it.
    fn output(&self, index: usize) -> String {
        let output = fs::read(self.block(index).join("output")).unwrap_or_default();
        let from = output.len().saturating_sub(SHOWN_BYTES_MAX);
        let output = String::from_utf8_lossy(&output[from..]);
        // The shell calls the page by the path of its copy.
        output.replace(&format!("{}/", self.block(index).display()), "")
    }
}

impl Told {
    fn read(events: &str) -> Self {
        let mut told = Self::default();
        for event in events.lines() {
            let mut words = event.split(' ');
            let kind = words.next();
            let mut number = || words.next()?.parse::<usize>().ok();
            match (kind, number(), number(), number()) {
                (Some("begin"), block, ..) => {
                    told.begun += 1;
                    told.block = block;
                    told.failed = None;
                }
                (Some("failed"), Some(_), Some(status), Some(line)) => {
                    told.failed = told.failed.or_else(|| Some((line, status_of(status))));
                }
                (Some("ended"), Some(block), Some(status), _) => {
                    told.ended = told.ended.or_else(|| Some((block, status_of(status))));
                }
                _ => {}
            }
        }
        told
    }
}

fn status_of(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The command that a line of the page is a part of, with the lines that a backslash joins to it; and
/// the first of its lines.
fn command_at(step: &Step, line: usize) -> (usize, String) {
    let lines: Vec<&str> = step.commands.lines().collect();
    let at = line.saturating_sub(step.line + 1);
    let is_joined = |index: &usize| {
        let before = index.checked_sub(1).and_then(|before| lines.get(before));
        before.is_some_and(|before| before.ends_with('\\'))
    };
    let mut first = at;
    while is_joined(&first) {
        first -= 1;
    }
    let mut last = at;
    while lines.get(last).is_some_and(|line| line.ends_with('\\')) {
        last += 1;
    }
    let command = lines.get(first..=last.min(lines.len().saturating_sub(1)));
    (
        step.line + 1 + first,
        command.unwrap_or_default().join("\n"),
    )
}
