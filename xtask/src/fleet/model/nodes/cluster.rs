//! The nodes of a comparison, HAProxy before them, and a client that asks for one thing after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use super::super::forecast::Operation;
use super::super::trace::Catalogue;
use crate::artifacts;
use crate::fleet::content::Content;
use crate::fleet::haproxy::{Haproxy, PORTS, Server, Way};
use crate::fleet::http::Connection;
use crate::fleet::network::{Network, Rate, balancer, run};
use crate::fleet::node::{Node, Programs};
use crate::fleet::{go_on, wait_until_it_listens};

/// How long a node goes on accepting after SIGTERM: longer than what is sent meanwhile.
pub(super) const DRAIN_DELAY: Duration = Duration::from_secs(8);
/// Nothing that is waited for takes longer.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it is looked at HAProxy. Times of its checks are known as well as this.
const LOOK: Duration = Duration::from_millis(2);
/// A client waits no longer for a response.
const RESPONSE_MAX: Duration = Duration::from_secs(10);
/// Links fast enough to be never full.
const RATE: Rate = Rate(2_000_000_000);
/// Paths of long files, and their length in bytes: more than all buffers on the way to a client that does not read.
pub(super) const LONG: usize = 300;
pub(super) const LONG_BYTES: u64 = 8 << 20;

/// The backends of HAProxy.
#[derive(Debug, Clone, Copy)]
pub(super) enum Backend {
    /// As deployed.
    Deployed,
    /// As deployed, but without retries.
    Once,
}

impl Backend {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Deployed => "files",
            Self::Once => "once",
        }
    }
}

/// Nodes and balancer. Fields are dropped in this order.
#[derive(Debug)]
pub(super) struct Cluster {
    haproxy: Haproxy,
    nodes: Vec<Node>,
    _content: Content,
    stop: Arc<AtomicBool>,
}

/// A client with one connection, on which it asks for one thing after the other, and asks for nothing twice.
#[derive(Debug)]
pub(super) struct Client<'c> {
    cluster: &'c Cluster,
    address: SocketAddr,
    connection: Option<Connection>,
}

/// A request that is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Answer {
    pub(super) object: usize,
    /// When it was due, in seconds.
    pub(super) due: f64,
    /// How much later it was sent, in seconds.
    pub(super) late: f64,
    /// The node that answered with status 200 and the right length; none is a failed request.
    pub(super) node: Option<usize>,
}

impl Cluster {
    /// Starts HAProxy, and then the nodes.
    pub(super) fn start(
        network: &Network,
        programs: &Programs,
        catalogues: &[&Catalogue],
        count: u8,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let content = Content::make(&std::env::temp_dir(), LONG_BYTES)?;
        make_objects(&content, catalogues)?;
        let mut nodes = Vec::new();
        for number in 1..=count {
            let directory = content.add_node(number)?;
            for name in ["objects", "paced", "long"] {
                let (from, to) = (content.path(name), directory.join("current"));
                run(&format!("cp -al {} {}/", from.display(), to.display()))?;
            }
            let place = network.add(number, RATE)?;
            let mut node = Node::make(place, number, directory, programs, DRAIN_DELAY)?;
            node.start()?;
            nodes.push(node);
        }
        let once = Way {
            is_kept: |line| {
                let without = [
                    "retries ",
                    "option redispatch",
                    "retry-on ",
                    "http-request ",
                ];
                !without.iter().any(|start| line.starts_with(start))
            },
            more: &["retries 0"],
            ..Way::new(Backend::Once.name(), 8080)
        };
        let ways = [Way::new(Backend::Deployed.name(), 8080), once];
        let haproxy = Haproxy::start_with(&artifacts::root(), &content.path(""), count, &ways)?;
        wait_until_it_listens(&haproxy, stop)?;
        let cluster = Self {
            haproxy,
            nodes,
            _content: content,
            stop: Arc::clone(stop),
        };
        cluster.wait_until("nodes are ready", || {
            Ok(cluster.nodes.iter().all(Node::is_ready))
        })?;
        cluster.wait_until("HAProxy uses all nodes", || {
            Ok(cluster.servers()?.iter().all(|server| server.is_up))
        })?;
        Ok(cluster)
    }

