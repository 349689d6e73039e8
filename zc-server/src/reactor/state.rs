//! What the workers share, and the handle that stops them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Instant;

use super::balance::Balance;
use super::drain::DrainCount;
use super::handshakes::Handshakes;
use super::room::ShedCount;
use crate::observe::counters::Process;

/// What the workers and the handle that stops them share.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub(crate) stopping: AtomicBool,
    pub(crate) connections: AtomicUsize,
    pub(crate) connections_max: AtomicUsize,
    pub(crate) handshakes: Handshakes,
    pub(crate) balance: Balance,
    pub(crate) shed: ShedCount,
    /// `None` where nobody is told what a drain waits for.
    pub(crate) drain: Option<DrainCount>,
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
        grace_ms: u64,
        balance: Balance,
        drain: Option<DrainCount>,
        process: Arc<Process>,
    ) -> Self {
        Self {
            stopping: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            connections_max: AtomicUsize::new(connections_max),
            handshakes: Handshakes::new(handshakes_max),
            balance,
            shed: ShedCount::default(),
            drain,
            grace_ms: AtomicU64::new(grace_ms),
            started: process.started,
            process,
        }
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
