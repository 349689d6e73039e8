//! The figures of a report: medians of samples, and ratios by round.

use crate::bench::peers::OURS;
use crate::bench::results::{Cold, Load, Results, Sample};
use crate::bench::stats::{Spread, ratios, spread};

/// A figure of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// CPU time of the server for each response, in microseconds.
    CpuPerResponse,
    /// CPU time of the server for each GB (10⁹ bytes) of bodies, in seconds.
    CpuPerGb,
    ResponsesPerSecond,
    BytesPerSecond,
    /// Latency at the median and at the 99th and 99.9th percentile, in microseconds.
    P50,
    P99,
    P999,
}

impl Figure {
    pub(crate) fn of(self, sample: &Sample) -> f64 {
        let load = &sample.load;
        match self {
            Self::CpuPerResponse => sample.server_cpu_seconds * 1e6 / load.responses as f64,
            Self::CpuPerGb => sample.server_cpu_seconds * 1e9 / load.body_bytes as f64,
            Self::ResponsesPerSecond => load.responses as f64 / load.seconds,
            Self::BytesPerSecond => load.body_bytes as f64 / load.seconds,
            Self::P50 => load.p50_ns as f64 / 1e3,
            Self::P99 => load.p99_ns as f64 / 1e3,
            Self::P999 => load.p999_ns as f64 / 1e3,
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
    let mut names: Vec<String> = Vec::new();
    for sample in results
        .samples
        .iter()
        .filter(|sample| sample.scenario == scenario)
    {
        if !names.contains(&sample.server) {
            names.push(sample.server.clone());
        }
    }
    names.sort_by_key(|name| (name != OURS.name, !name.starts_with("floor"), name.clone()));
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

/// The servers of the cold section, ours first.
pub(crate) fn cold_servers(results: &Results, beside: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for cold in results.cold.iter().filter(|cold| cold.beside == beside) {
        if !names.contains(&cold.server) {
            names.push(cold.server.clone());
        }
    }
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

/// A latency in milliseconds.
pub(crate) fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Whether requests were left without an answer.
pub(crate) fn answered_part(load: &Load) -> f64 {
    load.responses as f64 / (load.responses + load.unanswered).max(1) as f64
}
