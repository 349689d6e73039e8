//! The `sendfile(2)` of FreeBSD, DragonFly and Apple's systems; all other calls are in `portable`.
//!
//! It differs from that of Linux in three ways, all handled here: a call that stops with an
//! error may have sent bytes, a count of 0 means *to the end of the file*, and the sink must be a
//! stream socket.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

/// Errors that mean a refusal here, beside those of Linux: for a sink that is no socket, and a source that is
/// no regular file.
pub(crate) const REFUSALS: &[i32] = &[nix::libc::ENOTSOCK, nix::libc::ENOTSUP];

pub(crate) fn sendfile(
    source: BorrowedFd<'_>,
    sink: BorrowedFd<'_>,
    position: &mut i64,
    count: usize,
) -> nix::Result<usize> {
    if count == 0 {
        return Ok(0);
    }
    let (result, sent) = call(source, sink, *position, count);
    let sent = match result {
        Ok(()) => sent,
        // Bytes were sent before the socket was full or a signal came: that is progress. With other errors
        // the count is not valid: Apple's systems leave the count that was asked for.
        Err(Errno::EAGAIN | Errno::EINTR) if sent > 0 => sent,
        Err(errno) => return Err(errno),
    };
    *position += sent;
    Ok(usize::try_from(sent).unwrap_or(0))
}

#[cfg(target_os = "freebsd")]
fn call(
    source: BorrowedFd<'_>,
    sink: BorrowedFd<'_>,
    position: i64,
    count: usize,
) -> (nix::Result<()>, i64) {
    use nix::sys::sendfile::{SfFlags, sendfile};
    // 0: the readahead of the system.
    let readahead_pages = 0;
    sendfile(
        source,
        sink,
        position,
        Some(count),
        None,
        None,
        SfFlags::empty(),
        readahead_pages,
    )
}

#[cfg(target_os = "dragonfly")]
fn call(
    source: BorrowedFd<'_>,
    sink: BorrowedFd<'_>,
    position: i64,
    count: usize,
) -> (nix::Result<()>, i64) {
    nix::sys::sendfile::sendfile(source, sink, position, Some(count), None, None)
}

#[cfg(target_vendor = "apple")]
fn call(
    source: BorrowedFd<'_>,
    sink: BorrowedFd<'_>,
    position: i64,
    count: usize,
) -> (nix::Result<()>, i64) {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    // Without trailers: those are sent again after EAGAIN.
    nix::sys::sendfile::sendfile(source, sink, position, Some(count), None, None)
}
