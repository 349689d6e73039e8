//! Requests that come at equal intervals, whatever is under way, and clients that read at a rate of their own: what the
//! tables of the model are made of.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::super::check::Line;
use super::super::cost::Costs;
use super::super::load::Traffic;
use super::super::ring::Ring;
use super::super::trace::Catalogue;
use super::cluster::{Backend, Cluster, address};
use super::tally::{Homes, Tally, compare_shares};
use crate::fleet::http::Connection;

/// A figure that can be a few requests.
pub(super) const PASSED_ON: &str = "requests passed on by full nodes";
/// Requests a second for each node, and seconds that are looked at, after as many in which load builds up.
const NODE_REQUESTS: u64 = 10;
const SECONDS: u64 = 20;
/// The bandwidth of a client, in Mbit/s and in bytes.
const CLIENT_MBIT: f64 = 8.0;
const CLIENT_BYTES: f64 = CLIENT_MBIT * 1e6 / 8.0;
/// What sockets between HAProxy and a client hold, in bytes. HAProxy has ended a request when the rest of its response is
/// in them, so that a client begins to read so much later.
const BUFFERED: f64 = 50e3;
/// Clients for each node: more than have a request under way.
const CLIENTS: usize = 40;
/// A download takes no longer.
const DOWNLOAD_MAX: Duration = Duration::from_secs(30);
/// How often requests under way are counted.
const LOOK: Duration = Duration::from_millis(100);

/// What clients share.
struct Flow<'a> {
    catalogue: &'a Catalogue,
    requests: Vec<usize>,
    /// How many of the requests are not looked at.
    before: usize,
    rate: f64,
    began: Instant,
    taken: AtomicU64,
    ring: &'a Ring,
    seen: Mutex<Seen>,
}

/// What was seen of the requests that are looked at.
struct Seen {
    tally: Tally,
    /// Requests that another node answered than that of their key.
    passed_on: u64,
}

pub(super) fn traffic() -> Traffic {
    Traffic {
        node_requests: NODE_REQUESTS,
        client_mbit: CLIENT_MBIT,
        response_ms: 1.0,
        seconds: SECONDS,
        requests_min: 0,
    }
}

/// Shares of nodes, what is passed on by full nodes, failed requests, and requests under way, where some nodes are down.
pub(super) fn compare(
    cluster: &Cluster,
    catalogue: &Catalogue,
    factor: u32,
    down: &[usize],
) -> anyhow::Result<Vec<Line>> {
    let nodes = cluster.count();
    let ring = Ring::without(nodes, down);
    let traffic = traffic();
    let costs = Costs::of_the_book()?;
    let outcome = traffic.run(catalogue, &ring, factor, &costs, nodes);
    let mut model = Tally::new(nodes);
    for (node, count) in ring.nodes_up().zip(outcome.requests()) {
        (0..count).for_each(|_| model.add(0, Some(node), &Homes::new()));
    }
    let rate = traffic.rate(nodes);
    let (before, count) = traffic.counts(catalogue, nodes);
    let flow = Flow {
        catalogue,
        requests: catalogue
            .requests()
            .take((before + count) as usize)
            .collect(),
        before: before as usize,
        rate,
        began: Instant::now(),
        taken: AtomicU64::new(0),
        ring: &ring,
        seen: Mutex::new(Seen {
            tally: Tally::new(nodes),
            passed_on: 0,
        }),
    };
    let under_way = thread::scope(|scope| {
        for _ in 0..CLIENTS * nodes {
            scope.spawn(|| flow.run_client());
        }
        flow.watch(cluster)
    })?;
    let seen = flow
        .seen
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let mut lines = compare_shares(&model, &seen.tally);
    lines.push(Line::new(
        PASSED_ON,
        outcome.passed_on() as f64,
        seen.passed_on as f64,
    ));
    lines.push(Line::new(
        "failed requests",
        0.0,
        seen.tally.failed() as f64,
    ));
    lines.push(Line::new(
        "requests under way at a node, mean",
        outcome.under_way_mean(),
        under_way / (nodes - down.len()) as f64,
    ));
    Ok(lines)
}

impl Flow<'_> {
    fn moment(&self, number: usize) -> Instant {
        self.began + Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// The mean of the requests under way at HAProxy, over the time that is looked at.
    fn watch(&self, cluster: &Cluster) -> anyhow::Result<f64> {
        cluster.wait_for(self.moment(self.before))?;
        let (mut sum, mut looks) = (0, 0);
        while Instant::now() < self.moment(self.requests.len()) {
            sum += cluster.under_way(Backend::Deployed)?;
            looks += 1;
            thread::sleep(LOOK);
        }
        Ok(sum as f64 / f64::from(looks.max(1)))
    }

    fn run_client(&self) {
        loop {
            let number = self.taken.fetch_add(1, Ordering::SeqCst) as usize;
            let Some(&object) = self.requests.get(number) else {
                return;
            };
            thread::sleep(
                self.moment(number)
                    .saturating_duration_since(Instant::now()),
            );
            let node = self.download(object);
            if number >= self.before {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.tally.add(0, node, &Homes::new());
                let own = self.ring.node(self.catalogue.objects[object].key);
                seen.passed_on += u64::from(node.is_some_and(|node| node != own));
            }
        }
    }

    fn download(&self, object: usize) -> Option<usize> {
        let object = &self.catalogue.objects[object];
        let deadline = Instant::now() + DOWNLOAD_MAX;
        let mut connection = Connection::open(address(Backend::Deployed).ok()?).ok()?;
        let begun = connection.begin(&object.target, deadline).ok()?;
        let node = begun.node()?;
        thread::sleep(Duration::from_secs_f64(BUFFERED / CLIENT_BYTES));
        let bytes = connection.end_slowly(begun, CLIENT_BYTES, deadline).ok()?;
        (bytes == object.bytes).then(|| usize::from(node) - 1)
    }
}
