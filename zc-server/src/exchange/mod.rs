//! One request and its response, from the complete head to the line in the access log.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use zc_core::{Path, Report};
use zc_http::{After, Drain, Request, Status, persistence};

use crate::body::{Figures, Outgoing};
use crate::disk::{Key, Reply as ReplyTo, Ticket, Work};
use crate::observe::access_log::Entry;
use crate::respond::failure::Failure;
use crate::respond::reply::{Ready, Reply, Stream};
use crate::respond::{Known, Lent, Responded, refuse, respond};
use crate::site::authority;
use crate::worker::Context;

/// The longest request body that is read and dropped so that the connection can be kept, in bytes.
/// Longer ones are answered at once, and the connection ends.
const DRAIN_BYTES_MAX: u64 = 64 * 1024;
/// How many boxes of responses a worker keeps, of some 500 bytes each.
const BOXES_MAX: usize = 64;

/// A response that takes more than one call, and what comes after it.
#[derive(Debug)]
pub(crate) struct Response {
    /// `None` while a thread of the disk carries it on.
    pub(crate) outgoing: Option<Outgoing>,
    pub(crate) then: Then,
    /// The mount that the body is on.
    pub(crate) key: Key,
    log: Option<LogRecord<'static>>,
}

/// Boxes of responses that are over, for those to come: one that takes several turns needs no
/// allocation.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "the boxes are what is kept")]
pub(crate) struct Boxes(Vec<Box<Response>>);

/// What comes after a response that was sent as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    KeepAlive,
    /// The peer has said that this was its last request: the connection closes, at once where
    /// nothing is left unread.
    Finish,
    /// The peer may still be sending, and must not be cut off by a reset before it has read.
    Linger,
    Close,
}

/// What the log needs of a request.
#[derive(Debug)]
pub(crate) struct LogRecord<'b> {
    started: Instant,
    request_line: Cow<'b, [u8]>,
    host: Cow<'b, [u8]>,
    referer: Cow<'b, [u8]>,
    user_agent: Cow<'b, [u8]>,
    /// None where the request was given up before it had an answer.
    status: Option<Status>,
}

/// How a response ended, in the words of the access log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    Complete,
    Truncated,
    PeerGone,
    Failed,
    Stalled,
    DiskTimeout,
    Shutdown,
}

/// What becomes of a complete head.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart by the one that asked; a box would allocate for each request"
)]
pub(crate) enum Exchange<'b> {
    /// The response is in memory as a whole.
    Ready(Ready, Then, Option<LogRecord<'b>>),
    /// There is more to it than bytes.
    Stream(Response),
    /// The response, and the body that is to be read and dropped before it is sent.
    Drain(Box<Response>, Drain),
    /// The disk is being asked; the same head is to be taken again when it has answered.
    Wait(Box<Known>, Ticket),
}

enum Body {
    None,
    Small(Drain),
    Refused,
}

/// A complete head → its response. `known` is what the disk has told of it already.
pub(crate) fn accept_request<'b>(
    request: &Request<'b>,
    known: Option<Box<Known>>,
    context: &mut Context,
) -> Exchange<'b> {
    let started = context.log.is_some().then(Instant::now);
    let body = match Drain::new(request.body, DRAIN_BYTES_MAX) {
        Ok(None) => Body::None,
        // A client that waits for 100 (Continue) has not sent the body and need not.
        Ok(Some(drain)) if !request.headers.list_contains("expect", "100-continue") => {
            Body::Small(drain)
        }
        Ok(Some(_)) | Err(_) => Body::Refused,
    };
    let then = match (&body, persistence(request)) {
        (Body::None, After::Close) => Then::Finish,
        (Body::Refused, _) | (_, After::Close) => Then::Linger,
        _ if context.stopping => Then::Linger,
        (_, After::KeepAlive) => Then::KeepAlive,
    };
    let after = match then {
        Then::KeepAlive => After::KeepAlive,
        _ => After::Close,
    };
    let moment = context.moment(after);
    let lent = Lent {
        site: &context.site,
        moment: &moment,
        roots: &mut context.roots,
        cache: &mut context.cache,
        buffers: &mut context.buffers,
        path: &mut context.path_buffer,
    };
    let reply = match respond(request, known, lent) {
        Responded::Reply(reply) => reply,
        Responded::Ask(known, key, work) => match ask(key, work, context) {
            Some(ticket) => return Exchange::Wait(known, ticket),
            None => refuse_now(Failure::DiskBusy.status(), after, context),
        },
    };
    let log = started.map(|started| LogRecord::of(request, started, reply.status()));
    match (reply, body) {
        (Reply::Ready(ready), Body::None | Body::Refused) => Exchange::Ready(ready, then, log),
        (Reply::Stream(stream), Body::None | Body::Refused) => {
            Exchange::Stream(Response::of_stream(stream, then, log))
        }
        (reply, Body::Small(drain)) => {
            Exchange::Drain(Box::new(Response::of(reply, then, log, context)), drain)
        }
    }
}

