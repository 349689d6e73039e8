//! The script: what happens to the nodes and to the balancer, one event after the other.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use super::content::shown_serial;
use super::load::{FIRST, SECOND};
use super::measure::Window;
use super::network::Rate;
use super::{Fleet, START_MAX};

/// How long a node may take to end: the drain delay and the grace period are within it.
const END_MAX: Duration = Duration::from_secs(90);
/// How long HAProxy may take to use all nodes again.
const UP_MAX: Duration = Duration::from_secs(60);
/// How long a node follows the old link after it was replaced: `--cache-ttl`, and half of it more.
const FOLLOWS: Duration = Duration::from_millis(1500);
/// After an event: requests that it held up end meanwhile, and count for it.
const SETTLES: Duration = Duration::from_secs(1);
/// The serial number of the second certificates.
const SECOND_SERIAL: u32 = 2;
/// A slow node has this part of its rate.
const SLOWER: u64 = 10;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Nothing.
    Quiet,
    /// Each node in turn gets SIGTERM, drains, ends, and is started again.
    Drain,
    /// Each node in turn gets SIGKILL, and is started again.
    Kill,
    /// The link of a node is down for a while.
    CutOff,
    /// The file system of a node, which has some of its files, answers nothing for a while.
    DiskHangs,
    /// The link of a node has a tenth of its rate for a while.
    SlowNode,
    /// HAProxy reads its configuration again.
    Reload,
    /// Each node in turn gets a new release.
    RollOut,
    /// Each node in turn gets a new certificate.
    Certificate,
    /// Nothing, once more: whether all is as it was.
    Afterwards,
}

impl Event {
    /// All, in their order.
    pub(super) const ALL: [Self; 10] = [
        Self::Quiet,
        Self::Drain,
        Self::Kill,
        Self::CutOff,
        Self::DiskHangs,
        Self::SlowNode,
        Self::Reload,
        Self::RollOut,
        Self::Certificate,
        Self::Afterwards,
    ];

    /// What it is called on the command line and in the results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Drain => "drain",
            Self::Kill => "kill",
            Self::CutOff => "cut-off",
            Self::DiskHangs => "disk-hangs",
            Self::SlowNode => "slow-node",
            Self::Reload => "reload",
            Self::RollOut => "roll-out",
            Self::Certificate => "certificate",
            Self::Afterwards => "afterwards",
        }
    }

    /// What it is called in tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Drain => "drain and restart, each node",
            Self::Kill => "SIGKILL and restart, each node",
            Self::CutOff => "a node is cut off",
            Self::DiskHangs => "a disk hangs",
            Self::SlowNode => "a node is ten times slower",
            Self::Reload => "HAProxy is reloaded",
            Self::RollOut => "new release, each node",
            Self::Certificate => "new certificate, each node",
            Self::Afterwards => "quiet again",
        }
    }
}

/// When an event was.
#[derive(Debug, Clone)]
pub(super) struct Happened {
    pub(super) window: Window,
    /// One for each node, where nodes have their turns.
    pub(super) steps: Vec<Window>,
    /// What else is to be told.
    pub(super) notes: Vec<String>,
}

impl Fleet {
    /// Has an event happen. It lasts `--event-seconds` or longer, and until HAProxy uses all nodes.
    pub(super) fn happen(&mut self, event: Event) -> anyhow::Result<Happened> {
        let from = self.elapsed();
        let began = Instant::now();
        let mut happened = Happened {
            window: Window { from, to: from },
            steps: Vec::new(),
            notes: Vec::new(),
        };
        match event {
            Event::Quiet | Event::Afterwards => {}
            Event::Drain => self.in_turn(&mut happened, Self::drain)?,
            Event::Kill => self.in_turn(&mut happened, Self::kill)?,
            Event::CutOff => self.cut_off()?,
            Event::DiskHangs => self.hang_a_disk()?,
            Event::SlowNode => self.slow_a_node()?,
            Event::Reload => self.reload(&mut happened)?,
            Event::RollOut => self.roll_out(&mut happened)?,
            Event::Certificate => self.in_turn(&mut happened, Self::certify)?,
        }
        self.wait(self.event.saturating_sub(began.elapsed()))?;
        self.wait_until_all_are_up()?;
        self.wait(SETTLES)?;
        happened.window.to = self.elapsed();
        Ok(happened)
    }

    /// Does something with each node, until HAProxy uses it again.
    fn in_turn(
        &mut self,
        happened: &mut Happened,
        act: fn(&mut Self, usize) -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        for index in 0..self.nodes.len() {
            let from = self.elapsed();
            let note = act(self, index)?;
            self.wait_until_all_are_up()?;
            let to = self.elapsed();
            happened.steps.push(Window { from, to });
            if !note.is_empty() {
                let number = self.nodes[index].number;
                happened.notes.push(format!("node {number}: {note}"));
            }
        }
        Ok(())
    }

