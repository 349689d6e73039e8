//! The report as Markdown: tables of medians, with ours as a ratio to each.

use std::fmt::Write;

use super::tables::{
    Figure, answered_part, cold_figure, cold_servers, figure, ms, ours_over, servers,
};
use crate::bench::cold::BESIDE;
use crate::bench::peers::OURS;
use crate::bench::results::Results;
use crate::bench::small::SCENARIOS;
use crate::bench::stats::Spread;
use crate::bench::study::mean;

/// The whole page.
pub(crate) fn page(results: &Results) -> String {
    let mut out = String::new();
    // A `String` takes every write.
    let _ = write_page(&mut out, results);
    out
}

fn write_page(out: &mut String, results: &Results) -> std::fmt::Result {
    let machine = &results.machine;
    writeln!(out, "# Benchmark of {}\n", results.date)?;
    writeln!(
        out,
        "Commit {}, `cargo xtask bench {}`. {}, {} cores, {} GiB, Linux {}. {}, MTU {}, {}.\n",
        results.commit,
        results.command.join(" "),
        machine.cpu,
        machine.cores,
        machine.memory_bytes >> 30,
        machine.kernel,
        machine.congestion,
        machine.mtu,
        if machine.pinned {
            "server and client on a core each"
        } else {
            "server and client on the same cores"
        },
    )?;
    if results.interrupted {
        writeln!(
            out,
            "**The run was interrupted**: what follows was measured until then.\n"
        )?;
    }
    for note in &machine.notes {
        writeln!(out, "- {note}")?;
    }
    for skipped in &results.skipped {
        let mend = skipped
            .mend
            .as_ref()
            .map_or(String::new(), |mend| format!(" (`{mend}`)"));
        writeln!(out, "- skipped {}: {}{mend}", skipped.what, skipped.why)?;
    }
    writeln!(out)?;
    study(out, results)?;
    for scenario in &SCENARIOS {
        let servers = servers(results, scenario.id);
        if !servers.is_empty() {
            writeln!(out, "## {}\n", scenario.title)?;
            small(out, results, scenario.id, &servers)?;
        }
    }
    cold(out, results)?;
    idle(out, results)?;
    micro(out, results)
}

fn study(out: &mut String, results: &Results) -> std::fmt::Result {
    if results.study.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "## The study: one video, wrk with 6 threads and 30 connections\n"
    )?;
    writeln!(
        out,
        "| method | requests/s | GB/s | CPU % | mean latency, ms | resident MiB | errors |\n\
         | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for study in &results.study {
        let wrk = &study.wrk;
        let errors = wrk.errors.connect + wrk.errors.read + wrk.errors.write + wrk.errors.timeout;
        writeln!(
            out,
            "| {} | {:.1} | {:.2} | {:.0} | {} | {:.1} | {errors} |",
            study.method,
            wrk.requests_per_second,
            wrk.bytes_per_second / 1e9,
            mean(&study.seconds, |second| second.cpu_percent),
            wrk.latency_mean_us
                .map_or_else(none, |us| format!("{:.0}", us / 1e3)),
            mean(&study.seconds, |second| second.resident_bytes as f64) / (1 << 20) as f64,
        )?;
    }
    writeln!(out)
}

fn small(
    out: &mut String,
    results: &Results,
    scenario: &str,
    servers: &[String],
) -> std::fmt::Result {
    let per_byte = scenario == "video";
    let cost = if per_byte {
        Figure::CpuPerGb
    } else {
        Figure::CpuPerResponse
    };
    let cost_name = if per_byte {
        "CPU s/GB"
    } else {
        "CPU µs/request"
    };
    writeln!(
        out,
        "| server | {cost_name} | ours / its | requests/s | GB/s | p50 ms | p99 ms | p99.9 ms |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for server in servers {
        let median = |of: Figure| figure(results, scenario, server, of);
        let latency = |of| median(of).map_or_else(none, |spread| decimals(spread.median / 1e3));
        let plain =
            |of, scale: f64| median(of).map_or_else(none, |spread| decimals(spread.median / scale));
        let ratio = match server == OURS.name {
            true => "1".to_owned(),
            false => ours_over(results, scenario, server, cost).map_or_else(none, range),
        };
        writeln!(
            out,
            "| {server} | {} | {ratio} | {} | {} | {} | {} | {} |",
            median(cost).map_or_else(none, |spread| decimals(spread.median)),
            plain(Figure::ResponsesPerSecond, 1.0),
            plain(Figure::BytesPerSecond, 1e9),
            latency(Figure::P50),
            latency(Figure::P99),
            latency(Figure::P999),
        )?;
    }
    writeln!(out)
}

