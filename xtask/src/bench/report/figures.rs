//! The figures of a report: medians of samples, and ratios by round.

use std::fmt;

use super::badge::Badge;
use super::numbers::decimals;
use crate::bench::peers::{OURS, is_ours};
use crate::bench::results::{Cold, Load, Results, Sample};
use crate::bench::scenarios::{SCENARIOS, Scenario};
use crate::bench::stats::{Spread, ratios, spread};

/// A figure of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// CPU time of the server for each response, in microseconds.
    CpuPerResponse,
    /// CPU time of the server for each GB (10⁹ bytes) of bodies, in seconds.
    CpuPerGb,
    /// The same of the cores of server and client together, whoever was at work there: what the client's
    /// acknowledgements have the server's side of the kernel do is done on the client's core.
    MachineCpuPerGb,
    ResponsesPerSecond,
    /// GB of bodies.
    BytesPerSecond,
    /// Latency at the median and at the 99th and 99.9th percentile, in milliseconds.
    P50,
    P99,
    P999,
}

impl Figure {
    /// What a scenario costs: CPU for each byte where files are large, for each request elsewhere.
    pub(crate) fn cost_of(scenario: &str) -> Self {
        let mut scenarios = SCENARIOS.iter();
        if scenarios.any(|other| other.id == scenario && other.is_bulk) {
            Self::CpuPerGb
        } else {
            Self::CpuPerResponse
        }
    }

    /// What the whole machine does for it, where that is told: by TLS the client deciphers at a cost of
    /// its own.
    pub(crate) fn machine_of(scenario: &Scenario) -> Option<Self> {
        (scenario.is_bulk && scenario.tls.is_none()).then_some(Self::MachineCpuPerGb)
    }

    /// What two runs are compared by: bytes count where files are large, requests where they are not.
    pub(crate) fn compared(scenario: &Scenario) -> Vec<Self> {
        let cost = Self::cost_of(scenario.id);
        let machine = Self::machine_of(scenario);
        let all = [cost].into_iter().chain(machine);
        all.chain([Self::ResponsesPerSecond, Self::P99]).collect()
    }

    /// The unit in which people read it.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::CpuPerResponse => "µs of CPU/request",
            Self::CpuPerGb => "s of CPU/GB",
            Self::MachineCpuPerGb => "s of CPU of the whole machine/GB",
            Self::ResponsesPerSecond => "requests/s",
            Self::BytesPerSecond => "GB/s",
            Self::P50 => "p50, ms",
            Self::P99 => "p99, ms",
            Self::P999 => "p99.9, ms",
        }
    }

    /// In that unit.
    pub(crate) fn of(self, sample: &Sample) -> f64 {
        let load = &sample.load;
        match self {
            // Who did nothing was not looked at in time.
            Self::CpuPerResponse | Self::CpuPerGb if sample.server_cpu_seconds <= 0.0 => f64::NAN,
            Self::CpuPerResponse => sample.server_cpu_seconds * 1e6 / load.responses as f64,
            Self::CpuPerGb => sample.server_cpu_seconds * 1e9 / load.body_bytes as f64,
            Self::MachineCpuPerGb => {
                let busy_seconds = sample.machine_cpu_seconds.unwrap_or(f64::NAN);
                busy_seconds * 1e9 / load.body_bytes as f64
            }
            // Nothing has a latency that has not ended.
            Self::P50 | Self::P99 | Self::P999 if load.responses + load.unanswered == 0 => f64::NAN,
            Self::ResponsesPerSecond => load.responses as f64 / load.seconds,
            Self::BytesPerSecond => load.body_bytes as f64 / 1e9 / load.seconds,
            Self::P50 => ms(load.p50_ns),
            Self::P99 => ms(load.p99_ns),
            Self::P999 => ms(load.p999_ns),
        }
    }
}

/// The samples of one server in one scenario.
pub(crate) fn samples<'r>(
    results: &'r Results,
    scenario: &'r str,
    server: &'r str,
) -> impl Iterator<Item = &'r Sample> {
    results
        .samples
        .iter()
        .filter(move |sample| sample.scenario == scenario && sample.server == server)
        // Without a response there is nothing to divide by.
        .filter(|sample| sample.load.responses > 0 || sample.load.body_bytes > 0)
}

/// The servers that were measured in a scenario, ours first, in the order of the run.
pub(crate) fn servers(results: &Results, scenario: &str) -> Vec<String> {
    let samples = results.samples.iter();
    let samples = samples.filter(|sample| sample.scenario == scenario);
    let mut names = unique(samples.map(|sample| &sample.server));
    names.sort_by_key(|name| {
        let place = (name != OURS.name, !is_ours(name), !is_floor(name));
        (place, name.clone())
    });
    names
}

