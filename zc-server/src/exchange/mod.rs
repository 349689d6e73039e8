//! One request and its response, from the complete head to the end: the states, and every transition.
//!
//! An exchange does no I/O of its own. It sends through its [`Peer`], takes the bytes that came, and says
//! what it needs [`Next`]. A response that goes in one call has no state: it is over before one is needed.
//!
//! ```text
//! state        event                               next
//! -----------  ----------------------------------  ---------------------------------------------
//! (head)       the response is in memory           Ready: the connection sends it
//!              a response that takes more          as Sending, by how far the first call came
//!              a small request body                Draining
//!              something has to be looked up       Resolving
//!              the threads have too much to do     503, as above
//! Resolving    a thread has looked it up           Resolved
//!              the peer is gone                    over
//!              deadline                            Sending 504, then lingers
//! Resolved     its turn                            (head) again, with what is known
//! Draining     the request body has ended          Sending
//!              more of it is to come               Draining, the connection reads
//!              malformed, or longer than allowed   Sending 400 or 413, then lingers
//!              deadline                            Sending 408, then closes
//! Sending      all is sent                         over
//!              the socket is full                  Sending, at the next writable edge
//!              the budget is spent                 Sending, in another turn
//!              cold, the kernel will tell          Prefetching
//!              cold                                Offloaded
//!              cold, threads busy, nothing sent    Sending 503, then lingers
//!              cold, threads busy                  over, cut
//!              the peer is gone                    over
//!              the file was truncated              over, cut
//!              deadline, the queue has moved       Sending
//!              deadline                            over, reset
//! Prefetching  the kernel tells                    Prefetched
//!              the peer is gone                    over
//!              deadline                            Sending 504, then lingers
//! Prefetched   it is in memory                     Sending
//!              its end alone is in memory          Offloaded
//!              it cannot be read                   Offloaded, to find out why
//! Offloaded    a thread has read or sent           Returned
//!              the peer is gone                    over
//!              deadline, nothing sent yet          Sending 504, then lingers
//!              deadline                            over, cut
//! Returned     it was read                         Sending
//!              the thread met a full socket        Sending, at the next writable edge
//!              nothing could be read or sent yet   Sending 500, then lingers
//!              the end, or an error                as Sending
//! ```

mod completion;
mod offload;
mod send;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use zc_core::{Progress, SendError};
use zc_http::{Drain, Persistence, Request, Status, persistence};

use crate::body::ResponseBody;
use crate::disk::JobHandle;
use crate::observe::record::RequestRecord;
use crate::respond::failure::Failure;
use crate::respond::reply::{Ready, Reply};
use crate::respond::response::{AfterResponse, ExchangeId, Response, ResponseEnd};
use crate::respond::{PendingLookup, Responded, ResponderParts, refuse, respond};
use crate::worker::{Done, Worker};

pub(crate) use completion::{Completion, Outcome};
use offload::{Offloaded, Returned};
pub(crate) use send::begin;

/// The longest request body that is read and dropped so that the connection can be kept, in bytes.
/// Longer ones are answered at once, and the connection ends.
const DRAIN_BYTES_MAX: u64 = 64 * 1024;

/// The connection, as its exchange sees it.
pub(crate) trait Peer {
    fn remote(&self) -> SocketAddr;
    /// Whether it takes nothing any more. No event tells of it again.
    fn is_gone(&self) -> bool;
    /// Sends of a response until it ends, stops or has sent `budget` bytes.
    fn send(&mut self, body: &mut ResponseBody, budget: u64) -> Result<Progress, SendError>;
    /// What the kernel holds for it, sent or not, and has no acknowledgement of.
    fn unacknowledged_bytes(&self) -> u64;
    /// Another descriptor of the socket, for a thread.
    fn offload_fd(&self) -> io::Result<OwnedFd>;
}

/// One request and its response, under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    state: State,
    /// When [`on_deadline`](Self::on_deadline) is due, in milliseconds of the worker's clock.
    deadline_ms: u64,
}

