//! The results of a run: a table in Markdown, and the same with all seconds and downloads as JSON lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::downloads::{Download, Tool};
use super::events::{Event, Happened};
use super::haproxy::Counters;
use super::measure::{
    Latency, Outcome, Record, Window, ended_in, failures, homes, keys_moved, latency,
    requests_moved,
};

/// A run that is over.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) nodes: u8,
    /// In words, such as `200 Mbit/s`.
    pub(super) rate: String,
    pub(super) requests_per_second: u32,
    pub(super) event_seconds: f64,
    pub(super) drain_delay_seconds: f64,
    pub(super) large_bytes: u64,
    /// Loops of downloads with each tool.
    pub(super) loops: u8,
    /// Whether it was ended by Ctrl-C or by a fault, before the last event.
    pub(super) interrupted: bool,
    pub(super) events: Vec<(Event, Happened, Counters)>,
    pub(super) records: Vec<Record>,
    pub(super) downloads: Vec<Download>,
}

/// Of what, when and where.
#[derive(Debug)]
pub(super) struct About {
    /// RFC 3339 in UTC.
    pub(super) date: String,
    /// `git describe`.
    pub(super) commit: String,
    /// The command line.
    pub(super) command: String,
    /// Processor, cores, kernel, HAProxy.
    pub(super) machine: String,
}

/// The figures of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figures {
    pub(super) requests: u64,
    pub(super) failures: BTreeMap<String, u64>,
    /// GET requests that a client sent once more.
    pub(super) repeated: u64,
    pub(super) latency: Latency,
    /// Of all steps the mean, where nodes had their turns.
    pub(super) keys_moved: Option<f64>,
    pub(super) requests_moved: Option<f64>,
    pub(super) downloads: u64,
    pub(super) resumes: u64,
    pub(super) unequal: u64,
}

impl Run {
    /// The node of each key, by the quiet time at the beginning.
    fn homes(&self) -> BTreeMap<u16, u8> {
        let quiet = self
            .events
            .iter()
            .find(|(event, ..)| *event == Event::Quiet);
        quiet.map_or_else(BTreeMap::new, |(_, happened, _)| {
            homes(&self.records, happened.window)
        })
    }

    /// The figures of each event, in order.
    pub(super) fn figures(&self) -> Vec<Figures> {
        let homes = self.homes();
        let of = |(_, happened, _): &(Event, Happened, Counters)| self.of(happened, &homes);
        self.events.iter().map(of).collect()
    }

    fn of(&self, happened: &Happened, homes: &BTreeMap<u16, u8>) -> Figures {
        let (records, window) = (&self.records, happened.window);
        let ended = self.downloads.iter();
        let ended: Vec<&Download> = ended.filter(|done| window.has(done.window.to)).collect();
        let whole = [window];
        let steps = if happened.steps.is_empty() {
            &whole[..]
        } else {
            &happened.steps
        };
        let mean = |figure: &dyn Fn(Window) -> Option<f64>| {
            let figures: Vec<f64> = steps.iter().filter_map(|step| figure(*step)).collect();
            (!figures.is_empty()).then(|| figures.iter().sum::<f64>() / figures.len() as f64)
        };
        let count = |number: usize| number as u64;
        Figures {
            requests: count(ended_in(records, window).count()),
            failures: failures(records, window),
            repeated: count(ended_in(records, window).filter(|one| one.repeated).count()),
            latency: latency(records, window),
            keys_moved: mean(&|step| keys_moved(records, step, homes)),
            requests_moved: mean(&|step| requests_moved(records, step, homes)),
            downloads: count(ended.len()),
            resumes: ended.iter().map(|done| u64::from(done.resumes)).sum(),
            unequal: count(ended.iter().filter(|done| !done.is_equal).count()),
        }
    }

    /// A heading, the conditions, and a table with a row for each event.
    pub(super) fn markdown(&self) -> String {
        let mut out = format!("## {} nodes\n\n", self.nodes);
        // A `String` takes every write.
        let _ = writeln!(
            out,
            "Links of {}, {} small requests due each second, loops of downloads of {} MB, {} with curl and as many with \
             aria2, events of {} s or longer, a drain delay of {} s.\n",
            self.rate,
            self.requests_per_second,
            self.large_bytes / 1_000_000,
            self.loops,
            self.event_seconds,
            self.drain_delay_seconds
        );
        if self.interrupted {
            out += "The run was interrupted.\n\n";
        }
        out += "| event | s | requests | failed | HAProxy: retries at the node, at another | repeated by clients | \
                keys moved | requests moved | p50 ms | p99 ms | max ms | downloads | resumes | bytes |\n\
                | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n";
        let rows = self.events.iter().zip(self.figures());
        for ((event, happened, counters), figures) in rows {
            out += &row(*event, happened, *counters, &figures);
        }
        out.push('\n');
        for (event, happened, _) in &self.events {
            if !happened.notes.is_empty() {
                let _ = writeln!(out, "- {}: {}", event.title(), happened.notes.join("; "));
            }
        }
        out
    }

