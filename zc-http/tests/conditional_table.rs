//! Preconditions, one row for each sentence of RFC 9110 §13 that concerns a server of files.

use zc_http::{
    EntityTag, HttpTime, Limits, Method, Parse, Precondition, Validators, evaluate_preconditions,
    parse, range_applies,
};

const MODIFIED: i64 = 784_111_777;
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const EXACTLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// A representation with the tag `"1-1"`, last modified at `EXACTLY`.
fn validators() -> Validators {
    Validators {
        etag: Some(EntityTag::from_numbers(&[1, 1], "")),
        last_modified: Some(HttpTime::from_unix_seconds(MODIFIED)),
    }
}

/// Fields in rows end in `|` instead of CR LF, and dates are named.
fn head(fields: &str) -> String {
    let fields = fields
        .replace("BEFORE", BEFORE)
        .replace("EXACTLY", EXACTLY)
        .replace("AFTER", AFTER)
        .replace('|', "\r\n");
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

fn outcome(method: Method, fields: &str, validators: &Validators) -> Precondition {
    let head = head(fields);
    let Ok(Parse::Complete(request)) = parse(head.as_bytes(), &Limits::default()) else {
        panic!("{head}");
    };
    evaluate_preconditions(method, &request.headers, validators)
}

#[test]
fn section_13_2_2_row_by_row() {
    use Method::{Get, Head, Put};
    use Precondition::{NotModified as Same, PreconditionFailed as Failed, Proceed};
    let rows = [
        // No preconditions.
        (Get, "", Proceed),
        (Get, "Range: bytes=0-0|", Proceed),
        // 1. If-Match: strong comparison, any of a list; false is 412.
        (Get, "If-Match: \"1-1\"|", Proceed),
        (Get, "If-Match: \"a\", \"1-1\"|", Proceed),
        (Get, "If-Match: \"a\"|If-Match: \"1-1\"|", Proceed),
        (Get, "If-Match: *|", Proceed),
        (Get, "If-Match: \"a\"|", Failed),
        (Get, "If-Match: W/\"1-1\"|", Failed),
        (Put, "If-Match: \"a\"|", Failed),
        (Get, "If-Match: \"a,b\"|", Failed),
        (Get, "If-Match:|", Failed),
        (Get, "If-Match: \"1-1\", junk|", Failed),
        (Get, "If-Match: *|If-Match: \"1-1\"|", Failed),
        // 2. If-Unmodified-Since: at or after the modification is true.
        (Get, "If-Unmodified-Since: EXACTLY|", Proceed),
        (Get, "If-Unmodified-Since: AFTER|", Proceed),
        (Get, "If-Unmodified-Since: BEFORE|", Failed),
        (Put, "If-Unmodified-Since: BEFORE|", Failed),
        // … ignored when it is not a date, and when there are two.
        (Get, "If-Unmodified-Since: yesterday|", Proceed),
        (
            Get,
            "If-Unmodified-Since: BEFORE|If-Unmodified-Since: BEFORE|",
            Proceed,
        ),
        // … and when If-Match is present, whatever that says.
        (
            Get,
            "If-Match: \"1-1\"|If-Unmodified-Since: BEFORE|",
            Proceed,
        ),
        (Get, "If-Match: \"a\"|If-Unmodified-Since: AFTER|", Failed),
        // 3. If-None-Match: weak comparison; false is 304 for GET and HEAD, 412 for others.
        (Get, "If-None-Match: \"1-1\"|", Same),
        (Head, "If-None-Match: \"1-1\"|", Same),
        (Put, "If-None-Match: \"1-1\"|", Failed),
        (Get, "If-None-Match: W/\"1-1\"|", Same),
        (Get, "If-None-Match: \"a\", W/\"1-1\"|", Same),
        (Get, "If-None-Match: \"a\"|If-None-Match: \"1-1\"|", Same),
        (Get, "If-None-Match: *|", Same),
        (Put, "If-None-Match: *|", Failed),
        (Get, "If-None-Match: \"a\"|", Proceed),
        (Put, "If-None-Match: \"a\"|", Proceed),
        (Get, "If-None-Match: \"1-1|", Proceed),
        (Get, "If-None-Match: \"1-1\" \"a\"|", Proceed),
        // 4. If-Modified-Since: not modified since is 304, for GET and HEAD only.
        (Get, "If-Modified-Since: EXACTLY|", Same),
        (Head, "If-Modified-Since: EXACTLY|", Same),
        (Get, "If-Modified-Since: AFTER|", Same),
        (Get, "If-Modified-Since: BEFORE|", Proceed),
        (Put, "If-Modified-Since: EXACTLY|", Proceed),
        (
            Get,
            "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT|",
            Same,
        ),
        (Get, "If-Modified-Since: Sun Nov  6 08:49:37 1994|", Same),
        // … ignored when it is not a date, and when there are two.
        (Get, "If-Modified-Since: 784111777|", Proceed),
        (
            Get,
            "If-Modified-Since: AFTER|If-Modified-Since: AFTER|",
            Proceed,
        ),
        // … and when If-None-Match is present, whatever that says.
        (
            Get,
            "If-None-Match: \"a\"|If-Modified-Since: AFTER|",
            Proceed,
        ),
        (
            Get,
            "If-None-Match: \"1-1\"|If-Modified-Since: BEFORE|",
            Same,
        ),
        // Steps 1 and 2 come before steps 3 and 4.
        (Get, "If-None-Match: \"1-1\"|If-Match: \"a\"|", Failed),
        (Get, "If-Match: \"1-1\"|If-None-Match: \"1-1\"|", Same),
        (
            Get,
            "If-Unmodified-Since: BEFORE|If-Modified-Since: AFTER|",
            Failed,
        ),
        (
            Get,
            "If-Unmodified-Since: AFTER|If-Modified-Since: AFTER|",
            Same,
        ),
        // §13.2.1: methods that select no representation.
        (Method::Options, "If-Match: \"a\"|", Proceed),
        (Method::Trace, "If-None-Match: *|", Proceed),
        (Method::Connect, "If-Unmodified-Since: BEFORE|", Proceed),
    ];
    for (method, fields, expected) in rows {
        let found = outcome(method, fields, &validators());
        assert_eq!(found, expected, "{method:?} {fields}");
    }
}

#[test]
fn a_representation_without_validators() {
    use Precondition::{NotModified, PreconditionFailed, Proceed};
    let none = Validators {
        etag: None,
        last_modified: None,
    };
    let rows = [
        ("If-Match: \"1-1\"|", PreconditionFailed),
        ("If-Match: *|", Proceed),
        ("If-None-Match: \"1-1\"|", Proceed),
        ("If-None-Match: *|", NotModified),
        ("If-Unmodified-Since: BEFORE|", Proceed),
        ("If-Modified-Since: AFTER|", Proceed),
    ];
    for (fields, expected) in rows {
        assert_eq!(outcome(Method::Get, fields, &none), expected, "{fields}");
    }
}

#[test]
fn section_13_1_5_row_by_row() {
    // (fields, whether the range applies when asked a second after the modification)
    let rows = [
        ("", true),
        ("If-Range: \"1-1\"|", true),
        ("If-Range: \"a\"|", false),
        ("If-Range: W/\"1-1\"|", false),
        ("If-Range: \"1-1\", \"a\"|", false),
        ("If-Range: *|", false),
        ("If-Range:|", false),
        ("If-Range: \"1-1\"|If-Range: \"1-1\"|", false),
        ("If-Range: EXACTLY|", true),
        ("If-Range: BEFORE|", false),
        ("If-Range: AFTER|", false),
        ("If-Range: yesterday|", false),
    ];
    let applies = |fields: &str, validators: &Validators, now: i64| {
        let head = head(fields);
        let Ok(Parse::Complete(request)) = parse(head.as_bytes(), &Limits::default()) else {
            panic!("{head}");
        };
        range_applies(
            &request.headers,
            validators,
            HttpTime::from_unix_seconds(now),
        )
    };
    for (fields, expected) in rows {
        assert_eq!(
            applies(fields, &validators(), MODIFIED + 1),
            expected,
            "{fields}"
        );
    }
    // §8.8.2.2: within the second of the modification a date is no strong validator …
    assert!(!applies("If-Range: EXACTLY|", &validators(), MODIFIED));
    assert!(!applies("If-Range: EXACTLY|", &validators(), MODIFIED - 1));
    // … while an entity-tag is.
    assert!(applies("If-Range: \"1-1\"|", &validators(), MODIFIED));
    let none = Validators {
        etag: None,
        last_modified: None,
    };
    assert!(!applies("If-Range: \"1-1\"|", &none, MODIFIED + 1));
    assert!(!applies("If-Range: EXACTLY|", &none, MODIFIED + 1));
    assert!(applies("", &none, MODIFIED + 1));
}
