//! Decoding the chunked coding, without keeping the content.

use std::error::Error;
use std::fmt;

use crate::grammar::{TOKEN, hex_digit, is_ows, is_value_byte};
use crate::{DrainError, Drained, FIELDS_MAX};

/// How chunks break the grammar of
/// [RFC 9112 §7.1](https://www.rfc-editor.org/rfc/rfc9112#section-7.1), or a bound set on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChunkError {
    /// A chunk size that is not one to sixteen hexadecimal digits.
    Size,
    /// A chunk extension that has no name, or is malformed otherwise.
    Extension,
    /// Extensions longer than 256 bytes in a line, or than 16 KiB in the body.
    ExtensionTooLong,
    /// A line, or the content of a chunk, that CR LF does not follow.
    LineEnd,
    /// A trailer field that is malformed or folded.
    Trailer,
    /// More than [`FIELDS_MAX`] trailer fields.
    TooManyTrailers,
    /// Trailer fields of more than 16 KiB together.
    TrailersTooLong,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "invalid chunk size",
            Self::Extension => "malformed chunk extension",
            Self::ExtensionTooLong => "chunk extensions too long",
            Self::LineEnd => "missing CR LF in a chunked body",
            Self::Trailer => "malformed trailer field",
            Self::TooManyTrailers => "too many trailer fields",
            Self::TrailersTooLong => "trailer fields too long",
        })
    }
}

impl Error for ChunkError {}

/// A decoder of the chunked coding. It keeps its position in the grammar, and no content.
#[derive(Clone, Debug)]
pub(crate) struct ChunkedDecoder {
    state: State,
    /// How much content may still come.
    content_bytes_left: u64,
    /// How many bytes of extensions the line has, from the first byte after the size.
    line_extension_bytes: usize,
    /// How many bytes of extensions the body has.
    extension_bytes: usize,
    trailers: usize,
    trailer_bytes: usize,
}

/// What the next byte must be. Each variant is named for what is expected.
///
/// ```text
/// Size ─► (BeforeExtension ─► Extension)? ─► SizeLf ─┬─► Content ─► ContentCr ─► ContentLf ─► Size
///                                                    └─► TrailerOrEnd ─┬─► EndLf ─► Done
///              TrailerOrEnd ◄─ TrailerLf ◄─ TrailerValue ◄─ TrailerName ◄┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A digit of the size, or what ends it when there are `digits` already.
    Size { digits: u32, size: u64 },
    /// More white space, or the semicolon it must lead to.
    BeforeExtension { size: u64 },
    /// More of the extensions, or the CR that ends them.
    Extension { size: u64, within: Extension },
    /// The LF after a size.
    SizeLf { size: u64 },
    /// So many bytes of content, at least one.
    Content { remaining: u64 },
    /// The CR after content.
    ContentCr,
    /// The LF after content.
    ContentLf,
    /// The first byte of a trailer field, or the CR of the empty line.
    TrailerOrEnd,
    /// More of a trailer's name, or the colon.
    TrailerName,
    /// More of a trailer's value, or the CR that ends it.
    TrailerValue,
    /// The LF after a trailer.
    TrailerLf,
    /// The LF of the empty line.
    EndLf,
    /// Nothing: the body is over.
    Done,
    /// Nothing: the body was refused.
    Failed(DrainError),
}

/// What the next byte of an extension must be
/// ([RFC 9112 §7.1.1](https://www.rfc-editor.org/rfc/rfc9112#section-7.1.1)): a semicolon has led to
/// its name, and a value may follow that. White space may stand around `;` and `=`, and not at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// The first byte of a name, or white space before it.
    Name,
    /// More of a name, or what may follow it.
    InName,
    /// What may follow the white space behind a name: `=` or `;`.
    AfterName,
    /// The first byte of a value, or white space before it.
    Value,
    /// More of a value that is a token, or what may follow it.
    InValue,
    /// More of a value in quotes.
    Quoted,
    /// The byte behind a backslash in quotes.
    Escaped,
    /// What may follow a value in quotes.
    Unquoted,
    /// What may follow the white space behind a value: `;`.
    AfterValue,
}

