//! Three nodes behind HAProxy without retries, restarted one after the other.
//!
//! The configuration of HAProxy is that of the book.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Load, Node, by_http};
use crate::harness::clients::Home;
use crate::harness::haproxy::Haproxy;
use crate::harness::{Client, binary, temp_root, wait_until};

const NODES: usize = 3;
const CLIENTS: usize = 8;
/// Requests that must be answered while nodes are restarted.
const REQUESTS: usize = 10_000;
/// Restarts after which one without a delay must have failed a request.
const RESTARTS_MAX: usize = 30;
/// That of the book: four times what HAProxy takes to notice.
const DELAY: &str = "2s";
const BOOK: &str = include_str!("../../../../docs/src/life-cycle.md");

/// A node that keeps its addresses when it is restarted.
struct Member {
    address: SocketAddr,
    admin: SocketAddr,
    node: Option<Node>,
}

struct Cluster {
    members: Vec<Member>,
    delay: &'static str,
    haproxy: Haproxy,
    root: TempDir,
}

impl Cluster {
    /// `network` is one that no other test has.
    fn start(home: &Home, network: u8, delay: &'static str) -> Self {
        let root = temp_root();
        std::fs::write(root.path().join("f"), b"found").expect("a file");
        let mut lines = lines_of_the_book();
        let mut members = Vec::new();
        for number in 0..NODES as u8 {
            let held = [(); 2].map(|()| {
                TcpListener::bind((Ipv4Addr::new(127, 82, network, number + 1), 0)).expect("a port")
            });
            let [address, admin] = held.each_ref().map(|one| one.local_addr().expect("bound"));
            drop(held);
            lines += &format!(
                "  server node{number} {address} addr {} port {}\n",
                admin.ip(),
                admin.port()
            );
            let node = Some(start(address, admin, delay, root.path()));
            members.push(Member {
                address,
                admin,
                node,
            });
        }
        let haproxy = Haproxy::start(home, &lines);
        let cluster = Self {
            members,
            delay,
            haproxy,
            root,
        };
        for index in 0..NODES {
            cluster.wait_until_used(index);
        }
        cluster
    }

    /// Stops a node, starts it again, and waits until HAProxy gives it requests.
    fn restart(&mut self, index: usize) {
        let member = &mut self.members[index];
        let node = member.node.take().expect("it runs");
        node.stop();
        let (address, admin) = (member.address, member.admin);
        member.node = Some(start(address, admin, self.delay, self.root.path()));
        self.wait_until_used(index);
    }

    /// Waits until a node has answered a request that came by HAProxy.
    fn wait_until_used(&self, index: usize) {
        wait_until("a node is given requests", || {
            // Where there is no load.
            let _ = super::ask(self.haproxy.address, by_http);
            let stream = TcpStream::connect(self.members[index].admin).expect("it listens");
            let metrics = Client::plain(stream).get("/metrics").body;
            let metrics = String::from_utf8(metrics).expect("text");
            metrics.contains("zc_http_requests_total{method=\"GET\",code=\"200\"}")
        });
    }
}

/// The lines of HAProxy's section but those with addresses.
fn lines_of_the_book() -> String {
    let block = BOOK.split_once("```haproxy\n").expect("a block").1;
    let lines = block.lines().take_while(|line| *line != "```");
    let is_own = |line: &&str| {
        let word = line.trim().split(' ').next();
        word.is_some_and(|word| !["listen", "bind", "server"].contains(&word))
    };
    lines
        .filter(is_own)
        .map(|line| format!("{line}\n"))
        .collect()
}

fn start(address: SocketAddr, admin: SocketAddr, delay: &str, root: &Path) -> Node {
    let mut command: Command = binary();
    command.args([
        "--bind",
        &address.to_string(),
        "--admin-bind",
        &admin.to_string(),
    ]);
    command.args(["--threads", "1", "--drain-delay", delay]);
    Node::start(command.arg(root).stdin(Stdio::null()))
}

#[test]
fn a_rolling_restart_fails_no_request_with_a_drain_delay() {
    let Some(home) = Home::for_clients(&["haproxy"]) else {
        return;
    };
    assert!(BOOK.contains(&format!("--drain-delay {DELAY} /srv/www")));
    let mut cluster = Cluster::start(&home, 1, DELAY);
    let load = Load::start(cluster.haproxy.address, CLIENTS, by_http);
    for index in 0..NODES {
        load.wait_for(10);
        cluster.restart(index);
    }
    wait_until("enough requests", || {
        load.answered() >= REQUESTS || load.failures() > 0
    });
    let (answered, failed) = load.finish();
    println!("{answered} answered, {} failed", failed.len());
    assert_eq!(failed, Vec::<String>::new());
}

#[test]
fn a_rolling_restart_fails_some_without_one() {
    let Some(home) = Home::for_clients(&["haproxy"]) else {
        return;
    };
    let mut cluster = Cluster::start(&home, 2, "0s");
    let load = Load::start(cluster.haproxy.address, CLIENTS, by_http);
    for restart in 0..RESTARTS_MAX {
        load.wait_for(10);
        cluster.restart(restart % NODES);
        if restart >= NODES - 1 && load.failures() > 0 {
            break;
        }
    }
    let (answered, failed) = load.finish();
    println!("{answered} answered, {} failed", failed.len());
    assert!(!failed.is_empty(), "what the delay is for");
}
