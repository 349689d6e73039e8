//! Where `unsafe` stands, and what is said of it.

use proc_macro2::Span;
use syn::visit::{self, Visit};

use super::Finding;
use super::tree::Tree;

/// The one file that may have it.
const FENCE: &str = "zc-core/src/sys.rs";
/// The least that names an invariant.
const SAFETY_WORDS_MIN: usize = 6;

/// Looks for `unsafe` outside of its file, and for blocks whose `SAFETY` says little or nothing.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.rust() {
        let mut unsafes = Unsafes::default();
        unsafes.visit_file(&source.file);
        let is_fence = source.path == FENCE;
        let all = unsafes.blocks.iter().chain(&unsafes.others);
        for line in all.filter(|_| !is_fence) {
            findings.push(Finding {
                path: source.path.clone(),
                line: *line,
                fault: format!("`unsafe` outside {FENCE}").to_owned(),
                mend: format!("move it into a safe function in {FENCE}"),
            });
        }
        let lines: Vec<&str> = tree
            .text(&source.path)
            .unwrap_or_default()
            .lines()
            .collect();
        for line in unsafes.blocks {
            let words = safety_words(&lines[..line - 1]);
            if words < SAFETY_WORDS_MIN {
                findings.push(Finding {
                    path: source.path.clone(),
                    line,
                    fault: format!("an unsafe block with {words} words of SAFETY"),
                    mend: "explain in `// SAFETY:` above it why the call is sound".to_owned(),
                });
            }
        }
    }
    findings
}

/// The words of the `SAFETY` comment that ends `above`, save for the beginning of the statement that
/// the block is a part of.
fn safety_words(above: &[&str]) -> usize {
    let is_comment = |line: &&&str| line.trim_start().starts_with("//");
    let is_begun = |line: &&&str| !is_comment(line) && !line.trim_end().ends_with([';', '{', '}']);
    let begun = above.iter().rev().take_while(is_begun).count();
    let above = &above[..above.len() - begun];
    let comment = above.iter().rev().take_while(is_comment).count();
    let comment = &above[above.len() - comment..];
    let words: Vec<&str> = comment
        .iter()
        .flat_map(|line| line.split_whitespace())
        .collect();
    let Some(safety) = words.iter().position(|&word| word == "SAFETY:") else {
        return 0;
    };
    words[safety + 1..]
        .iter()
        .filter(|&&word| word != "//")
        .count()
}

/// The lines of `unsafe`.
#[derive(Default)]
struct Unsafes {
    blocks: Vec<usize>,
    others: Vec<usize>,
}

impl Unsafes {
    fn other(&mut self, token: Option<syn::token::Unsafe>) {
        self.others.extend(token.map(|token| line(token.span)));
    }
}

impl<'ast> Visit<'ast> for Unsafes {
    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.blocks.push(line(block.unsafe_token.span));
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let syn::Safety::Unsafe(token) = signature.safety {
            self.other(Some(token));
        }
        visit::visit_signature(self, signature);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.other(item.unsafety);
        visit::visit_item_impl(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.other(item.unsafety);
        visit::visit_item_trait(self, item);
    }
}

fn line(span: Span) -> usize {
    span.start().line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(path: &str, text: &str) -> Vec<usize> {
        let findings = check(&Tree::of(&[(path, text)]));
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_block_is_told_from_its_statement_and_wants_a_reason() {
        let long = "fn f() {\n    // SAFETY: the pointer is to an integer that lives\n    // long enough.\n";
        assert_eq!(
            lines_of(FENCE, &format!("{long}    unsafe {{ g() }}\n}}\n")),
            [0; 0]
        );
        assert_eq!(
            lines_of(
                FENCE,
                &format!("{long}    let a =\n        unsafe {{ g() }};\n}}\n")
            ),
            [0; 0]
        );
        assert_eq!(
            lines_of(
                FENCE,
                &format!("{long}    h();\n    unsafe {{ g() }}\n}}\n")
            ),
            [5]
        );
        assert_eq!(
            lines_of(
                FENCE,
                "fn f() {\n    // SAFETY: two numbers.\n    unsafe { g() }\n}\n"
            ),
            [3]
        );
        assert_eq!(
            lines_of(
                FENCE,
                "fn f() {\n    // It is safe, as everybody can see.\n    unsafe { g() }\n}\n"
            ),
            [3]
        );
    }

    #[test]
    fn it_stands_in_one_file() {
        let safe = "fn f() {\n    // SAFETY: one two three four five six.\n    unsafe { g() }\n}\n";
        assert_eq!(lines_of(FENCE, safe), [0; 0]);
        assert_eq!(lines_of("zc-core/src/ring.rs", safe), [3]);
        assert_eq!(
            lines_of("zc-http/src/a.rs", "unsafe impl Send for A {}\n"),
            [1]
        );
        assert_eq!(lines_of("zc-http/src/a.rs", "unsafe fn f() {}\n"), [1]);
        assert_eq!(
            lines_of("zc-http/src/a.rs", "impl A {\n    unsafe fn f() {}\n}\n"),
            [2]
        );
    }
}
