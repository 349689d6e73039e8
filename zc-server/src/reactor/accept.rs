//! New connections: taken from the listeners, placed with a worker, and given their first turn.

use std::io;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::room::Room;
use super::{Accepting, Reactor, Slot};
use crate::clients::Admission;
use crate::config::Scheme;
use crate::connection::transport::Transport;
use crate::connection::{Connection, Turn};
use crate::observe::counters::CloseReason;
use crate::reactor::listener::{Accept, accept};
use crate::socket::Stream;
#[cfg(feature = "tls")]
use crate::tls::Session;
use crate::worker::{Arrival, Shortage};

/// Connections accepted from one listener in one turn.
const ACCEPT_BATCH_MAX: usize = 64;
/// How long accepting rests when descriptors or connections are used up, in milliseconds. A
/// connection of this worker that ends wakes it earlier, and so does another worker that was asked for room.
const ACCEPT_PAUSE_MS: u64 = 100;

/// What an attempt to take one connection came to.
enum Accepted {
    /// It has a place among the connections, or was closed at once.
    Connection,
    /// None yet: the next attempt may.
    TryAgain,
    /// None, and when to look again.
    Nothing(Accepting),
}

impl Reactor {
    pub(super) fn accept_all(&mut self) {
        match self.accepting {
            Accepting::NextTurn => {}
            Accepting::After(time) if self.worker.now_ms >= time => {}
            _ => return,
        }
        self.accepting = Accepting::OnEdge;
        self.reserve.refill();
        let listeners = self.listeners.len();
        // Not always the same first: it could take every place for a handshake that becomes free.
        self.first_listener = (self.first_listener + 1) % listeners.max(1);
        let first = self.first_listener;
        for index in (first..listeners).chain(0..first) {
            let next = self.accept_from(index);
            match (self.accepting, next) {
                // A pause for want of descriptors holds for all listeners of this worker.
                (Accepting::After(_), _) | (_, Accepting::OnEdge) => {}
                _ => self.accepting = next,
            }
        }
        if self.accepting == Accepting::OnEdge {
            // Nobody waits here: another worker may have them.
            self.return_handshakes();
        }
    }

    pub(super) fn accept_from(&mut self, index: usize) -> Accepting {
        let scheme = self.listeners[index].spoken.scheme;
        for _ in 0..ACCEPT_BATCH_MAX {
            if !self.begin_handshake(scheme) {
                // A message tells when there is a place.
                return Accepting::OnEdge;
            }
            let next = self.accept_next(index);
            if !matches!(next, Accepted::Connection) {
                self.end_handshake(scheme);
            }
            if let Accepted::Nothing(accepting) = next {
                return accepting;
            }
        }
        Accepting::NextTurn
    }

    fn accept_next(&mut self, index: usize) -> Accepted {
        let pause = Accepting::After(self.worker.now_ms + ACCEPT_PAUSE_MS);
        // Counted before it is taken, so that the workers together never pass the limit.
        if self.shared.connections.fetch_add(1, Ordering::Relaxed)
            >= self.shared.connections_max.load(Ordering::Relaxed)
        {
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            return match self.make_room(index, Shortage::Connections) {
                Room::Made => Accepted::TryAgain,
                Room::Unneeded => Accepted::Nothing(Accepting::OnEdge),
                Room::Requested | Room::None => Accepted::Nothing(pause),
            };
        }
        let accepted = accept(&self.listeners[index].socket);
        if let Accept::Connection(stream, remote) = accepted {
            self.count_accepted();
            let spoken = self.listeners[index].spoken;
            let arrival = Arrival { remote, spoken };
            let balance = &self.shared.balance;
            if let Some(stream) = balance.place(stream, arrival, self.index) {
                self.insert(stream, arrival);
            }
            return Accepted::Connection;
        }
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        match accepted {
            Accept::WouldBlock => return Accepted::Nothing(Accepting::OnEdge),
            Accept::OutOfDescriptors(_) if self.worker.shed_descriptors() => {}
            Accept::OutOfDescriptors(error) => {
                match self.make_room(index, Shortage::Descriptors) {
                    Room::Made => return Accepted::TryAgain,
                    Room::Unneeded => return Accepted::Nothing(Accepting::OnEdge),
                    Room::Requested => return Accepted::Nothing(pause),
                    Room::None => {}
                }
                let is_refused = self.refuse_next(index);
                self.warn_of_shortage(&error, is_refused);
                if !is_refused {
                    return Accepted::Nothing(pause);
                }
            }
            Accept::Connection(..) | Accept::Aborted => {}
        }
        Accepted::TryAgain
    }

