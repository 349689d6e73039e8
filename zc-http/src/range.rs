//! Range requests.

use std::cmp::Ordering;
use std::ops::Range;

use crate::grammar::{is_ows, list_pieces, trim_ows};

/// The most parts of one response. `zsync` asks for 20 at a time and `zckdl` for 256; an attacker asks
/// for thousands, each of which would cost a head of its own.
///
/// Together the parts are never longer than the representation. Their heads have less than 63 KiB where
/// boundary and media type have up to 140 bytes together, by
/// [`Multipart::head_bytes_max`](crate::Multipart::head_bytes_max). A response to any `Range` field is
/// then at most 64 KiB longer than the representation.
pub const PARTS_MAX: usize = 256;

/// Which part of a representation to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeOutcome {
    /// All of it with 200, as though there were no `Range` field.
    Whole,
    /// These bytes with 206. Never empty, and within the representation.
    Partial(Range<u64>),
    /// Several ranges with 206, as `multipart/byteranges`.
    Parts(Parts),
    /// None, with 416: the range lies outside the representation.
    Unsatisfiable,
}

/// Ranges of a representation, in bytes: at least two and at most [`PARTS_MAX`]. None is empty, and no
/// two overlap or touch. They are in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts(Vec<Range<u64>>);

/// Decides what the `Range` field value `value` asks of a representation of `length` bytes, by
/// [RFC 9110 §14](https://www.rfc-editor.org/rfc/rfc9110#section-14).
///
/// A value that is malformed or in another unit than `bytes` is ignored, as
/// [§14.2](https://www.rfc-editor.org/rfc/rfc9110#section-14.2) permits. Every value is ignored where
/// the representation is empty: a 206 could not name its range, and clients take a 416 for a failure.
/// Positions beyond `u64` count as beyond any end. Of several ranges those that cannot be satisfied are
/// left out, those that overlap or touch become one, and a list that comes to more than [`PARTS_MAX`]
/// parts at any point is ignored ([§15.3.7.2](https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2),
/// [§17.15](https://www.rfc-editor.org/rfc/rfc9110#section-17.15)): together they are never longer
/// than the representation.
///
/// A list of ranges takes up to 6 KiB on the heap. A single range allocates nothing.
///
/// ```
/// use zc_http::{RangeOutcome, resolve_range};
///
/// assert_eq!(resolve_range(b"bytes=10-", 100), RangeOutcome::Partial(10..100));
/// assert_eq!(resolve_range(b"bytes=0-9,5-19", 100), RangeOutcome::Partial(0..20));
/// assert_eq!(resolve_range(b"bytes=100-", 100), RangeOutcome::Unsatisfiable);
/// assert_eq!(resolve_range(b"bytes=9-1", 100), RangeOutcome::Whole);
/// assert_eq!(resolve_range(b"bytes=0-9", 0), RangeOutcome::Whole);
/// let RangeOutcome::Parts(parts) = resolve_range(b"bytes=-1,0-1,200-", 100) else {
///     panic!("two of the three can be had");
/// };
/// assert_eq!(parts.iter().collect::<Vec<_>>(), [99..100, 0..2]);
/// ```
pub fn resolve_range(value: &[u8], length: u64) -> RangeOutcome {
    let outcome = match byte_range_set(value) {
        Some(set) if length > 0 => match memchr::memchr(b',', set) {
            None => resolve_single(set, length),
            Some(_) => resolve_list(set, length),
        },
        _ => None,
    };
    outcome.unwrap_or(RangeOutcome::Whole)
}

impl Parts {
    /// The parts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Range<u64>> + '_ {
        self.0.iter().cloned()
    }
}

impl IntoIterator for Parts {
    type Item = Range<u64>;
    type IntoIter = std::vec::IntoIter<Range<u64>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The outcome of one range; `None` when it is malformed.
fn resolve_single(spec: &[u8], length: u64) -> Option<RangeOutcome> {
    let (start, end) = RangeSpec::parse(spec)?.within(length);
    Some(if start < end {
        RangeOutcome::Partial(start..end)
    } else {
        RangeOutcome::Unsatisfiable
    })
}

/// The outcome of a list of ranges; `None` when one is malformed, or there are none or too many.
fn resolve_list(set: &[u8], length: u64) -> Option<RangeOutcome> {
    let mut coalesced = Coalesced::default();
    let mut count = 0;
    for spec in list_pieces(set).filter(|spec| !spec.is_empty()) {
        let (start, end) = RangeSpec::parse(spec)?.within(length);
        let asked = Requested {
            start,
            end,
            index: count,
        };
        if start < end && !coalesced.add(asked) {
            return None;
        }
        count += 1;
    }
    (count > 0).then(|| coalesced.outcome())
}

/// Requested ranges by ascending position. No two of them overlap or touch.
#[derive(Default)]
struct Coalesced(Vec<Requested>);

/// A requested range that is not empty, in bytes.
#[derive(Clone, Copy)]
struct Requested {
    start: u64,
    /// Exclusive.
    end: u64,
    /// Its index in the request; of coalesced ranges the lowest index.
    index: usize,
}

impl Coalesced {
    /// Adds a range, coalesced with those that it overlaps or touches. Answers false when there is no
    /// room.
    ///
    /// Clients mostly ask in ascending order, and then it goes to the end. Otherwise its position is found
    /// by bisection, and at most [`PARTS_MAX`] ranges of 24 bytes are moved.
    fn add(&mut self, mut asked: Requested) -> bool {
        let ranges = &mut self.0;
        let from = match ranges.last() {
            Some(last) if asked.start <= last.end => {
                ranges.partition_point(|other| other.end < asked.start)
            }
            _ => ranges.len(),
        };
        let mut touched = 0;
        for other in ranges.get(from..).unwrap_or_default() {
            if other.start > asked.end {
                break;
            }
            asked.start = asked.start.min(other.start);
            asked.end = asked.end.max(other.end);
            asked.index = asked.index.min(other.index);
            touched += 1;
        }
        if touched == 0 {
            let has_room = ranges.len() < PARTS_MAX;
            if has_room {
                ranges.insert(from, asked);
            }
            return has_room;
        }
        if let Some(first) = ranges.get_mut(from) {
            *first = asked;
        }
        ranges.drain(from + 1..from + touched);
        true
    }