fn cold(out: &mut String, results: &Results) -> std::fmt::Result {
    for beside in BESIDE {
        let servers = cold_servers(results, beside);
        if servers.is_empty() {
            continue;
        }
        writeln!(out, "## 500 small requests a second beside: {beside}\n")?;
        writeln!(
            out,
            "| server | p50 / p99 / p99.9 alone, ms | beside, ms | answered | p99 beside / alone | \
             the others, MB/s | of what the disk gives |\n\
             | --- | --- | --- | --- | --- | --- | --- |"
        )?;
        for server in &servers {
            let figure = |of: &dyn Fn(&crate::bench::results::Cold) -> f64| {
                cold_figure(results, beside, server, of).map_or(f64::NAN, |spread| spread.median)
            };
            let disk = figure(&|cold| {
                cold.others_bytes_per_second / cold.disk_bytes_per_second.unwrap_or(f64::NAN)
            });
            writeln!(
                out,
                "| {server} | {} / {} / {} | {} / {} / {} | {:.0} % | {} | {} | {} |",
                decimals(figure(&|cold| ms(cold.alone.p50_ns))),
                decimals(figure(&|cold| ms(cold.alone.p99_ns))),
                decimals(figure(&|cold| ms(cold.alone.p999_ns))),
                decimals(figure(&|cold| ms(cold.together.p50_ns))),
                decimals(figure(&|cold| ms(cold.together.p99_ns))),
                decimals(figure(&|cold| ms(cold.together.p999_ns))),
                figure(&|cold| answered_part(&cold.together)) * 100.0,
                decimals(figure(&|cold| {
                    cold.together.p99_ns as f64 / cold.alone.p99_ns as f64
                })),
                decimals(figure(&|cold| cold.others_bytes_per_second / 1e6)),
                if disk.is_nan() {
                    "–".to_owned()
                } else {
                    decimals(disk)
                },
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn idle(out: &mut String, results: &Results) -> std::fmt::Result {
    let Some(first) = results.idle.first() else {
        return Ok(());
    };
    writeln!(out, "## {} idle connections\n", first.connections)?;
    writeln!(
        out,
        "| server | resident at start, MiB | user bytes each | kernel bytes each, both ends |\n\
         | --- | --- | --- | --- |"
    )?;
    for idle in &results.idle {
        writeln!(
            out,
            "| {} | {:.1} | {:.0} | {:.0} |",
            idle.server,
            idle.resident_at_start_bytes as f64 / (1 << 20) as f64,
            idle.user_bytes_each,
            idle.kernel_bytes_each,
        )?;
    }
    writeln!(out)
}

fn micro(out: &mut String, results: &Results) -> std::fmt::Result {
    if results.micro.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Microbenchmarks\n")?;
    writeln!(
        out,
        "| benchmark | median | interval | bytes/s |\n| --- | --- | --- | --- |"
    )?;
    for micro in &results.micro {
        let rate = match micro.bytes {
            Some(bytes) if micro.unit == "ns" => {
                format!("{:.2} GB", bytes as f64 / micro.median)
            }
            _ => "–".to_owned(),
        };
        writeln!(
            out,
            "| {} | {} {} | {}–{} | {rate} |",
            micro.name,
            decimals(micro.median),
            micro.unit,
            decimals(micro.low),
            decimals(micro.high),
        )?;
    }
    writeln!(out)
}

/// Three digits that count.
pub(crate) fn decimals(number: f64) -> String {
    if number.is_nan() {
        return "–".to_owned();
    }
    let digits = match number.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{number:.digits$}")
}

/// A median and its quartiles.
fn range(spread: Spread) -> String {
    format!(
        "{:.2} ({:.2}–{:.2})",
        spread.median, spread.low, spread.high
    )
}

/// What stands where there is no figure.
fn none() -> String {
    "–".to_owned()
}
