//! What to answer, decided from values alone: no file is opened and nothing is written here.

use std::ops::Range;

use zc_http::{
    EntityTag, HttpTime, Method, Precondition, RangeOutcome, Request, Status, Validators, evaluate,
    range_applies, resolve_range,
};

/// What is known of the file that would be sent.
#[derive(Debug, Clone)]
pub(crate) struct Representation {
    pub(crate) length: u64,
    pub(crate) last_modified: HttpTime,
    pub(crate) etag: EntityTag,
    pub(crate) content_type: &'static str,
}

/// The answer to one request, before it is written out.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// 200 with all of the file.
    Whole(Representation),
    /// 206 with one part of the file. Invariant: the range is not empty and lies in the file.
    Part(Representation, Range<u64>),
    /// 304: the client's copy is current.
    NotModified(Representation),
    /// 416; the length of the file tells the client what could be asked for.
    Unsatisfiable { length: u64 },
    /// 301 to the same path with a slash at its end.
    Redirect { location: Vec<u8> },
    /// Any other answer, with a line of text.
    Message(Status),
}

impl Plan {
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Whole(_) => Status::Ok,
            Self::Part(..) => Status::PartialContent,
            Self::NotModified(_) => Status::NotModified,
            Self::Unsatisfiable { .. } => Status::RangeNotSatisfiable,
            Self::Redirect { .. } => Status::MovedPermanently,
            Self::Message(status) => *status,
        }
    }
}

/// What the method alone decides: an error, or `None` when the target is to be looked up.
pub(crate) fn refuse_method(method: Method) -> Option<Plan> {
    match method {
        Method::Get | Method::Head => None,
        Method::Unrecognized => Some(Plan::Message(Status::NotImplemented)),
        _ => Some(Plan::Message(Status::MethodNotAllowed)),
    }
}

/// The answer for a file: preconditions first, then the range
/// ([RFC 9110 §13.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2)).
pub(crate) fn for_file(request: &Request<'_>, file: Representation, now: HttpTime) -> Plan {
    let validators = Validators {
        etag: Some(file.etag),
        last_modified: Some(file.last_modified),
    };
    match evaluate(request.method, &request.headers, &validators) {
        Precondition::NotModified => return Plan::NotModified(file),
        Precondition::PreconditionFailed => return Plan::Message(Status::PreconditionFailed),
        Precondition::Proceed => {}
    }
    // Range is defined for GET alone (RFC 9110 §14.2).
    let range = match request.headers.get("range") {
        Some(value)
            if request.method == Method::Get
                && range_applies(&request.headers, &validators, now) =>
        {
            resolve_range(value, file.length)
        }
        _ => RangeOutcome::Whole,
    };
    match range {
        // Several parts are not sent yet: all of it, as for a client that asked for no range.
        RangeOutcome::Whole | RangeOutcome::Parts(_) => Plan::Whole(file),
        RangeOutcome::Partial(range) => Plan::Part(file, range),
        RangeOutcome::Unsatisfiable => Plan::Unsatisfiable {
            length: file.length,
        },
    }
}

/// Where a directory asked for without its final slash is redirected: the normalised path, so that
/// the location begins with exactly one slash and never names another host, and the query as it came.
pub(crate) fn directory_location(path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
    const PATH: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    let mut location = vec![b'/'];
    for piece in percent_encode(path, PATH) {
        location.extend_from_slice(piece.as_bytes());
    }
    location.push(b'/');
    if let Some(query) = query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    location
}

/// What the `method` parameter of a query asks for, where `--method-override` allows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Override {
    /// No such parameter: as configured.
    Absent,
    Method(zc_core::Method),
    /// A word that names no method.
    Unknown,
}

/// Reads `?method=copy|io|sendfile|splice|auto`; `io` is another word for `copy`.
pub(crate) fn method_override(query: Option<&[u8]>) -> Override {
    let Some(value) = query.and_then(|query| zc_http::query_value(query, "method")) else {
        return Override::Absent;
    };
    match value {
        b"auto" => Override::Method(zc_core::Method::Auto),
        b"sendfile" => Override::Method(zc_core::Method::Sendfile),
        b"splice" => Override::Method(zc_core::Method::Splice),
        b"copy" | b"io" => Override::Method(zc_core::Method::Copy),
        _ => Override::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_location_never_names_another_host() {
        let rows = [
            (&b"a"[..], None, "/a/"),
            (b"a/b c", Some(&b"x=1&y"[..]), "/a/b%20c/?x=1&y"),
            (b"evil.example", None, "/evil.example/"),
            (b"\xff\r\n\\", None, "/%FF%0D%0A%5C/"),
        ];
        for (path, query, expected) in rows {
            assert_eq!(directory_location(path, query), expected.as_bytes());
        }
    }

    #[test]
    fn override_words() {
        use zc_core::Method::{Auto, Copy, Sendfile, Splice};
        let rows: [(Option<&[u8]>, Override); 9] = [
            (None, Override::Absent),
            (Some(b"x=1"), Override::Absent),
            (Some(b"method=io"), Override::Method(Copy)),
            (Some(b"method=copy"), Override::Method(Copy)),
            (Some(b"a=b&method=sendfile"), Override::Method(Sendfile)),
            (Some(b"method=splice"), Override::Method(Splice)),
            (Some(b"method=auto"), Override::Method(Auto)),
            (Some(b"method=mmap"), Override::Unknown),
            (Some(b"method"), Override::Unknown),
        ];
        for (query, expected) in rows {
            assert_eq!(method_override(query), expected, "{query:?}");
        }
    }
}
