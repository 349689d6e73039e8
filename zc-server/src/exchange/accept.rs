//! A complete head → its response, or what the response waits for.

use std::time::Instant;

use zc_http::{Drain, Persistence, Request, Status, persistence};

use super::{Completion, Exchange, Outcome, Peer, Stall, State};
use crate::clients::{Sender, queue_key};
use crate::disk::{JobHandle, Role};
use crate::observe::counters::Measured;
use crate::observe::record::{Client, RequestRecord, Requester};
use crate::rate::Intake;
use crate::respond::error_body::Form;
use crate::respond::failure::Failure;
use crate::respond::reply::{Moment, Ready, Reply};
use crate::respond::response::{AfterResponse, Asked, ExchangeId, Response, ResponseEnd};
use crate::respond::{LookUp, PendingLookup, Responded, ResponderParts, Thread, refuse, respond};
use crate::socket::Host;
use crate::worker::{Done, Life, Worker};

/// The longest request body that is read and dropped so that the connection can be kept, in bytes.
/// Longer ones are answered at once, and the connection ends.
const DRAIN_BYTES_MAX: u64 = 64 * 1024;

/// What becomes of a complete head.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart by the one that asked; a box would allocate for each request"
)]
pub(crate) enum Accepted {
    /// The response is in memory as a whole.
    Ready(ReadyResponse),
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
pub(crate) struct ReadyResponse {
    pub(crate) id: ExchangeId,
    pub(crate) ready: Ready,
    pub(crate) after: AfterResponse,
    pub(crate) measured: Measured,
    /// `None` without an access log.
    pub(crate) requester: Option<Requester>,
}

enum RequestBody {
    None,
    Small(Drain),
    Refused,
}

impl RequestBody {
    fn from_request(request: &Request<'_>) -> Self {
        match Drain::new(request.body, DRAIN_BYTES_MAX) {
            Ok(None) => Self::None,
            // A client that waits for 100 (Continue) has not sent the body and need not.
            Ok(Some(drain)) if !request.headers.list_contains("expect", "100-continue") => {
                Self::Small(drain)
            }
            Ok(Some(_)) | Err(_) => Self::Refused,
        }
    }

