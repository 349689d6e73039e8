//! Why a transfer stopped without an error.

use std::fmt;
use std::ops::Range;

/// Why [`Transfer::advance`](crate::Transfer::advance) returned.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The sink has accepted every promised byte.
    Complete,
    /// The sink accepts nothing now (`EAGAIN`): advance again when it is writable.
    WouldBlock,
    /// The budget of this call is spent, and the sink may accept more: advance again soon. With
    /// edge-triggered readiness, no event announces that.
    BudgetSpent,
    /// This range of the source is not known to be in memory, and sending it could wait for the disk.
    /// Have it read, or accept the wait, and advance again. Only a
    /// [`ProbedTransfer`](crate::ProbedTransfer) returns this.
    NeedsDisk(Range<u64>),
    /// The source ended before the promised length. Where the peer was told that length, close the sink.
    SourceTruncated(SourceTruncated),
}

/// The source ended before the promised length: the file was truncated.
#[must_use = "a connection on which a promised length was not met must be closed"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceTruncated {
    /// The offset in the file at which it ended, in bytes.
    pub offset: u64,
    /// How many promised bytes are missing.
    pub missing: u64,
}

impl fmt::Display for SourceTruncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the file ended at offset {}, {} bytes before the expected end",
            self.offset, self.missing
        )
    }
}

impl std::error::Error for SourceTruncated {}
