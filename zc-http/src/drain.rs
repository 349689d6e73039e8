//! Reading request bodies to their end, and discarding them.

use std::error::Error;
use std::fmt;

use crate::chunked::{ChunkError, ChunkedDecoder};
use crate::{BodyFraming, Status};

/// Reads a request body to its end without keeping any of it.
///
/// A server of files does not use request bodies, but the next request on the connection starts where
/// the body ends.
///
/// ```
/// use zc_http::{BodyFraming, Drain};
///
/// let mut drain = Drain::new(BodyFraming::Chunked, 1024)?.expect("there is a body");
/// let received = b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
/// let drained = drain.consume(received)?;
/// assert!(drained.done);
/// assert_eq!(&received[drained.consumed..], b"GET / HTTP/1.1\r\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Drain {
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    /// The bytes that are still to come; zero once done.
    Length(u64),
    Chunked(ChunkedDecoder),
}

/// How far one call of [`Drain::consume`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// How many of the bytes belong to the body. All of them, unless `done`.
    pub consumed: usize,
    /// Whether the body has ended. What was not consumed is the next request.
    pub done: bool,
}

impl Drain {
    /// A drain for a body with this framing, or `None` when there is no body.
    ///
    /// `body_bytes_max` bounds the content. The framing of chunks is bounded besides: 256 bytes of
    /// extensions in a line and 16 KiB in a body, [`FIELDS_MAX`](crate::FIELDS_MAX) trailer fields
    /// of 16 KiB together, and about five bytes around each chunk. No chunk but the last is empty.
    ///
    /// # Errors
    ///
    /// [`BodyTooLarge`] when the length is known and beyond `body_bytes_max`: answer 413 and close
    /// without reading on.
    pub fn new(framing: BodyFraming, body_bytes_max: u64) -> Result<Option<Self>, BodyTooLarge> {
        let body = match framing {
            BodyFraming::None | BodyFraming::Length(0) => return Ok(None),
            BodyFraming::Length(bytes) if bytes > body_bytes_max => return Err(BodyTooLarge),
            BodyFraming::Length(bytes) => Body::Length(bytes),
            BodyFraming::Chunked => Body::Chunked(ChunkedDecoder::new(body_bytes_max)),
        };
        Ok(Some(Self { body }))
    }

    /// Takes the next bytes received, up to the end of the body and never beyond it.
    ///
    /// However the body is cut into calls, the last answer is the same. Once done, further calls consume
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`DrainError`], at the first byte that shows it: answer with [`DrainError::status`] and
    /// close. Further calls repeat the error.
    pub fn consume(&mut self, bytes: &[u8]) -> Result<Drained, DrainError> {
        match &mut self.body {
            Body::Length(remaining) => {
                let consumed = usize::try_from(*remaining)
                    .map_or(bytes.len(), |remaining| remaining.min(bytes.len()));
                *remaining = remaining.saturating_sub(consumed as u64);
                Ok(Drained {
                    consumed,
                    done: *remaining == 0,
                })
            }
            Body::Chunked(chunks) => chunks.consume(bytes),
        }
    }
}

/// The announced body is larger than accepted; the answer is 413.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BodyTooLarge;

impl BodyTooLarge {
    /// The status to answer with.
    pub const fn status(self) -> Status {
        Status::ContentTooLarge
    }
}

impl fmt::Display for BodyTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("request body too large")
    }
}

impl Error for BodyTooLarge {}

/// Why a body cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DrainError {
    /// The chunks hold more than `body_bytes_max`.
    TooLarge,
    /// The chunks break the grammar, or exceed one of its bounds.
    Malformed(ChunkError),
}

impl DrainError {
    /// The status to answer with.
    pub const fn status(self) -> Status {
        match self {
            Self::TooLarge => Status::ContentTooLarge,
            Self::Malformed(_) => Status::BadRequest,
        }
    }
}

impl fmt::Display for DrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => BodyTooLarge.fmt(f),
            Self::Malformed(reason) => reason.fmt(f),
        }
    }
}

impl Error for DrainError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_body_needs_no_drain() {
        assert!(Drain::new(BodyFraming::None, 9).unwrap().is_none());
        assert!(Drain::new(BodyFraming::Length(0), 9).unwrap().is_none());
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_at_once() {
        assert!(Drain::new(BodyFraming::Length(9), 9).is_ok());
        let error = Drain::new(BodyFraming::Length(10), 9).unwrap_err();
        assert_eq!(error.status(), Status::ContentTooLarge);
    }

    #[test]
    fn a_length_is_counted_down_and_never_passed() {
        let mut drain = Drain::new(BodyFraming::Length(5), 5).unwrap().unwrap();
        let rows: [(&[u8], usize, bool); 4] = [
            (b"ab", 2, false),
            (b"", 0, false),
            (b"cdeGET", 3, true),
            (b"GET", 0, true),
        ];
        for (bytes, consumed, done) in rows {
            assert_eq!(drain.consume(bytes), Ok(Drained { consumed, done }));
        }
    }
}