    fn warn_of_shortage(&self, error: &io::Error, is_refused: bool) {
        let what = if is_refused {
            "answering 503"
        } else {
            "trying again"
        };
        let line = format!(
            "cannot accept connections: {error}; {what}; raise the limit of open files (ulimit -n) or lower \
             --max-connections"
        );
        self.worker.services.diagnostics.warn_once_a_minute(line);
    }

    /// The first turn of a connection comes before its registration: the request is there already
    /// more often than not, and a connection that has no second one is never registered.
    ///
    /// A TLS handshake costs as much as many requests, and has its turn when it is one of few.
    pub(super) fn insert(&mut self, stream: Stream, arrival: Arrival) {
        let (remote, scheme) = (arrival.remote, arrival.spoken.scheme);
        // Where the PROXY protocol is spoken, the client is not known yet.
        let admission = if arrival.spoken.has_proxy_header {
            Admission::Free
        } else {
            self.worker.admit(remote)
        };
        let is_shut_out = admission.is_refused() && scheme == Scheme::Https;
        let transport = if is_shut_out {
            None
        } else {
            self.transport(stream, scheme)
        };
        let Some(transport) = transport else {
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            self.shared.balance.end(self.index);
            self.end_handshake(scheme);
            if let Some(counters) = &self.worker.counters {
                counters.count_closed(match is_shut_out {
                    true => CloseReason::Refused,
                    false => CloseReason::Error,
                });
            }
            return;
        };
        let (now_ms, timeouts) = (self.worker.now_ms, self.worker.timeouts);
        let connection = Connection::new(transport, arrival, admission, now_ms, timeouts);
        let token = self.slots.insert(|_| Slot {
            connection,
            queued: false,
            armed_ms: u64::MAX,
            phase: None,
            has_handshake_place: scheme == Scheme::Https,
        });
        let Some(slot) = self.slots.get_mut(token) else {
            return;
        };
        self.worker.token = token;
        let turn = match scheme {
            Scheme::Http => slot.connection.drive(&mut self.worker),
            Scheme::Https => Turn::Wait,
        };
        if turn == Turn::Closed {
            self.remove(token);
            return;
        }
        // One registration for the whole life of the connection, for both directions. It tells of
        // what has come meanwhile.
        let registered = slot.connection.register(self.poll.registry(), token);
        if let Err(error) = registered {
            let line = format!("connection from {remote} closed: cannot add it to epoll: {error}");
            self.worker.services.diagnostics.warn(line);
            self.remove(token);
            return;
        }
        self.after_turn(token, turn);
    }

    /// `None` where there can be no TLS.
    fn transport(&self, stream: Stream, scheme: Scheme) -> Option<Transport> {
        match scheme {
            Scheme::Http => Some(Transport::plain(stream)),
            #[cfg(feature = "tls")]
            Scheme::Https => {
                let acceptor = self.worker.services.acceptor.as_ref()?;
                let kernel = Arc::clone(&self.worker.services.kernel_sealing);
                let session = Session::new(&acceptor.current(), kernel).ok()?;
                Some(Transport::tls(stream, session))
            }
            #[cfg(not(feature = "tls"))]
            Scheme::Https => None,
        }
    }
}
