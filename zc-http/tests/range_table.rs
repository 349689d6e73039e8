//! Ranges, one row for each sentence of RFC 9110 §14 and §15.3.7, and generated values beside a slow
//! twin.

use std::ops::Range;

use zc_http::PARTS_MAX;

#[path = "harness/random.rs"]
mod random;
#[path = "harness/range_twin.rs"]
mod range_twin;
use random::Random;
use range_twin::Outcome::{self, Partial, Parts, Unsatisfiable, Whole};

fn outcome(value: &str, length: u64) -> Outcome {
    range_twin::outcome(value.as_bytes(), length)
}

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
        // Of an empty representation all is sent, whatever part is asked for.
        ("bytes=0-", 0, Whole),
        ("bytes=0-0", 0, Whole),
        ("bytes=0-1023", 0, Whole),
        ("bytes=1-", 0, Whole),
        ("bytes=-1", 0, Whole),
        ("bytes=-0", 0, Whole),
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
        ("bytes= , 0-9 ,", 10, Partial(0..10)),
        ("bytes=\t ,,\t,0-0", 10, Partial(0..1)),
        ("bytes=0-0\t, \t", 10, Partial(0..1)),
        ("bytes=", 10, Whole),
        ("bytes=,", 10, Whole),
        ("bytes= ", 10, Whole),
        ("bytes= ,\t, ", 10, Whole),
        // White space that has no comma beside it is none of the list.
        ("bytes= 0-0,", 10, Whole),
        ("bytes=,0-0 ", 10, Whole),
        ("bytes=0-0 ", 10, Whole),
        ("bytes=0-0 2-2", 10, Whole),
        ("bytes=\u{b},0-0", 10, Whole),
        // One that is malformed spoils the others, wherever it stands.
        ("bytes=0-0,x", 10, Whole),
        ("bytes=x,0-0", 10, Whole),
        ("bytes=0-0,5-4", 10, Whole),
        ("bytes=99-,x", 10, Whole),
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
        assert_eq!(outcome(value, length), expected, "{value} of {length}");
    }
}

#[test]
fn section_15_3_7_row_by_row() {
    let rows = [
        // Several parts, in the order in which they were asked for.
        ("bytes=0-0,2-2", 10, Parts(vec![0..1, 2..3])),
        ("bytes=8-9,0-1", 10, Parts(vec![8..10, 0..2])),
        ("bytes=-1,0-0", 10, Parts(vec![9..10, 0..1])),
        ("bytes=0-0, 2-2 ,\t4-", 10, Parts(vec![0..1, 2..3, 4..10])),
        // Those that cannot be satisfied are left out; with one left it is no multipart.
        ("bytes=0-0,99-,2-2", 10, Parts(vec![0..1, 2..3])),
        ("bytes=0-0,99-", 10, Partial(0..1)),
        ("bytes=99-,0-0", 10, Partial(0..1)),
        // With none left the range as a whole is not satisfiable.
        ("bytes=10-,99-100", 10, Unsatisfiable),
        ("bytes=-0,10-", 10, Unsatisfiable),
        ("bytes=0-0,-1", 0, Whole),
        ("bytes=0-0,5-9,-1", 0, Whole),
        // Overlapping and adjacent ones become one, in the place of the first.
        ("bytes=0-5,3-8", 10, Partial(0..9)),
        ("bytes=3-8,0-5", 10, Partial(0..9)),
        ("bytes=0-2,3-5", 10, Partial(0..6)),
        ("bytes=3-5,0-2", 10, Partial(0..6)),
        ("bytes=0-9,0-9,0-9", 10, Partial(0..10)),
        ("bytes=0-0,1-1,0-0", 10, Partial(0..2)),
        ("bytes=0-,-10,5-5", 10, Partial(0..10)),
        ("bytes=7-8,0-1,2-3", 10, Parts(vec![7..9, 0..4])),
        ("bytes=0-1,7-8,2-3", 10, Parts(vec![0..4, 7..9])),
        // One that bridges two joins all three.
        ("bytes=0-1,4-5,2-3", 10, Partial(0..6)),
        ("bytes=4-5,0-1,2-3", 10, Partial(0..6)),
        ("bytes=8-8,4-5,0-1,2-3", 10, Parts(vec![8..9, 0..6])),
        // A gap of one byte is no touch.
        ("bytes=0-1,3-4", 10, Parts(vec![0..2, 3..5])),
    ];
    for (value, length, expected) in rows {
        // The parts of a list as written are the same in a field of many more empty elements.
        let padded = value.replace(',', ",, ,");
        for value in [value, &padded] {
            assert_eq!(outcome(value, length), expected, "{value} of {length}");
        }
    }
}

