//! `cargo xtask ci`: the gates, in the one list that there is. `.ci/run` installs what they need, and
//! calls it.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use clap::builder::PossibleValuesParser;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::artifacts::root;

/// No gate takes half of this on two cores: what takes longer hangs, and ends with its children. The longest is that
/// of the virtual machines.
const LIMIT: Duration = Duration::from_secs(2700);
/// How long what is ended has to end what it has started, before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether a gate is over.
const LOOK: Duration = Duration::from_millis(20);

/// What a change has to pass: the arguments of a cargo, and variables besides.
#[derive(Debug, Clone, Copy)]
struct Gate {
    name: &'static str,
    runs: Runs,
    environment: &'static [(&'static str, &'static str)],
    /// As they are typed: there is a space between any two.
    arguments: &'static str,
}

/// When a gate is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    Always,
    /// While one works, in place of longer ones.
    Quick,
    Full,
}

const fn gate(name: &'static str, runs: Runs, arguments: &'static str) -> Gate {
    Gate {
        name,
        runs,
        environment: &[],
        arguments,
    }
}

impl Gate {
    const fn with(self, environment: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            environment,
            ..self
        }
    }
}

/// The gates in order. What is cheap comes first; the fuzzers are a workspace of their own, with flags
/// of their own.
const GATES: [Gate; 21] = [
    gate("fmt", Runs::Always, "fmt --all --check"),
    gate(
        "fuzz-fmt",
        Runs::Always,
        "fmt --manifest-path fuzz/Cargo.toml --check",
    ),
    gate("tidy", Runs::Always, "xtask tidy"),
    // A part of `tidy`; it says too whether the compiler that is used here is the one declared.
    gate("rust-version", Runs::Full, "xtask tidy --only rust-version"),
    gate(
        "clippy",
        Runs::Always,
        "clippy --workspace --all-targets --locked -- -D warnings",
    ),
    gate(
        "without-tls",
        Runs::Full,
        "clippy -p zc-server --no-default-features --all-targets --locked -- -D warnings",
    ),
    gate(
        "unit",
        Runs::Quick,
        "test --workspace --lib --bins --locked --quiet",
    ),
    gate(
        "fuzz-clippy",
        Runs::Full,
        "clippy --manifest-path fuzz/Cargo.toml --target-dir target --all-targets --locked -- -D warnings",
    ),
    gate("doc", Runs::Full, "doc --workspace --no-deps --locked")
        .with(&[("RUSTDOCFLAGS", "-D warnings")]),
    // The page of options is that of clap, and mdBook takes all pages.
    gate("book", Runs::Full, "xtask book --check"),
    // Every command of the book and of README, as printed.
    gate("book-commands", Runs::Full, "xtask book --run"),
    // What systems other than Linux run, in as far as it can be tested here.
    gate(
        "portable",
        Runs::Full,
        "test -p zc-core --features portable --locked --quiet",
    ),
    // As CONTRIBUTING.md has it.
    gate("test", Runs::Full, "test --workspace"),
    // Without a cache, and with one that each second path drives the first out of: nothing may show.
    gate("no-cache", Runs::Full, CACHE_TESTS).with(&[("TEST_CACHE_FILES", "0")]),
    gate("small-cache", Runs::Full, CACHE_TESTS).with(&[("TEST_CACHE_FILES", "1")]),
    // All that HTTP does, by HTTPS.
    gate("tls", Runs::Full, TLS_TESTS).with(&[("TEST_TLS", "1.3")]),
    // Kernel TLS, which the kernel here may lack: in virtual machines with Debian's kernels.
    gate("vm-test", Runs::Full, "xtask vm-test"),
    // What a run of the bench leaves behind when it is interrupted.
    gate(
        "bench-interrupted",
        Runs::Full,
        "test --workspace --test bench --locked -- --ignored",
    )
    .with(&QUICK_BUILD),
    // Whether everything can still be measured; the figures mean nothing.
    gate("bench-trial", Runs::Full, "xtask bench --trial").with(&QUICK_BUILD),
    // The packages, and whether what they install runs and goes away again.
    gate(
        "dist",
        Runs::Full,
        "xtask dist --install --try --only tarball --only deb --only image",
    )
    .with(&QUICK_BUILD),
    // Long enough to find what is easily found; `cargo xtask fuzz` takes a minute for each.
    gate("fuzz", Runs::Full, "xtask fuzz --seconds 3").with(&QUICK_BUILD),
];

