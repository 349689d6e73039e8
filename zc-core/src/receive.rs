//! The resumable receive: a socket into a file.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{MsgFlags, recv};

use crate::copy::CopyBuffer;
use crate::error::{is_peer_gone, is_refusal};
use crate::splice::{fill_from_stream, flush_at};
use crate::{
    PipePool, PooledPipe, Progress, ReceiveError, ReceiveErrorKind, SourceTruncated, Tally,
};

/// How a receive moves its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReceiveMethod {
    /// `splice(2)`; a copy loop where the kernel refuses that or the pool has no pipe. The report has the
    /// reason.
    #[default]
    Auto,
    /// `splice(2)` through a pipe and nothing else: a refusal is an error.
    Splice,
    /// A `read`/`pwrite` loop through one buffer.
    Copy,
}

/// What a receive did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ReceiveReport {
    /// Written to the file by `splice(2)`; calls into the pipe and out of it both count.
    pub splice: Tally,
    /// Written to the file through a buffer; both `read` and `pwrite` calls count.
    pub copy: Tally,
    /// How often the source returned `EAGAIN`.
    pub would_blocks: u64,
    /// The `errno` because of which `splice` was replaced by copying, if it was; `EBUSY` when the pool had no
    /// pipe.
    pub fallback_errno: Option<i32>,
}

impl ReceiveReport {
    /// All bytes that the file accepted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.splice.bytes + self.copy.bytes
    }

    /// All system calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.splice.calls + self.copy.calls
    }
}

/// A promised number of bytes on its way from a stream socket to a range of a file, resumable at
/// any byte.
///
/// `F` owns or borrows the descriptor of the file, which must be open for writing. The source is passed to
/// each [`advance`](Self::advance) and must be the same each time.
///
/// By `splice(2)` the bytes never enter the memory of this program; the kernel still copies them once, into
/// the page cache. Bytes after the promised ones stay in the source. A file that is longer than the range
/// is not truncated, and nothing is synchronised to the disk.
///
/// Dropping a receive that is not complete loses the bytes that were taken from the source and not accepted
/// by the file: see [`unwritten`](Self::unwritten). There are such bytes only after an error.
#[derive(Debug)]
pub struct Receive<F> {
    sink: F,
    /// The file offset of the next byte to be accepted by the file.
    offset: u64,
    /// Bytes promised and not yet accepted by the file.
    remaining: u64,
    method: ReceiveMethod,
    /// Whether the file was found to be open without `O_APPEND`.
    is_checked: bool,
    /// Whether the next bytes go by splice.
    splices: bool,
    pool: PipePool,
    // At most one of the two has bytes, except while a pipe is drained into the buffer: then those of the
    // buffer come first.
    pipe: Option<PooledPipe>,
    buffer: Option<CopyBuffer>,
    report: ReceiveReport,
}

/// What one step did.
enum Step {
    Wrote(u64),
    /// Bytes moved to the pipe or to the buffer.
    Moved,
    SourceEnded,
    /// Splice is refused, or there is no pipe, with this `errno`.
    NoSplice(i32),
}

/// Why a step failed.
struct Failure {
    kind: ReceiveErrorKind,
    error: io::Error,
}

impl Failure {
    fn from_source(error: io::Error) -> Self {
        let kind = if is_peer_gone(&error) {
            ReceiveErrorKind::PeerGone
        } else {
            ReceiveErrorKind::Source
        };
        Self { kind, error }
    }

    fn from_file(error: io::Error) -> Self {
        let kind = ReceiveErrorKind::File;
        Self { kind, error }
    }

    fn from_pool(error: io::Error) -> Self {
        let kind = if is_refusal(&error) {
            ReceiveErrorKind::Refused
        } else {
            ReceiveErrorKind::NoPipe
        };
        Self { kind, error }
    }
}

impl<F: AsFd> Receive<F> {
    /// A receive of `length` bytes to `sink` at `offset`, by [`ReceiveMethod::Auto`].
    ///
    /// Nothing is checked or received yet. A pipe is borrowed from `pool` only while bytes move.
    pub fn new(sink: F, offset: u64, length: u64, pool: &PipePool) -> Self {
        Self {
            sink,
            offset,
            remaining: length,
            method: ReceiveMethod::Auto,
            is_checked: false,
            splices: true,
            pool: pool.clone(),
            pipe: None,
            buffer: None,
            report: ReceiveReport::default(),
        }
    }

    /// The same receive by another method. Call it before the first `advance`.
    #[must_use]
    pub fn with_method(mut self, method: ReceiveMethod) -> Self {
        self.method = method;
        self.splices = method != ReceiveMethod::Copy;
        self
    }

