//! Requests of which many are under way, so that bounded loads decide. How many are under way is known: clients read
//! the head of a long response and no more, and each request that begins lets the eldest end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};

use super::super::check::{Agreement, BOUNDED, Line, UNDER_WAY};
use super::super::ring::{Loads, Ring, key};
use super::super::trace::Catalogue;
use super::cluster::{Backend, Cluster, LONG, LONG_BYTES, address, long_target};
use super::tally::{Homes, Tally, compare};
use crate::fleet::http::{Begun, Connection, Fault};

/// A response is read within this time.
const RESPONSE_MAX: Duration = Duration::from_secs(30);

/// A response whose rest is not read yet.
struct Held {
    connection: Connection,
    begun: Begun,
    node: usize,
}

impl Held {
    fn begin(target: &str) -> anyhow::Result<Self> {
        let deadline = Instant::now() + RESPONSE_MAX;
        let mut connection = Connection::open(address(Backend::Deployed)?).map_err(failed)?;
        let begun = connection.begin(target, deadline).map_err(failed)?;
        let node = begun.node().context("not answered by a node")?;
        Ok(Self {
            connection,
            begun,
            node: usize::from(node) - 1,
        })
    }

    fn end(mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + RESPONSE_MAX;
        let response = self.connection.end(self.begun, deadline).map_err(failed)?;
        ensure!(response.body.len() as u64 == LONG_BYTES, "another length");
        Ok(())
    }
}

fn failed(fault: Fault) -> anyhow::Error {
    anyhow!("a request with others under way failed: {fault:?}")
}

/// Shares of nodes, and keys that go elsewhere because their node is full.
pub(super) fn compare_bounded(
    cluster: &Cluster,
    catalogue: &Catalogue,
    factor: u32,
    agreement: &mut Agreement,
) -> anyhow::Result<Vec<Line>> {
    let nodes = cluster.count();
    let ring = Ring::new(nodes);
    let mut loads = Loads::new(nodes, factor);
    let (mut model, mut seen) = (Tally::new(nodes), Tally::new(nodes));
    let mut under_way: VecDeque<Held> = VecDeque::new();
    let requests = catalogue.requests().filter(|object| *object < LONG);
    for (number, object) in requests.take(BOUNDED * nodes).enumerate() {
        if under_way.len() == UNDER_WAY * nodes
            && let Some(eldest) = under_way.pop_front()
        {
            loads.end(eldest.node);
            eldest.end()?;
        }
        cluster.wait_for_under_way(Backend::Deployed, under_way.len())?;
        // Every third request is for the most popular object, so that it exceeds the limit of a node.
        let object = if number % 3 == 0 { 0 } else { object };
        let target = long_target(object);
        let homes = Homes::from([(object, ring.node(key(&target)))]);
        let chosen = ring.node_with_room(key(&target), &loads);
        let held = Held::begin(&target)?;
        agreement.add(chosen, Some(held.node));
        model.add(object, Some(chosen), &homes);
        seen.add(object, Some(held.node), &homes);
        // What is under way is what HAProxy chose, so that one mismatch is counted once.
        loads.begin(held.node);
        under_way.push_back(held);
    }
    for held in under_way {
        held.end()?;
    }
    Ok(compare(&model, &seen))
}
