//! Requests, and the parser that reads their heads.

use crate::framing::{self, BodyFraming};
use crate::grammar::{TOKEN, is_ows};
use crate::scan::{Cursor, Stop};
use crate::version::take_version;
use crate::{Headers, Method, ParseError, Target, Version, host};

/// How long a head may be.
///
/// The field count has a fixed bound, [`FIELDS_MAX`](crate::FIELDS_MAX).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest request line, CR LF not counted; a longer one is answered with 414. RFC 9112 §3
    /// recommends to take at least 8000 bytes.
    pub request_line_bytes_max: usize,
    /// The longest head, with request line, skipped empty lines and final empty line; a longer one
    /// is answered with 431. Anything above 65535 counts as 65535.
    pub head_bytes_max: usize,
}

impl Default for Limits {
    /// 8 KiB for the request line and 16 KiB for the head, which is what common servers take.
    fn default() -> Self {
        Self {
            request_line_bytes_max: 8 * 1024,
            head_bytes_max: 16 * 1024,
        }
    }
}

/// The result of parsing the bytes received so far.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a request lives on the stack of the one call that serves it; a box would allocate"
)]
pub enum Parse<'buf> {
    /// A whole head.
    Complete(Request<'buf>),
    /// A valid start: receive more and parse again from the same first byte.
    Partial,
}

/// A request head, borrowed from the bytes it was received in.
#[derive(Clone, Debug)]
pub struct Request<'buf> {
    /// The method.
    pub method: Method,
    /// The target, its form checked against the method.
    pub target: Target<'buf>,
    /// The version.
    pub version: Version,
    /// The fields.
    pub headers: Headers<'buf>,
    /// How the body that follows the head is delimited; bodies must be read or the connection
    /// closed, before the next request is parsed.
    pub body: BodyFraming,
    /// How many of the bytes parsed belong to the head, from skipped empty lines to the final empty
    /// line. The body, or the next request, starts here.
    pub head_bytes: usize,
    request_line: &'buf [u8],
    raw_target: &'buf [u8],
}

impl<'buf> Request<'buf> {
    /// The request line as sent, without its CR LF. Bytes from 0x80 up may occur in it; controls
    /// cannot.
    pub fn request_line(&self) -> &'buf [u8] {
        self.request_line
    }

    /// The request target as sent.
    pub fn raw_target(&self) -> &'buf [u8] {
        self.raw_target
    }

    /// The host that the request is for, with its port where it has one, as sent: the authority of the
    /// target comes before the `Host` field
    /// ([RFC 9112 §3.2.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2)). Empty where there is
    /// neither.
    pub fn authority(&self) -> &'buf [u8] {
        match self.target {
            Target::Absolute { authority, .. } => authority,
            _ => self.headers.get("host").unwrap_or_default(),
        }
    }
}

/// Parses the head at the start of `buf`, without allocating.
///
/// The answer for the first bytes of a head never contradicts the answer for more of them: an error
/// stays that error and a complete head stays complete, however the bytes were cut. Errors are
/// reported at the first byte that no valid head could have there; what concerns the fields
/// together (`Host`, body framing) is decided at the final empty line. Each call starts over and
/// takes time linear in the bytes, of which it looks at no more than the limits allow.
///
/// The rules are those of [RFC 9112](https://www.rfc-editor.org/rfc/rfc9112) with every leniency
/// left unused but one: up to four empty lines before the request line are skipped
/// ([§2.2](https://www.rfc-editor.org/rfc/rfc9112#section-2.2)).
///
/// # Errors
///
/// [`ParseError`], when no continuation can make `buf` a valid head within `limits`. Answer with
/// [`ParseError::status`] and close the connection.
pub fn parse<'buf>(buf: &'buf [u8], limits: &Limits) -> Result<Parse<'buf>, ParseError> {
    let head_bytes_max = limits.head_bytes_max.min(HEAD_BYTES_CEILING);
    let head = buf.get(..head_bytes_max).unwrap_or(buf);
    let mut cursor = Cursor::new(head);
    // The field table is filled in place and moved once, being by far the largest part.
    let mut headers = Headers::new(head);
    match take_head(&mut cursor, limits.request_line_bytes_max, &mut headers) {
        Ok((line, body)) => Ok(Parse::Complete(Request {
            method: line.method,
            target: line.target,
            version: line.version,
            headers,
            body,
            head_bytes: cursor.position(),
            request_line: line.raw,
            raw_target: line.raw_target,
        })),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::NeedMore) if head.len() == head_bytes_max => Err(ParseError::HeadTooLong),
        Err(Stop::NeedMore) => Ok(Parse::Partial),
    }
}

