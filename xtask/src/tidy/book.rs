//! The pages of the book are those of its table of contents, its options are clap's, and its code is run
//! or compiled. README is a front page.

use super::Finding;
use super::tree::Tree;
use crate::book::{PAGES, SUMMARY, options, page};
use crate::markdown::Document;

const README: &str = "README.md";
/// Lines of a README that is read once, and whole.
const README_LINES_MAX: usize = 150;

/// Looks for a README that is more than a front page.
pub(super) fn readme_length(tree: &Tree) -> Vec<Finding> {
    let lines = tree.text(README).unwrap_or_default().lines().count();
    let is_long = lines > README_LINES_MAX;
    let finding = is_long.then(|| Finding {
        path: README.to_owned(),
        line: README_LINES_MAX + 1,
        fault: format!("{lines} lines"),
        mend: format!("move what is more than {README_LINES_MAX} into the book"),
    });
    finding.into_iter().collect()
}

/// Looks for pages that are not in the book, and for what on them is neither run nor compiled.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = strays(tree);
    findings.extend(options_page(tree));
    let is_read = |path: &str| path.starts_with(PAGES) || path == README;
    for (path, text) in tree
        .texts()
        .filter(|(path, _)| is_read(path) && path.ends_with(".md"))
    {
        findings.extend(blocks(tree, path, text));
    }
    findings
}

/// Pages that SUMMARY.md does not have. Links of SUMMARY.md to pages that are not
/// there are dead ones, which `links` finds.
fn strays(tree: &Tree) -> Vec<Finding> {
    let summary = Document::read(tree.text(SUMMARY).unwrap_or_default());
    let is_listed = |name: &str| summary.links.iter().any(|link| link.target == name);
    let pages = tree.texts().filter(|(path, _)| path.ends_with(".md"));
    let pages = pages.filter_map(|(path, _)| Some((path.strip_prefix(PAGES)?, path)));
    let strays = pages.filter(|&(name, path)| path != SUMMARY && !is_listed(name));
    strays
        .map(|(_, path)| Finding {
            path: path.to_owned(),
            line: 1,
            fault: format!("the page is not in {SUMMARY}"),
            mend: "add it there".to_owned(),
        })
        .collect()
}

/// The page of options, if it is not what clap has.
fn options_page(tree: &Tree) -> Option<Finding> {
    let found = tree.text(options::PATH).unwrap_or_default();
    let wanted = options::page();
    let same = found.lines().zip(wanted.lines());
    let line = same.take_while(|(found, wanted)| found == wanted).count() + 1;
    (found != wanted).then(|| Finding {
        path: options::PATH.to_owned(),
        line,
        fault: "this is not what clap has".to_owned(),
        mend: "run `cargo xtask book`".to_owned(),
    })
}

/// Commands that the gates would not run as they are meant, and Rust that no crate compiles.
fn blocks(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let finding = |line: usize, fault: String, mend: &str| Finding {
        path: path.to_owned(),
        line,
        fault,
        mend: mend.to_owned(),
    };
    let mut findings = Vec::new();
    for fault in page::steps(text).err().into_iter().flatten() {
        let mend = "CONTRIBUTING.md says what is above a block";
        findings.push(finding(fault.line, fault.text, mend));
    }
    let blocks = Document::read(text).blocks;
    let rust = blocks.iter().find(|block| block.language == "rust");
    let included = format!("include_str!(\"../../{path}\")");
    let is_compiled = tree
        .texts()
        .any(|(path, text)| path.ends_with("/lib.rs") && text.contains(&included));
    if let Some(block) = rust.filter(|_| !is_compiled) {
        let mend = format!("add `#[doc = {included}]` to the doctests of zc-core/src/lib.rs");
        let fault = "no crate compiles the Rust of this page".to_owned();
        findings.push(finding(block.line, fault, &mend));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a tree with the page of options.
    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let page = options::page();
        let mut files = files.to_vec();
        files.push((options::PATH, &page));
        let findings = check(&Tree::of(&files));
        let shown = findings
            .iter()
            .map(|finding| format!("{}:{} {}", finding.path, finding.line, finding.fault));
        shown.collect()
    }

    #[test]
    fn every_page_is_in_the_table_of_contents() {
        let summary = (SUMMARY, "[A](a.md)\n- [Options](options.md)\n");
        assert_eq!(faults(&[summary, ("docs/src/a.md", "# A\n")]), [""; 0]);
        let stray = [summary, ("docs/src/b/c.md", "# C\n")];
        let wanted = "docs/src/b/c.md:1 the page is not in docs/src/SUMMARY.md";
        assert_eq!(faults(&stray), [wanted]);
    }

    #[test]
    fn options_are_those_of_clap() {
        let page = options::page();
        let tree = |text: &str| Tree::of(&[(options::PATH, text)]);
        assert_eq!(options_page(&tree(&page)), None);
        let other = page.replacen("ZC_BIND", "ZC_ADDRESS", 1);
        let found = options_page(&tree(&other)).expect("a difference");
        let line = other.lines().position(|line| line.contains("ZC_ADDRESS"));
        assert_eq!(Some(found.line - 1), line);
        assert!(options_page(&tree("")).is_some());
    }

    #[test]
    fn commands_and_rust_that_nothing_runs_are_found() {
        let rust = ("README.md", "# A\n\n```rust,no_run\nfn main() {}\n```\n");
        let lib = |text| ("zc-core/src/lib.rs", text);
        let is_included = "#[doc = include_str!(\"../../README.md\")]";
        let summary = (SUMMARY, "[Options](options.md)\n");
        assert_eq!(faults(&[summary, rust, lib(is_included)]), [""; 0]);
        let wanted = "README.md:3 no crate compiles the Rust of this page";
        assert_eq!(faults(&[summary, rust, lib("")]), [wanted]);
        let found = faults(&[summary, ("README.md", "```bash\nls\n```\n")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("README.md:1 a ```bash block"));
    }

    #[test]
    fn readme_is_a_front_page() {
        let fits = "a\n".repeat(README_LINES_MAX);
        assert_eq!(readme_length(&Tree::of(&[(README, &fits)])), []);
        let long = format!("{fits}a\n");
        let found = readme_length(&Tree::of(&[(README, &long)]));
        assert_eq!(found[0].fault, "151 lines");
    }
}