#[derive(Debug)]
enum State {
    /// A thread looks something up. The head of the request stays in the input.
    Resolving {
        id: ExchangeId,
        pending: Box<PendingLookup>,
        _job: JobHandle,
    },
    /// It has been looked up: the head is to be taken again.
    Resolved {
        id: ExchangeId,
        pending: Box<PendingLookup>,
    },
    /// The request body is read and dropped; the response is ready.
    Draining {
        drain: Drain,
        response: Box<Response>,
    },
    Sending {
        response: Box<Response>,
        /// What the kernel held for the peer when the deadline was set; 0 until the socket is full.
        queued_bytes: u64,
    },
    /// What comes next was requested of the disk, and the kernel will tell.
    Prefetching { response: Box<Response> },
    /// The kernel has told.
    Prefetched {
        response: Box<Response>,
        result: io::Result<()>,
    },
    /// A thread has the body, since the disk has to be waited for.
    Offloaded(Box<Offloaded>),
    /// The body has come back.
    Returned(Box<Returned>),
}

/// What an exchange needs next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Another step, at once.
    Go(Exchange),
    /// An event, or its deadline.
    Wait(Exchange),
    /// A step in another turn.
    Yield(Exchange),
    /// More of the request body.
    ReadBody(Exchange),
    /// The head of the request again, to be answered with what has been looked up.
    TakeHead(ExchangeId, Box<PendingLookup>),
    /// Nothing: the response was sent as a whole.
    Over(AfterResponse),
    /// The end of its connection, at once.
    End(Ending),
}

/// How a connection ends at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Close,
    /// The kernel drops what the peer does not take, instead of keeping it for minutes.
    Reset,
    /// For the peer, whoever else has a descriptor of the socket.
    CutOff,
}

/// What becomes of a complete head.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart by the one that asked; a box would allocate for each request"
)]
pub(crate) enum Accepted<'b> {
    /// The response is in memory as a whole.
    Ready(ReadyResponse<'b>),
    /// It takes more than one call.
    Stream(Response),
    /// Something comes before it.
    Waits(Exchange, AcceptedWait),
}

/// What a request waits for before its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcceptedWait {
    /// Its own body.
    Body,
    /// A thread. The head is to be taken again.
    LookUp,
}

/// A response that is in memory as a whole.
#[derive(Debug)]
pub(crate) struct ReadyResponse<'b> {
    pub(crate) id: ExchangeId,
    pub(crate) ready: Ready,
    pub(crate) after: AfterResponse,
    /// `None` without an access log.
    pub(crate) record: Option<RequestRecord<'b>>,
}

enum RequestBody {
    None,
    Small(Drain),
    Refused,
}

