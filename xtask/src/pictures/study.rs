//! The study's figures, as published and as measured here.

use super::facts::{day, line, machine};
use super::grid::{Axis, Band, Grid};
use super::newest::Newest;
use crate::bench::report::charts::{Mark, Row, Rows, Scale};
use crate::bench::report::markdown::table_alone;
use crate::bench::report::numbers::{NONE, decimals, or_none, ratio};
use crate::bench::report::ratios::{
    CPU_PERCENT, GB_PER_SECOND, LATENCY_MS, cpu_percent, cpu_range, cpu_seconds_per_gb,
};
use crate::bench::report::tables::Table;
use crate::bench::results::{Results, Study};
use crate::bench::study::{CONNECTIONS, THREADS, mean};

const MIB: f64 = (1 << 20) as f64;

/// What one method took.
#[derive(Debug, Clone, Copy)]
struct Figures {
    cpu_percent: f64,
    cpu_seconds_per_gb: f64,
    gb_per_second: f64,
    latency_ms: Option<f64>,
    /// MiB resident, and page faults per second; not published.
    memory: Option<(f64, f64)>,
}

impl Figures {
    fn measured(study: &Study) -> Self {
        Self {
            cpu_percent: cpu_percent(study),
            cpu_seconds_per_gb: cpu_seconds_per_gb(study),
            gb_per_second: study.wrk.bytes_per_second / 1e9,
            latency_ms: study.wrk.latency_mean_us.map(|us| us / 1e3),
            memory: Some((
                mean(&study.seconds, |second| second.resident_bytes as f64) / MIB,
                mean(&study.seconds, |second| second.minor_faults as f64),
            )),
        }
    }

    fn published(cpu_percent: f64, gb_per_second: f64, latency_ms: f64) -> Self {
        Self {
            cpu_percent,
            cpu_seconds_per_gb: cpu_percent / 100.0 / gb_per_second,
            gb_per_second,
            latency_ms: Some(latency_ms),
            memory: None,
        }
    }
}

