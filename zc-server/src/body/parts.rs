//! The pieces of a response behind its first: parts of a file, or pieces of a listing.

use bytes::BytesMut;
use zc_core::HeadThenFile;
use zc_http::Multipart;

use super::Piece;
use super::archive::ArchiveBody;
use super::piece::{Source, piece};
use crate::files::listing::Listing;

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

/// Parts of a file, and what stands between them.
#[derive(Debug)]
pub(crate) struct MultipartBody {
    pub(crate) source: Source,
    pub(crate) multipart: Box<Multipart>,
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

    pub(super) fn next(&mut self) -> Option<Piece> {
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
