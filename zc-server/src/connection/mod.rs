//! A connection: its states, and every transition between them. How bytes are taken in and requests
//! answered is in `receiving`, how a response that takes more than one call goes on in `sending`.
//!
//! ```text
//! state      event                              next
//! ---------  ---------------------------------  ------------------------------------------
//! Idle       bytes come                         Receiving
//!            the peer ends or fails, deadline   closed
//! Receiving  a complete head, no body           as Sending, by how far the first try came
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
//!            complete, the peer's last request  closed, or Lingering where bytes are left unread
//!            complete, close                    Lingering
//!            the socket is full                 Sending, resumed at the next writable edge
//!            the budget is spent                Sending, resumed from the ready queue
//!            the disk would have to be waited   Fetching
//!            for
//!            deadline, the queue has moved      Sending
//!            file truncated, peer gone, stalled closed
//!            the same, and the disk has been    Reading
//!            asked already
//! Reading    it is read                         Sending
//!            its end alone is in memory         Fetching
//!            it cannot be read                  Fetching, to find out why
//!            the peer is gone                   closed
//!            deadline                           Sending 504, then Lingering
//! Fetching   a thread has read or sent what it  as Sending, by how it stopped
//!            could
//!            nothing could be read yet          Sending 500, then Lingering
//!            the peer is gone                   closed
//!            deadline, nothing sent yet         Sending 504, then Lingering
//!            deadline                           closed
//! Lingering  the peer ends, fails or deadline   closed
//! ```

pub(crate) mod input;
mod receive;
mod send;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use zc_core::{Progress, SendError};
use zc_http::{Drain, Status};

use crate::body::{Figures, Outgoing};
use crate::connection::input::Input;
use crate::disk::{Answer, Ticket};
use crate::exchange::{Outcome, Response, Then, record_unanswered, refusal};
use crate::files::open_file::{FileHandle, file_named};
use crate::respond::Known;
use crate::respond::failure::Failure;
use crate::worker::{Context, Timeouts};

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
    /// Whether its last response had to wait for the disk.
    has_waited: bool,
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
    /// What comes next was requested of the disk, and the kernel will tell.
    Reading {
        response: Box<Response>,
        reading: Reading,
        deadline_ms: u64,
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

/// How far a request to the disk has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Pending,
    Done,
    Failed,
}

/// What a thread carries on, seen from here.
#[derive(Debug)]
struct Fetch {
    ticket: Ticket,
    /// What was done before the thread had it.
    before: Figures,
    /// The file that the thread reads.
    file: Option<Arc<FileHandle>>,
    /// Whether the socket became writable since: that edge comes once.
    writable: bool,
    /// What came back.
    sent: Option<(Box<Outgoing>, Result<Progress, SendError>)>,
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
            has_waited: false,
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

    /// Whether a response is under way.
    pub(crate) fn is_sending(&self) -> bool {
        matches!(
            self.state,
            State::Sending { .. } | State::Reading { .. } | State::Fetching { .. }
        )
    }

    /// Whether there is a response to be waited for: under way, or about to be.
    pub(crate) fn has_response(&self) -> bool {
        match self.state {
            State::Idle { .. } | State::Receiving { .. } | State::Lingering { .. } => false,
            State::Resolving { .. } | State::Draining { .. } => true,
            State::Sending { .. } | State::Reading { .. } | State::Fetching { .. } => true,
        }
    }

    /// Whether its requests are for what is on the disk, as far as the last one tells.
    pub(crate) fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// When [`on_deadline`](Self::on_deadline) is due, in milliseconds of the worker's clock.
    pub(crate) fn deadline_ms(&self) -> u64 {
        match self.state {
            State::Idle { deadline_ms }
            | State::Receiving { deadline_ms }
            | State::Resolving { deadline_ms, .. }
            | State::Draining { deadline_ms, .. }
            | State::Sending { deadline_ms, .. }
            | State::Reading { deadline_ms, .. }
            | State::Fetching { deadline_ms, .. }
            | State::Lingering { deadline_ms } => deadline_ms,
        }
    }