/// Field offsets have 16 bits.
const HEAD_BYTES_CEILING: usize = 65535;

/// How many empty lines before a request line are skipped. Some old clients sent one after a body; a few
/// cost nothing, and the bound keeps a peer from sending them for ever.
const LEADING_EMPTY_LINES_MAX: u32 = 4;

fn take_head<'buf>(
    cursor: &mut Cursor<'buf>,
    request_line_bytes_max: usize,
    headers: &mut Headers<'buf>,
) -> Result<(RequestLine<'buf>, BodyFraming), Stop> {
    skip_empty_lines(cursor)?;
    let line = take_request_line(cursor, request_line_bytes_max)?;
    take_fields(cursor, headers)?;
    check_host(headers, line.version)?;
    let body = framing::from_headers(line.version, headers)?;
    Ok((line, body))
}

fn skip_empty_lines(cursor: &mut Cursor<'_>) -> Result<(), Stop> {
    let mut skipped = 0;
    while cursor.peek()? == b'\r' {
        if skipped == LEADING_EMPTY_LINES_MAX {
            return Err(ParseError::LeadingEmptyLines.into());
        }
        cursor.take_line_end(ParseError::Method)?;
        skipped += 1;
    }
    Ok(())
}

struct RequestLine<'buf> {
    method: Method,
    target: Target<'buf>,
    version: Version,
    raw: &'buf [u8],
    raw_target: &'buf [u8],
}

/// Reads the request line and its CR LF.
fn take_request_line<'buf>(
    cursor: &mut Cursor<'buf>,
    bytes_max: usize,
) -> Result<RequestLine<'buf>, Stop> {
    let end_max = cursor.position().saturating_add(bytes_max);
    let mut window = cursor.up_to(end_max);
    let line = match take_words(&mut window) {
        // The line goes on after the last byte it may have.
        Err(Stop::NeedMore) if window.len() == end_max => {
            return Err(ParseError::RequestLineTooLong.into());
        }
        other => other?,
    };
    cursor.resume_at(&window);
    cursor.take_line_end(ParseError::Version)?;
    Ok(line)
}

/// Reads method, target and version
/// ([RFC 9112 §3](https://www.rfc-editor.org/rfc/rfc9112#section-3)).
fn take_words<'buf>(cursor: &mut Cursor<'buf>) -> Result<RequestLine<'buf>, Stop> {
    let start = cursor.position();
    let token = cursor.take_all(&TOKEN);
    take_space(cursor, ParseError::Method)?;
    let method = Method::from_token(token).ok_or(ParseError::Method)?;

    let raw_target = cursor.take_target();
    let next = cursor.peek();
    if next != Ok(b' ') && !Target::may_start_with(method, raw_target) {
        return Err(ParseError::TargetForm.into());
    }
    take_space(cursor, ParseError::TargetByte)?;
    let target = Target::parse(method, raw_target).ok_or(ParseError::TargetForm)?;

    let version = take_version(cursor)?;
    if !target.is_allowed_for(method) {
        return Err(ParseError::TargetForm.into());
    }
    Ok(RequestLine {
        method,
        target,
        version,
        raw: cursor.since(start),
        raw_target,
    })
}