/// Each name once, in the order in which they come.
fn unique<'n>(all: impl Iterator<Item = &'n String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in all {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// A figure over all rounds.
pub(crate) fn figure(
    results: &Results,
    scenario: &str,
    server: &str,
    figure: Figure,
) -> Option<Spread> {
    spread(samples(results, scenario, server).map(|sample| figure.of(sample)))
}

/// Ours over another's, round by round.
pub(crate) fn ours_over(
    results: &Results,
    scenario: &str,
    server: &str,
    figure: Figure,
) -> Option<Spread> {
    let by_round = |name| -> Vec<(u32, f64)> {
        samples(results, scenario, name)
            .map(|sample| (sample.round, figure.of(sample)))
            .collect()
    };
    ratios(&by_round(OURS.name), &by_round(server))
}

/// Whether a server only shows what the work takes at least.
pub(crate) fn is_floor(server: &str) -> bool {
    server.starts_with("floor")
}

/// Ours beside one other server.
#[derive(Debug, Clone)]
pub(crate) struct Against {
    pub(crate) server: String,
    pub(crate) ratio: Spread,
}

impl Against {
    pub(crate) fn badge(&self) -> Badge {
        Badge::of(&self.ratio)
    }
}

/// What one scenario is judged by.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    pub(crate) scenario: &'static Scenario,
    pub(crate) figure: Figure,
    pub(crate) ours: Spread,
    pub(crate) floor: Option<Against>,
    pub(crate) best_other: Option<Against>,
}

impl Goal {
    /// The scenario in few words, and what is compared if it is not the cost.
    pub(crate) fn label(&self) -> String {
        let what = match self.figure {
            Figure::P99 => " p99",
            Figure::MachineCpuPerGb => " machine",
            _ => "",
        };
        format!("{}{what}", label(self.scenario))
    }
}

/// A scenario in few words: the size, and what is special.
pub(crate) fn label(scenario: &Scenario) -> String {
    let size: Vec<&str> = scenario.title.split(' ').take(2).collect();
    let mut label = size.join(" ").trim_end_matches(',').to_owned();
    if let Some((_, special)) = scenario.id.split_once('-') {
        label.push(' ');
        label.push_str(special);
    }
    label
}

/// The goals of every scenario that was measured: what it costs, of long bodies also what the whole
/// machine does for it, and the tail where the rate is fixed.
pub(crate) fn goals(results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    for scenario in &SCENARIOS {
        let cost = Figure::cost_of(scenario.id);
        let machine = Figure::machine_of(scenario);
        let tail = scenario.is_paced().then_some(Figure::P99);
        for of in std::iter::once(cost).chain(machine).chain(tail) {
            let Some(ours) = figure(results, scenario.id, OURS.name, of) else {
                continue;
            };
            goals.push(Goal {
                scenario,
                figure: of,
                ours,
                floor: against_best(results, scenario.id, of, is_floor),
                best_other: against_best(results, scenario.id, of, |name| {
                    !is_floor(name) && !is_ours(name)
                }),
            });
        }
    }
    goals
}

/// Ours beside the one of some servers whose median is least.
fn against_best(
    results: &Results,
    scenario: &str,
    of: Figure,
    is_meant: impl Fn(&str) -> bool,
) -> Option<Against> {
    let (server, _) = servers(results, scenario)
        .into_iter()
        .filter(|name| is_meant(name))
        .filter_map(|name| Some((name.clone(), figure(results, scenario, &name, of)?)))
        .min_by(|(_, a), (_, b)| a.median.total_cmp(&b.median))?;
    Some(Against {
        ratio: ours_over(results, scenario, &server, of)?,
        server,
    })
}

/// The servers of the cold section, ours first.
pub(crate) fn cold_servers(results: &Results, beside: &str) -> Vec<String> {
    let cold = results.cold.iter().filter(|cold| cold.beside == beside);
    let mut names = unique(cold.map(|cold| &cold.server));
    names.sort_by_key(|name| name != OURS.name);
    names
}

/// A figure of the cold section over all rounds.
pub(crate) fn cold_figure(
    results: &Results,
    beside: &str,
    server: &str,
    figure: impl Fn(&Cold) -> f64,
) -> Option<Spread> {
    let cold = results.cold.iter();
    let cold = cold.filter(|cold| cold.beside == beside && cold.server == server);
    spread(cold.map(figure))
}

/// The p99 of small requests by themselves, and beside others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tails {
    /// Milliseconds.
    pub(crate) alone_ms: Option<f64>,
    pub(crate) beside: Tail,
}

