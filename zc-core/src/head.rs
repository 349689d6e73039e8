//! Bytes before a body, held back so that both share a segment.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use crate::{Progress, Report, SendError, Tally, Transfer};

/// Whether more bytes follow the ones being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// A body follows at once: the kernel may hold these bytes back to fill a segment
    /// (`MSG_MORE`). A caller that then sends nothing makes the peer wait up to 200 ms.
    Body,
    /// Nothing follows: the bytes leave now.
    Nothing,
}

/// Sends `bytes` on the socket `sink`; answers how many it accepted.
///
/// A partial send is not an error: send the rest later, with the same [`Follows`]. `TCP_CORK` is
/// never used: it costs two system calls and, for small bodies, a segment.
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

/// Bytes, then a range of a file: the head and the body of a response in one resumable send.
///
/// The head is marked `MSG_MORE` where body bytes follow, so that the first of them share its
/// segment, and the count given to the kernel for the body is exact, so that its end leaves at
/// once. `H` is whatever holds the head: `Vec<u8>`, `&[u8]`, `BytesMut`.
#[derive(Debug)]
pub struct HeadThenFile<H, F> {
    head: H,
    /// Invariant: at most the length of `head`.
    head_sent: usize,
    head_calls: u64,
    head_would_blocks: u64,
    body: Option<Transfer<F>>,
}

impl<H: AsRef<[u8]>, F: AsFd> HeadThenFile<H, F> {
    /// A head, and the body that follows it.
    pub fn new(head: H, body: Transfer<F>) -> Self {
        Self::with_optional_body(head, Some(body))
    }

    /// A head that may stand alone.
    pub fn with_optional_body(head: H, body: Option<Transfer<F>>) -> Self {
        Self {
            head,
            head_sent: 0,
            head_calls: 0,
            head_would_blocks: 0,
            body,
        }
    }

    /// Sends until the end, until the sink would block, or until `budget` bytes of body went. The
    /// head is not counted against the budget.
    ///
    /// A body with a [residency window](Transfer::with_residency_window) is asked for its first window
    /// before the head goes: [`Progress::NeedsDisk`] then comes while nothing is sent, and another
    /// answer could still be given.
    ///
    /// A sink that is not a socket gets the head by `write(2)`.
    ///
    /// # Errors
    ///
    /// As [`Transfer::advance`]; `sent` then counts head and body bytes of this call.
    pub fn advance(&mut self, sink: impl AsFd, budget: u64) -> Result<Progress, SendError> {
        let sink = sink.as_fd();
        let before = self.head_sent;
        if self.head_sent == 0
            && let Some(range) = self.body.as_mut().and_then(Transfer::ask_residency)
        {
            return Ok(Progress::NeedsDisk(range));
        }
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

    fn advance_head(&mut self, sink: impl AsFd) -> io::Result<()> {
        let follows = match &self.body {
            Some(body) if body.remaining() > 0 => Follows::Body,
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

    /// Times that the sink said `EAGAIN`, to the head or to the body.
    pub fn would_blocks(&self) -> u64 {
        self.head_would_blocks + self.body_report().map_or(0, |report| report.would_blocks)
    }

    /// The body, if there is one.
    pub fn body(&self) -> Option<&Transfer<F>> {
        self.body.as_ref()
    }

    /// The body, to [vouch](Transfer::vouch_until) for a part of it.
    pub fn body_mut(&mut self) -> Option<&mut Transfer<F>> {
        self.body.as_mut()
    }

    /// Ends the send where it stands, and gives back what held the head.
    pub fn into_head(self) -> H {
        self.head
    }

    /// What was done of the body, if there is one.
    pub fn body_report(&self) -> Option<&Report> {
        self.body.as_ref().map(Transfer::report)
    }

    /// Bytes of head and body that the sink accepted; it grows exactly when there is progress.
    pub fn accepted(&self) -> u64 {
        self.head_sent as u64 + self.body_report().map_or(0, Report::bytes)
    }
}