impl Extension {
    /// What comes next when the next byte is `byte`; `None` where it must not be.
    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Quoted, b'"') => Some(Self::Unquoted),
            (Self::Quoted, b'\\') => Some(Self::Escaped),
            (Self::Quoted | Self::Escaped, _) => is_value_byte(byte).then_some(Self::Quoted),
            (Self::Value, b'"') => Some(Self::Quoted),
            (Self::InName | Self::AfterName, b'=') => Some(Self::Value),
            (Self::Name | Self::Value, b';') => None,
            (_, b';') => Some(Self::Name),
            (Self::InName, _) if is_ows(byte) => Some(Self::AfterName),
            (Self::InValue | Self::Unquoted, _) if is_ows(byte) => Some(Self::AfterValue),
            (_, _) if is_ows(byte) => Some(self),
            (Self::Name | Self::InName, _) => TOKEN.contains(byte).then_some(Self::InName),
            (Self::Value | Self::InValue, _) => TOKEN.contains(byte).then_some(Self::InValue),
            (Self::AfterName | Self::Unquoted | Self::AfterValue, _) => None,
        }
    }

    /// Whether the line may end here.
    fn may_end(self) -> bool {
        matches!(self, Self::InName | Self::InValue | Self::Unquoted)
    }
}

/// Sixteen digits hold any `u64`; more could only be leading zeros.
const SIZE_DIGITS_MAX: u32 = 16;
/// The extensions of one chunk line. No extension is in use; this leaves room for a signature.
const LINE_EXTENSION_BYTES_MAX: usize = 256;
/// The extensions of a body. Without this bound, each chunk of one byte could carry 256 bytes of them.
const EXTENSION_BYTES_MAX: usize = 16 * 1024;
/// The trailer section: as much as a head may have by default.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

impl ChunkedDecoder {
    pub(crate) fn new(content_bytes_max: u64) -> Self {
        Self {
            state: State::Size { digits: 0, size: 0 },
            content_bytes_left: content_bytes_max,
            line_extension_bytes: 0,
            extension_bytes: 0,
            trailers: 0,
            trailer_bytes: 0,
        }
    }

    /// Takes bytes up to the end of the body, see [`Drain::consume`](crate::Drain::consume).
    pub(crate) fn consume(&mut self, bytes: &[u8]) -> Result<Drained, DrainError> {
        let mut rest = bytes;
        loop {
            let step = match (self.state, rest) {
                (State::Failed(error), _) => return Err(error),
                (State::Done, _) | (_, []) => break,
                (State::Content { remaining }, _) => {
                    // Content is skipped in one step and never looked at.
                    let present = usize::try_from(remaining)
                        .map_or(rest.len(), |remaining| remaining.min(rest.len()));
                    rest = rest.get(present..).unwrap_or_default();
                    match remaining.saturating_sub(present as u64) {
                        0 => Ok(State::ContentCr),
                        remaining => Ok(State::Content { remaining }),
                    }
                }
                (state, [byte, tail @ ..]) => {
                    rest = tail;
                    self.step(state, *byte)
                }
            };
            self.state = step.unwrap_or_else(State::Failed);
        }
        Ok(Drained {
            consumed: bytes.len() - rest.len(),
            done: self.state == State::Done,
        })
    }

