//! The tables of a report, made once for every kind of page.

use super::badge::with_interval;
use super::figures::{
    Against, Figure, answered_part, cold_figure, cold_servers, figure, goals, ms, ours_over,
    samples, servers,
};
use super::numbers::{NONE, count, decimals, or_none, per_cent, range, size, whole};
use super::ratios;
use crate::bench::cold::{BESIDE, FEW, FUSE_DELAY_MS, RATE};
use crate::bench::fixtures::{COLD_LARGE_BYTES, COLD_SMALL_BYTES, COLD_STREAMS};
use crate::bench::peers::{OURS, meaning_of};
use crate::bench::results::{Cold, Idle, Machine, Micro, Results, Study};
use crate::bench::scenarios::Scenario;
use crate::bench::section::Section;
use crate::bench::stats::spread;
use crate::bench::study::{CONNECTIONS, THREADS, mean};

/// A table: what the columns are, with units, and the cells of each row.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// A table with what it is about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    /// That of the scenario, or what ran beside.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) table: Table,
}

impl Table {
    /// A table without those columns in which no row has a figure.
    pub(crate) fn new(head: &[&str], rows: Vec<Vec<String>>) -> Self {
        let is_empty = |column: usize| {
            let mut cells = rows.iter().filter_map(|row| row.get(column));
            cells.all(|cell| cell == NONE)
        };
        let kept: Vec<usize> = (0..head.len())
            .filter(|&column| column == 0 || !is_empty(column))
            .collect();
        let keep = |row: &[String]| kept.iter().filter_map(|&at| row.get(at).cloned()).collect();
        Self {
            head: kept.iter().map(|&at| head[at].to_owned()).collect(),
            rows: rows.iter().map(|row| keep(row)).collect(),
        }
    }
}

/// What was measured, and where.
pub(crate) fn facts(results: &Results) -> Vec<(&'static str, String)> {
    let machine = &results.machine;
    let mut command = vec!["cargo xtask bench".to_owned()];
    command.extend(results.command.iter().cloned());
    let network = if machine.private_network {
        "private network namespace"
    } else {
        "loopback device of the machine"
    };
    let (congestion, usual) = (&machine.congestion, &machine.system_congestion);
    let congestion = format!("{congestion} (default of the machine: {usual})");
    let pinned = if machine.pinned {
        "server and client pinned to one core each; shared in the study"
    } else {
        "not pinned; server and client share cores"
    };
    let urgent = if machine.urgent_client {
        "real-time priority (SCHED_FIFO)"
    } else {
        "normal priority"
    };
    let Machine {
        cpu, kernel, mtu, ..
    } = machine;
    let cores = count(machine.cores, "core", "cores");
    let memory = machine.memory_bytes as f64 / GIB;
    vec![
        ("Date", results.date.clone()),
        ("Commit", results.commit.clone()),
        ("Command", command.join(" ")),
        ("Machine", format!("{cpu}, {cores}, {memory:.0} GiB")),
        ("Kernel", format!("Linux {kernel}")),
        ("Network", format!("{network}, MTU of {mtu} bytes")),
        ("Congestion control", congestion),
        ("Placement", pinned.to_owned()),
        ("Client in cold", urgent.to_owned()),
        ("Rounds", whole(results.rounds())),
    ]
}

/// What could not be had, and what was not measured, with what would help.
pub(crate) fn notes(results: &Results) -> Vec<String> {
    let skipped = results.skipped.iter().map(|skipped| {
        let (what, why, mend) = (&skipped.what, &skipped.why, skipped.mend.as_ref());
        let mend = mend.map(|mend| format!("; run `{mend}`"));
        format!("Skipped: {what}: {why}{}", mend.unwrap_or_default())
    });
    results
        .machine
        .notes
        .iter()
        .cloned()
        .chain(skipped)
        .collect()
}

const GIB: f64 = (1_u64 << 30) as f64;
const MIB: f64 = (1_u64 << 20) as f64;

/// Ours beside the floor and the best other server.
pub(crate) fn goal_table(results: &Results) -> Option<Table> {
    let goals = goals(results);
    let rows = goals.iter().map(|goal| {
        let against = |against: &Option<Against>| {
            against.as_ref().map_or_else(
                || NONE.to_owned(),
                |against| {
                    let (ratio, mark) = (with_interval(&against.ratio), against.badge().mark());
                    let server = against.server.trim_start_matches("floor: ");
                    format!("{ratio} of {server} {mark}")
                },
            )
        };
        vec![
            format!("{}, {}", goal.scenario.title, goal.figure.unit()),
            decimals(goal.ours.median),
            against(&goal.floor),
            against(&goal.best_other),
        ]
    });
    let head = ["scenario", OURS.name, "ours / floor", "ours / best other"];
    (!goals.is_empty()).then(|| Table::new(&head, rows.collect()))
}

