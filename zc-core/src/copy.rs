//! The portable path: a read into a buffer and a write from it. Tests compare the other paths with this one.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;

/// The size of the buffer of a copying transfer, in bytes. 64 KiB is what `sendfile(2)` moves per
/// batch, and twice the buffer of Go's `io.Copy`.
pub const COPY_BUFFER_BYTES: usize = 64 * 1024;

/// A buffer between a read and a write. Its bytes `start..end` were read and are yet to be written.
#[derive(Debug)]
pub(crate) struct CopyBuffer {
    bytes: Box<[u8]>,
    /// Invariant: `start <= end <= bytes.len()`.
    start: usize,
    end: usize,
}

impl CopyBuffer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; COPY_BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// Bytes that are yet to be written.
    pub(crate) fn len(&self) -> u64 {
        (self.end - self.start) as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Replaces the contents by one `read(2)` of up to `count` bytes of `source`; answers how many. 0
    /// means the end.
    pub(crate) fn fill(&mut self, source: impl AsFd, count: u64) -> io::Result<u64> {
        self.fill_by(count, |room| nix::unistd::read(source.as_fd(), room))
    }

    /// The same by `pread(2)` at `offset`.
    pub(crate) fn fill_at(
        &mut self,
        source: impl AsFd,
        offset: u64,
        count: u64,
    ) -> io::Result<u64> {
        let position = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        self.fill_by(count, |room| {
            nix::sys::uio::pread(source.as_fd(), room, position)
        })
    }

    /// Writes up to `count` of the bytes to `sink`, by one `write(2)`; answers how many.
    pub(crate) fn flush(&mut self, sink: impl AsFd, count: u64) -> io::Result<u64> {
        self.flush_by(count, |bytes| nix::unistd::write(sink.as_fd(), bytes))
    }

    /// The same by `pwrite(2)` to `offset`.
    pub(crate) fn flush_at(&mut self, sink: impl AsFd, offset: u64, count: u64) -> io::Result<u64> {
        let position = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        self.flush_by(count, |bytes| {
            nix::sys::uio::pwrite(sink.as_fd(), bytes, position)
        })
    }

    fn fill_by(
        &mut self,
        count: u64,
        mut read: impl FnMut(&mut [u8]) -> nix::Result<usize>,
    ) -> io::Result<u64> {
        let wanted = memory_bytes(count).min(self.bytes.len());
        let count = retry_interrupted(|| read(&mut self.bytes[..wanted]))?;
        self.start = 0;
        self.end = count;
        Ok(count as u64)
    }

    fn flush_by(
        &mut self,
        count: u64,
        mut write: impl FnMut(&[u8]) -> nix::Result<usize>,
    ) -> io::Result<u64> {
        let end = self.start + memory_bytes(count).min(self.end - self.start);
        let pending = &self.bytes[self.start..end];
        let count = retry_interrupted(|| write(pending))?;
        self.start += count;
        Ok(count as u64)
    }
}

fn memory_bytes(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Makes a system call again as often as a signal interrupts it.
pub(crate) fn retry_interrupted(mut call: impl FnMut() -> nix::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(count) => return Ok(count),
        }
    }
}
