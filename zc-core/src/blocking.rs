//! Whole sends in one call, for programs that may wait.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{Method, Progress, Report, SendError, Transfer};

/// Sends all of `source` to `sink`, waiting as long as it takes, and reports how.
///
/// Stands in for [`std::io::copy`] from a file to a socket, with two differences: it begins at the
/// start of the file and leaves the file position alone, and it says which way the bytes went. A
/// nonblocking sink is waited for with `poll(2)`. A file that names no length, such as those of
/// `/proc`, is copied to its end.
///
/// # Errors
///
/// [`SendError`], with the bytes that went before. A file that is cut meanwhile gives
/// [`io::ErrorKind::UnexpectedEof`].
pub fn copy(source: impl AsFd, sink: impl AsFd) -> Result<Report, SendError> {
    let source = source.as_fd();
    let stat = nix::sys::stat::fstat(source).map_err(|errno| SendError::new(0, errno.into()))?;
    match u64::try_from(stat.st_size).unwrap_or(0) {
        0 => copy_to_end(source, sink),
        length => copy_range(source, sink, 0, length),
    }
}

/// Sends the `length` bytes of `source` at `offset` to `sink`, waiting as long as it takes.
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
    match wait_out(&mut transfer, sink)? {
        End::Complete => Ok(*transfer.report()),
        End::SourceEnded => Err(SendError::new(
            transfer.report().bytes(),
            io::ErrorKind::UnexpectedEof.into(),
        )),
    }
}

fn copy_to_end(source: impl AsFd, sink: impl AsFd) -> Result<Report, SendError> {
    // The exact count is unknown, and a larger one given to sendfile would hold the end back.
    let length = i64::MAX.unsigned_abs();
    let mut transfer = Transfer::new(source, 0, length).with_method(Method::Copy);
    match wait_out(&mut transfer, sink)? {
        End::Complete | End::SourceEnded => Ok(*transfer.report()),
    }
}

enum End {
    Complete,
    SourceEnded,
}

fn wait_out<F: AsFd>(transfer: &mut Transfer<F>, sink: impl AsFd) -> Result<End, SendError> {
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
