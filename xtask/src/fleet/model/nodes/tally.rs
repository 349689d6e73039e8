//! What is compared of requests: shares of nodes, objects that moved, and failed requests.

use std::collections::{BTreeMap, BTreeSet};

use super::super::check::Line;

/// The node of each object in the quiet time.
pub(super) type Homes = BTreeMap<usize, usize>;

/// Requests, as the model has them or as they were.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// Answers of each node.
    answers: Vec<u64>,
    failed: u64,
    asked: BTreeSet<usize>,
    moved: BTreeSet<usize>,
}

impl Tally {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            answers: vec![0; nodes],
            failed: 0,
            asked: BTreeSet::new(),
            moved: BTreeSet::new(),
        }
    }

    /// Counts a request for an object. No node: it failed. What has no home was not asked for in the quiet time.
    pub(super) fn add(&mut self, object: usize, node: Option<usize>, homes: &Homes) {
        let Some(answers) = node.and_then(|node| self.answers.get_mut(node)) else {
            self.failed += 1;
            return;
        };
        *answers += 1;
        if let Some(home) = homes.get(&object) {
            self.asked.insert(object);
            if node != Some(*home) {
                self.moved.insert(object);
            }
        }
    }

    /// How many requests failed.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    fn shares(&self) -> Vec<f64> {
        let all = self.answers.iter().sum::<u64>().max(1);
        let share = |count: &u64| *count as f64 / all as f64 * 100.0;
        self.answers.iter().map(share).collect()
    }

    /// The share of the objects that moved, in percent.
    fn moved(&self) -> f64 {
        self.moved.len() as f64 / self.asked.len().max(1) as f64 * 100.0
    }
}

/// The largest share, and that of the node which differs most.
pub(super) fn compare_shares(model: &Tally, seen: &Tally) -> Vec<Line> {
    let (model, seen) = (model.shares(), seen.shares());
    let most = |shares: &[f64]| shares.iter().copied().fold(0.0, f64::max);
    let mut lines = vec![Line::new(
        "largest share of a node, % of the requests",
        most(&model),
        most(&seen),
    )];
    let each = (1..)
        .zip(model.iter().zip(&seen))
        .map(|(number, (model, seen))| {
            Line::new(
                format!("share that deviates most, node {number}, %"),
                *model,
                *seen,
            )
        });
    lines.extend(each.max_by(|a, b| a.difference().total_cmp(&b.difference())));
    lines
}

/// All figures.
pub(super) fn compare(model: &Tally, seen: &Tally) -> Vec<Line> {
    let mut lines = compare_shares(model, seen);
    lines.push(Line::new("keys moved, %", model.moved(), seen.moved()));
    lines.push(Line::new(
        "failed requests",
        model.failed as f64,
        seen.failed as f64,
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_requests() {
        let homes = Homes::from([(0, 0), (1, 1)]);
        let (mut model, mut seen) = (Tally::new(2), Tally::new(2));
        for (object, node) in [(0, 0), (0, 0), (1, 1), (9, 1)] {
            model.add(object, Some(node), &homes);
        }
        for (object, node) in [(0, Some(0)), (0, Some(1)), (1, Some(1)), (9, None)] {
            seen.add(object, node, &homes);
        }
        let lines = compare(&model, &seen);
        let figures: Vec<(f64, f64)> = lines
            .iter()
            .map(|line| (line.model, line.measured))
            .collect();
        let [most, differs, moved, failed] = figures[..] else {
            panic!("{lines:?}");
        };
        assert_eq!((most.0, moved, failed), (50.0, (0.0, 50.0), (0.0, 1.0)));
        assert!((most.1 - 200.0 / 3.0).abs() < 1e-9);
        // Both differ by a third; the last of the largest is named.
        assert_eq!(differs.0, 50.0);
    }

    #[test]
    fn a_node_without_requests_differs_only_where_it_has_some() {
        let homes = Homes::new();
        let (mut model, mut seen) = (Tally::new(2), Tally::new(2));
        model.add(0, Some(0), &homes);
        seen.add(0, Some(0), &homes);
        let differs = |model: &Tally, seen: &Tally| compare_shares(model, seen)[1].difference();
        assert_eq!(differs(&model, &seen), 0.0);
        seen.add(0, Some(1), &homes);
        assert!(differs(&model, &seen).is_infinite());
    }
}