    /// Goes from state to state until the connection must wait, has had its turn, or is over.
    pub(crate) fn drive(&mut self, context: &mut Context) -> Turn {
        let mut allowance = Allowance {
            responses: TURN_RESPONSES_MAX,
            reads: TURN_READS_MAX,
        };
        let mut state = std::mem::replace(&mut self.state, State::Lingering { deadline_ms: 0 });
        loop {
            let (next, turn) = match self.step(state, &mut allowance, context) {
                Step::Go(next) => {
                    state = next;
                    continue;
                }
                Step::Served => {
                    state = self.next_request(context);
                    continue;
                }
                Step::TurnOver => (self.next_request(context), Turn::Again),
                Step::Wait(next) => (next, Turn::Wait),
                Step::Again(next) => (next, Turn::Again),
                Step::Closed => return Turn::Closed,
            };
            self.state = next;
            return turn;
        }
    }

    fn step(&mut self, state: State, allowance: &mut Allowance, context: &mut Context) -> Step {
        match state {
            State::Idle { .. } | State::Receiving { .. } => self.receive(state, allowance, context),
            State::Resolving {
                ticket: Some(_), ..
            } if self.gone => {
                let received = self.input.bytes();
                record_unanswered(received, self.remote, Outcome::PeerGone, context);
                Step::Closed
            }
            State::Resolving {
                ticket: Some(_), ..
            } => Step::Wait(state),
            State::Resolving {
                known,
                ticket: None,
                ..
            } => self.serve_input(Some(known), allowance, context),
            State::Draining {
                drain,
                response,
                deadline_ms,
            } => self.drain(drain, response, deadline_ms, allowance, context),
            State::Sending {
                response,
                deadline_ms,
                queued_bytes,
            } => self.send(response, (deadline_ms, queued_bytes), allowance, context),
            State::Reading {
                response,
                reading,
                deadline_ms,
            } => self.read(response, reading, deadline_ms, context),
            State::Fetching {
                response,
                fetch,
                deadline_ms,
            } => self.fetched(response, fetch, deadline_ms, allowance, context),
            State::Lingering { deadline_ms } => self.linger(deadline_ms, allowance, context),
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
                self.state = self.refusal(Failure::DiskTimeout.status(), Then::Linger, context);
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
            State::Reading { response, .. } => {
                let file = response.outgoing.as_ref().and_then(Outgoing::file);
                self.say_disk_timeout(file, context);
                let timeout = Failure::DiskTimeout.status();
                let instead = response.refused_instead(timeout, Then::Linger, context);
                self.state = sending(instead, context);
                Turn::Again
            }
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
        self.say_disk_timeout(fetch.file.as_ref(), context);
        if was_taken_back && fetch.before.head_bytes == 0 {
            let status = Failure::DiskTimeout.status();
            let instead = response.refused_instead(status, Then::Linger, context);
            self.state = sending(instead, context);
            return Turn::Again;
        }
        response.record(self.remote, Outcome::DiskTimeout, fetch.before, context);
        self.cut_off();
        Turn::Closed
    }

    fn say_disk_timeout(&self, file: Option<&Arc<FileHandle>>, context: &Context) {
        let file = file_named(file.map(AsRef::as_ref));
        let line = format!("{file}the disk did not answer in time for {}", self.remote);
        context.site.diagnostics.warn(line);
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
            State::Sending { response, .. }
            | State::Reading { response, .. }
            | State::Draining { response, .. } => {
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
            State::Resolving { .. } => {
                let received = connection.input.bytes();
                record_unanswered(received, connection.remote, Outcome::Shutdown, context);
                true
            }
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

    /// What was requested of the disk has been read, or cannot be. It is for nobody when the connection
    /// has given up.
    pub(crate) fn on_read(&mut self, result: io::Result<()>) {
        if let State::Reading { reading, .. } = &mut self.state {
            *reading = match result {
                Ok(()) => Reading::Done,
                Err(_) => Reading::Failed,
            };
        }
    }

    /// The state between two requests, or within one of which bytes are there.
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

    /// An error for what could not be taken for a request, and the end of the connection.
    fn refusal(&self, status: Status, then: Then, context: &mut Context) -> State {
        let response = refusal(self.input.bytes(), status, then, context);
        sending(response, context)
    }
}

fn sending(response: Box<Response>, context: &Context) -> State {
    State::Sending {
        response,
        deadline_ms: context.now_ms + context.timeouts.stall_ms,
        queued_bytes: 0,
    }
}
