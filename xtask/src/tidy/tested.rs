//! The page of tests: each test is in the file beside it, and each option of the server has a row.

use super::Finding;
use super::tree::Tree;
use crate::book::options;

const PAGE: &str = "docs/src/what-is-tested-where.md";

/// Looks for tests that are not where the page says, and for options that it does not have.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let page = tree.text(PAGE).unwrap_or_default();
    let mut findings = strays(tree, page);
    findings.extend(options_without_row(tree, page));
    findings
}

/// What is between backticks in the cells of a row, or nothing where the line is none.
fn cells(line: &str) -> Vec<Vec<&str>> {
    if !line.starts_with('|') {
        return Vec::new();
    }
    let cells = line.split('|');
    cells
        .map(|cell| cell.split('`').skip(1).step_by(2).collect())
        .collect()
}

fn strays(tree: &Tree, page: &str) -> Vec<Finding> {
    let stray = |(index, line): (usize, &str)| {
        let cells = cells(line);
        let [_, _, tests, files, _] = &cells[..] else {
            return None;
        };
        let ([test], [file]) = (&tests[..], &files[..]) else {
            return None;
        };
        let text = tree.text(file).unwrap_or_default();
        (!text.contains(&format!("fn {test}("))).then(|| Finding {
            path: PAGE.to_owned(),
            line: index + 1,
            fault: format!("there is no test `{test}` in `{file}`"),
            mend: "write the current name and file".to_owned(),
        })
    };
    page.lines().enumerate().filter_map(stray).collect()
}

fn options_without_row(tree: &Tree, page: &str) -> Vec<Finding> {
    let rows = page.lines().map(cells);
    let told = rows.filter_map(|cells| cells.get(1).cloned()).flatten();
    // `--name VALUE` and `--name=VALUE` are rows of `--name`.
    let told: Vec<&str> = told
        .filter_map(|span| span.split([' ', '=']).next())
        .collect();
    let text = tree.text(options::PATH).unwrap_or_default();
    let lines = text.lines().enumerate();
    // Behind them are those of the commands.
    let of_server = lines.take_while(|(_, line)| !line.starts_with("## `zc-server"));
    let named = of_server.filter_map(|(index, line)| {
        let option = line.strip_prefix("### `--")?;
        Some((index, option.split([' ', '=', '[', '`']).next()?))
    });
    let without = named.filter(|(_, name)| {
        !told
            .iter()
            .any(|told| told.strip_prefix("--") == Some(name))
    });
    without
        .map(|(index, name)| Finding {
            path: options::PATH.to_owned(),
            line: index + 1,
            fault: format!("`--{name}` has no row in {PAGE}"),
            mend: "name a test there that fails without it".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(page: &str, options: &str) -> Vec<String> {
        let tree = Tree::of(&[
            (PAGE, page),
            (options::PATH, options),
            ("tests/a.rs", "#[test]\nfn it_holds() {}\n"),
        ]);
        check(&tree)
            .into_iter()
            .map(|finding| finding.fault)
            .collect()
    }

    #[test]
    fn a_test_is_in_its_file() {
        let row = |test: &str, file: &str| format!("| it `holds` | `{test}` | `{file}` |\n");
        assert_eq!(
            faults(&row("it_holds", "tests/a.rs"), ""),
            Vec::<String>::new()
        );
        for (test, file) in [("it_hold", "tests/a.rs"), ("it_holds", "tests/b.rs")] {
            let fault = format!("there is no test `{test}` in `{file}`");
            assert_eq!(faults(&row(test, file), ""), [fault]);
        }
    }

    #[test]
    fn an_option_has_a_row() {
        let page = "| `--one`, `--two=on`, `--three 3` | `it_holds` | `tests/a.rs` |\n";
        let options = "### `--one`\n### `--two[=X]`\n### `--three N`\n### `-h, --help`\n## `zc-server etag`\n### `--quiet`\n";
        assert_eq!(faults(page, options), Vec::<String>::new());
        let fault = format!("`--four` has no row in {PAGE}");
        assert_eq!(faults(page, "### `--one`\n### `--four N`\n"), [fault]);
    }
}
