//! Numbers as people read them.

use crate::bench::stats::Spread;

/// What stands where there is no figure.
pub(crate) const NONE: &str = "–";

/// Three digits that count, and a comma between thousands.
pub(crate) fn decimals(number: f64) -> String {
    if !number.is_finite() {
        return NONE.to_owned();
    }
    let size = number.abs();
    if size >= 100.0 {
        return with_commas(&format!("{number:.0}"));
    }
    let digits = match size {
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ if size >= 0.1 => 3,
        _ if size >= 0.01 => 4,
        _ if size >= 1e-6 => 6,
        _ => 0,
    };
    format!("{number:.digits$}")
}

/// A whole number with a comma between thousands.
fn with_commas(digits: &str) -> String {
    let first = digits.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
    let mut text = digits[..first].to_owned();
    for (index, digit) in digits[first..].char_indices() {
        if index > 0 && (digits.len() - first - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same where there may be none.
pub(crate) fn or_none(number: Option<f64>) -> String {
    decimals(number.unwrap_or(f64::NAN))
}

/// A part as a percentage, without the sign.
pub(crate) fn per_cent(part: f64) -> String {
    if part.is_finite() {
        with_commas(&format!("{:.0}", part * 100.0))
    } else {
        NONE.to_owned()
    }
}

/// A ratio: two digits behind the point, as many as anyone can believe.
pub(crate) fn ratio(number: f64) -> String {
    match number {
        _ if !number.is_finite() => NONE.to_owned(),
        _ if number.abs() >= 10.0 => decimals(number),
        _ => format!("{number:.2}"),
    }
}

/// A median with the least and the greatest, where there are several numbers.
pub(crate) fn range(spread: &Spread) -> String {
    if spread.count < 2 {
        return decimals(spread.median);
    }
    format!(
        "{} ({}–{})",
        decimals(spread.median),
        decimals(spread.low),
        decimals(spread.high)
    )
}

/// A size in KiB or MiB, whichever it is a whole number of.
pub(crate) fn size(bytes: u64) -> String {
    match (bytes >> 20, bytes % (1 << 20)) {
        (mib, 0) if mib > 0 => format!("{mib} MiB"),
        _ => format!("{} KiB", bytes >> 10),
    }
}

/// A count, with commas.
pub(crate) fn whole(number: usize) -> String {
    with_commas(&number.to_string())
}

/// A count and what is counted.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    let what = if number == 1 { one } else { many };
    format!("{} {what}", whole(number))
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        for (number, expected) in [
            (0.0, "0"),
            (1234567.8, "1,234,568"),
            (-1234.0, "-1,234"),
            (999.6, "1,000"),
            (123.4, "123"),
            (12.34, "12.3"),
            (1.234, "1.23"),
            (0.1234, "0.123"),
            (0.01234, "0.0123"),
            (0.0001234, "0.000123"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(decimals(number), expected, "{number}");
        }
    }

    #[test]
    fn the_least_and_the_greatest_are_told_where_there_are_rounds() {
        let spread = |count| Spread {
            median: 2.0,
            low: 1.0,
            high: 3.0,
            count,
        };
        assert_eq!(range(&spread(5)), "2.00 (1.00–3.00)");
        assert_eq!(range(&spread(1)), "2.00");
    }

    #[test]
    fn percentages_and_ratios_are_never_not_a_number() {
        assert_eq!([per_cent(0.256), per_cent(f64::NAN)], ["26", "–"]);
        let ratios = [0.256, 1234.5, f64::INFINITY].map(ratio);
        assert_eq!(ratios, ["0.26", "1,234", "–"]);
    }

    #[test]
    fn sizes_are_whole_numbers() {
        let sizes = [64 << 10, 1536 << 10, 64 << 20].map(size);
        assert_eq!(sizes, ["64 KiB", "1536 KiB", "64 MiB"]);
    }

    #[test]
    fn lists_read_as_sentences() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let lists = [0, 1, 2, 3].map(|count| list(&names[..count]));
        assert_eq!(lists, ["", "a", "a and b", "a, b and c"]);
        let counts = [1, 5].map(|number| count(number, "round", "rounds"));
        assert_eq!(counts, ["1 round", "5 rounds"]);
    }
}