/// Hands work to the threads of the disk; `None` when they have too much of it.
pub(crate) fn ask(key: Key, work: Work, context: &Context) -> Option<Ticket> {
    let reply = ReplyTo {
        mailbox: context.mailbox.clone(),
        token: context.token,
    };
    context.site.disk.submit(key, work, reply).ok()
}

fn refuse_now(status: Status, after: After, context: &mut Context) -> Reply {
    let moment = context.moment(after);
    refuse(status, &context.site, &moment, &mut context.buffers)
}

/// An error for what could not be taken for a request or did not come in time. `received` is what
/// came of it; its first line goes to the log.
pub(crate) fn refusal(
    received: &[u8],
    status: Status,
    then: Then,
    context: &mut Context,
) -> Box<Response> {
    let reply = refuse_now(status, After::Close, context);
    let log = context.log.is_some();
    let log = log.then(|| LogRecord::of_received(received, Some(status)));
    Box::new(Response::of(reply, then, log, context))
}

/// Tells the access log of a request, `received`, that was given up before it had an answer.
pub(crate) fn record_unanswered(
    received: &[u8],
    remote: SocketAddr,
    outcome: Outcome,
    context: &mut Context,
) {
    LogRecord::of_received(received, None).write(remote, outcome, Figures::default(), context);
}

impl Boxes {
    pub(crate) fn fill(&mut self, response: Response) -> Box<Response> {
        match self.0.pop() {
            Some(mut vacant) => {
                *vacant = response;
                vacant
            }
            None => Box::new(response),
        }
    }

    /// Takes a response out of its box, and keeps the box.
    pub(crate) fn empty(&mut self, mut filled: Box<Response>) -> Response {
        let response = std::mem::replace(&mut *filled, Response::VACANT);
        if self.0.len() < BOXES_MAX {
            self.0.push(filled);
        }
        response
    }
}

impl Response {
    /// What is in a box that waits for a response.
    const VACANT: Self = Self {
        outgoing: None,
        then: Then::Close,
        key: 0,
        log: None,
    };

    /// A reply that is not sent at once.
    pub(crate) fn of(
        reply: Reply,
        then: Then,
        log: Option<LogRecord<'_>>,
        context: &mut Context,
    ) -> Self {
        match reply {
            Reply::Stream(stream) => Self::of_stream(stream, then, log),
            Reply::Ready(ready) => {
                let response = Self::rest_of(&ready, 0, then, log, context.bytes_of(&ready));
                context.drop_output_of(&ready);
                response
            }
        }
    }

    fn of_stream(stream: Stream, then: Then, log: Option<LogRecord<'_>>) -> Self {
        let then = match then {
            Then::KeepAlive if stream.ends_by_close => Then::Linger,
            then => then,
        };
        Self {
            outgoing: Some(stream.outgoing),
            then,
            key: stream.key,
            log: log.map(LogRecord::into_owned),
        }
    }

    /// What is left of a response in memory, `bytes`, of which the socket accepted `accepted`.
    pub(crate) fn rest_of(
        ready: &Ready,
        accepted: usize,
        then: Then,
        log: Option<LogRecord<'_>>,
        bytes: &[u8],
    ) -> Self {
        Self {
            outgoing: Some(Outgoing::rest_of(bytes, ready, accepted)),
            then,
            key: 0,
            log: log.map(LogRecord::into_owned),
        }
    }

