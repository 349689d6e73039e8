//! Ranges, one row for each sentence of RFC 9110 §14 that concerns a single range, and generated
//! values beside a slow twin.

use zc_http::RangeOutcome::{self, Partial, Unsatisfiable, Whole};
use zc_http::resolve_range;

#[path = "harness/random.rs"]
mod random;
use random::Random;

#[test]
fn section_14_row_by_row() {
    let rows = [
        // §14.1.2: first and last position, both included.
        ("bytes=0-0", 10, Partial(0..1)),
        ("bytes=2-5", 10, Partial(2..6)),
        ("bytes=9-9", 10, Partial(9..10)),
        ("bytes=002-0005", 10, Partial(2..6)),
        // A last position at or beyond the end, or none, means the end.
        ("bytes=2-9", 10, Partial(2..10)),
        ("bytes=2-10", 10, Partial(2..10)),
        ("bytes=2-99999999999999999999999", 10, Partial(2..10)),
        ("bytes=2-", 10, Partial(2..10)),
        ("bytes=0-", 10, Partial(0..10)),
        // A suffix counts from the end; one longer than the representation is all of it.
        ("bytes=-1", 10, Partial(9..10)),
        ("bytes=-10", 10, Partial(0..10)),
        ("bytes=-11", 10, Partial(0..10)),
        ("bytes=-99999999999999999999999", 10, Partial(0..10)),
        // Unsatisfiable: the first position is at the end or beyond, or the suffix is zero.
        ("bytes=10-", 10, Unsatisfiable),
        ("bytes=10-20", 10, Unsatisfiable),
        ("bytes=99999999999999999999999-", 10, Unsatisfiable),
        ("bytes=-0", 10, Unsatisfiable),
        // Nothing of an empty representation can be satisfied.
        ("bytes=0-", 0, Unsatisfiable),
        ("bytes=0-0", 0, Unsatisfiable),
        ("bytes=-1", 0, Unsatisfiable),
        ("bytes=-0", 0, Unsatisfiable),
        ("bytes=1-0", 0, Whole),
        ("bytes=x", 0, Whole),
        // Invalid: the last position is less than the first.
        ("bytes=5-4", 10, Whole),
        ("bytes=99-98", 10, Whole),
        // §14.1: unit names have no case; other units are ignored.
        ("Bytes=0-0", 10, Partial(0..1)),
        ("BYTES=0-0", 10, Partial(0..1)),
        ("items=0-0", 10, Whole),
        ("bytesx=0-0", 10, Whole),
        // §5.6.1.2: empty list elements and white space around commas are nothing.
        ("bytes=,0-0", 10, Partial(0..1)),
        ("bytes=0-0,", 10, Partial(0..1)),
        ("bytes=, \t0-0 ,, ", 10, Partial(0..1)),
        ("bytes=", 10, Whole),
        ("bytes=,", 10, Whole),
        // Several ranges are not supported, and ignored.
        ("bytes=0-0,2-2", 10, Whole),
        ("bytes=0-0,99-", 10, Whole),
        ("bytes=0-0,x", 10, Whole),
        // Syntax errors are ignored.
        ("", 10, Whole),
        ("bytes", 10, Whole),
        ("bytes 0-0", 10, Whole),
        ("bytes =0-0", 10, Whole),
        ("bytes= 0-0", 10, Whole),
        ("bytes=0 -0", 10, Whole),
        ("bytes=0- 0", 10, Whole),
        ("bytes=0", 10, Whole),
        ("bytes=-", 10, Whole),
        ("bytes=--1", 10, Whole),
        ("bytes=0-0-0", 10, Whole),
        ("bytes=+0-0", 10, Whole),
        ("bytes=0-+1", 10, Whole),
        ("bytes=0x0-1", 10, Whole),
        ("bytes=a-b", 10, Whole),
        ("bytes=0-1;", 10, Whole),
        ("bytes=\u{661}-", 10, Whole),
    ];
    for (value, length, expected) in rows {
        assert_eq!(
            resolve_range(value.as_bytes(), length),
            expected,
            "{value} of {length}"
        );
    }
}

#[test]
fn generated_values_agree_with_the_twin() {
    let mut random = Random::new(0x5EED_0004);
    let parts = [
        "bytes=",
        "bytes=",
        "bytes=",
        "-",
        "-",
        "-",
        ",",
        " ",
        "0",
        "1",
        "7",
        "12",
        "18446744073709551614",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999",
        "x",
        "Bytes=",
    ];
    let lengths = [0, 1, 2, 8, 13, u64::MAX - 1, u64::MAX];
    let mut counts = [0; 3];
    for round in 0..100_000 {
        let mut value = String::from(if round % 8 == 0 { "" } else { "bytes=" });
        for _ in 0..random.below(6) {
            value.push_str(random.choose::<&str>(&parts));
        }
        let length = *random.choose(&lengths);
        let found = resolve_range(value.as_bytes(), length);
        assert_eq!(found, twin(&value, length), "{value:?} of {length}");
        match found {
            Whole => counts[0] += 1,
            Unsatisfiable => counts[2] += 1,
            Partial(range) => {
                assert!(
                    range.start < range.end && range.end <= length,
                    "{value:?} of {length}"
                );
                counts[1] += 1;
            }
        }
    }
    assert!(
        counts.iter().all(|&count| count > 1_000),
        "one-sided inputs: {counts:?}"
    );
}

/// The same rules in wider numbers, and with digits compared as padded text.
fn twin(value: &str, length: u64) -> RangeOutcome {
    let Some((unit, set)) = value.split_once('=') else {
        return Whole;
    };
    if unit.to_lowercase() != "bytes" || set.starts_with(' ') {
        return Whole;
    }
    let specs: Vec<&str> = set
        .split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .collect();
    let [spec] = specs[..] else {
        return Whole;
    };
    let Some((from, to)) = spec.split_once('-') else {
        return Whole;
    };
    if !(from.to_owned() + to).chars().all(|c| c.is_ascii_digit()) {
        return Whole;
    }
    // Digits as a number, the greatest there is where they are too many.
    let number = |digits: &str| match digits {
        "" => None,
        _ => Some(digits.parse().unwrap_or(u128::MAX)),
    };
    let end = u128::from(length);
    let (start, stop) = match (number(from), number(to)) {
        (None, None) => return Whole,
        (None, Some(suffix)) => (end.saturating_sub(suffix), end),
        (Some(first), None) => (first, end),
        (Some(_), Some(_)) if format!("{from:0>200}") > format!("{to:0>200}") => return Whole,
        (Some(first), Some(last)) => (first, end.min(last.saturating_add(1))),
    };
    if start >= stop {
        return Unsatisfiable;
    }
    Partial(start.try_into().unwrap()..stop.try_into().unwrap())
}
