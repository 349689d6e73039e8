//! One request and its response, from the complete head to the line in the access log.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use zc_core::{Path, Report};
use zc_http::{After, Drain, Request, Status, persistence};

use crate::access_log::Entry;
use crate::connection::Context;
use crate::disk;
use crate::outgoing::Outgoing;
use crate::respond::{Answer, Moment, Reply, refuse, respond, respond_listing};

/// The longest request body that is read and dropped so that the connection can be kept, in bytes.
/// Longer ones are answered at once, and the connection ends.
const DRAIN_BYTES_MAX: u64 = 64 * 1024;

/// A response on its way, and what comes after it.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) outgoing: Outgoing,
    pub(crate) then: Then,
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
    Shutdown,
}

/// What becomes of a complete head.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// Its response, and the body that is to be read and dropped before it is sent.
    Respond(Box<Response>, Option<Drain>),
    /// Something is being read by another thread; the same head is to be taken again then.
    Wait,
}

/// A complete head → its response. `arrived` is what was waited for, if anything was.
pub(crate) fn accept_request(
    request: &Request<'_>,
    arrived: Option<disk::Answer>,
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
    let site = &context.site;
    let reply = match arrived {
        None => respond(request, site, moment, &mut context.path_buffer),
        Some(disk::Answer::Listing(listing)) => respond_listing(request, site, moment, listing),
    };
    let answer = match reply {
        Reply::Answer(answer) => answer,
        Reply::List(list) => {
            let (mailbox, token) = (context.mailbox.clone(), context.token);
            let job = move || mailbox.post(token, disk::Answer::Listing(list.read()));
            if context.site.disk.submit(job).is_ok() {
                return Exchange::Wait;
            }
            Box::new(refuse(
                Status::ServiceUnavailable,
                &context.site,
                context.now,
            ))
        }
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
    let response = Box::new(Response {
        outgoing: answer.outgoing,
        then,
        log,
    });
    match body {
        Body::Small(drain) => Exchange::Respond(response, Some(drain)),
        Body::None | Body::Refused => Exchange::Respond(response, None),
    }
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
    Box::new(Response {
        outgoing: answer.outgoing,
        then,
        log,
    })
}

impl Response {
    /// The same request answered by an error instead, because of its body.
    pub(crate) fn refused_instead(
        self,
        status: Status,
        then: Then,
        context: &Context,
    ) -> Box<Self> {
        let answer = refuse(status, &context.site, context.now);
        let log = self.log.map(|record| LogRecord { status, ..record });
        Box::new(Self {
            outgoing: answer.outgoing,
            then,
            log,
        })
    }

    /// Tells the access log how a response ended.
    pub(crate) fn record(self, remote: SocketAddr, outcome: Outcome, context: &mut Context) {
        let (Some(record), Some(sink)) = (self.log, &mut context.log) else {
            return;
        };
        let outgoing = &self.outgoing;
        let report = outgoing.report();
        let head_bytes = outgoing.head_accepted();
        let body_bytes = outgoing.accepted() - head_bytes;
        let path = match report {
            Some(report) if report.copy.bytes > 0 => Path::Copy.as_str(),
            Some(report) if report.splice.bytes > 0 => Path::Splice.as_str(),
            Some(_) => Path::Sendfile.as_str(),
            None if body_bytes > 0 => "memory",
            None => "none",
        };
        sink.record(&Entry {
            remote,
            time: record.time,
            request_line: record.request_line,
            referer: record.referer,
            user_agent: record.user_agent,
            status: record.status.code(),
            head_bytes,
            body_bytes,
            path,
            fallback: report.and_then(|report| report.fallback.map(|f| f.to_string())),
            calls: report.as_ref().map_or(0, Report::calls),
            would_blocks: outgoing.would_blocks(),
            outcome: outcome.as_str(),
            micros: u64::try_from(record.started.elapsed().as_micros()).unwrap_or(u64::MAX),
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
            Self::Shutdown => "shutdown",
        }
    }
}
