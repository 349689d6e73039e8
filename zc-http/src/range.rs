//! Range requests.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use crate::grammar::{is_ows, list_pieces};

/// The most parts of one response. Players and readers of documents ask for a handful; an attacker
/// asks for thousands, each of which would cost a head of its own.
pub const PARTS_MAX: usize = 16;

/// Which part of a representation to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack of the one call that plans a response; a box would allocate"
)]
pub enum RangeOutcome {
    /// All of it with 200, as though there were no `Range` field.
    Whole,
    /// These bytes with 206. Never empty, and within the representation.
    Partial(Range<u64>),
    /// Several stretches with 206, as `multipart/byteranges`.
    Parts(Parts),
    /// None, with 416: the range lies outside the representation.
    Unsatisfiable,
}

/// Stretches of a representation: at least two and at most [`PARTS_MAX`], none of them empty, and
/// no two that overlap or touch. They stand in the order in which they were asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// First position, and the one behind the last.
    ranges: [(u64, u64); PARTS_MAX],
    /// Invariant: at most `PARTS_MAX`.
    len: usize,
}

/// Decides what the `Range` field value `value` asks of a representation of `length` bytes, by
/// [RFC 9110 §14](https://www.rfc-editor.org/rfc/rfc9110#section-14).
///
/// A value that is malformed or in another unit than `bytes` is ignored, as
/// [§14.2](https://www.rfc-editor.org/rfc/rfc9110#section-14.2) permits. Positions beyond `u64`
/// count as beyond any end. Of several ranges those that cannot be satisfied are left out, those
/// that overlap or touch become one, and what then has more than [`PARTS_MAX`] parts is ignored
/// ([§15.3.7.2](https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.2),
/// [§17.15](https://www.rfc-editor.org/rfc/rfc9110#section-17.15)): together they are never longer
/// than the representation.
///
/// ```
/// use zc_http::{RangeOutcome, resolve_range};
///
/// assert_eq!(resolve_range(b"bytes=10-", 100), RangeOutcome::Partial(10..100));
/// assert_eq!(resolve_range(b"bytes=0-9,5-19", 100), RangeOutcome::Partial(0..20));
/// assert_eq!(resolve_range(b"bytes=100-", 100), RangeOutcome::Unsatisfiable);
/// assert_eq!(resolve_range(b"bytes=9-1", 100), RangeOutcome::Whole);
/// let RangeOutcome::Parts(parts) = resolve_range(b"bytes=-1,0-1,200-", 100) else {
///     panic!("two of the three can be had");
/// };
/// assert_eq!(parts.iter().collect::<Vec<_>>(), [99..100, 0..2]);
/// ```
pub fn resolve_range(value: &[u8], length: u64) -> RangeOutcome {
    let Some(specs) = specs(value) else {
        return RangeOutcome::Whole;
    };
    let mut parts = Parts {
        ranges: [(0, 0); PARTS_MAX],
        len: 0,
    };
    let mut has_spec = false;
    for spec in specs {
        let Some(spec) = Spec::read(spec) else {
            return RangeOutcome::Whole;
        };
        has_spec = true;
        let (start, end) = spec.within(length);
        if start < end && !parts.add((start, end)) {
            return RangeOutcome::Whole;
        }
    }
    match parts.ranges.get(..parts.len) {
        Some([]) if has_spec => RangeOutcome::Unsatisfiable,
        Some([(start, end)]) => RangeOutcome::Partial(*start..*end),
        Some([_, ..]) => RangeOutcome::Parts(parts),
        _ => RangeOutcome::Whole,
    }
}

impl Parts {
    /// The parts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Range<u64>> + '_ {
        let ranges = self.ranges.get(..self.len).unwrap_or_default();
        ranges.iter().map(|&(start, end)| start..end)
    }

    /// Adds a range that is not empty; one that touches others becomes one with them, in the place
    /// of the first. Answers false when there is no room.
    fn add(&mut self, (mut start, mut end): (u64, u64)) -> bool {
        let mut place = self.len;
        // Each turn takes one out, and the longer range may touch what the shorter one did not.
        while let Some(index) = self.touching(start, end) {
            let (other_start, other_end) = self.remove(index);
            start = start.min(other_start);
            end = end.max(other_end);
            place = place.min(index);
        }
        let Some(behind) = self.ranges.get_mut(place..=self.len) else {
            return false;
        };
        behind.rotate_right(1);
        if let Some(slot) = behind.first_mut() {
            *slot = (start, end);
        }
        self.len += 1;
        true
    }

    /// The first part that overlaps these bytes or lies right beside them.
    fn touching(&self, start: u64, end: u64) -> Option<usize> {
        let parts = self.ranges.get(..self.len)?;
        parts
            .iter()
            .position(|&(other_start, other_end)| other_start <= end && start <= other_end)
    }

    fn remove(&mut self, index: usize) -> (u64, u64) {
        let Some(behind) = self.ranges.get_mut(index..self.len) else {
            return (0, 0);
        };
        behind.rotate_left(1);
        self.len -= 1;
        // Zero from `len` on, so that equal parts have equal bytes.
        self.ranges.get_mut(self.len).map_or((0, 0), std::mem::take)
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One range as written, its numbers saturated to `u64`.
enum Spec {
    /// `first-last`, and `first-` with the greatest `last` there is. In order as written.
    From { first: u64, last: u64 },
    /// `-bytes`: so many at the end.
    Suffix { bytes: u64 },
}

impl Spec {
    /// First position and the one behind the last, in a representation of `length` bytes; the
    /// first is not less than the second where there are no such bytes.
    fn within(&self, length: u64) -> (u64, u64) {
        match *self {
            Self::From { first, last } => (first, last.saturating_add(1).min(length)),
            Self::Suffix { bytes } => (length.saturating_sub(bytes), length),
        }
    }

    fn read(spec: &[u8]) -> Option<Self> {
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

/// The ranges in a value of unit `bytes`, as written.
///
/// White space may stand around commas alone, and list elements may be empty
/// ([RFC 9110 §5.6.1.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1.2)).
fn specs(value: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let (unit, set) = value.split_at_checked("bytes=".len())?;
    if !unit.eq_ignore_ascii_case(b"bytes=") || set.first().copied().is_some_and(is_ows) {
        return None;
    }
    Some(list_pieces(set).filter(|spec| !spec.is_empty()))
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
