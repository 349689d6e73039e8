//! The field `Range`: the input is its value.
//!
//! Parts are never empty, lie within the representation, neither overlap nor touch, and are never
//! too many. The twin finds the same ones, and asking for what was found finds it again. A body of
//! several parts is as long as it says before.

use zc_http::{Multipart, PARTS_MAX, RangeOutcome, resolve_range};

use super::range_twin::{Outcome, outcome, twin};

/// Checks `data` as a value, for representations of many lengths.
pub(crate) fn check(data: &[u8]) {
    let mut lengths = vec![0, 1, 2, 10, 1000, u64::MAX - 1, u64::MAX];
    // Rules change where a position meets the end, so ends are put where the positions are.
    for number in numbers(data).take(4) {
        lengths.extend([number.wrapping_sub(1), number, number.wrapping_add(1)]);
    }
    for length in lengths {
        check_with(data, length);
    }
}

/// The numbers in `data`, as far as they fit.
fn numbers(data: &[u8]) -> impl Iterator<Item = u64> {
    let digits = data.split(|byte| !byte.is_ascii_digit());
    digits.filter_map(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
}

fn check_with(value: &[u8], length: u64) {
    let text = super::escaped(value);
    let found = outcome(value, length);
    assert_eq!(found, twin(value, length), "{text} of {length}");
    let parts = match found {
        Outcome::Whole | Outcome::Unsatisfiable => return,
        Outcome::Partial(range) => vec![range],
        Outcome::Parts(parts) => {
            assert!(parts.len() >= 2, "{text} of {length}");
            parts
        }
    };
    assert!(parts.len() <= PARTS_MAX, "{text} of {length}");
    let mut sum: u64 = 0;
    for (index, part) in parts.iter().enumerate() {
        assert!(part.start < part.end, "{text} of {length}: {part:?}");
        assert!(part.end <= length, "{text} of {length}: {part:?}");
        for other in parts.iter().take(index) {
            let is_apart = part.end < other.start || other.end < part.start;
            assert!(is_apart, "{text} of {length}: {other:?} and {part:?}");
        }
        sum = sum.checked_add(part.end - part.start).expect("a sum");
    }
    assert!(sum <= length, "{text} of {length}: {sum}");

    let specs: Vec<_> = parts
        .iter()
        .map(|part| format!("{}-{}", part.start, part.end - 1))
        .collect();
    let again = format!("bytes={}", specs.join(", "));
    match resolve_range(again.as_bytes(), length) {
        RangeOutcome::Partial(range) => assert_eq!(vec![range], parts, "{again} of {length}"),
        RangeOutcome::Parts(found) => {
            assert_eq!(found.iter().collect::<Vec<_>>(), parts, "{again}");
            let multipart = Multipart::new(found, "boundary", b"text/plain", length);
            assert!(is_exact(multipart, sum), "{again} of {length}");
        }
        other => panic!("{again} of {length}: {other:?}"),
    }
}

/// Whether the body is as long as is said before, with parts of `sum` bytes in it.
fn is_exact(mut multipart: Multipart, sum: u64) -> bool {
    let said = multipart.remaining_bytes();
    let mut between = Vec::new();
    while multipart.write_next(&mut between).is_some() {}
    said == sum.saturating_add(between.len() as u64)
}
