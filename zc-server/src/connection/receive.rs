//! From bytes to answered requests: reading, and serving all heads that have come.

use std::ops::ControlFlow;

use zc_http::{Parse, Request, parse};

use super::transport::{Fill, Written};
use super::{Allowance, Connection, State, Step};
use crate::exchange::{
    Accepted, AcceptedWait, Exchange, Next, Outcome, Peer, ReadyResponse, accept_request, begin,
};
use crate::observe::counters::CloseReason;
use crate::observe::record::RequestRecord;
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
    response: ReadyResponse,
    record: Option<RequestRecord<'b>>,
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
        // Borrowed where it stands: a move would copy a kilobyte.
        let parsed = parse(rest, &worker.limits);
        let request = match &parsed {
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
        match accept_request(request, looked_up, is_last, &self.link, worker) {
            Accepted::Ready(response) => {
                self.answer((request, end), response, served, allowance, worker)
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

    /// Sends a response that is in memory, or gathers it with those of the requests that came with it. The request that
    /// it answers ends at `end`.
    fn answer<'b>(
        &mut self,
        (request, end): (&Request<'b>, usize),
        mut response: ReadyResponse,
        served: &mut Served<'b>,
        allowance: &mut Allowance,
        worker: &mut Worker,
    ) -> Flow {
        let after = response.after;
        let has_more = end < served.bytes.len();
        allowance.responses = allowance.responses.saturating_sub(1);
        worker.turn.has_answered = true;
        self.was_cold = false;
        let is_last = after != AfterResponse::KeepAlive
            || !has_more
            || allowance.responses == 0
            || worker.buffers.output.len() >= GATHER_BYTES_MAX;
        if is_last && served.gathered.is_empty() {
            self.send_alone(&mut response, (request, end), worker)?;
        } else {
            let answer = Answered {
                record: response.take_record(request),
                response,
                request_end: end,
            };
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

    fn send_alone(
        &mut self,
        response: &mut ReadyResponse,
        (request, end): (&Request<'_>, usize),
        worker: &mut Worker,
    ) -> Flow {
        let ready = response.ready;
        let mut sealed = std::mem::take(&mut worker.buffers.sealed);
        let bytes = worker.bytes_of(&ready);
        let written = self.link.transport.send_bytes(bytes, &mut sealed);
        worker.buffers.sealed = sealed;
        if written.is_whole(ready.length()) {
            worker.drop_output_of(&ready);
            let record = response.take_record(request);
            self.observe_whole(response, record.as_ref(), worker);
            return ControlFlow::Continue(());
        }
        let bytes = worker.bytes_of(&ready).to_vec();
        worker.drop_output_of(&ready);
        let record = response.take_record(request);
        let step = self.cut_short(response, record, written, &bytes, worker);
        ControlFlow::Break((end, step))
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
            let (response, record) = (&answer.response, answer.record);
            let end = start + response.ready.length();
            // Of what is held, nothing but the end is known.
            let is_last = end == output.len();
            if end > accepted || is_last && !taken {
                let written = Written {
                    accepted: accepted.min(end) - start,
                    is_held,
                    error,
                };
                let bytes = &output[start..end];
                let step = self.cut_short(response, record, written, bytes, worker);
                flow = ControlFlow::Break((answer.request_end, step));
                break;
            }
            self.observe_whole(response, record.as_ref(), worker);
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

    fn observe_whole(
        &mut self,
        response: &ReadyResponse,
        record: Option<&RequestRecord<'_>>,
        worker: &mut Worker,
    ) {
        self.requests += 1;
        let (client, accepted) = (self.link.client(), response.ready.length());
        response.observe(record, client, accepted, Outcome::Complete, worker);
    }

    /// What becomes of a response, `bytes`, that the socket did not take as a whole.
    fn cut_short(
        &mut self,
        response: &ReadyResponse,
        record: Option<RequestRecord<'_>>,
        written: Written,
        bytes: &[u8],
        worker: &mut Worker,
    ) -> Step {
        self.requests += 1;
        let accepted = written.accepted;
        let Some(error) = written.error else {
            let exchange = response.rest(record, bytes, accepted, &self.link, worker);
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
        response.observe(record.as_ref(), client, accepted, outcome, worker);
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
