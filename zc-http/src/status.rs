//! The status codes this library and its server answer with.

use std::fmt;

/// A status code, one variant for each this server can send
/// ([RFC 9110 §15](https://www.rfc-editor.org/rfc/rfc9110#section-15)).
///
/// ```
/// use zc_http::Status;
///
/// assert_eq!(Status::NotFound.code(), 404);
/// assert_eq!(Status::NotFound.to_string(), "404 Not Found");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Status {
    /// 200: the whole representation follows.
    Ok = 200,
    /// 204: success, with no content.
    NoContent = 204,
    /// 206: one range of the representation follows.
    PartialContent = 206,
    /// 301: the resource has another target, named in `Location`.
    MovedPermanently = 301,
    /// 308: at another URI from now on, by the same method.
    PermanentRedirect = 308,
    /// 304: the client's copy is still good.
    NotModified = 304,
    /// 400: the request breaks the protocol.
    BadRequest = 400,
    /// 401: only for who says who it is; `WWW-Authenticate` says how.
    Unauthorized = 401,
    /// 403: understood, and refused.
    Forbidden = 403,
    /// 404: no such resource.
    NotFound = 404,
    /// 405: the resource does not take this method; `Allow` says which it takes.
    MethodNotAllowed = 405,
    /// 406: the client accepts none of the representations.
    NotAcceptable = 406,
    /// 408: the request did not arrive in time.
    RequestTimeout = 408,
    /// 412: a precondition of the request is false.
    PreconditionFailed = 412,
    /// 413: the request body is larger than accepted.
    ContentTooLarge = 413,
    /// 414: the request line is longer than accepted.
    UriTooLong = 414,
    /// 416: the range lies outside the representation.
    RangeNotSatisfiable = 416,
    /// 417: an expectation other than `100-continue`.
    ExpectationFailed = 417,
    /// 431: the head is longer, or has more fields, than accepted
    /// ([RFC 6585 §5](https://www.rfc-editor.org/rfc/rfc6585#section-5)).
    RequestHeaderFieldsTooLarge = 431,
    /// 500: a fault of the server.
    InternalServerError = 500,
    /// 501: an unknown method or transfer coding.
    NotImplemented = 501,
    /// 503: too busy, or not available for now.
    ServiceUnavailable = 503,
    /// 504: something behind the server did not answer in time.
    GatewayTimeout = 504,
    /// 505: a major version other than 1.
    HttpVersionNotSupported = 505,
}

impl Status {
    /// All errors, by their codes.
    pub const ERRORS: [Self; 18] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::PreconditionFailed,
        Self::ContentTooLarge,
        Self::UriTooLong,
        Self::RangeNotSatisfiable,
        Self::ExpectationFailed,
        Self::RequestHeaderFieldsTooLarge,
        Self::InternalServerError,
        Self::NotImplemented,
        Self::ServiceUnavailable,
        Self::GatewayTimeout,
        Self::HttpVersionNotSupported,
    ];

    /// The three-digit code.
    #[inline]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The reason phrase the registry gives.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::NoContent => "No Content",
            Self::PartialContent => "Partial Content",
            Self::MovedPermanently => "Moved Permanently",
            Self::PermanentRedirect => "Permanent Redirect",
            Self::NotModified => "Not Modified",
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::NotAcceptable => "Not Acceptable",
            Self::RequestTimeout => "Request Timeout",
            Self::PreconditionFailed => "Precondition Failed",
            Self::ContentTooLarge => "Content Too Large",
            Self::UriTooLong => "URI Too Long",
            Self::RangeNotSatisfiable => "Range Not Satisfiable",
            Self::ExpectationFailed => "Expectation Failed",
            Self::RequestHeaderFieldsTooLarge => "Request Header Fields Too Large",
            Self::InternalServerError => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
            Self::ServiceUnavailable => "Service Unavailable",
            Self::GatewayTimeout => "Gateway Timeout",
            Self::HttpVersionNotSupported => "HTTP Version Not Supported",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_reason_are_shown_together() {
        assert_eq!(Status::Ok.to_string(), "200 OK");
        assert_eq!(Status::HttpVersionNotSupported.code(), 505);
        assert_eq!(Status::ContentTooLarge.to_string(), "413 Content Too Large");
    }
}
