//! The model compared with a real HAProxy, in front of servers that answer with their number.

mod backends;
mod errors;
mod haproxy;

use std::collections::{BTreeSet, VecDeque};

use anyhow::{Context, ensure};

use self::backends::{Backends, HELD};
use self::haproxy::{Client, Haproxy, Section};
use super::load::skew;
use super::ring::{Loads, Ring, key};
use super::trace::Catalogue;

/// Numbers of servers.
pub(super) const SIZES: [u8; 3] = [3, 6, 12];
/// URLs whose servers are compared, one by one.
const URLS: usize = 2_000;
/// Requests whose shares are compared.
const REQUESTS: usize = 10_000;
/// Requests under way for each server, where loads are bounded.
pub(super) const UNDER_WAY: usize = 10;
/// Requests for each server, where loads are bounded.
pub(super) const BOUNDED: usize = 40;
/// The largest difference of a figure, in percent of what the model says.
pub(super) const DIFFERENCE_MAX: f64 = 10.0;

/// A figure of the model beside that of the real HAProxy.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) what: String,
    pub(super) model: f64,
    pub(super) measured: f64,
}

/// Requests that had another end than the model says: another server, or an error.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    pub(super) compared: usize,
    pub(super) mismatches: usize,
}

impl Line {
    pub(super) fn new(what: impl Into<String>, model: f64, measured: f64) -> Self {
        Self {
            what: what.into(),
            model,
            measured,
        }
    }

    pub(super) fn difference(&self) -> f64 {
        if self.model == self.measured {
            return 0.0;
        }
        (self.measured - self.model).abs() / self.model.abs() * 100.0
    }
}

impl Agreement {
    pub(super) fn add(&mut self, model: usize, measured: Option<usize>) {
        self.compared += 1;
        self.mismatches += usize::from(measured != Some(model));
    }
}

/// Prints the comparison, and fails where the model is wrong.
pub(super) fn run(options: &super::Parameters, catalogue: &Catalogue) -> anyhow::Result<()> {
    println!(
        "## The model beside a real HAProxy\n\n\
         | servers | figure | model | measured | difference |\n| --- | --- | --- | --- | --- |"
    );
    let mut agreement = Agreement::default();
    let mut worst: f64 = 0.0;
    for nodes in SIZES.map(usize::from) {
        let pair = Pair::start(nodes, options)?;
        let mut lines = pair.compare_rings(catalogue, &mut agreement)?;
        lines.extend(pair.compare_bounded(catalogue, options.factor, &mut agreement)?);
        lines.push(errors::compare(
            &pair.backends,
            &pair.haproxy,
            catalogue,
            &options.operation,
        )?);
        for line in lines {
            let (what, model, measured) = (&line.what, line.model, line.measured);
            let difference = line.difference();
            worst = worst.max(difference);
            println!("| {nodes} | {what} | {model:.3} | {measured:.3} | {difference:.1} % |");
        }
    }
    let Agreement {
        compared,
        mismatches,
    } = agreement;
    println!(
        "\n{compared} requests compared one by one; {mismatches} went to another server than the model says. Largest \
         difference of a figure: {worst:.1} %."
    );
    ensure!(
        mismatches == 0,
        "{mismatches} of {compared} requests went to another server"
    );
    ensure!(
        worst <= DIFFERENCE_MAX,
        "a figure differs by {worst:.1} %, and may by {DIFFERENCE_MAX} %"
    );
    Ok(())
}

/// HAProxy and the servers behind it.
struct Pair {
    nodes: usize,
    haproxy: Haproxy,
    backends: Backends,
}

impl Pair {
    fn start(nodes: usize, options: &super::Parameters) -> anyhow::Result<Self> {
        let backends = Backends::start(nodes)?;
        let haproxy = Haproxy::start(&backends, options.factor, &options.operation)?;
        Ok(Self {
            nodes,
            haproxy,
            backends,
        })
    }

