//! A connection: what its socket is doing, and every transition between that. What one request and its
//! response are doing is an [`Exchange`]; how bytes are taken in and requests answered is in `receive`.
//!
//! ```text
//! state       event                                next
//! ----------  -----------------------------------  ------------------------------------------
//! Introducing the header of the PROXY protocol     Receiving
//!             no such header, the peer ends, or    Closed
//!             fails, deadline
//! Idle        bytes come                           Receiving
//!             the peer fails                       Closed
//!             the peer ends, deadline              Ending where TLS has more to send, else Closed
//!             the server drains                    Closed
//! Receiving   a complete head, all of it sent      Receiving at once where bytes are there already
//!                                                  (pipelined ones raise no edge), else Idle
//!             a complete head, more to be done     Exchanging
//!             a head that must be refused          Exchanging, then Lingering
//!             the peer ends, or fails              Closed
//!             TLS that is wrong                    Ending, which sends the alert
//!             deadline, bytes of a head there      Exchanging (408), then Closed
//!             deadline, nothing there              Closed
//!             the server drains                    the same with less time, of a first request; else Closed
//! Exchanging  over, keep-alive                     Receiving or Idle, as above
//!             over, the peer's last request        Closed, or Lingering where bytes are left unread
//!             over, close                          Ending where TLS has more to send, else Lingering
//!             over, close at once                  Closed
//!             cut or failed                        Closed
//! Ending      the socket has taken everything      Lingering
//!             the peer fails, or takes nothing     Closed
//! Lingering   the peer ends, fails or deadline     Closed
//! ```

mod ending;
#[cfg(feature = "tls")]
mod handshake;
mod input;
mod introduce;
mod link;
mod phase;
mod plain;
mod receive;
pub(crate) mod refuse;
#[cfg(feature = "tls")]
mod secure;
pub(crate) mod transport;

use std::io;

use mio::{Registry, Token};
use zc_http::Status;

use crate::clients::Admission;
use crate::connection::input::Input;
use crate::connection::link::Link;
use crate::connection::phase::reason_of;
use crate::connection::transport::Transport;
use crate::exchange::{Ending, Exchange, Next};
use crate::observe::counters::CloseReason;
use crate::rate::Bucket;
use crate::respond::response::{AfterResponse, Asked, ExchangeId};
use crate::worker::{Arrival, Done, Timeouts, Worker};

/// Responses in one turn of one connection: pipelined requests must not starve the others.
const TURN_RESPONSES_MAX: u32 = 32;
/// Reads in one turn while a body is drained or a connection lingers.
const TURN_READS_MAX: u32 = 64;

/// What a connection needs next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// An event, or its deadline.
    Wait,
    /// An event, or this time, in milliseconds of the worker's clock: it is not to send before.
    Pause(u64),
    /// Another turn: it could go on.
    Again,
    /// Nothing: it is over, to be dropped.
    Closed,
}

/// Whether a connection does something, as far as its worker knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idleness {
    Busy,
    /// Between two requests.
    Kept,
    /// A request has still to begin. Bytes of a handshake may have come.
    Silent,
}

/// One accepted connection.
#[derive(Debug)]
pub(crate) struct Connection {
    link: Link,
    input: Input,
    state: State,
    /// Requests whose responses have begun.
    requests: u64,
    /// Whether its last response had to wait for the disk.
    was_cold: bool,
    /// Why it is about to be closed, as soon as that is known.
    close_reason: Option<CloseReason>,
}

#[derive(Debug)]
enum State {
    /// The header of the PROXY protocol is waited for.
    Introducing { deadline_ms: u64 },
    /// Between requests, with nothing of the next one.
    Idle { deadline_ms: u64 },
    /// Waiting for a head, or for the rest of one.
    Receiving { deadline_ms: u64 },
    /// A request is being answered. Nothing is read but its body.
    Exchanging(Exchange),
    /// All is accepted, and TLS has records for which the socket had no room. With them our side is closed.
    Ending {
        deadline_ms: u64,
        /// What the peer had not acknowledged when the deadline was set.
        queued_bytes: u64,
    },
    /// Our side is closed; what the peer still sends is dropped.
    Lingering { deadline_ms: u64 },
    /// Over: to be dropped.
    Closed,
}

/// How much more may be done in this turn.
#[derive(Debug)]
struct Allowance {
    responses: u32,
    reads: u32,
}

/// What one transition leads to.
#[derive(Debug)]
enum Step {
    /// The requests that have come are answered: what comes next follows from the input.
    Served,
    /// The same, and the turn is over.
    TurnOver,
    Go(State),
    Wait(State),
    Pause(Exchange),
    Again(State),
    Closed,
}

impl Connection {
    pub(crate) fn new(
        transport: Transport,
        arrival: Arrival,
        admission: Admission,
        now_ms: u64,
        timeouts: Timeouts,
    ) -> Self {
        let mut connection = Self {
            link: Link {
                transport,
                remote: arrival.remote,
                client: arrival.remote,
                admission,
                is_gone: false,
                bucket: Bucket::default(),
            },
            input: Input::default(),
            state: State::Closed,
            requests: 0,
            was_cold: false,
            close_reason: None,
        };
        connection.state = if arrival.spoken.has_proxy_header {
            State::Introducing {
                deadline_ms: now_ms + timeouts.header_ms,
            }
        } else {
            State::Receiving {
                deadline_ms: now_ms + connection.first_ms(timeouts),
            }
        };
        connection
    }