    /// A line for the run, each event, each second and each download.
    pub(super) fn json_lines(&self, about: &About) -> String {
        let mut values = vec![json!({
            "type": "run", "date": about.date, "commit": about.commit, "command": about.command,
            "machine": about.machine, "nodes": self.nodes, "rate": self.rate,
            "requests_per_second": self.requests_per_second, "event_seconds": self.event_seconds,
            "drain_delay_seconds": self.drain_delay_seconds, "loops": self.loops, "large_bytes": self.large_bytes,
            "interrupted": self.interrupted,
        })];
        let rows = self.events.iter().zip(self.figures());
        values.extend(rows.map(|((event, happened, counters), figures)| {
            let windows = happened.steps.iter();
            let steps: Vec<Value> = windows.map(|step| seconds_of(*step)).collect();
            json!({
                "type": "event", "nodes": self.nodes, "name": event.name(),
                "window": seconds_of(happened.window), "steps": steps, "notes": happened.notes,
                "requests": figures.requests, "failures": figures.failures,
                "retries": counters.retries, "redispatches": counters.redispatches,
                "repeated": figures.repeated, "keys_moved": figures.keys_moved,
                "requests_moved": figures.requests_moved, "p50_ms": figures.latency.p50_ms,
                "p99_ms": figures.latency.p99_ms, "max_ms": figures.latency.max_ms,
                "downloads": figures.downloads, "resumes": figures.resumes,
                "unequal": figures.unequal,
            })
        }));
        values.extend(self.seconds().iter().enumerate().map(|(second, figures)| {
            json!({
                "type": "second", "nodes": self.nodes, "second": second, "good": figures.good,
                "failed": figures.failed, "p99_ms": figures.p99_ms,
            })
        }));
        values.extend(self.downloads.iter().map(|done| {
            json!({
                "type": "download", "nodes": self.nodes, "tool": done.tool.name(),
                "window": seconds_of(done.window), "attempts": done.attempts,
                "resumes": done.resumes, "equal": done.is_equal,
            })
        }));
        values.iter().map(|value| format!("{value}\n")).collect()
    }

    /// The figures of each second.
    pub(super) fn seconds(&self) -> Vec<Second> {
        let last = self.records.iter().map(|record| record.ended().as_secs());
        let count = last.max().map_or(0, |last| last + 1);
        let mut seconds: Vec<(Second, Vec<f64>)> = vec![Default::default(); count as usize];
        for record in &self.records {
            let (second, latencies) = &mut seconds[record.ended().as_secs() as usize];
            if record.outcome == Outcome::Good {
                second.good += 1;
            } else {
                second.failed += 1;
            }
            latencies.push(record.latency.as_secs_f64() * 1e3);
        }
        let with_p99 = |(second, mut latencies): (Second, Vec<f64>)| {
            latencies.sort_by(f64::total_cmp);
            let rank = (latencies.len() * 99).div_ceil(100).max(1) - 1;
            let p99_ms = latencies.get(rank).copied().unwrap_or(0.0);
            Second { p99_ms, ..second }
        };
        seconds.into_iter().map(with_p99).collect()
    }

    /// How many requests failed, and how many downloads had other bytes.
    pub(super) fn faults(&self) -> u64 {
        let figures = self.figures();
        let faults = figures.iter().map(|event| failed(event) + event.unequal);
        faults.sum()
    }
}

/// What ended in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Second {
    pub(super) good: u64,
    pub(super) failed: u64,
    pub(super) p99_ms: f64,
}

fn failed(figures: &Figures) -> u64 {
    figures.failures.values().sum()
}

fn row(event: Event, happened: &Happened, counters: Counters, figures: &Figures) -> String {
    let kinds: Vec<String> = figures
        .failures
        .iter()
        .map(|(kind, count)| format!("{count} × {kind}"))
        .collect();
    let failed = match failed(figures) {
        0 => "0".to_owned(),
        failed => format!("{failed} ({})", kinds.join(", ")),
    };
    let bytes = match (figures.downloads, figures.unequal) {
        (0, _) => "–".to_owned(),
        (_, 0) => "equal".to_owned(),
        (_, unequal) => format!("{unequal} unequal"),
    };
    let per_cent = |share: Option<f64>| {
        share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
    };
    format!(
        "| {} | {:.1} | {} | {failed} | {}, {} | {} | {} | {} | {:.1} | {:.0} | {:.0} | {} | {} | {bytes} |\n",
        event.title(),
        happened.window.seconds(),
        figures.requests,
        counters.retries,
        counters.redispatches,
        figures.repeated,
        per_cent(figures.keys_moved),
        per_cent(figures.requests_moved),
        figures.latency.p50_ms,
        figures.latency.p99_ms,
        figures.latency.max_ms,
        figures.downloads,
        figures.resumes,
    )
}

fn seconds_of(window: Window) -> Value {
    json!([window.from.as_secs_f64(), window.to.as_secs_f64()])
}

