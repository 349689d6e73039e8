//! How a connection ends: what was accepted reaches the peer first.

use super::{Connection, State, Step, Turn};
use crate::config::Scheme;
use crate::observe::counters::CloseReason;
use crate::respond::response::AfterResponse;
use crate::worker::Worker;

/// How long a peer may go on sending after our last byte, in milliseconds: enough for it to read
/// the answer before a reset would discard it.
pub(super) const LINGER_MS: u64 = 5_000;

impl Connection {
    /// What comes after a response that was sent as a whole. `None` when the next request may be
    /// taken; `has_more` tells whether bytes of it are there.
    pub(super) fn after(
        &mut self,
        after: AfterResponse,
        has_more: bool,
        worker: &Worker,
    ) -> Option<Step> {
        let may_close = match after {
            AfterResponse::KeepAlive if !self.link.transport.must_end() => return None,
            AfterResponse::KeepAlive => false,
            AfterResponse::Close => true,
            // Closed with bytes unread, the socket would answer with a reset.
            AfterResponse::Finish => !has_more && !self.link.transport.may_have_bytes(),
            AfterResponse::Linger => false,
        };
        self.closes_for(CloseReason::Complete);
        // A peer that sends close_notify to a socket that is closed is answered by a reset, which drops what it was not sent.
        let is_plain = self.link.transport.scheme() == Scheme::Http;
        if may_close && is_plain && self.link.transport.finish() {
            return Some(Step::Closed);
        }
        Some(self.close_write(worker))
    }

    /// Closes our side, behind what TLS still has to send. What the peer sends from now on is dropped.
    pub(super) fn close_write(&mut self, worker: &Worker) -> Step {
        match self.link.transport.close_write() {
            Ok(()) => {
                self.input.clear();
                Step::Go(self.ending(worker))
            }
            Err(_) => Step::Closed,
        }
    }

    /// Ends a connection between two requests. The kernel keeps what TCP has accepted when a socket is closed, but not
    /// what waits in its TLS for room: that is waited for.
    pub(super) fn end_in_order(&mut self, worker: &Worker) -> Step {
        if self.link.transport.finish() {
            Step::Closed
        } else {
            self.close_write(worker)
        }
    }

    /// The same for one that is to be closed although nothing has come of it.
    pub(super) fn end_idle(&mut self, worker: &Worker) -> Turn {
        match self.end_in_order(worker) {
            Step::Go(state) => {
                self.state = state;
                Turn::Again
            }
            _ => Turn::Closed,
        }
    }

    /// The same for one whose first request, or next one, has not come in its time.
    pub(super) fn end_silent(&mut self, worker: &Worker) -> Turn {
        if self.is_new_in_drain(worker) {
            self.closes_for(CloseReason::Shutdown);
        } else {
            #[cfg(feature = "tls")]
            {
                self.link.transport.on_handshake_timeout();
                self.tell_failed_handshake(worker);
            }
            self.closes_for(CloseReason::HeaderTimeout);
        }
        self.end_idle(worker)
    }

    /// The same for one whose memory is needed. It goes at once, unless the end of a response would be lost.
    pub(crate) fn shed(&mut self, worker: &Worker) -> Turn {
        self.closes_for(CloseReason::Room);
        if self.link.transport.finish() || !self.link.transport.is_in_kernel() {
            Turn::Closed
        } else {
            self.end_idle(worker)
        }
    }

    /// The state in which the socket has not taken everything, with the time that the peer has to take more.
    pub(super) fn ending(&self, worker: &Worker) -> State {
        State::Ending {
            deadline_ms: worker.now_ms + worker.timeouts.send_ms,
            queued_bytes: self.link.transport.unacknowledged_bytes(),
        }
    }

    /// In `Ending`, after the transport was flushed.
    pub(super) fn go_on_ending(&mut self, state: State, worker: &Worker) -> Step {
        if !self.link.transport.is_ending() {
            Step::Go(State::Lingering {
                deadline_ms: worker.now_ms + LINGER_MS,
            })
        } else if self.link.is_gone {
            Step::Closed
        } else {
            Step::Wait(state)
        }
    }
}
