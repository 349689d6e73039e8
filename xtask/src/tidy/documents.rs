//! What ARCHITECTURE.md and CONTRIBUTING.md name is there.

use super::Finding;
use super::tree::Tree;

/// Documents whose paths are checked.
const DOCUMENTS: [&str; 2] = ["ARCHITECTURE.md", "CONTRIBUTING.md"];
/// What the name of a file ends with, of those that documents name.
const ENDS: [&str; 6] = [".rs", ".md", ".toml", ".css", ".yml", "/"];

/// Looks for paths that are not there, and names that are not in the files they are told to be in.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for document in DOCUMENTS {
        for block in blocks(tree.text(document).unwrap_or_default()) {
            check_block(tree, document, &block, &mut findings);
        }
    }
    findings
}

/// A row of a table, or lines that belong together.
struct Block<'a> {
    /// The number of its first line.
    line: usize,
    lines: Vec<&'a str>,
}

/// What stands between backticks.
struct Span {
    line: usize,
    text: String,
    /// What stands between it and the next one.
    behind: String,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut is_begun = false;
    for (index, line) in text.lines().enumerate() {
        let is_row = line.starts_with('|');
        let is_code = line.starts_with("    ");
        match blocks.last_mut() {
            _ if line.trim().is_empty() => is_begun = false,
            Some(block) if is_begun && !is_row && !is_code => block.lines.push(line),
            _ => {
                blocks.push(Block {
                    line: index + 1,
                    lines: vec![line],
                });
                is_begun = !is_row;
            }
        }
    }
    blocks
}

impl Block<'_> {
    fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut is_code = false;
        for (index, line) in self.lines.iter().enumerate() {
            for (part, text) in line.split('`').enumerate() {
                if part > 0 {
                    is_code = !is_code;
                }
                match spans.last_mut() {
                    Some(last) if !is_code => {
                        last.behind.push_str(text);
                        last.behind.push(' ');
                    }
                    _ if is_code => spans.push(Span {
                        line: self.line + index,
                        text: text.to_owned(),
                        behind: String::new(),
                    }),
                    _ => {}
                }
            }
        }
        spans
    }
}

fn check_block(tree: &Tree, document: &str, block: &Block<'_>, findings: &mut Vec<Finding>) {
    let spans = block.spans();
    for (index, span) in spans.iter().enumerate() {
        if is_path(&span.text) {
            if tree.find(&span.text).is_empty() {
                findings.push(Finding {
                    path: document.to_owned(),
                    line: span.line,
                    fault: format!("`{}` does not exist", span.text),
                    mend: "write the current path".to_owned(),
                });
            }
            continue;
        }
        // `name` in `path`, and `name` (`path`).
        let Some(next) = spans.get(index + 1).filter(|next| is_path(&next.text)) else {
            continue;
        };
        if !matches!(span.behind.trim(), "in" | "(") || !is_name(&span.text) {
            continue;
        }
        let files = tree.find(&next.text);
        let is_there = files.iter().any(|file| {
            let text = tree.text(file).unwrap_or_default();
            span.text.split("::").all(|part| has_word(text, part))
        });
        if !is_there && !files.is_empty() {
            findings.push(Finding {
                path: document.to_owned(),
                line: span.line,
                fault: format!("`{}` is not in `{}`", span.text, next.text),
                mend: "write the current name or file".to_owned(),
            });
        }
    }
}

fn is_path(text: &str) -> bool {
    let is_of_path = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    ENDS.iter().any(|end| text.ends_with(end))
        && text.bytes().all(is_of_path)
        && !text.starts_with(['/', '.'])
        // What is made by a build is not there before.
        && !text.starts_with("target/")
}

fn is_name(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_:".contains(&byte);
    !text.is_empty() && text.bytes().all(is_of_name)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_of_word =
        |found: Option<char>| found.is_some_and(|found| found == '_' || found.is_alphanumeric());
    text.match_indices(word).any(|(at, _)| {
        !is_of_word(text[..at].chars().next_back())
            && !is_of_word(text[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(document: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("ARCHITECTURE.md", document),
            ("zc-core/src/cork.rs", "impl Cork { fn drop_it() {} }"),
            ("zc-core/src/disk/mod.rs", "fn fetch() {}"),
        ]);
        let findings = check(&tree);
        let shown = findings
            .iter()
            .map(|finding| format!("{} {}", finding.line, finding.fault));
        shown.collect()
    }

    #[test]
    fn paths_from_the_root_or_their_ends_are_there() {
        let fine = "`zc-core/src/cork.rs`, `cork.rs` and `disk/`, `/proc/stat`,\n`target/a.md` and `a/b`\n";
        assert_eq!(faults(fine), Vec::<String>::new());
        assert_eq!(
            faults("\nin\n`zc-core/cork.rs`\n"),
            ["3 `zc-core/cork.rs` does not exist"]
        );
        assert_eq!(faults("| a | `ork.rs` |\n"), ["1 `ork.rs` does not exist"]);
        assert_eq!(faults("`isk/`\n"), ["1 `isk/` does not exist"]);
    }

    #[test]
    fn a_name_is_in_its_file() {
        let fine = "| `Cork::drop_it` in `cork.rs` | `fetch` (`disk/`), `gone` and `cork.rs` |\n";
        assert_eq!(faults(fine), Vec::<String>::new());
        assert_eq!(
            faults("`Cork::drop`\nin `cork.rs`\n"),
            ["1 `Cork::drop` is not in `cork.rs`"]
        );
        assert_eq!(
            faults("`fetched` (`disk/`)\n"),
            ["1 `fetched` is not in `disk/`"]
        );
    }
}
