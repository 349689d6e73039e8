//! Whether a connection outlives the response.

use crate::{Request, Version};

/// What becomes of the connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// The next request may follow.
    KeepAlive,
    /// The connection ends.
    Close,
}

/// What the client asks for, by
/// [RFC 9112 §9.3](https://www.rfc-editor.org/rfc/rfc9112#section-9.3): `Connection: close` ends the
/// connection in any case. Otherwise HTTP/1.1 keeps it open, and HTTP/1.0 does with
/// `Connection: keep-alive`.
///
/// A server may still close for reasons of its own.
pub fn persistence(request: &Request<'_>) -> Persistence {
    let asks = |token| request.headers.list_contains("connection", token);
    let keeps = match request.version {
        Version::Http11 => !asks("close"),
        Version::Http10 => !asks("close") && asks("keep-alive"),
    };
    if keeps {
        Persistence::KeepAlive
    } else {
        Persistence::Close
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Parse, parse};

    #[test]
    fn each_rule_of_section_9_3() {
        let rows = [
            ("1.1", "", Persistence::KeepAlive),
            ("1.1", "Connection: close\r\n", Persistence::Close),
            ("1.1", "Connection: Close\r\n", Persistence::Close),
            (
                "1.1",
                "Connection: keep-alive, close\r\n",
                Persistence::Close,
            ),
            (
                "1.1",
                "Connection: x\r\nConnection: close\r\n",
                Persistence::Close,
            ),
            ("1.1", "Connection: closed\r\n", Persistence::KeepAlive),
            ("1.1", "Connection: keep-alive\r\n", Persistence::KeepAlive),
            ("1.0", "", Persistence::Close),
            ("1.0", "Connection: Keep-Alive\r\n", Persistence::KeepAlive),
            (
                "1.0",
                "Connection: keep-alive, close\r\n",
                Persistence::Close,
            ),
            ("1.0", "Keep-Alive: timeout=5\r\n", Persistence::Close),
        ];
        for (version, fields, expected) in rows {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
            let Ok(Parse::Complete(request)) = parse(head.as_bytes(), &Limits::default()) else {
                panic!("{head}");
            };
            assert_eq!(persistence(&request), expected, "{head}");
        }
    }
}
