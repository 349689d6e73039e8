//! Errors of servers that are killed: those of the model beside those that a client counts.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::super::forecast::Operation;
use super::super::ring::Ring;
use super::super::trace::Catalogue;
use super::backends::Backends;
use super::haproxy::{Haproxy, Section};
use super::{Line, URLS};

/// Requests a second.
const RATE: f64 = 400.0;
/// When servers are killed, in parts of the interval since their last check. Times of kills are equally likely, so that
/// these two stand for all.
const KILLED_AT: [f64; 2] = [0.25, 0.75];
/// Seconds of requests before a kill, and after HAProxy should have taken the server out.
const MARGIN: f64 = 0.5;

/// Kills servers one after the other, under requests that come at equal intervals.
pub(super) fn compare(
    backends: &Backends,
    haproxy: &Haproxy,
    catalogue: &Catalogue,
    operation: &Operation,
) -> anyhow::Result<Line> {
    let (mut model, mut measured) = (0, 0);
    let mut down = Vec::new();
    for (victim, part) in KILLED_AT.into_iter().enumerate() {
        let ring = Ring::without(backends.addresses().count(), &down);
        let trial = Trial {
            backends,
            haproxy,
            catalogue,
            operation,
            victim,
        };
        let (expected, failed) = trial.run(&ring, part * operation.inter)?;
        model += expected;
        measured += failed;
        down.push(victim);
        haproxy.wait_for_state(Section::Checked, victim, "DOWN")?;
    }
    Ok(Line::new(
        "errors of two killed servers without retries",
        f64::from(model),
        f64::from(measured),
    ))
}

struct Trial<'a> {
    backends: &'a Backends,
    haproxy: &'a Haproxy,
    catalogue: &'a Catalogue,
    operation: &'a Operation,
    victim: usize,
}

impl Trial<'_> {
    /// Answers how many requests should fail, and how many did.
    fn run(&self, ring: &Ring, since_check: f64) -> anyhow::Result<(u32, u32)> {
        let began = Instant::now();
        let outage = Duration::from_secs_f64(self.operation.outage_seconds(since_check));
        let margin = Duration::from_secs_f64(MARGIN);
        let mut killed: Option<Instant> = None;
        let (mut expected, mut failed) = (0, 0);
        let objects = self.catalogue.objects.iter().take(URLS).cycle();
        for (number, object) in (0_u32..).zip(objects) {
            let due = began + Duration::from_secs_f64(f64::from(number) / RATE);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            if killed.is_none() && now > began + margin {
                let last = self.backends.last_check(self.victim);
                let last = last.context("HAProxy has not checked a server")?;
                let since = now.saturating_duration_since(last).as_secs_f64();
                if (since_check..since_check + 0.02).contains(&since) {
                    self.backends.kill(self.victim);
                    killed = Some(last + Duration::from_secs_f64(since_check));
                }
            }
            let is_hit = ring.node(object.key) == self.victim;
            if let Some(at) = killed {
                if now > at + outage + margin {
                    break;
                }
                expected += u32::from(is_hit && now < at + outage);
            }
            failed += u32::from(self.fails(&object.target));
        }
        Ok((expected, failed))
    }

    /// Whether a request on a connection of its own is not answered by a server.
    fn fails(&self, target: &str) -> bool {
        let client = self.haproxy.client(Section::Checked);
        let node = client.and_then(|mut client| client.ask(target));
        !matches!(node, Ok(Some(_)))
    }
}
