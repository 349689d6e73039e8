//! Of what, when and where a report is.

use std::process::{Command, Stdio};

use super::report::About;
use crate::artifacts;

impl About {
    /// `tool` is what is run besides zc, with its version.
    pub(super) fn of(name: &str, arguments: &[String], tool: &str) -> Self {
        let root = artifacts::root();
        let git = [
            "-C",
            &root.to_string_lossy(),
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
        ];
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let command = [&[name.to_owned()], arguments].concat();
        Self {
            date: jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
            commit: first_line("git", &git),
            command: command.join(" "),
            machine: format!(
                "{cores} cores, Linux {}, {tool}",
                first_line("uname", &["-r"])
            ),
        }
    }
}

/// The first line that a program prints.
pub(super) fn first_line(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).stderr(Stdio::null()).output();
    let said = output.map(|output| output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    said.lines().next().unwrap_or("unknown").to_owned()
}
