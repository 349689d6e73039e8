//! `cargo xtask pictures`: the pictures of README and of the book, and the book's tables of figures, of
//! the newest committed results.

mod cpu;
mod facts;
mod grid;
mod latency;
mod newest;
mod study;

use std::path::Path;

use anyhow::{Context, bail};
use clap::Parser;

use crate::artifacts::root;
use grid::{Grid, Theme};
use newest::Newest;

/// Where they are, from the root of the repository.
const IMAGES: &str = "docs/src/images";
const FIGURES: &str = "docs/src/figures";

/// Writes the pictures and tables of the newest results in zc-bench/results/.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask pictures", bin_name = "cargo xtask pictures")]
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
    for directory in [IMAGES, FIGURES] {
        let directory = root.join(directory);
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    for Made { path, text } in made(&Newest::read(&root)?) {
        std::fs::write(root.join(&path), text).with_context(|| format!("cannot write {path}"))?;
        println!("{path}");
    }
    Ok(())
}

/// The paths of the files that are missing or not of the newest results.
pub(crate) fn stale(root: &Path) -> anyhow::Result<Vec<String>> {
    let made = made(&Newest::read(root)?).into_iter();
    let stale = made.filter(|made| {
        std::fs::read_to_string(root.join(&made.path))
            .ok()
            .as_deref()
            != Some(&made.text)
    });
    Ok(stale.map(|made| made.path).collect())
}

/// All files.
fn made(newest: &Newest) -> Vec<Made> {
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
    let tables = [
        ("cpu", cpu::table(newest)),
        ("latency", latency::table(newest)),
        ("study", study::table(newest)),
    ];
    let tables = tables.map(|(name, text)| Made {
        path: format!("{FIGURES}/{name}.md"),
        text,
    });
    pictures.chain(tables).collect()
}
