//! From bytes to answered requests: reading, serving all heads that have come, draining bodies.

use std::os::fd::BorrowedFd;

use mio::net::TcpStream;
use zc_core::{HeadThenFile, SendError, Transfer};
use zc_http::{Drain, Parse, parse};

use super::{Allowance, Connection, Readiness, State, Step, sending};
use crate::context::Context;
use crate::exchange::{
    Exchange, LogRecord, Outcome, Response, Then, accept_request, record_unanswered, refusal,
};
use crate::input::{Fill, Scratch};
use crate::outgoing::Figures;
use crate::reply::{Place, Ready};
use crate::respond::Known;

/// How many bytes of responses to pipelined requests are gathered before they are sent.
const GATHER_BYTES_MAX: usize = 64 * 1024;

/// How many of the bytes that came are done with, and what comes next.
type Stopped = (usize, Step);

/// Bytes that came, and how far their requests are answered.
struct Served<'b> {
    bytes: &'b [u8],
    /// How many of them are done with, once what is gathered is sent.
    used: usize,
    /// Responses that stand in the output buffer one behind the other.
    gathered: Vec<Answered<'b>>,
}

/// A response that is in memory.
struct Answered<'b> {
    ready: Ready,
    then: Then,
    log: Option<LogRecord<'b>>,
    /// Where its request ends in the bytes that came.
    request_end: usize,
}

/// What the socket took of some bytes.
struct Written {
    accepted: usize,
    /// What went wrong; `None` where the socket took all, or is full.
    error: Option<SendError>,
}

impl Connection {
    /// In `Idle` or `Receiving`: answers what has come, and reads more.
    pub(super) fn receive(
        &mut self,
        state: State,
        allowance: &mut Allowance,
        context: &mut Context,
    ) -> Step {
        if !self.input.is_empty() {
            let before = self.input.bytes().len();
            match self.serve_input(None, allowance, context) {
                // The head is not complete: its time goes on.
                Step::Served if self.input.bytes().len() == before => {}
                step => return step,
            }
        }
        if self.readiness == Readiness::Drained {
            return self.wait_for_bytes(state, context);
        }
        let mut scratch = std::mem::take(&mut context.scratch);
        let step = self.read_and_serve(&mut scratch, state, allowance, context);
        context.scratch = scratch;
        step
    }

    fn read_and_serve(
        &mut self,
        scratch: &mut Scratch,
        state: State,
        allowance: &mut Allowance,
        context: &mut Context,
    ) -> Step {
        let Ok((fill, bytes)) = scratch.fill(&self.stream) else {
            return Step::Closed;
        };
        match fill {
            Fill::More => {}
            Fill::Drained => self.on_drained(),
            Fill::WouldBlock => {
                self.on_drained();
                return self.wait_for_bytes(state, context);
            }
            Fill::Closed => return Step::Closed,
        }
        // The time of a head runs from its first byte: later bytes do not move it.
        let state = match state {
            State::Idle { .. } => State::Receiving {
                deadline_ms: context.now_ms + context.timeouts.header_ms,
            },
            state => state,
        };
        if !self.input.is_empty() {
            self.input.keep(bytes);
            return Step::Go(state);
        }
        // Most requests come whole, in one read: they are never copied.
        let (used, step) = self.serve(bytes, None, allowance, context);
        self.input.keep(&bytes[used..]);
        match step {
            Step::Served if used == 0 => Step::Go(state),
            step => step,
        }
    }

    fn wait_for_bytes(&self, state: State, context: &Context) -> Step {
        // The server drains, and of a request nothing has come.
        if context.stopping && self.input.is_empty() {
            Step::Closed
        } else {
            Step::Wait(state)
        }
    }

    /// Answers the requests that are in the input. `known` is what the disk has told of the first.
    pub(super) fn serve_input(
        &mut self,
        known: Option<Box<Known>>,
        allowance: &mut Allowance,
        context: &mut Context,
    ) -> Step {
        let mut input = std::mem::take(&mut self.input);
        let (used, step) = self.serve(input.bytes(), known, allowance, context);
        input.consume(used);
        self.input = input;
        step
    }

