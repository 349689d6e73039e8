//! Files and functions that are too long to be one thing.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;
use super::attributes::is_for_tests;
use super::tree::Tree;

/// Lines of a file, without the unit tests at its foot.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function, from `fn` to its last brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Looks for files that are too long.
pub(super) fn files(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.rust() {
        let text = tree.text(&source.path).unwrap_or_default();
        let lines = match source.file.items.last() {
            Some(syn::Item::Mod(tests)) if is_for_tests(&tests.attrs) => {
                tests.attrs.first().map_or(0, |first| line(first.span())) - 1
            }
            _ => text.lines().count(),
        };
        if lines > FILE_LINES_MAX {
            findings.push(Finding {
                path: source.path.clone(),
                line: 1,
                fault: format!("{lines} lines, without unit tests at the foot"),
                mend: format!("split it; the limit is {FILE_LINES_MAX}"),
            });
        }
    }
    findings
}

/// Looks for functions that are too long.
pub(super) fn functions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.rust() {
        let mut functions = Functions {
            path: &source.path,
            findings: &mut findings,
        };
        functions.visit_file(&source.file);
    }
    findings
}

struct Functions<'a> {
    path: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Functions<'_> {
    fn check(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let first = line(signature.fn_token.span);
        let lines = line(body.brace_token.span.close()) + 1 - first;
        if lines > FUNCTION_LINES_MAX {
            self.findings.push(Finding {
                path: self.path.to_owned(),
                line: first,
                fault: format!("`{}` has {lines} lines", signature.ident),
                mend: format!("split it; the limit is {FUNCTION_LINES_MAX}"),
            });
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.check(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.check(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.check(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

fn line(span: Span) -> usize {
    span.start().line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_tests_at_the_foot_do_not_count_and_all_else_does() {
        let long = "// one line\n".repeat(FILE_LINES_MAX);
        let tests = "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n";
        let of = |text: String| files(&Tree::of(&[("a.rs", &text)])).len();
        assert_eq!(of(format!("{long}{tests}")), 0);
        assert_eq!(of(format!("{long}\n{tests}")), 1);
        assert_eq!(of(format!("{long}mod tests {{}}\n")), 1);
        assert_eq!(of(format!("{tests}fn f() {{}}\n{long}")), 1);
    }

    #[test]
    fn functions_count_from_fn_to_their_brace_wherever_they_stand() {
        let of_lines = |lines: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
        let found = |text: &str| {
            let findings = functions(&Tree::of(&[("a.rs", text)]));
            findings.iter().map(|found| found.line).collect::<Vec<_>>()
        };
        let fits = of_lines(FUNCTION_LINES_MAX);
        let long = of_lines(FUNCTION_LINES_MAX + 1);
        assert_eq!(
            found(&format!("/// Said of it.\n#[inline]\n{fits}")),
            [0; 0]
        );
        assert_eq!(found(&format!("/// Said of it.\n#[inline]\n{long}")), [3]);
        assert_eq!(found(&format!("impl A {{\n{long}}}\n")), [2]);
        assert_eq!(found(&format!("trait A {{\n{long}}}\n")), [2]);
        assert_eq!(found(&format!("mod a {{\n{long}}}\n")), [2]);
    }
}
