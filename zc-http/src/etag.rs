//! Entity-tags and their comparison.

use std::fmt;

use crate::grammar::is_ows;

/// A strong entity-tag, kept inline
/// ([RFC 9110 §8.8.3](https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3)).
///
/// ```
/// use zc_http::EntityTag;
///
/// let tag = EntityTag::from_size_and_mtime(255, 4096);
/// assert_eq!(tag.as_bytes(), b"\"1000-ff\"");
/// assert!(tag.strong_eq(b"\"1000-ff\""));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntityTag {
    /// Invariant: zero from `len` on, so that equal tags have equal bytes.
    bytes: [u8; BYTES_MAX],
    /// Invariant: at most `BYTES_MAX`.
    len: u8,
}

/// Two quotes, a sign, 32 digits of time, a dash and 16 digits of size.
const BYTES_MAX: usize = 2 + 1 + 32 + 1 + 16;

impl EntityTag {
    /// The tag of a file of `size` bytes last modified `mtime_ns` nanoseconds after 1970:
    /// `"<time>-<size>"`, both hexadecimal, with a minus sign before 1970.
    ///
    /// It is strong as far as the file system's clock is fine enough to tell two writes apart.
    pub fn from_size_and_mtime(size: u64, mtime_ns: i128) -> Self {
        let mut tag = Self {
            bytes: [0; BYTES_MAX],
            len: 0,
        };
        tag.push(b'"');
        if mtime_ns < 0 {
            tag.push(b'-');
        }
        tag.push_hex(mtime_ns.unsigned_abs());
        tag.push(b'-');
        tag.push_hex(u128::from(size));
        tag.push(b'"');
        tag
    }

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
pub fn list_matches(value: &[u8], tag: &EntityTag, weak: bool) -> Option<bool> {
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
    let is_opaque = |&byte: &u8| byte > b' ' && byte != 0x7F;
    if !quoted.get(..close)?.iter().all(is_opaque) {
        return None;
    }
    bytes.split_at_checked(prefix_bytes + 1 + close + 1)
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
    fn tags_are_written_in_hexadecimal() {
        let rows = [
            (0, 0, "\"0-0\""),
            (0x10, 0xABC, "\"abc-10\""),
            (1, -1, "\"-1-1\""),
            (
                u64::MAX,
                i128::MAX,
                "\"7fffffffffffffffffffffffffffffff-ffffffffffffffff\"",
            ),
            (
                u64::MAX,
                i128::MIN,
                "\"-80000000000000000000000000000000-ffffffffffffffff\"",
            ),
        ];
        for (size, mtime_ns, expected) in rows {
            let tag = EntityTag::from_size_and_mtime(size, mtime_ns);
            assert_eq!(tag.as_bytes(), expected.as_bytes());
        }
    }

    /// The table of RFC 9110 §8.8.3.2, as far as our own tag is strong.
    #[test]
    fn strong_and_weak_comparison() {
        let tag = EntityTag::from_size_and_mtime(1, 1);
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
        let tag = EntityTag::from_size_and_mtime(1, 1);
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
            assert_eq!(list_matches(list.as_bytes(), &tag, false), strong, "{list}");
            assert_eq!(list_matches(list.as_bytes(), &tag, true), weak, "{list}");
        }
    }
}