    /// Answers the requests that `bytes` begin with, and says how many of the bytes are done with:
    /// those of a request that waits for the disk, and of what follows it, are not.
    ///
    /// Where several requests came together, their responses are gathered and go in one call.
    fn serve(
        &mut self,
        bytes: &[u8],
        mut known: Option<Box<Known>>,
        allowance: &mut Allowance,
        context: &mut Context,
    ) -> Stopped {
        let mut served = Served {
            bytes,
            used: 0,
            gathered: Vec::new(),
        };
        while served.used < bytes.len() {
            match self.serve_next(&mut served, known.take(), allowance, context) {
                Ok(()) if allowance.responses == 0 => return (served.used, Step::TurnOver),
                Ok(()) => {}
                Err(stopped) => return stopped,
            }
        }
        (served.used, Step::Served)
    }

    fn serve_next<'b>(
        &mut self,
        served: &mut Served<'b>,
        known: Option<Box<Known>>,
        allowance: &mut Allowance,
        context: &mut Context,
    ) -> Result<(), Stopped> {
        let rest = &served.bytes[served.used..];
        let request = match parse(rest, &context.limits) {
            Ok(Parse::Complete(request)) => request,
            Ok(Parse::Partial) => {
                self.flush(served, context)?;
                return Err((served.used, Step::Served));
            }
            Err(error) => {
                self.flush(served, context)?;
                let refused = refusal(rest, error.status(), Then::Linger, context);
                return Err((served.used, Step::Go(sending(refused, context))));
            }
        };
        let end = served.used + request.head_bytes;
        match accept_request(&request, known, context) {
            Exchange::Ready(ready, then, log) => {
                let answer = Answered {
                    ready,
                    then,
                    log,
                    request_end: end,
                };
                self.answer(answer, served, allowance, context)
            }
            exchange => {
                // Where there is no room the request stays, and is answered when there is.
                self.flush(served, context)?;
                let step = match exchange {
                    Exchange::Stream(response) => {
                        served.used = end;
                        let has_more = end < served.bytes.len();
                        match self.begin(response, has_more, allowance, context) {
                            Some(step) => step,
                            None => return Ok(()),
                        }
                    }
                    Exchange::Drain(response, drain) => {
                        served.used = end;
                        Step::Go(State::Draining {
                            drain,
                            response,
                            deadline_ms: context.now_ms + context.timeouts.header_ms,
                        })
                    }
                    // No event tells of it again.
                    Exchange::Wait(..) if self.gone => {
                        record_unanswered(rest, self.remote, Outcome::PeerGone, context);
                        Step::Closed
                    }
                    Exchange::Wait(known, ticket) => Step::Wait(State::Resolving {
                        known,
                        ticket: Some(ticket),
                        deadline_ms: context.now_ms + context.timeouts.disk_ms,
                    }),
                    Exchange::Ready(..) => unreachable!("matched above"),
                };
                Err((served.used, step))
            }
        }
    }

    /// Sends a response that is in memory, or gathers it with those of the requests that came with
    /// it.
    fn answer<'b>(
        &mut self,
        answer: Answered<'b>,
        served: &mut Served<'b>,
        allowance: &mut Allowance,
        context: &mut Context,
    ) -> Result<(), Stopped> {
        let (then, end) = (answer.then, answer.request_end);
        let has_more = end < served.bytes.len();
        allowance.responses = allowance.responses.saturating_sub(1);
        context.pace.has_answered = true;
        self.has_waited = false;
        let is_last = then != Then::KeepAlive
            || !has_more
            || allowance.responses == 0
            || context.buffers.output.len() >= GATHER_BYTES_MAX;
        if is_last && served.gathered.is_empty() {
            self.send_alone(answer, context)?;
        } else {
            served.gather(answer, context);
            if is_last {
                self.flush(served, context)?;
            }
        }
        served.used = end;
        match self.after(then, has_more, context) {
            Some(step) if is_last => Err((end, step)),
            _ => Ok(()),
        }
    }

    fn send_alone(&mut self, answer: Answered<'_>, context: &mut Context) -> Result<(), Stopped> {
        let ready = answer.ready;
        let written = write(&self.stream, context.bytes_of(&ready));
        if written.accepted == ready.length() {
            context.drop_output_of(&ready);
            self.log_whole(answer, context);
            return Ok(());
        }
        let bytes = context.bytes_of(&ready).to_vec();
        context.drop_output_of(&ready);
        let end = answer.request_end;
        Err((end, self.cut_short(answer, written, &bytes, context)))
    }

    /// Sends what is gathered. Of a response that the socket does not take as a whole the rest waits
    /// for it, and the requests behind it stay in the input.
    fn flush(&mut self, served: &mut Served<'_>, context: &mut Context) -> Result<(), Stopped> {
        if served.gathered.is_empty() {
            return Ok(());
        }
        let mut output = std::mem::take(&mut context.buffers.output);
        let Written { accepted, error } = write(&self.stream, &output);
        let mut start = 0;
        let mut stopped = Ok(());
        for answer in served.gathered.drain(..) {
            let end = start + answer.ready.length();
            if end > accepted {
                let written = Written {
                    accepted: accepted - start,
                    error,
                };
                let request_end = answer.request_end;
                let step = self.cut_short(answer, written, &output[start..end], context);
                stopped = Err((request_end, step));
                break;
            }
            self.log_whole(answer, context);
            start = end;
        }
        output.clear();
        context.buffers.output = output;
        stopped
    }

    fn log_whole(&self, answer: Answered<'_>, context: &mut Context) {
        if let Some(log) = answer.log {
            let figures = Figures::of_ready(&answer.ready, answer.ready.length());
            log.write(self.remote, Outcome::Complete, figures, context);
        }
    }

    /// What becomes of a response, `bytes`, that the socket did not take as a whole.
    fn cut_short(
        &self,
        answer: Answered<'_>,
        written: Written,
        bytes: &[u8],
        context: &mut Context,
    ) -> Step {
        let Answered {
            ready, then, log, ..
        } = answer;
        let accepted = written.accepted;
        match written.error {
            None => Step::Wait(State::Sending {
                response: Box::new(Response::rest_of(&ready, accepted, then, log, bytes)),
                deadline_ms: context.now_ms + context.timeouts.stall_ms,
                queued_bytes: self.queued_bytes(),
            }),
            Some(error) => {
                let outcome = if error.is_peer_gone() {
                    Outcome::PeerGone
                } else {
                    let line = format!("response to {} failed: {error}", self.remote);
                    context.site.diagnostics.say(line);
                    Outcome::Failed
                };
                if let Some(log) = log {
                    let figures = Figures::of_ready(&ready, accepted);
                    log.write(self.remote, outcome, figures, context);
                }
                Step::Closed
            }
        }
    }

    pub(super) fn drain(
        &mut self,
        mut drain: Drain,
        response: Box<Response>,
        deadline_ms: u64,
        allowance: &mut Allowance,
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
        self.read_for(state, allowance, context)
    }

    pub(super) fn linger(
        &mut self,
        deadline_ms: u64,
        allowance: &mut Allowance,
        context: &mut Context,
    ) -> Step {
        self.input.clear();
        self.read_for(State::Lingering { deadline_ms }, allowance, context)
    }

    /// Reads once, and goes on in the same state.
    fn read_for(&mut self, state: State, allowance: &mut Allowance, context: &mut Context) -> Step {
        if allowance.reads == 0 {
            return Step::Again(state);
        }
        allowance.reads -= 1;
        if self.readiness == Readiness::Drained {
            return Step::Wait(state);
        }
        let Ok((fill, bytes)) = context.scratch.fill(&self.stream) else {
            return Step::Closed;
        };
        self.input.keep(bytes);
        match fill {
            Fill::More => Step::Go(state),
            Fill::Drained => {
                self.on_drained();
                Step::Go(state)
            }
            Fill::WouldBlock => {
                self.on_drained();
                Step::Wait(state)
            }
            Fill::Closed => Step::Closed,
        }
    }

    fn on_drained(&mut self) {
        if self.readiness == Readiness::Readable {
            self.readiness = Readiness::Drained;
        }
    }
}

impl<'b> Served<'b> {
    /// Puts a response behind those that are gathered already.
    fn gather(&mut self, answer: Answered<'b>, context: &mut Context) {
        let Context { cache, buffers, .. } = context;
        match answer.ready.place {
            Place::Output => {}
            Place::Whole(id) => buffers.output.extend_from_slice(cache.whole(id)),
            Place::NotModified(id) => buffers.output.extend_from_slice(cache.not_modified(id)),
        }
        self.gathered.push(answer);
    }
}

/// Writes until all is written, or the socket is full or fails.
fn write(stream: &TcpStream, bytes: &[u8]) -> Written {
    let mut send = HeadThenFile::<_, Transfer<BorrowedFd<'_>>>::with_optional_body(bytes, None);
    let error = send.advance(stream, 0).err();
    Written {
        // At most as many as there are.
        accepted: send.accepted() as usize,
        error,
    }
}
