//! What is drawn of results: the charts of each part, before they are SVG.

use super::charts::{Line, Lines, Mark, Row, Rows, Scale};
use super::figures::{Against, Figure, cold_servers, goals, is_floor, servers, shown, tail};
use super::numbers::{self, NONE, decimals, or_none};
use super::palette::Tone;
use super::ratios::{KINDS, PUBLISHED, of_go, of_ours};
use super::tables::beside_title;
use crate::bench::peers::{OURS, is_ours};
use crate::bench::results::{Results, Second, Study};
use crate::bench::sizes::Scenario;
use crate::bench::stats::Spread;

const MIB: f64 = (1 << 20) as f64;

/// What a method is drawn in, and whether it is that of another program.
pub(crate) fn tone_of_method(method: &str) -> (Tone, bool) {
    let (is_other, method) = method
        .strip_prefix("go ")
        .map_or((false, method), |method| (true, method));
    let tone = match method {
        "io" | "copy" => Tone::Copy,
        "sendfile" => Tone::Sendfile,
        "splice" => Tone::Splice,
        "auto" => Tone::Auto,
        _ => Tone::Other,
    };
    (tone, is_other)
}

fn tone_of_server(server: &str) -> Tone {
    if is_ours(server) {
        Tone::Ours
    } else if is_floor(server) {
        Tone::Floor
    } else {
        Tone::Other
    }
}

/// Ours as a ratio to the floor and to the best other server of every scenario.
pub(crate) fn ratios(results: &Results) -> Rows {
    let rows = goals(results).into_iter().map(|goal| {
        let mut marks = Vec::new();
        if let Some(other) = &goal.best_other {
            marks.extend(
                (other.ratio.count > 1).then_some(Mark::Line(other.ratio.low, other.ratio.high)),
            );
        }
        let ratio = |against: &Option<Against>| against.as_ref().map(|found| found.ratio.median);
        marks.extend(ratio(&goal.floor).map(Mark::Ring));
        marks.extend(ratio(&goal.best_other).map(Mark::Dot));
        Row {
            label: goal.label(),
            tone: Tone::Ours,
            is_pale: false,
            marks,
            value: ratio(&goal.best_other).map_or_else(|| NONE.to_owned(), numbers::ratio),
            note: None,
        }
    });
    let mut chart = chart(
        "CPU and tails, ours over theirs",
        "ours / theirs; 1 is no difference, less is better",
        Scale::FromZero,
        rows.collect(),
    );
    chart.values = Some("ours / best other".to_owned());
    chart.reference = Some(1.0);
    chart
}

/// CPU, memory and page faults over time.
pub(crate) fn study_over_time(results: &Results) -> Vec<Lines> {
    let lines = |title: &str, unit: &str, of: &dyn Fn(&Second) -> f64| Lines {
        title: title.to_owned(),
        unit: unit.to_owned(),
        lines: results
            .study
            .iter()
            .map(|study| {
                let (tone, is_dashed) = tone_of_method(&study.method);
                Line {
                    label: study.method.clone(),
                    tone,
                    is_dashed,
                    points: study.seconds.iter().map(of).collect(),
                }
            })
            .collect(),
    };
    vec![
        lines("CPU over time", "CPU, % of one core", &|second| {
            second.cpu_percent
        }),
        lines("Memory over time", "resident memory, MiB", &|second| {
            second.resident_bytes as f64 / MIB
        }),
        lines(
            "Page faults over time",
            "page faults per second",
            &|second| (second.minor_faults + second.major_faults) as f64,
        ),
    ]
}

