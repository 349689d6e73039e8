//! Range requests.

use std::cmp::Ordering;
use std::ops::Range;

use crate::grammar::{is_ows, trim_ows};

/// Which part of a representation to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeOutcome {
    /// All of it with 200, as though there were no `Range` field.
    Whole,
    /// These bytes with 206. Never empty, and within the representation.
    Partial(Range<u64>),
    /// None, with 416: the range lies outside the representation.
    Unsatisfiable,
}

/// Decides what the `Range` field value `value` asks of a representation of `length` bytes, by
/// [RFC 9110 §14](https://www.rfc-editor.org/rfc/rfc9110#section-14).
///
/// A value that is malformed, is in another unit than `bytes`, or names several ranges is ignored,
/// as [§14.2](https://www.rfc-editor.org/rfc/rfc9110#section-14.2) permits. Positions beyond `u64`
/// count as beyond any end.
///
/// ```
/// use zc_http::{RangeOutcome, resolve_range};
///
/// assert_eq!(resolve_range(b"bytes=10-", 100), RangeOutcome::Partial(10..100));
/// assert_eq!(resolve_range(b"bytes=100-", 100), RangeOutcome::Unsatisfiable);
/// assert_eq!(resolve_range(b"bytes=9-1", 100), RangeOutcome::Whole);
/// ```
pub fn resolve_range(value: &[u8], length: u64) -> RangeOutcome {
    let Some(spec) = single_spec(value).and_then(Spec::read) else {
        return RangeOutcome::Whole;
    };
    let range = match spec {
        Spec::From { first, last } => first..last.saturating_add(1).min(length),
        Spec::Suffix { bytes } => length.saturating_sub(bytes)..length,
    };
    if range.is_empty() {
        RangeOutcome::Unsatisfiable
    } else {
        RangeOutcome::Partial(range)
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

/// The only range in a value of unit `bytes`; `None` when there are none or several.
///
/// White space may stand around commas alone, and list elements may be empty
/// ([RFC 9110 §5.6.1.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1.2)).
fn single_spec(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.split_at_checked("bytes=".len())?;
    if !unit.eq_ignore_ascii_case(b"bytes=") || set.first().copied().is_some_and(is_ows) {
        return None;
    }
    let mut specs = set
        .split(|&byte| byte == b',')
        .map(trim_ows)
        .filter(|spec| !spec.is_empty());
    let spec = specs.next()?;
    specs.next().is_none().then_some(spec)
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
