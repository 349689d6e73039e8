//! From bytes to answered requests: reading, and serving all heads that have come.

use std::ops::ControlFlow;

#[cfg(feature = "tls")]
use zc_http::Status;
use zc_http::{Parse, parse};

use super::transport::{Fill, Written};
use super::{Allowance, Connection, State, Step};
use crate::exchange::{
    Accepted, AcceptedWait, Exchange, Next, Outcome, Peer, ReadyResponse, accept_request, begin,
};
use crate::observe::counters::CloseReason;
#[cfg(feature = "tls")]
use crate::observe::counters::HandshakeResult;
use crate::respond::PendingLookup;
use crate::respond::reply::Place;
use crate::respond::response::{AfterResponse, Asked, ExchangeId, Response};
use crate::worker::Worker;

/// How many bytes of responses to pipelined requests are gathered before they are sent.
const GATHER_BYTES_MAX: usize = 64 * 1024;

/// What has been looked up for the first request.
type LookedUp = Option<(ExchangeId, Box<PendingLookup>)>;

/// Whether the next request may be served. If not: how many of the bytes that came are done with, and
/// what comes next.
type Flow = ControlFlow<(usize, Step)>;

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
    response: ReadyResponse<'b>,
    /// Where its request ends in the bytes that came.
    request_end: usize,
}

impl Connection {
    /// In `Idle` or `Receiving`: answers what has come, and reads more.
    pub(super) fn receive(
        &mut self,
        state: State,
        allowance: &mut Allowance,
        worker: &mut Worker,
    ) -> Step {
        if !self.input.is_empty() {
            let before = self.input.bytes().len();
            match self.serve_input(None, allowance, worker) {
                // The head is not complete: its time goes on.
                Step::Served if self.input.bytes().len() == before => {}
                step => return step,
            }
        }
        if self.link.transport.is_drained() {
            return self.wait_for_bytes(state, worker);
        }
        let mut scratch = std::mem::take(&mut worker.scratch);
        let step = self.read_and_serve(&mut scratch, state, allowance, worker);
        worker.scratch = scratch;
        step
    }

    fn read_and_serve(
        &mut self,
        scratch: &mut [u8],
        state: State,
        allowance: &mut Allowance,
        worker: &mut Worker,
    ) -> Step {
        let bytes = match self.link.transport.fill(scratch) {
            Ok(Fill::Bytes(bytes)) => bytes,
            Ok(Fill::WouldBlock) => return self.wait_for_bytes(state, worker),
            #[cfg(feature = "tls")]
            Ok(Fill::Established) => {
                self.count_handshake(worker);
                return Step::Go(State::Receiving {
                    deadline_ms: worker.now_ms + worker.timeouts.header_ms,
                });
            }
            #[cfg(feature = "tls")]
            Ok(Fill::NotTls(bytes)) => return self.refuse_plain(bytes, worker),
            #[cfg(feature = "tls")]
            Ok(Fill::Refused) => {
                self.tell_failed_handshake(worker);
                return self.close_write(worker);
            }
            ended @ (Ok(Fill::Closed) | Err(_)) => {
                #[cfg(feature = "tls")]
                self.tell_failed_handshake(worker);
                return match ended {
                    Ok(_) => self.end_in_order(worker),
                    Err(_) => Step::Closed,
                };
            }
        };
        if self.link.transport.lacks_keys() {
            return self.close_write(worker);
        }
        // The time of a head runs from its first byte: later bytes do not move it.
        let state = match state {
            State::Idle { .. } => State::Receiving {
                deadline_ms: worker.now_ms + worker.timeouts.header_ms,
            },
            state => state,
        };
        if !self.input.is_empty() {
            self.input.keep(bytes);
            return Step::Go(state);
        }
        // Most requests come whole, in one read: they are never copied.
        let (used, step) = self.serve(bytes, None, allowance, worker);
        self.input.keep(&bytes[used..]);
        match step {
            Step::Served if used == 0 => Step::Go(state),
            step => step,
        }
    }