/// What names in the tables stand for that are no product's: the floors, and ours with other options.
/// Each that was measured once, in the order of the run.
pub(crate) fn terms(results: &Results) -> Vec<(String, &'static str)> {
    let mut terms: Vec<(String, &'static str)> = Vec::new();
    for sample in &results.samples {
        let is_told = terms.iter().any(|(name, _)| *name == sample.server);
        if let (false, Some(meaning)) = (is_told, meaning_of(&sample.server)) {
            terms.push((sample.server.clone(), meaning));
        }
    }
    terms
}

/// What has to be known of all figures of a section.
pub(crate) fn caption(section: Section) -> String {
    match section {
        Section::Micro => "The median time of one iteration, measured with criterion, with its 95 % confidence \
                           interval. Ratios are to the bare system calls."
            .to_owned(),
        Section::Study => format!(
            "One video, requested by wrk with {THREADS} threads and {CONNECTIONS} connections, copied (“io”) \
             and sent. Each server has one worker thread and shares its cores with wrk. Each method was run \
             once. “go io” and “go sendfile” are the study's own handlers, run on this machine. Latencies \
             are those of successful responses."
        ),
        Section::Sizes => "CPU time of the server per request, or per GB for the video: the median of the \
                           rounds, with minimum and maximum. Less is better. Compare rates only where the \
                           server's core was fully used."
            .to_owned(),
        Section::Tls => "CPU time of the server per request, or per GB from 1 MiB on, as in sizes. Every server has \
                         the same ECDSA key (P-256). The client offers TLS 1.3 with AES-128-GCM unless the title \
                         says otherwise, and X25519."
            .to_owned(),
        Section::Cold => format!(
            "{RATE} small requests per second, alone and beside slow or unthrottled downloads. No latency is \
             given where fewer than half were answered; ≥ marks figures where some were not."
        ),
        Section::Idle => {
            "Memory of the server and the kernel for each connection, after one request on each."
                .to_owned()
        }
    }
}

/// The study: one row for each method.
pub(crate) fn study(results: &Results) -> Option<Part> {
    let row = |study: &Study| {
        let wrk = &study.wrk;
        let of = |figure: &dyn Fn(&crate::bench::results::Second) -> f64| {
            decimals(mean(&study.seconds, figure))
        };
        let at = |wanted: f64| {
            let found = wrk.percentiles_us.iter().find(|(at, _)| *at == wanted);
            or_none(found.map(|(_, us)| us / 1e3))
        };
        let errors = wrk.errors;
        let errors = errors.connect + errors.read + errors.write + errors.timeout + errors.status;
        vec![
            study.method.clone(),
            decimals(wrk.requests_per_second),
            decimals(wrk.bytes_per_second / 1e9),
            decimals(ratios::cpu_percent(study)),
            decimals(ratios::cpu_seconds_per_gb(study)),
            or_none(
                study
                    .machine_cpu_seconds
                    .map(|busy| busy / (wrk.bytes / 1e9)),
            ),
            or_none(wrk.latency_mean_us.map(|us| us / 1e3)),
            at(50.0),
            at(99.0),
            or_none(wrk.latency_max_us.map(|us| us / 1e3)),
            of(&|second| second.resident_bytes as f64 / MIB),
            of(&|second| second.minor_faults as f64),
            errors.to_string(),
        ]
    };
    let head = [
        "method",
        "requests/s",
        "GB/s",
        "CPU, % of a core",
        "CPU, s/GB",
        "CPU of the machine, s/GB",
        "mean latency, ms",
        "p50, ms",
        "p99, ms",
        "longest, ms",
        "resident, MiB",
        "page faults/s",
        "errors",
    ];
    (!results.study.is_empty()).then(|| Part {
        id: "study".to_owned(),
        title: "By method".to_owned(),
        table: Table::new(&head, results.study.iter().map(row).collect()),
    })
}

/// The study's figures as published, and ours.
pub(crate) fn published(results: &Results) -> Option<Part> {
    let rows = ratios::rows(results);
    (!rows.is_empty()).then(|| Part {
        id: "published".to_owned(),
        title: "Compared with the published figures".to_owned(),
        table: Table::new(&ratios::HEAD, rows),
    })
}

/// The sizes, or those by TLS: one table for each scenario that was measured.
pub(crate) fn sizes(results: &Results, section: Section) -> Vec<Part> {
    let part = |scenario: &'static Scenario| {
        let servers = servers(results, scenario.id);
        let cost = Figure::cost_of(scenario.id);
        let rows = servers.iter().map(|server| {
            let of = |of| figure(results, scenario.id, server, of);
            let median = |figure| or_none(of(figure).map(|spread| spread.median));
            let machine = Figure::machine_of(scenario).and_then(of);
            let ratio = if server == OURS.name {
                "1".to_owned()
            } else {
                ours_over(results, scenario.id, server, cost)
                    .map_or_else(|| NONE.to_owned(), |ratio| with_interval(&ratio))
            };
            vec![
                server.clone(),
                of(cost).map_or_else(|| NONE.to_owned(), |spread| range(&spread)),
                ratio,
                machine.map_or_else(|| NONE.to_owned(), |spread| range(&spread)),
                median(Figure::ResponsesPerSecond),
                median(Figure::BytesPerSecond),
                median(Figure::P50),
                median(Figure::P99),
                median(Figure::P999),
                busy(results, scenario.id, server),
            ]
        });
        let head = [
            "server",
            cost.unit(),
            "ours / its",
            Figure::MachineCpuPerGb.unit(),
            "requests/s",
            "GB/s",
            "p50, ms",
            "p99, ms",
            "p99.9, ms",
            "core of server / client busy, %",
        ];
        (!servers.is_empty()).then(|| Part {
            id: scenario.id.to_owned(),
            title: scenario.title.to_owned(),
            table: Table::new(&head, rows.collect()),
        })
    };
    Scenario::of(section).filter_map(part).collect()
}

