//! How many crates a crate of ours is built from: each is code that somebody else may change.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use super::Finding;

/// The most crates that the server is built from, those of the workspace included.
const SERVER_MAX: usize = 95;
/// What zc-core depends on when no feature is asked for, as its documents promise.
const CORE_KNOWS: [&str; 1] = ["nix"];

/// Looks at the trees of dependencies, as cargo tells them.
pub(super) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let server = tree(root, "zc-server", &["--all-features"])?;
    let without = tree(root, "zc-server", &["--no-default-features"])?;
    let core = tree(root, "zc-core", &["--no-default-features", "--depth", "1"])?;
    Ok(findings(&server, &without, &core))
}

/// The crates that one is built from, itself included, by name and version.
fn tree(root: &Path, name: &str, options: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none"])
        .args(["--package", name])
        .args(options);
    let output = command.output().context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "cargo tree of {name}: {}",
        said.trim()
    );
    Ok(crates(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads lines such as `nix v0.31.3` and `zc-http v0.1.0 (/path) (*)`.
fn crates(text: &str) -> BTreeSet<String> {
    let crates = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(format!("{} {}", words.next()?, words.next()?))
    });
    crates.collect()
}

fn findings(
    server: &BTreeSet<String>,
    without: &BTreeSet<String>,
    core: &BTreeSet<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |path: &str, fault: String, mend: &str| {
        findings.push(Finding {
            path: path.to_owned(),
            line: 1,
            fault,
            mend: mend.to_owned(),
        });
    };
    let number = server.len();
    if number > SERVER_MAX {
        add(
            "zc-server/Cargo.toml",
            format!("it is built from {number} crates, where {SERVER_MAX} are the most"),
            "do without one; `cargo tree -p zc-server -e normal` shows them",
        );
    }
    for name in ["rustls", "rcgen", "aws-lc-rs"] {
        let mut names = without.iter().filter_map(|found| found.split(' ').next());
        if names.any(|found| found == name) {
            add(
                "zc-server/Cargo.toml",
                format!("{name} is there without the feature tls"),
                "make it optional",
            );
        }
    }
    let mut others = core.iter().filter_map(|found| found.split(' ').next());
    if let Some(other) = others.find(|name| *name != "zc-core" && !CORE_KNOWS.contains(name)) {
        add(
            "zc-core/Cargo.toml",
            format!("without features it depends on {other}"),
            "make it optional: without features zc-core depends on nix alone",
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_counted_once_each_by_version() {
        let text = "zc-server v0.1.0 (/a/zc-server)\nnix v0.31.3\nnix v0.31.3 (*)\nnix v0.30.0\n\
                    serde_derive v1.0.0 (proc-macro)\n";
        let found: Vec<String> = crates(text).into_iter().collect();
        let expected = [
            "nix v0.30.0",
            "nix v0.31.3",
            "serde_derive v1.0.0",
            "zc-server v0.1.0",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_too_much_is_found() {
        let few = crates("zc-server v0.1.0\nnix v0.31.3\n");
        let core = crates("zc-core v0.1.0\nnix v0.31.3\n");
        assert_eq!(findings(&few, &few, &core), []);
        let many: BTreeSet<String> = (0..=SERVER_MAX).map(|number| number.to_string()).collect();
        let tls = crates("zc-server v0.1.0\nrustls v0.23.46\n");
        let more = crates("zc-core v0.1.0\nnix v0.31.3\nmio v1.0.0\n");
        let faults = findings(&many, &tls, &more);
        let faults: Vec<&str> = faults.iter().map(|found| &*found.fault).collect();
        let expected = [
            "it is built from 96 crates, where 95 are the most",
            "rustls is there without the feature tls",
            "without features it depends on mio",
        ];
        assert_eq!(faults, expected);
    }
}