    /// How many nodes there are.
    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// SIGTERM.
    pub(super) fn drain(&self, node: usize) -> anyhow::Result<()> {
        self.nodes[node].signal(Signal::SIGTERM)
    }

    /// SIGKILL.
    pub(super) fn kill(&self, node: usize) -> anyhow::Result<()> {
        self.nodes[node].signal(Signal::SIGKILL)
    }

    /// Starts a node whose process ends, after HAProxy has taken it out. Answers when HAProxy took it in again at a
    /// backend: at that moment it had made a check.
    pub(super) fn revive(&mut self, node: usize, backend: Backend) -> anyhow::Result<Instant> {
        self.wait_until("a node ends", || Ok(self.nodes[node].has_ended()))?;
        self.nodes[node].take_status()?;
        self.wait_until_out(node)?;
        self.nodes[node].start()?;
        let mut checked = None;
        self.wait_until("a node is taken in", || {
            let now = Instant::now();
            let of_the_node = self.of(node)?;
            let is_in = |server: &&Server| server.backend == backend.name() && server.is_up;
            if checked.is_none() && of_the_node.iter().any(|server| is_in(&server)) {
                checked = Some(now);
            }
            Ok(of_the_node.iter().all(|server| server.is_up))
        })?;
        checked.context("HAProxy has no such backend")
    }

    /// Waits until HAProxy has taken a node out.
    pub(super) fn wait_until_out(&self, node: usize) -> anyhow::Result<()> {
        self.wait_until("a node is taken out", || {
            Ok(self.of(node)?.iter().all(|server| server.is_down))
        })
    }

    /// Restarts a node, so that it is known when HAProxy checks it.
    pub(super) fn restart(&mut self, node: usize, backend: Backend) -> anyhow::Result<Instant> {
        self.kill(node)?;
        self.revive(node, backend)
    }

    /// Waits until a moment.
    pub(super) fn wait_for(&self, moment: Instant) -> anyhow::Result<()> {
        while Instant::now() < moment {
            go_on(&self.stop)?;
            let left = moment.saturating_duration_since(Instant::now());
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        Ok(())
    }

    /// Waits until a backend has so many requests under way.
    pub(super) fn wait_for_under_way(&self, backend: Backend, count: usize) -> anyhow::Result<()> {
        self.wait_until(
            "HAProxy has as many requests under way as the model",
            || Ok(self.under_way(backend)? == count as u64),
        )
    }

    /// How many requests a backend has under way.
    pub(super) fn under_way(&self, backend: Backend) -> anyhow::Result<u64> {
        self.haproxy.under_way(backend.name())
    }

    /// A client of a backend.
    pub(super) fn client(&self, backend: Backend) -> anyhow::Result<Client<'_>> {
        Ok(Client {
            cluster: self,
            address: address(backend)?,
            connection: None,
        })
    }

    fn servers(&self) -> anyhow::Result<Vec<Server>> {
        let servers = self.haproxy.servers()?;
        ensure!(servers.len() == 2 * self.count(), "servers are missing");
        Ok(servers)
    }

    /// A node in both backends.
    fn of(&self, node: usize) -> anyhow::Result<Vec<Server>> {
        let name = format!("node{}", node + 1);
        let mut servers = self.servers()?;
        servers.retain(|server| server.name == name);
        Ok(servers)
    }