/// How busy the two cores were.
fn busy(results: &Results, scenario: &str, server: &str) -> String {
    let part = |seconds: &dyn Fn(&crate::bench::results::Sample) -> f64| {
        let samples = samples(results, scenario, server);
        let parts = spread(samples.map(|sample| seconds(sample) / sample.load.seconds));
        parts.map_or_else(|| NONE.to_owned(), |parts| per_cent(parts.median))
    };
    format!(
        "{} / {}",
        part(&|sample| sample.server_cpu_seconds),
        part(&|sample| sample.load.client_cpu_seconds)
    )
}

/// What ran beside the small requests, in words.
pub(crate) fn beside_title(beside: &str) -> String {
    let streams = |file_bytes| {
        let size = size(file_bytes);
        format!("{COLD_STREAMS} streams of cold files of {size}")
    };
    match beside {
        "fuse" => {
            format!("{FEW} downloads from a file system with {FUSE_DELAY_MS} ms per read")
        }
        "disk-small" => streams(COLD_SMALL_BYTES),
        "disk-large" => streams(COLD_LARGE_BYTES),
        "greedy" => {
            format!("{FEW} downloads of the video by unthrottled clients")
        }
        other => other.to_owned(),
    }
}

/// Small requests beside others: one table for each kind.
pub(crate) fn cold(results: &Results) -> Vec<Part> {
    let part = |beside: &&'static str| {
        let servers = cold_servers(results, beside);
        let rows = servers.iter().map(|server| {
            let figure = |of: &dyn Fn(&Cold) -> f64| {
                or_none(cold_figure(results, beside, server, of).map(|spread| spread.median))
            };
            let of_disk = |cold: &Cold| {
                cold.others_bytes_per_second / cold.disk_bytes_per_second.unwrap_or(f64::NAN)
            };
            let answered = cold_figure(results, beside, server, |cold| {
                answered_part(&cold.together)
            });
            let three = |load: &dyn Fn(&Cold) -> &crate::bench::results::Load| {
                format!(
                    "{} / {} / {}",
                    figure(&|cold| ms(load(cold).p50_ns)),
                    figure(&|cold| ms(load(cold).p99_ns)),
                    figure(&|cold| ms(load(cold).p999_ns)),
                )
            };
            vec![
                server.clone(),
                three(&|cold| &cold.alone),
                three(&|cold| &cold.together),
                or_none(answered.map(|part| part.median * 100.0)),
                figure(&|cold| cold.together.p99_ns as f64 / cold.alone.p99_ns as f64),
                figure(&|cold| cold.others_bytes_per_second / 1e6),
                cold_figure(results, beside, server, of_disk)
                    .map_or_else(|| NONE.to_owned(), |part| per_cent(part.median)),
            ]
        });
        let head = [
            "server",
            "p50 / p99 / p99.9 alone, ms",
            "beside, ms",
            "answered, %",
            "p99 beside / alone",
            "others, MB/s",
            "of the disk, %",
        ];
        (!servers.is_empty()).then(|| Part {
            id: (*beside).to_owned(),
            title: format!("Beside {}", beside_title(beside)),
            table: Table::new(&head, rows.collect()),
        })
    };
    BESIDE.iter().filter_map(part).collect()
}