fn take_space(cursor: &mut Cursor<'_>, otherwise: ParseError) -> Result<(), Stop> {
    match cursor.peek()? {
        b' ' => {
            cursor.advance();
            Ok(())
        }
        b'\n' => Err(ParseError::BareLf.into()),
        _ => Err(otherwise.into()),
    }
}

/// Reads field lines up to and with the empty line that ends them
/// ([RFC 9112 §5](https://www.rfc-editor.org/rfc/rfc9112#section-5)).
fn take_fields(cursor: &mut Cursor<'_>, headers: &mut Headers<'_>) -> Result<(), Stop> {
    loop {
        match cursor.peek()? {
            b'\r' => return cursor.take_line_end(ParseError::FieldName),
            byte if is_ows(byte) => return Err(ParseError::FieldFolded.into()),
            _ if headers.is_full() => return Err(ParseError::TooManyFields.into()),
            _ => {}
        }
        let name_start = cursor.position();
        let name_bytes = cursor.take_all(&TOKEN).len();
        match cursor.peek()? {
            b':' if name_bytes > 0 => cursor.advance(),
            b'\n' => return Err(ParseError::BareLf.into()),
            _ => return Err(ParseError::FieldName.into()),
        }
        let value_start = cursor.position();
        cursor.take_value();
        let value_end = cursor.position();
        cursor.take_line_end(ParseError::FieldValue)?;
        headers.push(name_start, name_bytes, value_start, value_end)?;
    }
}

