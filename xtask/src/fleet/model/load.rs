//! Requests over time: which node serves each, and how many are under way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::cost::Costs;
use super::ring::{Loads, Ring};
use super::trace::Catalogue;

/// How fast requests come, and how long they take.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Traffic {
    /// Requests a second, for each node
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(super) node_requests: u64,

    /// Bandwidth of a client in Mbit/s
    #[arg(long, value_name = "MBIT", default_value_t = 50.0)]
    pub(super) client_mbit: f64,

    /// Time of a response without the bytes, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5.0)]
    pub(super) response_ms: f64,

    /// Seconds that are looked at. Before them, load builds up for as long, or for the longest download
    #[arg(long, value_name = "S", default_value_t = 10)]
    pub(super) seconds: u64,

    /// Requests that are looked at, at least
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    pub(super) requests_min: u64,
}

/// What each node did.
#[derive(Debug)]
pub(super) struct Outcome {
    nodes: Vec<Node>,
    /// Requests for the most popular object at each node.
    hot: Vec<u64>,
    /// Requests that went to another node, because the node of their key had too many.
    passed_on: u64,
    seconds: f64,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// Requests that began within the time that is looked at.
    requests: u64,
    /// What was sent within that time.
    bytes: f64,
    cpu_seconds: f64,
    /// Sum over requests of the seconds of that time in which they were under way.
    busy_seconds: f64,
    under_way_max: u32,
}

impl Traffic {
    /// Seconds that a response takes.
    pub(super) fn duration(&self, bytes: u64) -> f64 {
        self.response_ms / 1e3 + bytes as f64 * 8.0 / (self.client_mbit * 1e6)
    }

    /// Seconds of the longest download.
    pub(super) fn longest(&self, catalogue: &Catalogue) -> f64 {
        let most = catalogue.objects.iter().map(|object| object.bytes).max();
        self.duration(most.unwrap_or_default())
    }

    /// Requests a second at a number of nodes.
    pub(super) fn rate(&self, nodes: usize) -> f64 {
        (self.node_requests * nodes as u64) as f64
    }

    /// How many requests come before the time that is looked at, and within it. A download that began before is sent in
    /// it too.
    pub(super) fn counts(&self, catalogue: &Catalogue, nodes: usize) -> (u64, u64) {
        let rate = self.rate(nodes);
        let count = self.requests_min.max((rate * self.seconds as f64) as u64);
        let before = count.max((rate * self.longest(catalogue)).ceil() as u64);
        (before, count)
    }

    /// Sends the requests of the catalogue to a ring, at the rate of `rate_nodes` nodes.
    pub(super) fn run(
        &self,
        catalogue: &Catalogue,
        ring: &Ring,
        factor: u32,
        costs: &Costs,
        rate_nodes: usize,
    ) -> Outcome {
        let rate = self.rate(rate_nodes);
        let (before, count) = self.counts(catalogue, rate_nodes);
        let moment = |number: u64| number as f64 / rate;
        let (from, to) = (moment(before), moment(before + count));
        let mut nodes = vec![Node::default(); ring.nodes()];
        let mut hot = vec![0; ring.nodes()];
        let mut passed_on = 0;
        let mut loads = Loads::new(ring.nodes(), factor);
        // Ends of requests in nanoseconds, with their nodes.
        let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let requests = catalogue.requests().take((before + count) as usize);
        for (number, object) in (0_u64..).zip(requests) {
            let begin = moment(number);
            let now = (begin * 1e9) as u64;
            while let Some(Reverse((end, node))) = ends.peek().copied()
                && end <= now
            {
                ends.pop();
                loads.end(node);
            }
            let is_hot = object == 0;
            let object = &catalogue.objects[object];
            let chosen = ring.node_with_room(object.key, &loads);
            loads.begin(chosen);
            let seconds = self.duration(object.bytes);
            ends.push(Reverse((now + (seconds * 1e9) as u64, chosen)));
            let within = ((begin + seconds).min(to) - begin.max(from)).max(0.0);
            let node = &mut nodes[chosen];
            node.bytes += object.bytes as f64 * within / seconds;
            node.cpu_seconds += costs.response_seconds(object.bytes) * within / seconds;
            node.busy_seconds += within;
            if number >= before {
                node.requests += 1;
                node.under_way_max = node.under_way_max.max(loads.served()[chosen]);
                hot[chosen] += u64::from(is_hot);
                passed_on += u64::from(chosen != ring.node(object.key));
            }
        }
        Outcome {
            nodes: ring.nodes_up().map(|node| nodes[node].clone()).collect(),
            hot,
            passed_on,
            seconds: to - from,
        }
    }
}