/// The p99 of small requests beside others, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Tail {
    Answered(f64),
    /// Some requests had no answer at the end, and would have waited longer.
    AtLeast(f64),
    /// Fewer than half had one: a latency would be one of waiting for nothing.
    NoAnswer,
}

impl Tail {
    pub(crate) fn ms(self) -> Option<f64> {
        match self {
            Self::Answered(ms) | Self::AtLeast(ms) => Some(ms),
            Self::NoAnswer => None,
        }
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(ms) => f.write_str(&decimals(*ms)),
            Self::AtLeast(ms) => write!(f, "≥ {}", decimals(*ms)),
            Self::NoAnswer => f.write_str("no answer"),
        }
    }
}

/// The medians of a server beside some others.
pub(crate) fn tails(results: &Results, beside: &str, server: &str) -> Tails {
    let median =
        |of: fn(&Cold) -> f64| cold_figure(results, beside, server, of).map(|spread| spread.median);
    let answered = median(|cold| answered_part(&cold.together)).unwrap_or(0.0);
    let beside = match median(|cold| ms(cold.together.p99_ns)) {
        Some(ms) if answered >= 0.99 => Tail::Answered(ms),
        Some(ms) if answered >= 0.5 => Tail::AtLeast(ms),
        _ => Tail::NoAnswer,
    };
    Tails {
        alone_ms: median(|cold| ms(cold.alone.p99_ns)),
        beside,
    }
}

/// A latency in milliseconds.
pub(crate) fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// The part of the requests that had an answer.
pub(crate) fn answered_part(load: &Load) -> f64 {
    load.responses as f64 / (load.responses + load.unanswered).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{add_samples, empty};

    #[test]
    fn a_variant_of_ours_stands_behind_ours_and_is_no_other_server() {
        let mut results = empty();
        let measured = [
            ("nginx", 14.0),
            ("floor: one send", 8.0),
            ("zc (bodies off)", 12.0),
            ("zc", 10.0),
        ];
        for (server, cpu_us) in measured {
            add_samples(&mut results, "1k", server, cpu_us, 5);
        }
        let expected = ["zc", "zc (bodies off)", "floor: one send", "nginx"];
        assert_eq!(servers(&results, "1k"), expected);
        let goal = &goals(&results)[0];
        let best = goal.best_other.as_ref().expect("another");
        assert_eq!(best.server, "nginx");
    }

    #[test]
    fn a_long_body_is_compared_with_the_floor_that_costs_less() {
        let (more, cork) = ("floor: MORE + sendfile", "floor: cork + sendfile");
        for (of_more, of_cork, expected) in [(14.0, 12.0, cork), (11.0, 12.0, more)] {
            let mut results = empty();
            for (server, cpu_us) in [("zc", 10.0), (more, of_more), (cork, of_cork)] {
                add_samples(&mut results, "video", server, cpu_us, 5);
            }
            for goal in goals(&results) {
                assert_eq!(goal.floor.expect("a floor").server, expected);
            }
        }
    }

    #[test]
    fn what_the_whole_machine_does_is_told_of_long_bodies_where_it_was_looked_at() {
        let mut results = empty();
        for scenario in ["1k", "video"] {
            add_samples(&mut results, scenario, "zc", 10.0, 3);
        }
        let of = |results: &Results| -> Vec<Figure> {
            goals(results).iter().map(|goal| goal.figure).collect()
        };
        let cost = [Figure::CpuPerResponse, Figure::CpuPerGb];
        assert_eq!(of(&results), [cost[0], cost[1], Figure::MachineCpuPerGb]);
        let sample = &results.samples[3];
        let ratio = Figure::MachineCpuPerGb.of(sample) / Figure::CpuPerGb.of(sample);
        assert_eq!(ratio, 2.0);
        for sample in &mut results.samples {
            sample.machine_cpu_seconds = None;
        }
        assert_eq!(of(&results), cost);
    }

    #[test]
    fn where_nothing_was_seen_there_is_no_figure() {
        let mut results = empty();
        add_samples(&mut results, "video", "zc", 10.0, 1);
        let sample = &mut results.samples[0];
        (sample.load.responses, sample.load.p50_ns) = (0, 0);
        assert!(Figure::P50.of(sample).is_nan());
        assert!(Figure::CpuPerGb.of(sample) > 0.0);
        sample.load.unanswered = 3;
        assert_eq!(Figure::P50.of(sample), 0.0);
        sample.server_cpu_seconds = 0.0;
        assert!(Figure::CpuPerGb.of(sample).is_nan());
    }
}
