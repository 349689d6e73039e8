//! A program that works for the bench: load, wrk, cargo. It is waited for only while the run goes
//! on, and is ended with all that it started.

use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};

use super::process::{END_MAX, end_group, has_ended_within, number};

/// After so long a wait it is asked whether the run goes on, in milliseconds.
const WAIT_MS: u8 = 50;
/// What is read in one call, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// How a program is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its standard input ends.
    Input,
    Signal(Signal),
}

/// A program under way, in a process group of its own: Ctrl-C on a terminal does not reach it.
#[derive(Debug)]
pub(crate) struct Tool {
    name: String,
    child: Child,
    end: End,
    input: Option<ChildStdin>,
    output: ChildStdout,
    /// What was read of its output, and not handed out.
    unread: Vec<u8>,
    errors: std::fs::File,
}

impl Tool {
    /// Starts `command`, whose output is read here.
    pub(crate) fn start(mut command: Command, end: End) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        // A file, and not a pipe: nobody reads it before the end, and a pipe could fill.
        let errors = tempfile::tempfile()?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone()?)
            .process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            name,
            child,
            end,
            input,
            output: output.context("the standard output of the program is not a pipe")?,
            unread: Vec::new(),
            errors,
        })
    }

    /// The next line that it prints, unless the run is to stop before.
    pub(crate) fn line(&mut self, stop: &AtomicBool) -> anyhow::Result<String> {
        let line = self.line_or_end(stop)?;
        line.with_context(|| format!("{} ended without a result", self.name))
    }

    /// The same; `None` when it has ended without a fault.
    pub(crate) fn line_or_end(&mut self, stop: &AtomicBool) -> anyhow::Result<Option<String>> {
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            if !self.read(stop)? {
                self.finish()?;
                return Ok(None);
            }
        }
    }

    /// All that it prints until its end, unless the run is to stop before.
    pub(crate) fn rest(mut self, stop: &AtomicBool) -> anyhow::Result<String> {
        while self.read(stop)? {}
        self.finish()?;
        Ok(String::from_utf8_lossy(&self.unread).into_owned())
    }

    /// Asks it to end; answers the line that it prints then.
    pub(crate) fn last_line(mut self, stop: &AtomicBool) -> anyhow::Result<String> {
        self.ask_to_end();
        self.line(stop)
    }

    /// Asks it to end.
    pub(crate) fn ask_to_end(&mut self) {
        match self.end {
            End::Input => drop(self.input.take()),
            // Refused only where nothing of it is left.
            End::Signal(signal) => drop(killpg(number(&self.child), signal)),
        }
    }

    /// Whether it ends within this time.
    pub(crate) fn has_ended_within(&self, limit: Duration) -> bool {
        has_ended_within(&self.child, limit)
    }

    /// Reads some of its output; answers whether there may be more.
    fn read(&mut self, stop: &AtomicBool) -> anyhow::Result<bool> {
        loop {
            if stop.load(Ordering::Relaxed) {
                bail!("the run was interrupted");
            }
            let mut waits = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waits, PollTimeout::from(WAIT_MS)) {
                // The signal that interrupts the run interrupts this too.
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        let kept = self.unread.len();
        self.unread.resize(kept + CHUNK_BYTES, 0);
        let count = self.output.read(&mut self.unread[kept..]);
        self.unread.truncate(kept + *count.as_ref().unwrap_or(&0));
        Ok(count? > 0)
    }

    /// Waits for its end, as its output has ended; a failure is told with what it said of it.
    fn finish(&mut self) -> anyhow::Result<()> {
        if !self.has_ended_within(END_MAX) {
            bail!("{} closed its output and does not exit", self.name);
        }
        let status = self.child.wait()?;
        if status.success() {
            return Ok(());
        }
        let mut said = String::from_utf8_lossy(&self.unread).into_owned();
        self.errors.rewind()?;
        self.errors.read_to_string(&mut said)?;
        bail!("{} failed ({status}): {}", self.name, said.trim());
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        self.ask_to_end();
        end_group(&mut self.child);
    }
}
