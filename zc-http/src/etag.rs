//! Entity-tags and their comparison.

use std::fmt;

use crate::grammar::is_ows;

/// A strong entity-tag, kept inline
/// ([RFC 9110 §8.8.3](https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3)).
///
/// ```
/// use zc_http::EntityTag;
///
/// let tag = EntityTag::from_numbers(&[4096, 255], "");
/// assert_eq!(tag.as_bytes(), b"\"1000-ff\"");
/// assert!(tag.strong_eq(b"\"1000-ff\""));
/// assert_eq!(EntityTag::from_opaque(b"v1.2\n"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntityTag {
    /// Invariant: zero from `len` on, so that equal tags have equal bytes.
    bytes: [u8; BYTES_MAX],
    /// Invariant: at most `BYTES_MAX`.
    len: u8,
}

/// The longest tag, with its two quotes: 512 bits in hexadecimal, a SHA-512.
const BYTES_MAX: usize = 2 + 128;

/// The most numbers in a tag: with a sign, 32 digits and a dash each, and a suffix, they fit.
const NUMBERS_MAX: usize = 3;

impl EntityTag {
    /// The tag of these numbers, in hexadecimal with dashes between, and of a suffix if it is not
    /// empty. At most three numbers are used, and 16 bytes of a suffix.
    ///
    /// The tag is strong only if the numbers change whenever the bytes do.
    pub fn from_numbers(numbers: &[i128], suffix: &str) -> Self {
        let mut tag = Self::EMPTY;
        tag.push(b'"');
        for (index, &number) in numbers.iter().take(NUMBERS_MAX).enumerate() {
            if index > 0 {
                tag.push(b'-');
            }
            if number < 0 {
                tag.push(b'-');
            }
            tag.push_hex(number.unsigned_abs());
        }
        if !suffix.is_empty() {
            tag.push(b'-');
            suffix.bytes().take(16).for_each(|byte| tag.push(byte));
        }
        tag.push(b'"');
        tag
    }

    /// The tag with this opaque content, with or without the quotes around it. `None` when it is
    /// empty, longer than 128 bytes, or has bytes that no tag may have, as white space.
    pub fn from_opaque(content: &[u8]) -> Option<Self> {
        let content = content
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""))
            .unwrap_or(content);
        let fits = (1..=BYTES_MAX - 2).contains(&content.len());
        if !fits || !content.iter().all(|&byte| is_opaque(byte)) {
            return None;
        }
        let mut tag = Self::EMPTY;
        tag.push(b'"');
        content.iter().for_each(|&byte| tag.push(byte));
        tag.push(b'"');
        Some(tag)
    }

    const EMPTY: Self = Self {
        bytes: [0; BYTES_MAX],
        len: 0,
    };

    /// The tag as it is sent, quotes included.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Strong comparison ([RFC 9110 §8.8.3.2](https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3.2)):
    /// the same bytes, and neither tag weak.
    pub fn strong_eq(&self, other: &[u8]) -> bool {
        // This tag has no `W/`, so a weak `other` differs from it by that alone.
        self.as_bytes() == other
    }

    /// Weak comparison: the same bytes once a `W/` is taken off.
    pub fn weak_eq(&self, other: &[u8]) -> bool {
        self.as_bytes() == other.strip_prefix(b"W/").unwrap_or(other)
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(usize::from(self.len)) {
            *slot = byte;
            self.len += 1;
        }
    }

    /// Appends `value` in hexadecimal without leading zeros.
    fn push_hex(&mut self, value: u128) {
        let digits = (u128::BITS - value.leading_zeros()).div_ceil(4).max(1);
        for place in (0..digits).rev() {
            // Four bits, so the conversion loses nothing.
            let digit = (value >> (place * 4) & 0xF) as u8;
            self.push(match digit {
                0..=9 => b'0' + digit,
                _ => b'a' + (digit - 10),
            });
        }
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityTag({})", self.as_bytes().escape_ascii())
    }
}

/// Whether `tag` is in `value`, a comma-separated list of entity-tags as in `If-Match` and
/// `If-None-Match`; `weak` chooses the comparison. `None` when the list is malformed, which a
/// caller should take for no match.
///
/// Commas within quotes belong to the tag. The `*` that stands in place of a list is not handled
/// here.
pub fn etag_list_matches(value: &[u8], tag: &EntityTag, weak: bool) -> Option<bool> {
    let mut rest = value;
    let mut has_match = false;
    loop {
        rest = skip_empty_elements(rest);
        if rest.is_empty() {
            return Some(has_match);
        }
        let (candidate, after) = split_tag(rest)?;
        has_match |= if weak {
            tag.weak_eq(candidate)
        } else {
            tag.strong_eq(candidate)
        };
        rest = skip_ows(after);
        if !matches!(rest, [] | [b',', ..]) {
            return None;
        }
    }
}