    /// The file offset of the next byte, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Promised bytes that the file has not accepted yet.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Bytes that were taken from the source and that the file has not accepted yet. They are written next.
    /// There are none before `advance` fails.
    pub fn unwritten(&self) -> u64 {
        self.buffer.as_ref().map_or(0, CopyBuffer::len) + self.piped()
    }

    /// The bytes and system calls so far, over all calls of `advance`.
    pub fn report(&self) -> &ReceiveReport {
        &self.report
    }

    /// Receives until the end, until the source has nothing now, or until the file accepted
    /// `budget` bytes.
    ///
    /// * [`Progress::Complete`]: the file accepted every promised byte. Calling again is harmless.
    /// * [`Progress::WouldBlock`]: the source is nonblocking and has nothing now: advance again when it
    ///   is readable. A blocking source is waited for.
    /// * [`Progress::BudgetSpent`]: advance again soon; no event announces it.
    /// * [`Progress::SourceTruncated`]: the peer ended before the promised length. `offset` is the place in
    ///   the file; everything before it has been written.
    ///
    /// # Errors
    ///
    /// A file that is open with `O_APPEND` is refused by the first call, with an error of kind
    /// [`ReceiveErrorKind::File`], before anything is taken from the source: on Linux, `pwrite` appends to such
    /// a file whatever the offset, see
    /// [`pwrite(2)`](https://man7.org/linux/man-pages/man2/pwrite.2.html#BUGS).
    ///
    /// [`ReceiveError`] says how many bytes the **file** accepted in this call before it failed. After
    /// a failure of the file (`ENOSPC`, `EDQUOT`, `EIO` …) the bytes that had left the source are kept
    /// ([`unwritten`](Self::unwritten)): advance again when there is room, and none is lost. With
    /// [`ReceiveMethod::Auto`], a refusal of `splice` and a pool without a pipe are no errors: the receive
    /// continues by copying and keeps the reason.
    pub fn advance(&mut self, source: impl AsFd, budget: u64) -> Result<Progress, ReceiveError> {
        if !self.is_checked {
            self.check()?;
        }
        let result = self.drive(source.as_fd(), budget);
        if self.piped() == 0 {
            self.pipe = None;
        }
        if self.remaining == 0 {
            self.buffer = None;
        }
        result
    }

    /// Refuses a file whose writes would not go to the offset.
    fn check(&mut self) -> Result<(), ReceiveError> {
        let refused = match fcntl(&self.sink, FcntlArg::F_GETFL).map(OFlag::from_bits_retain) {
            Ok(flags) if !flags.contains(OFlag::O_APPEND) => {
                self.is_checked = true;
                return Ok(());
            }
            Ok(_) => io::Error::new(
                io::ErrorKind::InvalidInput,
                "the file is open with O_APPEND; open it without",
            ),
            Err(errno) => errno.into(),
        };
        Err(ReceiveError {
            written: 0,
            kind: ReceiveErrorKind::File,
            source: refused,
        })
    }

    fn drive(&mut self, source: BorrowedFd<'_>, budget: u64) -> Result<Progress, ReceiveError> {
        let before = self.remaining;
        let mut left = budget;
        while self.remaining > 0 {
            if left == 0 {
                return Ok(Progress::BudgetSpent);
            }
            let failure = match self.step(source, self.remaining.min(left)) {
                Ok(Step::Wrote(count)) => {
                    self.offset += count;
                    self.remaining -= count;
                    left -= count;
                    continue;
                }
                Ok(Step::Moved) => continue,
                Ok(Step::NoSplice(errno)) => {
                    self.splices = false;
                    self.report.fallback_errno = Some(errno);
                    continue;
                }
                Ok(Step::SourceEnded) => {
                    return Ok(Progress::SourceTruncated(SourceTruncated {
                        offset: self.offset,
                        missing: self.remaining,
                    }));
                }
                Err(failure) => failure,
            };
            match failure {
                Failure {
                    kind: ReceiveErrorKind::Source,
                    error,
                } if error.kind() == io::ErrorKind::WouldBlock => {
                    self.report.would_blocks += 1;
                    return Ok(Progress::WouldBlock);
                }
                Failure { kind, error } => {
                    return Err(ReceiveError {
                        written: before - self.remaining,
                        kind,
                        source: error,
                    });
                }
            }
        }
        Ok(Progress::Complete)
    }

