//! What is made of results: JSON for programs, Markdown for a README, HTML for people.

mod badge;
pub(crate) mod charts;
pub(crate) mod figures;
mod html;
#[cfg(test)]
pub(crate) mod made_up;
pub(crate) mod markdown;
pub(crate) mod numbers;
mod pictures;
pub(crate) mod ratios;
pub(crate) mod tables;
pub(crate) mod warnings;

use std::path::Path;

use anyhow::Context;

use super::results::Results;

/// Writes `report.json`, `report.md` and `report.html` into `out`.
pub(crate) fn write(results: &Results, out: &Path) -> anyhow::Result<()> {
    write_file(out, "report.json", &serde_json::to_string_pretty(results)?)?;
    write_pages(results, out)
}

/// Writes what people read.
pub(crate) fn write_pages(results: &Results, out: &Path) -> anyhow::Result<()> {
    write_file(out, "report.md", &markdown::page(results))?;
    write_file(out, "report.html", &html::page(results))
}

fn write_file(out: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = out.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_a_saved_report_can_be_made_again() {
        let first = tempfile::tempdir().expect("a directory");
        let again = tempfile::tempdir().expect("a directory");
        write(&made_up::full(), first.path()).expect("a report");
        let saved = Results::read(&first.path().join("report.json")).expect("what was written");
        write_pages(&saved, again.path()).expect("pages");
        for page in ["report.md", "report.html"] {
            let read =
                |directory: &Path| std::fs::read_to_string(directory.join(page)).expect(page);
            assert_eq!(read(first.path()), read(again.path()));
        }
        assert!(!again.path().join("report.json").exists());
    }

    #[test]
    fn reports_of_earlier_runs_can_still_be_read() {
        let directory = crate::artifacts::root().join("zc-bench/results");
        let entries = std::fs::read_dir(directory).expect("a directory of the repository");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let saved = paths.filter(|path| path.extension().is_some_and(|kind| kind == "json"));
        let mut count = 0;
        for path in saved {
            let results = Results::read(&path).expect("a report");
            let out = tempfile::tempdir().expect("a directory");
            write_pages(&results, out.path()).expect("pages");
            count += 1;
        }
        assert!(count > 0);
    }
}