/// Latency, requests and bytes per second by method.
pub(crate) fn study_by_method(results: &Results) -> Vec<Rows> {
    let bars = |title: &str, unit: &str, of: &dyn Fn(&Study) -> f64| {
        let rows = results.study.iter().map(|study| {
            let figure = of(study);
            method_row(study, vec![Mark::Bar(figure)], decimals(figure))
        });
        chart(title, unit, Scale::FromZero, rows.collect())
    };
    let latency = results.study.iter().map(|study| {
        let wrk = &study.wrk;
        let in_ms = |us: f64| us / 1e3;
        let percentiles: Vec<f64> = wrk
            .percentiles_us
            .iter()
            .map(|(_, us)| in_ms(*us))
            .collect();
        let mut marks = Vec::new();
        if let (Some(&first), Some(&last)) = (percentiles.first(), percentiles.last()) {
            let longest = wrk.latency_max_us.map_or(last, in_ms);
            marks.push(Mark::Line(last, longest.max(last)));
            marks.push(Mark::Tick(longest.max(last)));
            marks.push(Mark::Thick(first, last));
        }
        marks.extend(wrk.latency_mean_us.map(|us| Mark::Ring(in_ms(us))));
        let mut row = method_row(study, marks, or_none(wrk.latency_mean_us.map(in_ms)));
        if row.marks.is_empty() {
            row.note = Some("no latency told".to_owned());
        }
        row
    });
    let mut latency = chart(
        "Latency",
        "ms, logarithmic",
        Scale::Logarithmic,
        latency.collect(),
    );
    latency.values = Some("mean, ms".to_owned());
    vec![
        latency,
        bars("Requests per second", "requests/s", &|study| {
            study.wrk.requests_per_second
        }),
        bars("Transfer rate", "GB/s", &|study| {
            study.wrk.bytes_per_second / 1e9
        }),
    ]
}

fn method_row(study: &Study, marks: Vec<Mark>, value: String) -> Row {
    let (tone, is_pale) = tone_of_method(&study.method);
    Row {
        label: study.method.clone(),
        tone,
        is_pale,
        marks,
        value,
        note: None,
    }
}

/// The ratios of sendfile to copying: ours, the study's programs here, and those published.
pub(crate) fn study_ratios(results: &Results) -> Option<Rows> {
    let ours = of_ours(results)?;
    let go = of_go(results);
    let rows = KINDS.iter().filter_map(|kind| {
        let (found, published) = ((kind.of)(&ours)?, (kind.of)(&PUBLISHED)?);
        let mut marks = vec![Mark::Line(published, found)];
        marks.extend(go.as_ref().and_then(kind.of).map(Mark::Tick));
        marks.extend([Mark::Ring(published), Mark::Dot(found)]);
        Some(Row {
            label: kind.name.to_owned(),
            tone: Tone::Sendfile,
            is_pale: false,
            marks,
            value: format!("{} → {}", numbers::ratio(published), numbers::ratio(found)),
            note: None,
        })
    });
    let rows: Vec<Row> = rows.collect();
    if rows.is_empty() {
        return None;
    }
    let mut chart = chart(
        "Sendfile over copying",
        "sendfile / copying; 1 is no difference",
        Scale::FromZero,
        rows,
    );
    chart.values = Some("published → here".to_owned());
    chart.reference = Some(1.0);
    Some(chart)
}

/// What a scenario costs on every server; of long bodies also what the whole machine does for it, and the
/// tail where the rate is fixed.
pub(crate) fn sizes(results: &Results, scenario: &Scenario) -> Vec<Rows> {
    let cost = Figure::cost_of(scenario.id);
    let mut charts = vec![cost_chart(results, scenario, scenario.title, cost)];
    if cost == Figure::CpuPerGb {
        let title = format!("{}: the whole machine", scenario.title);
        let chart = cost_chart(results, scenario, &title, Figure::MachineCpuPerGb);
        charts.extend(
            chart
                .rows
                .iter()
                .any(|row| row.note.is_none())
                .then_some(chart),
        );
    }
    charts.extend(scenario.is_paced().then(|| tail_chart(results, scenario)));
    charts
}

