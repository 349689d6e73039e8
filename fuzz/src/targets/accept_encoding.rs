//! The fields `Accept-Encoding` and `Accept`: the input is lines of them, `e` for the first and `a`
//! for the second, each letter followed by a value.
//!
//! What is chosen is wanted, and nothing ready is wanted more. The qualities are those that a twin
//! finds in the text.

use zc_http::{AcceptEncoding, Coding, MediaAcceptance, media_acceptance, prefers_media_type};

use super::escaped;
use super::fields::{Field, read, values, with_headers};

const NAMES: [(u8, &str); 2] = [(b'e', "accept-encoding"), (b'a', "accept")];

const CODINGS: [Coding; 4] = [Coding::Identity, Coding::Brotli, Coding::Zstd, Coding::Gzip];

/// What a server may have ready, in its order.
const READY: [&[Coding]; 7] = [
    &[],
    &[Coding::Gzip],
    &[Coding::Zstd],
    &[Coding::Brotli, Coding::Gzip],
    &[Coding::Gzip, Coding::Brotli],
    &[Coding::Brotli, Coding::Zstd, Coding::Gzip],
    &[Coding::Gzip, Coding::Zstd, Coding::Brotli],
];

const MEDIA_TYPES: [&str; 3] = ["text/html", "text/plain", "application/json"];

/// Checks `data` as fields.
pub(crate) fn check(data: &[u8]) {
    let fields = read(data, &NAMES);
    let text = escaped(data);
    with_headers(&fields, |headers| {
        let accepted = AcceptEncoding::from_headers(headers);
        for coding in CODINGS {
            let expected = coding_twin(&fields, coding);
            assert_eq!(accepted.quality(coding), expected, "{coding:?}: {text}");
        }
        for ready in READY {
            check_choice(&accepted, ready, &text);
        }
        for this in MEDIA_TYPES {
            let expected = acceptance_twin(&fields, this);
            assert_eq!(media_acceptance(headers, this), expected, "{this}: {text}");
            for other in MEDIA_TYPES {
                let expected = media_twin(&fields, this) > media_twin(&fields, other);
                let found = prefers_media_type(headers, this, other);
                assert_eq!(found, expected, "{this} before {other}: {text}");
            }
        }
    });
}

/// The choice is acceptable, the most wanted, and the first of those that are.
fn check_choice(accepted: &AcceptEncoding, ready: &[Coding], text: &str) {
    let Some(chosen) = accepted.choose(ready) else {
        assert_eq!(accepted.quality(Coding::Identity), 0, "{text}");
        let refused = ready.iter().all(|&coding| accepted.quality(coding) == 0);
        assert!(refused, "{ready:?}: {text}");
        return;
    };
    let quality = accepted.quality(chosen);
    assert!((1..=1000).contains(&quality), "{chosen:?}: {text}");
    assert!(
        chosen == Coding::Identity || ready.contains(&chosen),
        "{text}"
    );
    let mut is_before = true;
    for &coding in ready.iter().chain(&[Coding::Identity]) {
        is_before &= coding != chosen;
        let other = accepted.quality(coding);
        let is_less = other < quality || (other == quality && !is_before);
        assert!(is_less, "{coding:?} and not {chosen:?}: {text}");
    }
}

/// What the fields say of `coding`: by name, else by `*`, else by default.
fn coding_twin(fields: &[Field], coding: Coding) -> u16 {
    if values(fields, "accept-encoding").is_empty() {
        return if coding == Coding::Identity { 1000 } else { 0 };
    }
    let elements = elements(fields, "accept-encoding");
    let of = |wanted: &[&str]| {
        let mut named = elements.iter();
        let found = named.find(|(name, _)| wanted.contains(&name.as_str()));
        found.map(|(_, quality)| *quality)
    };
    let by_name = match coding {
        Coding::Gzip => of(&["gzip", "x-gzip"]),
        _ => of(&[coding.token()]),
    };
    let default = if coding == Coding::Identity { 1 } else { 0 };
    by_name.or_else(|| of(&["*"])).unwrap_or(default)
}

/// What the fields say of a media type: by name, else by its kind, else by `*/*`.
fn media_twin(fields: &[Field], media_type: &str) -> u16 {
    let elements = elements(fields, "accept");
    let (kind, _) = media_type.split_once('/').expect("a type and a subtype");
    let ranges = [media_type, &format!("{kind}/*"), "*/*"];
    let quality = ranges.iter().find_map(|range| {
        let found = elements.iter().find(|(name, _)| name == range);
        found.map(|(_, quality)| *quality)
    });
    quality.unwrap_or(0)
}

/// Whether the fields want a media type by its name, by another range, or not.
fn acceptance_twin(fields: &[Field], media_type: &str) -> MediaAcceptance {
    let is_named = |(name, _): &(String, u16)| name == media_type;
    if values(fields, "accept").is_empty() {
        MediaAcceptance::Covered
    } else if media_twin(fields, media_type) == 0 {
        MediaAcceptance::Refused
    } else if elements(fields, "accept").iter().any(is_named) {
        MediaAcceptance::Named
    } else {
        MediaAcceptance::Covered
    }
}

/// The well-formed elements of all fields called `name`: in lower case, with their weights.
fn elements(fields: &[Field], name: &str) -> Vec<(String, u16)> {
    let list = values(fields, name).join(",");
    let trim = |text: &str| text.trim_matches([' ', '\t']).to_owned();
    let mut elements = Vec::new();
    for element in list.split(',') {
        let mut pieces = element.split(';').map(trim);
        // Of ASCII alone, so that no other letter becomes one.
        let name = pieces.next().unwrap_or_default().to_ascii_lowercase();
        let weights = pieces.filter_map(|piece| {
            let value = piece
                .strip_prefix("q=")
                .or_else(|| piece.strip_prefix("Q="))?;
            Some(weight_twin(value))
        });
        let weights: Option<Vec<u16>> = weights.collect();
        if let Some(weights) = weights.filter(|_| !name.is_empty()) {
            elements.push((name, weights.last().copied().unwrap_or(1000)));
        }
    }
    elements
}

fn weight_twin(value: &str) -> Option<u16> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let are_digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !["0", "1"].contains(&whole) || fraction.len() > 3 || !are_digits {
        return None;
    }
    let thousandths = format!("{whole}{fraction:0<3}").parse().ok()?;
    (thousandths <= 1000).then_some(thousandths)
}