/// A complete head → its response. `looked_up` is what a thread has looked up for it already.
pub(crate) fn accept_request<'b>(
    request: &Request<'b>,
    looked_up: Option<(ExchangeId, Box<PendingLookup>)>,
    worker: &mut Worker,
) -> Accepted<'b> {
    let started = worker.log.is_some().then(Instant::now);
    let body = match Drain::new(request.body, DRAIN_BYTES_MAX) {
        Ok(None) => RequestBody::None,
        // A client that waits for 100 (Continue) has not sent the body and need not.
        Ok(Some(drain)) if !request.headers.list_contains("expect", "100-continue") => {
            RequestBody::Small(drain)
        }
        Ok(Some(_)) | Err(_) => RequestBody::Refused,
    };
    let after = match (&body, persistence(request)) {
        (RequestBody::None, Persistence::Close) => AfterResponse::Finish,
        (RequestBody::Refused, _) | (_, Persistence::Close) => AfterResponse::Linger,
        _ if worker.stopping => AfterResponse::Linger,
        (_, Persistence::KeepAlive) => AfterResponse::KeepAlive,
    };
    let persistence = match after {
        AfterResponse::KeepAlive => Persistence::KeepAlive,
        _ => Persistence::Close,
    };
    let (id, pending) = match looked_up {
        Some((id, pending)) => (id, Some(pending)),
        None => (worker.next_exchange(), None),
    };
    let moment = worker.moment(persistence);
    let parts = ResponderParts {
        services: &worker.services,
        content: &worker.content,
        moment: &moment,
        roots: &mut worker.roots,
        cache: &mut worker.cache,
        buffers: &mut worker.buffers,
        path: &mut worker.path_buffer,
    };
    let reply = match respond(request, pending, parts) {
        Responded::Reply(reply) => reply,
        Responded::LookUp(pending, look_up) => {
            let work = look_up.work;
            let work = move |_: &_, _: &_| Some(Done::LookedUp(work()));
            match worker.submit(look_up.mount, 0, id, work) {
                Some(job) => {
                    let exchange = Exchange::resolving(id, pending, job, worker);
                    return Accepted::Waits(exchange, AcceptedWait::LookUp);
                }
                None => refuse_now(Failure::DiskBusy.status(), persistence, worker),
            }
        }
    };
    let record = started.map(|started| RequestRecord::new(request, started));
    match (reply, body) {
        (Reply::Ready(ready), RequestBody::None | RequestBody::Refused) => {
            Accepted::Ready(ReadyResponse {
                id,
                ready,
                after,
                record,
            })
        }
        (Reply::Stream(stream), RequestBody::None | RequestBody::Refused) => {
            Accepted::Stream(Response::from_stream(stream, id, after, record))
        }
        (reply, RequestBody::Small(drain)) => {
            let response = Box::new(kept(reply, id, after, record, worker));
            let deadline_ms = worker.now_ms + worker.timeouts.header_ms;
            let state = State::Draining { drain, response };
            Accepted::Waits(Exchange { state, deadline_ms }, AcceptedWait::Body)
        }
    }
}

fn refuse_now(status: Status, persistence: Persistence, worker: &mut Worker) -> Reply {
    let moment = worker.moment(persistence);
    refuse(
        status,
        &worker.services,
        &worker.content,
        &moment,
        &mut worker.buffers,
    )
}

/// A reply that is not sent at once.
fn kept(
    reply: Reply,
    id: ExchangeId,
    after: AfterResponse,
    record: Option<RequestRecord<'_>>,
    worker: &mut Worker,
) -> Response {
    let ready = match reply {
        Reply::Stream(stream) => return Response::from_stream(stream, id, after, record),
        Reply::Ready(ready) => ready,
    };
    let end = ResponseEnd {
        status: ready.status,
        after,
        record: record.map(RequestRecord::into_owned),
    };
    let response = Response::rest_of(worker.bytes_of(&ready), ready.bytes, 0, id, end);
    worker.drop_output_of(&ready);
    response
}

impl ReadyResponse<'_> {
    /// What is left of it where the socket accepted `accepted` of its `bytes`, to be sent at the next
    /// writable edge.
    pub(crate) fn rest(
        self,
        bytes: &[u8],
        accepted: usize,
        peer: &impl Peer,
        worker: &Worker,
    ) -> Exchange {
        let end = ResponseEnd {
            status: self.ready.status,
            after: self.after,
            record: self.record.map(RequestRecord::into_owned),
        };
        let rest = Response::rest_of(bytes, self.ready.bytes, accepted, self.id, end);
        Exchange {
            state: State::Sending {
                response: Box::new(rest),
                queued_bytes: peer.unacknowledged_bytes(),
            },
            deadline_ms: worker.now_ms + worker.timeouts.stall_ms,
        }
    }

    /// It ended, with `accepted` of its bytes at the socket.
    pub(crate) fn observe(
        self,
        remote: SocketAddr,
        accepted: usize,
        outcome: Outcome,
        worker: &mut Worker,
    ) {
        worker.observe(Completion {
            remote,
            status: Some(self.ready.status),
            outcome,
            figures: self.ready.bytes.figures(accepted),
            record: self.record,
        });
    }
}