    /// What comes after the response. `is_last` says that the connection is to end behind it.
    fn after(&self, request: &Request<'_>, is_last: bool, worker: &Worker) -> AfterResponse {
        match (self, persistence(request)) {
            (Self::None, Persistence::Close) => AfterResponse::Finish,
            (Self::Refused, _) | (_, Persistence::Close) => AfterResponse::Linger,
            _ if is_last || worker.life != Life::Serving => AfterResponse::Linger,
            (_, Persistence::KeepAlive) => AfterResponse::KeepAlive,
        }
    }
}

/// A complete head → its response. `looked_up` is what a thread has looked up for it already; `is_last` says that
/// the connection is to end behind it.
pub(crate) fn accept_request(
    request: &Request<'_>,
    looked_up: Option<(ExchangeId, Box<PendingLookup>)>,
    is_last: bool,
    peer: &impl Peer,
    worker: &mut Worker,
) -> Accepted {
    let started = worker.log.is_some().then(Instant::now);
    let body = RequestBody::from_request(request);
    let after = body.after(request, is_last || peer.is_refused(), worker);
    let persistence = match after {
        AfterResponse::KeepAlive => Persistence::KeepAlive,
        _ => Persistence::Close,
    };
    let begun_us = (looked_up.as_ref()).and_then(|(_, pending)| pending.started_us);
    let measured = worker.measured(request.method, begun_us);
    let (id, sender, pending) = match looked_up {
        // Which sender it has is known since its head was first read.
        Some((id, pending)) => (id, pending.asked.sender, Some(pending)),
        None => {
            let client = peer.client().address;
            let sender = worker.sender(client, &request.headers);
            (worker.next_exchange(), sender, None)
        }
    };
    let moment = worker.moment(persistence, sender);
    let responded = respond_to(request, pending, &moment, peer, worker);
    let requester = requester(started, sender, worker);
    let reply = match responded {
        Responded::Reply(reply) => reply,
        Responded::LookUp(mut pending, look_up) => {
            pending.started_us = Some(measured.started_us);
            match look_up_by_thread(look_up, id, sender, peer, worker) {
                Some(job) => {
                    let exchange = Exchange::resolving(id, pending, job, worker);
                    return Accepted::Waits(exchange, AcceptedWait::LookUp);
                }
                None => {
                    let (busy, asked) = (Failure::DiskBusy, asked(request, sender, worker));
                    refuse_now(busy.status(), asked, persistence, worker)
                }
            }
        }
    };
    match (reply, body) {
        (
            Reply::Ready(ready @ Ready { limit: None, .. }),
            RequestBody::None | RequestBody::Refused,
        ) => Accepted::Ready(ReadyResponse {
            id,
            ready,
            after,
            measured,
            requester,
        }),
        (reply, body) => {
            let asked = asked(request, sender, worker);
            let record = requester.map(|requester| RequestRecord::new(request, requester));
            let response = kept(reply, id, after, asked, (measured, record), worker);
            let RequestBody::Small(drain) = body else {
                return Accepted::Stream(response);
            };
            let response = Box::new(response);
            let deadline_ms = worker.now_ms + worker.timeouts.header_ms;
            let state = State::Draining { drain, response };
            Accepted::Waits(Exchange { state, deadline_ms }, AcceptedWait::Body)
        }
    }
}

/// What the access log tells of who asks; `started` is `None` where there is none. The user is taken from the worker.
fn requester(started: Option<Instant>, sender: Sender, worker: &mut Worker) -> Option<Requester> {
    let user = worker.user.take();
    started.map(|started| Requester {
        started,
        sender,
        user,
    })
}

/// Has a thread do it. `None` when the threads have too much to do.
fn look_up_by_thread(
    look_up: LookUp,
    id: ExchangeId,
    sender: Sender,
    peer: &impl Peer,
    worker: &Worker,
) -> Option<JobHandle> {
    let LookUp { thread, work } = look_up;
    let work = move |_: &_, token: &_| Some(Done::LookedUp(work(token)));
    let (role, key) = match thread {
        Thread::Disk(mount) => (Role::Other, mount),
        // A client that tries many passwords waits behind its own.
        Thread::Check => (Role::Check, queue_key(client_of(sender, peer))),
    };
    worker.submit(role, key, id, work)
}

/// Who asks: what a trusted proxy says, or what the connection does.
fn client_of(sender: Sender, peer: &impl Peer) -> Host {
    let named = sender.client.map(Host::Internet);
    named.unwrap_or_else(|| peer.client().address.host())
}

/// The response, or an error in place of it because of who asks.
#[inline]
fn respond_to(
    request: &Request<'_>,
    pending: Option<Box<PendingLookup>>,
    moment: &Moment,
    peer: &impl Peer,
    worker: &mut Worker,
) -> Responded {
    let sender = moment.sender;
    let client = client_of(sender, peer);
    let status = if peer.is_refused() {
        Status::ServiceUnavailable
    } else if worker.clients.is_forbidden(client) {
        Status::Forbidden
    } else {
        return answer(request, pending, moment, worker);
    };
    let asked = asked(request, sender, worker);
    Responded::Reply(refuse_now(status, asked, moment.after, worker))
}

/// The answer of the worker: files, or the pages of the admin listener.
#[inline]
fn answer(
    request: &Request<'_>,
    pending: Option<Box<PendingLookup>>,
    moment: &Moment,
    worker: &mut Worker,
) -> Responded {
    match worker.admin.clone() {
        Some(admin) => admin.answer(request, pending, moment, &mut worker.buffers),
        None => respond(request, pending, parts(moment, worker)),
    }
}

fn asked(request: &Request<'_>, sender: Sender, worker: &Worker) -> Asked {
    Asked {
        sender,
        root: worker.content.root_of(request, worker.scheme),
        generation: worker.content.generation,
        method: request.method,
        error_form: Some(Form::of(request)),
        is_not_https: false,
    }
}

/// What the worker lends for a response.
fn parts<'a>(moment: &'a Moment, worker: &'a mut Worker) -> ResponderParts<'a> {
    ResponderParts {
        services: &worker.services,
        content: &worker.content,
        moment,
        roots: &mut worker.roots,
        cache: &mut worker.cache,
        buffers: &mut worker.buffers,
        path: &mut worker.path_buffer,
        user: &mut worker.user,
    }
}

pub(super) fn refuse_now(
    status: Status,
    asked: Asked,
    persistence: Persistence,
    worker: &mut Worker,
) -> Reply {
    let moment = worker.moment(persistence, asked.sender);
    if let Some(admin) = &worker.admin {
        return admin.refuse(status, &moment, &mut worker.buffers);
    }
    refuse(status, asked, parts(&moment, worker))
}

/// Answers what was `received` on a new connection with 503, by one call of `send`, which says how much it sent.
pub(crate) fn refuse_connection(
    received: &[u8],
    client: Client<'_>,
    send: impl FnOnce(&[u8]) -> usize,
    worker: &mut Worker,
) {
    let status = Status::ServiceUnavailable;
    let asked = Asked {
        sender: worker.unread_sender(),
        ..Asked::default()
    };
    let sender = asked.sender;
    let reply = refuse_now(status, asked, Persistence::Close, worker);
    let Reply::Ready(ready) = reply else {
        return;
    };
    let accepted = send(worker.bytes_of(&ready));
    worker.drop_output_of(&ready);
    let outcome = if accepted == ready.length() {
        Outcome::Complete
    } else {
        Outcome::PeerGone
    };
    let record = worker.log.is_some();
    let record = record.then(|| RequestRecord::from_received(received, sender));
    worker.observe(Completion {
        client,
        status: Some(ready.status),
        outcome,
        figures: ready.bytes.figures(accepted),
        measured: worker.measured_of(received),
        record: record.as_ref(),
    });
}

/// A reply that is not sent at once.
pub(super) fn kept(
    reply: Reply,
    id: ExchangeId,
    after: AfterResponse,
    asked: Asked,
    (measured, record): (Measured, Option<RequestRecord<'_>>),
    worker: &mut Worker,
) -> Response {
    let ready = match reply {
        Reply::Stream(stream) => {
            let stream = worker.buffers.streams.empty(stream);
            return Response::from_stream(stream, id, after, asked, (measured, record));
        }
        Reply::Ready(ready) => ready,
    };
    let end = ResponseEnd {
        status: ready.status,
        after,
        asked,
        limit: ready.limit,
        intake: Intake::default(),
        measured,
        record: record.map(RequestRecord::into_owned),
    };
    let response = Response::rest_of(worker.bytes_of(&ready), ready.bytes, 0, id, end);
    worker.drop_output_of(&ready);
    response
}

impl ReadyResponse {
    /// What the access log tells of it, to be taken once; `request` is the one that it answers.
    #[inline]
    pub(crate) fn take_record<'b>(&mut self, request: &Request<'b>) -> Option<RequestRecord<'b>> {
        let requester = self.requester.take()?;
        Some(RequestRecord::new(request, requester))
    }

