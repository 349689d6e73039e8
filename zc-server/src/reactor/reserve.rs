//! A descriptor that is kept in reserve: where all others are in use, a new connection gets it for as long as it takes
//! to answer 503.

use std::fs::File;

use super::Reactor;
use crate::config::Scheme;
use crate::connection::refuse::refuse;
use crate::reactor::listener::{Accept, accept};
use crate::worker::Arrival;

/// A descriptor to be given up for another; `None` while there is none to be had.
#[derive(Debug, Default)]
pub(super) struct Reserve(Option<File>);

impl Reserve {
    pub(super) fn new() -> Self {
        let mut reserve = Self::default();
        reserve.refill();
        reserve
    }

    /// Takes a descriptor if it has none.
    pub(super) fn refill(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }
}

impl Reactor {
    /// Answers the next connection of a listener with 503, by the descriptor in reserve. False where that cannot be:
    /// over TLS an answer takes a handshake, and the connection waits.
    pub(super) fn refuse_next(&mut self, listener: usize) -> bool {
        let listener = &self.listeners[listener];
        let spoken = listener.spoken;
        if spoken.scheme != Scheme::Http || self.reserve.0.take().is_none() {
            return false;
        }
        let accepted = accept(&listener.socket);
        let is_refused = match accepted {
            Accept::Connection(stream, remote) => {
                refuse(stream, Arrival { remote, spoken }, &mut self.worker);
                true
            }
            // Another thread was faster, or nobody waits any more.
            _ => false,
        };
        self.reserve.refill();
        is_refused
    }
}
