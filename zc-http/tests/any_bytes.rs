//! Everything else that takes bytes from a client: no panic, and what the documentation promises
//! holds, on any bytes.

use std::collections::BTreeMap;

use zc_http::{
    BodyFraming, Drain, DrainError, EntityTag, HttpTime, TargetError, decode_path,
    etag_list_matches, query_value,
};

#[path = "harness/path_twin.rs"]
mod path_twin;
#[path = "harness/random.rs"]
mod random;
use path_twin::path_twin;
use random::Random;

const ROUNDS: usize = 50_000;

/// Up to `parts_max` of `parts` in a row, now and then any byte at all.
fn joined(random: &mut Random, parts: &[&str], parts_max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(parts_max + 1) {
        match random.below(20) {
            0 => bytes.push(random.below(256) as u8),
            _ => bytes.extend_from_slice(random.choose(parts).as_bytes()),
        }
    }
    bytes
}

/// How many paths are decoded twice.
const PATHS: usize = 1_500_000;

/// The rule of paths beside that of RFC 3986 as it is written there.
#[test]
fn decoded_paths_agree_with_the_twin() {
    // Escapes come about by chance from the first, and whole from the second.
    let bytes = ["/", ".", "%", "2", "e", "f", "0"];
    let words = [
        "/", "/", "/", ".", ".", "..", "/..", "/../", "//", "a", "b", "%2e", "%2E", "%2e%2e",
        "%2f", "%2F", "%25", "%41", "%00", "%", "2", "e", "f", "0", "\\", "\u{e9}",
    ];
    let mut random = Random::new(0x5EED_0005);
    let mut out = Vec::new();
    let mut counts = BTreeMap::new();
    for round in 0..PATHS {
        let mut path = match round % 3 {
            0 => joined(&mut random, &bytes, 12),
            _ => joined(&mut random, &words, 9),
        };
        // One in a thousand is not absolute.
        if round % 1000 > 0 {
            path.insert(0, b'/');
        }
        let found = decode_path(&path, &mut out);
        let kind = match found {
            Ok(_) if path.windows(2).any(|pair| pair == b"..") => "with dots",
            Ok(found) if found.is_directory => "directory",
            Ok(_) => "file",
            Err(TargetError::NotAbsolute) => "not absolute",
            Err(TargetError::BadEscape) => "bad escape",
            Err(TargetError::Nul) => "NUL",
            Err(TargetError::LeavesRoot) => "leaves the root",
        };
        *counts.entry(kind).or_insert(0) += 1;
        let found = found
            .ok()
            .map(|found| (found.bytes.to_vec(), found.is_directory));
        assert_eq!(found, path_twin(&path), "{}", path.escape_ascii());
        if let Some((bytes, _)) = found {
            assert!(bytes.len() < path.len() && !bytes.contains(&0));
            let mut segments = bytes.split(|&byte| byte == b'/');
            let is_plain = |segment: &[u8]| !matches!(segment, b"" | b"." | b"..");
            assert!(bytes.is_empty() || segments.all(is_plain));
        }
    }
    let is_balanced = counts.len() == 7 && counts.values().all(|&count| count > 1_000);
    assert!(is_balanced, "one-sided inputs: {counts:?}");
}

#[test]
fn drains_give_one_answer_however_they_are_fed() {
    let parts = [
        "0\r\n\r\n",
        "0\r\n",
        "5\r\nhello\r\n",
        "A;x=y\r\n0123456789\r\n",
        "1\r\n",
        "\r\n",
        "A: b\r\n",
        "1",
        "fffffffffffffffff",
        ";",
        " ",
        "\n",
    ];
    let mut random = Random::new(0x5EED_0006);
    let mut done = 0;
    for _ in 0..ROUNDS {
        let body = joined(&mut random, &parts, 6);
        let whole = drained(&body, |_| usize::MAX);
        let pieces = drained(&body, |_| 1 + random.below(7));
        assert_eq!(pieces, whole, "{:?}", body.escape_ascii().to_string());
        if let Ok(Some(consumed)) = whole {
            assert!(body[..consumed].ends_with(b"\r\n"));
            done += 1;
        }
    }
    assert!(done > ROUNDS / 20, "{done}");
}

/// Where the body ends, `None` if not within `body`, fed in pieces of the sizes `piece` gives.
fn drained(
    body: &[u8],
    mut piece: impl FnMut(usize) -> usize,
) -> Result<Option<usize>, DrainError> {
    let mut drain = Drain::new(BodyFraming::Chunked, 20).unwrap().unwrap();
    let mut at = 0;
    while at < body.len() {
        let end = at.saturating_add(piece(at)).min(body.len());
        let step = drain.consume(&body[at..end])?;
        at += step.consumed;
        if step.done {
            return Ok(Some(at));
        }
        assert_eq!(at, end, "bytes left over before the end");
    }
    Ok(None)
}

#[test]
fn tags_dates_and_queries_take_any_bytes() {
    let parts = [
        "\"",
        "\"1-1\"",
        "W/",
        ",",
        " ",
        "*",
        "Sun, 06 Nov 1994 ",
        "08:49:37 GMT",
        "Sunday, ",
        "=",
        "&",
        "a",
    ];
    let tag = EntityTag::from_numbers(&[1, 1], "");
    let mut random = Random::new(0x5EED_0007);
    for _ in 0..ROUNDS {
        let bytes = joined(&mut random, &parts, 6);
        let strong = etag_list_matches(&bytes, &tag, false);
        let weak = etag_list_matches(&bytes, &tag, true);
        // Strong comparison never finds more than weak, and both read the same lists.
        assert_eq!(strong.is_some(), weak.is_some());
        assert!(strong <= weak);
        if let Some(time) = HttpTime::parse(&bytes) {
            assert_eq!(HttpTime::parse(&time.imf_fixdate()), Some(time));
        }
        if let Some(value) = query_value(&bytes, "a") {
            assert!(!value.contains(&b'&'));
        }
    }
}
