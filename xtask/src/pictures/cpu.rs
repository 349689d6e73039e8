//! What requests cost compared with other servers: the picture, and the table of the book.

use super::facts::{day, line, machine, name};
use super::grid::{Band, Grid};
use super::newest::Newest;
use crate::bench::peers::OURS;
use crate::bench::report::charts::{Mark, Row, Rows, Scale};
use crate::bench::report::figures::{Figure, figure, goals, ours_over};
use crate::bench::report::markdown::table_alone;
use crate::bench::report::numbers::{NONE, count, decimals};
use crate::bench::report::tables::Table;
use crate::bench::results::{Idle, Results};

/// The columns of the picture for README, and its rows.
const FEW: [&[&str]; 1] = [&["1k", "100k", "1m", "video"]];
const FEW_SERVERS: [&str; 6] = ["zc", "nginx", "h2o", "lighttpd", "caddy", "go"];
/// Those of the book.
const ALL: [&[&str]; 2] = [
    &["1k", "4k-many", "10k", "100k"],
    &["1m", "video", "1k-close"],
];
const SERVERS: [&str; 8] = [
    "zc",
    "nginx",
    "nginx-default",
    "h2o",
    "lighttpd",
    "caddy",
    "go",
    "static-web-server",
];
/// The scenarios of the table.
const ROWS: [&str; 7] = ["1k", "4k-many", "10k", "100k", "1m", "video", "1k-close"];

/// The two lines at the head of a column.
fn head(scenario: &str) -> (&'static str, &'static str) {
    match scenario {
        "1k" => ("1 KiB", ""),
        "4k-many" => ("4 KiB", "10,000 files"),
        "10k" => ("10 KiB", ""),
        "100k" => ("100 KiB", ""),
        "1m" => ("1 MiB", ""),
        "video" => ("300 MB", ""),
        "1k-close" => ("1 KiB", "new connections"),
        _ => ("", ""),
    }
}

/// The first cell of a row of the table.
fn title(scenario: &str) -> &'static str {
    match scenario {
        "4k-many" => "4 KiB of 10,000 files",
        "video" => "300 MB, s of CPU per GB",
        "1k-close" => "1 KiB, a new connection each",
        other => head(other).0,
    }
}

/// The picture of README.
pub(super) fn few(newest: &Newest) -> Grid {
    grid(newest, &FEW, &FEW_SERVERS)
}

/// The picture of the book.
pub(super) fn all(newest: &Newest) -> Grid {
    grid(newest, &ALL, &SERVERS)
}

fn grid(newest: &Newest, bands: &[&[&str]], servers: &[&str]) -> Grid {
    let results = &newest.sizes;
    let band = |scenarios: &&[&str]| Band {
        heading: String::new(),
        columns: scenarios
            .iter()
            .map(|scenario| column(results, scenario, servers))
            .collect(),
    };
    Grid {
        title: "CPU per request, compared with zc".to_owned(),
        lead: vec![
            "CPU time of each server to send a file of this size. zc is 1,".to_owned(),
            "the blue line. Shorter is better.".to_owned(),
        ],
        bands: bands.iter().map(band).collect(),
        foot: vec![
            format!("{}: {}.", day(results), machine(results)),
            format!(
                "One worker each, files in memory; medians of {}.",
                count(results.rounds(), "round", "rounds")
            ),
        ],
        ..Grid::default()
    }
}

fn column(results: &Results, scenario: &str, servers: &[&str]) -> Rows {
    let row = |server: &&str| {
        let cost = Figure::cost_of(scenario);
        let times = if *server == OURS.name {
            figure(results, scenario, server, cost).map(|_| 1.0)
        } else {
            ours_over(results, scenario, server, cost).map(|ratio| 1.0 / ratio.median)
        };
        Row {
            label: name(server).to_owned(),
            tone: if *server == OURS.name {
                "ours"
            } else {
                "other"
            },
            marks: times.map(Mark::Bar).into_iter().collect(),
            value: times.map_or_else(|| NONE.to_owned(), told_times),
        }
    };
    let (title, unit) = head(scenario);
    Rows {
        title: title.to_owned(),
        unit,
        scale: Scale::FromZero,
        reference: Some(1.0),
        keys: &[],
        rows: servers.iter().map(row).collect(),
    }
}

