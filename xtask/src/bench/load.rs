//! Runs the load generator, and reads what it prints.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;

use super::Bench;
use super::arena::URGENT;
use super::process::Running;
use super::results::Load;
use super::scenarios::Tls;
use super::tool::{End, Tool};
use super::watch::{Repeats, Seen, Sharing, Watch, quietest};

/// Beyond this part of the time taken by the host a figure is of the host.
pub(crate) const STEAL_MAX: f64 = 0.01;

/// Beyond this part of the time taken by the host a 99th percentile is of the host: it is decided in a
/// hundredth of the time.
pub(crate) const STEAL_MAX_OF_TAIL: f64 = 0.002;

/// How many responses have ended in a window at least: of fewer neither a rate nor a latency can be
/// told.
pub(crate) const RESPONSES_MIN: u64 = 20;

/// What a server is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    pub(crate) targets: String,
    pub(crate) connections: usize,
    pub(crate) close: bool,
    pub(crate) rate: Option<f64>,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// How many responses must have ended before the measurement does, unless there is a rate.
    pub(crate) responses_min: u64,
    /// How long it may take at most for want of them.
    pub(crate) measured_max: Duration,
    pub(crate) verify_every: u64,
    /// Whether the load generator goes before whatever else runs on its core, where that is allowed.
    pub(crate) is_urgent: bool,
    /// How the client speaks TLS; `None` for plain HTTP.
    pub(crate) tls: Option<Tls>,
}

/// What came of it, and what it took.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) load: Load,
    pub(crate) server_cpu_seconds: f64,
    pub(crate) seen: Seen,
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
        let seconds = |time: Duration| time.as_secs_f64().to_string();
        command.arg("load").arg("--root").arg(self.fixtures.root());
        for (option, value) in [
            ("--address", address.to_string()),
            ("--target", demand.targets.clone()),
            ("--connections", demand.connections.to_string()),
            ("--warm-up", seconds(demand.warm_up)),
            ("--seconds", seconds(demand.measured)),
            ("--responses-min", demand.responses_min.to_string()),
            ("--seconds-max", seconds(demand.measured_max)),
            ("--verify-every", demand.verify_every.to_string()),
        ] {
            command.arg(option).arg(value);
        }
        if demand.close {
            command.arg("--close");
        }
        if let Some(tls) = demand.tls {
            command
                .arg("--tls-certificate")
                .arg(self.programs.certificate());
            command.args(["--tls-cipher", tls.cipher]);
            command.args(tls.resume.then_some("--tls-resume"));
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
        let loaded = || format!("load on {}", server.name);
        let mut tool = Tool::start(command, End::Signal(Signal::SIGTERM))?;
        let mut watch = Watch::new(&self.results.machine, Sharing::Apart);
        tool.line(&self.stop).with_context(loaded)?;
        watch.begin();
        let line = tool.line(&self.stop).with_context(loaded)?;
        let seen = watch.end();
        let load: Load =
            serde_json::from_str(&line).context("cannot read the output of the load generator")?;
        let seen = seen.beside(load.seconds);
        Ok(Measured {
            load,
            server_cpu_seconds: seen.cpu_seconds(server.number()),
            seen,
        })
    }

    /// The quietest of a few, where other programs or the host disturbed the first.
    pub(crate) fn measure_quietly(
        &mut self,
        server: &Running,
        demand: &Demand,
        repeats: &mut Repeats,
    ) -> anyhow::Result<Measured> {
        let stop = Arc::clone(&self.stop);
        let measure = |again: Option<&str>| {
            if let Some(why) = again {
                self.progress.again(why);
            }
            self.measure(server, demand)
        };
        quietest(
            repeats,
            &stop,
            |measured: &Measured| &measured.seen,
            measure,
        )
    }
}
