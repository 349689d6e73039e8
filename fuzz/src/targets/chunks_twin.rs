//! A second decoder of the chunked coding, slow and obvious: it has all bytes before it and reads
//! them from left to right as RFC 9112 §7.1 writes them down.

use zc_http::{ChunkError, DrainError, FIELDS_MAX};

/// Where a body ends, or why it has no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// So many bytes belong to it.
    At(usize),
    /// Behind the bytes there are.
    Beyond,
    /// So many bytes were well, and the next one shows the fault.
    Fault(usize, DrainError),
}

/// The end of a body that starts with `bytes` and may have `content_max` bytes of content.
pub(super) fn chunks_twin(bytes: &[u8], content_max: u64) -> End {
    let mut reader = Reader {
        bytes,
        at: 0,
        line_start: 0,
        extension_bytes: 0,
        trailer_bytes: 0,
    };
    match reader.body(u128::from(content_max)) {
        Ok(()) => End::At(reader.at),
        Err(None) => End::Beyond,
        Err(Some(error)) => End::Fault(reader.at, error),
    }
}

/// `Err(None)` where the bytes ran out.
type Read<T> = Result<T, Option<DrainError>>;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the extensions of this line start.
    line_start: usize,
    extension_bytes: usize,
    trailer_bytes: usize,
}

impl Reader<'_> {
    fn body(&mut self, content_max: u128) -> Read<()> {
        let mut content = 0;
        loop {
            let size = self.size()?;
            self.extensions()?;
            self.expect(b'\r', ChunkError::Size)?;
            if size > 0 && content + size > content_max && self.next()? == b'\n' {
                return Err(Some(DrainError::TooLarge));
            }
            self.expect(b'\n', ChunkError::LineEnd)?;
            if size == 0 {
                break;
            }
            content += size;
            let rest = self.bytes.len() - self.at;
            if size > rest as u128 {
                return Err(None);
            }
            self.at += size as usize;
            self.expect(b'\r', ChunkError::LineEnd)?;
            self.expect(b'\n', ChunkError::LineEnd)?;
        }
        let mut trailers = 0;
        while self.next()? != b'\r' {
            trailers += 1;
            self.trailer(trailers)?;
        }
        self.at += 1;
        self.expect(b'\n', ChunkError::LineEnd)
    }

    fn next(&self) -> Read<u8> {
        self.bytes.get(self.at).copied().ok_or(None)
    }

    fn expect(&mut self, byte: u8, otherwise: ChunkError) -> Read<()> {
        if self.next()? != byte {
            return fault(otherwise);
        }
        self.at += 1;
        Ok(())
    }

    /// Bytes as long as they are of a kind.
    fn while_is(&mut self, is: impl Fn(u8) -> bool) -> Read<&[u8]> {
        let start = self.at;
        while is(self.next()?) {
            self.at += 1;
        }
        Ok(&self.bytes[start..self.at])
    }

    fn size(&mut self) -> Read<u128> {
        let mut digits = String::new();
        while self.next()?.is_ascii_hexdigit() {
            if digits.len() == 16 {
                return fault(ChunkError::Size);
            }
            digits.push(char::from(self.next()?));
            self.at += 1;
        }
        u128::from_str_radix(&digits, 16).or_else(|_| fault(ChunkError::Size))
    }

    /// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`.
    fn extensions(&mut self) -> Read<()> {
        self.line_start = self.at;
        let mut otherwise = ChunkError::Size;
        let mut spaces = self.spaces()?;
        loop {
            match self.next()? {
                b';' => self.take()?,
                b'\r' if spaces == 0 => return Ok(()),
                _ => return fault(otherwise),
            }
            otherwise = ChunkError::Extension;
            self.spaces()?;
            self.token()?;
            spaces = self.spaces()?;
            if self.next()? == b'=' {
                self.take()?;
                self.spaces()?;
                match self.next()? {
                    b'"' => self.quoted_string()?,
                    _ => self.token()?,
                }
                spaces = self.spaces()?;
            }
        }
    }

    /// One byte of an extension, which counts.
    fn take(&mut self) -> Read<()> {
        if self.at - self.line_start == 256 || self.extension_bytes == 16 * 1024 {
            return fault(ChunkError::ExtensionTooLong);
        }
        self.extension_bytes += 1;
        self.at += 1;
        Ok(())
    }

    fn spaces(&mut self) -> Read<usize> {
        let start = self.at;
        while matches!(self.next()?, b' ' | b'\t') {
            self.take()?;
        }
        Ok(self.at - start)
    }

    fn token(&mut self) -> Read<()> {
        if !is_token(self.next()?) {
            return fault(ChunkError::Extension);
        }
        while is_token(self.next()?) {
            self.take()?;
        }
        Ok(())
    }

    /// `DQUOTE *( qdtext / quoted-pair ) DQUOTE` (RFC 9110 §5.6.4).
    fn quoted_string(&mut self) -> Read<()> {
        self.take()?;
        loop {
            match self.next()? {
                b'"' => return self.take(),
                b'\\' => self.take()?,
                b'\t' | b' '..=b'~' | 0x80.. => {
                    self.take()?;
                    continue;
                }
                _ => return fault(ChunkError::Extension),
            }
            match self.next()? {
                b'\t' | b' '..=b'~' | 0x80.. => self.take()?,
                _ => return fault(ChunkError::Extension),
            }
        }
    }

    fn trailer(&mut self, count: usize) -> Read<()> {
        let start = self.at;
        if !is_token(self.next()?) {
            return fault(ChunkError::Trailer);
        }
        if count > FIELDS_MAX {
            return fault(ChunkError::TooManyTrailers);
        }
        let result = self.trailer_line();
        // The section may have 16 KiB, its final line not counted. A byte that no name or value may
        // have counts, and one in place of the line feed does not.
        let left = 16 * 1024 - self.trailer_bytes;
        let faulty = usize::from(result == fault(ChunkError::Trailer));
        if self.at + faulty - start > left {
            self.at = start + left;
            return fault(ChunkError::TrailersTooLong);
        }
        self.trailer_bytes += self.at - start;
        result
    }

    fn trailer_line(&mut self) -> Read<()> {
        self.while_is(is_token)?;
        self.expect(b':', ChunkError::Trailer)?;
        self.while_is(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))?;
        self.expect(b'\r', ChunkError::Trailer)?;
        self.expect(b'\n', ChunkError::LineEnd)
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte)
}

fn fault<T>(error: ChunkError) -> Read<T> {
    Err(Some(DrainError::Malformed(error)))
}
