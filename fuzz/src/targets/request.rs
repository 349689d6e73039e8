//! Request heads: the input is what was received.
//!
//! Every prefix of a head is partial up to one byte, and has one answer from there on; the twin
//! decides at the same byte. The limits hold to the byte. A head that is complete says the same
//! once written out again from its parts.

use zc_http::{Limits, Parse, ParseError, Request, body_framing, is_token, parse, persistence};

use super::escaped;
use super::summary::summary;
use super::twin::judge;

/// Limits that short inputs run into.
const NARROW: Limits = Limits {
    request_line_bytes_max: 24,
    head_bytes_max: 96,
};

/// The widest limits there are, four times what a head may have by default.
const WIDE: Limits = Limits {
    request_line_bytes_max: usize::MAX,
    head_bytes_max: usize::MAX,
};

/// Up to how many bytes every prefix is tried; of longer inputs so many are, evenly spread.
const PREFIXES_MAX: usize = 96;

/// Checks `data` as the start of a connection.
pub(crate) fn check(data: &[u8]) {
    let limits = Limits::default();
    check_prefixes(data, &limits, PREFIXES_MAX);
    check_prefixes(data, &NARROW, 8);
    if let Ok(Parse::Complete(request)) = parse(data, &limits) {
        check_limits(data, &request);
        check_parts(data, &request);
        check_again(&request);
    }
}

/// A result without borrows: `None` for a partial head.
fn answer(bytes: &[u8], limits: &Limits) -> Option<Result<String, ParseError>> {
    match parse(bytes, limits) {
        Ok(Parse::Complete(request)) => Some(Ok(summary(&request))),
        Ok(Parse::Partial) => None,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Some(Err(error))
        }
    }
}

/// Compares what is said of the first bytes, for about `count` numbers of them, with the twin.
fn check_prefixes(data: &[u8], limits: &Limits, count: usize) {
    let text = escaped(data);
    let whole = answer(data, limits);
    let settled = judge(data, limits.request_line_bytes_max, limits.head_bytes_max);
    let with_status = whole
        .clone()
        .map(|whole| whole.map_err(|error| error.status().code()));
    let verdict = settled.clone().map(|(_, verdict)| verdict);
    assert_eq!(with_status, verdict, "{limits:?}: {text}");

    let settled = settled.map_or(usize::MAX, |(end, _)| end);
    let stride = data.len() / count + 1;
    let spread = (0..data.len()).step_by(stride);
    let near = settled.saturating_sub(2)..settled.saturating_add(2).min(data.len());
    for end in spread.chain(near) {
        let first = data.get(..end).unwrap_or(data);
        let expected = if end >= settled { &whole } else { &None };
        let found = answer(first, limits);
        assert_eq!(&found, expected, "{limits:?}: first {end} of {text}");
    }
}

/// A request line and a head may have exactly the bytes allowed.
fn check_limits(data: &[u8], request: &Request<'_>) {
    let line = request.request_line().len();
    let head = request.head_bytes;
    let exact = Limits {
        request_line_bytes_max: line,
        head_bytes_max: head,
    };
    let is_complete = |result| matches!(result, Ok(Parse::Complete(_)));
    assert!(is_complete(parse(data, &exact)), "{}", escaped(data));
    let shorter_line = Limits {
        request_line_bytes_max: line - 1,
        ..exact
    };
    let error = parse(data, &shorter_line).expect_err("the line is too long");
    assert_eq!(error.status().code(), 414, "{}", escaped(data));
    let shorter_head = Limits {
        head_bytes_max: head - 1,
        ..exact
    };
    let error = parse(data, &shorter_head).expect_err("the head is too long");
    assert_eq!(error, ParseError::HeadTooLong, "{}", escaped(data));
}

/// The parts are parts of what was received, and agree with each other.
fn check_parts(data: &[u8], request: &Request<'_>) {
    let text = escaped(data);
    let head = data.get(..request.head_bytes).expect("within the input");
    assert!(head.ends_with(b"\r\n\r\n"), "{text}");
    let alone = answer(head, &Limits::default());
    assert_eq!(alone, Some(Ok(summary(request))), "{text}");

    let words: Vec<_> = request.request_line().split(|&byte| byte == b' ').collect();
    let [method, target, version] = words[..] else {
        panic!("not three words: {text}");
    };
    assert!(is_token(method), "{text}");
    assert_eq!(target, request.raw_target(), "{text}");
    assert!(version.starts_with(b"HTTP/1."), "{text}");

    for (name, value) in request.headers.iter() {
        assert!(is_token(name), "{text}");
        assert!(!value.iter().any(|&byte| is_control(byte)), "{text}");
        let is_ows = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        assert!(!is_ows(value.first()) && !is_ows(value.last()), "{text}");
        let name = std::str::from_utf8(name).expect("a token");
        let first = request.headers.iter().find(|(other, _)| {
            let other = std::str::from_utf8(other).expect("a token");
            other.to_lowercase() == name.to_lowercase()
        });
        let found = request.headers.get(name);
        assert_eq!(found, first.map(|(_, value)| value), "{text}");
    }
    assert_eq!(body_framing(request), Ok(request.body), "{text}");
}

fn is_control(byte: u8) -> bool {
    byte != b'\t' && (byte < b' ' || byte == 0x7F)
}

/// Writes the head anew, with other white space, and reads it again.
fn check_again(request: &Request<'_>) {
    let mut head = request.request_line().to_vec();
    for (name, value) in request.headers.iter() {
        head.extend([b"\r\n", name, b": \t", value, b"\t "].concat());
    }
    head.extend(b"\r\n\r\n");
    let text = escaped(&head);
    let Ok(Parse::Complete(again)) = parse(&head, &WIDE) else {
        panic!("no longer complete: {text}");
    };
    assert_eq!(again.head_bytes, head.len(), "{text}");
    assert_eq!(again.request_line(), request.request_line(), "{text}");
    assert_eq!(again.method, request.method, "{text}");
    assert_eq!(again.target, request.target, "{text}");
    assert_eq!(again.version, request.version, "{text}");
    assert_eq!(again.body, request.body, "{text}");
    assert_eq!(persistence(&again), persistence(request), "{text}");
    assert!(again.headers.iter().eq(request.headers.iter()), "{text}");
}
