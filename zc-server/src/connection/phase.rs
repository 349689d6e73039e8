//! What the metrics tell of a connection: what it does, and why it is closed.

use super::{Connection, State};
use crate::admin::status::Transfer;
use crate::exchange::{Outcome, Peer};
use crate::observe::counters::{CloseReason, Phase};

impl Connection {
    /// What it does between two turns.
    pub(crate) fn phase(&self) -> Phase {
        match &self.state {
            State::Idle { .. } => Phase::Idle,
            State::Receiving { .. } if self.is_handshaking() => Phase::Handshake,
            State::Introducing { .. } | State::Receiving { .. } => Phase::Reading,
            State::Exchanging(exchange) if exchange.is_cold() || !exchange.is_sending() => {
                Phase::Waiting
            }
            State::Exchanging(_) => Phase::Sending,
            State::Ending { .. } | State::Lingering { .. } | State::Closed => Phase::Closing,
        }
    }

    /// What of a response is under way.
    pub(crate) fn transfer(&self) -> Option<Transfer> {
        match &self.state {
            State::Exchanging(exchange) => exchange.transfer(self.link.client()),
            _ => None,
        }
    }

    /// It is about to be closed. The first reason counts: what comes later follows from it.
    pub(crate) fn closes_for(&mut self, reason: CloseReason) {
        self.close_reason.get_or_insert(reason);
    }

    /// Why it is closed. Where nothing else was the reason, the client has ended it.
    pub(crate) fn close_reason(&self) -> CloseReason {
        if self.link.admission.is_refused() {
            return CloseReason::Refused;
        }
        self.close_reason.unwrap_or(CloseReason::Client)
    }
}

/// Why a connection is closed whose last exchange ended so.
pub(super) fn reason_of(outcome: Option<Outcome>) -> CloseReason {
    match outcome {
        Some(Outcome::PeerGone) => CloseReason::Client,
        Some(Outcome::Stalled) => CloseReason::SendTimeout,
        Some(Outcome::TooSlow) => CloseReason::TooSlow,
        Some(Outcome::DiskTimeout) => CloseReason::DiskTimeout,
        Some(Outcome::Shutdown) => CloseReason::Shutdown,
        Some(Outcome::Truncated | Outcome::Modified | Outcome::Failed) => CloseReason::Error,
        Some(Outcome::Complete) | None => CloseReason::Complete,
    }
}