    fn outcome(self) -> RangeOutcome {
        let mut ranges = self.0;
        match ranges[..] {
            [] => RangeOutcome::Unsatisfiable,
            [Requested { start, end, .. }] => RangeOutcome::Partial(start..end),
            _ => {
                ranges.sort_unstable_by_key(|range| range.index);
                let range = |range: Requested| range.start..range.end;
                RangeOutcome::Parts(Parts(ranges.into_iter().map(range).collect()))
            }
        }
    }
}

/// One range as written, its numbers saturated to `u64`.
enum RangeSpec {
    /// `first-last`, and `first-` with the greatest `last` there is. In order as written.
    From { first: u64, last: u64 },
    /// `-bytes`: so many at the end.
    Suffix { bytes: u64 },
}

impl RangeSpec {
    /// First position and the one behind the last, in a representation of `length` bytes; the
    /// first is not less than the second where there are no such bytes.
    fn within(&self, length: u64) -> (u64, u64) {
        match *self {
            Self::From { first, last } => (first, last.saturating_add(1).min(length)),
            Self::Suffix { bytes } => (length.saturating_sub(bytes), length),
        }
    }

    fn parse(spec: &[u8]) -> Option<Self> {
        let dash = memchr::memchr(b'-', spec)?;
        let (first, rest) = spec.split_at_checked(dash)?;
        let last = rest.get(1..)?;
        match (first, last) {
            ([], _) => Some(Self::Suffix {
                bytes: saturating_decimal(last)?,
            }),
            (_, []) => Some(Self::From {
                first: saturating_decimal(first)?,
                last: u64::MAX,
            }),
            _ => {
                let from = Self::From {
                    first: saturating_decimal(first)?,
                    last: saturating_decimal(last)?,
                };
                (compare_decimals(first, last) != Ordering::Greater).then_some(from)
            }
        }
    }
}

/// The ranges in a value of unit `bytes`, as written: one, or a list.
///
/// White space may stand around the commas of the list alone
/// ([RFC 9110 §5.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1)), so that at either end of
/// the set it has a comma beside it.
fn byte_range_set(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.split_at_checked("bytes=".len())?;
    let inner = trim_ows(set);
    let is_plain = |outer: Option<&u8>, inner: Option<&u8>| match outer {
        Some(&byte) if is_ows(byte) => inner == Some(&b','),
        _ => true,
    };
    let is_set = unit.eq_ignore_ascii_case(b"bytes=")
        && is_plain(set.first(), inner.first())
        && is_plain(set.last(), inner.last());
    is_set.then_some(set)
}

/// The value of `1*DIGIT`, or the greatest `u64` where it is beyond that.
fn saturating_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &byte| {
        let digit = char::from(byte).to_digit(10)?;
        Some(value.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}

/// Compares two digit runs as numbers of any size, so that saturation hides no wrong order.
fn compare_decimals(left: &[u8], right: &[u8]) -> Ordering {
    let left = without_leading_zeros(left);
    let right = without_leading_zeros(right);
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&byte| byte == b'0').count();
    digits.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturation_keeps_the_order_as_written() {
        let greater = b"bytes=99999999999999999999999-99999999999999999999998";
        assert_eq!(resolve_range(greater, 10), RangeOutcome::Whole);
        let equal = b"bytes=99999999999999999999999-0099999999999999999999999";
        assert_eq!(resolve_range(equal, 10), RangeOutcome::Unsatisfiable);
    }

    #[test]
    fn the_greatest_length_does_not_overflow() {
        let all = RangeOutcome::Partial(0..u64::MAX);
        assert_eq!(
            resolve_range(b"bytes=0-18446744073709551615", u64::MAX),
            all
        );
        assert_eq!(resolve_range(b"bytes=-18446744073709551615", u64::MAX), all);
        let last = RangeOutcome::Partial(u64::MAX - 1..u64::MAX);
        assert_eq!(resolve_range(b"bytes=-1", u64::MAX), last);
    }
}
