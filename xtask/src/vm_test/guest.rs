//! A virtual machine, from its start until it says that all is over.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// The lines by which a machine tells what happens: how they begin.
pub(super) const BOOTED: &str = "vm-test: booted";
pub(super) const FAILED: &str = "vm-test: failed:";
pub(super) const OVER: &str = "vm-test: over";

/// How a machine ended that came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Guest {
    pub(super) booted: Duration,
    pub(super) over: Duration,
    /// What it said after [`FAILED`].
    pub(super) failures: Vec<String>,
}

/// What the lines of the console have told so far.
#[derive(Debug, Default)]
struct Told {
    booted: Option<Duration>,
    over: Option<Duration>,
    failures: Vec<String>,
}

/// The machine, with its console on standard output.
fn machine(kernel: &Path, archive: &Path) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command
        // Nested virtualisation hangs on some machines.
        .args(["-accel", "tcg", "-smp", "1", "-m", "1024"])
        // When an interrupt comes in the middle of CMPXCHG16B, QEMU 7.2 makes flags of a part of an address, and
        // the kernel, whose allocator uses it, dies or hangs. Without it Linux does the same by other means.
        .args(["-cpu", "max,-cx16"])
        // A clock of instructions. By the clock of this machine, QEMU 7.2 sets wrong flags when an interrupt comes in
        // the middle of a string instruction, and Linux 6.12 then copies backwards now and then.
        .args(["-icount", "shift=2,sleep=off"])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args(["-serial", "stdio"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(archive)
        // A fault of the kernel ends the machine, and so the tests.
        .args(["-append", "console=ttyS0 loglevel=4 oops=panic panic=-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0);
    command
}

impl Guest {
    /// Runs a kernel with an archive, and prints what it says behind its name.
    pub(super) fn run(
        name: &str,
        kernel: &Path,
        archive: &Path,
        limit: Duration,
    ) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut child = machine(kernel, archive)
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        let console = child.stdout.take().context("QEMU has no console")?;
        let (sender, lines) = mpsc::channel();
        let reader = thread::spawn(move || {
            for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut told = Told::default();
        let is_late = loop {
            match lines.recv_timeout(limit.saturating_sub(began.elapsed())) {
                Ok(line) => {
                    println!("{name:8}| {line}");
                    told.hear(&line, began.elapsed());
                }
                Err(RecvTimeoutError::Disconnected) => break false,
                Err(RecvTimeoutError::Timeout) => break true,
            }
        };
        if is_late {
            crate::ci::end_group(&mut child)?;
        }
        child.wait()?;
        // The line in which a test has hung.
        let _ = reader.join();
        for line in lines.try_iter() {
            println!("{name:8}| {line}");
        }
        if is_late {
            bail!(
                "the machine was stopped after {} s, its time limit",
                limit.as_secs()
            );
        }
        told.end()
    }
}

impl Told {
    /// A message of the kernel may stand in front of a line of ours.
    fn hear(&mut self, line: &str, after: Duration) {
        if line.contains(BOOTED) {
            self.booted = Some(after);
        } else if line.contains(OVER) {
            self.over = Some(after);
        } else if let Some((_, what)) = line.split_once(FAILED) {
            self.failures.push(what.trim().to_owned());
        }
    }

    fn end(self) -> anyhow::Result<Guest> {
        let booted = self.booted.context("the machine did not boot")?;
        let over = self
            .over
            .context("the machine ended in the middle of its tests")?;
        Ok(Guest {
            booted,
            over,
            failures: self.failures,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn told(lines: &[&str]) -> anyhow::Result<Guest> {
        let mut told = Told::default();
        for line in lines {
            told.hear(line, SECOND);
        }
        told.end()
    }

    #[test]
    fn only_a_machine_that_comes_to_its_end_has_told_anything() {
        assert!(told(&[]).is_err());
        assert!(told(&["vm-test: over"]).is_err());
        assert!(told(&["vm-test: booted", "Kernel panic"]).is_err());
        let guest = told(&[
            "[    2.1] x vm-test: booted",
            "vm-test: failed: ktls with the module",
            "vm-test: over",
        ]);
        let expected = Guest {
            booted: SECOND,
            over: SECOND,
            failures: vec!["ktls with the module".to_owned()],
        };
        assert_eq!(guest.expect("the end"), expected);
    }
}