impl Exchange {
    /// The answer to what is no request, or did not come in time: an error. `received` is what came of
    /// it; its first line goes to the log.
    pub(crate) fn refusing(
        received: &[u8],
        status: Status,
        after: AfterResponse,
        worker: &mut Worker,
    ) -> Self {
        let id = worker.next_exchange();
        let reply = refuse_now(status, Persistence::Close, worker);
        let record = worker.log.is_some();
        let record = record.then(|| RequestRecord::from_received(received));
        let response = kept(reply, id, after, record, worker);
        Self::sending(Box::new(response), worker)
    }

    fn resolving(
        id: ExchangeId,
        pending: Box<PendingLookup>,
        job: JobHandle,
        worker: &Worker,
    ) -> Self {
        Self {
            state: State::Resolving {
                id,
                pending,
                _job: job,
            },
            deadline_ms: worker.now_ms + worker.timeouts.disk_ms,
        }
    }

    fn sending(response: Box<Response>, worker: &Worker) -> Self {
        Self {
            state: State::Sending {
                response,
                queued_bytes: 0,
            },
            deadline_ms: worker.now_ms + worker.timeouts.stall_ms,
        }
    }

    /// The same request answered by an error instead, because of its body or of the disk.
    fn refusing_instead(
        end: ResponseEnd,
        id: ExchangeId,
        status: Status,
        after: AfterResponse,
        worker: &mut Worker,
    ) -> Self {
        let reply = refuse_now(status, Persistence::Close, worker);
        let response = kept(reply, id, after, end.record, worker);
        Self::sending(Box::new(response), worker)
    }

    /// When [`on_deadline`](Self::on_deadline) is due, in milliseconds of the worker's clock.
    pub(crate) fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    /// Whether a response is under way.
    pub(crate) fn is_sending(&self) -> bool {
        match self.state {
            State::Resolving { .. } | State::Resolved { .. } | State::Draining { .. } => false,
            State::Sending { .. } | State::Prefetching { .. } | State::Prefetched { .. } => true,
            State::Offloaded(_) | State::Returned(_) => true,
        }
    }

    /// Whether the disk is waited for, to send on.
    pub(crate) fn is_cold(&self) -> bool {
        matches!(self.state, State::Prefetching { .. } | State::Offloaded(_))
    }

    /// A writable edge. It comes once: a thread that has met a full socket has missed it.
    pub(crate) fn on_writable(&mut self) {
        if let State::Offloaded(offloaded) = &mut self.state {
            offloaded.writable = true;
        }
    }

    /// What a thread has done. It is for nobody when the exchange has given up.
    pub(crate) fn on_done(self, to: ExchangeId, done: Done) -> Self {
        let state = match (self.state, done) {
            (
                State::Resolving {
                    id, mut pending, ..
                },
                Done::LookedUp(answer),
            ) if id == to => {
                pending.add(answer);
                State::Resolved { id, pending }
            }
            (State::Offloaded(offloaded), Done::Carried(body, result)) if offloaded.id == to => {
                State::Returned(Box::new(offloaded.returned(body, result)))
            }
            (state, _) => state,
        };
        Self { state, ..self }
    }

    /// What was requested of the disk has been read, or cannot be. It is for nobody when the exchange has
    /// given up.
    pub(crate) fn on_read(self, to: ExchangeId, result: io::Result<()>) -> Self {
        let state = match self.state {
            State::Prefetching { response } if response.id == to => {
                State::Prefetched { response, result }
            }
            state => state,
        };
        Self { state, ..self }
    }

