//! `cargo xtask bench` as a process: interrupted in the middle of a measurement.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::Process;
use serde_json::Value;

/// No run is waited for beyond this, however slow the machine.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// A trial of some sections that would go on for many rounds, in a temporary directory of its own.
struct Trial {
    child: Child,
    lines: mpsc::Receiver<String>,
    temporary: tempfile::TempDir,
    out: tempfile::TempDir,
}

impl Trial {
    fn start(section: &str) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let out = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["bench", "--trial", "--rounds", "1000"])
            .args(["--only", section, "--out"])
            .arg(out.path())
            // Everything that it starts inherits it, by which it is found.
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("xtask starts");
        let (told, lines) = mpsc::channel();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let stderr_told = told.clone();
        let read = |pipe: Box<dyn std::io::Read + Send>, told: mpsc::Sender<String>| {
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    println!("{line}");
                    // Nobody listens any more at the end.
                    let _ = told.send(line);
                }
            })
        };
        read(Box::new(stdout.expect("a pipe")), told);
        read(Box::new(stderr.expect("a pipe")), stderr_told);
        Self {
            child,
            lines,
            temporary,
            out,
        }
    }

    /// Waits until a step of a section begins, and answers its line.
    fn wait_for_step(&self, section: &str, what: &str) -> String {
        let beginning = format!("{section} ");
        let end = format!(": {what}");
        loop {
            let line = self.lines.recv_timeout(WAIT_MAX).expect("another line");
            if line.starts_with(&beginning) && line.contains(&end) {
                return line;
            }
        }
    }

    /// Sends the signal to it alone, and waits for its end.
    fn end(&mut self, signal: Signal) -> ExitStatus {
        kill(pid(&self.child), signal).expect("it is there");
        // Its pipes end with it.
        while self.lines.recv_timeout(WAIT_MAX).is_ok() {}
        self.child.wait().expect("a child")
    }

    fn report(&self) -> Value {
        for page in ["report.md", "report.html"] {
            let page = std::fs::read_to_string(self.out.path().join(page)).expect("a page");
            assert!(page.contains("The run was interrupted"));
        }
        let json = std::fs::read(self.out.path().join("report.json")).expect("a report");
        serde_json::from_slice(&json).expect("JSON")
    }

    /// What it has started and itself, as far as it is there: by what they have in their
    /// environment, and by the network that they are in, if that is not the machine's.
    fn processes(&self, network: Option<&PathBuf>) -> Vec<String> {
        let wanted = format!("TMPDIR={}", self.temporary.path().display());
        let is_wanted = |process: &Process| {
            let environment = std::fs::read(format!("/proc/{}/environ", process.pid));
            let environment = environment.unwrap_or_default();
            let mut variables = environment.split(|&byte| byte == 0);
            variables.any(|variable| variable == wanted.as_bytes())
                || network.is_some_and(|network| network_of(process.pid).as_ref() == Some(network))
        };
        let all = procfs::process::all_processes().expect("/proc").flatten();
        all.filter(is_wanted)
            .map(|process| format!("{:?}", process.cmdline()))
            .collect()
    }

    /// The network that it has for itself, once it measures.
    fn network(&self) -> Option<PathBuf> {
        let of_tests = network_of(std::process::id().cast_signed());
        network_of(pid(&self.child).as_raw()).filter(|network| Some(network) != of_tests.as_ref())
    }

    fn assert_nothing_is_left(&self, network: Option<&PathBuf>) {
        assert_eq!(self.processes(network), Vec::<String>::new());
        let left = std::fs::read_dir(self.temporary.path()).expect("a directory");
        let left: Vec<_> = left.map(|entry| entry.expect("an entry").path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // It is over unless the test has failed; asked so, it takes what it started with it.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill(pid(&self.child), Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// The network namespace of a process.
fn network_of(pid: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

#[test]
#[ignore = "it builds and starts servers for half a minute; the gates run it"]
fn ctrl_c_leaves_a_report_of_what_was_measured_and_no_process() {
    let mut trial = Trial::start("sizes");
    // The first of a round has been measured when the second begins.
    let first = trial.wait_for_step("sizes", "1 KiB: ");
    let second = trial.wait_for_step("sizes", "1 KiB: ");
    for (number, line) in ["1", "2"].iter().zip([first, second]) {
        assert!(line.starts_with(&format!("sizes {number} of ")), "{line}");
        assert!(line.contains(" left: "), "{line}");
    }
    let network = trial.network();
    // At least itself and a server.
    assert!(trial.processes(network.as_ref()).len() >= 2);
    let status = trial.end(Signal::SIGINT);
    assert_eq!(status.code(), Some(1));
    let report = trial.report();
    assert_eq!(report["interrupted"], true);
    let samples = report["samples"].as_array().expect("samples");
    assert!(!samples.is_empty());
    assert!(samples.iter().all(|sample| sample["scenario"] == "1k"));
    trial.assert_nothing_is_left(network.as_ref());
}

#[test]
#[ignore = "it builds and starts servers for half a minute; the gates run it"]
fn an_end_in_the_middle_of_downloads_leaves_no_mount_and_no_process() {
    let mut trial = Trial::start("cold");
    // All that this machine can do has been measured of one server when the second is.
    trial.wait_for_step("cold", "greedy: zc");
    trial.wait_for_step("cold", "");
    let network = trial.network();
    let status = trial.end(Signal::SIGTERM);
    assert_eq!(status.code(), Some(1));
    let report = trial.report();
    let cold = report["cold"].as_array().expect("what was measured");
    assert!(cold.iter().any(|cold| cold["beside"] == "greedy"));
    trial.assert_nothing_is_left(network.as_ref());
}

#[test]
fn a_section_that_does_not_exist_is_refused_with_those_that_do() {
    for section in ["http", "peers", "small"] {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["bench", "--trial", "--only", section])
            .output()
            .expect("xtask starts");
        assert_eq!(output.status.code(), Some(2), "{section}");
        let said = String::from_utf8_lossy(&output.stderr);
        for words in [
            &*format!("'{section}'"),
            "--only",
            "micro, study, sizes, tls, cold, idle",
        ] {
            assert!(said.contains(words), "no “{words}” in: {said}");
        }
    }
}

/// A loop that belongs to nobody of the bench.
struct Busy(Child);

impl Busy {
    fn start() -> Self {
        let child = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn();
        Self(child.expect("a shell"))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("a child");
    }
}

#[test]
#[ignore = "it builds and starts servers for half a minute; the gates run it"]
fn what_other_programs_take_is_told_at_the_top() {
    let out = tempfile::tempdir().expect("a directory");
    let cores = std::thread::available_parallelism().expect("cores").get();
    let busy: Vec<Busy> = (0..cores).map(|_| Busy::start()).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args([
            "bench", "--trial", "--only", "sizes", "--peers", "none", "--out",
        ])
        .arg(out.path())
        .output()
        .expect("xtask starts");
    drop(busy);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let page = |name: &str| std::fs::read_to_string(out.path().join(name)).expect("a page");
    let (markdown, html) = (page("report.md"), page("report.html"));
    for (page, facts) in [(&markdown, "- Date:"), (&html, "class=\"facts\"")] {
        let told = page.find("Other programs disturbed").expect("it is told");
        assert!(told < page.find(facts).expect("facts"));
    }
    let report: Value = serde_json::from_str(&page("report.json")).expect("JSON");
    let samples = report["samples"].as_array().expect("samples");
    let disturbed = samples.iter().filter(|sample| {
        let foreign = sample["foreign"]
            .as_array()
            .expect("a figure for each core");
        let parts = foreign.iter().filter_map(Value::as_f64);
        parts.fold(0.0, f64::max) > 0.02
    });
    // Whose turn it was on a core in a window so short is chance.
    assert!(disturbed.count() * 2 > samples.len(), "{samples:?}");
    for sample in samples {
        assert!(
            sample["machine_cpu_seconds"].as_f64() > Some(0.0),
            "{sample}"
        );
    }
    let floors = samples
        .iter()
        .filter(|sample| sample["scenario"] == "video");
    let floors = floors.filter_map(|sample| sample["server"].as_str());
    let floors: Vec<&str> = floors
        .filter(|server| server.starts_with("floor"))
        .collect();
    for floor in ["floor: MORE + sendfile", "floor: cork + sendfile"] {
        assert!(floors.contains(&floor), "{floors:?}");
    }
}
