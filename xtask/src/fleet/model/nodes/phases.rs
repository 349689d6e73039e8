//! Requests one after the other, through a quiet time, a node that drains, a node that is killed, and its return.
//!
//! With one request under way, bounded loads change nothing, so that each choice of HAProxy follows from the ring
//! and from the time.

use std::time::Duration;

use super::super::check::{Agreement, Line};
use super::super::forecast::Operation;
use super::super::ring::Ring;
use super::super::trace::Catalogue;
use super::cluster::{Answer, Backend, Cluster};
use super::tally::{Homes, Tally, compare};

/// Requests a second.
pub(super) const RATE: f64 = 500.0;
/// Seconds of requests in the quiet time, and from each event on.
const QUIET_SECONDS: f64 = 10.0;
const EVENT_SECONDS: f64 = 6.0;
/// When a node is drained or killed, in parts of the interval since its last check.
const AT: f64 = 0.5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Quiet,
    /// A node got SIGTERM, and goes on answering for its drain delay.
    Drained,
    /// It is back.
    BackFromDrain,
    /// A node got SIGKILL.
    Killed,
    BackFromKill,
}

impl Phase {
    const ALL: [Self; 5] = [
        Self::Quiet,
        Self::Drained,
        Self::BackFromDrain,
        Self::Killed,
        Self::BackFromKill,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Drained => "a node drains",
            Self::BackFromDrain => "it is back",
            Self::Killed => "a node is killed",
            Self::BackFromKill => "it is back from the kill",
        }
    }
}

/// What the model knows of a phase.
pub(super) struct Forecast {
    phase: Phase,
    all: Ring,
    fewer: Ring,
    victim: usize,
    /// Seconds until HAProxy takes the node out.
    out: f64,
}

impl Forecast {
    fn new(phase: Phase, nodes: usize, victim: usize, operation: &Operation) -> Self {
        Self {
            phase,
            all: Ring::new(nodes),
            fewer: Ring::without(nodes, &[victim]),
            victim,
            out: operation.outage_seconds(AT * operation.inter),
        }
    }

    /// The node that answers a request for a key, which is due so many seconds after the event.
    fn node(&self, key: u32, due: f64) -> usize {
        match self.phase {
            Phase::Drained | Phase::Killed if due >= self.out => self.fewer.node(key),
            // HAProxy finds out by the request itself, and asks another node.
            Phase::Killed => self.all.node_but(key, self.victim),
            Phase::Quiet | Phase::Drained | Phase::BackFromDrain | Phase::BackFromKill => {
                self.all.node(key)
            }
        }
    }
}

