//! What was recorded of each request, and the figures of an event that are computed from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// The status was 200, and each byte was the expected one.
    Good,
    /// The balancer refused the connection.
    Refused,
    /// The connection was closed before the response was complete.
    Cut,
    /// No complete response came within the time limit of the client.
    TimedOut,
    /// The response had another status.
    Status(u16),
    /// The body was that of no release that was valid at that time.
    WrongBytes,
}

impl Outcome {
    /// What it is called in tables.
    pub(super) fn name(self) -> String {
        match self {
            Self::Good => "good".to_owned(),
            Self::Refused => "connection refused".to_owned(),
            Self::Cut => "connection closed".to_owned(),
            Self::TimedOut => "timed out".to_owned(),
            Self::Status(code) => format!("status {code}"),
            Self::WrongBytes => "wrong bytes".to_owned(),
        }
    }
}

/// One request. Times count from the beginning of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// When it was to be sent.
    pub(super) due: Duration,
    /// From then until its last byte came.
    pub(super) latency: Duration,
    /// The number of its path.
    pub(super) key: u16,
    /// The node that answered.
    pub(super) node: Option<u8>,
    pub(super) outcome: Outcome,
    /// Whether it was sent once more, because a connection that had been used before was closed.
    pub(super) repeated: bool,
}

impl Record {
    /// When it ended.
    pub(super) fn ended(&self) -> Duration {
        self.due + self.latency
    }
}

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    pub(super) from: Duration,
    pub(super) to: Duration,
}

impl Window {
    /// Whether a moment is in it.
    pub(super) fn has(self, at: Duration) -> bool {
        self.from <= at && at < self.to
    }

    /// Its length in seconds.
    pub(super) fn seconds(self) -> f64 {
        self.to.saturating_sub(self.from).as_secs_f64()
    }
}

/// The requests that ended in a window.
pub(super) fn ended_in(records: &[Record], window: Window) -> impl Iterator<Item = &Record> {
    records
        .iter()
        .filter(move |record| window.has(record.ended()))
}

/// Failures by their kinds.
pub(super) fn failures(records: &[Record], window: Window) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for record in ended_in(records, window) {
        if record.outcome != Outcome::Good {
            *kinds.entry(record.outcome.name()).or_default() += 1;
        }
    }
    kinds
}

/// Median, 99th percentile and maximum of latencies, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Latency {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

/// The latencies of the requests that ended in a window, those that failed included.
pub(super) fn latency(records: &[Record], window: Window) -> Latency {
    let latencies = ended_in(records, window).map(|record| record.latency);
    let mut sorted: Vec<Duration> = latencies.collect();
    sorted.sort_unstable();
    let at = |share: f64| percentile(&sorted, share).as_secs_f64() * 1e3;
    Latency {
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: at(1.0),
    }
}

/// The least value that a share of all values does not exceed: the nearest rank.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let index = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or_default()
}

/// The node that answers for a key while all is well: the one that answered most often in a window.
pub(super) fn homes(records: &[Record], window: Window) -> BTreeMap<u16, u8> {
    let mut counts: BTreeMap<u16, BTreeMap<u8, u64>> = BTreeMap::new();
    for record in ended_in(records, window) {
        if let Some(node) = record.node {
            *counts
                .entry(record.key)
                .or_default()
                .entry(node)
                .or_default() += 1;
        }
    }
    let most = |nodes: BTreeMap<u8, u64>| {
        let most = nodes.into_iter().max_by_key(|&(_, count)| count);
        most.map(|(node, _)| node)
    };
    let homes = counts.into_iter();
    homes
        .filter_map(|(key, nodes)| Some((key, most(nodes)?)))
        .collect()
}

/// The share of the keys asked for in a window that another node than their home answered at least once.
pub(super) fn keys_moved(
    records: &[Record],
    window: Window,
    homes: &BTreeMap<u16, u8>,
) -> Option<f64> {
    let (mut asked, mut moved) = (BTreeSet::new(), BTreeSet::new());
    for record in ended_in(records, window) {
        let (Some(node), Some(home)) = (record.node, homes.get(&record.key)) else {
            continue;
        };
        asked.insert(record.key);
        if node != *home {
            moved.insert(record.key);
        }
    }
    share(moved.len(), asked.len())
}

/// The share of the answers in a window that came from another node than the home of their key.
pub(super) fn requests_moved(
    records: &[Record],
    window: Window,
    homes: &BTreeMap<u16, u8>,
) -> Option<f64> {
    let (mut all, mut moved) = (0, 0);
    for record in ended_in(records, window) {
        if let (Some(node), Some(home)) = (record.node, homes.get(&record.key)) {
            all += 1;
            moved += usize::from(node != *home);
        }
    }
    share(moved, all)
}

fn share(part: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(ms: u64, latency_ms: u64, key: u16, node: u8) -> Record {
        Record {
            due: Duration::from_millis(ms),
            latency: Duration::from_millis(latency_ms),
            key,
            node: Some(node),
            outcome: Outcome::Good,
            repeated: false,
        }
    }

    fn window(from_ms: u64, to_ms: u64) -> Window {
        Window {
            from: Duration::from_millis(from_ms),
            to: Duration::from_millis(to_ms),
        }
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let records: Vec<Record> = (1..=100).map(|ms| record(0, ms, 0, 1)).collect();
        let found = latency(&records, window(0, 1000));
        assert_eq!(
            (found.p50_ms, found.p99_ms, found.max_ms),
            (50.0, 99.0, 100.0)
        );
        let one = latency(&records[6..7], window(0, 1000));
        assert_eq!((one.p50_ms, one.p99_ms, one.max_ms), (7.0, 7.0, 7.0));
        assert_eq!(latency(&[], window(0, 1000)), Latency::default());
    }

    #[test]
    fn a_request_counts_where_it_ends() {
        let records = [record(0, 5, 0, 1), record(0, 15, 0, 1), record(8, 2, 0, 1)];
        assert_eq!(ended_in(&records, window(0, 10)).count(), 1);
        assert_eq!(ended_in(&records, window(10, 20)).count(), 2);
    }

    #[test]
    fn failures_are_counted_by_kind() {
        let with = |outcome| Record {
            outcome,
            ..record(0, 1, 0, 1)
        };
        let records = [
            with(Outcome::Good),
            with(Outcome::Status(503)),
            with(Outcome::Status(503)),
            with(Outcome::Cut),
        ];
        let found = failures(&records, window(0, 10));
        let expected = [
            ("connection closed".to_owned(), 1),
            ("status 503".to_owned(), 2),
        ];
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn a_key_moves_when_another_node_than_its_home_answers() {
        // The bounds of a node's load send a few requests elsewhere: the home is the most frequent.
        let quiet = [
            record(0, 1, 1, 1),
            record(1, 1, 1, 1),
            record(2, 1, 1, 3),
            record(3, 1, 2, 2),
            record(4, 1, 3, 3),
        ];
        let homes = homes(&quiet, window(0, 10));
        assert_eq!(homes, BTreeMap::from([(1, 1), (2, 2), (3, 3)]));
        let event = [
            record(10, 1, 1, 1),
            record(11, 1, 2, 3),
            record(12, 1, 2, 2),
            record(13, 1, 2, 2),
            // Nothing is known of this key.
            record(14, 1, 9, 2),
        ];
        let during = window(10, 20);
        assert_eq!(keys_moved(&event, during, &homes), Some(0.5));
        assert_eq!(requests_moved(&event, during, &homes), Some(0.25));
        assert_eq!(keys_moved(&event, window(20, 30), &homes), None);
    }
}
