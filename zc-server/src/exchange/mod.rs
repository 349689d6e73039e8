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
//!              deadline, the thread came further   Resolving
//!              deadline, the thread is done        Resolving
//!              deadline                            Sending 504, then lingers
//! Resolved     its turn                            (head) again, with what is known
//!              deadline                            Resolved
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
//!              a file behind it was changed        over, cut
//!              all is sent, the file was cut       over, reset
//!              all is sent, it was overwritten     over, lingers
//!              deadline, the queue has moved       Sending
//!              deadline                            over, reset
//!              the limit of its rate is met        Paused
//! Paused       deadline                            Sending
//!              the peer is gone                    over
//! Prefetching  the kernel tells                    Prefetched
//!              the peer is gone                    over
//!              deadline, nothing sent yet          Sending 504, then lingers
//!              deadline                            over, cut
//! Prefetched   deadline                            Prefetched
//!              it is in memory                     Sending
//!              its end alone is in memory          Offloaded
//!              it cannot be read                   Offloaded, to find out why
//! Offloaded    a thread has read or sent           Returned
//!              the peer is gone                    over
//!              deadline, the thread came further   Offloaded
//!              deadline, the thread is done        Offloaded
//!              deadline, nothing sent yet          Sending 504, then lingers
//!              deadline                            over, cut
//! Returned     deadline                            Returned
//!              it was read                         Sending
//!              the thread met a full socket        Sending, at the next writable edge
//!              nothing could be read or sent yet   Sending 500, then lingers
//!              the end, or an error                as Sending
//! ```

mod accept;
mod completion;
mod drain;
mod look;
mod measure;
mod offload;
mod send;

use std::io;
use std::os::fd::OwnedFd;

use zc_core::{Progress, SendError};
use zc_http::{Drain, Persistence, Status};

use crate::body::ResponseBody;
use crate::disk::JobHandle;
use crate::observe::record::{Client, RequestRecord};
use crate::rate::Bucket;
use crate::respond::PendingLookup;
use crate::respond::failure::Failure;
use crate::respond::response::{AfterResponse, Asked, ExchangeId, Response, ResponseEnd};
use crate::worker::{Done, Worker};

pub(crate) use crate::observe::record::Outcome;
pub(crate) use accept::{Accepted, AcceptedWait, ReadyResponse, accept_request, refuse_connection};
use accept::{kept, refuse_now};
pub(crate) use completion::Completion;
use completion::end;
use drain::drain_body;
use offload::{Offloaded, Returned};
pub(crate) use send::begin;

/// The connection, as its exchange sees it.
pub(crate) trait Peer {
    fn client(&self) -> Client<'_>;
    /// Whether it is a connection too many of its client.
    fn is_refused(&self) -> bool;
    /// Whether it takes nothing any more. No event tells of it again.
    fn is_gone(&self) -> bool;
    /// Sends of a response until it ends, stops or has sent `budget` bytes. `sealed` is memory for TLS records.
    fn send(
        &mut self,
        body: &mut ResponseBody,
        budget: u64,
        sealed: &mut Vec<u8>,
    ) -> Result<Progress, SendError>;
    /// What it may be sent where a response has a limit of rate.
    fn bucket(&mut self) -> &mut Bucket;
    /// What sending a byte costs, in times of what it costs by `sendfile(2)`.
    fn byte_cost(&self) -> u64;
    /// What the kernel holds for it, sent or not, and has no acknowledgement of.
    fn unacknowledged_bytes(&self) -> u64;
    /// Another descriptor of the socket, for a thread that sends; `None` where a thread may only read.
    fn offload_fd(&self) -> io::Result<Option<OwnedFd>>;
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
        job: JobHandle,
        /// The progress of the job when its deadline was set.
        progress: u64,
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
        stall: Stall,
    },
    /// Until the deadline nothing is to be sent: the limit of its rate is met.
    Paused { response: Box<Response> },
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

/// When the peer counts as stalled.
#[derive(Debug, Clone, Copy)]
struct Stall {
    deadline_ms: u64,
    /// What the kernel held for it when the deadline was set; 0 until the socket is full.
    queued_bytes: u64,
}

impl Stall {
    /// Of a peer that has taken something in this turn.
    fn new(worker: &Worker) -> Self {
        Self {
            deadline_ms: worker.now_ms + worker.timeouts.send_ms,
            queued_bytes: 0,
        }
    }
}

/// What an exchange needs next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Another step, at once.
    Go(Exchange),
    /// An event, or its deadline.
    Wait(Exchange),
    /// An event, or its deadline, which is to the millisecond.
    Pause(Exchange),
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

