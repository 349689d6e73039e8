//! `cargo xtask pictures`: the pictures of README and of the book, and the book's tables of figures, of
//! the newest committed results.

mod cpu;
mod facts;
mod grid;
mod latency;
mod newest;
mod study;
mod tables;

use std::path::Path;

use anyhow::{Context, bail};
use clap::Parser;

use crate::artifacts::root;
use grid::{Grid, Theme};
use newest::Newest;

/// Where the pictures are, from the root of the repository.
pub(crate) const IMAGES: &str = "docs/src/images";

/// Writes the pictures of the newest results in zc-bench/results/, and their tables on pages of the book.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask pictures",
    bin_name = "cargo xtask pictures",
    max_term_width = 80
)]
struct Options {
    /// Write nothing, and fail if one is not of the newest results.
    #[arg(long)]
    check: bool,
}

/// A file that is made of results.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    /// From the root of the repository.
    path: String,
    text: String,
}

/// Writes the files, or looks whether they are up to date.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = "cargo xtask pictures".to_owned();
    let options = Options::parse_from(std::iter::once(&name).chain(arguments));
    let root = root();
    if options.check {
        let stale = stale(&root)?;
        if !stale.is_empty() {
            let stale = stale.join(", ");
            bail!("not of the newest results: {stale}; run `cargo xtask pictures`");
        }
        return Ok(());
    }
    for path in write(&root)? {
        println!("{path}");
    }
    Ok(())
}

/// Writes all files, and answers their paths.
fn write(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut written = Vec::new();
    for Made { path, text } in made(root, &Newest::read(root)?)? {
        let file = root.join(&path);
        let directory = file.parent().unwrap_or(root);
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        std::fs::write(&file, text).with_context(|| format!("cannot write {path}"))?;
        written.push(path);
    }
    Ok(written)
}

/// The paths of the files that are missing or not of the newest results.
pub(crate) fn stale(root: &Path) -> anyhow::Result<Vec<String>> {
    let made = made(root, &Newest::read(root)?)?.into_iter();
    let stale = made.filter(|made| {
        std::fs::read_to_string(root.join(&made.path))
            .ok()
            .as_deref()
            != Some(&made.text)
    });
    Ok(stale.map(|made| made.path).collect())
}

/// All files.
fn made(root: &Path, newest: &Newest) -> anyhow::Result<Vec<Made>> {
    let pictures: [(&str, Grid); 4] = [
        ("cpu-per-request", cpu::few(newest)),
        ("cpu-per-request-all", cpu::all(newest)),
        ("latency-beside-cold", latency::grid(newest)),
        ("study", study::grid(newest)),
    ];
    let pictures = pictures.iter().flat_map(|(name, grid)| {
        Theme::ALL.map(|theme| Made {
            path: format!("{IMAGES}/{name}-{}.svg", theme.name()),
            text: grid.svg(theme),
        })
    });
    let mut made: Vec<Made> = pictures.collect();
    made.extend(tables::pages(root, newest)?);
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::full;
    use crate::bench::results::Results;

    /// A repository with results.
    fn repository(results: &[(&str, Results)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        let directory = root.path().join("zc-bench/results");
        std::fs::create_dir_all(&directory).expect("directories");
        for (name, results) in results {
            let text = serde_json::to_string(results).expect("JSON");
            std::fs::write(directory.join(name), text).expect("a file");
        }
        tables::write_empty(root.path());
        root
    }

    #[test]
    fn what_is_missing_changed_or_of_older_results_is_stale() {
        let root = repository(&[("a.json", full())]);
        let stale = || stale(root.path()).expect("results");
        let all = stale();
        assert_eq!(all.len(), 10, "{all:?}");
        assert_eq!(write(root.path()).expect("written"), all);
        assert_eq!(stale(), [""; 0]);
        let page = root.path().join("docs/src/compared.md");
        let text = std::fs::read_to_string(&page).expect("a page");
        assert!(text.contains("\n| 1 KiB | 10.2 |"), "{text}");
        std::fs::write(&page, text.replace("| 10.2 |", "| 1 |")).expect("a page");
        assert_eq!(stale(), ["docs/src/compared.md"]);
        // What people write around a table is theirs.
        std::fs::write(&page, format!("# Compared\n{text}")).expect("a page");
        assert_eq!(stale(), [""; 0]);
        write(root.path()).expect("written");
        let newer = Results {
            date: "2027-01-01T00:00:00Z".to_owned(),
            ..full()
        };
        let text = serde_json::to_string(&newer).expect("JSON");
        std::fs::write(root.path().join("zc-bench/results/b.json"), text).expect("a file");
        assert_eq!(stale(), all);
    }

    #[test]
    fn pictures_of_the_committed_results_are_small() {
        let newest = Newest::read(&root()).expect("results");
        let made = made(&root(), &newest).expect("pages");
        for Made { path, text } in made.into_iter().filter(|made| made.path.ends_with("svg")) {
            assert!(text.len() < 20_000, "{path}: {}", text.len());
            assert!(!text.contains("NaN") && !text.contains("inf"), "{path}");
        }
    }
}
