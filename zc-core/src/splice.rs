//! `splice(2)` through a pipe: bytes into it, bytes out of it, and both in one call.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;

use crate::copy::retry_interrupted;
use crate::platform::{self, SpliceMode};
use crate::{CALL_BYTES_MAX, PooledPipe, SendError, Tally};

/// Moves up to `count` bytes of the file `source`, from `offset`, through `pipe` to `sink`.
///
/// An empty pipe is filled once and then emptied into the sink, so one call moves at most the
/// [capacity](PooledPipe::capacity) of the pipe, or less; call again for the rest. 0 bytes mean
/// that the file ends at or before `offset` (or that `count` is 0). The file position of `source`
/// is neither used nor moved.
///
/// **Bytes may stay in the pipe** after an error such as `WouldBlock`, and when `count` is less than the
/// pipe held: [`PooledPipe::pending`] bytes. They are the bytes of the file from the first one that the
/// sink has not accepted. Continue with the same pipe and that offset: the next call sends them first, and
/// then reads on at `offset + pending`. Dropping the pipe instead is harmless: the file still has them.
///
/// Segments are not held back (`SPLICE_F_MORE` is not used). A sink that blocks is waited for.
///
/// # Errors
///
/// [`SendError`] says in `sent` how many bytes the sink accepted in this call: advance `offset` by
/// that much before you continue.
///
/// * [`SendErrorKind::WouldBlock`](crate::SendErrorKind::WouldBlock): the sink is nonblocking and
///   full; wait until it is writable.
/// * [`SendErrorKind::Refused`](crate::SendErrorKind::Refused) (`EINVAL` and others): not possible
///   for these descriptors, such as a sink opened for appending.
/// * `EOVERFLOW`: `offset` does not fit a signed 64-bit number.
/// * `EIO`, and what the sink reports (`EPIPE`, `ECONNRESET`, `ENOSPC` …).
///
/// See [`splice(2)`](https://man7.org/linux/man-pages/man2/splice.2.html).
pub fn splice(
    source: impl AsFd,
    sink: impl AsFd,
    offset: u64,
    count: u64,
    pipe: &mut PooledPipe,
) -> Result<Tally, SendError> {
    let mut sent = Tally::default();
    // First what an earlier call left, then one filling of the pipe.
    empty(pipe, &sink, count, &mut sent)?;
    if pipe.pending == 0 && sent.bytes < count {
        sent.calls += 1;
        let position = offset.checked_add(sent.bytes).ok_or(Errno::EOVERFLOW);
        position
            .map_err(io::Error::from)
            .and_then(|position| fill(pipe, source, position, count - sent.bytes))
            .map_err(|error| SendError::new(sent.bytes, error))?;
        empty(pipe, &sink, count, &mut sent)?;
    }
    Ok(sent)
}

/// Sends what is in the pipe until it is empty or `sent.bytes` is `count`.
fn empty(
    pipe: &mut PooledPipe,
    sink: impl AsFd,
    count: u64,
    sent: &mut Tally,
) -> Result<(), SendError> {
    while pipe.pending > 0 && sent.bytes < count {
        sent.calls += 1;
        match flush(pipe, &sink, count - sent.bytes, false) {
            Ok(0) => return Err(SendError::new(sent.bytes, io::ErrorKind::WriteZero.into())),
            Ok(accepted) => sent.bytes += accepted,
            Err(error) => return Err(SendError::new(sent.bytes, error)),
        }
    }
    Ok(())
}

/// File → pipe: up to `count` bytes of `source` at `offset`, and no more than fit. 0 means the end of the
/// file (or that `count` is 0).
///
/// Never waits for the pipe. `WouldBlock` means that the pipe has no room. That is possible while
/// `pending < capacity`, since a part of a page takes up a whole page. An empty pipe always has room.
pub(crate) fn fill(
    pipe: &mut PooledPipe,
    source: impl AsFd,
    offset: u64,
    count: u64,
) -> io::Result<u64> {
    let mut position = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
    let room = pipe.capacity() - pipe.pending;
    if room == 0 && count > 0 {
        return Err(Errno::EAGAIN.into());
    }
    let moved = call(
        &source,
        Some(&mut position),
        pipe.write_end(),
        None,
        count.min(room),
        SpliceMode::NonBlocking,
    )?;
    pipe.pending += moved;
    Ok(moved)
}

/// Stream → pipe: up to `count` bytes that `source` has now, into an **empty** pipe, and no more than fit.
/// A blocking source is waited for until it has a byte.
///
/// 0 means the end of the stream, or TCP urgent data at this place: `read(2)` tells them apart.
pub(crate) fn fill_from_stream(
    pipe: &mut PooledPipe,
    source: impl AsFd,
    count: u64,
) -> io::Result<u64> {
    if pipe.pending > 0 {
        // The call would wait for room, and nobody empties the pipe.
        return Err(Errno::EAGAIN.into());
    }
    let room = pipe.capacity();
    // No SPLICE_F_NONBLOCK: a blocking Unix socket would heed it too.
    let mode = SpliceMode::Plain;
    let moved = call(&source, None, pipe.write_end(), None, count.min(room), mode)?;
    pipe.pending += moved;
    Ok(moved)
}

/// Pipe → sink: up to `count` of the pending bytes. `more` says that further bytes follow at once,
/// so that a socket may hold back a segment that is not full; never say it of the last ones.
///
/// `WouldBlock` when a nonblocking sink is full; the bytes stay in the pipe.
pub(crate) fn flush(
    pipe: &mut PooledPipe,
    sink: impl AsFd,
    count: u64,
    more: bool,
) -> io::Result<u64> {
    let mode = if more {
        SpliceMode::More
    } else {
        SpliceMode::Plain
    };
    drain(pipe, sink, None, count, mode)
}

/// Pipe → file: up to `count` of the pending bytes, to `offset`. The file position is not moved.
pub(crate) fn flush_at(
    pipe: &mut PooledPipe,
    sink: impl AsFd,
    offset: u64,
    count: u64,
) -> io::Result<u64> {
    let mut position = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
    drain(pipe, sink, Some(&mut position), count, SpliceMode::Plain)
}

fn drain(
    pipe: &mut PooledPipe,
    sink: impl AsFd,
    position: Option<&mut i64>,
    count: u64,
    mode: SpliceMode,
) -> io::Result<u64> {
    // No more than is in the pipe: for more, the call would wait.
    let wanted = count.min(pipe.pending);
    let moved = call(pipe.read_end(), None, &sink, position, wanted, mode)?;
    pipe.pending -= moved;
    Ok(moved)
}

fn call(
    from: impl AsFd,
    mut from_position: Option<&mut i64>,
    to: impl AsFd,
    mut to_position: Option<&mut i64>,
    count: u64,
    mode: SpliceMode,
) -> io::Result<u64> {
    let count = usize::try_from(count.min(CALL_BYTES_MAX)).unwrap_or(usize::MAX);
    let moved = retry_interrupted(|| {
        platform::splice(
            from.as_fd(),
            from_position.as_deref_mut(),
            to.as_fd(),
            to_position.as_deref_mut(),
            count,
            mode,
        )
    })?;
    Ok(moved as u64)
}
