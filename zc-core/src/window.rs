//! How far the source of a probed transfer is known, or assumed, to be in memory.

use std::ops::Range;
use std::os::fd::AsFd;

use crate::Residency;

/// The bytes that `sendfile(2)` passes to a socket at a time: 16 pages.
pub(crate) const BATCH_BYTES: u64 = 64 << 10;

/// What a probed transfer knows of its source.
#[derive(Debug)]
pub(crate) struct Window {
    /// The length of one window, in bytes. Invariant: at least 1.
    bytes: u64,
    /// The file offset up to which the caller assumes the source to be in memory.
    assumed: u64,
    /// The file offset up to which windows were probed, whatever the answer was.
    probed: u64,
    /// The end of the last window that was absent, which the caller has waited for.
    fetched: u64,
    probing: Probing,
    /// Whether a probe must not begin a read, nor pass what is being read.
    is_quiet: bool,
}

/// Whether the next window is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probing {
    /// It is: at both of its ends, which stand for what is between.
    On,
    /// It is not: it counts as absent, as the one before it was.
    Off,
}

impl Window {
    pub(crate) fn new(bytes: u64, offset: u64) -> Self {
        Self {
            bytes: bytes.max(1),
            assumed: offset,
            probed: offset,
            fetched: offset,
            probing: Probing::On,
            is_quiet: false,
        }
    }

    pub(crate) fn set_quiet(&mut self, is_quiet: bool) {
        self.is_quiet = is_quiet;
    }

    /// The file offset up to which bytes may be sent: they are assumed or were probed.
    pub(crate) fn end(&self) -> u64 {
        self.assumed.max(self.probed)
    }

    pub(crate) fn assume_resident_until(&mut self, end: u64) {
        self.assumed = self.assumed.max(end);
    }

    pub(crate) fn assume_cold(&mut self) {
        self.probing = Probing::Off;
    }

    pub(crate) fn resume_probing(&mut self) {
        self.probing = Probing::On;
    }

    /// A call of `advance` ended at `offset`, inside a window that was waited for. Its rest may be evicted
    /// before the next call, so it is probed again.
    pub(crate) fn stopped_at(&mut self, offset: u64) {
        if self.probing == Probing::Off {
            self.probed = offset;
        }
    }

    /// The window at `offset` where it has to be waited for. `remaining` bytes of the source are to be sent
    /// from there, at most `budget` of them in this call.
    pub(crate) fn next_cold(
        &mut self,
        source: impl AsFd,
        offset: u64,
        remaining: u64,
        budget: u64,
    ) -> Option<Range<u64>> {
        if remaining == 0 || offset < self.end() {
            return None;
        }
        let is_rest = offset < self.fetched;
        let bytes = if is_rest {
            self.fetched - offset
        } else {
            self.next_bytes(offset, remaining, budget)
        };
        let range = offset..offset.saturating_add(bytes);
        self.probed = range.end;
        let may_probe = is_rest || self.probing == Probing::On;
        if may_probe && self.is_hot(source, range.clone(), is_rest) {
            return None;
        }
        self.probing = Probing::Off;
        self.fetched = range.end;
        Some(range)
    }

    fn is_hot(&self, source: impl AsFd, range: Range<u64>, is_rest: bool) -> bool {
        let residency = match (self.is_quiet, is_rest) {
            (false, _) => Residency::probe(source, range),
            // It was waited for, so that nothing of it is being read, and its ends stand for what is between.
            (true, true) => {
                let last = range.end - 1;
                match Residency::peek(&source, range.start..range.start + 1) {
                    Residency::Hot => Residency::peek(source, last..range.end),
                    other => other,
                }
            }
            (true, false) => Residency::probe_whole(source, range),
        };
        residency == Residency::Hot
    }

    /// The length of the window at `offset`, in bytes.
    ///
    /// Where several calls send a file that is in memory, each call ends at the end of a window, and between
    /// two batches of `sendfile(2)`. Then the next call sends one window in one system call. Otherwise, once
    /// the socket was full, each call would send the rest of one window and the beginning of another.
    fn next_bytes(&self, offset: u64, remaining: u64, budget: u64) -> u64 {
        let bytes = self.bytes.min(remaining);
        if self.probing == Probing::Off || bytes == remaining {
            return bytes;
        }
        let end = offset.saturating_add(bytes.min(budget));
        let aligned = end - end % BATCH_BYTES;
        match aligned.checked_sub(offset) {
            Some(short) if short >= bytes / 2 => short,
            _ => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_with_the_call_and_between_two_batches() {
        const MIB: u64 = 1 << 20;
        let window = Window::new(2 * MIB, 0);
        for (offset, remaining, budget, expected) in [
            (0, 9 * MIB, 2 * MIB, 2 * MIB),
            // The socket was full in the middle of a batch.
            (1_234_567, 9 * MIB, 2 * MIB, 3_276_800 - 1_234_567),
            // The rest of a window has gone before, in this call.
            (2 * MIB, 9 * MIB, 1_500_000, 3_538_944 - 2 * MIB),
            // Too little is left to be worth a window of its own.
            (2 * MIB, 9 * MIB, MIB / 2, 2 * MIB),
            // Whatever the end is, it is the end.
            (1_234_567, 1_000_001, 2 * MIB, 1_000_001),
            (1_234_567, 9 * MIB, u64::MAX, 3_276_800 - 1_234_567),
        ] {
            let bytes = window.next_bytes(offset, remaining, budget);
            assert_eq!(bytes, expected, "{offset} {remaining} {budget}");
        }
        let mut cold = Window::new(2 * MIB, 0);
        cold.assume_cold();
        assert_eq!(cold.next_bytes(1_234_567, 9 * MIB, MIB), 2 * MIB);
        let small = Window::new(100, 0);
        assert_eq!(small.next_bytes(50, 1000, 1000), 100);
    }
}
