//! What follows from a few figures: errors of a lost node, the time of a roll-out, and capacity.

/// Health checks of `deploy/haproxy/haproxy.cfg`, and how nodes are restarted.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Operation {
    /// Seconds between health checks of a node that is up (inter)
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    pub(super) inter: f64,

    /// Seconds from a failed check to the next one (fastinter)
    #[arg(long, value_name = "S", default_value_t = 0.5)]
    pub(super) fastinter: f64,

    /// Failed checks that take a node out (fall), and passed ones that take it in again (rise)
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(super) checks: u32,

    /// Seconds of --drain-delay
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    drain_delay: f64,

    /// Seconds of --grace-period
    #[arg(long, value_name = "S", default_value_t = 30.0)]
    grace_period: f64,

    /// Seconds from the end of a node until its successor answers
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    start: f64,

    /// Nodes restarted at a time, in percent; at least one
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    batch_percent: usize,

    /// Nodes in a rack, in percent of all; at least one
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    rack_percent: usize,

    /// Network of a node in Gbit/s
    #[arg(long, value_name = "GBIT", default_value_t = 10.0)]
    node_gbit: f64,

    /// Cores of a node
    #[arg(long, value_name = "N", default_value_t = 8.0)]
    node_cores: f64,
}

impl Operation {
    /// Nodes of a rack.
    pub(super) fn rack(&self, nodes: usize) -> usize {
        (nodes * self.rack_percent / 100).clamp(1, nodes.saturating_sub(1).max(1))
    }

    /// Seconds until HAProxy takes out a node that refuses connections, if `since_check` seconds have passed since its
    /// last check.
    pub(super) fn outage_seconds(&self, since_check: f64) -> f64 {
        self.inter - since_check + f64::from(self.checks - 1) * self.fastinter
    }

    /// The same on average: a node dies at any time between two checks.
    pub(super) fn outage_mean_seconds(&self) -> f64 {
        self.outage_seconds(self.inter / 2.0)
    }

    /// Failed requests of a node that is killed, where HAProxy does not retry: those under way, and those that come
    /// until it is taken out.
    pub(super) fn errors(&self, node_requests: f64, under_way: f64) -> f64 {
        node_requests * self.outage_mean_seconds() + under_way
    }

    /// Seconds of a restart of all nodes, batch by batch, where the longest download takes `download_seconds`.
    pub(super) fn roll_out_seconds(&self, nodes: usize, download_seconds: f64) -> f64 {
        let batch = (nodes * self.batch_percent / 100).max(1);
        let wait = download_seconds.min(self.grace_period);
        let taken_in = f64::from(self.checks) * self.fastinter;
        nodes.div_ceil(batch) as f64 * (self.drain_delay + wait + self.start + taken_in)
    }

    /// Gbit/s of a node: what its network has, or its cores, of which each Gbit/s takes `cores_per_gbit`.
    pub(super) fn node_capacity_gbit(&self, cores_per_gbit: f64) -> f64 {
        self.node_gbit.min(self.node_cores / cores_per_gbit)
    }

    /// Gbit/s of `nodes` nodes, where the busiest has `skew` times the mean.
    pub(super) fn capacity_gbit(&self, nodes: usize, cores_per_gbit: f64, skew: f64) -> f64 {
        nodes as f64 * self.node_capacity_gbit(cores_per_gbit) / skew
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn operation() -> Operation {
        Operation {
            inter: 1.0,
            fastinter: 0.5,
            checks: 2,
            drain_delay: 5.0,
            grace_period: 30.0,
            start: 1.0,
            batch_percent: 10,
            rack_percent: 10,
            node_gbit: 10.0,
            node_cores: 8.0,
        }
    }

    fn is_near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-9
    }

    #[test]
    fn errors_are_those_of_half_an_interval_and_of_the_second_check() {
        let operation = operation();
        assert!(is_near(operation.outage_seconds(0.0), 1.5));
        assert!(is_near(operation.outage_seconds(1.0), 0.5));
        assert!(is_near(operation.errors(200.0, 7.0), 207.0));
    }

    #[test]
    fn a_roll_out_waits_for_downloads_but_no_longer_than_the_grace_period() {
        let operation = operation();
        assert!(is_near(operation.roll_out_seconds(3, 10.0), 3.0 * 17.0));
        assert!(is_near(operation.roll_out_seconds(12, 99.0), 12.0 * 37.0));
        assert!(is_near(
            operation.roll_out_seconds(1_000, 10.0),
            10.0 * 17.0
        ));
    }

    #[test]
    fn capacity_is_that_of_the_network_or_of_the_cores() {
        let operation = operation();
        assert!(is_near(operation.capacity_gbit(3, 0.1, 1.5), 20.0));
        assert!(is_near(operation.capacity_gbit(3, 1.6, 1.0), 15.0));
    }

    #[test]
    fn a_rack_is_a_tenth_and_never_all() {
        let operation = operation();
        assert_eq!(
            [1, 3, 12, 100].map(|nodes| operation.rack(nodes)),
            [1, 1, 1, 10]
        );
    }
}