/// A copy loop, and sendfile, of one program on one machine.
struct Pair {
    program: &'static str,
    is_published: bool,
    copy: Figures,
    sendfile: Figures,
    /// Other methods of the program, with their names.
    others: Vec<(&'static str, Figures)>,
}

/// The pairs that there are: the published one in any case.
fn pairs(results: &Results) -> Vec<Pair> {
    let find = |method: &str| {
        let found = results.study.iter().find(|study| study.method == method);
        found.map(Figures::measured)
    };
    let measured = |program, copy, sendfile, others: &[&'static str]| {
        let others = others.iter();
        Some(Pair {
            program,
            is_published: false,
            copy: find(copy)?,
            sendfile: find(sendfile)?,
            others: others
                .filter_map(|name| Some((*name, find(name)?)))
                .collect(),
        })
    };
    let published = Pair {
        program: "Published",
        is_published: true,
        copy: Figures::published(CPU_PERCENT.0, GB_PER_SECOND.0, LATENCY_MS.0),
        sendfile: Figures::published(CPU_PERCENT.1, GB_PER_SECOND.1, LATENCY_MS.1),
        others: Vec::new(),
    };
    let ours = measured("zc, here", "io", "sendfile", &["splice", "auto"]);
    let go = measured("The study's Go program, here", "go io", "go sendfile", &[]);
    [Some(published), ours, go].into_iter().flatten().collect()
}

fn told_cpu(figures: &Figures, is_published: bool) -> String {
    if is_published {
        cpu_range(figures.cpu_percent)
    } else {
        format!("{} %", decimals(figures.cpu_percent))
    }
}

/// What is derived from a range has two digits.
fn told_per_gb(figures: &Figures, is_published: bool) -> String {
    let seconds = figures.cpu_seconds_per_gb;
    if is_published {
        ratio(seconds)
    } else {
        decimals(seconds)
    }
}

/// The picture.
pub(super) fn grid(newest: &Newest) -> Grid {
    let results = &newest.study;
    let pairs = pairs(results);
    let band = |pair: &Pair| {
        let column =
            |title: &str, unit, of: fn(&Figures) -> f64, told: &dyn Fn(&Figures) -> String| {
                let row = |label: &str, tone, figures: &Figures| Row {
                    label: label.to_owned(),
                    tone,
                    marks: vec![Mark::Bar(of(figures))],
                    value: told(figures),
                };
                Rows {
                    title: title.to_owned(),
                    unit,
                    scale: Scale::FromZero,
                    reference: None,
                    keys: &[],
                    rows: vec![
                        row("copy loop", "copy", &pair.copy),
                        row("sendfile", "ours", &pair.sendfile),
                    ],
                }
            };
        let cpu = |figures: &Figures| told_cpu(figures, pair.is_published);
        let per_gb = |figures: &Figures| format!("{} s", told_per_gb(figures, pair.is_published));
        let rate = |figures: &Figures| decimals(figures.gb_per_second);
        Band {
            heading: pair.program.to_owned(),
            columns: vec![
                column("CPU", "% of one core", |of| of.cpu_percent, &cpu),
                column("CPU per GB", "s", |of| of.cpu_seconds_per_gb, &per_gb),
                column("Throughput", "GB/s", |of| of.gb_per_second, &rate),
            ],
        }
    };
    Grid {
        title: "300 MB video: copy loop and sendfile".to_owned(),
        lead: vec![
            format!("Sent to wrk with {THREADS} threads and {CONNECTIONS} connections."),
            "Less CPU and more throughput are better.".to_owned(),
        ],
        bands: pairs.iter().map(band).collect(),
        foot: vec![
            format!("Here: {}, {}.", day(results), machine(results)),
            "Server and wrk share these cores; the published server alone".to_owned(),
            "used up to 5. The published CPU per GB is derived.".to_owned(),
        ],
        axis: Axis::OfColumn,
        ..Grid::default()
    }
}

/// The table of the book.
pub(super) fn table(newest: &Newest) -> String {
    let results = &newest.study;
    let row = |name: String, figures: &Figures, is_published| {
        let (resident, faults) = figures.memory.unzip();
        vec![
            name,
            told_cpu(figures, is_published),
            told_per_gb(figures, is_published),
            decimals(figures.gb_per_second),
            or_none(figures.latency_ms),
            or_none(resident),
            or_none(faults),
        ]
    };
    let rows = pairs(results).into_iter().flat_map(|pair| {
        let Pair {
            program,
            is_published,
            copy,
            sendfile,
            others,
        } = pair;
        let over = |of: fn(&Figures) -> f64| ratio(of(&sendfile) / of(&copy));
        let latency = sendfile.latency_ms.zip(copy.latency_ms);
        let mut rows = vec![
            row(format!("{program}: copy loop"), &copy, is_published),
            row(format!("{program}: sendfile"), &sendfile, is_published),
            vec![
                format!("{program}: sendfile / copy loop"),
                over(|of| of.cpu_percent),
                over(|of| of.cpu_seconds_per_gb),
                over(|of| of.gb_per_second),
                latency.map_or_else(|| NONE.to_owned(), |(sent, copied)| ratio(sent / copied)),
                String::new(),
                String::new(),
            ],
        ];
        let others = others.iter();
        rows.extend(
            others.map(|(name, figures)| row(format!("{program}: {name}"), figures, is_published)),
        );
        rows
    });
    let head = [
        "",
        "CPU, of one core",
        "CPU, s per GB",
        "throughput, GB/s",
        "mean latency, ms",
        "resident, MiB",
        "page faults/s",
    ];
    format!(
        "{}\n\nThe published CPU per GB is derived from the published CPU and throughput. {}\n",
        table_alone(&Table::new(&head, rows.collect())),
        line(results)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{empty, study};
    use crate::pictures::grid::Theme;

    fn newest() -> Newest {
        let mut results = empty();
        results.study = vec![
            study("io", 100.0, 2.0, 2e6),
            study("sendfile", 50.0, 4.0, 1e6),
            study("splice", 25.0, 4.0, 1e6),
        ];
        Newest {
            study: results,
            ..Newest::default()
        }
    }

    #[test]
    fn ours_stands_beside_the_published_figures() {
        let svg = grid(&newest()).svg(Theme::Light);
        for said in [
            "Published, CPU, % of one core: copy loop 480–500 %, sendfile 110–130 %.",
            "Published, Throughput, GB/s: copy loop 5.86, sendfile 9.54.",
            "zc, here, CPU per GB, s: copy loop 0.505 s, sendfile 0.126 s.",
            "zc, here, Throughput, GB/s: copy loop 2.00, sendfile 4.00.",
        ] {
            assert!(svg.contains(said), "{said}: {svg}");
        }
        assert!(!svg.contains("Go program"), "{svg}");
        // The heads of the columns stand once.
        assert_eq!(svg.matches(">Throughput<").count(), 1, "{svg}");
    }

    #[test]
    fn the_table_has_both_and_their_ratio() {
        let table = table(&newest());
        for row in [
            "| Published: copy loop | 480–500 % | 0.84 | 5.86 | 1,480 | – | – |\n",
            "| Published: sendfile / copy loop | 0.24 | 0.15 | 1.63 | 0.38 |  |  |\n",
            "| zc, here: sendfile | 50.5 % | 0.126 | 4.00 | 1,000 | 4.00 | 10.0 |\n",
            "| zc, here: sendfile / copy loop | 0.50 | 0.25 | 2.00 | 0.50 |  |  |\n",
            "| zc, here: splice | 25.2 % | 0.0631 | 4.00 | 1,000 | 4.00 | 10.0 |\n",
        ] {
            assert!(table.contains(row), "{row}: {table}");
        }
    }
}
