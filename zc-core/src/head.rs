//! A head and a body in one send, so that the first body bytes share the segment of the head.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use crate::cork::Cork;
use crate::{CORK_BYTES_MIN, ProbedTransfer, Progress, Report, SendError, Slots, Tally, Transfer};

/// Whether more bytes follow the ones being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// A body follows at once: the kernel may hold these bytes back to fill a segment (`MSG_MORE`). If
    /// nothing follows after all, the peer gets them up to 200 ms late.
    Body,
    /// Nothing follows: the bytes leave now.
    Nothing,
}

/// Sends `bytes` on the socket `sink`; returns how many bytes it accepted.
///
/// A partial send is not an error: send the rest later, with the same [`Follows`]. `TCP_CORK` is not
/// used here: it costs two system calls and, for small bodies, a segment. [`HeadThenFile`] sets it
/// around long bodies.
///
/// # Errors
///
/// `WouldBlock` when a nonblocking socket is full, `ENOTSOCK` when `sink` is no socket, and what
/// [`send(2)`] reports; a peer that is gone gives `BrokenPipe` without a `SIGPIPE`.
///
/// [`send(2)`]: https://man7.org/linux/man-pages/man2/send.2.html
pub fn send_head(sink: impl AsFd, bytes: &[u8], follows: Follows) -> io::Result<usize> {
    let more = match follows {
        Follows::Body => crate::platform::MSG_MORE,
        Follows::Nothing => MsgFlags::empty(),
    };
    let socket = sink.as_fd();
    loop {
        match nix::sys::socket::send(
            socket.as_raw_fd(),
            bytes,
            more | crate::platform::MSG_NOSIGNAL,
        ) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(sent) => return Ok(sent),
        }
    }
}

/// The body of a [`HeadThenFile`]: a [`Transfer`], or a [`ProbedTransfer`] that does not wait for the
/// disk. Types outside this crate cannot implement it.
pub trait Body: sealed::Sealed {
    /// Advances the transfer.
    ///
    /// # Errors
    ///
    /// As [`Transfer::advance`].
    fn advance(&mut self, sink: BorrowedFd<'_>, budget: u64) -> Result<Progress, SendError>;

    /// The range of the next window where it is not known to be in memory, in bytes; see
    /// [`ProbedTransfer::probe_next_window`]. A [`Transfer`] does not probe, and returns `None`.
    fn probe_next_window(&mut self) -> Option<Range<u64>>;

    /// Reads the next bytes into memory.
    ///
    /// # Errors
    ///
    /// As [`Transfer::read`].
    fn read(&mut self, slots: &mut Slots<'_, '_>) -> Result<Progress, SendError>;

    /// Promised bytes that the sink has not accepted yet.
    fn remaining(&self) -> u64;

    /// What was done so far.
    fn report(&self) -> &Report;
}

mod sealed {
    pub trait Sealed {}

    impl<F> Sealed for super::Transfer<F> {}
    impl<F> Sealed for super::ProbedTransfer<F> {}
}

impl<F: AsFd> Body for Transfer<F> {
    fn advance(&mut self, sink: BorrowedFd<'_>, budget: u64) -> Result<Progress, SendError> {
        self.advance(sink, budget)
    }

    fn probe_next_window(&mut self) -> Option<Range<u64>> {
        None
    }

    fn read(&mut self, slots: &mut Slots<'_, '_>) -> Result<Progress, SendError> {
        self.read(slots)
    }

    fn remaining(&self) -> u64 {
        self.remaining()
    }

    fn report(&self) -> &Report {
        self.report()
    }
}

impl<F: AsFd> Body for ProbedTransfer<F> {
    fn advance(&mut self, sink: BorrowedFd<'_>, budget: u64) -> Result<Progress, SendError> {
        self.advance(sink, budget)
    }

    fn probe_next_window(&mut self) -> Option<Range<u64>> {
        self.probe_next_window()
    }

    fn read(&mut self, slots: &mut Slots<'_, '_>) -> Result<Progress, SendError> {
        self.read(slots)
    }

    fn remaining(&self) -> u64 {
        self.remaining()
    }