    /// URLs one by one, shares of the load, and what moves when servers are taken out.
    fn compare_rings(
        &self,
        catalogue: &Catalogue,
        agreement: &mut Agreement,
    ) -> anyhow::Result<Vec<Line>> {
        let ring = Ring::new(self.nodes);
        let targets = targets();
        // Without load, the factor changes nothing.
        self.owners(Section::Bounded, &ring, &targets, agreement)?;
        let before = self.owners(Section::Hashed, &ring, &targets, agreement)?;
        let mut lines = self.compare_shares(catalogue, &ring, agreement)?;
        let mut down = Vec::new();
        for lost in [1, (self.nodes / 3).max(2)] {
            while down.len() < lost {
                self.haproxy.take_out(Section::Hashed, down.len())?;
                down.push(down.len());
            }
            let fewer = Ring::without(self.nodes, &down);
            let after = self.owners(Section::Hashed, &fewer, &targets, agreement)?;
            let measured = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            let moves = |target: &&String| ring.node(key(target)) != fewer.node(key(target));
            let model = targets.iter().filter(moves).count();
            let percent = |count: usize| count as f64 / targets.len() as f64 * 100.0;
            lines.push(Line::new(
                format!("URLs moved when {lost} of the servers are lost, %"),
                percent(model),
                percent(measured),
            ));
        }
        Ok(lines)
    }

    /// Asks for each target; answers the servers.
    fn owners(
        &self,
        section: Section,
        ring: &Ring,
        targets: &[String],
        agreement: &mut Agreement,
    ) -> anyhow::Result<Vec<Option<usize>>> {
        let mut client = self.haproxy.client(section)?;
        let mut owners = Vec::with_capacity(targets.len());
        for target in targets {
            let measured = client.ask(target)?;
            agreement.add(ring.node(key(target)), measured);
            owners.push(measured);
        }
        Ok(owners)
    }

    /// The busiest server by requests and by bytes, for the first requests of the trace.
    fn compare_shares(
        &self,
        catalogue: &Catalogue,
        ring: &Ring,
        agreement: &mut Agreement,
    ) -> anyhow::Result<Vec<Line>> {
        let mut client = self.haproxy.client(Section::Hashed)?;
        let (mut model, mut measured) = (Shares::new(self.nodes), Shares::new(self.nodes));
        for object in catalogue.requests().take(REQUESTS) {
            let object = &catalogue.objects[object];
            let node = ring.node(object.key);
            let found = client.ask(&object.target)?;
            agreement.add(node, found);
            model.add(node, object.bytes);
            measured.add(found.context("HAProxy answered itself")?, object.bytes);
        }
        Ok(vec![
            Line::new(
                "requests of the busiest server / mean",
                skew(model.requests.into_iter()),
                skew(measured.requests.into_iter()),
            ),
            Line::new(
                "bytes of the busiest server / mean",
                skew(model.bytes.into_iter()),
                skew(measured.bytes.into_iter()),
            ),
        ])
    }