fn cost_chart(results: &Results, scenario: &Scenario, title: &str, of: Figure) -> Rows {
    let rows = servers(results, scenario.id).into_iter().map(|server| {
        let spread = shown(results, scenario.id, &server, of);
        let marks = spread.map_or_else(Vec::new, |spread| {
            let mut marks = vec![Mark::Bar(spread.median)];
            marks.extend(whisker(&spread));
            marks
        });
        server_row(server, marks, spread)
    });
    chart(title, of.unit(), Scale::FromZero, rows.collect())
}

fn tail_chart(results: &Results, scenario: &Scenario) -> Rows {
    let rows = servers(results, scenario.id).into_iter().map(|server| {
        let spread = shown(results, scenario.id, &server, Figure::P99);
        let marks = spread.map_or_else(Vec::new, |spread| {
            let mut marks: Vec<Mark> = whisker(&spread).into_iter().collect();
            marks.push(Mark::Dot(spread.median));
            marks
        });
        server_row(server, marks, spread)
    });
    let title = format!("{}: the tail", scenario.title);
    let unit = "p99 latency, ms, logarithmic";
    chart(&title, unit, Scale::Logarithmic, rows.collect())
}

/// From the least of the rounds to the greatest, where there are several.
fn whisker(spread: &Spread) -> Option<Mark> {
    (spread.count > 1).then_some(Mark::Whisker(spread.low, spread.high))
}

fn server_row(server: String, marks: Vec<Mark>, spread: Option<Spread>) -> Row {
    Row {
        tone: tone_of_server(&server),
        is_pale: is_ours(&server) && server != OURS.name,
        note: marks.is_empty().then(|| "no answer".to_owned()),
        marks,
        value: or_none(spread.map(|spread| spread.median)),
        label: server,
    }
}

/// The tail of small requests alone and beside others.
pub(crate) fn cold(results: &Results, beside: &str) -> Rows {
    let rows = cold_servers(results, beside).into_iter().map(|server| {
        let tail = tail(results, beside, &server);
        let alone = or_none(tail.alone);
        let mut marks: Vec<Mark> = tail.alone.map(Mark::Ring).into_iter().collect();
        let mut note = None;
        let value = match tail.together {
            Some(together) if !tail.is_without_answer() => {
                marks.extend(tail.alone.map(|alone| Mark::Line(alone, together)));
                marks.push(Mark::Dot(together));
                // What was not answered has waited until the end, and would have waited longer.
                let sign = if tail.is_answered() { "" } else { "≥ " };
                format!("{alone} → {sign}{}", decimals(together))
            }
            _ => {
                note = Some("no answer".to_owned());
                format!("{alone} → {NONE}")
            }
        };
        Row {
            tone: tone_of_server(&server),
            is_pale: false,
            marks,
            value,
            note,
            label: server,
        }
    });
    let title = format!("Beside {}", beside_title(beside));
    let unit = "p99 latency of small requests, ms, logarithmic";
    let mut chart = chart(&title, unit, Scale::Logarithmic, rows.collect());
    chart.values = Some("alone → beside, ms".to_owned());
    chart
}

/// The memory of the server for each idle connection.
pub(crate) fn idle(results: &Results) -> Rows {
    let rows = results.idle.iter().map(|idle| {
        let bytes = idle.user_bytes_each;
        let is_seen = bytes >= 1.0;
        Row {
            label: idle.server.clone(),
            tone: tone_of_server(&idle.server),
            is_pale: false,
            marks: is_seen.then_some(Mark::Bar(bytes)).into_iter().collect(),
            value: decimals(bytes),
            note: (!is_seen).then(|| "none that was seen".to_owned()),
        }
    });
    chart(
        "Memory of an idle connection",
        "bytes of user memory each, logarithmic",
        Scale::Logarithmic,
        rows.collect(),
    )
}

fn chart(title: &str, unit: &str, scale: Scale, rows: Vec<Row>) -> Rows {
    Rows {
        title: title.to_owned(),
        unit: unit.to_owned(),
        scale,
        values: None,
        reference: None,
        rows,
    }
}
