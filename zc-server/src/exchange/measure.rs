//! What the metrics count of an exchange. Where there is no admin listener nothing is measured.

use zc_http::Method;

use super::Completion;
use super::completion::body_path;
use crate::observe::counters::Measured;
use crate::worker::Worker;

impl Worker {
    /// A request begins that the worker turned to at `begun_us`, or just now.
    ///
    /// Just now is when the turn began, or when the exchange before it ended: that is known without asking the clock.
    #[inline]
    pub(super) fn measured(&self, method: Method, begun_us: Option<u64>) -> Measured {
        Measured {
            method,
            started_us: begun_us.unwrap_or(self.lap_us),
            first_byte_us: 0,
        }
    }

    /// The same for what came of a request, or of what is none: its first word is the method.
    pub(super) fn measured_of(&self, received: &[u8]) -> Measured {
        let method = match self.counters {
            Some(_) => received.split(|&byte| byte == b' ').next(),
            None => None,
        };
        let method = method.and_then(Method::from_token);
        self.measured(method.unwrap_or(Method::Unrecognized), None)
    }

    /// The socket has just accepted the first bytes of a response, if it has `accepted` any.
    #[inline]
    pub(super) fn with_first_byte(&self, measured: Measured, accepted: usize) -> Measured {
        match &self.counters {
            Some(counters) if accepted > 0 && measured.first_byte_us == 0 => Measured {
                first_byte_us: counters.clock_us(),
                ..measured
            },
            _ => measured,
        }
    }

    /// Counts an exchange that is over.
    #[inline]
    pub(super) fn count(&mut self, completion: &Completion<'_>) {
        let Some(counters) = &self.counters else {
            return;
        };
        let (figures, now_us) = (&completion.figures, counters.clock_us());
        let is_begun = figures.head_bytes > 0;
        counters.count_request(completion.measured, completion.status, is_begun, now_us);
        counters.count_body(body_path(figures, completion.client), figures.body_bytes);
        if let Some(fallback) = figures.report.and_then(|report| report.fallback) {
            counters.count_fallback(fallback.reason);
        }
        self.lap_us = now_us;
        self.turn.outcome = Some(completion.outcome);
    }
}
