//! Nodes that serve copies of the same files, behind HAProxy.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use super::{Node, ask, by_http};
use crate::harness::clients::Home;
use crate::harness::haproxy::Haproxy;
use crate::harness::reserved::Reserved;
use crate::harness::{Client, binary, temp_root, wait_until};

pub(super) const NODES: usize = 3;

/// A node that keeps its addresses when it is restarted.
struct Member {
    address: SocketAddr,
    admin: SocketAddr,
    _ports: [Reserved; 2],
    root: PathBuf,
    node: Option<Node>,
}

pub(super) struct Cluster {
    members: Vec<Member>,
    options: &'static [&'static str],
    /// Files whose bodies are `found`. HAProxy gives each node one of them at least.
    targets: Vec<String>,
    haproxy: Haproxy,
    _roots: TempDir,
}

impl Cluster {
    /// `network` is one that no other test has, and `lines` are those of HAProxy but for its servers. `fill` writes the
    /// files of a node, and answers the targets whose bodies are `found`.
    pub(super) fn start(
        home: &Home,
        network: u8,
        options: &'static [&'static str],
        lines: &str,
        fill: impl Fn(&Path) -> Vec<String>,
    ) -> Self {
        let roots = temp_root();
        let mut targets = Vec::new();
        let mut lines = lines.to_owned();
        let mut members = Vec::new();
        for number in 0..NODES as u8 {
            let root = roots.path().join(number.to_string());
            std::fs::create_dir(&root).expect("a directory");
            targets = fill(&root);
            let ports = [(); 2].map(|()| Reserved::at(Ipv4Addr::new(127, 82, network, number + 1)));
            let [address, admin] = ports.each_ref().map(|port| port.address);
            lines += &format!(
                "  server node{number} {address} id {} addr {} port {}\n",
                number + 1,
                admin.ip(),
                admin.port()
            );
            let mut member = Member {
                address,
                admin,
                _ports: ports,
                root,
                node: None,
            };
            member.start(options);
            members.push(member);
        }
        let haproxy = Haproxy::start(home, &lines);
        let cluster = Self {
            members,
            options,
            targets,
            haproxy,
            _roots: roots,
        };
        for index in 0..NODES {
            cluster.wait_until_used(index);
        }
        cluster
    }

    /// Where HAProxy listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.haproxy.address
    }

    pub(super) fn targets(&self) -> &[String] {
        &self.targets
    }

    pub(super) fn root(&self, index: usize) -> &Path {
        &self.members[index].root
    }

    /// Stops a node in order, starts it again, and waits until HAProxy gives it requests.
    pub(super) fn restart(&mut self, index: usize) {
        let node = self.members[index].node.take().expect("it runs");
        node.stop();
        self.members[index].start(self.options);
        self.wait_until_used(index);
    }

    /// The same with SIGKILL.
    pub(super) fn kill(&mut self, index: usize) {
        drop(self.members[index].node.take().expect("it runs"));
        self.members[index].start(self.options);
        self.wait_until_used(index);
    }

    /// A node that is sending a response.
    pub(super) fn sending(&self) -> Option<usize> {
        let is_sending = |index: &usize| {
            let metrics = self.metrics(*index);
            !metrics.contains("zc_connections{state=\"sending\"} 0\n")
        };
        (0..NODES).find(is_sending)
    }

    /// Waits until a node has answered a request that came by HAProxy.
    fn wait_until_used(&self, index: usize) {
        wait_until("a node is given requests", || {
            // Where there is no load.
            for target in &self.targets {
                let _ = ask(self.haproxy.address, by_http, target);
            }
            let metrics = self.metrics(index);
            metrics.contains("zc_http_requests_total{method=\"GET\",code=\"200\"}")
        });
    }

    fn metrics(&self, index: usize) -> String {
        let stream = TcpStream::connect(self.members[index].admin).expect("it listens");
        let metrics = Client::plain(stream).get("/metrics").body;
        String::from_utf8(metrics).expect("text")
    }
}

impl Member {
    fn start(&mut self, options: &[&str]) {
        let mut command = binary();
        command.args(["--bind", &self.address.to_string()]);
        command.args(["--admin-bind", &self.admin.to_string()]);
        command.args(["--threads", "1"]).args(options);
        self.node = Some(Node::start(command.arg(&self.root).stdin(Stdio::null())));
    }
}
