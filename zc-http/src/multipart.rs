//! Several parts of a representation in one body.

use std::ops::Range;

use bytes::BufMut;

use crate::Parts;
use crate::response::{put_decimal, put_sanitized};

/// The body of a `multipart/byteranges`, part by part
/// ([RFC 9110 §14.6](https://www.rfc-editor.org/rfc/rfc9110#section-14.6)). It writes the part heads and
/// the closing delimiter, and names the range of each part.
///
/// Each part head is written when it is needed. The length of the body is known from the start. Like those
/// of Apache and nginx, the body begins with an empty line, which §14.6 allows and `zsync` relies on.
///
/// ```
/// use zc_http::{Multipart, RangeOutcome, resolve_range};
///
/// let RangeOutcome::Parts(parts) = resolve_range(b"bytes=0-1,8-9", 10) else {
///     panic!("both can be had");
/// };
/// let mut multipart = Multipart::new(parts, "xyz", b"text/plain", 10);
/// let bytes = multipart.remaining_bytes();
///
/// let mut body = Vec::new();
/// while let Some(range) = multipart.write_next(&mut body) {
///     body.extend_from_slice(&b"0123456789"[range.start as usize..range.end as usize]);
/// }
/// assert_eq!(
///     body,
///     b"\r\n--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
///       \r\n--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
///       \r\n--xyz--\r\n"
/// );
/// assert_eq!(body.len() as u64, bytes);
/// ```
#[derive(Clone, Debug)]
pub struct Multipart {
    /// The parts that are still to come.
    parts: std::vec::IntoIter<Range<u64>>,
    /// A part head up to the numbers of its range.
    head: Vec<u8>,
    /// The part head behind the numbers.
    head_end: Vec<u8>,
    /// The closing delimiter, until it is written.
    closing: Option<Vec<u8>>,
}

impl Multipart {
    /// The `parts` of a representation of type `content_type` that has `complete_length` bytes. No part
    /// may have `boundary` in it.
    ///
    /// CR, LF and NUL in `boundary` and `content_type` are written as spaces, as by
    /// [`HeadWriter`](crate::HeadWriter).
    pub fn new(parts: Parts, boundary: &str, content_type: &[u8], complete_length: u64) -> Self {
        let boundary = boundary.as_bytes();
        let head_bytes = Self::head_bytes_max(boundary.len(), content_type.len());
        let mut head = Vec::with_capacity(head_bytes);
        head.put_slice(b"\r\n--");
        put_sanitized(&mut head, boundary);
        let closing = [&head, &b"--\r\n"[..]].concat();
        head.put_slice(b"\r\nContent-Type: ");
        put_sanitized(&mut head, content_type);
        head.put_slice(b"\r\nContent-Range: bytes ");
        let mut head_end = vec![b'/'];
        put_decimal(&mut head_end, complete_length);
        head_end.put_slice(b"\r\n\r\n");
        Self {
            parts: parts.into_iter(),
            head,
            head_end,
            closing: Some(closing),
        }
    }

    /// The longest part head in bytes, for a boundary and a media type of these lengths in bytes.
    pub const fn head_bytes_max(boundary_bytes: usize, content_type_bytes: usize) -> usize {
        let words = b"\r\n--\r\nContent-Type: \r\nContent-Range: bytes -/\r\n\r\n".len();
        // The greatest number has 20 digits.
        words + boundary_bytes + content_type_bytes + 3 * 20
    }

    /// Bytes of the body that are still to come: parts, part heads and the closing delimiter. Before the
    /// first [`write_next`](Self::write_next) that is the `Content-Length`. It saturates at `u64::MAX`.
    pub fn remaining_bytes(&self) -> u64 {
        let closing = self.closing.as_ref().map_or(0, Vec::len);
        self.parts
            .as_slice()
            .iter()
            .fold(closing as u64, |sum, range| {
                let numbers = digits(range.start) + 1 + digits(range.end.saturating_sub(1));
                let head = self.head.len() + numbers + self.head_end.len();
                let part = range.end.saturating_sub(range.start);
                sum.saturating_add(head as u64).saturating_add(part)
            })
    }

