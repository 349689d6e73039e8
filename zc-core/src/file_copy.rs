//! From file to file: `copy_file_range(2)`, and a copy through a buffer where it is refused.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag};

use crate::copy::{CopyBuffer, retry_interrupted};
use crate::{SendError, SourceTruncated, Tally};

/// Copies up to `count` bytes of the file `source`, from `source_offset`, to `sink_offset` of the
/// file `sink`, inside the kernel.
///
/// One system call, repeated only when a signal interrupted it before any byte was copied. At most
/// [`CALL_BYTES_MAX`](crate::CALL_BYTES_MAX) bytes are requested. Neither file position is used or
/// moved. Filesystems that can share blocks (Btrfs, XFS) may copy references only. The count may be
/// shorter than `count`; 0 bytes mean that the file ends at or before `source_offset`, that `count` is 0,
/// or that `source` is a pseudo file, which Linux 5.3 to 5.18 treats as empty.
///
/// # Errors
///
/// * `EXDEV`, `EINVAL`, `EOPNOTSUPP`, `ENOSYS`, `EPERM`: not possible for this pair of files, or
///   forbidden by a seccomp filter; [`copy_file`] copies instead. `EINVAL` too when both ranges
///   overlap in one file.
/// * `EBADF`: `sink` is open for appending, or a file is not open for its direction.
/// * `EOVERFLOW`: an offset does not fit a signed 64-bit number.
/// * `ENOSPC`, `EDQUOT`, `EFBIG`, `EIO`: as from any write or read.
///
/// The `sent` of the error is 0: a call that moved anything succeeds.
///
/// See [`copy_file_range(2)`](https://man7.org/linux/man-pages/man2/copy_file_range.2.html).
pub fn copy_file_range(
    source: impl AsFd,
    sink: impl AsFd,
    source_offset: u64,
    sink_offset: u64,
    count: u64,
) -> Result<Tally, SendError> {
    match copy_range(
        source.as_fd(),
        sink.as_fd(),
        source_offset,
        sink_offset,
        count,
    ) {
        Ok(bytes) => Ok(Tally { bytes, calls: 1 }),
        Err(error) => Err(SendError::new(0, error)),
    }
}

/// What [`copy_file`] did.
#[must_use = "a source that ended early is in the report, and is not an error"]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FileCopyReport {
    /// Copied by `copy_file_range(2)`.
    pub in_kernel: Tally,
    /// Copied through a buffer; both `pread` and `pwrite` calls count.
    pub copy: Tally,
    /// The `errno` by which `copy_file_range` was refused, if it was.
    pub fallback_errno: Option<i32>,
    /// Where the source ended, if that was before the promised length.
    pub truncated: Option<SourceTruncated>,
}

impl FileCopyReport {
    /// All bytes that the sink accepted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.in_kernel.bytes + self.copy.bytes
    }

    /// All system calls that move bytes.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.in_kernel.calls + self.copy.calls
    }
}

/// Copies `length` bytes of the file `source`, from `source_offset`, to `sink_offset` of the file
/// `sink`, inside the kernel if it can.
///
/// Where [`copy_file_range`] is refused (other filesystems, old kernels, devices), the copy continues at the
/// byte reached, through a buffer of [`COPY_BUFFER_BYTES`](crate::COPY_BUFFER_BYTES); the report has the
/// reason. A source that ends early is not an error: the report says so, and the sink has the bytes up to
/// there. Neither file position is used or moved. The call blocks until the copy is done. Nothing is
/// synchronised to the disk, and bytes of the sink beyond the range are left as they are.
///
/// # Errors
///
/// [`SendError`] says how many bytes the sink had accepted before. They are the first ones, so a caller may
/// make room and continue with both offsets moved by that number.
///
/// * `EBADF`: `sink` is open for appending, which would ignore `sink_offset`; or a file is not
///   open for its direction.
/// * `EINVAL`: both ranges overlap in one file.
/// * `EOVERFLOW`: an offset or the end of a range does not fit a signed 64-bit number.
/// * `ENOSPC`, `EDQUOT`, `EFBIG`, `EIO`: as from any write or read.
pub fn copy_file(
    source: impl AsFd,
    sink: impl AsFd,
    source_offset: u64,
    sink_offset: u64,
    length: u64,
) -> Result<FileCopyReport, SendError> {
    let mut copy = FileCopy {
        source: source.as_fd(),
        sink: sink.as_fd(),
        source_offset,
        sink_offset,
        remaining: length,
        report: FileCopyReport::default(),
    };
    match copy.run() {
        Ok(()) => Ok(copy.report),
        Err(error) => Err(SendError::new(copy.report.bytes(), error)),
    }
}