    /// The same request answered by an error instead, because of its body or of the disk.
    pub(crate) fn refused_instead(
        self,
        status: Status,
        then: Then,
        context: &mut Context,
    ) -> Box<Self> {
        let reply = refuse_now(status, After::Close, context);
        let log = self.log.map(|record| LogRecord {
            status: Some(status),
            ..record
        });
        Box::new(Self::of(reply, then, log, context))
    }

    /// Tells the access log how a response ended, of which nobody else has a part, and gives back
    /// what can be used again.
    pub(crate) fn end(mut self, remote: SocketAddr, outcome: Outcome, context: &mut Context) {
        if let Some(outgoing) = self.outgoing.take() {
            self.record(remote, outcome, outgoing.figures(), context);
            context.buffers.head = outgoing.into_head();
        }
    }

    /// Tells the access log how a response ended, and what was done of it.
    pub(crate) fn record(
        self,
        remote: SocketAddr,
        outcome: Outcome,
        figures: Figures,
        context: &mut Context,
    ) {
        if let Some(record) = self.log {
            record.write(remote, outcome, figures, context);
        }
    }
}

impl<'b> LogRecord<'b> {
    fn of(request: &Request<'b>, started: Instant, status: Status) -> Self {
        let field = |name| Cow::Borrowed(request.headers.get(name).unwrap_or_default());
        Self {
            started,
            request_line: Cow::Borrowed(request.request_line()),
            host: Cow::Borrowed(authority(request)),
            referer: field("referer"),
            user_agent: field("user-agent"),
            status: Some(status),
        }
    }

    /// What there is to tell of bytes that are no request, or not answered as one.
    fn of_received(received: &'b [u8], status: Option<Status>) -> Self {
        let line = received
            .split(|&byte| byte == b'\r' || byte == b'\n')
            .find(|line| !line.is_empty());
        Self {
            started: Instant::now(),
            request_line: Cow::Borrowed(line.unwrap_or_default()),
            host: Cow::default(),
            referer: Cow::default(),
            user_agent: Cow::default(),
            status,
        }
    }

    fn into_owned(self) -> LogRecord<'static> {
        let owned = |text: Cow<'_, [u8]>| Cow::Owned(text.into_owned());
        LogRecord {
            started: self.started,
            request_line: owned(self.request_line),
            host: owned(self.host),
            referer: owned(self.referer),
            user_agent: owned(self.user_agent),
            status: self.status,
        }
    }

    /// Appends the line of a response that is over.
    pub(crate) fn write(
        self,
        remote: SocketAddr,
        outcome: Outcome,
        figures: Figures,
        context: &mut Context,
    ) {
        let Some(sink) = &mut context.log else {
            return;
        };
        let report = figures.report;
        let send_path = match report {
            Some(report) if report.copy.bytes > 0 => Path::Copy.as_str(),
            Some(report) if report.splice.bytes > 0 => Path::Splice.as_str(),
            Some(_) => Path::Sendfile.as_str(),
            None if figures.body_bytes > 0 && figures.was_read => Path::Copy.as_str(),
            None if figures.body_bytes > 0 => "memory",
            None => "none",
        };
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        sink.record(&Entry {
            remote,
            time: SystemTime::now(),
            request_line: &self.request_line,
            host: &self.host,
            referer: &self.referer,
            user_agent: &self.user_agent,
            status: self.status.map(Status::code),
            head_bytes: figures.head_bytes,
            body_bytes: figures.body_bytes,
            send_path,
            fallback: report.and_then(|report| report.fallback.map(|f| f.to_string())),
            calls: report.as_ref().map_or(0, Report::calls),
            would_blocks: figures.would_blocks,
            cold_windows: figures.cold.windows,
            disk_micros: micros(figures.cold.time),
            outcome: outcome.as_str(),
            micros: micros(self.started.elapsed()),
        });
    }
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Truncated => "truncated",
            Self::PeerGone => "peer_gone",
            Self::Failed => "failed",
            Self::Stalled => "stalled",
            Self::DiskTimeout => "disk_timeout",
            Self::Shutdown => "shutdown",
        }
    }
}
