//! HTTP/1 for an origin server of files, without I/O.
//!
//! Bytes and the current time go in, values and bytes come out. Nothing here opens a socket or a file,
//! reads a clock or starts a thread. Parsing a head and writing one do not allocate; a request for
//! several ranges allocates a list of them. No input makes it panic.
//!
//! # From request to response
//!
//! ```
//! use zc_http::{HeadWriter, Limits, Parse, RangeOutcome, Status};
//! use zc_http::{decode_path, parse, persistence, resolve_range};
//!
//! let limits = Limits::default();
//! let mut received = b"GET /a%20file HTTP/1.1\r\nHost: exam".to_vec();
//! assert!(matches!(parse(&received, &limits)?, Parse::Partial));
//!
//! received.extend_from_slice(b"ple.com\r\nRange: bytes=-5\r\n\r\n");
//! let Parse::Complete(request) = parse(&received, &limits)? else {
//!     panic!("the head is complete");
//! };
//! assert_eq!(request.head_bytes, received.len());
//!
//! let mut name = Vec::new();
//! let path = decode_path(request.target.path().unwrap_or_default(), &mut name)?;
//! assert_eq!(path.bytes, b"a file");
//!
//! // Suppose that the file has 100 bytes.
//! let range = request.headers.get("Range").map(|value| resolve_range(value, 100));
//! assert_eq!(range, Some(RangeOutcome::Partial(95..100)));
//!
//! let mut head = Vec::new();
//! HeadWriter::new(&mut head, Status::PartialContent)
//!     .number("Content-Length", 5)
//!     .content_range(95..100, 100)
//!     .persistence(persistence(&request), request.version)
//!     .finish();
//! assert!(head.starts_with(b"HTTP/1.1 206 Partial Content\r\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Modules
//!
//! | module | question |
//! | --- | --- |
//! | [`request`] | are these bytes a request head: complete, incomplete, or refused with a status? |
//! | [`target`] | which of the four forms does a target have, and which relative path does it name? |
//! | [`framing`], [`drain`] | where does a request body end, and how is it skipped? |
//! | [`mod@persistence`] | does the connection stay open after the response? |
//! | [`conditional`], [`etag`], [`date`] | is the client's copy still valid? |
//! | [`negotiation`] | which of several representations does the client prefer? |
//! | [`range`] | which bytes are to be sent? |
//! | [`response`], [`multipart`] | how is the response written? |
//!
//! # Strictness
//!
//! Where RFC 9110 and RFC 9112 let a recipient repair a message or refuse it, this library refuses.
//! Otherwise two readers could take the same bytes for different requests. Lines must end in CR LF.
//! White space before a colon, folded lines, repeated lengths, a length beside a transfer coding
//! and a path that leaves the root are errors. Two things that common clients send are accepted: a few
//! empty lines before a request line, and raw bytes from 0x80 up in targets.
//!
//! # Limits
//!
//! | what | bound | beyond it |
//! | --- | --- | --- |
//! | request line | [`Limits::request_line_bytes_max`], 8 KiB | 414 |
//! | head | [`Limits::head_bytes_max`], 16 KiB, at most 65535 bytes | 431 |
//! | fields | [`FIELDS_MAX`] | 431 |
//! | empty lines before the request line | 4 | 400 |
//! | body | the argument of [`Drain::new`] | 413 |
//! | chunk extensions | 256 bytes in a line, 16 KiB in a body | 400 |
//! | trailers | [`FIELDS_MAX`] fields, 16 KiB | 400 |
//! | parts of one response | [`PARTS_MAX`], in a list of at most 6 KiB | 200 |
//!
//! # Not supported
//!
//! HTTP/0.9, HTTP/2 and later; clients and proxies; `Upgrade`; transfer codings other than
//! `chunked`; the content of request bodies and trailers; weak entity-tags of our own.

#![forbid(unsafe_code)]

pub mod conditional;
pub mod date;
pub mod drain;
pub mod error;
pub mod etag;
pub mod framing;
pub mod headers;
pub mod method;
pub mod multipart;
pub mod negotiation;
pub mod persistence;
pub mod range;
pub mod request;
pub mod response;
pub mod status;
pub mod target;
pub mod version;

mod chunked;
mod grammar;
mod host;
mod scan;

pub use chunked::ChunkError;
pub use conditional::{Precondition, Validators, evaluate_preconditions, range_applies};
pub use date::HttpTime;
pub use drain::{BodyTooLarge, Drain, DrainError, Drained};
pub use error::ParseError;
pub use etag::{EntityTag, etag_list_matches};
pub use framing::{BodyFraming, body_framing};
pub use grammar::is_token;
pub use headers::{FIELDS_MAX, Headers};
pub use method::Method;
pub use multipart::Multipart;
pub use negotiation::{
    AcceptEncoding, Coding, MediaAcceptance, Quality, media_acceptance, prefers_media_type,
};
pub use persistence::{Persistence, persistence};
pub use range::{PARTS_MAX, Parts, RangeOutcome, resolve_range};
pub use request::{Limits, Parse, Request, parse};
pub use response::HeadWriter;
pub use status::Status;
pub use target::{RelativePath, Target, TargetError, decode_path, query_value};
pub use version::Version;

/// The example in the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
