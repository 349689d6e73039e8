//! No `sendfile(2)` that could be used.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

/// What refuses a method here beside the errors of Linux: nothing.
pub(crate) const REFUSALS: &[i32] = &[];

pub(crate) fn sendfile(
    _source: BorrowedFd<'_>,
    _sink: BorrowedFd<'_>,
    _position: &mut i64,
    _count: usize,
) -> nix::Result<usize> {
    Err(Errno::ENOSYS)
}