/// How many times as much.
fn told_times(times: f64) -> String {
    if times == 1.0 {
        "1".to_owned()
    } else if times >= 10.0 {
        format!("{times:.0}×")
    } else {
        format!("{times:.1}×")
    }
}

/// The table of the book.
pub(super) fn table(newest: &Newest) -> String {
    let results = &newest.sizes;
    let mut rows: Vec<Vec<String>> = ROWS
        .iter()
        .filter_map(|scenario| row(results, scenario))
        .collect();
    rows.extend(row_of_idle(&newest.idle));
    let mut head = vec!["file", "zc, µs of CPU", "floor"];
    head.extend(SERVERS.iter().skip(1).map(|server| name(server)));
    format!(
        "{}\n\nThe columns after zc's are ratios, zc's CPU divided by that of the other: 0.5 means that zc \
         used half. Medians of {}. {}\n",
        table_alone(&Table::new(&head, rows)),
        count(results.rounds(), "round", "rounds"),
        line(results)
    )
}

fn row(results: &Results, scenario: &str) -> Option<Vec<String>> {
    let cost = Figure::cost_of(scenario);
    let ours = figure(results, scenario, OURS.name, cost)?;
    let goals = goals(results);
    let goal = goals
        .iter()
        .find(|goal| goal.scenario.id == scenario && goal.figure == cost);
    let floor = goal.and_then(|goal| goal.floor.as_ref());
    let mut cells = vec![
        title(scenario).to_owned(),
        decimals(ours.median),
        told_ratio(floor.map(|floor| floor.ratio.median)),
    ];
    cells.extend(SERVERS.iter().skip(1).map(|server| {
        told_ratio(ours_over(results, scenario, server, cost).map(|ratio| ratio.median))
    }));
    Some(cells)
}

fn row_of_idle(results: &Results) -> Option<Vec<String>> {
    let bytes = |server: &str| {
        let idle: Option<&Idle> = results.idle.iter().find(|idle| idle.server == server);
        idle.map(|idle| idle.user_bytes_each)
    };
    let ours = bytes(OURS.name)?;
    let mut cells = vec![
        "idle connection, bytes of user memory".to_owned(),
        format!("{} B", decimals(ours)),
        String::new(),
    ];
    let others = SERVERS.iter().skip(1);
    cells.extend(others.map(|server| told_ratio(bytes(server).map(|theirs| ours / theirs))));
    Some(cells)
}

/// Three digits behind the point below 1, where a fourth would be noise.
fn told_ratio(ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) if ratio < 1.0 => format!("{ratio:.3}"),
        Some(ratio) => decimals(ratio),
        None => NONE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{add_samples, empty, full};
    use crate::pictures::grid::Theme;

    fn newest() -> Newest {
        let mut sizes = empty();
        for (server, cpu_us) in [
            ("zc", 10.0),
            ("floor: one send", 8.0),
            ("nginx", 25.0),
            ("caddy", 120.0),
            ("h2o", 9.0),
        ] {
            add_samples(&mut sizes, "1k", server, cpu_us, 5);
        }
        Newest {
            sizes,
            idle: full(),
            ..Newest::default()
        }
    }

    #[test]
    fn the_picture_has_the_others_in_multiples_of_ours() {
        let svg = few(&newest()).svg(Theme::Light);
        let said = "1 KiB: zc 1, nginx, tuned 2.5×, h2o 0.9×, lighttpd –, Caddy 12×, Go –.";
        assert!(svg.contains(said), "{svg}");
        assert!(
            all(&newest())
                .svg(Theme::Light)
                .contains("nginx, as packaged –")
        );
    }

    #[test]
    fn the_table_has_ours_over_theirs() {
        let table = table(&newest());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[0],
            "| file | zc, µs of CPU | floor | nginx, tuned | h2o | Caddy |"
        );
        assert_eq!(lines[2], "| 1 KiB | 10.2 | 1.25 | 0.400 | 1.11 | 0.083 |");
        assert_eq!(
            lines[3],
            "| idle connection, bytes of user memory | 300 B |  | 0.075 | – | – |"
        );
        assert!(lines[5].contains("Medians of 5 rounds. Measured on 2026-01-02: A processor"));
    }
}
