//! Systems without a `sendfile(2)` that this crate can use.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

/// Errors that mean a refusal here, beside those of Linux: none.
pub(crate) const REFUSALS: &[i32] = &[];

pub(crate) fn sendfile(
    _source: BorrowedFd<'_>,
    _sink: BorrowedFd<'_>,
    _position: &mut i64,
    _count: usize,
) -> nix::Result<usize> {
    Err(Errno::ENOSYS)
}