    /// Appends the next part head to `buf`, and returns the range of the representation that has to
    /// follow it. After the last part it appends the closing delimiter, and returns `None`; further calls
    /// append nothing.
    pub fn write_next(&mut self, buf: &mut impl BufMut) -> Option<Range<u64>> {
        let Some(range) = self.parts.next() else {
            buf.put_slice(&self.closing.take().unwrap_or_default());
            return None;
        };
        buf.put_slice(&self.head);
        put_decimal(buf, range.start);
        buf.put_slice(b"-");
        put_decimal(buf, range.end.saturating_sub(1));
        buf.put_slice(&self.head_end);
        Some(range)
    }
}

/// How many digits a number has in decimal.
fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RangeOutcome, resolve_range};

    const BOUNDARY: &str = "0123456789abcdef";
    const CONTENT_TYPE: &[u8] = b"video/mp4";

    /// The parts that a list of ranges asks for, and the length that the heads say.
    fn multipart(ranges: &[Range<u64>], length: u64) -> Multipart {
        let specs: Vec<_> = ranges
            .iter()
            .map(|range| format!("{}-{}", range.start, range.end - 1))
            .collect();
        match resolve_range(format!("bytes={}", specs.join(",")).as_bytes(), length) {
            RangeOutcome::Parts(parts) => Multipart::new(parts, BOUNDARY, CONTENT_TYPE, length),
            other => panic!("{ranges:?} of {length}: {other:?}"),
        }
    }

    /// Writes all heads; after each piece what remains must be as much less.
    fn assert_exact(mut multipart: Multipart, ranges: &[Range<u64>]) {
        let head_max = Multipart::head_bytes_max(BOUNDARY.len(), CONTENT_TYPE.len());
        let mut remaining = multipart.remaining_bytes();
        for range in ranges {
            let mut head = Vec::new();
            assert_eq!(multipart.write_next(&mut head).as_ref(), Some(range));
            assert!(head.len() <= head_max, "{} of {head_max}", head.len());
            remaining -= head.len() as u64 + (range.end - range.start);
            assert_eq!(multipart.remaining_bytes(), remaining, "{range:?}");
        }
        let mut closing = Vec::new();
        assert_eq!(multipart.write_next(&mut closing), None);
        assert_eq!(closing.len() as u64, remaining);
        for _ in 0..2 {
            assert_eq!(multipart.remaining_bytes(), 0);
            assert_eq!(multipart.write_next(&mut closing), None);
            assert_eq!(closing.len() as u64, remaining);
        }
    }

    /// The numbers at which the count of digits changes, those before and those behind them.
    fn numbers() -> impl Iterator<Item = u64> + Clone {
        (0..20).flat_map(|exponent| [10_u64.pow(exponent) - 1, 10_u64.pow(exponent)])
    }

    #[test]
    fn the_length_is_exact_whatever_numbers_the_heads_have() {
        for first in numbers() {
            for last in numbers().filter(|&last| last >= first) {
                for length in numbers().filter(|&length| length > last) {
                    let long = first..last + 1;
                    // The first byte, or the last, and then all that.
                    let ranges = [0..1, length - 1..length];
                    for short in ranges {
                        let is_apart = short.end < long.start || long.end < short.start;
                        if is_apart {
                            let ranges = [short, long.clone()];
                            assert_exact(multipart(&ranges, length), &ranges);
                        }
                    }
                }
            }
        }
        let (before, behind) = (0..10_u64.pow(19), u64::MAX - 1..u64::MAX);
        let ranges = [behind, before];
        assert_exact(multipart(&ranges, u64::MAX), &ranges);
    }

    #[test]
    fn the_length_is_exact_for_as_many_parts_as_there_may_be() {
        let ranges: Vec<_> = (0..crate::PARTS_MAX as u64)
            .map(|n| 9 * n * n..9 * n * n + 1 + n % 3)
            .collect();
        assert_exact(multipart(&ranges, 1 << 40), &ranges);
    }

    #[test]
    fn the_greatest_body_saturates() {
        let ranges = [0..u64::MAX - 2, u64::MAX - 1..u64::MAX];
        assert_eq!(multipart(&ranges, u64::MAX).remaining_bytes(), u64::MAX);
    }

    #[test]
    fn a_type_cannot_split_a_head() {
        let RangeOutcome::Parts(parts) = resolve_range(b"bytes=0-0,2-2", 3) else {
            panic!("two parts");
        };
        let mut head = Vec::new();
        Multipart::new(parts, "x\r\ny", b"a\r\nB: c\0", 3).write_next(&mut head);
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "\r\n--x  y\r\nContent-Type: a  B: c \r\nContent-Range: bytes 0-0/3\r\n\r\n"
        );
    }
}