    fn wait_for_bytes(&mut self, state: State, worker: &Worker) -> Step {
        if self.link.transport.lacks_keys() {
            return self.close_write(worker);
        }
        // The server drains, and of a request nothing has come. Its client meets the end of an idle connection as one
        // that may come at any time, and that of a new one as a failure.
        match state {
            State::Receiving { deadline_ms } if self.is_new_in_drain(worker) => {
                Step::Wait(State::Receiving {
                    deadline_ms: worker.first_request_deadline_ms(deadline_ms),
                })
            }
            _ if worker.is_draining() && self.input.is_empty() => {
                self.closes_for(CloseReason::Shutdown);
                self.end_in_order(worker)
            }
            state => Step::Wait(state),
        }
    }

    /// Whether the server drains, and this connection waits for its first request with nothing of it there.
    pub(super) fn is_new_in_drain(&self, worker: &Worker) -> bool {
        worker.is_draining() && self.requests == 0 && self.input.is_empty()
    }

    /// Answers the requests that are in the input.
    pub(super) fn serve_input(
        &mut self,
        looked_up: LookedUp,
        allowance: &mut Allowance,
        worker: &mut Worker,
    ) -> Step {
        let mut input = std::mem::take(&mut self.input);
        let (used, step) = self.serve(input.bytes(), looked_up, allowance, worker);
        input.consume(used);
        self.input = input;
        step
    }

    /// Answers the requests that `bytes` begin with, and says how many of the bytes are done with:
    /// those of a request for which something is looked up, and of what follows it, are not.
    ///
    /// Where several requests came together, their responses are gathered and go in one call.
    fn serve(
        &mut self,
        bytes: &[u8],
        mut looked_up: LookedUp,
        allowance: &mut Allowance,
        worker: &mut Worker,
    ) -> (usize, Step) {
        let mut served = Served {
            bytes,
            used: 0,
            gathered: Vec::new(),
        };
        while served.used < bytes.len() {
            match self.serve_next(&mut served, looked_up.take(), allowance, worker) {
                ControlFlow::Continue(()) if allowance.responses == 0 => {
                    return (served.used, Step::TurnOver);
                }
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(stopped) => return stopped,
            }
        }
        (served.used, Step::Served)
    }