    /// The time for a TLS handshake, or where there is none for the first request.
    fn first_ms(&self, timeouts: Timeouts) -> u64 {
        #[cfg(feature = "tls")]
        if self.is_handshaking() {
            return timeouts.handshake_ms;
        }
        self.link.admission.bound_ms(timeouts.header_ms)
    }

    /// Has `registry` tell of its events, under `token`.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.link.transport.register(registry, token)
    }

    /// A readable edge; `ending` when it says that the peer has ended its side.
    pub(crate) fn on_readable(&mut self, ending: bool) {
        self.link.transport.on_readable(ending);
    }

    /// A writable edge.
    pub(crate) fn on_writable(&mut self) {
        if let State::Exchanging(exchange) = &mut self.state {
            exchange.on_writable();
        }
    }

    /// The peer is gone altogether, and not only done with sending.
    pub(crate) fn on_gone(&mut self) {
        self.link.is_gone = true;
    }

    /// What a thread has done for the exchange `to`.
    pub(crate) fn on_done(&mut self, to: ExchangeId, done: Done) {
        self.on_exchange(|exchange| exchange.on_done(to, done));
    }

    /// What the exchange `to` requested of the disk has been read, or cannot be.
    pub(crate) fn on_read(&mut self, to: ExchangeId, result: io::Result<()>) {
        self.on_exchange(|exchange| exchange.on_read(to, result));
    }

    fn on_exchange(&mut self, transition: impl FnOnce(Exchange) -> Exchange) {
        self.state = match self.take_state() {
            State::Exchanging(exchange) => State::Exchanging(transition(exchange)),
            state => state,
        };
    }

    /// Whether a response is under way.
    pub(crate) fn is_sending(&self) -> bool {
        matches!(&self.state, State::Exchanging(exchange) if exchange.is_sending())
    }

    /// Whether there is a response to be waited for: under way, or about to be.
    pub(crate) fn has_response(&self) -> bool {
        matches!(self.state, State::Exchanging(_))
    }

    /// Whether it has a request under way, or a part of one.
    pub(crate) fn idleness(&self) -> Idleness {
        match self.state {
            State::Idle { .. } => Idleness::Kept,
            State::Introducing { .. } => Idleness::Silent,
            State::Receiving { .. } if self.input.is_empty() => Idleness::Silent,
            _ => Idleness::Busy,
        }
    }

    /// Whether no byte has come that its worker does not know of.
    pub(crate) fn has_nothing_to_read(&self) -> bool {
        self.link.transport.has_nothing_to_read()
    }

    /// Whether its TLS handshake is not over yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.link.transport.is_handshaking()
    }

    /// Whether its requests are for cold files, as far as the last one tells.
    pub(crate) fn was_cold(&self) -> bool {
        self.was_cold
    }

    /// When [`on_deadline`](Self::on_deadline) is due, in milliseconds of the worker's clock.
    pub(crate) fn deadline_ms(&self) -> u64 {
        match &self.state {
            State::Introducing { deadline_ms }
            | State::Idle { deadline_ms }
            | State::Receiving { deadline_ms }
            | State::Ending { deadline_ms, .. }
            | State::Lingering { deadline_ms } => *deadline_ms,
            State::Exchanging(exchange) => exchange.deadline_ms(),
            State::Closed => 0,
        }
    }

    /// When its pause is over, if it has one.
    pub(crate) fn pause_end_ms(&self) -> Option<u64> {
        match &self.state {
            State::Exchanging(exchange) if exchange.is_paused() => Some(exchange.deadline_ms()),
            _ => None,
        }
    }

    /// The state, to be gone on from. Who takes it leaves another.
    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Closed)
    }

    /// Goes from state to state until the connection must wait, has had its turn, or is over.
    pub(crate) fn drive(&mut self, worker: &mut Worker) -> Turn {
        let mut allowance = Allowance {
            responses: TURN_RESPONSES_MAX,
            reads: TURN_READS_MAX,
        };
        worker.scheme = self.link.transport.scheme();
        let mut state = self.take_state();
        loop {
            let (next, turn) = match self.step(state, &mut allowance, worker) {
                Step::Go(next) => {
                    state = next;
                    continue;
                }
                Step::Served => {
                    state = self.next_request(worker);
                    continue;
                }
                Step::TurnOver => (self.next_request(worker), Turn::Again),
                Step::Wait(next) => (next, Turn::Wait),
                Step::Pause(exchange) => {
                    let turn = Turn::Pause(exchange.deadline_ms());
                    (State::Exchanging(exchange), turn)
                }
                Step::Again(next) => (next, Turn::Again),
                Step::Closed => return Turn::Closed,
            };
            self.state = next;
            return turn;
        }
    }

    fn step(&mut self, state: State, allowance: &mut Allowance, worker: &mut Worker) -> Step {
        let is_sending = matches!(state, State::Exchanging(_));
        if !is_sending && self.link.transport.flush().is_err() {
            return Step::Closed;
        }
        match state {
            State::Idle { .. } | State::Receiving { .. } => self.receive(state, allowance, worker),
            State::Introducing { deadline_ms } => self.introduce(deadline_ms, worker),
            State::Exchanging(exchange) => {
                let (used, next) = exchange.step(self.input.bytes(), &mut self.link, worker);
                self.input.consume(used);
                self.follow(next, allowance, worker)
            }
            state @ State::Ending { .. } => self.go_on_ending(state, worker),
            State::Lingering { deadline_ms } => {
                self.input.clear();
                self.read_for(State::Lingering { deadline_ms }, allowance, worker)
            }
            State::Closed => Step::Closed,
        }
    }

    /// What an exchange needs → what the connection does.
    fn follow(&mut self, next: Next, allowance: &mut Allowance, worker: &mut Worker) -> Step {
        match next {
            Next::Go(exchange) => Step::Go(State::Exchanging(exchange)),
            Next::Wait(exchange) => {
                self.was_cold |= exchange.is_cold();
                Step::Wait(State::Exchanging(exchange))
            }
            Next::Pause(exchange) => Step::Pause(exchange),
            Next::Yield(exchange) => Step::Again(State::Exchanging(exchange)),
            Next::ReadBody(exchange) => {
                self.read_for(State::Exchanging(exchange), allowance, worker)
            }
            Next::TakeHead(id, pending) => self.serve_input(Some((id, pending)), allowance, worker),
            Next::Over(after) => {
                let has_more = !self.input.is_empty();
                allowance.responses = allowance.responses.saturating_sub(1);
                match self.after(after, has_more, worker) {
                    Some(step) => step,
                    None if allowance.responses == 0 => Step::TurnOver,
                    None => Step::Served,
                }
            }
            Next::End(ending) => {
                self.closes_for(reason_of(worker.turn.outcome));
                self.link.end(ending);
                Step::Closed
            }
        }
    }

    /// The deadline has passed. `Again` means that an answer is to be sent first.
    pub(crate) fn on_deadline(&mut self, worker: &mut Worker) -> Turn {
        worker.scheme = self.link.transport.scheme();
        let next = match self.take_state() {
            State::Receiving { .. } if !self.input.is_empty() => {
                self.closes_for(CloseReason::HeaderTimeout);
                let (status, after) = (Status::RequestTimeout, AfterResponse::Close);
                Next::Yield(Exchange::refusing(
                    self.input.bytes(),
                    status,
                    after,
                    Asked::default(),
                    worker,
                ))
            }
            State::Exchanging(exchange) => {
                exchange.on_deadline(self.input.bytes(), &mut self.link, worker)
            }
            State::Introducing { .. } => {
                self.end_introduction(worker);
                Next::End(Ending::Close)
            }
            State::Idle { .. } => {
                self.closes_for(CloseReason::IdleTimeout);
                return self.end_idle(worker);
            }
            State::Receiving { .. } => return self.end_silent(worker),
            State::Ending { queued_bytes, .. } => {
                let queued_now = self.link.transport.unacknowledged_bytes();
                if queued_now != queued_bytes {
                    self.state = self.ending(worker);
                    return Turn::Wait;
                }
                self.closes_for(CloseReason::SendTimeout);
                Next::End(Ending::Reset)
            }
            State::Lingering { .. } | State::Closed => Next::End(Ending::Close),
        };
        let mut allowance = Allowance {
            responses: 1,
            reads: 0,
        };
        match self.follow(next, &mut allowance, worker) {
            Step::Again(state) | Step::Go(state) => {
                self.state = state;
                Turn::Again
            }
            Step::Wait(state) => {
                self.state = state;
                Turn::Wait
            }
            Step::Pause(exchange) => {
                let turn = Turn::Pause(exchange.deadline_ms());
                self.state = State::Exchanging(exchange);
                turn
            }
            Step::Served | Step::TurnOver => {
                self.state = self.next_request(worker);
                Turn::Again
            }
            Step::Closed => Turn::Closed,
        }
    }

    /// The grace period is over. Answers whether a response was cut.
    pub(crate) fn cut(mut self, worker: &mut Worker) -> bool {
        match self.take_state() {
            State::Exchanging(exchange) => {
                let ending = exchange.cut(self.input.bytes(), &mut self.link, worker);
                self.link.end(ending);
                true
            }
            State::Introducing { .. }
            | State::Idle { .. }
            | State::Receiving { .. }
            | State::Ending { .. }
            | State::Lingering { .. }
            | State::Closed => false,
        }
    }

    /// The state between two requests, or within one of which bytes are there.
    fn next_request(&self, worker: &Worker) -> State {
        if self.input.is_empty() {
            State::Idle {
                deadline_ms: worker.now_ms + worker.timeouts.idle_ms,
            }
        } else {
            State::Receiving {
                deadline_ms: worker.now_ms + worker.timeouts.header_ms,
            }
        }
    }
}

#[cfg(test)]
mod tests;
