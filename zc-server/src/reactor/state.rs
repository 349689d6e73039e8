//! What the workers share, and the handle that stops them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use super::balance::Balance;
use super::drain::DrainCount;
use super::handshakes::Handshakes;
use super::room::ShedCount;
use crate::observe::counters::Process;

/// Stands for a drain that nobody has asked for.
const NEVER: u64 = u64::MAX;

/// How long the end of a server takes, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndTimes {
    /// How long it goes on accepting.
    pub(crate) drain_delay_ms: u64,
    /// How long responses under way have from then on.
    pub(crate) grace_ms: u64,
}

/// What the workers and the handle that stops them share.
#[derive(Debug)]
pub(crate) struct ServerState {
    /// When the drain begins, in milliseconds of the server's clock, or [`NEVER`].
    drain_at_ms: AtomicU64,
    pub(crate) connections: AtomicUsize,
    pub(crate) connections_max: AtomicUsize,
    pub(crate) handshakes: Handshakes,
    pub(crate) balance: Balance,
    pub(crate) shed: ShedCount,
    /// `None` where nobody is told what a drain waits for.
    pub(crate) drain: Option<DrainCount>,
    pub(crate) drain_delay_ms: AtomicU64,
    pub(crate) grace_ms: AtomicU64,
    /// The origin of the clocks of all workers.
    pub(crate) started: Instant,
    /// What the process tells of itself on the admin listener.
    pub(crate) process: Arc<Process>,
}

impl ServerState {
    /// That of a server without a connection.
    pub(crate) fn new(
        connections_max: usize,
        handshakes_max: Option<usize>,
        ending: EndTimes,
        balance: Balance,
        drain: Option<DrainCount>,
        process: Arc<Process>,
    ) -> Self {
        Self {
            drain_at_ms: AtomicU64::new(NEVER),
            connections: AtomicUsize::new(0),
            connections_max: AtomicUsize::new(connections_max),
            handshakes: Handshakes::new(handshakes_max),
            balance,
            shed: ShedCount::default(),
            drain,
            drain_delay_ms: AtomicU64::new(ending.drain_delay_ms),
            grace_ms: AtomicU64::new(ending.grace_ms),
            started: process.started,
            process,
        }
    }

    /// Has the drain begin in `delay_ms`, unless it was to begin sooner.
    pub(crate) fn drain_in(&self, delay_ms: u64) {
        let at_ms = self.now_ms().saturating_add(delay_ms);
        self.drain_at_ms.fetch_min(at_ms, Ordering::AcqRel);
    }

    /// When the drain begins or began, in milliseconds of the server's clock, if anybody has asked for it.
    pub(crate) fn drain_at_ms(&self) -> Option<u64> {
        let at_ms = self.drain_at_ms.load(Ordering::Acquire);
        (at_ms != NEVER).then_some(at_ms)
    }

    /// The server's clock.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }
}

impl ServerState {
    /// A place is free: it goes to the next worker that takes it.
    pub(super) fn free_handshake(&self) {
        while let Some(worker) = self.handshakes.give_back() {
            if self.balance.offer_handshake(worker) {
                return;
            }
        }
    }

    /// Changes how many handshakes may be under way.
    #[cfg(feature = "tls")]
    pub(crate) fn set_handshakes_max(&self, max: Option<usize>) {
        for worker in self.handshakes.set_max(max) {
            if !self.balance.offer_handshake(worker) {
                self.free_handshake();
            }
        }
    }
}