    fn report(&self) -> &Report {
        self.report()
    }
}

/// Bytes, then a range of a file: the head and the body of a response in one resumable send.
///
/// Where body bytes follow, the head is sent with `MSG_MORE`, so that head and body share a segment. The
/// count given to the kernel for the body is exact, so that its end is not held back. `H` holds the head:
/// `Vec<u8>`, `&[u8]`, `BytesMut`. `B` is the body, a [`Transfer`] or a [`ProbedTransfer`].
///
/// # Long bodies
///
/// A body of [`CORK_BYTES_MIN`] or more, or of [another length](Self::with_cork_bytes_min), is sent with
/// [`TCP_CORK`] set: the socket sends full segments only, which costs less CPU for each byte. That takes
/// two system calls for each body. A sink that is not a TCP socket refuses the first one, and the send
/// goes on without a cork.
///
/// | [`advance`](Self::advance) returns | `TCP_CORK` | reason |
/// | --- | --- | --- |
/// | `Complete` | is off | nothing of the body is held back any more |
/// | `NeedsDisk` | is off | the accepted bytes leave while the disk is busy; the next `advance` sets it again |
/// | `SourceTruncated`, an error | is off | the accepted bytes leave |
/// | `WouldBlock` | is on | the socket goes on sending full segments, and becomes writable before it runs out of them |
/// | `BudgetSpent` | is on | the next `advance` fills the last segment |
///
/// Less than one segment is held back, for 200 ms at most. The delay occurs when the caller does not
/// advance after `BudgetSpent`, and when a [`Transfer`] waits for the disk in the middle of a call. Where
/// that matters, as with files on a network filesystem, [do not cork](Self::with_cork_bytes_min).
///
/// The option belongs to the socket, not to the descriptor: a send may continue through another descriptor
/// of the same socket, and a cork that the caller had set is off at the end. A send that is dropped in the
/// middle leaves the cork on. Its head promised more bytes, so the socket can only be closed, and closing
/// sends the accepted bytes.
///
/// [`TCP_CORK`]: https://man7.org/linux/man-pages/man7/tcp.7.html
#[derive(Debug)]
pub struct HeadThenFile<H, B> {
    head: H,
    /// Invariant: at most the length of `head`.
    head_sent: usize,
    head_calls: u64,
    head_would_blocks: u64,
    body: Option<B>,
    cork: Cork,
    /// What the head is sent with where a body follows it.
    before_body: Follows,
}

impl<H: AsRef<[u8]>, B: Body> HeadThenFile<H, B> {
    /// A head, and the body that follows it.
    pub fn new(head: H, body: B) -> Self {
        Self::with_optional_body(head, Some(body))
    }

    /// A head, with or without a body.
    pub fn with_optional_body(head: H, body: Option<B>) -> Self {
        let length = body.as_ref().map_or(0, B::remaining);
        Self {
            head,
            head_sent: 0,
            head_calls: 0,
            head_would_blocks: 0,
            body,
            cork: Cork::for_body(length, CORK_BYTES_MIN),
            before_body: Follows::Body,
        }
    }

    /// Sends the head without `MSG_MORE`, in a segment of its own: for a socket whose TLS records the kernel
    /// seals, where it [does not fill](crate#contents) a record that the head has begun. Call it before the
    /// first `advance`.
    #[must_use]
    pub fn with_head_apart(mut self) -> Self {
        self.set_head_apart();
        self
    }

    /// As [`with_head_apart`](Self::with_head_apart).
    pub fn set_head_apart(&mut self) {
        self.before_body = Follows::Nothing;
    }

    /// Sets `TCP_CORK` around a body of `bytes` or more, in place of [`CORK_BYTES_MIN`]; `u64::MAX`
    /// means never. Call it before the first `advance`.
    #[must_use]
    pub fn with_cork_bytes_min(mut self, bytes: u64) -> Self {
        let length = self.body.as_ref().map_or(0, B::remaining);
        self.cork = Cork::for_body(length, bytes);
        self
    }

    /// Sends until the end, until the sink would block, or until `budget` bytes of body were sent. The
    /// head does not count against the budget.
    ///
    /// The first window of a [`ProbedTransfer`] is probed before the head is sent. On
    /// [`Progress::NeedsDisk`], nothing has been sent yet, and another response is still possible.
    ///
    /// A sink that is not a socket gets the head by `write(2)`.
    ///
    /// # Errors
    ///
    /// As [`Transfer::advance`]; `sent` then counts head and body bytes of this call.
    pub fn advance(&mut self, sink: impl AsFd, budget: u64) -> Result<Progress, SendError> {
        let sink = sink.as_fd();
        let before = self.accepted();
        let answer = self.advance_to_stop(sink, budget);
        let uncorked = match &answer {
            // More bytes follow soon. A full socket has many segments to send, and is writable again when a
            // third of them is gone: before the partial one at the end is due.
            Ok(Progress::WouldBlock | Progress::BudgetSpent) => Ok(()),
            Ok(Progress::NeedsDisk(_)) | Err(_) => self.cork.pause(sink),
            Ok(Progress::Complete | Progress::SourceTruncated(_)) => self.cork.end(sink),
        };
        match (answer, uncorked) {
            (Ok(_), Err(error)) => Err(SendError::new(self.accepted() - before, error)),
            (answer, _) => answer,
        }
    }

