//! One version of Rust: that of the workspace, which all members have and the documents name.

use std::process::Command;

use super::Finding;
use super::tree::Tree;

/// Where the version is named besides, and the words before it.
const NAMED: [(&str, &str); 2] = [("README.md", "Rust "), ("CONTRIBUTING.md", "Rust ")];

/// Looks for members with versions of their own, and documents that name another.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(version) = version(tree) else {
        return vec![fault(
            "Cargo.toml",
            1,
            "no `rust-version` in [workspace.package]",
            "name one",
        )];
    };
    let mut findings = Vec::new();
    for member in members(tree) {
        let path = format!("{member}/Cargo.toml");
        let manifest = tree.text(&path).unwrap_or_default();
        if !manifest
            .lines()
            .any(|line| line.trim() == "rust-version.workspace = true")
        {
            findings.push(fault(
                &path,
                1,
                "the version of Rust is not that of the workspace",
                "write `rust-version.workspace = true`",
            ));
        }
    }
    for (path, before) in NAMED {
        let text = tree.text(path).unwrap_or_default();
        let named: Vec<(usize, &str)> = text
            .lines()
            .enumerate()
            .flat_map(|(index, line)| {
                versions_behind(line, before).map(move |named| (index + 1, named))
            })
            .collect();
        for (line, named) in named.iter().filter(|(_, named)| *named != version) {
            let what = format!("Rust {named}, where Cargo.toml has {version}");
            findings.push(fault(path, *line, &what, "name the version of Cargo.toml"));
        }
        if named.is_empty() {
            findings.push(fault(
                path,
                1,
                "no version of Rust",
                &format!("name Rust {version}"),
            ));
        }
    }
    findings
}

/// The version that the workspace declares.
fn version(tree: &Tree) -> Option<&str> {
    let manifest = tree.text("Cargo.toml")?;
    manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'))
}

/// Whether the compiler that is used here is of the version declared: with another one, nothing tells
/// here that the code is compiled by that.
pub(super) fn note(tree: &Tree) -> Option<String> {
    let declared = version(tree)?;
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(program).arg("--version").output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let used = said.split_whitespace().nth(1)?;
    Some(
        if used == declared || used.starts_with(&format!("{declared}.")) {
            format!("rust-version: the compiler here is {used}, of the version declared")
        } else {
            format!(
                "rust-version: the compiler here is {used}; whether {declared} compiles this is not tested"
            )
        },
    )
}

fn members(tree: &Tree) -> Vec<&str> {
    let manifest = tree.text("Cargo.toml").unwrap_or_default();
    let list = manifest
        .lines()
        .find_map(|line| line.strip_prefix("members = "));
    let names = list.unwrap_or_default().split('"').skip(1).step_by(2);
    names.collect()
}

/// The versions that stand behind some words: digits with a dot between them.
fn versions_behind<'a>(line: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(before).filter_map(move |(at, _)| {
        let rest = &line[at + before.len()..];
        let end = rest.find(|found: char| !found.is_ascii_digit() && found != '.');
        let version = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
        version.contains('.').then_some(version)
    })
}

fn fault(path: &str, line: usize, fault: &str, mend: &str) -> Finding {
    Finding {
        path: path.to_owned(),
        line,
        fault: fault.to_owned(),
        mend: mend.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(member: &str, readme: &str) -> Vec<String> {
        let workspace =
            "[workspace]\nmembers = [\"a\"]\n[workspace.package]\nrust-version = \"1.95\"\n";
        let findings = check(&Tree::of(&[
            ("Cargo.toml", workspace),
            ("a/Cargo.toml", member),
            ("README.md", readme),
            ("CONTRIBUTING.md", "Rust 1.95"),
        ]));
        let shown = findings
            .iter()
            .map(|finding| format!("{}:{}", finding.path, finding.line));
        shown.collect()
    }

    #[test]
    fn members_inherit_it_and_documents_name_it() {
        let inherits = "rust-version.workspace = true\n";
        assert_eq!(
            lines(inherits, "needs Linux and Rust 1.95; no Rust else."),
            Vec::<String>::new()
        );
        assert_eq!(
            lines("rust-version = \"1.95\"\n", "Rust 1.95"),
            ["a/Cargo.toml:1"]
        );
        assert_eq!(lines("", "Rust 1.95"), ["a/Cargo.toml:1"]);
        assert_eq!(lines(inherits, "\nRust 1.9."), ["README.md:2"]);
        assert_eq!(lines(inherits, "Rust"), ["README.md:1"]);
    }
}
