//! Where the body of a request ends.

use crate::grammar::{TOKEN, decimal, list_pieces};
use crate::{Headers, ParseError, Request, Version};

/// How the body of a request is delimited
/// ([RFC 9112 §6](https://www.rfc-editor.org/rfc/rfc9112#section-6)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyFraming {
    /// No body, or one of no bytes: the next request follows the head.
    None,
    /// A body of this many bytes, never zero.
    Length(u64),
    /// A body in chunks, whose length is known at its end.
    Chunked,
}

/// Decides how the body of `request` is delimited, by
/// [RFC 9112 §6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3).
///
/// [`parse`](crate::parse()) has done this already: the answer is [`Request::body`].
///
/// # Errors
///
/// Whatever two readers could read as two lengths is refused, even where the RFC lets a recipient repair
/// it: both `Content-Length` and `Transfer-Encoding`, either of them repeated,
/// `Transfer-Encoding` in HTTP/1.0, numbers that are not plain digits.
pub fn body_framing(request: &Request<'_>) -> Result<BodyFraming, ParseError> {
    from_headers(request.version, &request.headers)
}

pub(crate) fn from_headers(
    version: Version,
    headers: &Headers<'_>,
) -> Result<BodyFraming, ParseError> {
    let mut lengths = headers.get_all("content-length");
    let length = lengths.next();
    let has_coding = headers.get("transfer-encoding").is_some();
    match (length, has_coding) {
        (None, false) => Ok(BodyFraming::None),
        (Some(_), true) => Err(ParseError::LengthAndCoding),
        (None, true) if version == Version::Http10 => Err(ParseError::CodingInHttp10),
        (None, true) => coding(headers),
        (Some(value), false) if lengths.next().is_some() || value.contains(&b',') => {
            Err(ParseError::LengthRepeated)
        }
        (Some(value), false) => match decimal(value) {
            None => Err(ParseError::LengthInvalid),
            Some(0) => Ok(BodyFraming::None),
            Some(bytes) => Ok(BodyFraming::Length(bytes)),
        },
    }
}

/// The framing of a message with `Transfer-Encoding`: `chunked` alone is decoded, `chunked` after
/// other codings is understood but unsupported, and anything else leaves the end of the body
/// unknown.
fn coding(headers: &Headers<'_>) -> Result<BodyFraming, ParseError> {
    let mut codings = headers
        .get_all("transfer-encoding")
        .flat_map(list_pieces)
        .peekable();
    let mut is_alone = true;
    while let Some(coding) = codings.next() {
        let is_last = codings.peek().is_none();
        let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        match (is_last, is_chunked) {
            (true, true) if is_alone => return Ok(BodyFraming::Chunked),
            (true, true) => return Err(ParseError::CodingUnsupported),
            // Parameters are refused with the rest: a quoted comma in one would need more care.
            (false, false) if !coding.is_empty() && TOKEN.contains_all(coding) => is_alone = false,
            _ => break,
        }
    }
    Err(ParseError::CodingInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Parse, parse};

    fn framing(version: &str, fields: &str) -> Result<BodyFraming, ParseError> {
        let head = format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        let Parse::Complete(request) = parse(head.as_bytes(), &Limits::default())? else {
            panic!("{head}");
        };
        assert_eq!(body_framing(&request), Ok(request.body));
        Ok(request.body)
    }

    #[test]
    fn each_rule_of_section_6_3() {
        use BodyFraming::{Chunked, Length};
        let max = "Content-Length: 18446744073709551615\r\n";
        let rows = [
            ("", Ok(BodyFraming::None)),
            ("Content-Length: 0\r\n", Ok(BodyFraming::None)),
            ("Content-Length: 5\r\n", Ok(Length(5))),
            ("Content-Length:  005 \r\n", Ok(Length(5))),
            (max, Ok(Length(u64::MAX))),
            (
                "Content-Length: 18446744073709551616\r\n",
                Err(ParseError::LengthInvalid),
            ),
            ("Content-Length:\r\n", Err(ParseError::LengthInvalid)),
            ("Content-Length: +5\r\n", Err(ParseError::LengthInvalid)),
            ("Content-Length: 0x5\r\n", Err(ParseError::LengthInvalid)),
            ("Content-Length: 5 5\r\n", Err(ParseError::LengthInvalid)),
            ("Content-Length: 5, 5\r\n", Err(ParseError::LengthRepeated)),
            (
                "Content-Length: 5\r\nContent-Length: 5\r\n",
                Err(ParseError::LengthRepeated),
            ),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                Err(ParseError::LengthAndCoding),
            ),
            ("Transfer-Encoding: chunked\r\n", Ok(Chunked)),
            ("transfer-encoding:\tCHUNKED \r\n", Ok(Chunked)),
            (
                "Transfer-Encoding: gzip, chunked\r\n",
                Err(ParseError::CodingUnsupported),
            ),
            (
                "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
                Err(ParseError::CodingUnsupported),
            ),
            (
                "Transfer-Encoding: chunked, chunked\r\n",
                Err(ParseError::CodingInvalid),
            ),
            (
                "Transfer-Encoding: chunked, gzip\r\n",
                Err(ParseError::CodingInvalid),
            ),
            (
                "Transfer-Encoding: , chunked\r\n",
                Err(ParseError::CodingInvalid),
            ),
            (
                "Transfer-Encoding: chunked,\r\n",
                Err(ParseError::CodingInvalid),
            ),
            (
                "Transfer-Encoding: identity\r\n",
                Err(ParseError::CodingInvalid),
            ),
            (
                "Transfer-Encoding: xchunked\r\n",
                Err(ParseError::CodingInvalid),
            ),
            (
                "Transfer-Encoding: chunked;a=b\r\n",
                Err(ParseError::CodingInvalid),
            ),
            (
                "Transfer-Encoding: \"chunked\"\r\n",
                Err(ParseError::CodingInvalid),
            ),
            (
                "Transfer-Encoding: a b, chunked\r\n",
                Err(ParseError::CodingInvalid),
            ),
            ("Transfer-Encoding:\r\n", Err(ParseError::CodingInvalid)),
        ];
        for (fields, expected) in rows {
            assert_eq!(framing("1.1", fields), expected, "{fields}");
        }
        let in_http10 = framing("1.0", "Transfer-Encoding: chunked\r\n");
        assert_eq!(in_http10, Err(ParseError::CodingInHttp10));
        assert_eq!(framing("1.0", "Content-Length: 5\r\n"), Ok(Length(5)));
    }
}
