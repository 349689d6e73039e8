//! Errors of sending and receiving. Each has the number of bytes that were moved before it.

use std::{fmt, io};

/// A failed send, and how much of it had succeeded.
#[derive(Debug)]
#[non_exhaustive]
pub struct SendError {
    /// Bytes that the sink accepted in the same call, before the failure.
    pub sent: u64,
    /// The kind of failure, which tells what the caller can do about it.
    pub kind: SendErrorKind,
    /// The error of the system call.
    pub source: io::Error,
}

/// What the caller of a failed send can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// The sink accepts nothing now: wait until it is writable. A [`Transfer`](crate::Transfer) returns
    /// [`Progress::WouldBlock`](crate::Progress::WouldBlock) instead.
    WouldBlock,
    /// The kernel refuses this method for this pair of descriptors: try another method.
    Refused,
    /// The peer is gone (`EPIPE`, `ECONNRESET` and the like): close the sink. Nothing is wrong on this side.
    PeerGone,
    /// The source or the sink failed (`EIO`, `ENOSPC`, `EBADF` and others): see the error.
    Failed,
}

impl SendError {
    pub(crate) fn new(sent: u64, source: io::Error) -> Self {
        let kind = if source.kind() == io::ErrorKind::WouldBlock {
            SendErrorKind::WouldBlock
        } else if is_refusal(&source) {
            SendErrorKind::Refused
        } else if is_peer_gone(&source) {
            SendErrorKind::PeerGone
        } else {
            SendErrorKind::Failed
        };
        Self { sent, kind, source }
    }

    /// A failed read of the source, before anything was sent.
    #[must_use]
    pub fn from_read_error(source: io::Error) -> Self {
        Self {
            sent: 0,
            kind: SendErrorKind::Failed,
            source,
        }
    }

    /// True when nothing is wrong on this side: the peer went away.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        self.kind == SendErrorKind::PeerGone
    }
}

/// A failed receive, and how much of it had succeeded.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReceiveError {
    /// Bytes that the file accepted in the same call, before the failure.
    pub written: u64,
    /// What failed, which tells what the caller can do about it.
    pub kind: ReceiveErrorKind,
    /// The error of the system call.
    pub source: io::Error,
}

/// What the caller of a failed receive can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveErrorKind {
    /// The kernel refuses [`ReceiveMethod::Splice`](crate::ReceiveMethod::Splice) for this source, this
    /// file, or altogether: receive by another method.
    Refused,
    /// The pool has no pipe to lend, or none could be made: try later, or copy.
    NoPipe,
    /// The peer is gone (`ECONNRESET` and the like): close the source. Nothing is wrong on this side.
    PeerGone,
    /// Reading from the source failed for another reason: see the error.
    Source,
    /// Writing to the file failed (`ENOSPC`, `EDQUOT`, `EIO`, `EBADF` and others). The bytes that had
    /// left the source are kept: advance again when there is room.
    File,
}

impl ReceiveError {
    /// True when nothing is wrong on this side: the peer went away.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        self.kind == ReceiveErrorKind::PeerGone
    }
}

/// True for the errors by which a kernel, a filesystem or a seccomp filter refuses a method.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    use nix::libc::{EINVAL, ENOSYS, EOPNOTSUPP, EPERM, EXDEV};
    error.raw_os_error().is_some_and(|errno| {
        matches!(errno, EINVAL | ENOSYS | EOPNOTSUPP | EPERM | EXDEV)
            || crate::platform::REFUSALS.contains(&errno)
    })
}

pub(crate) fn is_peer_gone(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::BrokenPipe
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::NotConnected
            | K::TimedOut
            | K::HostUnreachable
            | K::NetworkUnreachable
    )
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "send failed after {} bytes: {}", self.sent, self.source)
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// For functions that return [`io::Result`]: gives [`source`](SendError::source) itself, with its
/// [`kind`](io::Error::kind) and its [`raw_os_error`](io::Error::raw_os_error). The conversion loses
/// [`sent`](SendError::sent), the bytes that the failed call sent, and [`SendErrorKind`]. A
/// [`Transfer`](crate::Transfer) still has the number of all its bytes in its report.
impl From<SendError> for io::Error {
    fn from(error: SendError) -> Self {
        error.source
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = self.written;
        write!(f, "receive failed after {written} bytes: {}", self.source)
    }
}

impl std::error::Error for ReceiveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// For functions that return [`io::Result`]: gives [`source`](ReceiveError::source) itself. The conversion
/// loses [`written`](ReceiveError::written), the bytes that the failed call wrote, and
/// [`ReceiveErrorKind`]. A [`Receive`](crate::Receive) still has the number of all its bytes in its
/// report.
impl From<ReceiveError> for io::Error {
    fn from(error: ReceiveError) -> Self {
        error.source
    }
}
