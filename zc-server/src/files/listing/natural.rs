//! Natural order of names: numbers by their value, and letters without regard to case.

use std::cmp::Ordering;

/// Compares two names: `file2` comes before `file10`, and `b` before `C`. Names that differ in case or
/// leading zeros alone are ordered by their bytes.
pub(crate) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let by_value = compare_text(&String::from_utf8_lossy(a), &String::from_utf8_lossy(b));
    by_value.then_with(|| a.cmp(b))
}

fn compare_text(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let (Some(x), Some(y)) = (a.chars().next(), b.chars().next()) else {
            return a.len().cmp(&b.len());
        };
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number, other);
            (number, a) = split_number(a);
            (other, b) = split_number(b);
            // Of numbers without leading zeros the one with more digits is greater.
            number
                .len()
                .cmp(&other.len())
                .then_with(|| number.cmp(other))
        } else {
            (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]);
            x.to_lowercase().cmp(y.to_lowercase())
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The digits that `text` begins with, without leading zeros, and what follows them.
fn split_number(text: &str) -> (&str, &str) {
    let end = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.trim_start_matches('0'), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_count_by_value_and_case_does_not_count() {
        let sorted: [&[u8]; 17] = [
            b"",
            b"2 tracks",
            b"10 tracks",
            b"a",
            b"B",
            b"b1",
            b"b01",
            b"B2",
            b"b10",
            b"c99999999999999999999998",
            b"c99999999999999999999999",
            b"IMG_9.jpg",
            b"img_10.jpg",
            b"v1.9.0",
            b"v1.10.0",
            "\u{e4}pfel".as_bytes(),
            "\u{c4}pfel 2".as_bytes(),
        ];
        for (index, name) in sorted.iter().enumerate() {
            for (other_index, other) in sorted.iter().enumerate() {
                let expected = index.cmp(&other_index);
                // `b1` and `b01` are equal but for their bytes.
                let is_tie = index != other_index && compare_lossy(name, other) == Ordering::Equal;
                let expected = if is_tie { name.cmp(other) } else { expected };
                assert_eq!(
                    compare(name, other),
                    expected,
                    "{} and {}",
                    name.escape_ascii(),
                    other.escape_ascii()
                );
            }
        }
    }

    fn compare_lossy(a: &[u8], b: &[u8]) -> Ordering {
        compare_text(&String::from_utf8_lossy(a), &String::from_utf8_lossy(b))
    }

    proptest! {
        /// A sort may panic over an order that contradicts itself.
        #[test]
        fn the_order_is_total(names in prop::collection::vec("[0-2aAbB\u{e4}\u{c4}/:_]{0,5}", 3)) {
            let [a, b, c] = [&names[0], &names[1], &names[2]].map(|name| name.as_bytes());
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            prop_assert_eq!(compare(a, b) == Ordering::Equal, a == b);
            if compare(a, b) != Ordering::Greater && compare(b, c) != Ordering::Greater {
                prop_assert_ne!(compare(a, c), Ordering::Greater);
            }
        }
    }
}
