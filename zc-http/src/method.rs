//! Request methods.

use crate::grammar::TOKEN;

/// A request method ([RFC 9110 §9](https://www.rfc-editor.org/rfc/rfc9110#section-9)).
///
/// Methods are case-sensitive: `get` is a valid token that names no method known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `CONNECT`
    Connect,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `PATCH` ([RFC 5789](https://www.rfc-editor.org/rfc/rfc5789))
    Patch,
    /// A valid token that is none of the above; the answer is 501
    /// ([RFC 9110 §9.1](https://www.rfc-editor.org/rfc/rfc9110#section-9.1)). The token itself is
    /// the first word of [`Request::request_line`](crate::Request::request_line).
    Unrecognized,
}

impl Method {
    /// The method as it is written in a request line; `"UNRECOGNIZED"` for one without a name here.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Unrecognized => "UNRECOGNIZED",
        }
    }

    /// The method `token` names; `None` when it is not a token at all.
    pub fn from_token(token: &[u8]) -> Option<Self> {
        let method = match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            other if !other.is_empty() && TOKEN.contains_all(other) => Self::Unrecognized,
            _ => return None,
        };
        Some(method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_methods_survive_a_round_trip() {
        for method in [
            Method::Get,
            Method::Head,
            Method::Post,
            Method::Put,
            Method::Delete,
            Method::Connect,
            Method::Options,
            Method::Trace,
            Method::Patch,
        ] {
            assert_eq!(Method::from_token(method.as_str().as_bytes()), Some(method));
        }
    }

    #[test]
    fn methods_are_case_sensitive_tokens() {
        assert_eq!(Method::from_token(b"get"), Some(Method::Unrecognized));
        assert_eq!(Method::from_token(b"M-SEARCH"), Some(Method::Unrecognized));
        assert_eq!(Method::from_token(b""), None);
        assert_eq!(Method::from_token(b"G:T"), None);
    }
}