    /// What is left of it where the socket accepted `accepted` of its `bytes`, to be sent at the next
    /// writable edge.
    pub(crate) fn rest(
        &self,
        record: Option<RequestRecord<'_>>,
        bytes: &[u8],
        accepted: usize,
        peer: &impl Peer,
        worker: &Worker,
    ) -> Exchange {
        let end = ResponseEnd {
            status: self.ready.status,
            after: self.after,
            // It is in memory: nothing takes its place any more.
            asked: Asked::default(),
            limit: None,
            intake: Intake::default(),
            measured: worker.with_first_byte(self.measured, accepted),
            record: record.map(RequestRecord::into_owned),
        };
        let rest = Response::rest_of(bytes, self.ready.bytes, accepted, self.id, end);
        Exchange::blocked(Box::new(rest), Stall::new(worker), peer, worker)
    }

    /// It ended, with `accepted` of its bytes at the socket.
    pub(crate) fn observe(
        &self,
        record: Option<&RequestRecord<'_>>,
        client: Client<'_>,
        accepted: usize,
        outcome: Outcome,
        worker: &mut Worker,
    ) {
        worker.observe(Completion {
            client,
            status: Some(self.ready.status),
            outcome,
            figures: self.ready.bytes.figures(accepted),
            measured: self.measured,
            record,
        });
    }
}
