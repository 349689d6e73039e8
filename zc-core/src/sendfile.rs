//! `sendfile(2)`, wrapped once.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;

use crate::copy::retry_interrupted;
use crate::{SendError, Tally, platform};

/// The most that Linux moves in one `sendfile(2)` or `write(2)`, in bytes.
pub const CALL_BYTES_MAX: u64 = 0x7fff_f000;

/// Sends up to `count` bytes of `source`, from `offset`, to `sink`; returns how many bytes were sent.
///
/// One system call, repeated only when a signal interrupted it before any byte was sent. At most
/// [`CALL_BYTES_MAX`] bytes are requested. The file position of `source` is neither used nor
/// moved. The result may be shorter than `count` for many reasons; 0 means that the file ends at
/// or before `offset` (or that `count` is 0).
///
/// # Errors
///
/// * `WouldBlock`: the sink is nonblocking and full; wait until it is writable.
/// * `EINVAL`, `ENOSYS`, `EOPNOTSUPP`, `EPERM`: not possible for this pair of descriptors, or
///   forbidden by a seccomp filter; copy instead.
/// * `EOVERFLOW` or `EINVAL`: `offset` does not fit a signed 64-bit number.
/// * `EIO`, and what the sink reports (`EPIPE`, `ECONNRESET`, `ENOSPC` …).
///
/// See [`sendfile(2)`](https://man7.org/linux/man-pages/man2/sendfile.2.html).
pub fn sendfile(
    source: impl AsFd,
    sink: impl AsFd,
    offset: u64,
    count: u64,
) -> Result<Tally, SendError> {
    match call(source, sink, offset, count) {
        Ok(bytes) => Ok(Tally { bytes, calls: 1 }),
        Err(error) => Err(SendError::new(0, error)),
    }
}

/// The call itself, retried when a signal interrupts it.
pub(crate) fn call(source: impl AsFd, sink: impl AsFd, offset: u64, count: u64) -> io::Result<u64> {
    let mut position = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
    let count = usize::try_from(count.min(CALL_BYTES_MAX)).unwrap_or(usize::MAX);
    let sent = retry_interrupted(|| {
        platform::sendfile(source.as_fd(), sink.as_fd(), &mut position, count)
    })?;
    Ok(sent as u64)
}