    fn wait_until(
        &self,
        what: &str,
        mut has_come: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while !has_come()? {
            go_on(&self.stop)?;
            let is_over = self.haproxy.has_ended();
            ensure!(!is_over, "HAProxy ended: {}", self.haproxy.said());
            ensure!(
                began.elapsed() < WAIT_MAX,
                "not within {} s: {what}",
                WAIT_MAX.as_secs()
            );
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Client<'_> {
    /// Sends requests at equal intervals for some seconds. One that could not be sent in time is sent at once.
    pub(super) fn send(
        &mut self,
        catalogue: &Catalogue,
        requests: &mut impl Iterator<Item = usize>,
        rate: f64,
        seconds: f64,
    ) -> anyhow::Result<Vec<Answer>> {
        let began = Instant::now();
        let count = (rate * seconds) as usize;
        let mut answers = Vec::with_capacity(count);
        for (number, object) in (0..count).zip(requests) {
            let due = number as f64 / rate;
            self.cluster
                .wait_for(began + Duration::from_secs_f64(due))?;
            let late = began.elapsed().as_secs_f64() - due;
            let wanted = &catalogue.objects[object];
            let node = self.ask(&wanted.target, wanted.bytes);
            answers.push(Answer {
                object,
                due,
                late,
                node,
            });
        }
        Ok(answers)
    }

    fn ask(&mut self, target: &str, bytes: u64) -> Option<usize> {
        let kept = self.connection.take().map(Ok);
        let opened = kept.unwrap_or_else(|| Connection::open(self.address));
        let mut connection = opened.ok()?;
        let response = connection.get(target, Instant::now() + RESPONSE_MAX).ok()?;
        if !response.is_last {
            self.connection = Some(connection);
        }
        let is_right = response.status == 200 && response.body.len() as u64 == bytes;
        let node = response.node.filter(|_| is_right)?;
        usize::from(node).checked_sub(1)
    }
}

/// Where a backend is asked.
pub(super) fn address(backend: Backend) -> anyhow::Result<SocketAddr> {
    Ok(format!("{}:{}", balancer(), PORTS[backend as usize]).parse()?)
}

/// The request target of a long file.
pub(super) fn long_target(number: usize) -> String {
    format!("/long/{number}.bin")
}

/// Makes the objects, as holes of their sizes, and many names of one long file. Nodes have links to them.
fn make_objects(content: &Content, catalogues: &[&Catalogue]) -> anyhow::Result<()> {
    for object in catalogues.iter().flat_map(|catalogue| &catalogue.objects) {
        let path = content.path(object.target.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().context("an object is in a directory")?)?;
        std::fs::File::create_new(&path)?.set_len(object.bytes)?;
    }
    std::fs::create_dir(content.path("long"))?;
    for number in 0..LONG {
        let path = content.path(long_target(number).trim_start_matches('/'));
        std::fs::hard_link(content.large(0), path)?;
    }
    Ok(())
}

/// Keeps what HAProxy and the clients have in their sockets small: a request is under way until all of its response is
/// in them.
pub(super) fn make_buffers_small() -> anyhow::Result<()> {
    for (name, bytes) in [
        ("tcp_wmem", "4096 16384 32768"),
        ("tcp_rmem", "4096 32768 65536"),
    ] {
        let path = format!("/proc/sys/net/ipv4/{name}");
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(())
}

/// Fails where HAProxy is not deployed with what the model computes with.
pub(super) fn refuse_other_settings(operation: &Operation, factor: u32) -> anyhow::Result<()> {
    let deployed = std::fs::read_to_string(artifacts::root().join("deploy/haproxy/haproxy.cfg"))?;
    let checks = format!(
        "inter {}s fastinter {}ms fall {checks} rise {checks}",
        operation.inter,
        operation.fastinter * 1e3,
        checks = operation.checks
    );
    for line in [checks, format!("hash-balance-factor {factor}\n")] {
        ensure!(
            deployed.contains(&line),
            "deploy/haproxy/haproxy.cfg has no `{}`, and is what nodes are compared with",
            line.trim()
        );
    }
    Ok(())
}
