//! Response heads, written into a buffer of the caller's.

use std::ops::Range;

use bytes::BufMut;

use crate::{HttpTime, Persistence, Status, Version};

/// Writes a response head, status line first, without allocating.
///
/// CR, LF and NUL in a name or value are written as a space, so no value can start another field or
/// another response
/// ([RFC 9110 §5.5](https://www.rfc-editor.org/rfc/rfc9110#section-5.5)).
///
/// ```
/// use zc_http::{HeadWriter, Status};
///
/// let mut head = Vec::new();
/// HeadWriter::new(&mut head, Status::Ok)
///     .number("Content-Length", 5)
///     .field("Content-Type", b"text/plain")
///     .finish();
/// assert_eq!(head, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\n");
/// ```
///
/// # Panics
///
/// Methods panic when a buffer that cannot grow is full. `Vec<u8>` and `BytesMut` grow.
#[derive(Debug)]
#[must_use = "a head is incomplete until it is finished"]
pub struct HeadWriter<'b, B: BufMut> {
    buf: &'b mut B,
}

impl<'b, B: BufMut> HeadWriter<'b, B> {
    /// Writes the status line. The version is always HTTP/1.1, the highest this library speaks, even
    /// to HTTP/1.0 ([RFC 9110 §6.2](https://www.rfc-editor.org/rfc/rfc9110#section-6.2)).
    pub fn new(buf: &'b mut B, status: Status) -> Self {
        buf.put_slice(b"HTTP/1.1 ");
        put_decimal(buf, u64::from(status.code()));
        buf.put_slice(b" ");
        buf.put_slice(status.reason().as_bytes());
        buf.put_slice(b"\r\n");
        Self { buf }
    }

    /// Writes whole field lines that were prepared before, each with its CR LF. They are not checked.
    pub fn lines(self, lines: &[u8]) -> Self {
        self.buf.put_slice(lines);
        self
    }

    /// Writes a field.
    pub fn field(self, name: &str, value: &[u8]) -> Self {
        self.line(name, |buf| put_sanitized(buf, value))
    }

    /// Writes a field with a decimal number.
    pub fn number(self, name: &str, value: u64) -> Self {
        self.line(name, |buf| put_decimal(buf, value))
    }

    /// Writes a field with a date.
    pub fn date(self, name: &str, time: HttpTime) -> Self {
        self.line(name, |buf| buf.put_slice(&time.imf_fixdate()))
    }

    /// Writes the `Content-Range` of a 206: `range` out of `complete_length` bytes
    /// ([RFC 9110 §14.4](https://www.rfc-editor.org/rfc/rfc9110#section-14.4)).
    ///
    /// An empty `range` has no first byte to name, and is written as unsatisfied.
    pub fn content_range(self, range: Range<u64>, complete_length: u64) -> Self {
        if range.is_empty() {
            return self.content_range_unsatisfied(complete_length);
        }
        self.line("Content-Range", |buf| {
            buf.put_slice(b"bytes ");
            put_decimal(buf, range.start);
            buf.put_slice(b"-");
            put_decimal(buf, range.end.saturating_sub(1));
            buf.put_slice(b"/");
            put_decimal(buf, complete_length);
        })
    }

    /// Writes the `Content-Range` of a 416, which tells the client how long the representation is.
    pub fn content_range_unsatisfied(self, complete_length: u64) -> Self {
        self.line("Content-Range", |buf| {
            buf.put_slice(b"bytes */");
            put_decimal(buf, complete_length);
        })
    }

    /// Writes the `Connection` field that the client needs
    /// ([RFC 9112 §9.3](https://www.rfc-editor.org/rfc/rfc9112#section-9.3)): `close`, or `keep-alive` to
    /// HTTP/1.0. To HTTP/1.1 a connection is kept open without a field.
    pub fn persistence(self, persistence: Persistence, request_version: Version) -> Self {
        match (persistence, request_version) {
            (Persistence::Close, _) => self.field("Connection", b"close"),
            (Persistence::KeepAlive, Version::Http10) => self.field("Connection", b"keep-alive"),
            (Persistence::KeepAlive, Version::Http11) => self,
        }
    }

    /// Writes the empty line that ends the head.
    pub fn finish(self) {
        self.buf.put_slice(b"\r\n");
    }

