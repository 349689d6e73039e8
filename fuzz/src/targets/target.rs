//! Request targets: the input is a target as sent, a path, and a query.
//!
//! A target is the sum of its parts. A decoded path has plain segments, is shorter than what it was
//! decoded from, and is the same when it is escaped, slashes and all, and decoded again. Segments that
//! `..` takes back, and empty ones, make no difference.

use std::fmt::Write;

use zc_http::{Limits, Parse, Target, decode_path, parse, query_value};

use super::escaped;
use super::path_twin::path_twin;
use super::summary::summary;
use super::twin::judge;

/// Checks `data` in all three parts.
pub(crate) fn check(data: &[u8]) {
    for method in ["GET", "OPTIONS", "CONNECT"] {
        check_target(method, data);
    }
    check_path(data);
    check_path(&[b"/", data].concat());
    check_query(data);
}

fn check_target(method: &str, raw: &[u8]) {
    let limits = Limits::default();
    let head = [
        method.as_bytes(),
        b" ",
        raw,
        b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    .concat();
    let text = escaped(&head);
    let found = match parse(&head, &limits) {
        Ok(Parse::Partial) => None,
        Ok(Parse::Complete(request)) => Some(Ok(summary(&request))),
        Err(error) => Some(Err(error.status().code())),
    };
    let verdict = judge(&head, limits.request_line_bytes_max, limits.head_bytes_max);
    assert_eq!(found, verdict.map(|(_, verdict)| verdict), "{text}");

    if let Ok(Parse::Complete(request)) = parse(&head, &limits) {
        let raw = request.raw_target();
        let joined = |start: &[u8], path: &[u8], query: Option<&[u8]>| match query {
            Some(query) => [start, path, b"?", query].concat(),
            None => [start, path].concat(),
        };
        match request.target {
            Target::Origin { path, query } => {
                assert_eq!(joined(b"", path, query), raw, "{text}");
                check_path_part(path, &text);
            }
            Target::Absolute {
                authority,
                path,
                query,
            } => {
                let colon = raw.iter().position(|&byte| byte == b':').expect("a scheme");
                let scheme = raw.get(..colon + 3).expect("two slashes");
                let start = [scheme, authority].concat();
                let is_joined = joined(&start, path, query) == raw;
                let is_short = path == b"/" && joined(&start, b"", query) == raw;
                assert!(is_joined || is_short, "{text}");
                assert!(!authority.is_empty(), "{text}");
                check_path_part(path, &text);
            }
            Target::Authority(authority) => assert_eq!(authority, raw, "{text}"),
            Target::Asterisk => assert_eq!(raw, b"*", "{text}"),
        }
    }
}

fn check_path_part(path: &[u8], text: &str) {
    assert!(path.starts_with(b"/") && !path.contains(&b'?'), "{text}");
    check_path(path);
}

fn check_path(path: &[u8]) {
    let text = escaped(path);
    let mut out = b"left over".to_vec();
    let decoded = decode_path(path, &mut out).ok();
    let decoded = decoded.map(|decoded| (decoded.bytes.to_vec(), decoded.is_directory));
    assert_eq!(decoded, path_twin(path), "{text}");
    let Some((bytes, is_directory)) = decoded else {
        return;
    };
    assert!(bytes.len() < path.len(), "{text}");
    assert!(!bytes.contains(&0), "{text}");
    let mut segments = bytes.split(|&byte| byte == b'/');
    let is_plain = |segment: &[u8]| !matches!(segment, b"" | b"." | b"..");
    assert!(bytes.is_empty() || segments.all(is_plain), "{text}");

    let mut escaped = String::new();
    for &byte in &bytes {
        write!(escaped, "%{byte:02x}").expect("room");
    }
    let slash = if is_directory { "%2F" } else { "" };
    for again in [
        format!("/{escaped}{slash}"),
        format!("//a//../{escaped}{slash}"),
        format!("/a%2fb/..%2f%2e%2E//{escaped}{slash}"),
    ] {
        let decoded = decode_path(again.as_bytes(), &mut out).expect("an escaped path");
        assert_eq!(decoded.bytes, bytes, "{text} as {again}");
        assert_eq!(decoded.is_directory, is_directory, "{text} as {again}");
    }
}

/// Every name in a query has the value that stands beside it first, and no other name has one.
fn check_query(query: &[u8]) {
    let split = |pair: &[u8]| match pair.iter().position(|&byte| byte == b'=') {
        Some(at) => (pair[..at].to_vec(), pair[at + 1..].to_vec()),
        None => (pair.to_vec(), Vec::new()),
    };
    let pairs: Vec<_> = query.split(|&byte| byte == b'&').map(split).collect();
    let own = pairs
        .iter()
        .filter_map(|(name, _)| std::str::from_utf8(name).ok());
    for name in own.take(8).chain(["", "a", "sort"]) {
        let named = pairs.iter().find(|(other, _)| other == name.as_bytes());
        let expected = named.map(|(_, value)| &value[..]);
        let found = query_value(query, name);
        assert_eq!(found, expected, "{name:?} in {}", escaped(query));
    }
}
