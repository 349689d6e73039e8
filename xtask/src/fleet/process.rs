//! Programs that a run starts: each in a process group of its own, and ended with the run.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill, killpg};

use super::network::Place;
use crate::bench::process::{has_ended_within, number};

/// The last bytes of its log that a message has.
const SAID_BYTES: usize = 800;

/// A program under way. It gets SIGKILL when it is dropped, with all that it started.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

/// A command that gets SIGKILL when the thread ends that started it, even if that was killed.
pub(super) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command.process_group(0);
    command
}

impl Process {
    /// Starts `command`, made by [`command`], in the namespace of a node or in that of the balancer. What it
    /// writes is appended to `log`.
    pub(super) fn start(
        mut command: Command,
        place: Option<&Place>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        command.stdout(output.try_clone()?).stderr(output);
        if place.is_some() {
            command.stdin(Stdio::null());
        }
        let child = match place {
            Some(place) => place.spawn(&mut command)?,
            None => command.spawn().context("cannot start setpriv")?,
        };
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Sends a signal to the program, not to those that it started.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(number(&self.child), signal).with_context(|| format!("cannot send {signal}"))
    }

    /// Whether each of its threads is stopped, as SIGSTOP has them some time later.
    pub(super) fn is_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let status = task.and_then(|task| std::fs::read_to_string(task.path().join("status")));
            status.is_ok_and(|status| status.lines().any(|line| line.starts_with("State:\tT")))
        };
        tasks.is_ok_and(|mut tasks| tasks.all(is_stopped))
    }

    /// How many bytes it has read so far, from files and sockets. 0 where that is not known.
    pub(super) fn bytes_read(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/io", self.child.id()));
        let text = text.unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("rchar: "));
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        has_ended_within(&self.child, Duration::ZERO)
    }

    /// Its standard input, if that is a pipe.
    pub(super) fn take_input(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for a program that has ended.
    pub(super) fn status(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// The last lines of its log.
    pub(super) fn said(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = &text[text.len().saturating_sub(SAID_BYTES)..];
        String::from_utf8_lossy(text).trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Refused only where nothing is left of the group.
        let _ = killpg(number(&self.child), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_stopped_until_it_may_go_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("sleep");
        command.arg("60").process_group(0);
        let process = Process::start(command, None, &directory.path().join("log")).expect("sleep");
        for (signal, is_stopped) in [(Signal::SIGSTOP, true), (Signal::SIGCONT, false)] {
            process.signal(signal).expect("a signal");
            while process.is_stopped() != is_stopped {
                std::thread::yield_now();
            }
        }
    }
}
