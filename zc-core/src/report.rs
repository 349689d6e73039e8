//! Bytes and system calls of a transfer, by path.

use std::ops::Add;

use crate::{Fallback, SendPath};

/// Bytes that were moved, and the system calls they took: by one call of this crate, or on one path of a
/// transfer.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Bytes that the sink accepted.
    pub bytes: u64,
    /// System calls made. Refused ones count; retries after a signal do not.
    pub calls: u64,
}

/// The bytes and system calls of a transfer so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Sent by `sendfile(2)`.
    pub sendfile: Tally,
    /// Sent by `splice(2)`; the calls into the pipe and out of it both count.
    pub splice: Tally,
    /// Sent through a buffer; both `pread` and `write` calls count.
    pub copy: Tally,
    /// Calls that moved fewer bytes than asked for, and at least one.
    pub short_writes: u64,
    /// How often the sink returned `EAGAIN`.
    pub would_blocks: u64,
    /// The fallback, if there was one.
    pub fallback: Option<Fallback>,
}

impl Report {
    /// All bytes that the sink accepted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sendfile.bytes + self.splice.bytes + self.copy.bytes
    }

    /// All system calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.sendfile.calls + self.splice.calls + self.copy.calls
    }

    pub(crate) fn tally(&mut self, path: SendPath) -> &mut Tally {
        match path {
            SendPath::Sendfile => &mut self.sendfile,
            SendPath::Splice => &mut self.splice,
            SendPath::Copy => &mut self.copy,
        }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            calls: self.calls + other.calls,
        }
    }
}

impl Add for Report {
    type Output = Self;

    /// The sum of two transfers. Of two fallbacks, the first is kept.
    fn add(self, other: Self) -> Self {
        Self {
            sendfile: self.sendfile + other.sendfile,
            splice: self.splice + other.splice,
            copy: self.copy + other.copy,
            short_writes: self.short_writes + other.short_writes,
            would_blocks: self.would_blocks + other.would_blocks,
            fallback: self.fallback.or(other.fallback),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;

    #[test]
    fn two_reports_add_up() {
        let tally = |n| Tally {
            bytes: n,
            calls: n + 1,
        };
        let fallback = |errno| Fallback {
            from: SendPath::Sendfile,
            to: SendPath::Copy,
            reason: Reason::Refused { errno },
        };
        let report = |n, fallback| Report {
            sendfile: tally(n),
            splice: tally(10 * n),
            copy: tally(100 * n),
            short_writes: n,
            would_blocks: n,
            fallback,
        };
        let sum = report(1, None) + report(2, Some(fallback(1))) + report(3, Some(fallback(2)));
        assert_eq!((sum.bytes(), sum.calls()), (666, 675));
        assert_eq!((sum.short_writes, sum.would_blocks), (6, 6));
        assert_eq!(sum.fallback, Some(fallback(1)));
    }
}
