//! What was done of a response, for the access log.

use std::time::Duration;

use zc_core::Report;

/// What was done of a response.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    /// Bytes of the head that the socket accepted.
    pub(crate) head_bytes: u64,
    /// Bytes of the body that the socket accepted.
    pub(crate) body_bytes: u64,
    /// What was done of files, if there were any.
    pub(crate) report: Option<Report>,
    /// Calls that sent what was read to be sealed.
    pub(crate) writes: u64,
    /// Whether body that went out as bytes was read from a file for this response.
    pub(crate) was_read: bool,
    /// Times that the socket was full.
    pub(crate) would_blocks: u64,
    pub(crate) cold: Cold,
}

/// What had to be waited for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cold {
    /// How often a thread carried the response on, or a request to the disk was waited for.
    pub(crate) windows: u64,
    /// How long that took, in all; the waiting for a thread does not count.
    pub(crate) time: Duration,
}

/// A response that is in memory as a whole, one part behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InMemory {
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
    /// Whether its body was read from a file for this response.
    pub(crate) was_read: bool,
}

impl InMemory {
    /// Bytes of head and body.
    pub(crate) fn length(&self) -> usize {
        self.head_bytes + self.body_bytes
    }

    /// The figures when the socket has accepted `accepted` bytes without being full.
    pub(crate) fn figures(&self, accepted: usize) -> Figures {
        let head_bytes = accepted.min(self.head_bytes);
        Figures {
            head_bytes: head_bytes as u64,
            body_bytes: (accepted - head_bytes) as u64,
            report: None,
            writes: 0,
            was_read: self.was_read,
            would_blocks: 0,
            cold: Cold::default(),
        }
    }
}