    /// Goes on as far as one step leads. `received` are bytes of the request, of which this says how many
    /// are done with.
    pub(crate) fn step(
        self,
        received: &[u8],
        peer: &mut impl Peer,
        worker: &mut Worker,
    ) -> (usize, Next) {
        let deadline_ms = self.deadline_ms;
        let next = match self.state {
            State::Resolving { .. } if peer.is_gone() => {
                worker.observe_unanswered(received, peer.remote(), Outcome::PeerGone);
                Next::End(Ending::Close)
            }
            State::Resolved { id, pending } => Next::TakeHead(id, pending),
            State::Draining { drain, response } => {
                return drain_body(drain, response, deadline_ms, received, worker);
            }
            State::Sending {
                response,
                queued_bytes,
            } => send::resume(response, (deadline_ms, queued_bytes), peer, worker),
            State::Prefetching { response } | State::Prefetched { response, .. }
                if peer.is_gone() =>
            {
                send::end(*response, Outcome::PeerGone, peer, worker)
            }
            State::Prefetched { response, result } => {
                offload::after_prefetch(response, &result, peer, worker)
            }
            State::Offloaded(offloaded) if peer.is_gone() => {
                offloaded.end(Outcome::PeerGone, peer, worker)
            }
            State::Returned(returned) => returned.resume(peer, worker),
            state @ (State::Resolving { .. } | State::Prefetching { .. } | State::Offloaded(_)) => {
                Next::Wait(Self { state, deadline_ms })
            }
        };
        (0, next)
    }

    /// The deadline has passed.
    pub(crate) fn on_deadline(
        self,
        received: &[u8],
        peer: &mut impl Peer,
        worker: &mut Worker,
    ) -> Next {
        match self.state {
            State::Resolving { .. } | State::Resolved { .. } => Next::Yield(Self::refusing(
                received,
                Failure::DiskTimeout.status(),
                AfterResponse::Linger,
                worker,
            )),
            State::Draining { response, .. } => {
                let (id, end) = (response.id, response.end);
                let (status, after) = (Status::RequestTimeout, AfterResponse::Close);
                Next::Yield(Self::refusing_instead(end, id, status, after, worker))
            }
            State::Sending {
                response,
                queued_bytes,
            } => send::on_stall(response, queued_bytes, peer, worker),
            State::Prefetching { response } | State::Prefetched { response, .. } => {
                offload::warn_of_timeout(response.body.file(), peer, worker);
                let (id, end) = (response.id, response.end);
                let (status, after) = (Failure::DiskTimeout.status(), AfterResponse::Linger);
                Next::Yield(Self::refusing_instead(end, id, status, after, worker))
            }
            State::Offloaded(offloaded) => offloaded.on_deadline(peer, worker),
            State::Returned(returned) => returned.offloaded.on_deadline(peer, worker),
        }
    }

    /// The grace period is over: it is cut.
    pub(crate) fn cut(self, received: &[u8], peer: &mut impl Peer, worker: &mut Worker) -> Ending {
        match self.state {
            // A request that waits for a look-up has no response yet, and is cut all the same.
            State::Resolving { .. } | State::Resolved { .. } => {
                worker.observe_unanswered(received, peer.remote(), Outcome::Shutdown);
                Ending::Close
            }
            State::Draining { response, .. }
            | State::Sending { response, .. }
            | State::Prefetching { response }
            | State::Prefetched { response, .. } => {
                send::end(*response, Outcome::Shutdown, peer, worker);
                Ending::Reset
            }
            State::Offloaded(offloaded) => {
                offloaded.end(Outcome::Shutdown, peer, worker);
                Ending::CutOff
            }
            State::Returned(returned) => {
                returned.offloaded.end(Outcome::Shutdown, peer, worker);
                Ending::CutOff
            }
        }
    }
}

/// Drops what has come of a request body. Answers how many bytes that were, as well.
fn drain_body(
    mut drain: Drain,
    response: Box<Response>,
    deadline_ms: u64,
    received: &[u8],
    worker: &mut Worker,
) -> (usize, Next) {
    match drain.consume(received) {
        Ok(drained) if drained.done => {
            let sending = Exchange::sending(response, worker);
            (drained.consumed, Next::Go(sending))
        }
        Ok(drained) => {
            let state = State::Draining { drain, response };
            let exchange = Exchange { state, deadline_ms };
            (drained.consumed, Next::ReadBody(exchange))
        }
        Err(error) => {
            let (id, end) = (response.id, response.end);
            let (status, after) = (error.status(), AfterResponse::Linger);
            let refusing = Exchange::refusing_instead(end, id, status, after, worker);
            (0, Next::Go(refusing))
        }
    }
}

#[cfg(test)]
mod tests;