impl Outcome {
    /// Requests of each node that is up.
    pub(super) fn requests(&self) -> impl Iterator<Item = u64> + '_ {
        self.nodes.iter().map(|node| node.requests)
    }

    /// Requests that went to another node than that of their key.
    pub(super) fn passed_on(&self) -> u64 {
        self.passed_on
    }

    /// The largest share of the requests, divided by the mean.
    pub(super) fn requests_skew(&self) -> f64 {
        skew(self.nodes.iter().map(|node| node.requests as f64))
    }

    pub(super) fn bytes_skew(&self) -> f64 {
        skew(self.nodes.iter().map(|node| node.bytes))
    }

    /// Most requests under way at one node at any time, divided by the mean over nodes and time.
    pub(super) fn under_way_skew(&self) -> f64 {
        let most = self.nodes.iter().map(|node| node.under_way_max).max();
        f64::from(most.unwrap_or(0)) / self.under_way_mean()
    }

    /// Requests under way at a node, on average.
    pub(super) fn under_way_mean(&self) -> f64 {
        let busy: f64 = self.nodes.iter().map(|node| node.busy_seconds).sum();
        busy / self.seconds / self.nodes.len() as f64
    }

    /// Gbit/s of a node, on average.
    pub(super) fn gbit_mean(&self) -> f64 {
        let bytes: f64 = self.nodes.iter().map(|node| node.bytes).sum();
        bytes * 8.0 / 1e9 / self.seconds / self.nodes.len() as f64
    }

    /// CPU time of zc-server in each second at a node, on average and at most.
    pub(super) fn cores(&self) -> (f64, f64) {
        let each = self
            .nodes
            .iter()
            .map(|node| node.cpu_seconds / self.seconds);
        let most = each.clone().fold(0.0, f64::max);
        (each.sum::<f64>() / self.nodes.len() as f64, most)
    }

    /// The share of the most popular object in all requests.
    pub(super) fn hot_share(&self) -> f64 {
        let all: u64 = self.nodes.iter().map(|node| node.requests).sum();
        self.hot.iter().sum::<u64>() as f64 / all as f64
    }

    /// The fewest nodes that together served nine tenths of the requests for the most popular object.
    pub(super) fn hot_nodes(&self) -> usize {
        let mut counts = self.hot.clone();
        counts.sort_unstable_by_key(|count| Reverse(*count));
        let most = counts.iter().sum::<u64>() as f64 * 0.9;
        let mut sum = 0;
        let reaches = |count: &u64| {
            sum += count;
            sum as f64 >= most
        };
        counts.iter().position(reaches).map_or(0, |last| last + 1)
    }
}

/// The largest of some values, divided by their mean.
pub(super) fn skew(values: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let count = values.len() as f64;
    let most = values.clone().fold(0.0, f64::max);
    most * count / values.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::super::trace::tests::shape;
    use super::*;

    fn outcome(factor: u32) -> Outcome {
        let traffic = Traffic {
            node_requests: 500,
            client_mbit: 10.0,
            response_ms: 5.0,
            seconds: 1,
            requests_min: 20_000,
        };
        let catalogue = Catalogue::new(&shape()).expect("a catalogue");
        let costs = Costs::of_the_book().expect("costs");
        traffic.run(&catalogue, &Ring::new(20), factor, &costs, 20)
    }

    #[test]
    fn bounded_loads_spread_a_popular_object_and_limit_each_node() {
        let (without, with) = (outcome(0), outcome(150));
        assert_eq!(without.hot_nodes(), 1);
        assert!((0.12..0.15).contains(&without.hot_share()));
        // An object with 2.7 times the mean load of a node.
        assert!(
            without.under_way_skew() > 2.7,
            "{}",
            without.under_way_skew()
        );
        assert!(with.hot_nodes() >= 2, "{}", with.hot_nodes());
        assert!(with.under_way_skew() < 1.8, "{}", with.under_way_skew());
        assert_eq!(without.passed_on, 0);
        assert!(
            (1_000..10_000).contains(&with.passed_on),
            "{}",
            with.passed_on
        );
        assert!(with.requests_skew() < without.requests_skew());
        assert!((with.under_way_mean() - without.under_way_mean()).abs() < 0.1);
    }

    #[test]
    fn bytes_of_long_downloads_are_bounded_as_their_requests_are() {
        // The largest objects take 21 s, far longer than the time that is looked at.
        let traffic = Traffic {
            node_requests: 20,
            client_mbit: 0.4,
            response_ms: 5.0,
            seconds: 1,
            requests_min: 400,
        };
        let catalogue = Catalogue::new(&shape()).expect("a catalogue");
        let costs = Costs::of_the_book().expect("costs");
        let run = |ring: &Ring| traffic.run(&catalogue, ring, 150, &costs, 20);
        let (all, fewer) = (run(&Ring::new(20)), run(&Ring::without(20, &[0, 1])));
        for outcome in [&all, &fewer] {
            assert!(outcome.bytes_skew() < 1.6, "{}", outcome.bytes_skew());
        }
        // Capacity never rises when a rack goes.
        assert!(18.0 / fewer.bytes_skew() < 20.0 / all.bytes_skew());
        // What is sent is what clients receive.
        let gbit = all.under_way_mean() * 0.4e-3;
        assert!((all.gbit_mean() / gbit - 1.0).abs() < 0.02);
    }

    #[test]
    fn skew_is_the_largest_by_the_mean() {
        assert!((skew([1.0, 2.0, 3.0].into_iter()) - 1.5).abs() < 1e-9);
    }
}