    fn advance_to_stop(
        &mut self,
        sink: BorrowedFd<'_>,
        budget: u64,
    ) -> Result<Progress, SendError> {
        let before = self.head_sent;
        if self.head_sent == 0
            && let Some(range) = self.body.as_mut().and_then(B::probe_next_window)
        {
            return Ok(Progress::NeedsDisk(range));
        }
        self.cork.set(sink);
        match self.advance_head(sink) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.head_would_blocks += 1;
                return Ok(Progress::WouldBlock);
            }
            Err(error) => return Err(SendError::new((self.head_sent - before) as u64, error)),
        }
        match &mut self.body {
            None => Ok(Progress::Complete),
            Some(body) => body.advance(sink, budget).map_err(|error| SendError {
                sent: error.sent + (self.head_sent - before) as u64,
                ..error
            }),
        }
    }

    /// Reads head and body into `slots` instead of sending them, for a caller that has to change them on their
    /// way, as TLS does. What was read counts as accepted.
    ///
    /// [`Progress::BudgetSpent`] means that the slots are full. As with [`advance`](Self::advance), the first
    /// window of a [`ProbedTransfer`] is probed before the head is taken. On [`Progress::NeedsDisk`] the slots
    /// have what comes before the window.
    ///
    /// # Errors
    ///
    /// As [`Transfer::read`].
    pub fn read(&mut self, slots: &mut Slots<'_, '_>) -> Result<Progress, SendError> {
        if self.head_sent == 0
            && let Some(range) = self.body.as_mut().and_then(B::probe_next_window)
        {
            return Ok(Progress::NeedsDisk(range));
        }
        self.head_sent += slots.put(&self.head.as_ref()[self.head_sent..]);
        if self.head_sent < self.head.as_ref().len() {
            return Ok(Progress::BudgetSpent);
        }
        match &mut self.body {
            None => Ok(Progress::Complete),
            Some(body) => body.read(slots),
        }
    }

    fn advance_head(&mut self, sink: impl AsFd) -> io::Result<()> {
        let follows = match &self.body {
            Some(body) if body.remaining() > 0 => self.before_body,
            _ => Follows::Nothing,
        };
        while self.head_sent < self.head.as_ref().len() {
            let rest = &self.head.as_ref()[self.head_sent..];
            self.head_calls += 1;
            let sent = match send_head(&sink, rest, follows) {
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOTSOCK) => {
                    crate::copy::retry_interrupted(|| nix::unistd::write(&sink, rest))?
                }
                answer => answer?,
            };
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.head_sent += sent;
        }
        Ok(())
    }

    /// Bytes of the head that the sink accepted, and the calls they took.
    pub fn head_tally(&self) -> Tally {
        Tally {
            bytes: self.head_sent as u64,
            calls: self.head_calls,
        }
    }

    /// How often the sink returned `EAGAIN`, for the head or for the body.
    pub fn would_blocks(&self) -> u64 {
        self.head_would_blocks + self.body_report().map_or(0, |report| report.would_blocks)
    }

    /// The body, if there is one.
    pub fn body(&self) -> Option<&B> {
        self.body.as_ref()
    }

    /// The body, for what the caller knows of the page cache; see [`ProbedTransfer`].
    pub fn body_mut(&mut self) -> Option<&mut B> {
        self.body.as_mut()
    }

    /// Ends the send where it is, and returns the holder of the head. A send that was not complete
    /// [may leave the socket corked](Self#long-bodies).
    pub fn into_head(self) -> H {
        self.head
    }

    /// The report of the body, if there is one.
    pub fn body_report(&self) -> Option<&Report> {
        self.body.as_ref().map(B::report)
    }

    /// Bytes of head and body that the sink has accepted. It grows exactly when there is progress.
    pub fn accepted(&self) -> u64 {
        self.head_sent as u64 + self.body_report().map_or(0, Report::bytes)
    }
}
