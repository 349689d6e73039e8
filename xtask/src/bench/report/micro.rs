//! The tables of the microbenchmarks, each in the order of the sizes in its names.

use super::numbers::{decimals, or_none};
use super::tables::{Part, Table};
use crate::bench::results::{Micro, Results};

/// The microbenchmarks, by the first word of their names.
pub(crate) fn micro(results: &Results) -> Vec<Part> {
    let mut sorted: Vec<&Micro> = results.micro.iter().collect();
    sorted.sort_by_cached_key(|micro| words(&micro.name));
    let mut groups: Vec<(&str, Vec<Vec<String>>)> = Vec::new();
    for micro in sorted {
        let name = micro.name.as_str();
        let (group, rest) = name.split_once([' ', '/']).unwrap_or((name, name));
        let row = row(micro, rest);
        match groups.iter_mut().find(|(other, _)| *other == group) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((group, vec![row])),
        }
    }
    let part = |(group, rows): (&str, Vec<Vec<String>>)| Part {
        id: group.to_owned(),
        title: group.to_owned(),
        table: Table::new(&["benchmark", "median", "95 % interval", "GB/s"], rows),
    };
    groups.into_iter().map(part).collect()
}

/// A part of a name. Numbers come before text, and in their own order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    /// With its unit, if it has one: `64KiB` is 65536.
    Number(u64),
    Text(String),
}

/// A name as its numbers and what stands between them.
fn words(name: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let is_number = first.is_ascii_digit();
        let end = rest.find(|char: char| char.is_ascii_digit() != is_number);
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        words.push(match word.parse() {
            Ok(number) => {
                let (factor, behind) = unit(rest);
                rest = behind;
                Word::Number(factor.saturating_mul(number))
            }
            Err(_) => Word::Text(word.to_owned()),
        });
    }
    words
}

/// How many bytes the unit at the beginning of a text has, and what is behind it.
fn unit(text: &str) -> (u64, &str) {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let found = units.iter().find_map(|(unit, factor)| {
        let behind = text.strip_prefix(unit)?;
        Some((*factor, behind))
    });
    found.unwrap_or((1, text))
}

fn row(micro: &Micro, name: &str) -> Vec<String> {
    let rate = micro
        .bytes
        .filter(|_| micro.unit == "ns")
        .map(|bytes| bytes as f64 / micro.median);
    // A time is told in the unit that leaves it few digits.
    let (scale, unit) = match micro.median {
        _ if micro.unit != "ns" => (1.0, micro.unit.replace("x floor", "× floor")),
        ns if ns >= 1e6 => (1e6, "ms".to_owned()),
        ns if ns >= 1e3 => (1e3, "µs".to_owned()),
        _ => (1.0, "ns".to_owned()),
    };
    vec![
        name.replace('/', ", "),
        format!("{} {unit}", decimals(micro.median / scale)),
        format!(
            "{}–{}",
            decimals(micro.low / scale),
            decimals(micro.high / scale)
        ),
        or_none(rate),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::empty;

    #[test]
    fn rows_are_in_the_order_of_the_sizes_in_their_names() {
        let mut results = empty();
        results.micro = [
            "transfer 1MiB/Auto, whole",
            "transfer 1MiB/Auto, 256KiB turns",
            "transfer 4KiB/Copy, whole",
            "transfer 4KiB/Auto, whole",
            "transfer 64KiB/Auto, whole",
            "cache directory/hit among 10000",
            "cache directory/hit among 1",
            "cache directory/hit among 100",
            "transfer 64MiB/Auto, whole",
        ]
        .map(|name| Micro {
            name: name.to_owned(),
            unit: "ns".to_owned(),
            median: 1.0,
            low: 1.0,
            high: 1.0,
            bytes: None,
            foreign: Vec::new(),
        })
        .to_vec();
        let names = micro(&results).into_iter().map(|part| {
            let rows = part.table.rows.into_iter();
            let names: Vec<String> = rows.map(|row| row[0].clone()).collect();
            (part.title, names)
        });
        let names: Vec<(String, Vec<String>)> = names.collect();
        let of = |title: &str| {
            let mut found = names.iter().filter(|(other, _)| other == title);
            found.next().expect("a table").1.clone()
        };
        let transfers = [
            "4KiB, Auto, whole",
            "4KiB, Copy, whole",
            "64KiB, Auto, whole",
            "1MiB, Auto, 256KiB turns",
            "1MiB, Auto, whole",
            "64MiB, Auto, whole",
        ];
        assert_eq!(of("transfer"), transfers);
        let counts = [1, 100, 10_000].map(|count| format!("directory, hit among {count}"));
        assert_eq!(of("cache"), counts);
    }

    #[test]
    fn numbers_that_no_machine_has_are_text() {
        let long = "9".repeat(40);
        assert_eq!(words(&long), [Word::Text(long.clone())]);
        assert_eq!(words(""), []);
    }
}
