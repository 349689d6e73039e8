//! The report as Markdown: tables of medians, with ours as a ratio to each.

use std::fmt::Write;

use super::badge::{Badge, INTERVAL};
use super::micro;
use super::study::{self, SOURCE};
use super::tables::{self, Part, Table};
use super::terms::terms;
use super::warnings::warnings;
use super::words;
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
    for note in &results.machine.notes {
        writeln!(out, "- {}", plain(note))?;
    }
    for skipped in &results.skipped {
        let mend = skipped
            .mend
            .as_ref()
            .map_or(String::new(), |mend| format!(" (`{mend}`)"));
        let (what, why) = (plain(&skipped.what), plain(&skipped.why));
        writeln!(out, "- skipped {what}: {why}{mend}")?;
    }
    writeln!(out)?;
    for sentence in words::summary(results) {
        writeln!(out, "- {}", plain(&sentence))?;
    }
    writeln!(out)?;
    if let Some(goals) = tables::goal_table(results) {
        writeln!(out, "## Ours beside the floor and the others\n")?;
        for (name, meaning) in terms(results) {
            writeln!(out, "- *{}*: {}.", plain(&name), plain(meaning))?;
        }
        writeln!(out, "- Ratios: {INTERVAL}. {}.\n", legend())?;
        table(out, &goals)?;
    }
    if let Some(found) = tables::study(results) {
        heading(out, Section::Study)?;
        if let Some(sentence) = study::opening(results) {
            writeln!(out, "{sentence}\n")?;
        }
        let (title, article, code) = (SOURCE.title, SOURCE.article, SOURCE.code);
        writeln!(out, "This repeats [{title}]({article}) ([code]({code})).")?;
        let go = study::of_go(results).map(str::to_owned);
        for sentence in go.into_iter().chain(study::sentences(results)) {
            writeln!(out, "{sentence}")?;
        }
        writeln!(out)?;
        part(out, &found)?;
        if let Some(published) = tables::published(results) {
            table(out, &published)?;
        }
    }
    group(out, Section::Sizes, &tables::sizes(results))?;
    group(out, Section::Cold, &tables::cold(results))?;
    let idle: Vec<Part> = tables::idle(results).into_iter().collect();
    group(out, Section::Idle, &idle)?;
    group(out, Section::Micro, &micro::micro(results))
}

/// What the badges mean.
fn legend() -> String {
    let one = |badge: Badge| format!("{}: {}", badge.mark(), badge.meaning());
    Badge::ALL.map(one).join("; ")
}

fn heading(out: &mut String, section: Section) -> std::fmt::Result {
    writeln!(out, "## {}\n", section.heading())
}

fn group(out: &mut String, section: Section, parts: &[Part]) -> std::fmt::Result {
    if parts.is_empty() {
        return Ok(());
    }
    heading(out, section)?;
    parts.iter().try_for_each(|found| part(out, found))
}

fn part(out: &mut String, part: &Part) -> std::fmt::Result {
    writeln!(out, "### {}\n", part.title)?;
    table(out, &part.table)
}

fn table(out: &mut String, table: &Table) -> std::fmt::Result {
    let rule = vec!["---".to_owned(); table.head.len()];
    for row in [&table.head, &rule].into_iter().chain(&table.rows) {
        let cells: Vec<String> = row.iter().map(|cell| plain(cell)).collect();
        writeln!(out, "| {} |", cells.join(" | "))?;
    }
    writeln!(out)
}

/// Text that neither ends a cell nor a line.
fn plain(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{empty, full, skipped};
    use crate::bench::sizes::SCENARIOS;

    #[test]
    fn every_part_has_its_table() {
        let mut results = full();
        results.interrupted = true;
        results.skipped = vec![skipped("h2o", "apt-get install h2o")];
        let page = page(&results);
        for scenario in &SCENARIOS {
            assert!(
                page.contains(&format!("### {}\n", scenario.title)),
                "{}",
                scenario.id
            );
        }
        for text in [
            "**The run was interrupted. What is here was measured until then.**",
            "skipped h2o: h2o is not installed (`apt-get install h2o`)",
            "Copying cost 4.00 times as much CPU",
            "[code](https://github.com/probablysamir/zero-copy-go)",
            "- *floor: one send*: a bare loop",
            "▼ less: below 1 in every round; ▲ more",
            "### 10,000 idle connections",
            "### parse",
        ] {
            assert!(page.contains(text), "no “{text}” in {page}");
        }
        for section in Section::ALL {
            let heading = format!("\n## {}\n", section.heading());
            assert!(page.contains(&heading), "no “{heading}” in {page}");
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
