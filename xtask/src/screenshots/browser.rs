//! Chromium, driven by scripts for Node.js with playwright-core, as the tests of the pages drive it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::missing;
use crate::artifacts::root;
use crate::bench::peers::find_program;

/// How long a script may take.
const SECONDS_MAX: u32 = 300;
/// Where the tests name the packages and their versions, from the root of the repository.
const PACKAGES: &str = "zc-server/tests/it/playwright";

/// Where it is, and where scripts find their packages.
pub(super) struct Browser {
    chromium: PathBuf,
    scratch: PathBuf,
}

impl Browser {
    /// Installs the packages in `scratch`.
    pub(super) fn find(scratch: &Path) -> anyhow::Result<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let chromium = names.into_iter().find_map(find_program);
        let chromium = chromium.with_context(|| missing("chromium"))?;
        for program in ["node", "npm"] {
            find_program(program).with_context(|| missing(program))?;
        }
        for name in ["package.json", "package-lock.json"] {
            fs::copy(root().join(PACKAGES).join(name), scratch.join(name))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        succeed(npm.current_dir(scratch), "npm ci")?;
        let scratch = scratch.to_owned();
        Ok(Self { chromium, scratch })
    }

    /// Runs a script to its end, and answers what it printed. `told` is what it has to know.
    pub(super) fn run(&self, script: &str, mut told: Value) -> anyhow::Result<String> {
        told["chromium"] = self.chromium.to_str().context("a path in UTF-8")?.into();
        fs::write(self.scratch.join("script.mjs"), script)?;
        let mut node = Command::new("timeout");
        node.args([&SECONDS_MAX.to_string(), "node", "script.mjs"]);
        node.current_dir(&self.scratch)
            .env("TOLD", told.to_string());
        let output = succeed(&mut node, "node")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Runs a command, which must succeed.
pub(super) fn succeed(command: &mut Command, name: &str) -> anyhow::Result<Output> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {}", said.trim());
    Ok(output)
}
