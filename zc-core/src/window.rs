//! How far the source of a transfer is known, or assumed, to be in memory.

use std::ops::Range;
use std::os::fd::AsFd;

use crate::Residency;

/// What a transfer with a residency window knows of its source.
#[derive(Debug)]
pub(crate) struct Window {
    /// How much is looked at in one go. Invariant: at least 1.
    bytes: u64,
    /// The file offset up to which the caller vouches.
    vouched: u64,
    /// The one up to which a look was had, whatever it showed.
    looked: u64,
    /// The end of the last window that was absent, which the caller has waited for.
    fetched: u64,
    next: Look,
}

/// How it is found out whether the next window is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// By a look at its ends, which are believed of what is between.
    AtEnds,
    /// Not at all: it counts as absent, as the one before did.
    Spared,
}

impl Window {
    pub(crate) fn new(bytes: u64, offset: u64) -> Self {
        Self {
            bytes: bytes.max(1),
            vouched: offset,
            looked: offset,
            fetched: offset,
            next: Look::AtEnds,
        }
    }

    /// Sending up to this file offset is not expected to wait for the disk, or may.
    pub(crate) fn end(&self) -> u64 {
        self.vouched.max(self.looked)
    }

    pub(crate) fn vouch_until(&mut self, end: u64) {
        self.vouched = self.vouched.max(end);
    }

    pub(crate) fn expect_cold(&mut self) {
        self.next = Look::Spared;
    }

    pub(crate) fn look_again(&mut self) {
        self.next = Look::AtEnds;
    }

    /// A call of `advance` ended at `offset`, inside a window that was waited for: by the time of the
    /// next one the rest may be gone.
    pub(crate) fn stopped_at(&mut self, offset: u64) {
        if self.next == Look::Spared {
            self.looked = offset;
        }
    }

    /// The window at `offset` when it has to be waited for; `remaining` bytes of the source are to be
    /// sent from there.
    pub(crate) fn ask(
        &mut self,
        source: impl AsFd,
        offset: u64,
        remaining: u64,
    ) -> Option<Range<u64>> {
        if remaining == 0 || offset < self.end() {
            return None;
        }
        let is_rest = offset < self.fetched;
        let bytes = if is_rest {
            self.fetched - offset
        } else {
            self.bytes.min(remaining)
        };
        let range = offset..offset.saturating_add(bytes);
        self.looked = range.end;
        let may_look = is_rest || self.next == Look::AtEnds;
        if may_look && Residency::probe(source, range.clone()) == Residency::Hot {
            return None;
        }
        self.next = Look::Spared;
        self.fetched = range.end;
        Some(range)
    }
}