    /// Requests of which many are under way: each that begins lets the eldest end.
    fn compare_bounded(
        &self,
        catalogue: &Catalogue,
        factor: u32,
        agreement: &mut Agreement,
    ) -> anyhow::Result<Vec<Line>> {
        let ring = Ring::new(self.nodes);
        let mut loads = Loads::new(self.nodes, factor);
        let (mut model, mut measured) = (Shares::new(self.nodes), Shares::new(self.nodes));
        let (mut hot, mut hot_measured) = (BTreeSet::new(), BTreeSet::new());
        let mut under_way: VecDeque<(Client, usize)> = VecDeque::new();
        let requests = catalogue.requests().take(BOUNDED * self.nodes);
        for (number, object) in (0_u64..).zip(requests) {
            if under_way.len() == UNDER_WAY * self.nodes
                && let Some((mut client, node)) = under_way.pop_front()
            {
                self.backends
                    .release(number + 1 - (UNDER_WAY * self.nodes) as u64);
                client.end()?;
                drop(client);
                loads.end(node);
                self.haproxy
                    .wait_for_under_way(Section::Bounded, under_way.len())?;
            }
            // Every third request is for the most popular object, so that it exceeds the limit of a server.
            let index = if number % 3 == 0 { 0 } else { object };
            let object = &catalogue.objects[index];
            let node = ring.node_with_room(object.key, &loads);
            let mut client = self.haproxy.client(Section::Bounded)?;
            let found = client.begin(&format!("{}{HELD}{number}", object.target))?;
            agreement.add(node, found);
            let found = found.context("HAProxy answered itself")?;
            // What is under way is what HAProxy chose, so that one mismatch is counted once.
            loads.begin(found);
            under_way.push_back((client, found));
            model.add(node, object.bytes);
            measured.add(found, object.bytes);
            if index == 0 {
                hot.insert(node);
                hot_measured.insert(found);
            }
        }
        self.backends.release(u64::MAX);
        Ok(vec![
            Line::new(
                "bounded: requests of the busiest server / mean",
                skew(model.requests.into_iter()),
                skew(measured.requests.into_iter()),
            ),
            Line::new(
                "bounded: servers of an object with a third of the requests",
                hot.len() as f64,
                hot_measured.len() as f64,
            ),
        ])
    }
}

/// What each server got.
struct Shares {
    requests: Vec<f64>,
    bytes: Vec<f64>,
}

impl Shares {
    fn new(nodes: usize) -> Self {
        Self {
            requests: vec![0.0; nodes],
            bytes: vec![0.0; nodes],
        }
    }

    fn add(&mut self, node: usize, bytes: u64) {
        self.requests[node] += 1.0;
        self.bytes[node] += bytes as f64;
    }
}

/// Request targets of several lengths and alphabets, some with a query.
fn targets() -> Vec<String> {
    let target = |number: usize| match number % 5 {
        0 => format!("/{number}"),
        1 => format!("/debian/pool/main/l/lib{number}/lib{number}_1.0-{number}_amd64.deb"),
        2 => format!("/a%20b/{number}%C3%A9.html?version={number}"),
        3 => format!("/media/{}/{number}.mp4?t=1", number % 7),
        _ => format!("/{}/{number}/", "deep/".repeat(number % 11)),
    };
    (0..URLS).map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::super::forecast::tests::operation;
    use super::super::trace::tests::shape;
    use super::*;

    #[test]
    fn the_ring_is_that_of_a_real_haproxy() {
        if !std::path::Path::new(haproxy::PROGRAM).exists() {
            let is_required = std::env::var_os("TEST_REQUIRE_CLIENTS").is_some();
            assert!(!is_required, "haproxy is not installed");
            eprintln!("skipped: haproxy is not installed");
            return;
        }
        let catalogue = Catalogue::new(&shape()).expect("a catalogue");
        let backends = Backends::start(5).expect("backends");
        let haproxy = Haproxy::start(&backends, 150, &operation()).expect("haproxy");
        let pair = Pair {
            nodes: 5,
            haproxy,
            backends,
        };
        let mut agreement = Agreement::default();
        let rings = pair.compare_rings(&catalogue, &mut agreement);
        let bounded = pair.compare_bounded(&catalogue, 150, &mut agreement);
        assert_eq!(agreement.compared, 4 * URLS + REQUESTS + 5 * BOUNDED);
        assert_eq!(agreement.mismatches, 0, "{rings:?} {bounded:?}");
        let lines = [rings.expect("lines"), bounded.expect("lines")].concat();
        assert!(
            lines.iter().all(|line| line.difference() == 0.0),
            "{lines:?}"
        );
    }

    #[test]
    fn a_difference_is_in_percent_of_the_model() {
        assert!((Line::new("", 2.0, 2.3).difference() - 15.0).abs() < 1e-9);
        assert!((Line::new("", 2.0, 1.7).difference() - 15.0).abs() < 1e-9);
        assert_eq!(Line::new("", 0.0, 0.0).difference(), 0.0);
        assert!(Line::new("", 0.0, 1.0).difference() > DIFFERENCE_MAX);
    }
}