/// One valid `Host`, or none in HTTP/1.0
/// ([RFC 9112 §3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2)).
fn check_host(headers: &Headers<'_>, version: Version) -> Result<(), ParseError> {
    let mut hosts = headers.get_all("host");
    match (hosts.next(), hosts.next()) {
        (Some(value), None) if host::is_host_field(value) => Ok(()),
        (Some(_), None) => Err(ParseError::HostInvalid),
        (Some(_), Some(_)) => Err(ParseError::HostRepeated),
        (None, _) if version == Version::Http10 => Ok(()),
        (None, _) => Err(ParseError::HostMissing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FIELDS_MAX;

    fn error(head: &str) -> ParseError {
        parse(head.as_bytes(), &Limits::default()).unwrap_err()
    }

    fn is_partial(head: &[u8], limits: &Limits) -> bool {
        matches!(parse(head, limits), Ok(Parse::Partial))
    }

    #[test]
    fn a_head_is_taken_apart() {
        let bytes = b"\r\nGET /a?b HTTP/1.1\r\nHost: x\r\nA:\t1 \r\n\r\nGET";
        let Ok(Parse::Complete(request)) = parse(bytes, &Limits::default()) else {
            panic!("incomplete");
        };
        assert_eq!(request.method, Method::Get);
        assert_eq!(request.target.path(), Some(&b"/a"[..]));
        assert_eq!(request.target.query(), Some(&b"b"[..]));
        assert_eq!(request.version, Version::Http11);
        assert_eq!(request.headers.get("a"), Some(&b"1"[..]));
        assert_eq!(request.body, BodyFraming::None);
        assert_eq!(request.head_bytes, bytes.len() - 3);
        assert_eq!(request.request_line(), b"GET /a?b HTTP/1.1");
        assert_eq!(request.raw_target(), b"/a?b");
    }

    #[test]
    fn each_broken_rule_has_its_reason() {
        let rows = [
            ("\r\n\r\n\r\n\r\n\r", ParseError::LeadingEmptyLines),
            ("\rG", ParseError::BareCr),
            ("\n", ParseError::BareLf),
            ("GET / HTTP/1.1\n", ParseError::BareLf),
            ("GET / HTTP/1.1\rH", ParseError::BareCr),
            (" ", ParseError::Method),
            ("G\t", ParseError::Method),
            ("GET /\t", ParseError::TargetByte),
            ("GET /#", ParseError::TargetByte),
            ("GET /\x7f", ParseError::TargetByte),
            ("GET /\r\n", ParseError::TargetByte),
            ("GET  ", ParseError::TargetForm),
            ("GET a", ParseError::TargetForm),
            ("GET * HTTP/1.1", ParseError::TargetForm),
            ("CONNECT / ", ParseError::TargetForm),
            ("GET /  ", ParseError::Version),
            ("GET / HTTP/1.1 ", ParseError::Version),
            ("GET / HTTP/2.0", ParseError::VersionUnsupported),
            (
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                ParseError::VersionUnsupported,
            ),
            ("GET / HTTP/1.1\r\n ", ParseError::FieldFolded),
            ("GET / HTTP/1.1\r\nA: b\r\n\tc", ParseError::FieldFolded),
            ("GET / HTTP/1.1\r\n:", ParseError::FieldName),
            ("GET / HTTP/1.1\r\nA :", ParseError::FieldName),
            ("GET / HTTP/1.1\r\nA\r\n", ParseError::FieldName),
            ("GET / HTTP/1.1\r\nA\n", ParseError::BareLf),
            ("GET / HTTP/1.1\r\nA:b\n", ParseError::BareLf),
            ("GET / HTTP/1.1\r\nA:b\rc", ParseError::BareCr),
            ("GET / HTTP/1.1\r\nA:b\0", ParseError::FieldValue),
            ("GET / HTTP/1.1\r\nA:b\x7f", ParseError::FieldValue),
            ("GET / HTTP/1.1\r\n\r\n", ParseError::HostMissing),
            (
                "GET / HTTP/1.1\r\nHost:a\r\nHost:a\r\n\r\n",
                ParseError::HostRepeated,
            ),
            (
                "GET / HTTP/1.0\r\nHost:a\r\nHost:a\r\n\r\n",
                ParseError::HostRepeated,
            ),
            (
                "GET / HTTP/1.1\r\nHost:a b\r\n\r\n",
                ParseError::HostInvalid,
            ),
        ];
        for (head, expected) in rows {
            assert_eq!(error(head), expected, "{head:?}");
        }
    }

    #[test]
    fn the_request_line_may_have_its_limit_and_no_more() {
        let limits = Limits {
            request_line_bytes_max: 20,
            ..Limits::default()
        };
        assert!(is_partial(b"GET /abcdef HTTP/1.1", &limits));
        assert!(is_partial(b"\r\nGET /abcdef HTTP/1.1", &limits));
        let long = parse(b"GET /abcdefg HTTP/1.1", &limits).unwrap_err();
        assert_eq!(long, ParseError::RequestLineTooLong);
        let method = parse(&[b'A'; 20], &limits).unwrap_err();
        assert_eq!(method, ParseError::RequestLineTooLong);
    }

    #[test]
    fn the_head_may_have_its_limit_and_no_more() {
        let head = b"GET / HTTP/1.1\r\nHost:\r\n\r\n";
        let limits = |head_bytes_max| Limits {
            head_bytes_max,
            ..Limits::default()
        };
        assert!(matches!(
            parse(head, &limits(head.len())),
            Ok(Parse::Complete(_))
        ));
        for bytes_max in 0..head.len() {
            let error = parse(head, &limits(bytes_max)).unwrap_err();
            assert_eq!(error, ParseError::HeadTooLong, "{bytes_max}");
        }
        let huge = [&b"GET / HTTP/1.1\r\nA:"[..], &[b'a'; 70_000][..]].concat();
        let error = parse(&huge, &limits(usize::MAX)).unwrap_err();
        assert_eq!(error, ParseError::HeadTooLong);
    }

    #[test]
    fn a_hundred_fields_and_no_more() {
        let start = format!("GET / HTTP/1.0\r\n{}", "a:b\r\n".repeat(FIELDS_MAX));
        let complete = format!("{start}\r\n");
        let result = parse(complete.as_bytes(), &Limits::default());
        assert!(matches!(result, Ok(Parse::Complete(request)) if request.headers.len() == 100));
        assert_eq!(error(&format!("{start}c")), ParseError::TooManyFields);
    }
}
