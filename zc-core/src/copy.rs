//! The portable path: `pread` into a buffer, `write` out of it. Also the oracle that the other
//! path is tested against.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;

/// The size of the buffer of a copying transfer, in bytes. 64 KiB is what `sendfile(2)` moves per
/// batch, and twice the buffer of Go's `io.Copy`.
pub const COPY_BUFFER_BYTES: usize = 64 * 1024;

/// A buffer whose bytes `start..end` were read and are yet to be written.
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

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Replaces the contents by up to `count` bytes of `source` at `offset`; answers how many.
    /// 0 means the end of the file.
    pub(crate) fn fill(&mut self, source: impl AsFd, offset: u64, count: u64) -> io::Result<usize> {
        let position = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        let wanted = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len());
        let read = retry_interrupted(|| {
            nix::sys::uio::pread(source.as_fd(), &mut self.bytes[..wanted], position)
        })?;
        self.start = 0;
        self.end = read;
        Ok(read)
    }

    /// Writes up to `count` of the bytes held; answers how many were asked for and how many went.
    pub(crate) fn flush(&mut self, sink: impl AsFd, count: u64) -> io::Result<(usize, usize)> {
        let wanted = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(self.end - self.start);
        let pending = &self.bytes[self.start..self.start + wanted];
        let written = retry_interrupted(|| nix::unistd::write(sink.as_fd(), pending))?;
        self.start += written;
        Ok((wanted, written))
    }
}

pub(crate) fn retry_interrupted(mut call: impl FnMut() -> nix::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(count) => return Ok(count),
        }
    }
}
