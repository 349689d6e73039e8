//! Preconditions: the first byte of the input chooses method, validators and clock, and lines of
//! fields follow, each named by a letter of [`NAMES`].
//!
//! The outcome is that of RFC 9110 §13.2.2, stated once more in its own steps.

use zc_http::{
    EntityTag, HttpTime, Method, Precondition, Validators, etag_list_matches,
    evaluate_preconditions, range_applies,
};

use super::escaped;
use super::fields::{Field, latin1, read, values, with_headers};

const NAMES: [(u8, &str); 5] = [
    (b'm', "if-match"),
    (b'n', "if-none-match"),
    (b'u', "if-unmodified-since"),
    (b's', "if-modified-since"),
    (b'r', "if-range"),
];

const METHODS: [Method; 8] = [
    Method::Get,
    Method::Head,
    Method::Put,
    Method::Delete,
    Method::Options,
    Method::Trace,
    Method::Connect,
    Method::Unrecognized,
];

/// When the representation was last modified: Sun, 06 Nov 1994 08:49:37 GMT.
const MODIFIED: i64 = 784_111_777;

/// Tags of a representation, the second with what lists are split at.
const TAGS: [&str; 2] = ["\"1-1\"", "\"a,W/b\""];

/// Checks `data` as preconditions, and in all the ways that entity-tags are made and read.
pub(crate) fn check(data: &[u8]) {
    for tag in TAGS {
        check_list(data, tag);
    }
    check_opaque(data);
    check_numbers(data);
    let Some((&choice, lines)) = data.split_first() else {
        return;
    };
    let choice = usize::from(choice);
    let method = METHODS[choice % 8];
    let tag = (choice & 8 == 0).then_some(TAGS[choice >> 7]);
    let modified = (choice & 16 == 0).then_some(MODIFIED);
    let now = MODIFIED + [1, 0, -1, 1_000_000][choice >> 5 & 3];

    let validators = Validators {
        etag: tag.map(|tag| EntityTag::from_opaque(tag.as_bytes()).expect("a tag")),
        last_modified: modified.map(HttpTime::from_unix_seconds),
    };
    let fields = read(lines, &NAMES);
    let text = escaped(data);
    with_headers(&fields, |headers| {
        let found = evaluate_preconditions(method, headers, &validators);
        let expected = section_13_2_2(method, &fields, tag, modified);
        assert_eq!(found, expected, "{method:?} {validators:?}: {text}");

        let now_time = HttpTime::from_unix_seconds(now);
        let found = range_applies(headers, &validators, now_time);
        let expected = section_13_1_5(&fields, tag, modified, now);
        assert_eq!(found, expected, "{validators:?} at {now}: {text}");
    });
}

fn section_13_2_2(
    method: Method,
    fields: &[Field],
    tag: Option<&str>,
    modified: Option<i64>,
) -> Precondition {
    let selects_nothing = [Method::Options, Method::Trace, Method::Connect];
    if selects_nothing.contains(&method) {
        return Precondition::Proceed;
    }
    let is_read = method == Method::Get || method == Method::Head;
    let if_match = values(fields, "if-match");
    let if_none_match = values(fields, "if-none-match");
    let unmodified_since = only_date(fields, "if-unmodified-since").zip(modified);
    let modified_since = only_date(fields, "if-modified-since").zip(modified);

    // Step 1, and 2 where the field of step 1 is absent.
    if !if_match.is_empty() {
        if !names(&if_match, tag, true) {
            return Precondition::PreconditionFailed;
        }
    } else if let Some((date, modified)) = unmodified_since
        && modified > date
    {
        return Precondition::PreconditionFailed;
    }
    // Step 3, and 4 where the field of step 3 is absent.
    if !if_none_match.is_empty() {
        return match names(&if_none_match, tag, false) {
            false => Precondition::Proceed,
            true if is_read => Precondition::NotModified,
            true => Precondition::PreconditionFailed,
        };
    }
    match modified_since {
        Some((date, modified)) if is_read && modified <= date => Precondition::NotModified,
        _ => Precondition::Proceed,
    }
}

fn section_13_1_5(fields: &[Field], tag: Option<&str>, modified: Option<i64>, now: i64) -> bool {
    let if_range = values(fields, "if-range");
    match &if_range[..] {
        [] => true,
        [value] if value.contains('"') => Some(value.as_str()) == tag,
        [_] => {
            let date = only_date(fields, "if-range");
            date.is_some() && date == modified && modified < Some(now)
        }
        _ => false,
    }
}