#[test]
fn as_many_parts_as_allowed_and_no_more() {
    let many = |count: usize| {
        let specs: Vec<_> = (0..count).map(|n| format!("{}-{}", n * 2, n * 2)).collect();
        format!("bytes={}", specs.join(","))
    };
    let expected = (0..PARTS_MAX as u64).map(|n| n * 2..n * 2 + 1).collect();
    assert_eq!(outcome(&many(PARTS_MAX), 10_000), Parts(expected));
    assert_eq!(outcome(&many(PARTS_MAX + 1), 10_000), Whole);
    assert_eq!(outcome(&many(2_000), 10_000), Whole);
    // In whatever order they come: the last one is one too many wherever it stands.
    let mut specs: Vec<_> = (0..=PARTS_MAX as u64).map(|n| n * 2..n * 2 + 1).collect();
    let mut random = Random::new(0x5EED_0008);
    for _ in 0..100 {
        for at in (1..specs.len()).rev() {
            specs.swap(at, random.below(at + 1));
        }
        let value = |specs: &[Range<u64>]| {
            let specs: Vec<_> = specs.iter().map(|s| format!("{0}-{0}", s.start)).collect();
            format!("bytes={}", specs.join(","))
        };
        assert_eq!(outcome(&value(&specs), 10_000), Whole);
        let fewer = specs[1..].to_vec();
        assert_eq!(outcome(&value(&fewer), 10_000), Parts(fewer));
    }
    // What cannot be satisfied and what is asked for again do not count.
    let satisfiable = many(PARTS_MAX);
    let padded = format!(
        "{satisfiable},99999-,{},20000-",
        &satisfiable["bytes=".len()..]
    );
    assert_eq!(outcome(&padded, 10_000), outcome(&satisfiable, 10_000));
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
    let mut counts = [0; 4];
    let mut most = 0;
    for round in 0..100_000 {
        let mut value = String::from(if round % 8 == 0 { "" } else { "bytes=" });
        let mut length = *random.choose(&lengths);
        if round % 100 == 3 {
            length = 3_000;
            value.push_str(&list_of_ranges(&mut random, 500, 1_500));
        } else if round % 3 == 0 {
            length = random.below(100) as u64;
            value.push_str(&list_of_ranges(&mut random, 25, 40));
        } else {
            for _ in 0..random.below(6) {
                value.push_str(random.choose::<&str>(&parts));
            }
        }
        let found = outcome(&value, length);
        assert_eq!(
            found,
            range_twin::twin(value.as_bytes(), length),
            "{value:?} of {length}"
        );
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
            Parts(ranges) => {
                let sum: u128 = ranges.iter().map(|r| u128::from(r.end - r.start)).sum();
                assert!(
                    sum < u128::from(length),
                    "{value:?} of {length}: {ranges:?}"
                );
                assert!((2..=PARTS_MAX).contains(&ranges.len()));
                most = most.max(ranges.len());
                counts[3] += 1;
            }
        }
    }
    assert!(
        counts.iter().all(|&count| count > 1_000) && most > PARTS_MAX * 3 / 4,
        "one-sided inputs: {counts:?}, {most}"
    );
}

/// Ranges, most of them valid, fewer than `count`, in any order within so many positions.
fn list_of_ranges(random: &mut Random, count: usize, positions: usize) -> String {
    let mut list = String::new();
    let step = *random.choose(&[1, 2, 5]);
    for _ in 0..random.below(count) {
        let first = random.below(positions) * step;
        let last = first + random.below(3) * step;
        list.push_str(&match random.below(40.max(count)) {
            0 => format!("-{first},"),
            1 => format!("{first}-,"),
            2 if step == 5 => format!("{last}-{first},"),
            _ => format!("{first}-{last},"),
        });
    }
    list
}
