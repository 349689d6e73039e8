//! Sizes as people write and read them.

use std::borrow::Cow;

/// The units of sizes, each 1000 times the one before.
const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];

/// A size with a unit, of three digits at most.
pub(crate) fn size(bytes: u64) -> Cow<'static, str> {
    if bytes < 1000 {
        return format!("{bytes} B").into();
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    // Rounded up to 1000 a value belongs to the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.95 { 1 } else { 0 };
    format!("{value:.digits$} {}", UNITS[unit]).into()
}

/// Reads a size in bytes: a number, and a unit behind it or none. `k`, `M`, `G`, `T`, `P` and `E` stand for powers of
/// 1000, in either case and with or without a `B`; with an `i` behind them for powers of 1024. `None` for anything
/// else. A size that 64 bits do not hold is the largest they hold.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (prefix, base) = match unit.strip_suffix('i') {
        Some(prefix) if !prefix.is_empty() => (prefix, 1024),
        _ => (unit, 1000_u64),
    };
    let power = match prefix {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        "e" => 6,
        _ => return None,
    };
    let factor = base.pow(power);
    match number.parse::<u64>() {
        Ok(number) => Some(number.saturating_mul(factor)),
        // Of a fraction, and of more digits than fit.
        Err(_) => Some((number.parse::<f64>().ok()? * factor as f64) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_at_most() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_949, "9.9 kB"),
            (9_950, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (300_000_000, "300 MB"),
            (4_294_967_296, "4.3 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn sizes_are_read_with_units_of_1000_and_of_1024() {
        for (text, expected) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("512B", Some(512)),
            ("100kB", Some(100_000)),
            ("100 KB", Some(100_000)),
            ("64k", Some(64_000)),
            ("64KiB", Some(65_536)),
            ("64ki", Some(65_536)),
            ("1.5MiB", Some(1_572_864)),
            ("0.5k", Some(500)),
            ("1G", Some(1_000_000_000)),
            ("1TiB", Some(1 << 40)),
            ("9007199254740993B", Some(9_007_199_254_740_993)),
            ("16EiB", Some(u64::MAX)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("", None),
            ("k", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("1 i", None),
            ("1iB", None),
            ("1.2.3k", None),
            ("1 x", None),
            ("1kBB", None),
            ("1e3", None),
            ("nan", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}