/// The date of the one field called `name`, where there is one, and one alone.
fn only_date(fields: &[Field], name: &str) -> Option<i64> {
    let values = values(fields, name);
    let [value] = &values[..] else {
        return None;
    };
    let date = HttpTime::parse(value.as_bytes())?;
    i64::try_from(date.unix_seconds()).ok()
}

/// Whether the values name the representation: by `*` alone, or by its tag in well-formed lists.
fn names(values: &[String], tag: Option<&str>, strongly: bool) -> bool {
    if values == ["*"] {
        return true;
    }
    let lists: Option<Vec<_>> = values.iter().map(|value| tags(value)).collect();
    let listed = lists.unwrap_or_default().concat();
    tag.is_some_and(|tag| is_listed(&listed, tag, strongly))
}

fn is_listed(listed: &[String], tag: &str, strongly: bool) -> bool {
    let weak = format!("W/{tag}");
    listed
        .iter()
        .any(|listed| listed == tag || !strongly && *listed == weak)
}

/// The tags in a list; `None` when it is malformed.
fn tags(list: &str) -> Option<Vec<String>> {
    // Commas in quotes are set aside, and every other one splits.
    let mut is_quoted = false;
    let set_aside: String = list
        .chars()
        .map(|c| {
            is_quoted ^= c == '"';
            if c == ',' && is_quoted { '\u{FFFF}' } else { c }
        })
        .collect();
    let elements = set_aside
        .split(',')
        .map(|element| element.trim_matches([' ', '\t']))
        .filter(|element| !element.is_empty());
    let tags = elements.map(|element| {
        let opaque = element.strip_prefix("W/").unwrap_or(element);
        let content = opaque.strip_prefix('"')?.strip_suffix('"')?;
        let is_legal = |c: char| c > ' ' && c != '"' && c != '\x7F';
        let is_tag = content.chars().all(is_legal);
        is_tag.then(|| element.replace('\u{FFFF}', ","))
    });
    tags.collect()
}

/// Lists take any bytes, and not only those a field may have.
fn check_list(data: &[u8], tag: &str) {
    let etag = EntityTag::from_opaque(tag.as_bytes()).expect("a tag");
    let listed = tags(&latin1(data));
    for (is_weak, strongly) in [(true, false), (false, true)] {
        let expected = listed.as_ref().map(|all| is_listed(all, tag, strongly));
        let found = etag_list_matches(data, &etag, is_weak);
        assert_eq!(found, expected, "{tag} in {}", escaped(data));
    }
}

/// A tag is made of what a tag may have, and found again by the comparison that suits it.
fn check_opaque(data: &[u8]) {
    let text = latin1(data);
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let content = inner.unwrap_or(&text);
    let is_legal = |c: char| c > ' ' && c != '"' && c != '\x7F';
    let is_tag = (1..=128).contains(&content.chars().count()) && content.chars().all(is_legal);
    let Some(etag) = EntityTag::from_opaque(data) else {
        assert!(!is_tag, "{}", escaped(data));
        return;
    };
    assert!(is_tag, "{}", escaped(data));
    let tag = etag.as_bytes();
    assert_eq!(latin1(tag), format!("\"{content}\""));
    let weak = [b"W/", tag].concat();
    for (listed, is_strong) in [(tag, true), (&weak, false)] {
        // A tag beside it that differs in one byte.
        let list = [b"\"-", content_of(tag), b"\" ,", listed].concat();
        assert_eq!(etag_list_matches(&list, &etag, false), Some(is_strong));
        assert_eq!(etag_list_matches(&list, &etag, true), Some(true));
    }
}

/// A tag without its quotes.
fn content_of(tag: &[u8]) -> &[u8] {
    tag.get(1..tag.len() - 1).expect("two quotes")
}

/// A tag of numbers is their hexadecimal digits.
fn check_numbers(data: &[u8]) {
    let (chunks, _) = data.as_chunks::<16>();
    let numbers: Vec<_> = chunks
        .iter()
        .map(|&chunk| i128::from_le_bytes(chunk))
        .collect();
    let digits = |&number: &i128| match number.unsigned_abs() {
        size if number < 0 => format!("-{size:x}"),
        size => format!("{size:x}"),
    };
    let joined: Vec<_> = numbers.iter().take(3).map(digits).collect();
    let joined = joined.join("-");
    for (suffix, end) in [
        ("", ""),
        ("br", "-br"),
        ("more-than-sixteen", "-more-than-sixtee"),
    ] {
        let etag = EntityTag::from_numbers(&numbers, suffix);
        assert_eq!(latin1(etag.as_bytes()), format!("\"{joined}{end}\""));
    }
}
