//! A piece of a response: a head, and a part of a file behind it.

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use zc_core::{FileSystem, HeadThenFile, PipePool, Policy, ProbedTransfer, Transfer};

use super::change::Promise;
use super::{Piece, WINDOW_BYTES};
use crate::files::mounts::ReadPath;
use crate::files::open_file::FileHandle;

/// What there is of a next piece.
#[derive(Debug)]
pub(super) enum Taken<T> {
    Piece(T),
    /// All was taken.
    Nothing,
    /// It has to be waited for.
    WouldBlock,
    /// It is not what the head of the response has told of: the response cannot go on.
    Changed,
}

/// A next piece that brings its own file.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) piece: Piece,
    pub(super) read_path: ReadPath,
    /// What the response has said of the file.
    pub(super) promise: Option<Promise>,
}

/// A file and the way its bytes are to go.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) file: Arc<FileHandle>,
    pub(crate) file_system: Option<FileSystem>,
    pub(crate) read_path: ReadPath,
    pub(crate) method: zc_core::SendMethod,
    /// What the kernel has refused before.
    pub(crate) policy: Arc<Policy>,
    /// For the method `splice` alone.
    pub(crate) pipes: Option<PipePool>,
}

/// A head and a part of a file, on their way under `read_path`.
pub(super) fn piece(
    head: BytesMut,
    body: Option<ProbedTransfer<Arc<FileHandle>>>,
    read_path: ReadPath,
) -> Piece {
    let piece = HeadThenFile::with_optional_body(head, body);
    match read_path {
        // A thread waits for the disk in the middle of a call: nothing is to be held back meanwhile.
        ReadPath::Offload => piece.with_cork_bytes_min(u64::MAX),
        ReadPath::Direct | ReadPath::Probe | ReadPath::Prefetched => piece,
    }
}

impl Source {
    /// One part, of several.
    pub(super) fn transfer(&self, range: Range<u64>) -> ProbedTransfer<Arc<FileHandle>> {
        self.clone().into_transfer(range)
    }

    pub(crate) fn into_transfer(self, range: Range<u64>) -> ProbedTransfer<Arc<FileHandle>> {
        let mut transfer = Transfer::new(self.file, range.start, range.end - range.start)
            .with_method(self.method)
            .with_policy(self.policy);
        if let Some(pipes) = self.pipes {
            transfer = transfer.with_pipes(pipes);
        }
        if let Some(kind) = self.file_system {
            transfer = transfer.with_file_system(kind);
        }
        let mut transfer = ProbedTransfer::new(transfer, WINDOW_BYTES);
        if self.read_path != ReadPath::Probe {
            transfer.assume_resident_until(u64::MAX);
        }
        transfer
    }
}
