//! Headless Chromium, as the pictures and the measurement have it.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::Context;

use super::missing;
use crate::bench::peers::find_program;

/// How long the browser may take for what it does once.
const SECONDS_MAX: u32 = 120;
/// How often it is begun again when it has crashed.
const CRASHES_MAX: usize = 5;
/// The zone of its clock, so that pictures have the same times on every machine.
const ZONE: &str = "Europe/Zurich";

/// Where it is, and where it may write.
pub(super) struct Browser {
    program: PathBuf,
    scratch: PathBuf,
}

impl Browser {
    pub(super) fn find(scratch: &Path) -> anyhow::Result<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let program = names.into_iter().find_map(find_program);
        Ok(Self {
            program: program.with_context(|| missing("chromium"))?,
            scratch: scratch.to_owned(),
        })
    }

    /// It with a new profile and the options that it has always, to which others are added.
    pub(super) fn command(&self) -> Command {
        // timeout(1) ends by the signal that has ended the browser.
        let mut command = Command::new("timeout");
        command
            .arg(SECONDS_MAX.to_string())
            .arg(&self.program)
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--hide-scrollbars", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking"])
            .arg(format!(
                "--user-data-dir={}",
                self.scratch.join("profile").display()
            ))
            .env("TZ", ZONE)
            .stdin(Stdio::null());
        command
    }
}

/// Runs a program again as long as a signal has ended it: Chromium crashes now and then.
pub(super) fn unless_crashed(
    mut run: impl FnMut() -> anyhow::Result<Output>,
) -> anyhow::Result<Output> {
    let mut crashes = 0;
    loop {
        let output = run()?;
        let has_crashed = output.status.signal().is_some();
        if !has_crashed || crashes == CRASHES_MAX {
            return Ok(output);
        }
        crashes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_crashed_is_started_again_and_one_that_failed_is_not() {
        let mut runs = 0;
        let mut ended_by = |ends: &[&str]| {
            runs = 0;
            let output = unless_crashed(|| {
                let end = ends.get(runs).unwrap_or(&"kill -SEGV $$");
                runs += 1;
                Ok(Command::new("sh").args(["-c", end]).output()?)
            });
            (output.expect("sh runs").status.code(), runs)
        };
        assert_eq!(ended_by(&["kill -SEGV $$", "exit 0"]), (Some(0), 2));
        assert_eq!(ended_by(&["exit 1"]), (Some(1), 1));
        assert_eq!(ended_by(&[]), (None, CRASHES_MAX + 1));
    }
}
