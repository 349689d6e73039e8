//! HAProxy with the lines of `deploy/haproxy/haproxy.cfg`, and its counters.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;

use super::network::{address, balancer};
use super::process::{Process, command};

/// Where the program is looked for, besides the directories of `PATH`.
pub(super) const PROGRAM: &str = "haproxy";
/// What is adapted, from the root of the repository.
const DEPLOY: &str = "deploy/haproxy/haproxy.cfg";
/// How long its socket may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The port for requests that go to the nodes by HTTP, and the one for those that go by HTTPS.
pub(super) const PORTS: [u16; 2] = [8000, 8001];

/// A running HAProxy: a master process, and a worker that a reload replaces.
#[derive(Debug)]
pub(super) struct Haproxy {
    process: Process,
    socket: PathBuf,
    /// What the workers had counted that are not the present one.
    before: Counters,
}

/// What it did for requests that failed at a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Sent to the same node once more.
    pub(super) retries: u64,
    /// Sent to another node.
    pub(super) redispatches: u64,
}

/// A server of a backend, as the statistics have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) backend: String,
    pub(super) name: String,
    /// Whether it is in use, and no check failed lately.
    pub(super) is_up: bool,
    /// Whether it was taken out, and no check passed lately.
    pub(super) is_down: bool,
}

/// A way to the nodes: a frontend with a backend of its own, which has all of them.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// What the backend is called.
    pub(super) name: &'static str,
    /// The port of the nodes.
    pub(super) port: u16,
    /// What a line of a server has besides.
    pub(super) server: String,
    /// Which lines of the deployed backend it has.
    pub(super) is_kept: fn(&str) -> bool,
    /// Further lines.
    pub(super) more: &'static [&'static str],
}

impl Way {
    /// With all lines of the deployed backend.
    pub(super) fn new(name: &'static str, port: u16) -> Self {
        Self {
            name,
            port,
            server: String::new(),
            is_kept: |_| true,
            more: &[],
        }
    }
}

impl Counters {
    /// What was counted since an earlier moment.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            retries: self.retries.saturating_sub(before.retries),
            redispatches: self.redispatches.saturating_sub(before.redispatches),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            retries: self.retries + other.retries,
            redispatches: self.redispatches + other.redispatches,
        }
    }
}

/// What it says of its version.
pub(super) fn version() -> String {
    let line = super::first_line(PROGRAM, &["-v"]);
    line.split(" - ").next().unwrap_or_default().to_owned()
}

impl Haproxy {
    /// Writes a configuration for so many nodes into `directory`, and starts it. Its nodes are asked by HTTP and by
    /// HTTPS.
    pub(super) fn start(root: &Path, directory: &Path, nodes: u8) -> anyhow::Result<Self> {
        let authority = directory.join("ca.pem");
        let tls = format!(" ssl verify required ca-file {}", authority.display());
        let ways = [Way::new("files", 8080), Way::new("files_tls", 8443)];
        let [http, https] = ways;
        let https = Way {
            server: tls,
            ..https
        };
        Self::start_with(root, directory, nodes, &[http, https])
    }

    /// The same with other ways to the nodes.
    pub(super) fn start_with(
        root: &Path,
        directory: &Path,
        nodes: u8,
        ways: &[Way; 2],
    ) -> anyhow::Result<Self> {
        let deploy = std::fs::read_to_string(root.join(DEPLOY)).context(DEPLOY)?;
        let (file, socket) = (
            directory.join("haproxy.cfg"),
            directory.join("haproxy.sock"),
        );
        let text = configuration(&deploy, &socket, nodes, ways)?;
        std::fs::write(&file, text)?;
        let mut command = command(PROGRAM);
        // A master process in the foreground.
        command.args(["-W", "-f"]).arg(&file).stdin(Stdio::null());
        Ok(Self {
            process: Process::start(command, None, &directory.join("haproxy.log"))?,
            socket,
            before: Counters::default(),
        })
    }

