//! Network namespaces: one for the balancer and the clients, which this process enters, and one for each
//! node, connected by a veth pair to a bridge.
//!
//! None of them has a name. A namespace lives as long as a process or a descriptor is in it, so that nothing
//! is left of them after this process, however it ends.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::{Child, Command};

use anyhow::{Context, bail, ensure};
use nix::sched::{CloneFlags, setns, unshare};

/// The prefix of all addresses here.
const PREFIX: &str = "10.77.0";
/// The last number of the balancer's address. Nodes have 1 and up.
const BALANCER: u8 = 254;
/// How many nodes there is room for.
pub(super) const NODES_MAX: u8 = 64;
/// A queue before a link may delay a packet this long; a packet that would wait longer is dropped.
const QUEUE_MS: u32 = 50;
/// What a link may send at once, in milliseconds of its rate.
const BURST_MS: u64 = 10;
/// The least burst in bytes: the kernel's packets before segmentation must fit.
const BURST_BYTES_MIN: u64 = 64 << 10;

/// A rate of a link, in bits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate(pub(super) u64);

impl Rate {
    /// Reads `200mbit`, `1gbit` or `500kbit`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let unit = match &text[digits.len()..] {
            "kbit" => 1_000,
            "mbit" => 1_000_000,
            "gbit" => 1_000_000_000,
            _ => return Err("must be a number with kbit, mbit or gbit, such as 200mbit".to_owned()),
        };
        match digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
        {
            Some(bits) if bits >= 100_000 => Ok(Self(bits)),
            _ => Err("must be 100kbit or more".to_owned()),
        }
    }

    /// The same in words.
    pub(super) fn name(self) -> String {
        match self.0 {
            bits if bits.is_multiple_of(1_000_000_000) => {
                format!("{} Gbit/s", bits / 1_000_000_000)
            }
            bits if bits.is_multiple_of(1_000_000) => format!("{} Mbit/s", bits / 1_000_000),
            bits => format!("{} kbit/s", bits / 1_000),
        }
    }
}

/// The address of the balancer.
pub(super) fn balancer() -> String {
    format!("{PREFIX}.{BALANCER}")
}

/// The address of a node. The first is 1.
pub(super) fn address(node: u8) -> String {
    format!("{PREFIX}.{node}")
}

/// The namespace of the balancer, in which the main thread and all later ones are.
#[derive(Debug)]
pub(super) struct Network {
    home: File,
}

/// The namespace of a node.
#[derive(Debug)]
pub(super) struct Place {
    node: u8,
    namespace: File,
    home: File,
}

impl Network {
    /// Enters a new network namespace with a bridge, and a mount namespace. To be called before any other
    /// thread is started.
    pub(super) fn enter() -> anyhow::Result<Self> {
        enter_alone()?;
        run("ip link add zcbridge type bridge")?;
        run(&format!("ip address add {}/24 dev zcbridge", balancer()))?;
        run("ip link set zcbridge up")?;
        let home = current()?;
        Ok(Self { home })
    }

    /// Makes the namespace of a node, with links of this rate in both directions.
    pub(super) fn add(&self, node: u8, rate: Rate) -> anyhow::Result<Place> {
        unshare(CloneFlags::CLONE_NEWNET).context("unshare")?;
        let namespace = current()?;
        setns(&self.home, CloneFlags::CLONE_NEWNET).context("setns")?;
        let place = Place {
            node,
            namespace,
            home: self.home.try_clone()?,
        };
        let (port, inside) = (place.port(), place.path());
        run(&format!(
            "ip link add {port} type veth peer name eth0 netns {inside}"
        ))?;
        run(&format!("ip link set {port} master zcbridge up"))?;
        run(&format!("tc qdisc add dev {port} root {}", shape(rate)))?;
        place.run("ip link set lo up")?;
        place.run("ip link set eth0 up")?;
        place.run(&format!("ip address add {}/24 dev eth0", address(node)))?;
        place.run(&format!("tc qdisc add dev eth0 root {}", shape(rate)))?;
        Ok(place)
    }
}

impl Place {
    /// Its end of the link at the bridge.
    fn port(&self) -> String {
        format!("zcnode{}", self.node)
    }

    /// Where other programs find the namespace.
    fn path(&self) -> String {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.namespace.as_raw_fd()
        )
    }

    /// Starts a program in the namespace. For the main thread, which is in it meanwhile.
    pub(super) fn spawn(&self, command: &mut Command) -> anyhow::Result<Child> {
        setns(&self.namespace, CloneFlags::CLONE_NEWNET).context("setns")?;
        let child = command.spawn();
        setns(&self.home, CloneFlags::CLONE_NEWNET).context("setns")?;
        let name = command.get_program().to_string_lossy();
        child.with_context(|| format!("cannot start {name}"))
    }

    /// Takes the link away, or brings it back.
    pub(super) fn set_link(&self, is_up: bool) -> anyhow::Result<()> {
        let state = if is_up { "up" } else { "down" };
        run(&format!("ip link set {} {state}", self.port()))
    }

    /// Changes the rate of the link in both directions.
    pub(super) fn set_rate(&self, rate: Rate) -> anyhow::Result<()> {
        let shape = shape(rate);
        run(&format!("tc qdisc change dev {} root {shape}", self.port()))?;
        self.run(&format!("tc qdisc change dev eth0 root {shape}"))
    }

    /// Runs a command in the namespace.
    fn run(&self, line: &str) -> anyhow::Result<()> {
        setns(&self.namespace, CloneFlags::CLONE_NEWNET).context("setns")?;
        let outcome = run(line);
        setns(&self.home, CloneFlags::CLONE_NEWNET).context("setns")?;
        outcome
    }
}

/// Enters a new network namespace with loopback addresses alone, and a mount namespace. To be called before any
/// other thread is started.
pub(super) fn enter_alone() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("unshare")?;
    // Mounts that are made from here on are seen here alone, and end with this process.
    run("mount --make-rprivate /")?;
    run("ip link set lo up")
}

/// The network namespace of the calling thread.
fn current() -> anyhow::Result<File> {
    let path = "/proc/thread-self/ns/net";
    File::open(path).with_context(|| format!("cannot open {path}"))
}

/// The words of tc for a rate.
fn shape(Rate(bits): Rate) -> String {
    let burst = (bits / 8 * BURST_MS / 1000).max(BURST_BYTES_MIN);
    format!("tbf rate {bits}bit burst {burst}b latency {QUEUE_MS}ms")
}

/// Runs a command that has no quotes in it, and tells what it said if it fails.
pub(super) fn run(line: &str) -> anyhow::Result<()> {
    let mut words = line.split_whitespace();
    let Some(program) = words.next() else {
        bail!("no command");
    };
    let output = Command::new(program).args(words).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line}: {}", said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_unit() {
        assert_eq!(Rate::parse("200mbit"), Ok(Rate(200_000_000)));
        assert_eq!(Rate::parse("1gbit"), Ok(Rate(1_000_000_000)));
        assert_eq!(Rate(200_000_000).name(), "200 Mbit/s");
        assert_eq!(Rate(1_500_000).name(), "1500 kbit/s");
        for wrong in ["", "200", "mbit", "-1mbit", "1.5mbit", "1kbit", "200 mbit"] {
            assert!(Rate::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_burst_of_a_slow_link_has_room_for_a_packet_before_segmentation() {
        let fast = "tbf rate 200000000bit burst 250000b latency 50ms";
        assert_eq!(shape(Rate(200_000_000)), fast);
        assert!(shape(Rate(2_000_000)).contains("burst 65536b"));
    }
}
