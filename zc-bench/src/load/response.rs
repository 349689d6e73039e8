//! The head of a response, as far as a client that counts needs to know it.

use std::io;

/// Fields that are read; a server that sends more is not one of those measured here.
const FIELDS_MAX: usize = 64;

/// What a head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Bytes of the head.
    pub(crate) bytes: usize,
    /// Bytes of the body.
    pub(crate) body_bytes: u64,
    /// Whether the server ends the connection after it.
    pub(crate) closes: bool,
}

/// Reads the head at the start of `bytes`; `None` when it is not complete.
pub(crate) fn read_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    match response.parse(bytes) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(head_bytes)) => {
            let value = |name: &str| {
                let mut fields = response.headers.iter();
                let field = fields.find(|field| field.name.eq_ignore_ascii_case(name))?;
                str::from_utf8(field.value).ok()
            };
            let length = value("content-length").and_then(|text| text.parse().ok());
            let closes = value("connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
            Ok(Some(Head {
                status: response.code.unwrap_or(0),
                bytes: head_bytes,
                body_bytes: length.ok_or_else(|| invalid("a response without a length".into()))?,
                closes,
            }))
        }
        Err(error) => Err(invalid(format!("no response: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        for end in 0..head.len() - 5 {
            assert_eq!(read_head(&head[..end]).expect("a start"), None);
        }
        let expected = Head {
            status: 200,
            bytes: head.len() - 5,
            body_bytes: 5,
            closes: false,
        };
        assert_eq!(read_head(head).expect("a head"), Some(expected));
        let last = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let found = read_head(last).expect("a head").expect("all of it");
        assert_eq!((found.status, found.closes), (404, true));
        for wrong in [&b"SMTP ready\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n\r\n"] {
            assert!(read_head(wrong).is_err());
        }
    }
}