    fn line(self, name: &str, put_value: impl FnOnce(&mut B)) -> Self {
        put_sanitized(self.buf, name.as_bytes());
        self.buf.put_slice(b": ");
        put_value(self.buf);
        self.buf.put_slice(b"\r\n");
        self
    }
}

/// Writes `bytes` with every CR, LF and NUL replaced by a space.
pub(crate) fn put_sanitized(buf: &mut impl BufMut, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, rest) {
        buf.put_slice(rest.get(..at).unwrap_or_default());
        buf.put_slice(b" ");
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    buf.put_slice(rest);
}

/// Writes `value` in decimal, without leading zeros.
pub(crate) fn put_decimal(buf: &mut impl BufMut, value: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = value;
    for slot in digits.iter_mut().rev() {
        // Below ten, so the conversion loses nothing.
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
        start -= 1;
        if rest == 0 {
            break;
        }
    }
    buf.put_slice(digits.get(start..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(write: impl FnOnce(HeadWriter<'_, Vec<u8>>) -> HeadWriter<'_, Vec<u8>>) -> String {
        let mut head = Vec::new();
        write(HeadWriter::new(&mut head, Status::Ok)).finish();
        let head = String::from_utf8(head).unwrap();
        let fields = head.strip_prefix("HTTP/1.1 200 OK\r\n").unwrap();
        fields.strip_suffix("\r\n").unwrap().to_owned()
    }

    #[test]
    fn a_head_has_a_status_line_fields_and_an_empty_line() {
        let mut head = bytes::BytesMut::new();
        HeadWriter::new(&mut head, Status::NotFound)
            .field("A", b"b")
            .field("C", b"")
            .finish();
        assert_eq!(&head[..], b"HTTP/1.1 404 Not Found\r\nA: b\r\nC: \r\n\r\n");
    }

    #[test]
    fn lines_made_before_are_written_as_they_are() {
        let text = fields(|head| head.lines(b"A: b\r\nC: d\r\n").field("E", b"f"));
        assert_eq!(text, "A: b\r\nC: d\r\nE: f\r\n");
    }

    #[test]
    fn values_cannot_split_a_head() {
        let text = fields(|head| head.field("A", b"\r\nb\0\n\nc\r").field("D\r\nE", b"f"));
        assert_eq!(text, "A:   b   c \r\nD  E: f\r\n");
    }

    #[test]
    fn numbers_are_written_in_full() {
        for value in [0, 7, 10, 99, 100, 1_234_567_890, u64::MAX] {
            assert_eq!(
                fields(|head| head.number("N", value)),
                format!("N: {value}\r\n")
            );
        }
    }

    #[test]
    fn dates_are_imf_fixdates() {
        let text = fields(|head| head.date("Date", HttpTime::from_unix_seconds(0)));
        assert_eq!(text, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
    }

    #[test]
    #[expect(
        clippy::reversed_empty_ranges,
        reason = "a reversed range must do no harm either"
    )]
    fn content_ranges_name_first_and_last_byte() {
        let rows = [
            (0..1, 1, "bytes 0-0/1"),
            (10..20, 100, "bytes 10-19/100"),
            (
                0..u64::MAX,
                u64::MAX,
                "bytes 0-18446744073709551614/18446744073709551615",
            ),
            (5..5, 9, "bytes */9"),
            (6..5, 9, "bytes */9"),
        ];
        for (range, length, expected) in rows {
            let text = fields(|head| head.content_range(range, length));
            assert_eq!(text, format!("Content-Range: {expected}\r\n"));
        }
        let text = fields(|head| head.content_range_unsatisfied(0));
        assert_eq!(text, "Content-Range: bytes */0\r\n");
    }

    #[test]
    fn the_connection_field_says_what_the_version_does_not_imply() {
        let rows = [
            (Persistence::Close, Version::Http11, "Connection: close\r\n"),
            (Persistence::Close, Version::Http10, "Connection: close\r\n"),
            (
                Persistence::KeepAlive,
                Version::Http10,
                "Connection: keep-alive\r\n",
            ),
            (Persistence::KeepAlive, Version::Http11, ""),
        ];
        for (after, version, expected) in rows {
            assert_eq!(fields(|head| head.persistence(after, version)), expected);
        }
    }
}
