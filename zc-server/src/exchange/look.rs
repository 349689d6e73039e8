//! What others ask of an exchange.

use super::{Exchange, State, completion};
use crate::admin::status::Transfer;
use crate::observe::record::Client;

impl Exchange {
    /// When [`on_deadline`](Self::on_deadline) is due, in milliseconds of the worker's clock.
    pub(crate) fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    /// Whether a response is under way.
    pub(crate) fn is_sending(&self) -> bool {
        match self.state {
            State::Resolving { .. } | State::Resolved { .. } | State::Draining { .. } => false,
            State::Sending { .. } | State::Paused { .. } => true,
            State::Prefetching { .. } | State::Prefetched { .. } => true,
            State::Offloaded(_) | State::Returned(_) => true,
        }
    }

    /// Whether nothing is to be sent before the deadline.
    pub(crate) fn is_paused(&self) -> bool {
        matches!(self.state, State::Paused { .. })
    }

    /// What of its response is under way; `None` while there is none.
    pub(crate) fn transfer(&self, client: Client<'_>) -> Option<Transfer> {
        let (file, figures, measured) = match &self.state {
            State::Resolving { .. } | State::Resolved { .. } | State::Draining { .. } => {
                return None;
            }
            State::Sending { response, .. }
            | State::Paused { response }
            | State::Prefetching { response }
            | State::Prefetched { response, .. } => {
                let file = response.body.file().cloned();
                (file, response.figures(), response.end.measured)
            }
            State::Offloaded(offloaded) => offloaded.under_way(),
            State::Returned(returned) => returned.offloaded.under_way(),
        };
        Some(Transfer {
            client: client.address,
            file,
            path: completion::body_path(&figures, client),
            sent_bytes: figures.body_bytes,
            started_us: measured.started_us,
        })
    }

    /// Whether the disk is waited for, to send on.
    pub(crate) fn is_cold(&self) -> bool {
        matches!(self.state, State::Prefetching { .. } | State::Offloaded(_))
    }
}