/// A copy under way.
struct FileCopy<'fd> {
    source: BorrowedFd<'fd>,
    sink: BorrowedFd<'fd>,
    /// The offset in the source of the next byte.
    source_offset: u64,
    /// The offset in the sink of the next byte.
    sink_offset: u64,
    /// Bytes promised and not yet copied.
    remaining: u64,
    report: FileCopyReport,
}

impl FileCopy<'_> {
    fn run(&mut self) -> io::Result<()> {
        self.check()?;
        if self.copy_in_kernel()? {
            return Ok(());
        }
        self.copy_by_buffer()
    }

    /// Checks what `copy_file_range` refuses and `pread` with `pwrite` do not, so that both paths refuse the
    /// same.
    fn check(&self) -> io::Result<()> {
        for offset in [self.source_offset, self.sink_offset] {
            let end = offset.checked_add(self.remaining);
            if end.is_none_or(|end| i64::try_from(end).is_err()) {
                return Err(Errno::EOVERFLOW.into());
            }
        }
        let flags = OFlag::from_bits_retain(nix::fcntl::fcntl(self.sink, FcntlArg::F_GETFL)?);
        if flags.contains(OFlag::O_APPEND) {
            return Err(Errno::EBADF.into());
        }
        // The kernel checks the range of one call only; a copy by buffer would read what it has written.
        let overlap = self.source_offset.abs_diff(self.sink_offset) < self.remaining;
        if overlap && self.is_one_file()? {
            return Err(Errno::EINVAL.into());
        }
        Ok(())
    }

    fn is_one_file(&self) -> io::Result<bool> {
        let source = nix::sys::stat::fstat(self.source)?;
        let sink = nix::sys::stat::fstat(self.sink)?;
        Ok((source.st_dev, source.st_ino) == (sink.st_dev, sink.st_ino))
    }

    /// Answers true when all is copied; false when the rest is for the buffer.
    fn copy_in_kernel(&mut self) -> io::Result<bool> {
        while self.remaining > 0 {
            self.report.in_kernel.calls += 1;
            let copied = copy_range(
                self.source,
                self.sink,
                self.source_offset,
                self.sink_offset,
                self.remaining,
            );
            match copied {
                // The end of the file, or a pseudo file that the kernel treats as empty: a read shows
                // which.
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.report.in_kernel.bytes += count;
                    self.advance_by(count);
                }
                Err(error) if crate::error::is_refusal(&error) => {
                    self.report.fallback_errno = error.raw_os_error();
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn copy_by_buffer(&mut self) -> io::Result<()> {
        let mut buffer = CopyBuffer::new();
        while self.remaining > 0 {
            self.report.copy.calls += 1;
            if buffer.fill_at(self.source, self.source_offset, self.remaining)? == 0 {
                self.report.truncated = Some(SourceTruncated {
                    offset: self.source_offset,
                    missing: self.remaining,
                });
                return Ok(());
            }
            while !buffer.is_empty() {
                self.report.copy.calls += 1;
                match buffer.flush_at(self.sink, self.sink_offset, u64::MAX)? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    written => {
                        self.report.copy.bytes += written;
                        self.advance_by(written);
                    }
                }
            }
        }
        Ok(())
    }

    fn advance_by(&mut self, count: u64) {
        self.source_offset += count;
        self.sink_offset += count;
        self.remaining -= count;
    }
}

/// One call; answers the bytes that it copied.
fn copy_range(
    source: BorrowedFd<'_>,
    sink: BorrowedFd<'_>,
    source_offset: u64,
    sink_offset: u64,
    count: u64,
) -> io::Result<u64> {
    let mut from = signed(source_offset)?;
    let mut to = signed(sink_offset)?;
    let count = usize::try_from(count.min(crate::CALL_BYTES_MAX)).unwrap_or(usize::MAX);
    let copied = retry_interrupted(|| {
        crate::platform::copy_file_range(source, &mut from, sink, &mut to, count)
    })?;
    Ok(copied as u64)
}

fn signed(offset: u64) -> io::Result<i64> {
    i64::try_from(offset).map_err(|_| Errno::EOVERFLOW.into())
}
