//! Responses that take more than one call: resumed where the socket was full, carried on by a thread
//! where the disk has to be waited for, and what comes after them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use zc_core::{Progress, SendError};

use super::{Allowance, Connection, Fetch, Readiness, Reading, State, Step, sending};
use crate::body::Outgoing;
use crate::disk::Work;
use crate::exchange::{Outcome, Response, Then, ask};
use crate::files::open_file::file_named;
use crate::respond::failure::Failure;
use crate::worker::Context;

/// How long a peer may go on sending after our last byte, in milliseconds: enough for it to read
/// the answer before a reset would discard it.
const LINGER_MS: u64 = 5_000;

impl Connection {
    /// Sends what goes at once of a response. `None` when that is all of it and the next request may
    /// be taken; `has_more` tells whether bytes of it are there.
    pub(super) fn begin(
        &mut self,
        mut response: Response,
        has_more: bool,
        allowance: &mut Allowance,
        context: &mut Context,
    ) -> Option<Step> {
        self.has_waited = false;
        let stall = (context.now_ms + context.timeouts.stall_ms, 0);
        match self.advance(&mut response, stall, context) {
            Advanced::Over(answer) => {
                self.after_response(response, answer, has_more, allowance, context)
            }
            Advanced::NeedsDisk => {
                let response = context.boxes.fill(response);
                Some(self.fetch(response, context))
            }
            Advanced::Stopped { turn, stall } => {
                Some(turn.step(context.boxes.fill(response), stall))
            }
        }
    }

    /// Where a stalled send is resumed: `HeadThenFile::advance` goes on at the byte where it stopped.
    pub(super) fn send(
        &mut self,
        mut response: Box<Response>,
        stall: (u64, u64),
        allowance: &mut Allowance,
        context: &mut Context,
    ) -> Step {
        match self.advance(&mut response, stall, context) {
            Advanced::Over(answer) => {
                let has_more = !self.input.is_empty();
                let response = context.boxes.empty(response);
                self.next(response, answer, has_more, allowance, context)
            }
            Advanced::NeedsDisk => self.fetch(response, context),
            Advanced::Stopped { turn, stall } => turn.step(response, stall),
        }
    }

    /// Sends as far as it goes. `stall` is the deadline for the next byte, and what the kernel held
    /// for the peer when it was set.
    fn advance(
        &mut self,
        response: &mut Response,
        (deadline_ms, queued_bytes): (u64, u64),
        context: &mut Context,
    ) -> Advanced {
        let Some(outgoing) = &mut response.outgoing else {
            unreachable!("a thread has it in the state `Fetching` alone");
        };
        let before = outgoing.accepted();
        let answer = outgoing.advance(&self.stream, context.pace.turn_bytes(context.now_ms));
        let accepted = outgoing.accepted() - before;
        context.pace.streamed_bytes += accepted;
        // An edge without progress moves neither the deadline nor what the queue is measured by.
        let (deadline_ms, queued_bytes) = if accepted > 0 {
            (context.now_ms + context.timeouts.stall_ms, 0)
        } else {
            (deadline_ms, queued_bytes)
        };
        match answer {
            Ok(Progress::WouldBlock) => Advanced::Stopped {
                turn: Stop::Full,
                stall: match queued_bytes {
                    0 => (deadline_ms, self.queued_bytes()),
                    known => (deadline_ms, known),
                },
            },
            Ok(Progress::BudgetSpent) => Advanced::Stopped {
                turn: Stop::BudgetSpent,
                stall: (deadline_ms, 0),
            },
            Ok(Progress::NeedsDisk(_)) => Advanced::NeedsDisk,
            answer => Advanced::Over(answer),
        }
    }

    /// Waits for the disk: for what was requested of it already, or by a thread.
    fn fetch(&mut self, mut response: Box<Response>, context: &mut Context) -> Step {
        self.has_waited = true;
        if self.gone {
            // No event tells of it again.
            response.end(self.remote, Outcome::PeerGone, context);
            return Step::Closed;
        }
        let Some(outgoing) = &mut response.outgoing else {
            unreachable!("a thread has it in the state `Fetching` alone");
        };
        let tag = context.token.0 as u64;
        if let Some(ring) = &mut context.ring
            && let Some((file, last)) = outgoing.take_requested()
            && ring.watch(file, last, tag).is_ok()
        {
            return Step::Wait(State::Reading {
                response,
                reading: Reading::Pending,
                deadline_ms: context.now_ms + context.timeouts.disk_ms,
            });
        }
        self.hand_over(response, context)
    }

    /// What was requested of the disk may be there.
    pub(super) fn read(
        &mut self,
        mut response: Box<Response>,
        reading: Reading,
        deadline_ms: u64,
        context: &mut Context,
    ) -> Step {
        let is_there = reading != Reading::Pending
            && (response.outgoing.as_mut()).is_some_and(Outgoing::requested_is_there);
        match reading {
            _ if self.gone => {
                response.end(self.remote, Outcome::PeerGone, context);
                Step::Closed
            }
            Reading::Pending => Step::Wait(State::Reading {
                response,
                reading,
                deadline_ms,
            }),
            Reading::Done if is_there => Step::Go(sending(response, context)),
            // A thread reads what is not there yet, and can tell why something cannot be read.
            Reading::Done | Reading::Failed => self.hand_over(response, context),
        }
    }

