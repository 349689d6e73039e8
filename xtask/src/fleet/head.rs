//! Heads of responses, as the clients of a fleet read them.

use httparse::{EMPTY_HEADER, Error, Header, Response};

/// More fields than any response here has.
const FIELDS_MAX: usize = 64;

/// A head, over the bytes that were received.
#[derive(Debug)]
pub(super) struct ResponseHead<'b> {
    pub(super) status: u16,
    fields: [Header<'b>; FIELDS_MAX],
}

impl<'b> ResponseHead<'b> {
    /// Reads a head, and how many bytes it has; `None` if more have to come.
    pub(super) fn read(bytes: &'b [u8]) -> Result<Option<(Self, usize)>, Error> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = Response::new(&mut fields);
        let parsed = response.parse(bytes)?;
        let status = response.code.unwrap_or_default();
        let head = |length| (Self { status, fields }, length);
        Ok(match parsed {
            httparse::Status::Complete(length) => Some(head(length)),
            httparse::Status::Partial => None,
        })
    }

    /// The value of a field, if it is text.
    pub(super) fn field(&self, name: &str) -> Option<&'b str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok()
    }

    /// The same as a number.
    pub(super) fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.field(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let bytes = b"HTTP/1.1 206 Partial\r\nContent-Length: 12\r\nX-Node: n3\r\n\r\nbody";
        let whole = bytes.len() - "body".len();
        for length in 0..whole {
            let part = ResponseHead::read(&bytes[..length]);
            assert!(matches!(part, Ok(None)), "{length}: {part:?}");
        }
        let (head, length) = ResponseHead::read(bytes).expect("a head").expect("whole");
        assert_eq!((head.status, length), (206, whole));
        assert_eq!(head.number("content-length"), Some(12));
        assert_eq!(head.field("x-node"), Some("n3"));
        assert_eq!(head.field("etag"), None);
        for wrong in [
            &b"SSH-2.0 200\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ] {
            assert!(ResponseHead::read(wrong).is_err());
        }
    }
}
