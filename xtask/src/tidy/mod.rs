//! `cargo xtask tidy`: what a reader would object to and no compiler does. A test runs it as well.

mod allowed;
mod attributes;
mod book;
mod commits;
mod crates;
mod documents;
mod graph;
mod layers;
mod links;
mod pictures;
mod rust_version;
mod size;
mod tested;
mod tree;
mod unsafe_code;
mod words;

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::Path;

use anyhow::{Context, bail};
use clap::Parser;
use clap::builder::PossibleValuesParser;

use crate::artifacts::root;
use allowed::Allowed;
use tree::Tree;

/// Check file and function sizes, layers, crates, documents, words and commits
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask tidy",
    bin_name = "cargo xtask tidy",
    max_term_width = 80
)]
struct Options {
    /// Lower the numbers in xtask/src/tidy/allowed.txt to what is found now
    #[arg(long)]
    lower: bool,

    /// Run only this check; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "lower", value_parser = names())]
    only: Vec<String>,
}

fn names() -> PossibleValuesParser {
    let others = ["layers", "commits", "crates", "pictures"];
    PossibleValuesParser::new(CHECKS.iter().map(|(name, _)| *name).chain(others))
}

/// Something to be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// The file, or the commit.
    path: String,
    line: usize,
    fault: String,
    /// What would help, as a demand.
    mend: String,
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}; {}",
            self.path, self.line, self.fault, self.mend
        )
    }
}

/// What looks at the files of a tree.
type Check = fn(&Tree) -> Vec<Finding>;

/// The checks by name.
const CHECKS: [(&str, Check); 10] = [
    ("file-length", size::files),
    ("function-length", size::functions),
    ("readme-length", book::readme_length),
    ("documents", documents::check),
    ("links", links::check),
    ("book", book::check),
    ("tested", tested::check),
    ("words", words::check),
    ("unsafe", unsafe_code::check),
    ("rust-version", rust_version::check),
];

/// How many of a check are told of one file.
const TOLD_MAX: usize = 5;

/// What was found.
#[derive(Default)]
struct Outcome {
    /// Each with its check.
    faults: Vec<(&'static str, Finding)>,
    /// What is told and fails nothing.
    notes: Vec<String>,
    /// How many of what there are, to be allowed.
    found: Allowed,
    allowed: Allowed,
}

/// Checks the repository.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = "cargo xtask tidy".to_owned();
    let options = Options::parse_from(std::iter::once(&name).chain(arguments));
    let outcome = check(&root(), &options.only)?;
    if options.lower {
        let text = outcome.allowed.lowered_to(&outcome.found)?;
        std::fs::write(root().join(allowed::PATH), text)?;
        return Ok(());
    }
    for note in &outcome.notes {
        println!("note: {note}");
    }
    outcome.verdict()
}

/// Checks a tree, by the checks of these names, or by all.
fn check(root: &Path, only: &[String]) -> anyhow::Result<Outcome> {
    let is_chosen = |name: &str| only.is_empty() || only.iter().any(|chosen| chosen == name);
    let tree = Tree::read(root)?;
    let allowed = std::fs::read_to_string(root.join(allowed::PATH));
    let allowed = allowed.with_context(|| format!("cannot read {}", allowed::PATH))?;
    let mut outcome = Outcome {
        allowed: Allowed::read(&allowed)?,
        ..Outcome::default()
    };
    for (name, check) in CHECKS.iter().filter(|(name, _)| is_chosen(name)) {
        outcome.hold_to_allowed(name, check(&tree));
    }
    outcome.hold_to_lower_numbers(is_chosen);
    if is_chosen("layers") {
        let layers = layers::check(&tree);
        if layers::IS_ENFORCED {
            outcome.add("layers", layers);
        } else {
            let notes = layers
                .iter()
                .map(|finding| format!("layers, not enforced: {finding}"));
            outcome.notes.extend(notes);
        }
    }
    if is_chosen("commits") {
        match commits::check(root) {
            Ok(findings) => outcome.add("commits", findings),
            Err(why) => outcome.notes.push(format!("commits: not checked, {why}")),
        }
    }
    if is_chosen("crates") {
        outcome.add("crates", crates::check(root)?);
    }
    if is_chosen("pictures") {
        outcome.add("pictures", pictures::check(root)?);
    }
    if is_chosen("rust-version") {
        outcome.notes.extend(rust_version::note(&tree));
    }
    Ok(outcome)
}

