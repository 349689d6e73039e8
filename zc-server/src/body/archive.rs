//! The pieces of an archive: headers in memory, and behind them a part of a file, which is opened when it is reached.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::BytesMut;
use zc_core::{HeadThenFile, PipePool, Policy, SendError, SendMethod};

use super::change::Promise;
use super::piece::{self, Next, Source, Taken};
use crate::disk::Key;
use crate::files::archive::{Archive, Cursor, FilePart, MemberError};
use crate::files::mounts::ReadPath;
use crate::files::open_file::{OpenFile, OpenMode};

/// Headers that are put together before they go, in bytes: of many directories and empty files.
const HEADERS_BYTES: usize = 32 * 1024;

/// An archive on its way out.
#[derive(Debug)]
pub(crate) struct ArchiveBody {
    cursor: Cursor,
    options: SendOptions,
    /// Headers that go in front of the next file.
    headers: BytesMut,
    /// The file that comes next, while it is not open.
    awaited: Option<FilePart>,
    /// The member that was reached last.
    member: usize,
}

/// How the bytes of files are to go.
#[derive(Debug)]
pub(crate) struct SendOptions {
    /// How a worker opens.
    pub(crate) open_mode: OpenMode,
    pub(crate) method: SendMethod,
    /// What the kernel has refused before.
    pub(crate) policy: Arc<Policy>,
    /// For the method `splice` alone.
    pub(crate) pipes: Option<PipePool>,
}

impl ArchiveBody {
    /// The bytes of `range`, which lies in the archive.
    pub(crate) fn new(archive: Box<Archive>, range: Range<u64>, options: SendOptions) -> Self {
        Self {
            cursor: Cursor::new(archive, range),
            options,
            headers: BytesMut::new(),
            awaited: None,
            member: 0,
        }
    }

    /// Whether a file has to be opened by a thread before anything else is sent.
    pub(super) fn is_waiting(&self) -> bool {
        self.awaited.is_some()
    }

    /// Whether nothing follows what was taken.
    pub(super) fn is_over(&self) -> bool {
        self.awaited.is_none() && self.cursor.remaining() == 0
    }

    /// Bytes that were not taken.
    #[cfg(feature = "tls")]
    pub(super) fn remaining(&self) -> u64 {
        self.cursor.remaining()
    }

    /// The absolute path of the member that was reached last.
    pub(super) fn path(&self) -> PathBuf {
        self.cursor.archive().absolute_path(self.member)
    }

    /// The key of the mount that this member is on.
    pub(super) fn mount(&self) -> Key {
        self.cursor.archive().mount_of(self.member)
    }

    /// The next piece, for a worker or for a thread that may wait.
    pub(super) fn next(&mut self, may_block: bool) -> Result<Taken<Next>, SendError> {
        let next = self.awaited.take();
        let next = next.or_else(|| self.cursor.next(&mut self.headers, HEADERS_BYTES));
        let Some(part) = next else {
            if self.headers.is_empty() {
                return Ok(Taken::Nothing);
            }
            let headers = std::mem::take(&mut self.headers);
            return Ok(Taken::Piece(Next {
                piece: HeadThenFile::with_optional_body(headers, None),
                read_path: ReadPath::Direct,
                promise: None,
            }));
        };
        self.member = part.member;
        let open_mode = match may_block {
            true => OpenMode::MayBlock,
            false => self.options.open_mode,
        };
        match self.cursor.archive().open(part.member, open_mode) {
            Ok(file) => Ok(Taken::Piece(self.piece_of(&file, part.range))),
            Err(MemberError::WouldBlock) => {
                self.awaited = Some(part);
                Ok(Taken::WouldBlock)
            }
            Err(MemberError::Changed) => {
                self.awaited = Some(part);
                Ok(Taken::Changed)
            }
            Err(MemberError::Failed(error)) => Err(SendError::from_read_error(error)),
        }
    }

    fn piece_of(&mut self, file: &OpenFile, range: Range<u64>) -> Next {
        let read_path = file.read_path(self.options.open_mode);
        let source = Source {
            file: Arc::clone(&file.file),
            file_system: file.mount.file_system,
            read_path,
            method: self.options.method,
            policy: Arc::clone(&self.options.policy),
            pipes: self.options.pipes.clone(),
        };
        let headers = std::mem::take(&mut self.headers);
        Next {
            piece: piece::piece(headers, Some(source.into_transfer(range)), read_path),
            read_path,
            promise: Some(Promise::of(&file.state)),
        }
    }
}
