//! A connection: its states, and every transition between them.
//!
//! ```text
//! state      event                              next
//! ---------  ---------------------------------  ------------------------------------------
//! Idle       bytes come                         Receiving
//!            the peer ends or fails, deadline   closed
//! Receiving  a complete head, no body           Sending
//!            a complete head, a small body      Draining
//!            a complete head, the disk first    Resolving
//!            a head that must be refused        Sending, then Lingering
//!            the peer ends, or fails            closed
//!            deadline, bytes of a head there    Sending 408, then closed
//!            deadline, nothing there            closed
//! Resolving  the disk has told enough           Sending or Draining
//!            the disk has to tell more          Resolving
//!            the peer is gone                   closed
//!            deadline                           Sending 504, then Lingering
//! Draining   the body has ended                 Sending
//!            malformed or longer than allowed   Sending 400 or 413, then Lingering
//!            deadline                           Sending 408, then closed
//! Sending    complete, keep-alive               Receiving at once where bytes are there already
//!                                               (pipelined ones raise no edge), else Idle
//!            complete, close                    Lingering
//!            the socket is full                 Sending, resumed at the next writable edge
//!            the budget is spent                Sending, resumed from the ready queue
//!            the disk would have to be waited   Fetching
//!            for
//!            deadline, the queue has moved      Sending
//!            file truncated, peer gone, stalled closed
//! Fetching   a thread has sent what it could    as Sending, by how it stopped
//!            nothing could be read yet          Sending 500, then Lingering
//!            the peer is gone                   closed
//!            deadline, nothing sent yet         Sending 504, then Lingering
//!            deadline                           closed
//! Lingering  the peer ends, fails or deadline   closed
//! ```

use std::net::SocketAddr;

use mio::net::TcpStream;
use zc_core::{Progress, SendError};
use zc_http::{Drain, Parse, Status, parse};

use crate::context::{Context, Timeouts};
use crate::disk::{Answer, Ticket, Work};
use crate::exchange::{Exchange, Outcome, Response, Then, accept_request, ask, refusal};
use crate::input::{Fill, Input};
use crate::outgoing::{Figures, Outgoing};
use crate::respond::Known;

/// How long a peer may go on sending after our last byte, in milliseconds: enough for it to read
/// the answer before a reset would discard it.
const LINGER_MS: u64 = 5_000;
/// Responses in one turn of one connection: pipelined requests must not starve the others.
const TURN_RESPONSES_MAX: u32 = 32;
/// Reads in one turn while a body is drained or a connection lingers.
const TURN_READS_MAX: u32 = 64;

/// What a connection needs next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// An event, or its deadline.
    Wait,
    /// Another turn: it could go on.
    Again,
    /// Nothing: it is over, to be dropped.
    Closed,
}

/// One accepted connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    remote: SocketAddr,
    input: Input,
    state: State,
    readiness: Readiness,
    /// The peer takes nothing any more, as an event told.
    gone: bool,
}

/// What a read could bring, as the edges told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    /// Nothing until the next edge.
    Drained,
    Readable,
    /// The peer has ended its side: every read says something, in the end that it is over.
    Ending,
}

#[derive(Debug)]
enum State {
    /// Between requests, with nothing of the next one.
    Idle { deadline_ms: u64 },
    /// Waiting for a head, or for the rest of one.
    Receiving { deadline_ms: u64 },
    /// Waiting for what the disk is asked. The head stays in the input, and is taken again when the
    /// answer is there; then there is no ticket.
    Resolving {
        known: Box<Known>,
        ticket: Option<Ticket>,
        deadline_ms: u64,
    },
    /// Reading and dropping a request body; the response is ready.
    Draining {
        drain: Drain,
        response: Box<Response>,
        deadline_ms: u64,
    },
    Sending {
        response: Box<Response>,
        deadline_ms: u64,
        /// What the kernel held for the peer when the deadline was set; 0 until the socket is full.
        queued_bytes: u64,
    },
    /// A thread carries the response on, since the disk has to be waited for.
    Fetching {
        /// Without what is sent, which the thread has.
        response: Box<Response>,
        fetch: Box<Fetch>,
        deadline_ms: u64,
    },
    /// Our side is closed; what the peer still sends is dropped.
    Lingering { deadline_ms: u64 },
}

