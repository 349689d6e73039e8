//! The report as Markdown: tables of medians, with ours as a ratio to each.

use std::fmt::Write;

use super::badge::{Badge, INTERVAL};
use super::ratios::SOURCE;
use super::tables::{self, Part, Table};
use super::warnings::warnings;
use crate::bench::results::Results;
use crate::bench::section::Section;

/// The whole page.
pub(crate) fn page(results: &Results) -> String {
    let mut out = String::new();
    // A `String` takes every write.
    let _ = write_page(&mut out, results);
    out
}

fn write_page(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "# Benchmark of {}\n", results.date)?;
    for warning in warnings(results) {
        writeln!(out, "**{}**\n", plain(&warning))?;
    }
    for (name, fact) in tables::facts(results) {
        writeln!(out, "- {name}: {}", plain(&fact))?;
    }
    for note in tables::notes(results) {
        writeln!(out, "- {}", plain(&note))?;
    }
    writeln!(out)?;
    if let Some(goals) = tables::goal_table(results) {
        writeln!(out, "## Compared with the floor and other servers\n")?;
        for (name, meaning) in tables::terms(results) {
            writeln!(out, "- *{}*: {}.", plain(&name), plain(meaning))?;
        }
        let legend = Badge::ALL.map(|badge| format!("{}: {}", badge.mark(), badge.meaning()));
        writeln!(out, "- Ratios: {INTERVAL}. {}.\n", legend.join("; "))?;
        table(out, &goals)?;
    }
    let study = tables::study(results)
        .into_iter()
        .chain(tables::published(results));
    group(out, Section::Study, &study.collect::<Vec<Part>>())?;
    let sizes = tables::sizes(results, Section::Sizes);
    group(out, Section::Sizes, &sizes)?;
    let mut by_tls = tables::sizes(results, Section::Tls);
    by_tls.extend(tables::idle(results, Section::Tls));
    group(out, Section::Tls, &by_tls)?;
    group(out, Section::Cold, &tables::cold(results))?;
    let idle = tables::idle(results, Section::Idle);
    group(out, Section::Idle, idle.as_slice())?;
    group(out, Section::Micro, &tables::micro(results))
}

fn group(out: &mut String, section: Section, parts: &[Part]) -> std::fmt::Result {
    if parts.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "## {}\n\n{}",
        section.heading(),
        tables::caption(section)
    )?;
    if section == Section::Study {
        let (title, article, code) = (SOURCE.title, SOURCE.article, SOURCE.code);
        writeln!(out, "It repeats [{title}]({article}) ([code]({code})).")?;
    }
    writeln!(out)?;
    for part in parts {
        writeln!(out, "### {}\n", part.title)?;
        table(out, &part.table)?;
    }
    Ok(())
}

fn table(out: &mut String, table: &Table) -> std::fmt::Result {
    let rule = vec!["---".to_owned(); table.head.len()];
    for row in [&table.head, &rule].into_iter().chain(&table.rows) {
        let cells: Vec<String> = row.iter().map(|cell| plain(cell)).collect();
        writeln!(out, "| {} |", cells.join(" | "))?;
    }
    writeln!(out)
}

/// A table alone, without an empty line behind it.
pub(crate) fn table_alone(of: &Table) -> String {
    let mut out = String::new();
    // A `String` takes every write.
    let _ = table(&mut out, of);
    out.truncate(out.trim_end().len());
    out
}

/// Text that neither ends a cell nor a line.
fn plain(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{empty, full, skipped};
    use crate::bench::scenarios::SCENARIOS;

    #[test]
    fn every_part_has_its_table() {
        let mut results = full();
        results.interrupted = true;
        results.skipped = vec![skipped("h2o", "apt-get install h2o")];
        let page = page(&results);
        let titles = SCENARIOS
            .iter()
            .map(|scenario| format!("### {}\n", scenario.title));
        let headings = Section::ALL.map(|section| format!("\n## {}\n", section.heading()));
        let others = [
            "**The run was interrupted. This report has the measurements up to then.**",
            "- Skipped: h2o: h2o is not installed; run `apt-get install h2o`\n",
            "| CPU per GB | 0.84 s, derived | 0.13 s, derived | 0.15 | 0.25 |",
            "[code](https://github.com/probablysamir/zero-copy-go)",
            "- *floor: one send*: a bare loop",
            "▼ less: below 1 in every round; ▲ more",
            "### 10,000 idle connections\n",
            "### 2,000 idle connections by TLS\n",
            "### parse",
        ];
        let others = others.map(str::to_owned);
        for text in titles.chain(headings).chain(others) {
            assert!(page.contains(&text), "no “{text}” in {page}");
        }
        assert!(!page.contains("NaN"));
    }

    #[test]
    fn every_row_has_as_many_cells_as_its_head() {
        let mut results = full();
        results.micro[0].name = "a|b/c|d".to_owned();
        let page = page(&results).replace("\\|", "");
        let mut columns = 0;
        for line in page.lines() {
            let cells = line.matches('|').count();
            assert!(columns == 0 || cells == 0 || cells == columns, "{line}");
            columns = cells;
        }
    }

    #[test]
    fn nothing_measured_has_no_table() {
        assert!(!page(&empty()).contains('|'));
    }
}
