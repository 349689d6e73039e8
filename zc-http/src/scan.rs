//! A cursor over the bytes received so far.
//!
//! Its methods read bytes from left to right and stop at the byte that decides. So a head that is cut
//! anywhere never gets another answer than the whole head.

use crate::ParseError;
use crate::grammar::Class;

/// Why a step of the parser could not finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The bytes ended before the step was decided.
    NeedMore,
    /// The bytes cannot be the start of a valid head.
    Failed(ParseError),
}

impl From<ParseError> for Stop {
    fn from(error: ParseError) -> Self {
        Self::Failed(error)
    }
}

/// Bytes, and how many of them have been read.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'buf> {
    bytes: &'buf [u8],
    /// Invariant: at most `bytes.len()`.
    position: usize,
}

impl<'buf> Cursor<'buf> {
    pub(crate) fn new(bytes: &'buf [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// How many bytes have been read.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The bytes not read yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'buf [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    /// The bytes from `start` to the current position.
    #[inline]
    pub(crate) fn since(&self, start: usize) -> &'buf [u8] {
        self.bytes.get(start..self.position).unwrap_or_default()
    }

    /// The same position over no more than the first `end` bytes.
    pub(crate) fn up_to(&self, end: usize) -> Self {
        let bytes = self.bytes.get(..end).unwrap_or(self.bytes);
        Self {
            bytes,
            position: self.position.min(bytes.len()),
        }
    }

    /// Moves to the position of `other`, a cursor over the same bytes.
    pub(crate) fn resume_at(&mut self, other: &Self) {
        self.position = other.position.min(self.bytes.len());
    }

    /// How many bytes there are, read and unread.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The next byte, which stays unread.
    #[inline]
    pub(crate) fn peek(&self) -> Result<u8, Stop> {
        self.bytes.get(self.position).copied().ok_or(Stop::NeedMore)
    }

    /// Reads one byte that [`peek`](Self::peek) has shown.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.skip(1);
    }

    /// Reads the longest run of `class`.
    #[inline]
    pub(crate) fn take_all(&mut self, class: &Class) -> &'buf [u8] {
        let start = self.position;
        while let Some(&byte) = self.bytes.get(self.position)
            && class.contains(byte)
        {
            self.position += 1;
        }
        self.since(start)
    }

    /// Reads the longest run of bytes a request target may have.
    ///
    /// Wider than RFC 3986 at one point: 0x80..=0xFF are let through, because common clients send
    /// file names in raw UTF-8. `#` never stands in a valid target.
    #[inline]
    pub(crate) fn take_target(&mut self) -> &'buf [u8] {
        let start = self.position;
        self.skip_from(b'!');
        if let Some(at) = memchr::memchr(b'#', self.since(start)) {
            self.position = start + at;
        }
        self.since(start)
    }

    /// Reads the longest run of bytes a field value may have: HTAB, SP, VCHAR and obs-text
    /// ([RFC 9110 §5.5](https://www.rfc-editor.org/rfc/rfc9110#section-5.5)).
    #[inline]
    pub(crate) fn take_value(&mut self) -> &'buf [u8] {
        let start = self.position;
        self.skip_from(b' ');
        while self.rest().first() == Some(&b'\t') {
            self.skip(1);
            self.skip_from(b' ');
        }
        self.since(start)
    }

    /// Reads CR LF.
    ///
    /// # Errors
    ///
    /// [`ParseError::BareCr`], [`ParseError::BareLf`], or `otherwise` when the next byte is neither CR
    /// nor LF.
    #[inline]
    pub(crate) fn take_line_end(&mut self, otherwise: ParseError) -> Result<(), Stop> {
        match self.rest() {
            [b'\r', b'\n', ..] => {
                self.skip(2);
                Ok(())
            }
            [] | [b'\r'] => Err(Stop::NeedMore),
            [b'\r', ..] => Err(ParseError::BareCr.into()),
            [b'\n', ..] => Err(ParseError::BareLf.into()),
            _ => Err(otherwise.into()),
        }
    }

    #[inline]
    fn skip(&mut self, count: usize) {
        self.position = (self.position + count).min(self.bytes.len());
    }

    /// Reads up to the first byte that is below `floor` or is DEL.
    #[inline]
    fn skip_from(&mut self, floor: u8) {
        let mut rest = self.rest();
        let mut count = 0;
        while let Some((word, tail)) = rest.split_first_chunk::<8>() {
            let plain = leading_plain(*word, floor);
            count += plain;
            if plain < 8 {
                return self.skip(count);
            }
            rest = tail;
        }
        let plain = |&byte: &u8| byte >= floor && byte != DEL;
        self.skip(count + rest.iter().take_while(|byte| plain(byte)).count());
    }
}

const DEL: u8 = 0x7F;

/// How many of the first bytes of `word` are neither below `floor` nor DEL. `floor` is at most 0x80.
///
/// Eight bytes are tried at once. Subtracting n from every byte of a word sets the top bit of those
/// that were below n, and of those that were 0x80 + n and above; `& !word` removes the latter.
/// A borrow can mark a byte wrongly only above one that is marked correctly, and only the lowest mark is
/// used. A byte equals DEL when its exclusive-or with DEL is below one.
#[inline]
fn leading_plain(word: [u8; 8], floor: u8) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_le_bytes(word);
    let low = word.wrapping_sub(ONES * u64::from(floor)) & !word;
    let differs = word ^ (ONES * u64::from(DEL));
    let del = differs.wrapping_sub(ONES) & !differs;
    // At most 64 / 8, so the conversion loses nothing.
    (((low | del) & TOPS).trailing_zeros() / 8) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::is_value_byte;

    /// The word-wise scan beside one byte at a time: every byte value at every place of two words.
    #[test]
    fn words_agree_with_bytes() {
        for place in 0..19 {
            for byte in 0..=u8::MAX {
                for filler in [b' ', b'~', b'\t', 0x80, 0xFF, b'!'] {
                    let mut bytes = [filler; 19];
                    bytes[place] = byte;
                    let value = bytes
                        .iter()
                        .take_while(|&&byte| is_value_byte(byte))
                        .count();
                    assert_eq!(Cursor::new(&bytes).take_value().len(), value, "{bytes:x?}");
                    let is_target = |byte: u8| byte > b' ' && byte != b'#' && byte != DEL;
                    let target = bytes.iter().take_while(|&&byte| is_target(byte)).count();
                    assert_eq!(
                        Cursor::new(&bytes).take_target().len(),
                        target,
                        "{bytes:x?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_line_ends_in_cr_lf_only() {
        let rows: [(&[u8], Result<(), Stop>); 6] = [
            (b"\r\n", Ok(())),
            (b"", Err(Stop::NeedMore)),
            (b"\r", Err(Stop::NeedMore)),
            (b"\rx", Err(Stop::Failed(ParseError::BareCr))),
            (b"\n", Err(Stop::Failed(ParseError::BareLf))),
            (b"x", Err(Stop::Failed(ParseError::Method))),
        ];
        for (bytes, expected) in rows {
            let mut cursor = Cursor::new(bytes);
            assert_eq!(
                cursor.take_line_end(ParseError::Method),
                expected,
                "{bytes:x?}"
            );
        }
    }
}