    /// Has a thread carry the response on, since the disk has to be waited for.
    fn hand_over(&mut self, mut response: Box<Response>, context: &mut Context) -> Step {
        let Some(outgoing) = response.outgoing.take() else {
            unreachable!("a thread has it in the state `Fetching` alone");
        };
        let before = outgoing.figures();
        let file = outgoing.file().cloned();
        let work = if outgoing.is_offloaded() {
            match self.another_descriptor(context) {
                Ok(socket) => Work::Send(Box::new(outgoing), socket),
                Err(error) => {
                    let line = format!("cannot wait for the disk for {}: {error}", self.remote);
                    context.site.diagnostics.warn(line);
                    response.record(self.remote, Outcome::Failed, before, context);
                    return Step::Closed;
                }
            }
        } else {
            Work::Read(Box::new(outgoing))
        };
        match ask(response.key, work, context) {
            Some(ticket) => Step::Wait(State::Fetching {
                response,
                fetch: Box::new(Fetch {
                    ticket,
                    before,
                    file,
                    writable: false,
                    sent: None,
                }),
                deadline_ms: context.now_ms + context.timeouts.disk_ms,
            }),
            None if before.head_bytes == 0 => {
                let busy = Failure::DiskBusy.status();
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

    /// Another descriptor of the socket, for a thread.
    fn another_descriptor(&self, context: &mut Context) -> io::Result<OwnedFd> {
        let socket = self.stream.as_fd().try_clone_to_owned();
        if socket.is_err() && context.cache.yield_descriptors() {
            return self.stream.as_fd().try_clone_to_owned();
        }
        socket
    }

    /// A thread may have carried the response on.
    pub(super) fn fetched(
        &mut self,
        mut response: Box<Response>,
        mut fetch: Box<Fetch>,
        deadline_ms: u64,
        allowance: &mut Allowance,
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
        response.outgoing = Some(*outgoing);
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
            Ok(Progress::BudgetSpent | Progress::NeedsDisk(_)) if is_offloaded => {
                Step::Again(sending(response, context))
            }
            // It is read, and to be sent in this turn.
            Ok(Progress::BudgetSpent | Progress::NeedsDisk(_)) => {
                Step::Go(sending(response, context))
            }
            Err(error) if !has_sent && !error.is_peer_gone() => {
                let file = file_named(fetch.file.as_deref());
                let line = format!("cannot read for {}: {file}{error}", self.remote);
                context.site.diagnostics.warn(line);
                let status = Failure::Read.status();
                let instead = response.refused_instead(status, Then::Linger, context);
                Step::Go(sending(instead, context))
            }
            answer => {
                let has_more = !self.input.is_empty();
                let response = context.boxes.empty(response);
                self.next(response, answer, has_more, allowance, context)
            }
        }
    }

    /// What comes after a response, for a state of its own.
    fn next(
        &mut self,
        response: Response,
        answer: Result<Progress, SendError>,
        has_more: bool,
        allowance: &mut Allowance,
        context: &mut Context,
    ) -> Step {
        match self.after_response(response, answer, has_more, allowance, context) {
            Some(step) => step,
            None if allowance.responses == 0 => Step::TurnOver,
            None => Step::Served,
        }
    }

    /// A response is over, whole or not. `None` when the next request may be taken.
    fn after_response(
        &mut self,
        response: Response,
        answer: Result<Progress, SendError>,
        has_more: bool,
        allowance: &mut Allowance,
        context: &mut Context,
    ) -> Option<Step> {
        let file = response.outgoing.as_ref().and_then(Outgoing::file);
        let outcome = match answer {
            Ok(Progress::SourceTruncated(truncated)) => {
                let file = file_named(file.map(AsRef::as_ref));
                let line = format!("response to {} cut: {file}{truncated}", self.remote);
                context.site.diagnostics.warn(line);
                Outcome::Truncated
            }
            Ok(_) => Outcome::Complete,
            Err(error) if error.is_peer_gone() => Outcome::PeerGone,
            Err(error) => {
                let file = file_named(file.map(AsRef::as_ref));
                let line = format!("response to {} failed: {file}{error}", self.remote);
                context.site.diagnostics.warn(line);
                Outcome::Failed
            }
        };
        let then = response.then;
        response.end(self.remote, outcome, context);
        if !matches!(outcome, Outcome::Complete) {
            return Some(Step::Closed);
        }
        allowance.responses = allowance.responses.saturating_sub(1);
        self.after(then, has_more, context)
    }

    /// What comes after a response that was sent as a whole. `None` when the next request may be
    /// taken; `has_more` tells whether bytes of it are there.
    pub(super) fn after(&mut self, then: Then, has_more: bool, context: &Context) -> Option<Step> {
        match then {
            Then::KeepAlive => return None,
            Then::Close => return Some(Step::Closed),
            // Closed with bytes unread, the socket would answer with a reset.
            Then::Finish if !has_more && self.readiness != Readiness::Readable => {
                return Some(Step::Closed);
            }
            Then::Finish | Then::Linger => {}
        }
        Some(match self.stream.shutdown(std::net::Shutdown::Write) {
            Ok(()) => {
                self.input.clear();
                Step::Go(State::Lingering {
                    deadline_ms: context.now_ms + LINGER_MS,
                })
            }
            Err(_) => Step::Closed,
        })
    }
}

/// How far a response came.
enum Advanced {
    /// To its end, or to where it fails.
    Over(Result<Progress, SendError>),
    NeedsDisk,
    Stopped {
        turn: Stop,
        stall: (u64, u64),
    },
}

/// Why a response did not go on.
enum Stop {
    /// The socket is full.
    Full,
    /// Others have their turn.
    BudgetSpent,
}

impl Stop {
    fn step(self, response: Box<Response>, (deadline_ms, queued_bytes): (u64, u64)) -> Step {
        let state = State::Sending {
            response,
            deadline_ms,
            queued_bytes,
        };
        match self {
            Self::Full => Step::Wait(state),
            Self::BudgetSpent => Step::Again(state),
        }
    }
}