/// The entity-tag `bytes` start with, and what follows it: `[ "W/" ] DQUOTE *etagc DQUOTE`.
fn split_tag(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let prefix_bytes = if bytes.starts_with(b"W/") { 2 } else { 0 };
    let quoted = bytes.get(prefix_bytes..)?.strip_prefix(b"\"")?;
    let close = memchr::memchr(b'"', quoted)?;
    if !quoted.get(..close)?.iter().all(|&byte| is_opaque(byte)) {
        return None;
    }
    bytes.split_at_checked(prefix_bytes + 1 + close + 1)
}

/// `etagc`: what may stand between the quotes.
fn is_opaque(byte: u8) -> bool {
    byte > b' ' && byte != b'"' && byte != 0x7F
}

fn skip_ows(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_ows(*first)
    {
        bytes = rest;
    }
    bytes
}

fn skip_empty_elements(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && (is_ows(*first) || *first == b',')
    {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_hexadecimal() {
        let rows: [(&[i128], &str, &str); 8] = [
            (&[0, 0], "", "\"0-0\""),
            (&[0xABC, 0x10], "", "\"abc-10\""),
            (&[0xABC, 0x10], "br", "\"abc-10-br\""),
            (&[-1, 1], "", "\"-1-1\""),
            (&[1, 2, 3], "", "\"1-2-3\""),
            (&[1, 2, 3, 4], "", "\"1-2-3\""),
            (&[], "gzip", "\"-gzip\""),
            (
                &[i128::MIN, i128::MAX, -i128::MAX],
                "longer than sixteen",
                "\"-80000000000000000000000000000000-7fffffffffffffffffffffffffffffff\
                 --7fffffffffffffffffffffffffffffff-longer than sixt\"",
            ),
        ];
        for (numbers, suffix, expected) in rows {
            let tag = EntityTag::from_numbers(numbers, suffix);
            assert_eq!(tag.as_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn opaque_content_is_taken_as_it_is_or_not_at_all() {
        let longest = "x".repeat(128);
        let rows: [(&str, Option<String>); 12] = [
            ("a", Some("\"a\"".to_owned())),
            ("\"a\"", Some("\"a\"".to_owned())),
            ("sha256:0/+=", Some("\"sha256:0/+=\"".to_owned())),
            ("\u{e9}", Some("\"\u{e9}\"".to_owned())),
            (&longest, Some(format!("\"{longest}\""))),
            (&"x".repeat(129), None),
            ("", None),
            ("\"\"", None),
            ("a b", None),
            ("W/\"a\"", None),
            ("a\"b", None),
            ("a\r\nb", None),
        ];
        for (content, expected) in rows {
            let tag = EntityTag::from_opaque(content.as_bytes());
            let bytes = tag.map(|tag| tag.as_bytes().to_vec());
            assert_eq!(bytes, expected.map(String::into_bytes), "{content}");
        }
    }

    /// The table of RFC 9110 §8.8.3.2, as far as our own tag is strong.
    #[test]
    fn strong_and_weak_comparison() {
        let tag = EntityTag::from_numbers(&[1, 1], "");
        let rows: [(&[u8], bool, bool); 5] = [
            (b"\"1-1\"", true, true),
            (b"W/\"1-1\"", false, true),
            (b"\"1-2\"", false, false),
            (b"w/\"1-1\"", false, false),
            (b"1-1", false, false),
        ];
        for (other, strong, weak) in rows {
            assert_eq!(tag.strong_eq(other), strong);
            assert_eq!(tag.weak_eq(other), weak);
        }
    }

    #[test]
    fn lists_of_tags() {
        let tag = EntityTag::from_numbers(&[1, 1], "");
        let rows = [
            ("\"1-1\"", Some(true), Some(true)),
            ("W/\"1-1\"", Some(false), Some(true)),
            ("\"a\", \"1-1\"", Some(true), Some(true)),
            ("\"a\",\"1-1\" , \"b\"", Some(true), Some(true)),
            (" ,\t, \"1-1\",", Some(true), Some(true)),
            ("\"a,\", \"b\"", Some(false), Some(false)),
            ("\",\"1-1\",\"", None, None),
            ("\"a, \"1-1\"", None, None),
            ("\"\"", Some(false), Some(false)),
            ("\"\u{e9}\", \"1-1\"", Some(true), Some(true)),
            ("", Some(false), Some(false)),
            ("1-1", None, None),
            ("\"1-1", None, None),
            ("\"1-1\" \"a\"", None, None),
            ("\"1-1\", junk", None, None),
            ("\"a b\", \"1-1\"", None, None),
            ("w/\"1-1\"", None, None),
            ("W/ \"1-1\"", None, None),
            ("*", None, None),
        ];
        for (list, strong, weak) in rows {
            assert_eq!(
                etag_list_matches(list.as_bytes(), &tag, false),
                strong,
                "{list}"
            );
            assert_eq!(
                etag_list_matches(list.as_bytes(), &tag, true),
                weak,
                "{list}"
            );
        }
    }
}