    /// Whether it has ended, which it must not.
    pub(super) fn has_ended(&self) -> bool {
        self.process.has_ended()
    }

    /// The last that it wrote.
    pub(super) fn said(&self) -> String {
        self.process.said()
    }

    /// Asks the master for a new worker, which takes the listening sockets over (`-x`); the old one ends when
    /// its connections have (`-sf`). Answers the process of the old worker.
    pub(super) fn reload(&mut self) -> anyhow::Result<String> {
        let old = self.worker()?;
        self.before = self.counters()?;
        self.process.signal(Signal::SIGUSR2)?;
        Ok(old)
    }

    /// The process of the worker that accepts connections.
    pub(super) fn worker(&self) -> anyhow::Result<String> {
        let said = self.ask("show info")?;
        let line = said.lines().find_map(|line| line.strip_prefix("Pid: "));
        Ok(line
            .context("HAProxy does not tell its process")?
            .to_owned())
    }

    /// What was counted since the start. What an old worker counts after a reload is lost.
    pub(super) fn counters(&self) -> anyhow::Result<Counters> {
        Ok(self.before.and(counters(&self.ask("show stat")?)))
    }

    /// The servers of all backends.
    pub(super) fn servers(&self) -> anyhow::Result<Vec<Server>> {
        Ok(servers(&self.ask("show stat")?))
    }

    /// Requests under way of a backend.
    pub(super) fn under_way(&self, backend: &str) -> anyhow::Result<u64> {
        let said = self.ask("show stat")?;
        let is_its = |row: &BTreeMap<&str, &str>| {
            row.get("pxname") == Some(&backend) && row.get("svname") == Some(&"BACKEND")
        };
        let row = rows(&said).find(is_its).context("no such backend")?;
        let count = row.get("scur").context("no column scur")?;
        Ok(count.parse()?)
    }

    fn ask(&self, question: &str) -> anyhow::Result<String> {
        let mut stream = UnixStream::connect(&self.socket).context("the socket of HAProxy")?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        writeln!(stream, "{question}")?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    }
}

/// The configuration: sections of the deployed one with other addresses, and what a run needs around them.
fn configuration(
    deploy: &str,
    socket: &Path,
    nodes: u8,
    ways: &[Way; 2],
) -> anyhow::Result<String> {
    let mut out = format!(
        "global\n  log stdout format raw local0 notice\n  \
         stats socket {} mode 600 level admin expose-fd listeners\n  maxconn 2000\n",
        socket.display()
    );
    let defaults = section(deploy, "defaults")?;
    // Lines of each request would be the largest part of the load on the disk.
    let defaults = defaults.iter().filter(|line| **line != "option httplog");
    out += "defaults\n";
    defaults.for_each(|line| out += &format!("  {line}\n"));
    for (way, listens) in ways.iter().zip(PORTS) {
        let Way {
            name,
            port,
            server,
            is_kept,
            more,
        } = way;
        let at = balancer();
        // A `String` takes every write.
        let _ = writeln!(
            out,
            "frontend {name}_in\n  bind {at}:{listens}\n  option forwardfor\n  default_backend {name}\nbackend {name}"
        );
        let lines = section(deploy, "backend files")?;
        for line in lines.iter().filter(|line| is_kept(line)).chain(*more) {
            let _ = writeln!(out, "  {line}");
        }
        for node in 1..=nodes {
            let _ = writeln!(
                out,
                "  server node{node} {}:{port} id {node}{server}",
                address(node)
            );
        }
    }
    Ok(out)
}

/// The lines of a section but comments and servers.
fn section<'d>(deploy: &'d str, name: &str) -> anyhow::Result<Vec<&'d str>> {
    let mut lines = deploy.lines().skip_while(|line| *line != name);
    if lines.next().is_none() {
        bail!("{DEPLOY} has no section `{name}`");
    }
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with(' '));
    let lines = lines.map(str::trim);
    let is_kept =
        |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("server ");
    Ok(lines.filter(is_kept).collect())
}

