//! Linux: it has all of the calls.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, PosixFadviseAdvice, SpliceFFlags, fcntl, posix_fadvise};
use nix::sys::socket::MsgFlags;

use super::SpliceMode;

pub(crate) use crate::sys::{
    Scheduling, cached_pages, pin_io_priority, preadv2_nowait,
    preadv2_nowait_discarding, probe_and_readahead, set_cork, set_scheduling,
};
pub use crate::sys::{send_queue_bytes, set_defer_accept};

/// The flag of [`crate::send_head`] where a body follows.
pub(crate) const MSG_MORE: MsgFlags = MsgFlags::from_bits_retain(nix::libc::MSG_MORE);
/// A peer that is gone gives an error and no signal.
pub(crate) const MSG_NOSIGNAL: MsgFlags = MsgFlags::MSG_NOSIGNAL;

/// Errors that mean a refusal here, beside those of every system: none.
pub(crate) const REFUSALS: &[i32] = &[];

/// Has the kernel begin to read a range of a file.
pub(crate) fn fadvise_willneed(file: BorrowedFd<'_>, offset: u64, bytes: u64) -> io::Result<()> {
    let too_large = |_| io::Error::from(Errno::EOVERFLOW);
    let (offset, bytes) = (offset.try_into(), bytes.try_into());
    let (offset, bytes) = (offset.map_err(too_large)?, bytes.map_err(too_large)?);
    posix_fadvise(file, offset, bytes, PosixFadviseAdvice::POSIX_FADV_WILLNEED)?;
    Ok(())
}

pub(crate) fn sendfile(
    source: BorrowedFd<'_>,
    sink: BorrowedFd<'_>,
    position: &mut i64,
    count: usize,
) -> nix::Result<usize> {
    nix::sys::sendfile::sendfile64(sink, source, Some(position), count)
}

pub(crate) fn splice(
    from: BorrowedFd<'_>,
    from_position: Option<&mut i64>,
    to: BorrowedFd<'_>,
    to_position: Option<&mut i64>,
    count: usize,
    mode: SpliceMode,
) -> nix::Result<usize> {
    let flags = match mode {
        SpliceMode::Plain => SpliceFFlags::empty(),
        SpliceMode::More => SpliceFFlags::SPLICE_F_MORE,
        SpliceMode::NonBlocking => SpliceFFlags::SPLICE_F_NONBLOCK,
    };
    nix::fcntl::splice(from, from_position, to, to_position, count, flags)
}

pub(crate) fn copy_file_range(
    source: BorrowedFd<'_>,
    source_position: &mut i64,
    sink: BorrowedFd<'_>,
    sink_position: &mut i64,
    count: usize,
) -> nix::Result<usize> {
    nix::fcntl::copy_file_range(
        source,
        Some(source_position),
        sink,
        Some(sink_position),
        count,
    )
}

/// A pipe of about `bytes`: its reading end, its writing end, and the size that it has.
pub(crate) fn pipe(bytes: usize) -> nix::Result<(OwnedFd, OwnedFd, u64)> {
    // Without O_NONBLOCK on purpose: on a pipe it would make splice(2) answer EAGAIN for a blocking
    // Unix socket or a blocking pipe at the other side. A call that must not wait for this pipe has a
    // flag for that, or asks for no more than is in it.
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let capacity = resize(&write, bytes)?;
    Ok((read, write, capacity))
}

/// Asks for `bytes`, and for half of that after each refusal; answers the size of the pipe.
fn resize(pipe: &OwnedFd, bytes: usize) -> nix::Result<u64> {
    let size = || fcntl(pipe, FcntlArg::F_GETPIPE_SZ);
    let given = size()?;
    let mut asked = i32::try_from(bytes).unwrap_or(i32::MAX);
    loop {
        match fcntl(pipe, FcntlArg::F_SETPIPE_SZ(asked)) {
            Ok(_) => break,
            // EPERM: past pipe-max-size, or past the pages of this user; EINVAL, ENOMEM: past
            // what any pipe can have. Once half of it is not above the size given at first, that size stays.
            Err(Errno::EPERM | Errno::EINVAL | Errno::ENOMEM) if asked / 2 > given => asked /= 2,
            Err(Errno::EPERM | Errno::EINVAL | Errno::ENOMEM) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(u64::try_from(size()?).unwrap_or(0))
}

/// The magic number of the filesystem that `file` is on.
pub(crate) fn file_system_magic(file: BorrowedFd<'_>) -> io::Result<i64> {
    Ok(nix::sys::statfs::fstatfs(file)?.filesystem_type().0)
}