impl Outcome {
    fn add(&mut self, check: &'static str, findings: Vec<Finding>) {
        self.faults
            .extend(findings.into_iter().map(|finding| (check, finding)));
    }

    /// Takes what a check has found; where a file has more than it may, all of it is told.
    fn hold_to_allowed(&mut self, check: &'static str, findings: Vec<Finding>) {
        for finding in &findings {
            self.found.count(check, &finding.path);
        }
        for finding in findings {
            if self.found.of(check, &finding.path) > self.allowed.of(check, &finding.path) {
                self.faults.push((check, finding));
            }
        }
    }

    /// Where a file has fewer than it may, the number is to be lowered.
    fn hold_to_lower_numbers(&mut self, is_chosen: impl Fn(&str) -> bool) {
        let above = self.allowed.above(&self.found);
        for ((check, path), allowed, found) in above.filter(|((check, _), ..)| is_chosen(check)) {
            let finding = Finding {
                path: allowed::PATH.to_owned(),
                line: 1,
                fault: format!(
                    "{allowed} findings of {check} are allowed in {path}, and it has {found}"
                ),
                mend: "run `cargo xtask tidy --lower`".to_owned(),
            };
            self.faults.push(("allowed", finding));
        }
    }

    fn verdict(&self) -> anyhow::Result<()> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let mut told: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut lines = Vec::new();
        for (check, finding) in &self.faults {
            let count = told.entry((check, &finding.path)).or_default();
            *count += 1;
            if *count <= TOLD_MAX {
                lines.push(format!("{finding} [{check}]"));
            }
        }
        for ((check, path), count) in told {
            if count > TOLD_MAX {
                lines.push(format!("{path}: {} more [{check}]", count - TOLD_MAX));
            }
        }
        bail!("the tree is untidy:\n{}", lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let outcome = check(&root(), &[]).expect("the tree is read");
        // Said by those who run it with --nocapture.
        println!("{}", outcome.notes.join("\n"));
        if let Err(untidy) = outcome.verdict() {
            panic!("{untidy}");
        }
    }

    fn outcome(allowed: &str, found: &[&str]) -> Vec<String> {
        let mut outcome = Outcome {
            allowed: Allowed::read(allowed).expect("numbers"),
            ..Outcome::default()
        };
        let findings = found.iter().map(|path| Finding {
            path: (*path).to_owned(),
            line: 7,
            fault: "fault".to_owned(),
            mend: "mend".to_owned(),
        });
        outcome.hold_to_allowed("words", findings.collect());
        outcome.hold_to_lower_numbers(|_| true);
        let told = outcome
            .faults
            .iter()
            .map(|(_, finding)| finding.to_string());
        told.collect()
    }

    #[test]
    fn what_is_allowed_may_only_shrink() {
        assert_eq!(outcome("2 words a.md\n", &["a.md", "a.md"]), [""; 0]);
        assert_eq!(outcome("", &["a.md"]), ["a.md:7: fault; mend"]);
        assert_eq!(outcome("1 words a.md\n", &["a.md", "a.md"]).len(), 2);
        let fewer = outcome("2 words a.md\n", &["a.md"]);
        assert_eq!(fewer.len(), 1);
        assert!(
            fewer[0].contains("2 findings of words are allowed in a.md, and it has 1; run"),
            "{fewer:?}"
        );
    }
}
