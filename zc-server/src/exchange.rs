//! One request and its response, from the complete head to the line in the access log.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use zc_core::{Path, Report};
use zc_http::{After, Drain, Request, Status, persistence};

use crate::access_log::Entry;
use crate::context::Context;
use crate::disk::{Key, Reply as ReplyTo, Ticket, Work};
use crate::outgoing::{Figures, Outgoing};
use crate::respond::{Answer, Known, Moment, Reply, refuse, respond};

/// The longest request body that is read and dropped so that the connection can be kept, in bytes.
/// Longer ones are answered at once, and the connection ends.
const DRAIN_BYTES_MAX: u64 = 64 * 1024;

/// A response on its way, and what comes after it.
#[derive(Debug)]
pub(crate) struct Response {
    /// `None` while a thread of the disk carries it on.
    pub(crate) outgoing: Option<Box<Outgoing>>,
    pub(crate) then: Then,
    /// The mount that the body is on.
    pub(crate) key: Key,
    log: Option<LogRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    KeepAlive,
    Linger,
    Close,
}

/// What the log needs of a request that is no longer in memory when its response ends.
#[derive(Debug)]
struct LogRecord {
    started: Instant,
    time: SystemTime,
    request_line: Vec<u8>,
    referer: Vec<u8>,
    user_agent: Vec<u8>,
    status: Status,
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
pub(crate) enum Exchange {
    /// Its response, and the body that is to be read and dropped before it is sent.
    Respond(Box<Response>, Option<Drain>),
    /// The disk is being asked; the same head is to be taken again when it has answered.
    Wait(Box<Known>, Ticket),
}

/// A complete head → its response. `known` is what the disk has told of it already.
pub(crate) fn accept_request(
    request: &Request<'_>,
    known: Known,
    context: &mut Context,
) -> Exchange {
    let expects_continue = request.headers.list_contains("expect", "100-continue");
    let body = match Drain::new(request.body, DRAIN_BYTES_MAX) {
        Ok(None) => Body::None,
        // A client that waits for 100 (Continue) has not sent the body and need not.
        Ok(Some(drain)) if !expects_continue => Body::Small(drain),
        Ok(Some(_)) | Err(_) => Body::Refused,
    };
    let after = match (&body, persistence(request)) {
        (Body::Refused, _) | (_, After::Close) => After::Close,
        _ if context.stopping => After::Close,
        (_, After::KeepAlive) => After::KeepAlive,
    };
    let moment = Moment {
        after,
        now: context.now,
    };
    let buffer = &mut context.path_buffer;
    let answer = match respond(request, &context.site, moment, known, buffer) {
        Reply::Answer(answer) => answer,
        Reply::Ask(known, key, work) => match ask(key, work, context) {
            Some(ticket) => return Exchange::Wait(known, ticket),
            None => Box::new(refuse(
                Status::ServiceUnavailable,
                &context.site,
                context.now,
            )),
        },
    };
    let then = match after {
        After::KeepAlive if !answer.ends_by_close => Then::KeepAlive,
        _ => Then::Linger,
    };
    let log = context.log.is_some().then(|| {
        let field = |name| request.headers.get(name).unwrap_or_default().to_vec();
        let mut record = LogRecord::new(request.request_line(), &answer);
        record.referer = field("referer");
        record.user_agent = field("user-agent");
        record
    });
    let response = Box::new(Response::new(*answer, then, log));
    match body {
        Body::Small(drain) => Exchange::Respond(response, Some(drain)),
        Body::None | Body::Refused => Exchange::Respond(response, None),
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

enum Body {
    None,
    Small(Drain),
    Refused,
}

/// An error for what could not be taken for a request or did not come in time. `received` is what
/// came of it; its first line goes to the log.
pub(crate) fn refusal(
    received: &[u8],
    status: Status,
    then: Then,
    context: &Context,
) -> Box<Response> {
    let answer = refuse(status, &context.site, context.now);
    let log = context.log.is_some().then(|| {
        let line = received
            .split(|&byte| byte == b'\r' || byte == b'\n')
            .find(|line| !line.is_empty());
        LogRecord::new(line.unwrap_or_default(), &answer)
    });
    Box::new(Response::new(answer, then, log))
}

impl Response {
    fn new(answer: Answer, then: Then, log: Option<LogRecord>) -> Self {
        Self {
            outgoing: Some(Box::new(answer.outgoing)),
            then,
            key: answer.key,
            log,
        }
    }

    /// The same request answered by an error instead, because of its body.
    pub(crate) fn refused_instead(
        self,
        status: Status,
        then: Then,
        context: &Context,
    ) -> Box<Self> {
        let answer = refuse(status, &context.site, context.now);
        let log = self.log.map(|record| LogRecord { status, ..record });
        Box::new(Self::new(answer, then, log))
    }

    /// Tells the access log how a response ended, of which nobody else has a part.
    pub(crate) fn end(self, remote: SocketAddr, outcome: Outcome, context: &mut Context) {
        if let Some(figures) = self.outgoing.as_ref().map(|outgoing| outgoing.figures()) {
            self.record(remote, outcome, figures, context);
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
        let (Some(record), Some(sink)) = (self.log, &mut context.log) else {
            return;
        };
        let report = figures.report;
        let path = match report {
            Some(report) if report.copy.bytes > 0 => Path::Copy.as_str(),
            Some(report) if report.splice.bytes > 0 => Path::Splice.as_str(),
            Some(_) => Path::Sendfile.as_str(),
            None if figures.body_bytes > 0 => "memory",
            None => "none",
        };
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        sink.record(&Entry {
            remote,
            time: record.time,
            request_line: record.request_line,
            referer: record.referer,
            user_agent: record.user_agent,
            status: record.status.code(),
            head_bytes: figures.head_bytes,
            body_bytes: figures.body_bytes,
            path,
            fallback: report.and_then(|report| report.fallback.map(|f| f.to_string())),
            calls: report.as_ref().map_or(0, Report::calls),
            would_blocks: figures.would_blocks,
            cold_windows: figures.cold.windows,
            disk_micros: micros(figures.cold.time),
            outcome: outcome.as_str(),
            micros: micros(record.started.elapsed()),
        });
    }
}

impl LogRecord {
    fn new(request_line: &[u8], answer: &Answer) -> Self {
        Self {
            started: Instant::now(),
            time: SystemTime::now(),
            request_line: request_line.to_vec(),
            referer: Vec::new(),
            user_agent: Vec::new(),
            status: answer.status,
        }
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