/// The rows of `show stat`, each with its fields by name.
fn rows(csv: &str) -> impl Iterator<Item = BTreeMap<&str, &str>> {
    let mut lines = csv.lines();
    let names = lines.next().unwrap_or_default();
    let names: Vec<&str> = names.trim_start_matches("# ").split(',').collect();
    lines
        .filter(|line| !line.is_empty())
        .map(move |line| names.iter().copied().zip(line.split(',')).collect())
}

fn counters(csv: &str) -> Counters {
    let of_backends = rows(csv).filter(|row| row.get("svname") == Some(&"BACKEND"));
    let mut all = Counters::default();
    for row in of_backends {
        let number = |name| {
            row.get(name)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)
        };
        all = all.and(Counters {
            retries: number("wretr"),
            redispatches: number("wredis"),
        });
    }
    all
}

fn servers(csv: &str) -> Vec<Server> {
    let server = |row: BTreeMap<&str, &str>| {
        let (backend, name) = (*row.get("pxname")?, *row.get("svname")?);
        (!["BACKEND", "FRONTEND"].contains(&name)).then(|| Server {
            backend: backend.to_owned(),
            name: name.to_owned(),
            // `UP 1/2` is a server with a failed check.
            is_up: row.get("status") == Some(&"UP"),
            is_down: row.get("status") == Some(&"DOWN"),
        })
    };
    rows(csv).filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "\
# pxname,svname,scur,wretr,wredis,status,weight,
files_in,FRONTEND,3,,,OPEN,,
files,node1,1,5,2,UP,128,
files,node2,1,0,0,UP 1/2,128,
files,node3,0,0,0,DOWN,128,
files,BACKEND,2,7,2,UP,384,
files_tls,BACKEND,2,1,1,UP,384,

";

    #[test]
    fn counters_are_those_of_all_backends() {
        let found = counters(CSV);
        assert_eq!((found.retries, found.redispatches), (8, 3));
        let before = Counters {
            retries: 5,
            redispatches: 9,
        };
        assert_eq!(
            (
                found.since(before).retries,
                found.since(before).redispatches
            ),
            (3, 0)
        );
        assert_eq!(counters(""), Counters::default());
    }

    #[test]
    fn a_server_is_up_when_no_check_fails() {
        let servers = servers(CSV);
        let up: Vec<(&str, bool)> = servers.iter().map(|s| (s.name.as_str(), s.is_up)).collect();
        assert_eq!(up, [("node1", true), ("node2", false), ("node3", false)]);
        assert_eq!(servers[0].backend, "files");
    }

    #[test]
    fn the_lines_of_the_deployed_file_are_kept() {
        let root = crate::artifacts::root();
        let deploy = std::fs::read_to_string(root.join(DEPLOY)).expect("a file");
        let tls = Way {
            server: " ssl verify required ca-file /d/ca.pem".to_owned(),
            is_kept: |line| !line.starts_with("retries "),
            more: &["retries 0"],
            ..Way::new("other", 8443)
        };
        let ways = [Way::new("files", 8080), tls];
        let text = configuration(&deploy, Path::new("/d/s"), 3, &ways).expect("sections");
        for line in [
            "  hash-balance-factor 150\n",
            "  hash-type consistent sdbm avalanche\n",
            "  retry-on conn-failure empty-response 503\n",
            "  timeout connect 2s\n",
            "  server node3 10.77.0.3:8080 id 3\n",
            "  server node1 10.77.0.1:8443 id 1 ssl verify required ca-file /d/ca.pem\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        for line in ["\n  retries 2\n", "\n  retries 0\n"] {
            assert_eq!(text.matches(line).count(), 1, "{line}: {text}");
        }
        assert!(!text.contains("10.0.0.1:") && !text.contains('#'), "{text}");
        assert!(section(&deploy, "backend other").is_err());
    }
}
