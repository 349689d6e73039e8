//! Systems with POSIX only: every call here returns `ENOSYS`. `sendfile(2)` is in a file of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use super::SpliceMode;

/// A head cannot be held back: it leaves when it is sent.
pub(crate) const MSG_MORE: MsgFlags = MsgFlags::empty();
/// A peer that is gone gives an error and no signal, where there is a flag for that.
#[cfg(not(target_vendor = "apple"))]
pub(crate) const MSG_NOSIGNAL: MsgFlags = MsgFlags::MSG_NOSIGNAL;
/// A program for Apple's systems ignores `SIGPIPE`, as Rust programs do by default.
#[cfg(target_vendor = "apple")]
pub(crate) const MSG_NOSIGNAL: MsgFlags = MsgFlags::empty();

pub(crate) fn splice(
    _from: BorrowedFd<'_>,
    _from_position: Option<&mut i64>,
    _to: BorrowedFd<'_>,
    _to_position: Option<&mut i64>,
    _count: usize,
    _mode: SpliceMode,
) -> nix::Result<usize> {
    Err(Errno::ENOSYS)
}

pub(crate) fn copy_file_range(
    _source: BorrowedFd<'_>,
    _source_position: &mut i64,
    _sink: BorrowedFd<'_>,
    _sink_position: &mut i64,
    _count: usize,
) -> nix::Result<usize> {
    Err(Errno::ENOSYS)
}

/// A pipe is of no use without splice.
pub(crate) fn pipe(_bytes: usize) -> nix::Result<(OwnedFd, OwnedFd, u64)> {
    Err(Errno::ENOSYS)
}

pub(crate) fn file_system_magic(_file: BorrowedFd<'_>) -> io::Result<i64> {
    Err(Errno::ENOSYS.into())
}

pub(crate) fn preadv2_nowait(
    _file: impl AsFd,
    _buffer: &mut [u8],
    _offset: u64,
) -> io::Result<usize> {
    Err(Errno::ENOSYS.into())
}

pub(crate) fn cached_pages(_file: BorrowedFd<'_>, _offset: u64, _bytes: u64) -> io::Result<u64> {
    Err(io::Error::from(Errno::ENOSYS))
}

pub(crate) fn preadv2_nowait_discarding(
    _file: impl AsFd,
    _scratch: &mut [u8],
    _offset: u64,
    _bytes: usize,
) -> io::Result<usize> {
    Err(Errno::ENOSYS.into())
}

pub(crate) fn probe_and_readahead(
    _file: impl AsFd,
    _offset: u64,
    _bytes: usize,
) -> io::Result<bool> {
    Err(Errno::ENOSYS.into())
}

pub(crate) fn fadvise_willneed(_file: BorrowedFd<'_>, _offset: u64, _bytes: u64) -> io::Result<()> {
    Err(Errno::ENOSYS.into())
}

pub(crate) fn pin_io_priority() -> io::Result<()> {
    Err(Errno::ENOSYS.into())
}

/// As on Linux.
#[derive(Debug, Clone, Copy)]
#[expect(dead_code, reason = "there is no system call here that takes them")]
pub(crate) enum Scheduling {
    Batch { nice: i32 },
    Slice { ns: u64 },
}

pub(crate) fn set_scheduling(scheduling: Scheduling) -> io::Result<()> {
    match scheduling {
        Scheduling::Batch { nice: _ } | Scheduling::Slice { ns: _ } => Err(Errno::ENOSYS.into()),
    }
}

/// Segments are not held back.
pub(crate) fn set_cork(_sink: impl AsFd, _holds_back: bool) -> io::Result<()> {
    Err(Errno::ENOSYS.into())
}

/// Bytes that the peer of a socket has not acknowledged: not available on this system.
///
/// # Errors
///
/// Always `ENOSYS`.
pub fn send_queue_bytes(_sink: impl AsFd) -> io::Result<u64> {
    Err(Errno::ENOSYS.into())
}

/// Holding back new connections until their first bytes: not available on this system.
///
/// # Errors
///
/// Always `ENOSYS`.
pub fn set_defer_accept(_listener: impl AsFd, _seconds: u16) -> io::Result<()> {
    Err(Errno::ENOSYS.into())
}
