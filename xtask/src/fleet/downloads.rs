//! Downloads of large files, one after the other, by programs that people download with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::content::{LARGE, are_equal};
use super::measure::Window;
use super::process::command;

/// After so many attempts a download has failed.
const ATTEMPTS_MAX: u32 = 100;
/// Before the next attempt.
const PAUSE: Duration = Duration::from_millis(200);
/// How often it is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(20);
/// A connection on which nothing comes for so many seconds is given up.
const SILENCE_SECONDS: &str = "3";
/// What aria2 logs when a connection begins again.
const ARIA2_RESUMES: &str = " - Restarting the download.";

/// With what a file is downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// `curl -C -`, called again until it succeeds.
    Curl,
    /// `aria2c -x4`, with four connections, which resumes by itself.
    Aria2,
}

/// A download that has ended.
#[derive(Debug, Clone)]
pub(super) struct Download {
    pub(super) tool: Tool,
    pub(super) window: Window,
    /// How often it went on with a part that was there.
    pub(super) resumes: u32,
    pub(super) attempts: u32,
    /// Whether all bytes were those of the original.
    pub(super) is_equal: bool,
}

/// The downloads under way. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Downloads {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What downloads are of.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// `http://10.77.0.254:8000`
    pub(super) origin: String,
    /// The directory with the originals.
    pub(super) originals: PathBuf,
    /// Where files are downloaded to.
    pub(super) directory: PathBuf,
    pub(super) bytes_per_second: u64,
    /// Loops with each tool.
    pub(super) loops: u8,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    source: Source,
    is_over: AtomicBool,
    done: Mutex<Vec<Download>>,
}

impl Tool {
    /// What it is called in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Aria2 => "aria2",
        }
    }
}

impl Downloads {
    /// Starts the loops with each tool. Times count from `began`.
    pub(super) fn start(began: Instant, source: Source) -> Self {
        let shared = Arc::new(Shared {
            began,
            source,
            is_over: AtomicBool::new(false),
            done: Mutex::new(Vec::new()),
        });
        let each = |number| [(Tool::Curl, number), (Tool::Aria2, number)];
        let loops = (0..shared.source.loops).flat_map(each);
        let threads = loops.map(|(tool, number)| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.run(tool, number))
        });
        Self {
            threads: threads.collect(),
            shared,
        }
    }

    /// All downloads that have ended.
    pub(super) fn done(&self) -> Vec<Download> {
        self.shared.lock().clone()
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Download>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn run(&self, tool: Tool, of_tool: u8) {
        let name = format!("{}-{of_tool}", tool.name());
        // The two tools are not to ask for the same file at the same time.
        let first = if tool == Tool::Curl { 0 } else { LARGE / 2 };
        let mut number = (first + u64::from(of_tool)) % LARGE;
        while !self.is_over() {
            if let Some(download) = self.download(tool, &name, number) {
                self.lock().push(download);
            }
            number = (number + 1) % LARGE;
        }
    }

    /// Downloads one file; `None` when the run ends before.
    fn download(&self, tool: Tool, name: &str, number: u64) -> Option<Download> {
        let path = self.source.directory.join(name);
        let log = self.source.directory.join(format!("{name}.log"));
        for left in [&path, &log] {
            let _ = fs::remove_file(left);
        }
        let _ = fs::remove_file(path.with_extension("aria2"));
        let from = self.began.elapsed();
        let (mut attempts, mut resumes, mut is_complete) = (0, 0, false);
        while !is_complete && attempts < ATTEMPTS_MAX {
            if attempts > 0 {
                thread::sleep(PAUSE);
                let has_part = fs::metadata(&path).is_ok_and(|part| part.len() > 0);
                resumes += u32::from(has_part);
            }
            attempts += 1;
            is_complete = self.attempt(tool, number, &path, &log)?;
        }
        if tool == Tool::Aria2 {
            let text = fs::read_to_string(&log).unwrap_or_default();
            resumes += text.matches(ARIA2_RESUMES).count() as u32;
        }
        let to = self.began.elapsed();
        let original = self.source.originals.join(format!("{number}.bin"));
        Some(Download {
            tool,
            window: Window { from, to },
            resumes,
            attempts,
            is_equal: is_complete && are_equal(&original, &path).unwrap_or(false),
        })
    }

    /// Runs the program once; answers whether it succeeded, or `None` when the run ends before.
    fn attempt(&self, tool: Tool, number: u64, path: &Path, log: &Path) -> Option<bool> {
        let url = format!("{}/large/{number}.bin", self.source.origin);
        let rate = self.source.bytes_per_second.to_string();
        let mut command = match tool {
            Tool::Curl => curl(&rate, path),
            Tool::Aria2 => aria2(&rate, path, log),
        };
        command.arg(url).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // A program that cannot be started fails as one that ends with an error.
        let Ok(child) = command.spawn() else {
            return Some(false);
        };
        self.wait(child)
    }

    fn wait(&self, mut child: Child) -> Option<bool> {
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status.success()),
                Err(_) => return Some(false),
                Ok(None) if self.is_over() => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return None;
                }
                Ok(None) => thread::sleep(LOOK),
            }
        }
    }
}

fn curl(rate: &str, path: &Path) -> Command {
    let mut command = command("curl");
    command.args(["--silent", "--fail", "--connect-timeout", SILENCE_SECONDS]);
    command.args(["--speed-limit", "1", "--speed-time", SILENCE_SECONDS]);
    command.args(["--limit-rate", rate, "--continue-at", "-", "--output"]);
    command.arg(path);
    command
}

fn aria2(rate: &str, path: &Path, log: &Path) -> Command {
    let mut command = command("aria2c");
    let fixed = "--no-conf --no-netrc --quiet --file-allocation=none -x4 -s4 -k1M --max-tries=0 \
                 --retry-wait=1 --log-level=info";
    command.args(fixed.split_whitespace());
    command.arg(format!("--timeout={SILENCE_SECONDS}"));
    command.arg(format!("--connect-timeout={SILENCE_SECONDS}"));
    command.arg(format!("--max-overall-download-limit={rate}"));
    command.arg(format!("--log={}", log.display()));
    command.arg(format!("--dir={}", path.parent().unwrap_or(path).display()));
    command.arg(format!(
        "--out={}",
        path.file_name().unwrap_or_default().display()
    ));
    command
}