    /// The state after one byte outside the content.
    fn step(&mut self, state: State, byte: u8) -> Result<State, DrainError> {
        match state {
            State::Size { digits, size } => return self.size_byte(digits, size, byte),
            State::BeforeExtension { size } => return self.after_size(size, byte),
            State::Extension { size, within } => {
                if byte == b'\r' && within.may_end() {
                    return Ok(State::SizeLf { size });
                }
                let Some(within) = within.next(byte) else {
                    return malformed(ChunkError::Extension);
                };
                self.count_extension()?;
                return Ok(State::Extension { size, within });
            }
            State::TrailerOrEnd => return self.trailer_start(byte),
            State::TrailerName => {
                self.count_trailer()?;
                match byte {
                    b':' => return Ok(State::TrailerValue),
                    _ if TOKEN.contains(byte) => {}
                    _ => return malformed(ChunkError::Trailer),
                }
            }
            State::TrailerValue => {
                self.count_trailer()?;
                match byte {
                    b'\r' => return Ok(State::TrailerLf),
                    _ if is_value_byte(byte) => {}
                    _ => return malformed(ChunkError::Trailer),
                }
            }
            State::ContentCr if byte == b'\r' => return Ok(State::ContentLf),
            State::ContentLf if byte == b'\n' => return Ok(State::Size { digits: 0, size: 0 }),
            State::SizeLf { size } if byte == b'\n' => return self.chunk(size),
            State::TrailerLf if byte == b'\n' => {
                self.count_trailer()?;
                return Ok(State::TrailerOrEnd);
            }
            State::EndLf if byte == b'\n' => return Ok(State::Done),
            State::ContentCr
            | State::ContentLf
            | State::SizeLf { .. }
            | State::TrailerLf
            | State::EndLf => return malformed(ChunkError::LineEnd),
            // `consume` takes no byte in these.
            State::Content { .. } | State::Done | State::Failed(_) => {}
        }
        Ok(state)
    }

    fn size_byte(&mut self, digits: u32, size: u64, byte: u8) -> Result<State, DrainError> {
        if let Some(digit) = hex_digit(byte) {
            let grown = size
                .checked_mul(16)
                .and_then(|size| size.checked_add(u64::from(digit)));
            return match grown {
                Some(size) if digits < SIZE_DIGITS_MAX => Ok(State::Size {
                    digits: digits + 1,
                    size,
                }),
                _ => malformed(ChunkError::Size),
            };
        }
        if digits == 0 {
            return malformed(ChunkError::Size);
        }
        self.line_extension_bytes = 0;
        match byte {
            b'\r' => Ok(State::SizeLf { size }),
            _ => self.after_size(size, byte),
        }
    }

    /// White space behind a size, or the semicolon of an extension.
    fn after_size(&mut self, size: u64, byte: u8) -> Result<State, DrainError> {
        let next = match byte {
            b';' => State::Extension {
                size,
                within: Extension::Name,
            },
            _ if is_ows(byte) => State::BeforeExtension { size },
            _ => return malformed(ChunkError::Size),
        };
        self.count_extension()?;
        Ok(next)
    }

    /// A size line is complete: the chunk of `size` bytes follows, or after size zero the trailers.
    fn chunk(&mut self, size: u64) -> Result<State, DrainError> {
        if size == 0 {
            return Ok(State::TrailerOrEnd);
        }
        self.content_bytes_left = self
            .content_bytes_left
            .checked_sub(size)
            .ok_or(DrainError::TooLarge)?;
        Ok(State::Content { remaining: size })
    }

    fn trailer_start(&mut self, byte: u8) -> Result<State, DrainError> {
        if byte == b'\r' {
            return Ok(State::EndLf);
        }
        if !TOKEN.contains(byte) {
            return malformed(ChunkError::Trailer);
        }
        if self.trailers == FIELDS_MAX {
            return malformed(ChunkError::TooManyTrailers);
        }
        self.trailers += 1;
        self.count_trailer()?;
        Ok(State::TrailerName)
    }

    fn count_extension(&mut self) -> Result<(), DrainError> {
        self.line_extension_bytes += 1;
        self.extension_bytes += 1;
        let is_within = self.line_extension_bytes <= LINE_EXTENSION_BYTES_MAX
            && self.extension_bytes <= EXTENSION_BYTES_MAX;
        is_within
            .then_some(())
            .ok_or(DrainError::Malformed(ChunkError::ExtensionTooLong))
    }

    fn count_trailer(&mut self) -> Result<(), DrainError> {
        self.trailer_bytes += 1;
        (self.trailer_bytes <= TRAILER_BYTES_MAX)
            .then_some(())
            .ok_or(DrainError::Malformed(ChunkError::TrailersTooLong))
    }
}