    fn serve_next<'b>(
        &mut self,
        served: &mut Served<'b>,
        looked_up: LookedUp,
        allowance: &mut Allowance,
        worker: &mut Worker,
    ) -> Flow {
        let rest = &served.bytes[served.used..];
        let request = match parse(rest, &worker.limits) {
            Ok(Parse::Complete(request)) => request,
            Ok(Parse::Partial) => {
                self.flush(served, worker)?;
                return ControlFlow::Break((served.used, Step::Served));
            }
            Err(error) => {
                self.flush(served, worker)?;
                let (status, after) = (error.status(), AfterResponse::Linger);
                let exchange = Exchange::refusing(rest, status, after, Asked::default(), worker);
                let step = Step::Go(State::Exchanging(exchange));
                return ControlFlow::Break((served.used, step));
            }
        };
        let end = served.used + request.head_bytes;
        let is_last = self.is_last_request(served.gathered.len(), worker);
        match accept_request(&request, looked_up, is_last, &self.link, worker) {
            Accepted::Ready(response) => {
                let answer = Answered {
                    response,
                    request_end: end,
                };
                self.answer(answer, served, allowance, worker)
            }
            Accepted::Stream(response) => {
                // Where there is no room the request stays, and is answered when there is.
                self.flush(served, worker)?;
                served.used = end;
                self.requests += 1;
                self.begin(response, served, allowance, worker)
            }
            Accepted::Waits(exchange, wait) => {
                self.flush(served, worker)?;
                if wait == AcceptedWait::Body {
                    served.used = end;
                    self.requests += 1;
                }
                let step = Step::Go(State::Exchanging(exchange));
                ControlFlow::Break((served.used, step))
            }
        }
    }

    /// Sends what goes at once of a response that takes more than one call.
    fn begin(
        &mut self,
        response: Response,
        served: &Served<'_>,
        allowance: &mut Allowance,
        worker: &mut Worker,
    ) -> Flow {
        self.was_cold = false;
        let next = match begin(response, &mut self.link, worker) {
            Next::Over(after) => {
                allowance.responses = allowance.responses.saturating_sub(1);
                let has_more = served.used < served.bytes.len();
                return match self.after(after, has_more, worker) {
                    Some(step) => ControlFlow::Break((served.used, step)),
                    None => ControlFlow::Continue(()),
                };
            }
            next => next,
        };
        ControlFlow::Break((served.used, self.follow(next, allowance, worker)))
    }

    /// Sends a response that is in memory, or gathers it with those of the requests that came with
    /// it.
    fn answer<'b>(
        &mut self,
        answer: Answered<'b>,
        served: &mut Served<'b>,
        allowance: &mut Allowance,
        worker: &mut Worker,
    ) -> Flow {
        let (after, end) = (answer.response.after, answer.request_end);
        let has_more = end < served.bytes.len();
        allowance.responses = allowance.responses.saturating_sub(1);
        worker.turn.has_answered = true;
        self.was_cold = false;
        let is_last = after != AfterResponse::KeepAlive
            || !has_more
            || allowance.responses == 0
            || worker.buffers.output.len() >= GATHER_BYTES_MAX;
        if is_last && served.gathered.is_empty() {
            self.send_alone(answer, worker)?;
        } else {
            served.gather(answer, worker);
            if is_last {
                self.flush(served, worker)?;
            }
        }
        served.used = end;
        match self.after(after, has_more, worker) {
            Some(step) if is_last => ControlFlow::Break((end, step)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn send_alone(&mut self, answer: Answered<'_>, worker: &mut Worker) -> Flow {
        let ready = answer.response.ready;
        let mut sealed = std::mem::take(&mut worker.buffers.sealed);
        let bytes = worker.bytes_of(&ready);
        let written = self.link.transport.send_bytes(bytes, &mut sealed);
        worker.buffers.sealed = sealed;
        if written.is_whole(ready.length()) {
            worker.drop_output_of(&ready);
            self.observe_whole(answer, worker);
            return ControlFlow::Continue(());
        }
        let bytes = worker.bytes_of(&ready).to_vec();
        worker.drop_output_of(&ready);
        let end = answer.request_end;
        ControlFlow::Break((end, self.cut_short(answer, written, &bytes, worker)))
    }

    /// Sends what is gathered. Of a response that the socket does not take as a whole the rest waits
    /// for it, and the requests behind it stay in the input.
    fn flush(&mut self, served: &mut Served<'_>, worker: &mut Worker) -> Flow {
        if served.gathered.is_empty() {
            return ControlFlow::Continue(());
        }
        let mut output = std::mem::take(&mut worker.buffers.output);
        let sealed = &mut worker.buffers.sealed;
        let written = self.link.transport.send_bytes(&output, sealed);
        let taken = written.is_whole(output.len());
        let Written {
            accepted,
            is_held,
            error,
        } = written;
        let mut start = 0;
        let mut flow = ControlFlow::Continue(());
        for answer in served.gathered.drain(..) {
            let end = start + answer.response.ready.length();
            // Of what is held, nothing but the end is known.
            let is_last = end == output.len();
            if end > accepted || is_last && !taken {
                let written = Written {
                    accepted: accepted.min(end) - start,
                    is_held,
                    error,
                };
                let request_end = answer.request_end;
                let step = self.cut_short(answer, written, &output[start..end], worker);
                flow = ControlFlow::Break((request_end, step));
                break;
            }
            self.observe_whole(answer, worker);
            start = end;
        }
        output.clear();
        worker.buffers.output = output;
        flow
    }

    /// Whether the next request is the last that is answered, behind `gathered` whose responses are not sent yet.
    fn is_last_request(&self, gathered: usize, worker: &Worker) -> bool {
        worker.requests_max.is_some_and(|max| {
            let number = self.requests + gathered as u64 + 1;
            number >= u64::from(max.get())
        })
    }

    fn observe_whole(&mut self, answer: Answered<'_>, worker: &mut Worker) {
        self.requests += 1;
        let accepted = answer.response.ready.length();
        let (client, outcome) = (self.link.client(), Outcome::Complete);
        answer.response.observe(client, accepted, outcome, worker);
    }

    /// What becomes of a response, `bytes`, that the socket did not take as a whole.
    fn cut_short(
        &mut self,
        answer: Answered<'_>,
        written: Written,
        bytes: &[u8],
        worker: &mut Worker,
    ) -> Step {
        self.requests += 1;
        let (response, accepted) = (answer.response, written.accepted);
        let Some(error) = written.error else {
            let exchange = response.rest(bytes, accepted, &self.link, worker);
            return Step::Wait(State::Exchanging(exchange));
        };
        let client = self.link.client();
        let outcome = if error.is_peer_gone() {
            Outcome::PeerGone
        } else {
            self.close_reason.get_or_insert(CloseReason::Error);
            let line = format!("response to {} failed: {error}", client.address);
            worker.services.diagnostics.warn(line);
            Outcome::Failed
        };
        response.observe(client, accepted, outcome, worker);
        Step::Closed
    }

    /// Reads once, and goes on in the same state.
    pub(super) fn read_for(
        &mut self,
        state: State,
        allowance: &mut Allowance,
        worker: &mut Worker,
    ) -> Step {
        if allowance.reads == 0 {
            return Step::Again(state);
        }
        allowance.reads -= 1;
        if self.link.transport.is_drained() {
            return Step::Wait(state);
        }
        match self.link.transport.fill(&mut worker.scratch) {
            Ok(Fill::Bytes(bytes)) => {
                self.input.keep(bytes);
                Step::Go(state)
            }
            Ok(Fill::WouldBlock) => Step::Wait(state),
            // The handshake was over before the request whose body is read.
            #[cfg(feature = "tls")]
            Ok(Fill::Established | Fill::NotTls(_)) => Step::Closed,
            #[cfg(feature = "tls")]
            Ok(Fill::Refused) => self.close_write(worker),
            Ok(Fill::Closed) => self.end_in_order(worker),
            Err(_) => Step::Closed,
        }
    }

    /// Counts a handshake that is over.
    #[cfg(feature = "tls")]
    fn count_handshake(&self, worker: &Worker) {
        let (info, counters) = (self.link.transport.tls_info(), &worker.counters);
        if let (Some(info), Some(counters)) = (info, counters) {
            counters.count_handshake(match info.is_resumed {
                true => HandshakeResult::Resumed,
                false => HandshakeResult::Full,
            });
        }
    }

    /// Tells the operator of a handshake that has failed, if one has.
    #[cfg(feature = "tls")]
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
    #[cfg(feature = "tls")]
    fn refuse_plain(&mut self, bytes: &[u8], worker: &mut Worker) -> Step {
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

impl<'b> Served<'b> {
    /// Puts a response behind those that are gathered already.
    fn gather(&mut self, answer: Answered<'b>, worker: &mut Worker) {
        let Worker { cache, buffers, .. } = worker;
        match answer.response.ready.place {
            Place::Output => {}
            Place::Whole(id) => buffers.output.extend_from_slice(cache.whole(id)),
            Place::NotModified(id) => buffers.output.extend_from_slice(cache.not_modified(id)),
        }
        self.gathered.push(answer);
    }
}