/// For gates that want no speed: `release` as it is takes minutes more to build.
const QUICK_BUILD: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
];

// With the features of the whole workspace, as in the gate `test`: nothing is built again. But for what has HTTPS of its
// own, or none, and for what browsers do on a page: others see by HTTPS that it is loaded.
const TLS_TESTS: &str = "test --workspace --test it --locked --quiet -- \
    --skip https:: --skip certificates:: --skip completions:: --skip deploy:: --skip doctor:: --skip log_daemons:: \
    --skip life_cycle::fleet --skip life_cycle::inherited --skip life_cycle::rolling --skip playwright:: --skip unread_output::";
// But for what does not ask the cache, and for programs that ask what others here ask.
const CACHE_TESTS: &str = "test --workspace --test it --test content --locked --quiet -- \
    --skip https:: --skip life_cycle:: --skip log_ --skip unix_sockets:: --skip certificates:: \
    --skip doctor:: --skip config_file:: --skip completions:: --skip rates:: --skip admin:: \
    --skip playwright:: --skip browser:: --skip chromium_ --skip downloaders:: --skip package_managers:: --skip updaters:: \
    --skip unread_output:: --skip clients:: --skip own_pages::";

/// Run the gates that a change must pass; stop at the first that fails
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask ci",
    bin_name = "cargo xtask ci",
    max_term_width = 80
)]
struct Options {
    /// Run only the fast gates: format, tidy, lints and unit tests
    #[arg(long)]
    quick: bool,

    /// Run only this gate; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "quick", value_parser = names())]
    only: Vec<String>,

    /// Print the gates and their commands, and run nothing
    #[arg(long)]
    list: bool,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(GATES.map(|gate| gate.name))
}

impl Options {
    fn gates(&self) -> Vec<Gate> {
        let is_chosen = |gate: &Gate| {
            if self.only.is_empty() {
                let left_out = if self.quick { Runs::Full } else { Runs::Quick };
                gate.runs != left_out
            } else {
                self.only.iter().any(|name| name == gate.name)
            }
        };
        GATES.into_iter().filter(is_chosen).collect()
    }
}

/// Runs the gates that are chosen, in order, and stops at the first that fails.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = "cargo xtask ci".to_owned();
    let options = Options::parse_from(std::iter::once(&name).chain(arguments));
    if options.list {
        for gate in options.gates() {
            println!("{:18} {}", gate.name, gate.line());
        }
        return Ok(());
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let began = Instant::now();
    for gate in options.gates() {
        gate.run(&stop)?;
    }
    println!("== all ok after {} s", began.elapsed().as_secs());
    Ok(())
}

impl Gate {
    fn run(&self, stop: &AtomicBool) -> anyhow::Result<()> {
        println!("== {}: {}", self.name, self.line());
        let began = Instant::now();
        let end = run_within(&mut self.command(), LIMIT, stop)
            .with_context(|| format!("gate {}: cannot run cargo", self.name))?;
        let seconds = began.elapsed().as_secs();
        let why = match end {
            End::Exited(status) if status.success() => {
                println!("== {}: ok after {seconds} s", self.name);
                return Ok(());
            }
            End::Exited(status) => format!("failed after {seconds} s ({status})"),
            End::TooLong => format!("was stopped after {seconds} s, its time limit"),
            End::Stopped => format!("was interrupted after {seconds} s"),
        };
        bail!(
            "gate {} {why}; to run it again:\n    cargo xtask ci --only {}\nor\n    {}",
            self.name,
            self.name,
            self.line()
        );
    }

    /// As it is typed in a shell.
    fn line(&self) -> String {
        let variables = self.environment.iter();
        let variables: String = variables
            .map(|(name, value)| format!("{name}='{value}' "))
            .collect();
        format!("{variables}cargo {}", self.arguments)
    }

    fn command(&self) -> Command {
        let mut arguments: Vec<&str> = self.arguments.split_whitespace().collect();
        let mut command = if arguments.first() == Some(&"xtask") {
            // This program, though a gate has built another in its place: `cargo xtask` would build it, and the server
            // below it, with the features of this package alone.
            arguments.remove(0);
            let mut own = Command::new("/proc/self/exe");
            own.args(arguments).envs(self.environment.iter().copied());
            own
        } else {
            crate::cargo_command(&arguments, self.environment)
        };
        command.current_dir(root());
        command
    }
}

