//! Whole sends in one call, for blocking programs.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{Progress, Report, SendError, SendMethod, Transfer};

/// Sends all of `source` to `sink`, and waits as long as that takes.
///
/// It replaces [`std::io::copy`] from a file to a socket, with two differences: it begins at the start of
/// the file and does not move the file position, and it reports by which path the bytes went. It waits for
/// a nonblocking sink with `poll(2)`. A file whose length is 0, such as those of `/proc`, is copied to its
/// end.
///
/// # Errors
///
/// [`SendError`], with the bytes that were sent before. A file that is truncated meanwhile gives
/// [`io::ErrorKind::UnexpectedEof`].
pub fn copy(source: impl AsFd, sink: impl AsFd) -> Result<Report, SendError> {
    let source = source.as_fd();
    let stat = nix::sys::stat::fstat(source).map_err(|errno| SendError::new(0, errno.into()))?;
    match u64::try_from(stat.st_size).unwrap_or(0) {
        0 => copy_to_end(source, sink),
        length => copy_range(source, sink, 0, length),
    }
}

/// Sends the `length` bytes of `source` at `offset` to `sink`, and waits as long as that takes.
///
/// # Errors
///
/// As [`copy`].
pub fn copy_range(
    source: impl AsFd,
    sink: impl AsFd,
    offset: u64,
    length: u64,
) -> Result<Report, SendError> {
    let mut transfer = Transfer::new(source, offset, length);
    match send_blocking(&mut transfer, sink)? {
        End::Complete => Ok(*transfer.report()),
        End::SourceEnded => Err(SendError::new(
            transfer.report().bytes(),
            io::ErrorKind::UnexpectedEof.into(),
        )),
    }
}

fn copy_to_end(source: impl AsFd, sink: impl AsFd) -> Result<Report, SendError> {
    // The length is unknown, and sendfile holds the end back when it is given a larger count.
    let length = i64::MAX.unsigned_abs();
    let mut transfer = Transfer::new(source, 0, length).with_method(SendMethod::Copy);
    match send_blocking(&mut transfer, sink)? {
        End::Complete | End::SourceEnded => Ok(*transfer.report()),
    }
}

enum End {
    Complete,
    SourceEnded,
}

fn send_blocking<F: AsFd>(transfer: &mut Transfer<F>, sink: impl AsFd) -> Result<End, SendError> {
    let sink = sink.as_fd();
    let mut sent = 0;
    loop {
        let before = transfer.report().bytes();
        let progress = transfer
            .advance(sink, u64::MAX)
            .map_err(|error| SendError {
                sent: sent + error.sent,
                ..error
            })?;
        sent += transfer.report().bytes() - before;
        match progress {
            Progress::Complete => return Ok(End::Complete),
            Progress::SourceTruncated(_) => return Ok(End::SourceEnded),
            Progress::BudgetSpent | Progress::NeedsDisk(_) => {}
            Progress::WouldBlock => {
                let mut fds = [PollFd::new(sink, PollFlags::POLLOUT)];
                match poll(&mut fds, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(errno) => return Err(SendError::new(sent, errno.into())),
                }
            }
        }
    }
}
