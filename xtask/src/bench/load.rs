//! Runs the load generator, and reads what it prints.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;

use super::Bench;
use super::arena::{URGENT, steal_ticks};
use super::process::Running;
use super::results::Load;
use super::tool::{End, Tool};

/// Beyond this part of the time taken by the host a figure is of the host.
pub(crate) const STEAL_MAX: f64 = 0.01;

/// Beyond this part of the time taken by the host a 99th percentile is of the host: it is decided in a
/// hundredth of the time.
pub(crate) const STEAL_MAX_OF_TAIL: f64 = 0.002;
/// How often one thing is measured at most, when the host takes the time away.
const TRIES_MAX: u32 = 3;

/// What a server is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    pub(crate) targets: String,
    pub(crate) connections: usize,
    pub(crate) close: bool,
    pub(crate) rate: Option<f64>,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) verify_every: u64,
    /// Whether the load generator goes before whatever else runs on its core, where that is allowed.
    pub(crate) is_urgent: bool,
}

/// What came of it, and what it took.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) load: Load,
    pub(crate) server_cpu_seconds: f64,
    pub(crate) steal: f64,
}

impl Bench {
    /// The command of the load generator.
    pub(crate) fn load_command(&self, address: SocketAddr, demand: &Demand) -> Command {
        let mut command = if demand.is_urgent && self.results.machine.urgent_client {
            let mut command = Command::new("chrt");
            command.args(URGENT).arg(&self.programs.bench);
            command
        } else {
            Command::new(&self.programs.bench)
        };
        command
            .arg("load")
            .arg("--address")
            .arg(address.to_string());
        command.arg("--target").arg(&demand.targets);
        command.arg("--root").arg(self.fixtures.root());
        command
            .arg("--connections")
            .arg(demand.connections.to_string());
        command
            .arg("--warm-up")
            .arg(demand.warm_up.as_secs_f64().to_string());
        command
            .arg("--seconds")
            .arg(demand.measured.as_secs_f64().to_string());
        command
            .arg("--verify-every")
            .arg(demand.verify_every.to_string());
        if demand.close {
            command.arg("--close");
        }
        if let Some(rate) = demand.rate {
            command.arg("--rate").arg(rate.to_string());
        }
        command
    }

    /// Loads a running server, and reads what its processes used between the beginning of the
    /// measurement and its end.
    pub(crate) fn measure(&self, server: &Running, demand: &Demand) -> anyhow::Result<Measured> {
        let command = self.load_command(server.address, demand);
        let loaded = || format!("the load on {}", server.name);
        let mut tool = Tool::start(command, End::Signal(Signal::SIGTERM))?;
        tool.line(&self.stop).with_context(loaded)?;
        let (usage_before, ticks_before) = (server.usage(), steal_ticks());
        let line = tool.line(&self.stop).with_context(loaded)?;
        let (usage, ticks) = (server.usage(), steal_ticks());
        let load = serde_json::from_str(&line).context("what the load generator printed")?;
        let all = ticks.1.saturating_sub(ticks_before.1).max(1);
        Ok(Measured {
            load,
            server_cpu_seconds: usage.cpu_seconds - usage_before.cpu_seconds,
            steal: ticks.0.saturating_sub(ticks_before.0) as f64 / all as f64,
        })
    }

    /// The quietest of a few, when the host took more than `steal_max` of the time away and as long as
    /// there are retries left.
    pub(crate) fn measure_quietly(
        &self,
        server: &Running,
        demand: &Demand,
        steal_max: f64,
        retries: &mut u32,
    ) -> anyhow::Result<Measured> {
        let mut quietest = self.measure(server, demand)?;
        for _ in 1..TRIES_MAX {
            if quietest.steal <= steal_max || *retries == 0 || self.is_stopped() {
                break;
            }
            *retries -= 1;
            let again = self.measure(server, demand)?;
            if again.steal < quietest.steal {
                quietest = again;
            }
        }
        Ok(quietest)
    }
}