/// What a thread carries on, seen from here.
#[derive(Debug)]
struct Fetch {
    ticket: Ticket,
    /// What was done before the thread had it.
    before: Figures,
    /// Whether the socket became writable since: that edge comes once.
    writable: bool,
    /// What came back.
    sent: Option<(Box<Outgoing>, Result<Progress, SendError>)>,
}

/// What one transition leads to.
enum Step {
    /// The head is not complete.
    More,
    Go(State),
    Wait(State),
    Again(State),
    Closed,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        remote: SocketAddr,
        now_ms: u64,
        timeouts: Timeouts,
    ) -> Self {
        Self {
            stream,
            remote,
            input: Input::default(),
            state: State::Receiving {
                deadline_ms: now_ms + timeouts.header_ms,
            },
            readiness: Readiness::Readable,
            gone: false,
        }
    }

    pub(crate) fn stream_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// A readable edge; `ending` when it says that the peer has ended its side.
    pub(crate) fn on_readable(&mut self, ending: bool) {
        if ending {
            self.readiness = Readiness::Ending;
        } else if self.readiness == Readiness::Drained {
            self.readiness = Readiness::Readable;
        }
    }

    /// A writable edge.
    pub(crate) fn on_writable(&mut self) {
        if let State::Fetching { fetch, .. } = &mut self.state {
            fetch.writable = true;
        }
    }

    /// The peer is gone altogether, and not only done with sending.
    pub(crate) fn on_gone(&mut self) {
        self.gone = true;
    }

    /// When [`on_deadline`](Self::on_deadline) is due, in milliseconds of the worker's clock.
    pub(crate) fn deadline_ms(&self) -> u64 {
        match self.state {
            State::Idle { deadline_ms }
            | State::Receiving { deadline_ms }
            | State::Resolving { deadline_ms, .. }
            | State::Draining { deadline_ms, .. }
            | State::Sending { deadline_ms, .. }
            | State::Fetching { deadline_ms, .. }
            | State::Lingering { deadline_ms } => deadline_ms,
        }
    }

    /// Goes from state to state until the connection must wait, has had its turn, or is over.
    pub(crate) fn drive(&mut self, context: &mut Context) -> Turn {
        let mut responses_left = TURN_RESPONSES_MAX;
        let mut reads_left = TURN_READS_MAX;
        let mut state = std::mem::replace(&mut self.state, State::Lingering { deadline_ms: 0 });
        loop {
            let step = match state {
                State::Idle { deadline_ms } => self.idle(deadline_ms, context),
                State::Receiving { deadline_ms } => self.receive(deadline_ms, context),
                State::Resolving {
                    ticket: Some(_), ..
                } if self.gone => Step::Closed,
                State::Resolving {
                    ticket: Some(_), ..
                } => Step::Wait(state),
                State::Resolving {
                    known,
                    ticket: None,
                    ..
                } => self.take_request(*known, context),
                State::Fetching {
                    response,
                    fetch,
                    deadline_ms,
                } => self.fetched(response, fetch, deadline_ms, &mut responses_left, context),
                State::Draining {
                    drain,
                    response,
                    deadline_ms,
                } => self.drain(drain, response, deadline_ms, &mut reads_left, context),
                State::Sending {
                    response,
                    deadline_ms,
                    queued_bytes,
                } => {
                    let stall = (deadline_ms, queued_bytes);
                    self.send(response, stall, &mut responses_left, context)
                }
                State::Lingering { deadline_ms } => {
                    self.linger(deadline_ms, &mut reads_left, context)
                }
            };
            let (next, turn) = match step {
                Step::Go(next) => {
                    state = next;
                    continue;
                }
                Step::Wait(next) => (next, Turn::Wait),
                Step::Again(next) => (next, Turn::Again),
                Step::Closed | Step::More => return Turn::Closed,
            };
            self.state = next;
            return turn;
        }
    }

    /// The deadline has passed. `Again` means that an answer is to be sent first.
    pub(crate) fn on_deadline(&mut self, context: &mut Context) -> Turn {
        let state = std::mem::replace(&mut self.state, State::Lingering { deadline_ms: 0 });
        match state {
            State::Idle { .. } => Turn::Closed,
            State::Receiving { .. } if self.input.is_empty() => Turn::Closed,
            State::Receiving { .. } => {
                self.state = self.refusal(Status::RequestTimeout, Then::Close, context);
                Turn::Again
            }
            State::Resolving { .. } => {
                self.state = self.refusal(Status::GatewayTimeout, Then::Linger, context);
                Turn::Again
            }
            State::Draining { response, .. } => {
                let timeout = Status::RequestTimeout;
                let instead = response.refused_instead(timeout, Then::Close, context);
                self.state = sending(instead, context);
                Turn::Again
            }
            State::Sending {
                response,
                queued_bytes,
                ..
            } => self.on_stall(response, queued_bytes, context),
            State::Fetching {
                response, fetch, ..
            } => self.on_disk_timeout(*response, &fetch, context),
            State::Lingering { .. } => Turn::Closed,
        }
    }

    /// No byte was accepted for as long as a reader may rest. A full socket accepts again only when
    /// a third of its buffer is free, so that a slow reader is told from a dead one by whether the
    /// kernel got rid of anything meanwhile.
    fn on_stall(
        &mut self,
        response: Box<Response>,
        queued_before: u64,
        context: &mut Context,
    ) -> Turn {
        let queued_bytes = self.queued_bytes();
        if queued_bytes < queued_before {
            self.state = State::Sending {
                response,
                deadline_ms: context.now_ms + context.timeouts.stall_ms,
                queued_bytes,
            };
            return Turn::Wait;
        }
        response.end(self.remote, Outcome::Stalled, context);
        self.reset_on_close();
        Turn::Closed
    }

    /// The disk has not answered in time. While nothing is sent the client can be told.
    fn on_disk_timeout(
        &mut self,
        response: Response,
        fetch: &Fetch,
        context: &mut Context,
    ) -> Turn {
        let was_taken_back = fetch.ticket.cancel();
        let line = format!("the disk did not answer in time for {}", self.remote);
        context.site.diagnostics.say(line);
        if was_taken_back && fetch.before.head_bytes == 0 {
            let status = Status::GatewayTimeout;
            let instead = response.refused_instead(status, Then::Linger, context);
            self.state = sending(instead, context);
            return Turn::Again;
        }
        response.record(self.remote, Outcome::DiskTimeout, fetch.before, context);
        self.cut_off();
        Turn::Closed
    }

    /// Ends the connection for the peer, whoever else has a descriptor of it.
    fn cut_off(&self) {
        // Refused only on a socket that is gone already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    /// What the kernel holds for the peer, sent or not, and has no acknowledgement of.
    fn queued_bytes(&self) -> u64 {
        zc_core::send_queue_bytes(&self.stream).unwrap_or(0)
    }

    /// Lets the kernel drop what the peer does not take, instead of keeping it for minutes.
    fn reset_on_close(&self) {
        // Refused only on a socket that is gone already.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO));
    }

    /// The grace period is over. Answers whether a response was cut.
    pub(crate) fn cut(self, context: &mut Context) -> bool {
        let mut connection = self;
        let lingering = State::Lingering { deadline_ms: 0 };
        match std::mem::replace(&mut connection.state, lingering) {
            State::Sending { response, .. } | State::Draining { response, .. } => {
                response.end(connection.remote, Outcome::Shutdown, context);
                connection.reset_on_close();
                true
            }
            State::Fetching {
                response, fetch, ..
            } => {
                let before = fetch.before;
                response.record(connection.remote, Outcome::Shutdown, before, context);
                connection.cut_off();
                true
            }
            // A request that waits for the disk has no response yet, and is cut all the same.
            State::Resolving { .. } => true,
            State::Idle { .. } | State::Receiving { .. } | State::Lingering { .. } => false,
        }
    }

    /// What the disk was asked has come. It is for nobody when the connection has given up.
    pub(crate) fn on_answer(&mut self, answer: Answer) {
        match (&mut self.state, answer) {
            (State::Fetching { fetch, .. }, Answer::Sent(outgoing, result)) => {
                fetch.sent = Some((outgoing, result));
            }
            (State::Resolving { known, ticket, .. }, answer) => {
                known.add(answer);
                *ticket = None;
            }
            _ => {}
        }
    }

    fn idle(&mut self, deadline_ms: u64, context: &mut Context) -> Step {
        match self.fill(context) {
            Filled::Bytes => Step::Go(State::Receiving {
                deadline_ms: context.now_ms + context.timeouts.header_ms,
            }),
            Filled::Nothing if context.stopping => Step::Closed,
            Filled::Nothing => Step::Wait(State::Idle { deadline_ms }),
            Filled::Closed => Step::Closed,
        }
    }

    fn receive(&mut self, deadline_ms: u64, context: &mut Context) -> Step {
        if !self.input.is_empty() {
            match self.take_request(Known::default(), context) {
                Step::More => {}
                step => return step,
            }
        }
        // The deadline stands from the first byte of a head: later bytes do not move it.
        match self.fill(context) {
            Filled::Bytes => Step::Go(State::Receiving { deadline_ms }),
            // The server drains, and of a request nothing has come.
            Filled::Nothing if context.stopping && self.input.is_empty() => Step::Closed,
            Filled::Nothing => Step::Wait(State::Receiving { deadline_ms }),
            Filled::Closed => Step::Closed,
        }
    }

    /// Takes the head that the input begins with. `known` is what the disk has told of it already.
    fn take_request(&mut self, known: Known, context: &mut Context) -> Step {
        let request = match parse(self.input.bytes(), &context.limits) {
            Ok(Parse::Complete(request)) => request,
            Ok(Parse::Partial) => return Step::More,
            Err(error) => return Step::Go(self.refusal(error.status(), Then::Linger, context)),
        };
        let head_bytes = request.head_bytes;
        match accept_request(&request, known, context) {
            Exchange::Wait(known, ticket) => Step::Wait(State::Resolving {
                known,
                ticket: Some(ticket),
                deadline_ms: context.now_ms + context.timeouts.disk_ms,
            }),
            Exchange::Respond(response, drain) => {
                self.input.consume(head_bytes);
                Step::Go(match drain {
                    None => sending(response, context),
                    Some(drain) => State::Draining {
                        drain,
                        response,
                        deadline_ms: context.now_ms + context.timeouts.header_ms,
                    },
                })
            }
        }
    }

    fn drain(
        &mut self,
        mut drain: Drain,
        response: Box<Response>,
        deadline_ms: u64,
        reads_left: &mut u32,
        context: &mut Context,
    ) -> Step {
        match drain.consume(self.input.bytes()) {
            Ok(drained) => {
                self.input.consume(drained.consumed);
                if drained.done {
                    return Step::Go(sending(response, context));
                }
            }
            Err(error) => {
                let instead = response.refused_instead(error.status(), Then::Linger, context);
                return Step::Go(sending(instead, context));
            }
        }
        let state = State::Draining {
            drain,
            response,
            deadline_ms,
        };
        if *reads_left == 0 {
            return Step::Again(state);
        }
        *reads_left -= 1;
        match self.fill(context) {
            Filled::Bytes => Step::Go(state),
            Filled::Nothing => Step::Wait(state),
            Filled::Closed => Step::Closed,
        }
    }

    /// Where a stalled send is resumed: `HeadThenFile::advance` goes on at the byte where it stopped.
    fn send(
        &mut self,
        mut response: Box<Response>,
        (deadline_ms, queued_bytes): (u64, u64),
        responses_left: &mut u32,
        context: &mut Context,
    ) -> Step {
        let Some(outgoing) = &mut response.outgoing else {
            return Step::Closed;
        };
        let before = outgoing.accepted();
        let answer = outgoing.advance(&self.stream, context.budget_bytes);
        // An edge without progress moves neither the deadline nor what the queue is measured by.
        let (deadline_ms, queued_bytes) = if outgoing.accepted() > before {
            (context.now_ms + context.timeouts.stall_ms, 0)
        } else {
            (deadline_ms, queued_bytes)
        };
        match answer {
            Ok(Progress::WouldBlock) => Step::Wait(State::Sending {
                response,
                deadline_ms,
                queued_bytes: match queued_bytes {
                    0 => self.queued_bytes(),
                    known => known,
                },
            }),
            Ok(Progress::BudgetSpent) => Step::Again(State::Sending {
                response,
                deadline_ms,
                queued_bytes: 0,
            }),
            Ok(Progress::NeedsDisk(_)) => self.fetch(response, context),
            answer => self.after_response(*response, answer, responses_left, context),
        }
    }

    /// Has a thread carry the response on, since the disk has to be waited for.
    fn fetch(&mut self, mut response: Box<Response>, context: &mut Context) -> Step {
        use std::os::fd::AsFd;
        let (Some(outgoing), Ok(socket)) = (
            response.outgoing.take(),
            self.stream.as_fd().try_clone_to_owned(),
        ) else {
            let line = format!("out of descriptors for {}", self.remote);
            context.site.diagnostics.say(line);
            response.end(self.remote, Outcome::Failed, context);
            return Step::Closed;
        };
        let before = outgoing.figures();
        match ask(response.key, Work::Send(outgoing, socket), context) {
            Some(ticket) => Step::Wait(State::Fetching {
                response,
                fetch: Box::new(Fetch {
                    ticket,
                    before,
                    writable: false,
                    sent: None,
                }),
                deadline_ms: context.now_ms + context.timeouts.disk_ms,
            }),
            None if before.head_bytes == 0 => {
                let busy = Status::ServiceUnavailable;
                Step::Go(sending(
                    response.refused_instead(busy, Then::Linger, context),
                    context,
                ))
            }
            None => {
                response.record(self.remote, Outcome::Failed, before, context);
                Step::Closed
            }
        }
    }

    /// A thread may have carried the response on.
    fn fetched(
        &mut self,
        mut response: Box<Response>,
        mut fetch: Box<Fetch>,
        deadline_ms: u64,
        responses_left: &mut u32,
        context: &mut Context,
    ) -> Step {
        let Some((outgoing, result)) = fetch.sent.take() else {
            if self.gone {
                fetch.ticket.cancel();
                response.record(self.remote, Outcome::PeerGone, fetch.before, context);
                return Step::Closed;
            }
            return Step::Wait(State::Fetching {
                response,
                fetch,
                deadline_ms,
            });
        };
        let is_offloaded = outgoing.is_offloaded();
        let has_sent = outgoing.accepted() > 0;
        response.outgoing = Some(outgoing);
        match result {
            // No edge comes any more where the socket became writable since the thread gave up; a
            // worker that may try finds out by itself.
            Ok(Progress::WouldBlock) if is_offloaded && !fetch.writable => {
                Step::Wait(State::Sending {
                    response,
                    deadline_ms: context.now_ms + context.timeouts.stall_ms,
                    queued_bytes: self.queued_bytes(),
                })
            }
            Ok(Progress::WouldBlock) => Step::Go(sending(response, context)),
            Ok(Progress::BudgetSpent | Progress::NeedsDisk(_)) => {
                Step::Again(sending(response, context))
            }
            Err(error) if !has_sent && !error.is_peer_gone() => {
                let line = format!("cannot read for {}: {error}", self.remote);
                context.site.diagnostics.say(line);
                let status = Status::InternalServerError;
                Step::Go(sending(
                    response.refused_instead(status, Then::Linger, context),
                    context,
                ))
            }
            answer => self.after_response(*response, answer, responses_left, context),
        }
    }

    /// A response is over, whole or not.
    fn after_response(
        &mut self,
        response: Response,
        answer: Result<Progress, SendError>,
        responses_left: &mut u32,
        context: &mut Context,
    ) -> Step {
        let outcome = match answer {
            Ok(Progress::SourceTruncated(truncated)) => {
                let line = format!("response to {} cut: {truncated}", self.remote);
                context.site.diagnostics.say(line);
                Outcome::Truncated
            }
            Ok(_) => Outcome::Complete,
            Err(error) if error.is_peer_gone() => Outcome::PeerGone,
            Err(error) => {
                let line = format!("response to {} failed: {error}", self.remote);
                context.site.diagnostics.say(line);
                Outcome::Failed
            }
        };
        let then = response.then;
        response.end(self.remote, outcome, context);
        match (outcome, then) {
            (Outcome::Complete, Then::KeepAlive) => {
                *responses_left -= 1;
                let next = self.next_request(context);
                if *responses_left == 0 {
                    Step::Again(next)
                } else {
                    Step::Go(next)
                }
            }
            (Outcome::Complete, Then::Linger) => {
                match self.stream.shutdown(std::net::Shutdown::Write) {
                    Ok(()) => {
                        self.input.clear();
                        Step::Go(State::Lingering {
                            deadline_ms: context.now_ms + LINGER_MS,
                        })
                    }
                    Err(_) => Step::Closed,
                }
            }
            _ => Step::Closed,
        }
    }

    fn linger(&mut self, deadline_ms: u64, reads_left: &mut u32, context: &mut Context) -> Step {
        let state = State::Lingering { deadline_ms };
        if *reads_left == 0 {
            return Step::Again(state);
        }
        *reads_left -= 1;
        match self.fill(context) {
            Filled::Bytes => {
                self.input.clear();
                Step::Go(state)
            }
            Filled::Nothing => Step::Wait(state),
            Filled::Closed => Step::Closed,
        }
    }

    fn next_request(&self, context: &Context) -> State {
        if self.input.is_empty() {
            State::Idle {
                deadline_ms: context.now_ms + context.timeouts.idle_ms,
            }
        } else {
            State::Receiving {
                deadline_ms: context.now_ms + context.timeouts.header_ms,
            }
        }
    }

    /// Reads once, unless the socket is known to be empty.
    fn fill(&mut self, context: &mut Context) -> Filled {
        if self.readiness == Readiness::Drained {
            return Filled::Nothing;
        }
        match self.input.fill(&self.stream, &mut context.scratch) {
            Ok(Fill::More) => Filled::Bytes,
            Ok(Fill::Drained) => {
                self.on_drained();
                Filled::Bytes
            }
            Ok(Fill::WouldBlock) => {
                self.on_drained();
                Filled::Nothing
            }
            Ok(Fill::Closed) | Err(_) => Filled::Closed,
        }
    }

    fn on_drained(&mut self) {
        if self.readiness == Readiness::Readable {
            self.readiness = Readiness::Drained;
        }
    }

    /// An error for what could not be taken for a request, and the end of the connection.
    fn refusal(&self, status: Status, then: Then, context: &Context) -> State {
        let response = refusal(self.input.bytes(), status, then, context);
        sending(response, context)
    }
}

/// What a read came to, for a state that wants bytes.
enum Filled {
    Bytes,
    Nothing,
    Closed,
}

fn sending(response: Box<Response>, context: &Context) -> State {
    State::Sending {
        response,
        deadline_ms: context.now_ms + context.timeouts.stall_ms,
        queued_bytes: 0,
    }
}