fn malformed(reason: ChunkError) -> Result<State, DrainError> {
    Err(DrainError::Malformed(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY_BYTES_MAX: u64 = 1000;

    /// Consumes all at once, and then cut at every byte and in single bytes, which must not differ.
    fn consume(bytes: &[u8]) -> Result<Drained, DrainError> {
        let whole = ChunkedDecoder::new(BODY_BYTES_MAX).consume(bytes);
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(consume_pieces(&[first, second]), whole, "cut at {cut}");
        }
        let singles: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(consume_pieces(&singles), whole, "byte by byte");
        whole
    }

    fn consume_pieces(pieces: &[&[u8]]) -> Result<Drained, DrainError> {
        let mut chunks = ChunkedDecoder::new(BODY_BYTES_MAX);
        let mut consumed = 0;
        let mut done = false;
        for piece in pieces {
            let drained = chunks.consume(piece)?;
            consumed += drained.consumed;
            assert!(drained.done || drained.consumed == piece.len());
            done = drained.done;
        }
        Ok(Drained { consumed, done })
    }

    #[test]
    fn bodies_end_where_the_grammar_says() {
        let rows = [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n",
            "0000000000000001\r\nx\r\n0\r\n\r\n",
            "3\r\n\r\n\n\r\n0\r\n\r\n",
            "1;name=value\r\nx\r\n0;last\r\n\r\n",
            "1;a;b=c;d\r\nx\r\n0\r\n\r\n",
            "1 ; a\t= b ;\tc = \"\" ;d\r\nx\r\n0\r\n\r\n",
            "1;a=\"b;\\\";\\\\\\;\u{e9}\";c\r\nx\r\n0\r\n\r\n",
            "1 \t; q=\"a;b\"\r\nx\r\n0\r\n\r\n",
            "0\r\nA: b\r\nC:\r\n\r\n",
        ];
        for body in rows {
            let done = Drained {
                consumed: body.len(),
                done: true,
            };
            assert_eq!(consume(body.as_bytes()), Ok(done), "{body:?}");
            let followed = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(consume(followed.as_bytes()), Ok(done), "{body:?}");
            for end in 0..body.len() {
                let drained = consume(&body.as_bytes()[..end]).unwrap();
                assert!(
                    !drained.done && drained.consumed == end,
                    "{body:?} to {end}"
                );
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long_line = format!("1;{}\r\n", "x".repeat(256));
        let long_lines = format!("1;{}\r\nx\r\n", "x".repeat(255)).repeat(65);
        let many_trailers = format!("0\r\n{}", "A:\r\n".repeat(FIELDS_MAX + 1));
        let long_trailers = format!("0\r\nA:{}", "x".repeat(TRAILER_BYTES_MAX));
        let malformed = DrainError::Malformed;
        let rows = [
            ("\r\n", malformed(ChunkError::Size)),
            (";", malformed(ChunkError::Size)),
            ("+5\r\n", malformed(ChunkError::Size)),
            ("-1", malformed(ChunkError::Size)),
            ("0x5\r\n", malformed(ChunkError::Size)),
            ("5_0", malformed(ChunkError::Size)),
            (" 5\r\n", malformed(ChunkError::Size)),
            ("5 \r\n", malformed(ChunkError::Size)),
            ("5\n", malformed(ChunkError::Size)),
            ("00000000000000001", malformed(ChunkError::Size)),
            ("5\rx", malformed(ChunkError::LineEnd)),
            ("1\r\nxy\r\n", malformed(ChunkError::LineEnd)),
            ("1\r\nx\n", malformed(ChunkError::LineEnd)),
            ("1\r\nx\rx", malformed(ChunkError::LineEnd)),
            ("1;a\n", malformed(ChunkError::Extension)),
            ("1;a\0", malformed(ChunkError::Extension)),
            // A name is missing, wherever.
            ("1;\r\n", malformed(ChunkError::Extension)),
            ("1; \r\n", malformed(ChunkError::Extension)),
            ("1 ;\r\n", malformed(ChunkError::Extension)),
            ("0;\r\n\r\n", malformed(ChunkError::Extension)),
            ("1;;a\r\n", malformed(ChunkError::Extension)),
            ("1; ;a\r\n", malformed(ChunkError::Extension)),
            ("1;a;\r\n", malformed(ChunkError::Extension)),
            ("1;a=b;\r\n", malformed(ChunkError::Extension)),
            ("1;a=\"b\";\r\n", malformed(ChunkError::Extension)),
            ("1;=b\r\n", malformed(ChunkError::Extension)),
            ("1;\"a\"\r\n", malformed(ChunkError::Extension)),
            // A value is missing, or is no value.
            ("1;a=\r\n", malformed(ChunkError::Extension)),
            ("1;a= ;b\r\n", malformed(ChunkError::Extension)),
            ("1;a==\r\n", malformed(ChunkError::Extension)),
            ("1;a=b=c\r\n", malformed(ChunkError::Extension)),
            ("1;a=\"b\r\n", malformed(ChunkError::Extension)),
            ("1;a=\"b\\\r\n", malformed(ChunkError::Extension)),
            ("1;a=\"b\"c\r\n", malformed(ChunkError::Extension)),
            ("1;a=b\"c\"\r\n", malformed(ChunkError::Extension)),
            ("1;a=\"\0\"\r\n", malformed(ChunkError::Extension)),
            ("1;a b\r\n", malformed(ChunkError::Extension)),
            ("1;a=b c\r\n", malformed(ChunkError::Extension)),
            ("1;a@\r\n", malformed(ChunkError::Extension)),
            // White space leads to nothing.
            ("1;a \r\n", malformed(ChunkError::Extension)),
            ("1;a=b\t\r\n", malformed(ChunkError::Extension)),
            ("1;a=\"b\" \r\n", malformed(ChunkError::Extension)),
            (&long_line, malformed(ChunkError::ExtensionTooLong)),
            (&long_lines, malformed(ChunkError::ExtensionTooLong)),
            ("0\r\n\n", malformed(ChunkError::Trailer)),
            ("0\r\n A:b\r\n", malformed(ChunkError::Trailer)),
            ("0\r\n:b\r\n", malformed(ChunkError::Trailer)),
            ("0\r\nA b", malformed(ChunkError::Trailer)),
            ("0\r\nA\r\n", malformed(ChunkError::Trailer)),
            ("0\r\nA:b\n", malformed(ChunkError::Trailer)),
            ("0\r\nA:b\rc", malformed(ChunkError::LineEnd)),
            ("0\r\n\rx", malformed(ChunkError::LineEnd)),
            (&many_trailers, malformed(ChunkError::TooManyTrailers)),
            (&long_trailers, malformed(ChunkError::TrailersTooLong)),
            ("3e9\r\n", DrainError::TooLarge),
            ("FFFFFFFFFFFFFFFF\r\n", DrainError::TooLarge),
        ];
        for (body, expected) in rows {
            if body.len() > 1000 {
                assert_eq!(
                    ChunkedDecoder::new(BODY_BYTES_MAX).consume(body.as_bytes()),
                    Err(expected)
                );
                let singles: Vec<_> = body.as_bytes().chunks(1).collect();
                assert_eq!(consume_pieces(&singles), Err(expected));
            } else {
                assert_eq!(consume(body.as_bytes()), Err(expected), "{body:?}");
            }
        }
    }

    #[test]
    fn content_may_have_its_limit_and_no_more() {
        let full = [b"3e8\r\n", &[b'x'; 1000][..], b"\r\n"].concat();
        let mut chunks = ChunkedDecoder::new(BODY_BYTES_MAX);
        assert!(chunks.consume(&full).is_ok());
        assert!(chunks.clone().consume(b"0\r\n\r\n").unwrap().done);
        assert_eq!(chunks.consume(b"1\r\n"), Err(DrainError::TooLarge));
    }

    #[test]
    fn each_line_may_have_extensions_up_to_the_limit() {
        // 256 bytes with the semicolon, twice, so the count starts anew with every line.
        let line = format!("1;{}\r\nx\r\n", "e".repeat(LINE_EXTENSION_BYTES_MAX - 1));
        let body = format!("{line}{line}0\r\n\r\n");
        assert!(consume(body.as_bytes()).unwrap().done);
    }

    #[test]
    fn a_refusal_is_final() {
        let mut chunks = ChunkedDecoder::new(BODY_BYTES_MAX);
        let error = chunks.consume(b"x").unwrap_err();
        assert_eq!(chunks.consume(b"0\r\n\r\n"), Err(error));
        assert_eq!(error.status().code(), 400);
        assert_eq!(DrainError::TooLarge.status().code(), 413);
    }
}
