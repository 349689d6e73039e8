//! The end of an exchange: each ends here, once, with or without an access log.

use std::time::{Duration, SystemTime};

use zc_core::{Progress, Report, SendError};
use zc_http::Status;

use super::{Ending, Next, Peer};
use crate::body::{Change, Figures};
use crate::clients::Sender;
use crate::observe::access_log::LogEntry;
use crate::observe::counters::{BodyPath, Measured, Words};
use crate::observe::record::{Client, Outcome, RequestRecord};
use crate::respond::response::{AfterResponse, Response, ResponseEnd};
use crate::worker::Worker;

/// An exchange that is over.
#[derive(Debug)]
pub(crate) struct Completion<'b> {
    pub(crate) client: Client<'b>,
    /// `None` where the request was given up before it had an answer.
    pub(crate) status: Option<Status>,
    pub(crate) outcome: Outcome,
    pub(crate) figures: Figures,
    pub(crate) measured: Measured,
    /// `None` without an access log.
    pub(crate) record: Option<&'b RequestRecord<'b>>,
}

impl Worker {
    /// Takes note of an exchange that is over.
    #[inline]
    pub(crate) fn observe(&mut self, completion: Completion<'_>) {
        #[cfg(test)]
        self.completions.push(completion.outcome);
        self.count(&completion);
        if let Some(record) = completion.record {
            self.log(&completion, record);
        }
    }

    fn log(&mut self, completion: &Completion<'_>, record: &RequestRecord<'_>) {
        if let Some(sink) = &mut self.log {
            sink.record(&entry(completion, record));
        }
    }

    /// Takes note of a request, `received`, that is given up before it has an answer.
    pub(crate) fn observe_unanswered(
        &mut self,
        received: &[u8],
        sender: Sender,
        client: Client<'_>,
        outcome: Outcome,
    ) {
        let record = self.log.is_some();
        let record = record.then(|| RequestRecord::from_received(received, sender));
        self.observe(Completion {
            client,
            status: None,
            outcome,
            figures: Figures::default(),
            measured: self.measured_of(received),
            record: record.as_ref(),
        });
    }
}

/// The line of the access log.
fn entry<'e>(completion: &Completion<'e>, record: &'e RequestRecord<'_>) -> LogEntry<'e> {
    let figures = &completion.figures;
    let report = figures.report;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    LogEntry {
        client: completion.client,
        sender: record.sender,
        user: record.user.as_deref().unwrap_or_default(),
        time: SystemTime::now(),
        request_line: &record.request_line,
        host: &record.host,
        referer: &record.referer,
        user_agent: &record.user_agent,
        status: completion.status.map(Status::code),
        head_bytes: figures.head_bytes,
        body_bytes: figures.body_bytes,
        send_path: body_path(figures, completion.client).word(),
        fallback: report.and_then(|report| report.fallback.map(|fallback| fallback.to_string())),
        calls: report.as_ref().map_or(0, Report::calls) + figures.writes,
        would_blocks: figures.would_blocks,
        cold_windows: figures.cold.windows,
        disk_micros: micros(figures.cold.time),
        outcome: completion.outcome.as_str(),
        micros: micros(record.started.elapsed()),
    }
}

/// How the bytes of the body went.
pub(super) fn body_path(figures: &Figures, client: Client<'_>) -> BodyPath {
    let is_tls = client.tls.is_some();
    match figures.report {
        Some(report) if report.copy.bytes > 0 && is_tls => BodyPath::TlsCopy,
        Some(report) if report.copy.bytes > 0 => BodyPath::Copy,
        Some(report) if report.splice.bytes > 0 && is_tls => BodyPath::KtlsSplice,
        Some(report) if report.splice.bytes > 0 => BodyPath::Splice,
        Some(_) if is_tls => BodyPath::KtlsSendfile,
        Some(_) => BodyPath::Sendfile,
        None if figures.body_bytes == 0 => BodyPath::None,
        None if figures.was_read && is_tls => BodyPath::TlsCopy,
        None if figures.was_read => BodyPath::Copy,
        None if is_tls => BodyPath::TlsMemory,
        None => BodyPath::Memory,
    }
}

/// A response has come to its end, or failed.
pub(super) fn over(
    response: Response,
    answer: Result<Progress, SendError>,
    peer: &mut impl Peer,
    worker: &mut Worker,
) -> Next {
    let change = response.body.change();
    let warn = |what: &str, why: &dyn std::fmt::Display| {
        let file = response.body.subject();
        let line = format!("response to {} {what}: {file}{why}", peer.client().address);
        worker.services.diagnostics.warn(line);
    };
    let outcome = match answer {
        Ok(Progress::SourceTruncated(truncated)) => {
            warn("cut off", &truncated);
            Outcome::Truncated
        }
        Ok(_)
            if let Some(change) = &change
                && response.body.is_cut_short() =>
        {
            warn("cut off", change);
            Outcome::Truncated
        }
        Ok(_) if let Some(change) = &change => {
            warn("may be wrong", change);
            Outcome::Modified
        }
        Ok(_) => Outcome::Complete,
        Err(error) if error.is_peer_gone() => Outcome::PeerGone,
        Err(error) => {
            warn("failed", &error);
            Outcome::Failed
        }
    };
    let after = response.end.after;
    let ended = end(response, outcome, peer, worker);
    match (outcome, change) {
        (Outcome::Complete, _) => Next::Over(after),
        // What the client has not got yet is dropped: it may be zeros by now.
        (Outcome::Modified, Some(Change::Cut)) => Next::End(Ending::Reset),
        (Outcome::Modified, _) => Next::Over(AfterResponse::Linger),
        _ => ended,
    }
}

/// A response ends where it stands, and with it its connection.
pub(super) fn end(
    response: Response,
    outcome: Outcome,
    peer: &mut impl Peer,
    worker: &mut Worker,
) -> Next {
    worker.observe(Completion {
        client: peer.client(),
        status: Some(response.end.status),
        outcome,
        figures: response.figures(),
        measured: response.end.measured,
        record: response.end.record.as_ref(),
    });
    worker.buffers.head = response.body.into_head();
    Next::End(Ending::Close)
}

/// A response ends, and with it its connection, while its body is elsewhere.
pub(super) fn end_without_body(
    end: ResponseEnd,
    outcome: Outcome,
    figures: Figures,
    peer: &mut impl Peer,
    worker: &mut Worker,
) -> Next {
    worker.observe(Completion {
        client: peer.client(),
        status: Some(end.status),
        outcome,
        figures,
        measured: end.measured,
        record: end.record.as_ref(),
    });
    Next::End(Ending::Close)
}
