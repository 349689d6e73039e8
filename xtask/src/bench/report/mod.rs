//! What is made of results: JSON for programs, Markdown for a README, HTML for people.

mod charts;
mod elements;
pub(crate) mod figures;
mod html;
#[cfg(test)]
mod made_up;
mod markdown;
mod numbers;
mod palette;
mod pictures;
mod ratios;
mod sheet;
mod study;
mod tables;
mod words;

use std::path::Path;

use anyhow::Context;

use super::results::Results;

/// Writes `report.json`, `report.md` and `report.html` into `out`.
pub(crate) fn write(results: &Results, out: &Path) -> anyhow::Result<()> {
    let write = |name: &str, text: String| {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("report.json", serde_json::to_string_pretty(results)?)?;
    write("report.md", markdown::page(results))?;
    write("report.html", html::page(results)?)
}
