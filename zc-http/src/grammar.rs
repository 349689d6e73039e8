//! Byte classes, each with the grammar rule it stands for.
//!
//! A class is a table of 256 flags, so that a test is one load whatever the byte. The tables are
//! built at compile time from the predicate written beside them.

/// Builds a class from a `const fn` predicate. A macro, because constant evaluation cannot call
/// through a function pointer.
macro_rules! class_of {
    ($admits:path) => {{
        let mut table = [false; 256];
        let mut byte = 0_u8;
        loop {
            table[byte as usize] = $admits(byte);
            if byte == u8::MAX {
                break Class(table);
            }
            byte += 1;
        }
    }};
}

/// A set of bytes.
pub(crate) struct Class([bool; 256]);

impl Class {
    /// Whether `byte` belongs to the set.
    #[inline]
    pub(crate) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }

    /// Whether every one of `bytes` belongs to the set. True of no bytes at all.
    pub(crate) fn contains_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|&byte| self.contains(byte))
    }
}

/// `tchar`: the bytes of methods, field names and codings
/// ([RFC 9110 §5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2)).
pub(crate) static TOKEN: Class = class_of!(is_token_byte);

/// Whether `bytes` are a `token`: a method, the name of a field or of a coding
/// ([RFC 9110 §5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2)).
///
/// ```
/// assert!(zc_http::is_token(b"Content-Type"));
/// assert!(!zc_http::is_token(b"Content Type") && !zc_http::is_token(b""));
/// ```
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && TOKEN.contains_all(bytes)
}

/// The bytes of a `uri-host` with its port
/// ([RFC 3986 §3.2](https://www.rfc-editor.org/rfc/rfc3986#section-3.2)): `unreserved`,
/// `sub-delims`, `%`, and the `:`, `[`, `]` that delimit ports and address literals. `@` is left
/// out on purpose: user information has no place in a request
/// ([RFC 9110 §4.2.4](https://www.rfc-editor.org/rfc/rfc9110#section-4.2.4)).
pub(crate) static AUTHORITY: Class = class_of!(is_authority_byte);

/// The bytes of a `reg-name` that stand for themselves: `unreserved` and `sub-delims`
/// ([RFC 3986 §3.2.2](https://www.rfc-editor.org/rfc/rfc3986#section-3.2.2)).
pub(crate) static NAME: Class = class_of!(is_name_byte);

/// Whether `byte` may stand in a field value: HTAB, SP, VCHAR and obs-text
/// ([RFC 9110 §5.5](https://www.rfc-editor.org/rfc/rfc9110#section-5.5)).
#[inline]
pub(crate) const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7F)
}

/// `OWS`: optional white space, a space or a tab
/// ([RFC 9110 §5.6.3](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.3)).
#[inline]
pub(crate) const fn is_ows(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// `bytes` without the white space at either end.
pub(crate) fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_ows(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_ows(*last)
    {
        bytes = rest;
    }
    bytes
}

/// The value of `1*DIGIT`; `None` for anything else, and for a number beyond `u64`.
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |value, &byte| {
        let digit = char::from(byte).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The value of one `HEXDIG`.
pub(crate) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The pieces of a comma-separated list, trimmed of white space; empty pieces are passed on.
///
/// Commas inside quoted strings are not honoured, so this suits lists of tokens only.
pub(crate) fn list_pieces(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim_ows)
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~')
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
        || matches!(byte, b'*' | b'+' | b',' | b';' | b'=')
}

const fn is_authority_byte(byte: u8) -> bool {
    is_name_byte(byte) || matches!(byte, b'%' | b':' | b'[' | b']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_match_the_grammar() {
        let token = b"!#$%&'*+-.^_`|~";
        let authority = b"-._~%!$&'()*+,;=:[]";
        for byte in 0..=u8::MAX {
            let alphanumeric = byte.is_ascii_alphanumeric();
            assert_eq!(
                TOKEN.contains(byte),
                alphanumeric || token.contains(&byte),
                "{byte:#x}"
            );
            let expected = alphanumeric || authority.contains(&byte);
            assert_eq!(AUTHORITY.contains(byte), expected, "{byte:#x}");
            let expected = expected && !b"%:[]".contains(&byte);
            assert_eq!(NAME.contains(byte), expected, "{byte:#x}");
            let value = byte == 9 || (0x20..=0x7E).contains(&byte) || byte >= 0x80;
            assert_eq!(is_value_byte(byte), value, "{byte:#x}");
        }
    }

    #[test]
    fn decimals_are_digits_and_nothing_else() {
        let rows: [(&str, Option<u64>); 9] = [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+5", None),
            ("-5", None),
            ("0x5", None),
            ("5_0", None),
        ];
        for (text, expected) in rows {
            assert_eq!(decimal(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn white_space_is_trimmed_at_both_ends_only() {
        assert_eq!(trim_ows(b" 	a b	 "), b"a b");
        assert_eq!(trim_ows(b" 	 "), b"");
        assert_eq!(
            trim_ows(
                b"
"
            ),
            b"
"
        );
    }
}
