//! The end of a server: no more connections, and time for responses under way.

use std::sync::atomic::{AtomicUsize, Ordering};

use mio::Token;

use super::{Accepting, Reactor, enqueue};
use crate::observe::counters::CloseReason;
use crate::text::counted;
use crate::worker::Life;

/// Batches of connections taken from one listener before it is closed; more than its queue holds.
const DRAIN_BATCHES_MAX: usize = 32;

/// How long a connection that was accepted has for its first request from the beginning of the drain on, in
/// milliseconds: several round trips, so that a TLS handshake and the request behind it arrive.
const FIRST_REQUEST_MS: u64 = 1_000;

/// Counts what each worker has under way when its drain begins.
#[derive(Debug)]
pub(crate) struct DrainCount {
    /// Workers that have not told yet.
    workers: AtomicUsize,
    responses: AtomicUsize,
    connections: AtomicUsize,
}

impl DrainCount {
    pub(crate) fn of_workers(workers: usize) -> Self {
        Self {
            workers: AtomicUsize::new(workers),
            responses: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        }
    }

    /// Adds what a worker has: responses under way, and connections that are open. The last worker gets the
    /// line for the operator, if there is anything to wait for.
    pub(crate) fn add(
        &self,
        responses: usize,
        connections: usize,
        grace_ms: u64,
    ) -> Option<String> {
        self.responses.fetch_add(responses, Ordering::AcqRel);
        self.connections.fetch_add(connections, Ordering::AcqRel);
        if self.workers.fetch_sub(1, Ordering::AcqRel) > 1 {
            return None;
        }
        let responses = self.responses.load(Ordering::Acquire);
        let connections = self.connections.load(Ordering::Acquire);
        let what = match (responses, connections) {
            (0, 0) => return None,
            (0, _) => counted(connections as u64, "connection") + " being closed",
            _ => counted(responses as u64, "response") + " in progress",
        };
        let grace = match grace_ms {
            whole if whole % 1000 == 0 => format!("{} s", whole / 1000),
            part => format!("{part} ms"),
        };
        Some(format!(
            "{what}, waiting at most {grace}; press Ctrl-C again to stop now"
        ))
    }
}

impl Reactor {
    /// Whether the drain is to begin now. From the moment that it is asked for, every response ends its connection.
    pub(super) fn is_drain_due(&mut self) -> bool {
        let is_draining = self.worker.is_draining();
        let Some(at_ms) = self.shared.drain_at_ms().filter(|_| !is_draining) else {
            return false;
        };
        self.worker.life = Life::Leaving;
        at_ms <= self.worker.now_ms
    }

    /// When the next part of the end begins.
    pub(super) fn next_end_ms(&self) -> Option<u64> {
        match self.grace_deadline_ms {
            None => self.shared.drain_at_ms(),
            deadline_ms => deadline_ms,
        }
    }

    /// No new connections, no idle ones; responses under way have the grace period, and first requests a part of it.
    pub(super) fn begin_drain(&mut self) {
        self.worker.life = Life::Draining {
            first_request_until_ms: self.worker.now_ms + FIRST_REQUEST_MS,
        };
        for listener in &mut self.listeners {
            listener.leave_path();
        }
        // Closing a listener resets who has connected and was not accepted yet.
        for index in 0..self.listeners.len() {
            // Of a shared socket the queue stays, for who listens on it next.
            if self.listeners[index].is_shared {
                continue;
            }
            for _ in 0..DRAIN_BATCHES_MAX {
                if self.accept_from(index) != Accepting::NextTurn {
                    break;
                }
            }
        }
        self.accepting = Accepting::Stopped;
        for mut listener in self.listeners.drain(..) {
            // What is open elsewhere stays registered although our descriptor is closed. It fails for what is not
            // registered alone.
            let _ = self.poll.registry().deregister(&mut listener.socket);
        }
        self.return_handshakes();
        self.worker.mailbox.close();
        self.take_messages();
        self.grace_deadline_ms =
            Some(self.worker.now_ms + self.shared.grace_ms.load(Ordering::Relaxed));
        // Each has a turn in which it closes, or answers what has arrived already.
        for token in self.slots.tokens() {
            if let Some(slot) = self.slots.get_mut(token) {
                enqueue(&mut self.ready, token, slot);
            }
        }
    }

    /// Tells what is left after the first turn of the drain, in which idle connections have closed.
    pub(super) fn count_drain(&mut self) {
        let tokens = self.slots.tokens();
        let connections = tokens.len();
        let mut has_response = |token: &Token| {
            let slot = self.slots.get_mut(*token);
            slot.is_some_and(|slot| slot.connection.has_response())
        };
        let responses = tokens.iter().filter(|token| has_response(token)).count();
        let grace_ms = self.shared.grace_ms.load(Ordering::Relaxed);
        let drain = self.shared.drain.as_ref();
        let line = drain.and_then(|drain| drain.add(responses, connections, grace_ms));
        if let Some(line) = line {
            self.worker.services.diagnostics.warn(line);
        }
    }

    /// True when nothing is left to be served; cuts what is left when the grace period is over.
    pub(super) fn drained(&mut self) -> bool {
        if self
            .grace_deadline_ms
            .is_some_and(|end| self.worker.now_ms >= end)
        {
            for token in self.slots.tokens() {
                if let Some(mut slot) = self.slots.remove(token) {
                    slot.connection.closes_for(CloseReason::Shutdown);
                    self.count_closed(&slot);
                    self.cut += usize::from(slot.connection.cut(&mut self.worker));
                }
            }
            self.worker.flush_log();
        }
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_worker_says_what_all_have() {
        let count = DrainCount::of_workers(3);
        assert_eq!(count.add(1, 2, 30_000), None);
        assert_eq!(count.add(0, 0, 30_000), None);
        let line = "3 responses in progress, waiting at most 30 s; press Ctrl-C again to stop now";
        assert_eq!(count.add(2, 2, 30_000).as_deref(), Some(line));
        let line =
            "1 connection being closed, waiting at most 1500 ms; press Ctrl-C again to stop now";
        assert_eq!(
            DrainCount::of_workers(1).add(0, 1, 1500).as_deref(),
            Some(line)
        );
        let line = "1 response in progress, waiting at most 1 s; press Ctrl-C again to stop now";
        assert_eq!(
            DrainCount::of_workers(1).add(1, 1, 1000).as_deref(),
            Some(line)
        );
        assert_eq!(DrainCount::of_workers(1).add(0, 0, 1000), None);
    }
}
