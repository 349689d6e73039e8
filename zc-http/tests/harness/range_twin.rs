//! A second reading of `Range`, slow and obvious, that shares no code with the first.

use std::ops::Range;

use zc_http::{PARTS_MAX, RangeOutcome, resolve_range};

use Outcome::{Partial, Parts, Unsatisfiable, Whole};

/// White space that may stand around commas.
const OWS: [char; 2] = [' ', '\t'];

/// [`RangeOutcome`] with its parts in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Whole,
    Partial(Range<u64>),
    Parts(Vec<Range<u64>>),
    Unsatisfiable,
}

/// What the library says.
pub(crate) fn outcome(value: &[u8], length: u64) -> Outcome {
    match resolve_range(value, length) {
        RangeOutcome::Whole => Whole,
        RangeOutcome::Partial(range) => Partial(range),
        RangeOutcome::Parts(parts) => Parts(parts.iter().collect()),
        RangeOutcome::Unsatisfiable => Unsatisfiable,
    }
}

/// What it should say: the same rules in wider numbers, with digits compared as text, and each range
/// compared with all before it.
pub(crate) fn twin(value: &[u8], length: u64) -> Outcome {
    // Latin-1, so that every byte is one character.
    let value: String = value.iter().copied().map(char::from).collect();
    let Some((unit, set)) = value.split_once('=') else {
        return Whole;
    };
    if unit.to_lowercase() != "bytes" || length == 0 {
        return Whole;
    }
    // `[ element ] *( OWS "," OWS [ element ] )`: white space before a comma, and behind one.
    let pieces: Vec<_> = set.split(',').collect();
    let last = pieces.len() - 1;
    let mut specs = Vec::new();
    for (index, mut piece) in pieces.into_iter().enumerate() {
        if index > 0 {
            piece = piece.trim_start_matches(OWS);
        }
        if index < last {
            piece = piece.trim_end_matches(OWS);
        }
        specs.extend((!piece.is_empty()).then_some(piece));
    }
    let specs = specs.into_iter();
    let read: Option<Vec<_>> = specs.map(|spec| twin_of_one(spec, length)).collect();
    let Some(read) = read.filter(|read| !read.is_empty()) else {
        return Whole;
    };
    let mut ranges: Vec<Range<u128>> = Vec::new();
    let mut had_too_many = false;
    for range in read.into_iter().filter(|range| range.start < range.end) {
        // Those that are there do not touch each other, so that none touches what the others become
        // together with this one.
        let touches = |other: &&Range<u128>| range.start <= other.end && other.start <= range.end;
        let place = ranges.iter().position(|other| touches(&other));
        let touched = ranges.iter().filter(touches);
        let joined = touched.fold(range.clone(), |joined, other| {
            joined.start.min(other.start)..joined.end.max(other.end)
        });
        ranges.retain(|other| !touches(&other));
        ranges.insert(place.unwrap_or(ranges.len()), joined);
        had_too_many |= ranges.len() > PARTS_MAX;
    }
    let narrow = |range: &Range<u128>| range.start as u64..range.end as u64;
    match &ranges[..] {
        _ if had_too_many => Whole,
        [] => Unsatisfiable,
        [range] => Partial(narrow(range)),
        ranges => Parts(ranges.iter().map(narrow).collect()),
    }
}

/// One range as bytes of the representation; `None` when it is malformed.
fn twin_of_one(spec: &str, length: u64) -> Option<Range<u128>> {
    let (from, to) = spec.split_once('-')?;
    if !(from.to_owned() + to).chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    // Digits as a number, the greatest there is where they are too many.
    let number = |digits: &str| match digits {
        "" => None,
        _ => Some(digits.parse().unwrap_or(u128::MAX)),
    };
    let end = u128::from(length);
    match (number(from), number(to)) {
        (None, None) => None,
        (None, Some(suffix)) => Some(end.saturating_sub(suffix)..end),
        (Some(first), None) => Some(first..end),
        (Some(_), Some(_)) if is_greater(from, to) => None,
        (Some(first), Some(last)) => Some(first..end.min(last.saturating_add(1))),
    }
}

/// Whether the first of two digit runs is the greater number, however long they are.
fn is_greater(left: &str, right: &str) -> bool {
    let width = left.len().max(right.len());
    format!("{left:0>width$}") > format!("{right:0>width$}")
}
