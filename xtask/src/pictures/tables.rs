//! The tables of figures on pages of the book. Each lies between two comments of its page, so that it can
//! be read on a repository's host too, where nothing is included.

use std::path::Path;

use anyhow::{Context, ensure};

use super::newest::Newest;
use super::{Made, cpu, latency, study};

/// The pages, from the root of the repository, and the tables on each.
const PAGES: [(&str, &[&str]); 2] = [
    ("docs/src/compared.md", &["cpu", "latency"]),
    ("docs/src/the-study.md", &["study"]),
];
/// What stands under a table.
const END: &str = "<!-- end of table -->";

/// What stands above a table.
fn begin(name: &str) -> String {
    format!("<!-- table: {name}, made by cargo xtask pictures -->")
}

/// The pages with the tables of these results.
pub(super) fn pages(root: &Path, newest: &Newest) -> anyhow::Result<Vec<Made>> {
    let page = |(path, names): &(&str, &[&str])| {
        let text = std::fs::read_to_string(root.join(path));
        let mut text = text.with_context(|| format!("cannot read {path}"))?;
        for name in *names {
            let table = match *name {
                "cpu" => cpu::table(newest),
                "latency" => latency::table(newest),
                _ => study::table(newest),
            };
            text = with_table(&text, name, &table).with_context(|| (*path).to_owned())?;
        }
        let path = (*path).to_owned();
        Ok(Made { path, text })
    };
    PAGES.iter().map(page).collect()
}

/// The page with `table` between its comments.
fn with_table(page: &str, name: &str, table: &str) -> anyhow::Result<String> {
    let begin = begin(name);
    let found = page.split_once(&begin);
    let (before, rest) = found.with_context(|| format!("the page has no line `{begin}`"))?;
    let found = rest.split_once(END);
    let (old, after) = found.with_context(|| format!("no line `{END}` ends the table {name}"))?;
    ensure!(
        !old.contains("<!-- table:"),
        "no line `{END}` ends the table {name}"
    );
    Ok(format!("{before}{begin}\n\n{table}\n{END}{after}"))
}

/// A repository's pages without figures, for tests.
#[cfg(test)]
pub(super) fn write_empty(root: &Path) {
    for (path, names) in PAGES {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        let tables = names.iter().map(|name| format!("{}\n{END}\n", begin(name)));
        std::fs::write(path, tables.collect::<String>()).expect("a page");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_replaced_and_the_page_around_it_is_not() {
        let page = format!(
            "# A\n\n{}\n\nold\n\n{END}\n\nb\n\n{}\n{END}\n",
            begin("x"),
            begin("y")
        );
        let found = with_table(&page, "x", "| 1 |\n").expect("a page");
        assert_eq!(found, page.replace("old\n", "| 1 |\n"));
        assert_eq!(with_table(&found, "x", "| 1 |\n").expect("a page"), found);
    }

    #[test]
    fn a_page_without_the_comments_is_refused() {
        let told = |page: &str| with_table(page, "x", "").expect_err(page).to_string();
        assert!(told("# A\n").starts_with("the page has no line `<!-- table: x,"));
        let open = format!("{}\n{}\n{END}\n", begin("x"), begin("y"));
        for page in [open, begin("x")] {
            assert!(told(&page).ends_with("ends the table x"), "{page}");
        }
    }
}
