//! How a TLS handshake ended: it is counted, a failed one is told, and plain HTTP is refused.

use zc_http::Status;

use super::{Connection, State, Step};
use crate::exchange::Exchange;
use crate::observe::counters::{CloseReason, HandshakeResult};
use crate::respond::response::{AfterResponse, Asked};
use crate::worker::Worker;

impl Connection {
    /// Counts a handshake that is over.
    pub(super) fn count_handshake(&self, worker: &Worker) {
        let (info, counters) = (self.link.transport.tls_info(), &worker.counters);
        if let (Some(info), Some(counters)) = (info, counters) {
            counters.count_handshake(match info.is_resumed {
                true => HandshakeResult::Resumed,
                false => HandshakeResult::Full,
            });
        }
    }

    /// Tells the operator of a handshake that has failed, if one has.
    pub(super) fn tell_failed_handshake(&mut self, worker: &Worker) {
        if let Some(failed) = self.link.transport.take_failed_handshake() {
            self.closes_for(CloseReason::Handshake);
            if let Some(counters) = &worker.counters {
                counters.count_handshake(HandshakeResult::Failed);
            }
            let diagnostics = &worker.services.diagnostics;
            let name = failed.server_name.as_deref();
            diagnostics.warn_of_handshake(self.link.client, name, &failed.reason);
        }
    }

    /// The answer to a peer that speaks HTTP where it should speak TLS, in plain.
    pub(super) fn refuse_plain(&mut self, bytes: &[u8], worker: &mut Worker) -> Step {
        self.tell_failed_handshake(worker);
        self.link.transport.give_up_tls();
        let (status, after) = (Status::BadRequest, AfterResponse::Linger);
        let asked = Asked {
            is_not_https: true,
            ..Asked::default()
        };
        let exchange = Exchange::refusing(bytes, status, after, asked, worker);
        Step::Go(State::Exchanging(exchange))
    }
}
