//! The end of an exchange: each ends here, once, with or without an access log.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use zc_core::{Path, Report};
use zc_http::Status;

use crate::body::Figures;
use crate::observe::access_log::Entry;
use crate::observe::record::RequestRecord;
use crate::worker::Worker;

/// How an exchange ended, in the words of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Complete,
    Truncated,
    PeerGone,
    Failed,
    Stalled,
    DiskTimeout,
    Shutdown,
}

/// An exchange that is over.
#[derive(Debug)]
pub(crate) struct Completion<'b> {
    pub(crate) remote: SocketAddr,
    /// `None` where the request was given up before it had an answer.
    pub(crate) status: Option<Status>,
    pub(crate) outcome: Outcome,
    pub(crate) figures: Figures,
    /// `None` without an access log.
    pub(crate) record: Option<RequestRecord<'b>>,
}

impl Worker {
    /// Takes note of an exchange that is over.
    pub(crate) fn observe(&mut self, completion: Completion<'_>) {
        #[cfg(test)]
        self.completions.push(completion.outcome);
        if let (Some(sink), Some(record)) = (&mut self.log, &completion.record) {
            sink.record(&entry(&completion, record));
        }
    }

    /// Takes note of a request, `received`, that is given up before it has an answer.
    pub(crate) fn observe_unanswered(
        &mut self,
        received: &[u8],
        remote: SocketAddr,
        outcome: Outcome,
    ) {
        let record = self.log.is_some();
        let record = record.then(|| RequestRecord::from_received(received));
        self.observe(Completion {
            remote,
            status: None,
            outcome,
            figures: Figures::default(),
            record,
        });
    }
}

/// The line of the access log.
fn entry<'e>(completion: &Completion<'_>, record: &'e RequestRecord<'_>) -> Entry<'e> {
    let figures = &completion.figures;
    let report = figures.report;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Entry {
        remote: completion.remote,
        time: SystemTime::now(),
        request_line: &record.request_line,
        host: &record.host,
        referer: &record.referer,
        user_agent: &record.user_agent,
        status: completion.status.map(Status::code),
        head_bytes: figures.head_bytes,
        body_bytes: figures.body_bytes,
        send_path: send_path(figures),
        fallback: report.and_then(|report| report.fallback.map(|fallback| fallback.to_string())),
        calls: report.as_ref().map_or(0, Report::calls),
        would_blocks: figures.would_blocks,
        cold_windows: figures.cold.windows,
        disk_micros: micros(figures.cold.time),
        outcome: completion.outcome.as_str(),
        micros: micros(record.started.elapsed()),
    }
}

/// How the bytes of the body went.
fn send_path(figures: &Figures) -> &'static str {
    match figures.report {
        Some(report) if report.copy.bytes > 0 => Path::Copy.as_str(),
        Some(report) if report.splice.bytes > 0 => Path::Splice.as_str(),
        Some(_) => Path::Sendfile.as_str(),
        None if figures.body_bytes > 0 && figures.was_read => Path::Copy.as_str(),
        None if figures.body_bytes > 0 => "memory",
        None => "none",
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
