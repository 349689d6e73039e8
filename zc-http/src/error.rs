//! Why a request head is refused, and with which status.

use std::error::Error;
use std::fmt;

use crate::Status;

/// Why a request head is refused. It is always the peer's fault.
///
/// After any of these it is unknown where the next request starts: send [`status`](Self::status) and close
/// ([RFC 9112 §2.2](https://www.rfc-editor.org/rfc/rfc9112#section-2.2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// More empty lines before the request line than are skipped.
    LeadingEmptyLines,
    /// A carriage return that no line feed follows.
    BareCr,
    /// A line feed that no carriage return precedes.
    BareLf,
    /// The method is empty, or is not followed by one space.
    Method,
    /// A byte that no request target has: a control, `#` or DEL.
    TargetByte,
    /// The target has none of the four forms, or a form its method does not take.
    TargetForm,
    /// The last word of the request line is not `HTTP/` digit `.` digit.
    Version,
    /// A well-formed version of another major number than 1.
    VersionUnsupported,
    /// The request line is longer than its limit.
    RequestLineTooLong,
    /// The head is longer than its limit.
    HeadTooLong,
    /// More fields than [`FIELDS_MAX`](crate::FIELDS_MAX).
    TooManyFields,
    /// A field name is empty, holds a byte no token has, or is not followed by a colon at once.
    FieldName,
    /// A field line starts with white space (`obs-fold`).
    FieldFolded,
    /// A field value holds a control byte.
    FieldValue,
    /// HTTP/1.1 without a `Host` field.
    HostMissing,
    /// More than one `Host` field.
    HostRepeated,
    /// A `Host` field that is no host with an optional port.
    HostInvalid,
    /// Both `Content-Length` and `Transfer-Encoding`.
    LengthAndCoding,
    /// More than one `Content-Length`, or a list in one.
    LengthRepeated,
    /// A `Content-Length` that is not digits, or is beyond `u64`.
    LengthInvalid,
    /// `Transfer-Encoding` in HTTP/1.0, which has none.
    CodingInHttp10,
    /// `Transfer-Encoding` that does not end in exactly one `chunked`, so the body has no end.
    CodingInvalid,
    /// Transfer codings beside `chunked`.
    CodingUnsupported,
}

impl ParseError {
    /// The status to answer with.
    pub const fn status(self) -> Status {
        match self {
            Self::RequestLineTooLong => Status::UriTooLong,
            Self::HeadTooLong | Self::TooManyFields => Status::RequestHeaderFieldsTooLarge,
            Self::CodingUnsupported => Status::NotImplemented,
            Self::VersionUnsupported => Status::HttpVersionNotSupported,
            Self::LeadingEmptyLines
            | Self::BareCr
            | Self::BareLf
            | Self::Method
            | Self::TargetByte
            | Self::TargetForm
            | Self::Version
            | Self::FieldName
            | Self::FieldFolded
            | Self::FieldValue
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::LengthAndCoding
            | Self::LengthRepeated
            | Self::LengthInvalid
            | Self::CodingInHttp10
            | Self::CodingInvalid => Status::BadRequest,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeadingEmptyLines => "too many empty lines before the request line",
            Self::BareCr => "carriage return without line feed",
            Self::BareLf => "line feed without carriage return",
            Self::Method => "invalid method",
            Self::TargetByte => "invalid byte in the request target",
            Self::TargetForm => "request target in a form that the method does not allow",
            Self::Version => "malformed HTTP version",
            Self::VersionUnsupported => "HTTP major version other than 1",
            Self::RequestLineTooLong => "request line too long",
            Self::HeadTooLong => "request head too long",
            Self::TooManyFields => "too many header fields",
            Self::FieldName => "invalid field name",
            Self::FieldFolded => "field line starts with white space",
            Self::FieldValue => "control byte in a field value",
            Self::HostMissing => "missing Host field",
            Self::HostRepeated => "more than one Host field",
            Self::HostInvalid => "invalid Host field",
            Self::LengthAndCoding => "both Content-Length and Transfer-Encoding",
            Self::LengthRepeated => "more than one Content-Length",
            Self::LengthInvalid => "invalid Content-Length",
            Self::CodingInHttp10 => "Transfer-Encoding in HTTP/1.0",
            Self::CodingInvalid => "Transfer-Encoding that does not end in a single chunked",
            Self::CodingUnsupported => "unsupported transfer coding",
        })
    }
}

impl Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_statuses_of_their_own() {
        let rows = [
            (ParseError::RequestLineTooLong, 414),
            (ParseError::HeadTooLong, 431),
            (ParseError::TooManyFields, 431),
            (ParseError::CodingUnsupported, 501),
            (ParseError::VersionUnsupported, 505),
            (ParseError::BareLf, 400),
        ];
        for (error, code) in rows {
            assert_eq!(error.status().code(), code, "{error}");
        }
    }
}
