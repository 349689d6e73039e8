//! What is drawn of results: the charts of each part.

use super::charts::{Line, Lines, Mark, Row, Rows, Scale};
use super::figures::{
    Against, Figure, Tails, cold_servers, figure, goals, is_floor, servers, tails,
};
use super::numbers::{NONE, decimals, or_none, ratio};
use super::tables::beside_title;
use crate::bench::peers::{OURS, is_ours};
use crate::bench::results::{Idle, Results, Second, Study};
use crate::bench::scenarios::Scenario;
use crate::bench::stats::Spread;

const MIB: f64 = (1 << 20) as f64;

/// What marks mean in the charts of all sizes.
pub(crate) const KEYS_OF_SIZES: &[(&str, &str)] = &[
    ("swatch ours", "ours"),
    ("swatch other", "other servers"),
    ("swatch floor", "floors: the bare system calls"),
    ("whisker", "minimum to maximum of the rounds"),
];

/// And in those of what runs beside small requests.
pub(crate) const KEYS_OF_COLD: &[(&str, &str)] = &[
    ("ring", "alone"),
    ("dot ours", "beside, ours"),
    ("dot other", "beside, others"),
];

/// What a method is drawn in, and whether it is that of another program.
fn tone_of_method(method: &str) -> (&'static str, bool) {
    let ours = method.strip_prefix("go ");
    let tone = match ours.unwrap_or(method) {
        "io" | "copy" => "copy",
        "sendfile" => "sendfile",
        "splice" => "splice",
        "auto" => "auto",
        _ => "other",
    };
    (tone, ours.is_some())
}

fn tone_of_server(server: &str) -> &'static str {
    match server {
        _ if server == OURS.name => "ours",
        _ if is_ours(server) => "ours pale",
        _ if is_floor(server) => "floor",
        _ => "other",
    }
}

/// Ours as a ratio to the floor and to the best other server of every scenario.
pub(crate) fn ratios(results: &Results) -> Rows {
    let rows = goals(results).into_iter().map(|goal| {
        let median = |against: &Option<Against>| against.as_ref().map(|found| found.ratio.median);
        let other = goal.best_other.as_ref().map(|other| other.ratio);
        let ends = other.filter(|ratio| ratio.count > 1);
        let mut marks: Vec<Mark> = ends
            .map(|ends| Mark::Line(ends.low, ends.high))
            .into_iter()
            .collect();
        marks.extend(median(&goal.floor).map(Mark::Ring));
        marks.extend(median(&goal.best_other).map(Mark::Dot));
        let value = median(&goal.best_other).map_or_else(|| NONE.to_owned(), ratio);
        row(goal.label(), "ours", marks, value)
    });
    Rows {
        reference: Some(1.0),
        keys: &[
            ("ring", "relative to the floor"),
            (
                "dot ours",
                "relative to the best other server (number at the right)",
            ),
            ("line ours", "minimum to maximum of the rounds"),
        ],
        ..chart(
            "CPU and tail latency of zc, relative",
            "1 is no difference, less is better",
            Scale::FromZero,
            rows.collect(),
        )
    }
}

/// CPU, memory and page faults over time.
pub(crate) fn study_over_time(results: &Results) -> Vec<Lines> {
    let lines = |title, unit, of: &dyn Fn(&Second) -> f64| {
        let line = |study: &Study| {
            let (tone, is_dashed) = tone_of_method(&study.method);
            Line {
                label: study.method.clone(),
                tone,
                is_dashed,
                points: study.seconds.iter().map(of).collect(),
            }
        };
        let lines = results.study.iter().map(line).collect();
        Lines { title, unit, lines }
    };
    let faults = |second: &Second| (second.minor_faults + second.major_faults) as f64;
    vec![
        lines("CPU over time", "% of one core", &|second| {
            second.cpu_percent
        }),
        lines("Memory over time", "resident, MiB", &|second| {
            second.resident_bytes as f64 / MIB
        }),
        lines("Page faults over time", "each second", &faults),
    ]
}

/// Latency and bytes per second by method.
pub(crate) fn study_by_method(results: &Results) -> Vec<Rows> {
    let rate = results.study.iter().map(|study| {
        let rate = study.wrk.bytes_per_second / 1e9;
        let tone = tone_of_method(&study.method).0;
        row(
            study.method.clone(),
            tone,
            vec![Mark::Bar(rate)],
            decimals(rate),
        )
    });
    let latency = results.study.iter().map(|study| {
        let in_ms = |us: f64| us / 1e3;
        let percentiles = study.wrk.percentiles_us.iter();
        let percentiles: Vec<f64> = percentiles.map(|(_, us)| in_ms(*us)).collect();
        let mean = study.wrk.latency_mean_us.map(in_ms);
        let mut marks = Vec::new();
        if let (Some(&first), Some(&last)) = (percentiles.first(), percentiles.last()) {
            let longest = study.wrk.latency_max_us.map_or(last, in_ms).max(last);
            marks.extend([Mark::Line(last, longest), Mark::Thick(first, last)]);
        }
        marks.extend(mean.map(Mark::Ring));
        let is_told = !marks.is_empty();
        let value = if is_told {
            or_none(mean)
        } else {
            "no latency".to_owned()
        };
        row(
            study.method.clone(),
            tone_of_method(&study.method).0,
            marks,
            value,
        )
    });
    vec![
        Rows {
            keys: &[
                ("thick", "p50 to p99"),
                ("line", "to the longest"),
                ("ring", "mean (number at the right)"),
            ],
            ..chart(
                "Latency",
                "ms, logarithmic",
                Scale::Logarithmic,
                latency.collect(),
            )
        },
        chart("Throughput", "GB/s", Scale::FromZero, rate.collect()),
    ]
}