    /// SIGTERM, the end, the start.
    fn drain(&mut self, index: usize) -> anyhow::Result<String> {
        self.nodes[index].signal(Signal::SIGTERM)?;
        self.wait_until("a node ends", END_MAX, |fleet| {
            Ok(fleet.nodes[index].has_ended())
        })?;
        let status = self.nodes[index].take_status()?;
        self.start_node(index)?;
        // Status 3: a response was cut at the end of the grace period.
        Ok(if status == "exit status: 0" {
            String::new()
        } else {
            status
        })
    }

    /// SIGKILL, the start.
    fn kill(&mut self, index: usize) -> anyhow::Result<String> {
        self.nodes[index].signal(Signal::SIGKILL)?;
        self.wait_until("a node ends", END_MAX, |fleet| {
            Ok(fleet.nodes[index].has_ended())
        })?;
        self.nodes[index].take_status()?;
        // Otherwise it can be back before HAProxy has made a check.
        self.wait(self.pause)?;
        self.start_node(index)?;
        Ok(String::new())
    }

    fn start_node(&mut self, index: usize) -> anyhow::Result<()> {
        self.nodes[index].start()?;
        self.wait_until("a node is ready", START_MAX, |fleet| {
            Ok(fleet.nodes[index].is_ready())
        })
    }

    fn cut_off(&self) -> anyhow::Result<()> {
        let place = &self.nodes.first().context("no node")?.place;
        place.set_link(false)?;
        let waited = self.wait(self.event);
        place.set_link(true)?;
        waited
    }

    fn hang_a_disk(&self) -> anyhow::Result<()> {
        let index = 1 % self.nodes.len();
        let disk = &self.nodes[index].disk;
        disk.hang()?;
        let waited = self.wait(self.event);
        disk.go_on()?;
        waited
    }

    fn slow_a_node(&self) -> anyhow::Result<()> {
        let index = 2 % self.nodes.len();
        let place = &self.nodes[index].place;
        place.set_rate(Rate(self.rate.0 / SLOWER))?;
        let waited = self.wait(self.event);
        place.set_rate(self.rate)?;
        waited
    }

    fn reload(&mut self, happened: &mut Happened) -> anyhow::Result<()> {
        let from = self.elapsed();
        let old = self.haproxy.reload()?;
        self.wait_until("HAProxy has a new worker", START_MAX, |fleet| {
            Ok(fleet.haproxy.worker().is_ok_and(|worker| worker != old))
        })?;
        let took = self.elapsed().saturating_sub(from);
        happened
            .notes
            .push(format!("new worker after {} ms", took.as_millis()));
        Ok(())
    }

    fn roll_out(&mut self, happened: &mut Happened) -> anyhow::Result<()> {
        self.load.expect(FIRST | SECOND);
        self.in_turn(happened, |fleet, index| {
            let node = &fleet.nodes[index];
            fleet.content.roll_out(node.number)?;
            fleet.wait(FOLLOWS)?;
            Ok(String::new())
        })?;
        // From here on a body of the first release is a wrong one.
        self.load.expect(SECOND);
        Ok(())
    }

    /// A new file, SIGHUP, and a wait until the node shows the new certificate.
    fn certify(&mut self, index: usize) -> anyhow::Result<String> {
        let node = &self.nodes[index];
        let authority = self.content.path("ca.pem");
        let address = node.tls_address();
        let before = shown_serial(&address, &authority)?;
        self.content.certify(node.number, SECOND_SERIAL)?;
        let from = self.elapsed();
        node.signal(Signal::SIGHUP)?;
        self.wait_until("a node shows its new certificate", START_MAX, |_| {
            Ok(shown_serial(&address, &authority)? != before)
        })?;
        let took = self.elapsed().saturating_sub(from);
        Ok(format!("shown after {} ms", took.as_millis()))
    }

    /// Waits until HAProxy uses all nodes.
    pub(super) fn wait_until_all_are_up(&self) -> anyhow::Result<()> {
        let expected = 2 * self.nodes.len();
        self.wait_until("HAProxy uses all nodes", UP_MAX, |fleet| {
            let dead = fleet.nodes.iter().find(|node| node.has_ended());
            if let Some(node) = dead {
                ensure!(false, "node {} ended: {}", node.number, node.said());
            }
            let is_over = fleet.haproxy.has_ended();
            ensure!(!is_over, "HAProxy ended: {}", fleet.haproxy.said());
            // Its socket is not there for a moment while it starts.
            let servers = fleet.haproxy.servers().unwrap_or_default();
            let up = servers.iter().filter(|server| server.is_up);
            Ok(servers.len() == expected && up.count() == expected)
        })
    }
}