    /// Moves at most `count` bytes, which is at least 1. Bytes that were taken are written before more are
    /// taken.
    fn step(&mut self, source: BorrowedFd<'_>, count: u64) -> Result<Step, Failure> {
        if self
            .buffer
            .as_ref()
            .is_some_and(|buffer| !buffer.is_empty())
        {
            return self.write_buffer(count);
        }
        match (self.piped() > 0, self.splices) {
            (true, true) => self.empty_pipe(count),
            (true, false) => self.drain_pipe(),
            (false, true) => self.fill_pipe(source, count),
            (false, false) => self.fill_buffer(source, count),
        }
    }

    fn piped(&self) -> u64 {
        self.pipe.as_ref().map_or(0, PooledPipe::pending)
    }

    fn fill_pipe(&mut self, source: BorrowedFd<'_>, count: u64) -> Result<Step, Failure> {
        let pipe = match self.pipe.take().map_or_else(|| self.pool.take(), Ok) {
            Ok(pipe) => self.pipe.insert(pipe),
            // A busy pool, or no descriptors left: the bytes can be copied.
            Err(error) if self.method == ReceiveMethod::Auto => {
                let errno = error.raw_os_error().unwrap_or(Errno::EBUSY as i32);
                return Ok(Step::NoSplice(errno));
            }
            Err(error) => return Err(Failure::from_pool(error)),
        };
        self.report.splice.calls += 1;
        match fill_from_stream(pipe, source, count) {
            // The end; or urgent data, where splice stops and read does not.
            Ok(0) => self.fill_buffer(source, count),
            Ok(_) => Ok(Step::Moved),
            // At urgent data splice may answer EAGAIN too, although poll(2) says readable.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && has_bytes(source) => {
                self.fill_buffer(source, count)
            }
            Err(error) => self.splice_failed(Failure::from_source(error)),
        }
    }

    fn empty_pipe(&mut self, count: u64) -> Result<Step, Failure> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(Step::Moved);
        };
        self.report.splice.calls += 1;
        match flush_at(pipe, &self.sink, self.offset, count) {
            Ok(0) => Err(Failure::from_file(io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                self.report.splice.bytes += written;
                Ok(Step::Wrote(written))
            }
            Err(error) => self.splice_failed(Failure::from_file(error)),
        }
    }

    /// Moves the contents of the pipe to the buffer, after splice was refused.
    fn drain_pipe(&mut self) -> Result<Step, Failure> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(Step::Moved);
        };
        self.report.copy.calls += 1;
        let buffer = self.buffer.get_or_insert_with(CopyBuffer::new);
        let read = buffer
            .fill(pipe.read_end(), pipe.pending)
            .map_err(Failure::from_source)?;
        if read == 0 {
            // The writing end is open and bytes are in it.
            return Err(Failure::from_source(io::ErrorKind::UnexpectedEof.into()));
        }
        pipe.pending -= read;
        Ok(Step::Moved)
    }

    fn fill_buffer(&mut self, source: BorrowedFd<'_>, count: u64) -> Result<Step, Failure> {
        self.report.copy.calls += 1;
        let buffer = self.buffer.get_or_insert_with(CopyBuffer::new);
        match buffer.fill(source, count).map_err(Failure::from_source)? {
            0 => Ok(Step::SourceEnded),
            _ => Ok(Step::Moved),
        }
    }

    fn write_buffer(&mut self, count: u64) -> Result<Step, Failure> {
        let Some(buffer) = &mut self.buffer else {
            return Ok(Step::Moved);
        };
        self.report.copy.calls += 1;
        let written = buffer
            .flush_at(&self.sink, self.offset, count)
            .map_err(Failure::from_file)?;
        if written == 0 {
            return Err(Failure::from_file(io::ErrorKind::WriteZero.into()));
        }
        self.report.copy.bytes += written;
        Ok(Step::Wrote(written))
    }

    /// What to do about an error of splice. A named method never falls back.
    fn splice_failed(&self, failure: Failure) -> Result<Step, Failure> {
        match failure.error.raw_os_error() {
            Some(errno) if is_refusal(&failure.error) => match self.method {
                ReceiveMethod::Auto => Ok(Step::NoSplice(errno)),
                ReceiveMethod::Splice | ReceiveMethod::Copy => Err(Failure {
                    kind: ReceiveErrorKind::Refused,
                    ..failure
                }),
            },
            _ => Err(failure),
        }
    }
}

/// True when a read of the socket `source` would give a byte; the byte stays there.
fn has_bytes(source: BorrowedFd<'_>) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(source.as_raw_fd(), &mut [0], flags).is_ok_and(|count| count > 0)
}
