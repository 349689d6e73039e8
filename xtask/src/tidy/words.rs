//! Phrases that are hard to understand, and the words of the field to use for them.

use super::Finding;
use super::tree::Tree;
use crate::book::options;

/// Banned phrases, and what to write instead. A phrase is found in any case, across the lines of a
/// comment, and as the beginning of a longer word (`patient` in `set_patient_thread`). The test of the help
/// in zc-server reads this list: one phrase on each line.
const PHRASES: &[(&str, &str)] = &[
    ("what is kept of", "response cache"),
    ("the way of a body", "send path"),
    ("files that are not in memory", "cold files"),
    ("is put before", "runs before, or has priority over"),
    ("are put before", "run before, or have priority over"),
    ("vouch", "assume resident"),
    ("patient", "background (priority), or cold (queue)"),
    ("patience", "background priority, or open mode"),
    ("whose name says nothing", "with an unknown extension"),
    ("keeps nobody in", "files outside the root become reachable"),
    ("serve nobody", "must be 1 to N"),
    ("is not yours to set", "cannot be set; and why"),
    ("write it as", "example:"),
    ("take what they can get", "unthrottled"),
    ("beside other servers", "compared with other servers"),
    ("leaves them out", "not measured with"),
    ("what as many", "raw throughput, of as many"),
    ("comes after who", "is scheduled after"),
    ("has the old tag again", "keeps its tag"),
    ("which tells when", "which reports when"),
    ("nobody uses", "idle, or not in use"),
];

/// Where the phrases are named for what they are: the list itself, and what was written of the past. The
/// page of options is made of sources that are looked at.
const PASSED_OVER: [&str; 3] = ["xtask/src/tidy/words.rs", "CHANGELOG.md", options::PATH];

/// Looks for the phrases in all texts.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        if PASSED_OVER.contains(&path) {
            continue;
        }
        let prose = Prose::of(text);
        for (phrase, better) in PHRASES {
            for line in prose.lines_of(phrase) {
                findings.push(Finding {
                    path: path.to_owned(),
                    line,
                    fault: format!("“{phrase}”"),
                    mend: format!("write: {better}"),
                });
            }
        }
    }
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}

/// A text in lower case, with one space between words and without the marks of comments.
struct Prose {
    text: String,
    /// For each line, where it begins in the text.
    begins: Vec<usize>,
}

impl Prose {
    fn of(text: &str) -> Self {
        let mut prose = Self {
            text: String::with_capacity(text.len()),
            begins: Vec::new(),
        };
        for line in text.lines() {
            prose.begins.push(prose.text.len());
            for word in line.split_whitespace() {
                if !matches!(word, "//" | "///" | "//!" | "#" | "\\") {
                    prose.text.push_str(&word.to_lowercase());
                    prose.text.push(' ');
                }
            }
        }
        prose
    }

    /// The lines, from 1, in which a phrase begins.
    fn lines_of(&self, phrase: &str) -> Vec<usize> {
        let is_in_word = |at: usize| {
            let before = self.text[..at].chars().next_back();
            before.is_some_and(char::is_alphanumeric)
        };
        let found = self.text.match_indices(phrase).map(|(at, _)| at);
        let found = found.filter(|&at| !is_in_word(at));
        found
            .map(|at| self.begins.partition_point(|&begin| begin <= at))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_found_in_any_case_across_lines_and_in_names() {
        let lines = |text: &str, phrase: &str| Prose::of(text).lines_of(phrase);
        let comment = "//! a\n/// What is\n    /// kept  of files, which is what is kept of\n";
        assert_eq!(lines(comment, "what is kept of"), [2, 3]);
        assert_eq!(lines("a\n\nset_patient(); Patients", "patient"), [3, 3]);
        assert_eq!(lines("impatient", "patient"), [0; 0]);
        let found = check(&Tree::of(&[
            ("a.md", "a\nwe vouch\n"),
            ("CHANGELOG.md", "vouch"),
        ]));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), ("a.md", 2));
    }
}
