//! Subjects of commits since the last release.

use std::path::Path;
use std::process::Command;

use super::Finding;

/// Characters of a subject.
const SUBJECT_CHARS_MAX: usize = 72;
/// The commit after which subjects are checked while there is no tag of a release. Some of those
/// before it are longer, and stay as they are.
const CHECKED_FROM: &str = "4ced211786f0cef49e8fd335b8a90a79d0728d06";

/// What is too long, or why that cannot be told.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>, String> {
    if !root.join(".git").exists() {
        return Err("there is no git checkout".to_owned());
    }
    let release = git(root, &["describe", "--tags", "--abbrev=0", "--match", "v*"]);
    let from = release.map_or_else(|_| CHECKED_FROM.to_owned(), |tag| tag.trim().to_owned());
    let subjects = git(root, &["log", "--format=%h %s", &format!("{from}..HEAD")])?;
    Ok(too_long(&subjects))
}

fn git(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    let output = command.arg("-C").arg(root).args(arguments).output();
    let output = output.map_err(|error| format!("cannot run git: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git {}: {}", arguments.join(" "), said.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads lines of a short hash and a subject.
fn too_long(subjects: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (hash, subject) in subjects.lines().filter_map(|line| line.split_once(' ')) {
        let characters = subject.chars().count();
        if characters > SUBJECT_CHARS_MAX {
            findings.push(Finding {
                path: format!("commit {hash}"),
                line: 1,
                fault: format!("{characters} characters in “{subject}”"),
                mend: format!("shorten it; the limit is {SUBJECT_CHARS_MAX}"),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_of_72_characters_fits() {
        let fits = "é".repeat(SUBJECT_CHARS_MAX);
        assert_eq!(too_long(&format!("abc {fits}\n")).len(), 0);
        let found = too_long(&format!("abc {fits}\ndef {fits}!\n"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "commit def");
    }

    #[test]
    fn a_source_archive_has_no_subjects() {
        let archive = tempfile::tempdir().expect("a directory");
        let why = check(archive.path()).expect_err("nothing to check");
        assert_eq!(why, "there is no git checkout");
    }
}
