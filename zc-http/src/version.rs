//! Protocol versions.

use crate::ParseError;
use crate::scan::{Cursor, Stop};

/// The protocol version of a request, as far as it matters here
/// ([RFC 9112 §2.3](https://www.rfc-editor.org/rfc/rfc9112#section-2.3)).
///
/// A later minor version is read as HTTP/1.1, the highest this server speaks
/// ([RFC 9110 §6.2](https://www.rfc-editor.org/rfc/rfc9110#section-6.2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1, or any later minor version
    Http11,
}

impl Version {
    /// The version as it is written in a message.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// Reads `HTTP/` digit `.` digit, refusing the first byte that does not fit.
pub(crate) fn take_version(cursor: &mut Cursor<'_>) -> Result<Version, Stop> {
    for expected in *b"HTTP/" {
        if cursor.peek()? != expected {
            return Err(ParseError::Version.into());
        }
        cursor.advance();
    }
    let major = take_digit(cursor)?;
    if cursor.peek()? != b'.' {
        return Err(ParseError::Version.into());
    }
    cursor.advance();
    let minor = take_digit(cursor)?;
    match (major, minor) {
        (b'1', b'0') => Ok(Version::Http10),
        (b'1', _) => Ok(Version::Http11),
        _ => Err(ParseError::VersionUnsupported.into()),
    }
}

fn take_digit(cursor: &mut Cursor<'_>) -> Result<u8, Stop> {
    let byte = cursor.peek()?;
    if !byte.is_ascii_digit() {
        return Err(ParseError::Version.into());
    }
    cursor.advance();
    Ok(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_two_digits_after_the_name() {
        let malformed = Err(Stop::Failed(ParseError::Version));
        let unsupported = Err(Stop::Failed(ParseError::VersionUnsupported));
        let rows = [
            ("HTTP/1.0", Ok(Version::Http10)),
            ("HTTP/1.1", Ok(Version::Http11)),
            ("HTTP/1.2", Ok(Version::Http11)),
            ("HTTP/1.9", Ok(Version::Http11)),
            ("HTTP/2.0", unsupported),
            ("HTTP/0.9", unsupported),
            ("http/1.1", malformed),
            ("HTTP/1,1", malformed),
            ("HTTP/11", malformed),
            ("HTTP 1.1", malformed),
            ("HTTP/1.x", malformed),
            ("HTTP/1.", Err(Stop::NeedMore)),
            ("HT", Err(Stop::NeedMore)),
            ("HX", malformed),
        ];
        for (text, expected) in rows {
            let mut cursor = Cursor::new(text.as_bytes());
            assert_eq!(take_version(&mut cursor), expected, "{text}");
        }
        assert!(Version::Http10 < Version::Http11);
    }
}
