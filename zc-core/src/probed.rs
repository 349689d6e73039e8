//! The resumable send that does not wait for the disk.

use std::ops::Range;
use std::os::fd::AsFd;

use crate::window::{BATCH_BYTES, Window};
use crate::{Progress, Report, SendError, SendPath, Slots, Transfer};

/// A [`Transfer`] that probes the page cache before it sends, and so does not wait for the disk.
///
/// `sendfile(2)` waits for a page that is not in memory, on a nonblocking socket too, and everything
/// else on that thread waits with it. A probed transfer sends window by window. It
/// [probes](crate::Residency::probe) both ends of a window first. If the window is not known to be in
/// memory, [`advance`](Self::advance) returns [`Progress::NeedsDisk`] with its range. The caller then has
/// the range read elsewhere, by a thread with a [`Fetcher`](crate::Fetcher),
/// and advances again; or it advances at once, and waits. The `advance` after
/// `NeedsDisk` sends the window without another probe.
///
/// After a cold window, all later windows count as cold without a probe, until the caller
/// [resumes probing](Self::resume_probing). There are two reasons: a probe of a file that is being read
/// from the disk makes the kernel read ahead on the caller's thread, which takes up to 0.3 ms for 8 MiB;
/// and it would take the result of that readahead for a hot file. If an `advance` ends inside a cold
/// window, the next one probes the rest of the window again.
///
/// # Example
///
/// ```
/// # use std::io::Write;
/// use std::os::unix::net::UnixStream;
///
/// use zc_core::{Fetcher, Progress, ProbedTransfer, Transfer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut file = tempfile::tempfile()?;
/// # file.write_all(&[7; 5000])?;
/// let (socket, _peer) = UnixStream::pair()?;
/// let fetcher = Fetcher::new()?;
/// let mut transfer = ProbedTransfer::new(Transfer::new(&file, 0, 5000), 2 << 20);
/// loop {
///     match transfer.advance(&socket, u64::MAX)? {
///         Progress::Complete => break,
///         // A reactor has another thread do this.
///         Progress::NeedsDisk(range) => fetcher.fetch(&file, range).map(drop)?,
///         other => panic!("the socket has room: {other:?}"),
///     }
/// }
/// assert_eq!(transfer.report().bytes(), 5000);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ProbedTransfer<F> {
    transfer: Transfer<F>,
    window: Window,
}

impl<F: AsFd> ProbedTransfer<F> {
    /// Probes `transfer`, which has not been advanced yet, in windows of `window_bytes`. 0 counts as 1;
    /// more than a few MiB is [too long for a probe](crate::Residency::probe).
    pub fn new(transfer: Transfer<F>, window_bytes: u64) -> Self {
        Self {
            window: Window::new(window_bytes, transfer.offset()),
            transfer,
        }
    }

    /// Sends all bytes before the file offset `end` without a probe, because the caller knows them to be in
    /// memory, or accepts the wait. With `u64::MAX` nothing is probed, and `advance` is that of the
    /// [`Transfer`].
    pub fn assume_resident_until(&mut self, end: u64) {
        self.window.assume_resident_until(end);
    }

    /// Treats the next windows as cold without a probe, because the caller has probed the file.
    pub fn assume_cold(&mut self) {
        self.window.assume_cold();
    }

    /// Probes windows again after a cold one, because the caller found later ones in memory.
    pub fn resume_probing(&mut self) {
        self.window.resume_probing();
    }

    /// Whether probes must begin no read: a window is then [probed as a
    /// whole](crate::Residency::probe_whole). Set it while a device answers late or many of its reads are under
    /// way, and reset it when they are over; before a call of [`advance`](Self::advance), as often as you
    /// like.
    pub fn set_quiet(&mut self, is_quiet: bool) {
        self.window.set_quiet(is_quiet);
    }

    /// Probes the next window, unless that was done, and returns its range if it is not known to be in
    /// memory. Nothing is sent. The `advance` after that sends the window without another probe.
    ///
    /// Use it to do something else before the first `advance` when the file is cold.
    pub fn probe_next_window(&mut self) -> Option<Range<u64>> {
        self.probe_for(u64::MAX)
    }

    /// The same for a call that sends `budget` bytes at most.
    fn probe_for(&mut self, budget: u64) -> Option<Range<u64>> {
        let (source, offset) = (self.transfer.source(), self.transfer.offset());
        let remaining = self.transfer.remaining();
        self.window.next_cold(source, offset, remaining, budget)
    }

    /// [Advances the transfer](Transfer::advance), and stops with [`Progress::NeedsDisk`] before a window
    /// that is not known to be in memory.
    ///
    /// # Errors
    ///
    /// As [`Transfer::advance`].
    pub fn advance(&mut self, sink: impl AsFd, budget: u64) -> Result<Progress, SendError> {
        let sink = sink.as_fd();
        let before = self.remaining();
        let answer = loop {
            let sent = before - self.remaining();
            let left = budget - sent;
            // What is too little to probe another window for is left to the next call.
            let is_rest = left < BATCH_BYTES && left < budget && self.is_at_window_end();
            if self.remaining() > 0 && (left == 0 || is_rest) {
                break Ok(Progress::BudgetSpent);
            }
            if let Some(range) = self.probe_for(left) {
                break Ok(Progress::NeedsDisk(range));
            }
            let limit = left.min(self.window.end().saturating_sub(self.offset()));
            match self.transfer.advance_within(sink, limit, left) {
                // The end of the window, or of the budget.
                Ok(Progress::BudgetSpent) => {}
                Ok(stopped) => break Ok(stopped),
                Err(error) => {
                    break Err(SendError {
                        sent: sent + error.sent,
                        ..error
                    });
                }
            }
        };
        if let Ok(Progress::WouldBlock | Progress::BudgetSpent) = answer {
            self.window.stopped_at(self.offset());
        }
        answer
    }

    /// [Reads](Transfer::read) into `slots`, and stops with [`Progress::NeedsDisk`] before a window that is not
    /// known to be in memory.
    ///
    /// # Errors
    ///
    /// As [`Transfer::read`].
    pub fn read(&mut self, slots: &mut Slots<'_, '_>) -> Result<Progress, SendError> {
        loop {
            if self.remaining() > 0 && slots.is_full() {
                self.window.stopped_at(self.offset());
                return Ok(Progress::BudgetSpent);
            }
            if let Some(range) = self.probe_for(u64::MAX) {
                return Ok(Progress::NeedsDisk(range));
            }
            let limit = self.window.end().saturating_sub(self.offset());
            match self.transfer.read_within(slots, limit)? {
                // The end of the window, or of the slots.
                Progress::BudgetSpent => {}
                stopped => return Ok(stopped),
            }
        }
    }

    fn is_at_window_end(&self) -> bool {
        self.window.end() <= self.offset()
    }

    /// As [`Transfer::source`].
    pub fn source(&self) -> &F {
        self.transfer.source()
    }

    /// As [`Transfer::offset`].
    pub fn offset(&self) -> u64 {
        self.transfer.offset()
    }

    /// As [`Transfer::remaining`].
    pub fn remaining(&self) -> u64 {
        self.transfer.remaining()
    }

    /// As [`Transfer::path`].
    pub fn path(&self) -> SendPath {
        self.transfer.path()
    }

    /// As [`Transfer::report`].
    pub fn report(&self) -> &Report {
        self.transfer.report()
    }
}
