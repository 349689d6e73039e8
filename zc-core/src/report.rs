//! What a transfer did: bytes and system calls by path.

use crate::{Fallback, Path};

/// Bytes and system calls of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Bytes that the sink accepted on this path.
    pub bytes: u64,
    /// System calls made on this path, refused ones included; retries after a signal are not.
    pub calls: u64,
}

/// What a transfer did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// What went by `sendfile(2)`.
    pub sendfile: Tally,
    /// What went by `splice(2)`; the calls into the pipe and out of it both count.
    pub splice: Tally,
    /// What went through a buffer; both `pread` and `write` calls count.
    pub copy: Tally,
    /// Calls that moved fewer bytes than asked for, though not none.
    pub short_writes: u64,
    /// Times that the sink said `EAGAIN`.
    pub would_blocks: u64,
    /// The method that was given up, if one was.
    pub fallback: Option<Fallback>,
}

impl Report {
    /// All bytes that the sink accepted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sendfile.bytes + self.splice.bytes + self.copy.bytes
    }

    /// All system calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.sendfile.calls + self.splice.calls + self.copy.calls
    }

    pub(crate) fn tally(&mut self, path: Path) -> &mut Tally {
        match path {
            Path::Sendfile => &mut self.sendfile,
            Path::Splice => &mut self.splice,
            Path::Copy => &mut self.copy,
        }
    }
}