/// Idle connections, plain or by TLS.
pub(crate) fn idle(results: &Results, section: Section) -> Option<Part> {
    let idle = idle_of(results, section);
    let first = idle.first()?;
    let rows = idle.iter().map(|idle| {
        vec![
            idle.server.clone(),
            decimals(idle.resident_at_start_bytes as f64 / MIB),
            decimals(idle.user_bytes_each),
            decimals(idle.kernel_bytes_each),
        ]
    });
    let head = [
        "server",
        "resident at start, MiB",
        "user memory for each, bytes",
        "kernel memory for each, both ends, bytes",
    ];
    let by_tls = if first.tls { " by TLS" } else { "" };
    Some(Part {
        id: "idle".to_owned(),
        title: format!("{} idle connections{by_tls}", whole(first.connections)),
        table: Table::new(&head, rows.collect()),
    })
}

/// The idle connections of a section.
pub(crate) fn idle_of(results: &Results, section: Section) -> Vec<&Idle> {
    let is_of = |idle: &&Idle| idle.tls == (section == Section::Tls);
    results.idle.iter().filter(is_of).collect()
}

/// The microbenchmarks, by the first word of their names.
pub(crate) fn micro(results: &Results) -> Vec<Part> {
    let mut groups: Vec<(&str, Vec<Vec<String>>)> = Vec::new();
    for micro in &results.micro {
        let name = micro.name.as_str();
        let (group, rest) = name.split_once([' ', '/']).unwrap_or((name, name));
        let row = micro_row(micro, rest);
        match groups.iter_mut().find(|(other, _)| *other == group) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((group, vec![row])),
        }
    }
    let part = |(group, rows): (&str, Vec<Vec<String>>)| Part {
        id: group.to_owned(),
        title: group.to_owned(),
        table: Table::new(&["benchmark", "median", "95 % interval", "GB/s"], rows),
    };
    groups.into_iter().map(part).collect()
}

fn micro_row(micro: &Micro, name: &str) -> Vec<String> {
    let rate = micro
        .bytes
        .filter(|_| micro.unit == "ns")
        .map(|bytes| bytes as f64 / micro.median);
    // A time is told in the unit that leaves it few digits.
    let (scale, unit) = match micro.median {
        _ if micro.unit != "ns" => (1.0, micro.unit.replace("x floor", "× floor")),
        ns if ns >= 1e6 => (1e6, "ms".to_owned()),
        ns if ns >= 1e3 => (1e3, "µs".to_owned()),
        _ => (1.0, "ns".to_owned()),
    };
    vec![
        name.replace('/', ", "),
        format!("{} {unit}", decimals(micro.median / scale)),
        format!(
            "{}–{}",
            decimals(micro.low / scale),
            decimals(micro.high / scale)
        ),
        or_none(rate),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{add_samples, empty, full};

    #[test]
    fn what_was_measured_is_explained_once_and_nothing_else() {
        let mut results = empty();
        for server in ["zc", "floor: MORE + sendfile", "nginx", "zc (bodies off)"] {
            add_samples(&mut results, "1m", server, 10.0, 2);
        }
        let names: Vec<String> = terms(&results).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["floor: MORE + sendfile", "zc (bodies off)"]);
    }

    #[test]
    fn microbenchmarks_are_grouped_by_their_first_word_in_the_order_of_the_run() {
        let mut results = empty();
        results.micro = [
            "transfer 4KiB/Auto, whole",
            "cache/hit",
            "transfer 64KiB/Auto, whole",
        ]
        .map(|name| Micro {
            name: name.to_owned(),
            ..full().micro[0].clone()
        })
        .to_vec();
        let found = micro(&results).into_iter().map(|part| {
            let rows = part.table.rows.into_iter();
            (
                part.title,
                rows.map(|row| row[0].clone()).collect::<Vec<_>>(),
            )
        });
        let found: Vec<(String, Vec<String>)> = found.collect();
        let expected = [
            ("transfer", vec!["4KiB, Auto, whole", "64KiB, Auto, whole"]),
            ("cache", vec!["hit"]),
        ];
        let expected = expected.map(|(title, rows)| {
            (
                title.to_owned(),
                rows.into_iter().map(str::to_owned).collect(),
            )
        });
        assert_eq!(found, expected);
    }
}
