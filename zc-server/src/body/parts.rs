//! The pieces of a response behind its first: parts of a file, or pieces of a listing.

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use zc_core::{FileSystem, HeadThenFile, PipePool, Policy, ProbedTransfer, SendError, Transfer};
use zc_http::Multipart;

use super::archive::ArchiveBody;
use super::change::Promise;
use super::{Piece, ResponseBody, WINDOW_BYTES};
use crate::files::listing::Listing;
use crate::files::mounts::ReadPath;
use crate::files::open_file::FileHandle;

/// Bytes of a listing that are written out at a time: a small part of a turn.
const LISTING_PIECE_BYTES: usize = 32 * 1024;

/// Room for the head of a part, in bytes: most are shorter.
const PART_HEAD_BYTES: usize = 192;

/// Where further pieces come from.
#[derive(Debug)]
pub(crate) enum NextPart {
    Nothing,
    /// Bytes in memory, of which so many go at a time.
    Bytes {
        rest: BytesMut,
        piece_bytes: usize,
    },
    Parts(Box<MultipartBody>),
    Archive(Box<ArchiveBody>),
    Listing {
        listing: Box<Listing>,
        chunked: bool,
        ended: bool,
    },
}

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

/// Parts of a file, and what stands between them.
#[derive(Debug)]
pub(crate) struct MultipartBody {
    pub(crate) source: Source,
    pub(crate) multipart: Box<Multipart>,
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
    fn transfer(&self, range: Range<u64>) -> ProbedTransfer<Arc<FileHandle>> {
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

impl ResponseBody {
    /// Goes on to the next piece, on a worker or on a thread that may wait.
    pub(super) fn take_next_piece(&mut self, may_block: bool) -> Result<Taken<()>, SendError> {
        let next = match &mut self.next_part {
            NextPart::Archive(archive) => {
                let is_over = archive.is_over();
                if may_block || !self.is_offloaded() {
                    self.compare();
                }
                if self.change.is_some() && !is_over {
                    self.is_cut_short = true;
                    return Ok(Taken::Changed);
                }
                self.next_of_archive(may_block)?
            }
            other => match other.next() {
                Some(piece) => Taken::Piece(piece),
                None => Taken::Nothing,
            },
        };
        Ok(match next {
            Taken::Piece(next) => {
                let over = std::mem::replace(&mut self.piece, next);
                self.done.add(&over);
                #[cfg(feature = "tls")]
                self.prepare_for_kernel();
                Taken::Piece(())
            }
            Taken::Nothing => Taken::Nothing,
            Taken::WouldBlock => Taken::WouldBlock,
            Taken::Changed => Taken::Changed,
        })
    }
}

impl NextPart {
    /// Cuts what goes first off `bytes`, and answers what comes behind it.
    pub(super) fn behind(bytes: &mut BytesMut, piece_bytes: Option<usize>) -> Self {
        match piece_bytes {
            Some(piece_bytes) if piece_bytes < bytes.len() => Self::Bytes {
                rest: bytes.split_off(piece_bytes),
                piece_bytes,
            },
            _ => Self::Nothing,
        }
    }

    fn next(&mut self) -> Option<Piece> {
        match self {
            // Its pieces may have to be waited for.
            Self::Nothing | Self::Archive(_) => None,
            Self::Bytes { rest, .. } if rest.is_empty() => None,
            Self::Bytes { rest, piece_bytes } => {
                let bytes = rest.split_to(rest.len().min(*piece_bytes));
                Some(HeadThenFile::with_optional_body(bytes, None))
            }
            Self::Parts(parts) => {
                let mut head = BytesMut::with_capacity(PART_HEAD_BYTES);
                let source = &parts.source;
                match parts.multipart.write_next(&mut head) {
                    Some(range) => {
                        Some(piece(head, Some(source.transfer(range)), source.read_path))
                    }
                    None if head.is_empty() => None,
                    None => Some(HeadThenFile::with_optional_body(head, None)),
                }
            }
            Self::Listing { ended: true, .. } => None,
            Self::Listing {
                listing,
                chunked,
                ended,
            } => {
                let mut part = Vec::with_capacity(LISTING_PIECE_BYTES + 1024);
                *ended = !listing.write(&mut part, LISTING_PIECE_BYTES);
                let bytes = if *chunked {
                    chunk(&part, *ended)
                } else {
                    BytesMut::from(&part[..])
                };
                Some(HeadThenFile::with_optional_body(bytes, None))
            }
        }
    }
}

/// One chunk, and the last one behind it where the body ends
/// ([RFC 9112 §7.1](https://www.rfc-editor.org/rfc/rfc9112#section-7.1)).
fn chunk(part: &[u8], is_last: bool) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(part.len() + 32);
    if !part.is_empty() {
        bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        bytes.extend_from_slice(part);
        bytes.extend_from_slice(b"\r\n");
    }
    if is_last {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_framed() {
        assert_eq!(
            &chunk(b"hello, world!!!!", false)[..],
            b"10\r\nhello, world!!!!\r\n"
        );
        assert_eq!(&chunk(b"a", true)[..], b"1\r\na\r\n0\r\n\r\n");
        assert_eq!(&chunk(b"", true)[..], b"0\r\n\r\n");
    }
}