/// The whole page: what was run where, and a part for each run.
pub(super) fn page(about: &About, runs: &[Run], pictures: &[String]) -> String {
    let mut out = format!(
        "# Nodes behind HAProxy while things go wrong\n\n{}, commit {}, {}.\n\n    {}\n\n\
         A small request has failed if its response was not 200 with exactly the expected bytes. Its latency counts \
         from the time at which it was due. A key is the path of a small file, and it has moved if another node than \
         in the quiet time answered for it; where nodes have their turns, the figure is the mean of the turns. \
         Downloads count for the bounds of a node's load: keys move away from a node that has many, in quiet times \
         too. Of HAProxy, what an old worker did after a reload is not counted. A resume of aria2 is one of its four \
         connections.\n\n",
        about.date, about.commit, about.machine, about.command
    );
    for (run, picture) in runs.iter().zip(pictures) {
        out += &run.markdown();
        let nodes = run.nodes;
        let _ = writeln!(
            out,
            "\n![{nodes} nodes: responses and failures each second]({picture})\n"
        );
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// How many downloads each tool has done, in words.
pub(super) fn downloads_in_words(downloads: &[Download]) -> String {
    let of = |tool: Tool| {
        let done = downloads.iter().filter(|done| done.tool == tool);
        let (mut count, mut resumes) = (0, 0);
        for one in done {
            count += 1;
            resumes += one.resumes;
        }
        format!("{} {count} with {resumes} resumes", tool.name())
    };
    format!("downloads: {}, {}", of(Tool::Curl), of(Tool::Aria2))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    fn window(from: u64, to: u64) -> Window {
        Window {
            from: Duration::from_secs(from),
            to: Duration::from_secs(to),
        }
    }

    /// Two keys; the node of the first one dies in its turn, and one request fails.
    pub(in crate::fleet) fn made_up() -> Run {
        let record = |ms: u64, key, node, outcome| Record {
            due: Duration::from_millis(ms),
            latency: Duration::from_millis(10),
            key,
            node: Some(node),
            outcome,
            repeated: false,
        };
        let happened = |window, steps| Happened {
            window,
            steps,
            notes: vec![],
        };
        let counters = Counters {
            retries: 4,
            redispatches: 3,
        };
        Run {
            nodes: 2,
            rate: "200 Mbit/s".to_owned(),
            requests_per_second: 2,
            event_seconds: 2.0,
            drain_delay_seconds: 3.0,
            large_bytes: 50_000_000,
            loops: 1,
            interrupted: false,
            events: vec![
                (
                    Event::Quiet,
                    happened(window(0, 2), vec![]),
                    Counters::default(),
                ),
                (
                    Event::Kill,
                    happened(window(2, 4), vec![window(2, 3), window(3, 4)]),
                    counters,
                ),
            ],
            records: vec![
                record(0, 0, 1, Outcome::Good),
                record(500, 1, 2, Outcome::Good),
                record(2000, 0, 2, Outcome::Good),
                record(2500, 1, 2, Outcome::Status(503)),
                record(3000, 0, 1, Outcome::Good),
                record(3500, 1, 2, Outcome::Good),
            ],
            downloads: vec![Download {
                tool: Tool::Curl,
                window: window(1, 3),
                resumes: 1,
                attempts: 2,
                is_equal: true,
            }],
        }
    }

    #[test]
    fn an_event_has_what_ended_in_it() {
        let figures = made_up().figures();
        let kill = &figures[1];
        assert_eq!((figures[0].requests, kill.requests), (2, 4));
        assert_eq!(
            kill.failures,
            BTreeMap::from([("status 503".to_owned(), 1)])
        );
        assert_eq!(
            (figures[0].downloads, kill.downloads, kill.resumes),
            (0, 1, 1)
        );
        // Half of the keys in the first turn, none in the second.
        assert_eq!(
            (figures[0].keys_moved, kill.keys_moved),
            (Some(0.0), Some(0.25))
        );
        assert_eq!(made_up().faults(), 1);
    }

    #[test]
    fn the_table_has_a_row_for_each_event() {
        let text = made_up().markdown();
        let row = "| SIGKILL and restart, each node | 2.0 | 4 | 1 (1 × status 503) | 4, 3 | 0 | 25.0 % | 25.0 % | \
                   10.0 | 10 | 10 | 1 | 1 | equal |\n";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| quiet | 2.0 | 2 | 0 | 0, 0 |"), "{text}");
        let columns: Vec<usize> = text
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.matches('|').count())
            .collect();
        assert_eq!(columns, [15; 4], "{text}");
    }

    #[test]
    fn each_line_is_an_object_with_a_type() {
        let about = About {
            date: "2026-01-01T00:00:00Z".to_owned(),
            commit: "abc".to_owned(),
            command: "cargo xtask fleet".to_owned(),
            machine: "a machine".to_owned(),
        };
        let text = made_up().json_lines(&about);
        let types: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .map(|value| value["type"].as_str().expect("a type").to_owned())
            .collect();
        let seconds = ["second"; 4];
        assert_eq!(
            types,
            [&["run", "event", "event"][..], &seconds, &["download"]].concat()
        );
    }
}
