//! Errors of nodes that are killed, where HAProxy asks nobody twice.
//!
//! Times of kills are spread evenly over the interval between two checks, so that few of them stand for all.

use std::time::Duration;

use super::super::check::{Agreement, Line};
use super::super::forecast::Operation;
use super::super::ring::Ring;
use super::super::trace::Catalogue;
use super::cluster::{Backend, Cluster};
use super::phases::RATE;

/// Kills, and how many nodes they are of. A node with a smaller share of the requests has to be killed more often, for
/// as many errors.
const KILLS_MIN: usize = 12;
const KILLS_FOR_EACH_NODE: usize = 2;
const VICTIMS: usize = 3;
/// Seconds of requests after HAProxy should have taken the node out.
const MARGIN: f64 = 0.4;
/// Requests by which shares of the nodes are computed.
const REQUESTS: usize = 200_000;

/// Errors of all kills: by the share of each node and the mean time until it is taken out, and by the requests that
/// were due before it is.
pub(super) fn compare(
    cluster: &mut Cluster,
    catalogue: &Catalogue,
    operation: &Operation,
    agreement: &mut Agreement,
) -> anyhow::Result<Vec<Line>> {
    let ring = Ring::new(cluster.count());
    let mut requests = catalogue.requests();
    let (mut by_share, mut by_trace, mut seen) = (0.0, 0_u32, 0_u32);
    let of_each = kills(cluster.count()) / VICTIMS;
    for victim in 0..VICTIMS {
        let rate = RATE * share(&ring, catalogue, victim);
        let mut checked = cluster.restart(victim, Backend::Once)?;
        for number in 0..of_each {
            let since = operation.inter * moment(victim, number, of_each);
            let after = Duration::from_secs_f64(operation.inter + since);
            cluster.wait_for(checked + after)?;
            cluster.kill(victim)?;
            let out = operation.outage_seconds(since);
            let mut client = cluster.client(Backend::Once)?;
            let answers = client.send(catalogue, &mut requests, RATE, out + MARGIN)?;
            by_share += operation.errors(rate, 0.0);
            for answer in answers {
                let node = ring.node(catalogue.objects[answer.object].key);
                let fails = node == victim && answer.due < out;
                by_trace += u32::from(fails);
                seen += u32::from(answer.node.is_none());
                agreement.compared += 1;
                agreement.mismatches += usize::from(answer.node.is_none() != fails);
            }
            checked = cluster.revive(victim, Backend::Once)?;
        }
    }
    let kills = of_each * VICTIMS;
    Ok(vec![
        Line::new(
            format!("failed requests of {kills} kills, by rate × share × mean time"),
            by_share,
            f64::from(seen),
        ),
        Line::new(
            format!("failed requests of {kills} kills, by each request"),
            f64::from(by_trace),
            f64::from(seen),
        ),
    ])
}

/// How many kills there are with a number of nodes.
fn kills(nodes: usize) -> usize {
    KILLS_MIN.max(KILLS_FOR_EACH_NODE * nodes)
}

/// When a node is killed, in parts of the interval: each kill has a moment of its own, and those of a node are spread too.
fn moment(victim: usize, number: usize, of_each: usize) -> f64 {
    let index = number * VICTIMS + victim;
    (index as f64 + 0.5) / (of_each * VICTIMS) as f64
}

/// The share of a node in the requests.
fn share(ring: &Ring, catalogue: &Catalogue, node: usize) -> f64 {
    let requests = catalogue.requests().take(REQUESTS);
    let own = requests.filter(|object| ring.node(catalogue.objects[*object].key) == node);
    own.count() as f64 / REQUESTS as f64
}

#[cfg(test)]
mod tests {
    use super::super::super::forecast::tests::operation;
    use super::super::super::trace::tests::shape;
    use super::*;

    #[test]
    fn moments_of_kills_have_the_mean_of_all_times() {
        let operation = operation();
        for nodes in [3, 6, 12] {
            let of_each = kills(nodes) / VICTIMS;
            let each = (0..VICTIMS)
                .flat_map(|victim| (0..of_each).map(move |number| moment(victim, number, of_each)));
            let outages: Vec<f64> = each.map(|part| operation.outage_seconds(part)).collect();
            let mean = outages.iter().sum::<f64>() / outages.len() as f64;
            assert!((mean - operation.outage_mean_seconds()).abs() < 1e-9);
            assert_eq!(outages.len(), [12, 24][usize::from(nodes == 12)]);
        }
    }

    #[test]
    fn shares_of_all_nodes_are_one() {
        let catalogue = Catalogue::new(&shape()).expect("a catalogue");
        let ring = Ring::new(6);
        let sum: f64 = (0..6).map(|node| share(&ring, &catalogue, node)).sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }
}