impl Exchange {
    /// The answer to what is no request, or did not come in time: an error. `received` is what came of
    /// it; its first line goes to the log.
    pub(crate) fn refusing(
        received: &[u8],
        status: Status,
        after: AfterResponse,
        asked: Asked,
        worker: &mut Worker,
    ) -> Self {
        let id = worker.next_exchange();
        let asked = Asked {
            sender: asked.sender.or(|| worker.unread_sender()),
            ..asked
        };
        let reply = refuse_now(status, asked, Persistence::Close, worker);
        let record = worker.log.is_some();
        let record = record.then(|| RequestRecord::from_received(received, asked.sender));
        let measured = worker.measured_of(received);
        let response = kept(reply, id, after, asked, (measured, record), worker);
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
                job,
                progress: 0,
            },
            deadline_ms: worker.now_ms + worker.timeouts.disk_ms,
        }
    }

    fn sending(response: Box<Response>, worker: &Worker) -> Self {
        let stall = Stall::new(worker);
        Self {
            state: State::Sending { response, stall },
            deadline_ms: stall.deadline_ms,
        }
    }

    /// The peer is waited for.
    fn blocked(
        mut response: Box<Response>,
        mut stall: Stall,
        peer: &impl Peer,
        worker: &Worker,
    ) -> Self {
        if stall.queued_bytes == 0 {
            stall.queued_bytes = peer.unacknowledged_bytes();
        }
        let mut deadline_ms = stall.deadline_ms;
        if let Some(rate) = worker.min_rate {
            let taken_bytes = send::taken_bytes(&response, peer);
            let intake = &mut response.end.intake;
            deadline_ms = deadline_ms.min(intake.begin(rate, taken_bytes, worker.now_ms));
        }
        Self {
            state: State::Sending { response, stall },
            deadline_ms,
        }
    }

    /// Nothing is sent before `until_ms`.
    fn paused(response: Box<Response>, until_ms: u64) -> Self {
        Self {
            state: State::Paused { response },
            deadline_ms: until_ms,
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
        let reply = refuse_now(status, end.asked, Persistence::Close, worker);
        let response = kept(
            reply,
            id,
            after,
            end.asked,
            (end.measured, end.record),
            worker,
        );
        Self::sending(Box::new(response), worker)
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
            State::Resolving { pending, .. } if peer.is_gone() => {
                worker.observe_unanswered(
                    received,
                    pending.asked.sender,
                    peer.client(),
                    Outcome::PeerGone,
                );
                Next::End(Ending::Close)
            }
            State::Resolved { id, pending } => Next::TakeHead(id, pending),
            State::Draining { drain, response } => {
                return drain_body(drain, response, deadline_ms, received, worker);
            }
            State::Sending { response, stall } => send::resume(response, stall, peer, worker),
            State::Paused { response }
            | State::Prefetching { response }
            | State::Prefetched { response, .. }
                if peer.is_gone() =>
            {
                end(*response, Outcome::PeerGone, peer, worker)
            }
            State::Prefetched { response, result } => {
                offload::after_prefetch(response, &result, peer, worker)
            }
            State::Offloaded(offloaded) if peer.is_gone() => {
                offloaded.end(Outcome::PeerGone, peer, worker)
            }
            State::Returned(returned) => returned.resume(peer, worker),
            state @ (State::Resolving { .. }
            | State::Paused { .. }
            | State::Prefetching { .. }
            | State::Offloaded(_)) => Next::Wait(Self { state, deadline_ms }),
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
        let renewed_ms = worker.now_ms + worker.timeouts.disk_ms;
        match self.state {
            // The answer has come, and only its turn has not.
            state @ (State::Resolved { .. } | State::Prefetched { .. } | State::Returned(_)) => {
                Next::Yield(Self {
                    state,
                    deadline_ms: renewed_ms,
                })
            }
            // It walks a tree of many entries.
            State::Resolving {
                id,
                pending,
                job,
                progress,
            } if job.progress() > progress => {
                let progress = job.progress();
                let state = State::Resolving {
                    id,
                    pending,
                    job,
                    progress,
                };
                Next::Wait(Self {
                    state,
                    deadline_ms: renewed_ms,
                })
            }
            State::Resolving { pending, job, .. } if job.cancel() => {
                let (status, after) = (Failure::DiskTimeout.status(), AfterResponse::Linger);
                let refusing = Self::refusing(received, status, after, pending.asked, worker);
                Next::Yield(refusing)
            }
            // The thread is done: its message is on the way.
            state @ State::Resolving { .. } => Next::Wait(Self {
                state,
                deadline_ms: renewed_ms,
            }),
            State::Draining { response, .. } => {
                let (id, end) = (response.id, response.end);
                let (status, after) = (Status::RequestTimeout, AfterResponse::Close);
                Next::Yield(Self::refusing_instead(end, id, status, after, worker))
            }
            State::Sending { response, stall } => send::on_stall(response, stall, peer, worker),
            State::Paused { response } => Next::Yield(Self::sending(response, worker)),
            // A part of it is sent: no other response is possible.
            State::Prefetching { response } if response.body.accepted() > 0 => {
                offload::warn_of_timeout(response.body.file(), peer, worker);
                end(*response, Outcome::DiskTimeout, peer, worker);
                Next::End(Ending::CutOff)
            }
            State::Prefetching { response } => {
                offload::warn_of_timeout(response.body.file(), peer, worker);
                let (id, end) = (response.id, response.end);
                let (status, after) = (Failure::DiskTimeout.status(), AfterResponse::Linger);
                Next::Yield(Self::refusing_instead(end, id, status, after, worker))
            }
            State::Offloaded(offloaded) => offloaded.on_deadline(peer, worker),
        }
    }

    /// The grace period is over: it is cut.
    pub(crate) fn cut(self, received: &[u8], peer: &mut impl Peer, worker: &mut Worker) -> Ending {
        match self.state {
            // A request that waits for a look-up has no response yet, and is cut all the same.
            State::Resolving { pending, .. } | State::Resolved { pending, .. } => {
                worker.observe_unanswered(
                    received,
                    pending.asked.sender,
                    peer.client(),
                    Outcome::Shutdown,
                );
                Ending::Close
            }
            State::Draining { response, .. }
            | State::Sending { response, .. }
            | State::Paused { response }
            | State::Prefetching { response }
            | State::Prefetched { response, .. } => {
                end(*response, Outcome::Shutdown, peer, worker);
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

#[cfg(test)]
mod tests;