/// How a command ended.
#[derive(Debug)]
enum End {
    Exited(ExitStatus),
    TooLong,
    Stopped,
}

/// Runs a command with all that it starts in a group of its own, which ends with it at the latest.
fn run_within(command: &mut Command, limit: Duration, stop: &AtomicBool) -> std::io::Result<End> {
    let mut child = command.process_group(0).spawn()?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(End::Exited(status));
        }
        let end = if stop.load(Ordering::Relaxed) {
            Some(End::Stopped)
        } else {
            (began.elapsed() > limit).then_some(End::TooLong)
        };
        if let Some(end) = end {
            end_group(&mut child)?;
            return Ok(end);
        }
        thread::sleep(LOOK);
    }
}

/// Asks a group to end, and kills what is left of it. Refused is it only where nothing is.
pub(crate) fn end_group(child: &mut Child) -> std::io::Result<()> {
    let group = Pid::from_raw(child.id().cast_signed());
    let _ = killpg(group, Signal::SIGTERM);
    let asked = Instant::now();
    while child.try_wait()?.is_none() && asked.elapsed() < GRACE {
        thread::sleep(LOOK);
    }
    let _ = killpg(group, Signal::SIGKILL);
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn every_gate_has_a_name_of_its_own_and_can_be_chosen() {
        for (index, gate) in GATES.iter().enumerate() {
            assert!(GATES[..index].iter().all(|other| other.name != gate.name));
            let options = Options::parse_from(["ci", "--only", gate.name]);
            let chosen: Vec<&str> = options.gates().iter().map(|gate| gate.name).collect();
            assert_eq!(chosen, [gate.name]);
        }
        assert!(Options::try_parse_from(["ci", "--only", "nothing"]).is_err());
        assert!(Options::try_parse_from(["ci", "--quick", "--only", "fmt"]).is_err());
    }

    #[test]
    fn a_full_run_has_all_but_what_stands_in_for_it_in_a_quick_one() {
        let names = |words: &[&str]| -> Vec<&str> {
            let gates = Options::parse_from(words).gates();
            gates.iter().map(|gate| gate.name).collect()
        };
        assert_eq!(
            names(&["ci", "--quick"]),
            ["fmt", "fuzz-fmt", "tidy", "clippy", "unit"]
        );
        let full = names(&["ci"]);
        assert_eq!(full.len(), GATES.len() - 1);
        assert!(!full.contains(&"unit"));
    }

    #[test]
    fn the_test_command_of_contributors_is_a_gate() {
        let page =
            std::fs::read_to_string(root().join("CONTRIBUTING.md")).expect("CONTRIBUTING.md");
        let gate = GATES
            .iter()
            .find(|gate| gate.name == "test")
            .expect("a gate");
        assert!(page.contains(&format!("    {}  ", gate.line())));
    }

    #[test]
    fn a_gate_that_takes_too_long_ends_with_what_it_has_started() {
        let (mut all_that_hold_it, writer) = std::io::pipe().expect("a pipe");
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & sleep 600"]).stdout(writer);
        let never = AtomicBool::new(false);
        let end = run_within(&mut command, Duration::ZERO, &never).expect("a shell");
        assert!(matches!(end, End::TooLong), "{end:?}");
        drop(command);
        // It ends when nobody is left who could write.
        let mut said = Vec::new();
        all_that_hold_it.read_to_end(&mut said).expect("the end");
        assert!(said.is_empty());
    }

    #[test]
    fn a_gate_that_is_interrupted_ends_and_one_that_fails_says_how() {
        let end = run_within(
            Command::new("sleep").arg("600"),
            LIMIT,
            &AtomicBool::new(true),
        );
        assert!(matches!(end, Ok(End::Stopped)), "{end:?}");
        let mut fails = Command::new("sh");
        fails.args(["-c", "exit 7"]);
        let end = run_within(&mut fails, LIMIT, &AtomicBool::new(false)).expect("a shell");
        assert!(
            matches!(end, End::Exited(status) if status.code() == Some(7)),
            "{end:?}"
        );
    }
}
