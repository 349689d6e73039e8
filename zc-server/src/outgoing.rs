//! A response on its way out: its head and what follows it, piece by piece.
//!
//! A piece is bytes and then a range of a file, sent by [`HeadThenFile`]; most responses are one.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::BytesMut;
use zc_core::{FileSystem, HeadThenFile, PipePool, Progress, Report, SendError, Transfer};

use crate::listing::Listing;

/// Bytes of a listing that are written out at a time: a small part of a turn.
const LISTING_PIECE_BYTES: usize = 32 * 1024;

type Piece = HeadThenFile<BytesMut, Arc<File>>;

/// A response on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    piece: Piece,
    following: Following,
    /// How many of the first bytes are head; the rest is body.
    head_bytes: u64,
    /// What the pieces before this one came to.
    done: Done,
}

/// Where further pieces come from.
#[derive(Debug)]
pub(crate) enum Following {
    Nothing,
    Parts(Box<Parts>),
    Listing {
        listing: Box<Listing>,
        chunked: bool,
        ended: bool,
    },
}

/// Parts of a file, each behind some bytes, and bytes behind the last.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) source: Source,
    pub(crate) parts: std::vec::IntoIter<(BytesMut, Range<u64>)>,
    pub(crate) closing: Option<BytesMut>,
}

/// A file and the way its bytes are to go.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) file: Arc<File>,
    /// What filesystem it is on, where that is known without asking.
    pub(crate) file_system: Option<FileSystem>,
    pub(crate) method: zc_core::Method,
    /// For the method `splice` alone.
    pub(crate) pipes: Option<PipePool>,
}

/// What was accepted of pieces that are over.
#[derive(Debug, Default)]
struct Done {
    bytes: u64,
    would_blocks: u64,
    report: Option<Report>,
}

impl Source {
    pub(crate) fn transfer(&self, range: Range<u64>) -> Transfer<Arc<File>> {
        let file = Arc::clone(&self.file);
        let mut transfer = Transfer::new(file, range.start, range.end - range.start);
        transfer = transfer.with_method(self.method);
        if let Some(pipes) = &self.pipes {
            transfer = transfer.with_pipes(pipes.clone());
        }
        match self.file_system {
            Some(kind) => transfer.with_file_system(kind),
            None => transfer,
        }
    }
}

impl Outgoing {
    /// `text` is the head, of `head_bytes`, and what body stands behind it already; then a range of
    /// a file, and what follows that.
    pub(crate) fn new(
        text: BytesMut,
        head_bytes: usize,
        body: Option<Transfer<Arc<File>>>,
        following: Following,
    ) -> Self {
        Self {
            piece: HeadThenFile::with_optional_body(text, body),
            following,
            head_bytes: head_bytes as u64,
            done: Done::default(),
        }
    }

    /// Sends until the end, until the socket is full, or until about `budget` bytes went.
    pub(crate) fn advance(
        &mut self,
        socket: impl AsFd,
        budget: u64,
    ) -> Result<Progress, SendError> {
        let before = self.accepted();
        loop {
            let left = budget.saturating_sub(self.accepted() - before);
            match self.piece.advance(&socket, left)? {
                Progress::Complete => {}
                stopped => return Ok(stopped),
            }
            let Some(next) = self.following.next() else {
                return Ok(Progress::Complete);
            };
            let over = std::mem::replace(&mut self.piece, next);
            self.done.add(&over);
            if self.accepted() - before >= budget {
                return Ok(Progress::BudgetSpent);
            }
        }
    }

    /// Bytes of head and body that the socket accepted; it grows exactly when there is progress.
    pub(crate) fn accepted(&self) -> u64 {
        self.done.bytes + self.piece.accepted()
    }

    /// Bytes of the head that the socket accepted.
    pub(crate) fn head_accepted(&self) -> u64 {
        self.accepted().min(self.head_bytes)
    }

    /// What was done of files, if there were any.
    pub(crate) fn report(&self) -> Option<Report> {
        match (self.done.report, self.piece.body_report()) {
            (None, None) => None,
            (None, Some(report)) => Some(*report),
            (Some(report), None) => Some(report),
            (Some(report), Some(last)) => Some(report + *last),
        }
    }

    /// Times that the socket was full.
    pub(crate) fn would_blocks(&self) -> u64 {
        self.done.would_blocks + self.piece.would_blocks()
    }
}

impl Done {
    fn add(&mut self, piece: &Piece) {
        self.bytes += piece.accepted();
        self.would_blocks += piece.would_blocks();
        if let Some(report) = piece.body_report() {
            self.report = Some(self.report.unwrap_or_default() + *report);
        }
    }
}

impl Following {
    fn next(&mut self) -> Option<Piece> {
        match self {
            Self::Nothing => None,
            Self::Parts(parts) => match parts.parts.next() {
                Some((head, range)) => Some(HeadThenFile::new(head, parts.source.transfer(range))),
                None => Some(HeadThenFile::with_optional_body(
                    parts.closing.take()?,
                    None,
                )),
            },
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
