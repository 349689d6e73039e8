//! The header of the PROXY protocol, in front of all else.
//!
//! It is looked at in the socket, and taken out of it when it is whole. So what stands behind it, a request or a TLS
//! handshake, is read as though there had been none, and nothing is kept meanwhile.

use super::transport::Fill;
use super::{Connection, State, Step};
use crate::clients::Admission;
use crate::clients::proxy::{HEADER_BYTES_MAX, Preamble, WrongPreamble, parse};
use crate::observe::counters::CloseReason;
use crate::socket::PeerAddress;
use crate::worker::Worker;

/// How long one that is refused may take for its request, in milliseconds: it does not count, and would hold a
/// descriptor for as long as any.
const REFUSED_MS: u64 = 1_000;
/// Why a connection is closed of which a part of the header has come.
const CUT: &str = "it ended within its PROXY header";
const LATE: &str = "its PROXY header took longer than --header-timeout";

impl Connection {
    /// In `Introducing`: looks whether the header has come.
    pub(super) fn introduce(&mut self, deadline_ms: u64, worker: &mut Worker) -> Step {
        let deadline_ms = worker.first_request_deadline_ms(deadline_ms);
        let wait = Step::Wait(State::Introducing { deadline_ms });
        if self.link.transport.is_drained() {
            return wait;
        }
        let mut scratch = std::mem::take(&mut worker.scratch);
        let room = scratch.len().min(HEADER_BYTES_MAX);
        let preamble = match self.link.transport.peek(&mut scratch[..room]) {
            Ok(Fill::Bytes(bytes)) => Some(parse(bytes)),
            Ok(Fill::WouldBlock) => None,
            // Nobody said a word.
            _ => {
                worker.scratch = scratch;
                return Step::Closed;
            }
        };
        worker.scratch = scratch;
        match preamble {
            None => wait,
            Some(Ok(Preamble::Partial)) if self.link.transport.has_ended() => {
                self.tell_wrong_header(CUT, worker);
                Step::Closed
            }
            Some(Ok(Preamble::Partial)) => {
                self.link.transport.wait_for_more();
                wait
            }
            Some(Ok(Preamble::Header { length, client })) => {
                if self.link.transport.skip(length).is_err() {
                    return Step::Closed;
                }
                self.link.client = client.map_or(self.link.remote, PeerAddress::Internet);
                self.welcome(worker)
            }
            Some(Err(wrong)) => {
                self.tell_wrong_header(WrongPreamble::as_str(wrong), worker);
                Step::Closed
            }
        }
    }

    /// The client is known: what it has to say comes next, unless it has too many connections.
    fn welcome(&mut self, worker: &Worker) -> Step {
        self.link.admission = worker.admit(self.link.client);
        if self.link.admission.is_refused() && self.is_handshaking() {
            return Step::Closed;
        }
        let first_ms = self.first_ms(worker.timeouts);
        Step::Go(State::Receiving {
            deadline_ms: worker.now_ms + first_ms,
        })
    }

    /// The time of the header is over.
    pub(super) fn end_introduction(&mut self, worker: &Worker) {
        if worker.is_draining() {
            self.closes_for(CloseReason::Shutdown);
        } else if !self.link.transport.has_nothing_to_read() {
            self.tell_wrong_header(LATE, worker);
        }
    }

    fn tell_wrong_header(&mut self, reason: &str, worker: &Worker) {
        self.closes_for(CloseReason::ProxyHeader);
        let diagnostics = &worker.services.diagnostics;
        diagnostics.warn_of_proxy_header(self.link.remote, reason);
    }
}

impl Admission {
    /// How long a connection may take for what comes first, where others have `usual_ms`.
    pub(super) fn bound_ms(&self, usual_ms: u64) -> u64 {
        match self {
            Self::Refused { .. } => usual_ms.min(REFUSED_MS),
            Self::Free | Self::Counted(_) => usual_ms,
        }
    }
}