/// Figures of all phases, and the largest lateness of a request in seconds.
pub(super) fn compare_all(
    cluster: &mut Cluster,
    catalogue: &Catalogue,
    operation: &Operation,
    agreement: &mut Agreement,
) -> anyhow::Result<(Vec<(&'static str, Line)>, f64)> {
    let victim = cluster.count() / 2;
    let mut requests = catalogue.requests();
    let mut lines = Vec::new();
    let mut homes = [Homes::new(), Homes::new()];
    let mut late: f64 = 0.0;
    for phase in Phase::ALL {
        let seconds = match phase {
            Phase::Quiet => QUIET_SECONDS,
            _ => EVENT_SECONDS,
        };
        begin(cluster, phase, victim, operation)?;
        let mut client = cluster.client(Backend::Deployed)?;
        let answers = client.send(catalogue, &mut requests, RATE, seconds)?;
        late = answers
            .iter()
            .map(|answer| answer.late)
            .fold(late, f64::max);
        let forecast = Forecast::new(phase, cluster.count(), victim, operation);
        let [model, seen] = judge(&forecast, catalogue, &answers, &mut homes, agreement);
        let of_the_phase = compare(&model, &seen).into_iter();
        lines.extend(of_the_phase.map(|line| (phase.title(), line)));
    }
    Ok((lines, late))
}

/// Has happen what a phase begins with.
fn begin(
    cluster: &mut Cluster,
    phase: Phase,
    victim: usize,
    operation: &Operation,
) -> anyhow::Result<()> {
    match phase {
        Phase::Quiet => {}
        Phase::Drained | Phase::Killed => {
            let checked = cluster.restart(victim, Backend::Deployed)?;
            // Half an interval after the check that follows.
            let since = Duration::from_secs_f64(operation.inter * (1.0 + AT));
            cluster.wait_for(checked + since)?;
            match phase {
                Phase::Drained => cluster.drain(victim)?,
                _ => cluster.kill(victim)?,
            }
        }
        Phase::BackFromDrain | Phase::BackFromKill => {
            cluster.revive(victim, Backend::Deployed)?;
        }
    }
    Ok(())
}

/// Counts what the model says and what was seen. In the quiet time it fills in the homes of both.
fn judge(
    forecast: &Forecast,
    catalogue: &Catalogue,
    answers: &[Answer],
    homes: &mut [Homes; 2],
    agreement: &mut Agreement,
) -> [Tally; 2] {
    let mut tallies = [(); 2].map(|()| Tally::new(forecast.all.nodes()));
    for answer in answers {
        let object = answer.object;
        let node = forecast.node(catalogue.objects[object].key, answer.due);
        agreement.add(node, answer.node);
        let both = tallies.iter_mut().zip([Some(node), answer.node]);
        for ((tally, node), homes) in both.zip(homes.iter_mut()) {
            if let (Phase::Quiet, Some(node)) = (forecast.phase, node) {
                homes.entry(object).or_insert(node);
            }
            tally.add(object, node, homes);
        }
    }
    tallies
}

#[cfg(test)]
mod tests {
    use super::super::super::forecast::tests::operation;
    use super::super::super::trace::tests::shape;
    use super::*;

    fn forecast(phase: Phase) -> Forecast {
        Forecast::new(phase, 6, 3, &operation())
    }

    #[test]
    fn a_node_has_its_keys_until_it_is_taken_out() {
        let catalogue = Catalogue::new(&shape()).expect("a catalogue");
        let keys = || catalogue.objects.iter().map(|object| object.key);
        let all = Ring::new(6);
        let answers = |phase, due: f64| {
            let forecast = forecast(phase);
            keys().filter(|key| forecast.node(*key, due) == 3).count()
        };
        let own = keys().filter(|key| all.node(*key) == 3).count();
        // Half a second until the check that fails, and half a second until the second one.
        for (phase, before, after) in [
            (Phase::Quiet, own, own),
            (Phase::Drained, own, 0),
            (Phase::Killed, 0, 0),
            (Phase::BackFromKill, own, own),
        ] {
            assert_eq!(answers(phase, 0.99), before, "{phase:?}");
            assert_eq!(answers(phase, 1.0), after, "{phase:?}");
        }
    }

    #[test]
    fn what_is_as_foretold_differs_by_nothing() {
        let catalogue = Catalogue::new(&shape()).expect("a catalogue");
        let mut homes = [Homes::new(), Homes::new()];
        let mut agreement = Agreement::default();
        for phase in Phase::ALL {
            let forecast = forecast(phase);
            let answer = |(number, object): (u32, usize)| Answer {
                object,
                due: f64::from(number) / RATE,
                late: 0.0,
                node: Some(forecast.node(catalogue.objects[object].key, f64::from(number) / RATE)),
            };
            let answers: Vec<Answer> = (0..2_000).zip(catalogue.requests()).map(answer).collect();
            let [model, seen] = judge(&forecast, &catalogue, &answers, &mut homes, &mut agreement);
            let lines = compare(&model, &seen);
            assert!(
                lines.iter().all(|line| line.difference() == 0.0),
                "{lines:?}"
            );
            let moved = lines[2].model;
            // A sixth of the keys.
            let is_moved = matches!(phase, Phase::Drained | Phase::Killed);
            assert_eq!(
                is_moved,
                (10.0..25.0).contains(&moved),
                "{phase:?}: {moved}"
            );
        }
        assert_eq!((agreement.compared, agreement.mismatches), (10_000, 0));
    }
}
