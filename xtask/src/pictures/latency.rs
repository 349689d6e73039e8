//! The tail of small requests beside downloads that are slow, cold or greedy.

use super::facts::{day, line, machine, name};
use super::grid::{Band, Grid};
use super::newest::Newest;
use crate::bench::cold::{FEW, FUSE_DELAY_MS, RATE};
use crate::bench::fixtures::{COLD_LARGE_BYTES, COLD_SMALL_BYTES, COLD_STREAMS};
use crate::bench::peers::OURS;
use crate::bench::report::charts::{Mark, Row, Rows, Scale};
use crate::bench::report::figures::{Tail, Tails, cold_servers, tails};
use crate::bench::report::markdown::table_alone;
use crate::bench::report::numbers::{NONE, count, or_none, size};
use crate::bench::report::tables::Table;
use crate::bench::results::Results;

const SERVERS: [&str; 8] = [
    "zc",
    "nginx",
    "nginx-aio",
    "h2o",
    "lighttpd",
    "caddy",
    "go",
    "static-web-server",
];
/// What runs beside: of the picture, and of the table.
const COLUMNS: [&str; 3] = ["fuse", "disk-small", "disk-large"];
const ROWS: [&str; 4] = ["fuse", "disk-small", "disk-large", "greedy"];

/// The two lines at the head of a column.
fn head(beside: &str) -> (String, &'static str) {
    match beside {
        "fuse" => ("Slow disk".to_owned(), "200 ms a read"),
        "disk-small" => ("Cold files".to_owned(), "of 64 KiB"),
        "disk-large" => ("Cold files".to_owned(), "of 64 MiB"),
        other => (other.to_owned(), ""),
    }
}

/// The first cell of a row of the table.
fn title(beside: &str) -> String {
    let streams = |bytes| format!("{COLD_STREAMS} streams of cold files of {}", size(bytes));
    match beside {
        "fuse" => format!("{FEW} downloads, each read of which takes {FUSE_DELAY_MS} ms"),
        "disk-small" => streams(COLD_SMALL_BYTES),
        "disk-large" => streams(COLD_LARGE_BYTES),
        "greedy" => format!("{FEW} downloads by unthrottled clients"),
        other => other.to_owned(),
    }
}

/// What was measured of a server.
fn found(results: &Results, beside: &str, server: &str) -> Option<Tails> {
    let servers = cold_servers(results, beside);
    let is_there = servers.iter().any(|found| found == server);
    is_there.then(|| tails(results, beside, server))
}

/// The picture.
pub(super) fn grid(newest: &Newest) -> Grid {
    let results = &newest.cold;
    let column = |beside: &&str| {
        let (title, unit) = head(beside);
        Rows {
            title,
            unit,
            scale: Scale::Logarithmic,
            reference: None,
            keys: &[],
            rows: SERVERS
                .iter()
                .map(|server| picture_row(results, beside, server))
                .collect(),
        }
    };
    let rounds = results.cold.iter().map(|cold| cold.round as usize + 1);
    Grid {
        title: "Small requests beside cold files".to_owned(),
        lead: vec![
            format!("p99 latency of {RATE} small requests a second, in ms (logarithmic),"),
            "while other clients download files that have to be read from disk.".to_owned(),
        ],
        keys: vec![
            ("other ring", "alone"),
            ("other dot", "beside the downloads (figures)"),
        ],
        bands: vec![Band {
            heading: String::new(),
            columns: COLUMNS.iter().map(column).collect(),
        }],
        foot: vec![
            format!("{}: {}.", day(results), machine(results)),
            format!(
                "One worker each; medians of {}.",
                count(rounds.max().unwrap_or(0), "round", "rounds")
            ),
        ],
        ..Grid::default()
    }
}

fn picture_row(results: &Results, beside: &str, server: &str) -> Row {
    let is_ours = server == OURS.name;
    let mut marks = Vec::new();
    let mut value = NONE.to_owned();
    if let Some(Tails { alone_ms, beside }) = found(results, beside, server) {
        if let (Some(alone), Some(together)) = (alone_ms, beside.ms()) {
            marks.push(Mark::Line(alone, together));
        }
        marks.extend(alone_ms.map(Mark::Ring));
        marks.extend(beside.ms().map(Mark::Dot));
        value = beside.to_string();
    }
    Row {
        label: name(server).to_owned(),
        tone: if is_ours { "ours" } else { "other" },
        marks,
        value,
    }
}

/// The table of the book.
pub(super) fn table(newest: &Newest) -> String {
    let results = &newest.cold;
    let rows = ROWS.iter().map(|beside| {
        let cell = |server: &&str| {
            found(results, beside, server).map_or_else(
                || NONE.to_owned(),
                |tails| match tails.beside {
                    Tail::NoAnswer => tails.beside.to_string(),
                    answered => format!("{} → {answered}", or_none(tails.alone_ms)),
                },
            )
        };
        let mut cells = vec![title(beside)];
        cells.extend(SERVERS.iter().map(cell));
        cells
    });
    let mut head = vec!["beside"];
    head.extend(SERVERS.iter().map(|server| name(server)));
    format!(
        "{}\n\np99 of {RATE} small requests a second in ms, alone → beside. “No answer” means that fewer \
         than half of the requests were answered; ≥ means that more \
         than 1 % were not. {}\n",
        table_alone(&Table::new(&head, rows.collect())),
        line(results)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{cold, empty};
    use crate::pictures::grid::Theme;

    fn newest() -> Newest {
        let mut results = empty();
        for beside in ROWS {
            for (server, ms, unanswered) in [("zc", 2, 0), ("nginx", 900, 900), ("go", 30, 100)] {
                results.cold.push(cold(beside, server, ms, unanswered));
            }
        }
        Newest {
            cold: results,
            ..Newest::default()
        }
    }

    #[test]
    fn the_picture_says_what_had_no_answer() {
        let svg = grid(&newest()).svg(Theme::Dark);
        let said = "Cold files, of 64 KiB: zc 2.00, nginx, tuned no answer, nginx, aio threads –,";
        assert!(svg.contains(said), "{svg}");
        assert!(svg.contains("Go ≥ 30.0"), "{svg}");
        assert_eq!(svg.matches("class=\"none\"").count(), 3, "{svg}");
        // Ours and Go's beside, in three columns.
        assert_eq!(svg.matches("dot\" cx").count(), 7, "{svg}");
    }

    #[test]
    fn the_heads_of_the_picture_are_what_is_measured() {
        assert_eq!(head("fuse").1, format!("{FUSE_DELAY_MS} ms a read"));
        assert_eq!(
            head("disk-small").1,
            format!("of {}", size(COLD_SMALL_BYTES))
        );
        assert_eq!(
            head("disk-large").1,
            format!("of {}", size(COLD_LARGE_BYTES))
        );
    }

    #[test]
    fn the_table_has_both_latencies() {
        let table = table(&newest());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "| beside | zc | nginx, tuned | Go |");
        assert_eq!(
            lines[3],
            "| 32 streams of cold files of 64 KiB | 1.00 → 2.00 | no answer | 1.00 → ≥ 30.0 |"
        );
        assert_eq!(lines.len(), 8);
    }
}