/// What a scenario costs on every server; of long bodies also what the whole machine does for it, and the
/// tail where the rate is fixed.
pub(crate) fn sizes(results: &Results, scenario: &Scenario) -> Vec<Rows> {
    let cost = Figure::cost_of(scenario.id);
    let of = |title: &str, of: Figure, scale| {
        let rows = servers(results, scenario.id).into_iter().map(|server| {
            let spread = figure(results, scenario.id, &server, of);
            size_row(server, spread, scale)
        });
        chart(title, of.unit(), scale, rows.collect())
    };
    let mut charts = vec![of(scenario.title, cost, Scale::FromZero)];
    if let Some(machine) = Figure::machine_of(scenario) {
        let title = format!("{}: the whole machine", scenario.title);
        let chart = of(&title, machine, Scale::FromZero);
        let is_seen = chart.rows.iter().any(|row| !row.marks.is_empty());
        charts.extend(is_seen.then_some(chart));
    }
    if scenario.is_paced() {
        let title = format!("{}: the tail, logarithmic", scenario.title);
        charts.push(of(&title, Figure::P99, Scale::Logarithmic));
    }
    charts
}

fn size_row(server: String, spread: Option<Spread>, scale: Scale) -> Row {
    let tone = tone_of_server(&server);
    let Some(spread) = spread else {
        return row(server, tone, Vec::new(), "no answer".to_owned());
    };
    let mark = match scale {
        Scale::FromZero => Mark::Bar(spread.median),
        Scale::Logarithmic => Mark::Dot(spread.median),
    };
    let mut marks = vec![mark];
    marks.extend((spread.count > 1).then_some(Mark::Whisker(spread.low, spread.high)));
    row(server, tone, marks, decimals(spread.median))
}

/// The tail of small requests alone and beside others.
pub(crate) fn cold(results: &Results, beside: &str) -> Rows {
    let rows = cold_servers(results, beside).into_iter().map(|server| {
        let Tails {
            alone_ms: alone,
            beside,
        } = tails(results, beside, &server);
        let mut marks: Vec<Mark> = alone.map(Mark::Ring).into_iter().collect();
        if let Some(together) = beside.ms() {
            marks.extend(alone.map(|alone| Mark::Line(alone, together)));
            marks.push(Mark::Dot(together));
        }
        let (tone, value) = (
            tone_of_server(&server),
            format!("{} → {beside}", or_none(alone)),
        );
        row(server, tone, marks, value)
    });
    chart(
        &format!("Beside {}", beside_title(beside)),
        "p99 of small requests, ms: alone → beside, logarithmic",
        Scale::Logarithmic,
        rows.collect(),
    )
}

/// The memory of the server for each of so many idle connections.
pub(crate) fn idle(connections: &str, idle: &[&Idle]) -> Rows {
    let rows = idle.iter().map(|idle| {
        let bytes = idle.user_bytes_each;
        let tone = tone_of_server(&idle.server);
        // A byte at least must have been seen, else what the server keeps was there before.
        if bytes >= 1.0 {
            row(
                idle.server.clone(),
                tone,
                vec![Mark::Bar(bytes)],
                decimals(bytes),
            )
        } else {
            row(
                idle.server.clone(),
                tone,
                Vec::new(),
                "none measured".to_owned(),
            )
        }
    });
    chart(
        &format!("Memory of each of {connections}"),
        "bytes of user memory each, logarithmic",
        Scale::Logarithmic,
        rows.collect(),
    )
}

fn row(label: String, tone: &'static str, marks: Vec<Mark>, value: String) -> Row {
    Row {
        label,
        tone,
        marks,
        value,
    }
}

fn chart(title: &str, unit: &'static str, scale: Scale, rows: Vec<Row>) -> Rows {
    Rows {
        title: title.to_owned(),
        unit,
        scale,
        reference: None,
        keys: &[],
        rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{cold as cold_of, empty};

    #[test]
    fn requests_without_an_answer_have_no_latency() {
        let mut results = empty();
        for (server, together_ms, unanswered) in
            [("zc", 2, 0), ("nginx", 30, 100), ("h2o", 300, 900)]
        {
            results
                .cold
                .push(cold_of("greedy", server, together_ms, unanswered));
        }
        let found = cold(&results, "greedy").rows;
        let values: Vec<&str> = found.iter().map(|row| row.value.as_str()).collect();
        assert_eq!(values, ["1.00 → 2.00", "1.00 → ≥ 30.0", "1.00 → no answer"]);
        assert_eq!(found[2].marks, [Mark::Ring(1.0)]);
    }

    #[test]
    fn every_tone_has_a_colour_by_day_and_by_night() {
        let sheet = include_str!("page.css");
        let methods =
            ["io", "go sendfile", "splice", "auto"].map(|method| tone_of_method(method).0);
        let servers = ["zc", "zc (bodies off)", "floor: one send", "nginx"].map(tone_of_server);
        for tone in methods.into_iter().chain(servers) {
            let tone = tone.split(' ').next().expect("a tone");
            assert_eq!(sheet.matches(&format!("--{tone}: #")).count(), 2, "{tone}");
            assert!(
                sheet.contains(&format!(".{tone} {{ --tone: var(--{tone}); }}")),
                "{tone}"
            );
        }
    }
}
