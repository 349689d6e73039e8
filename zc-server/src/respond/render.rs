//! A plan → the bytes of its head (and of a short text body), and what is to be sent after it.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::ops::Range;

use zc_http::{
    EntityTag, HeadWriter, HttpTime, Method, Multipart, Parts, Persistence, Status, Version,
};

use crate::clients::RequestId;
use crate::config::Scheme;
use crate::files::archive::Archive;
use crate::files::listing::{Format, ListingForm};
use crate::files::representation::Representation;
use crate::html::OwnStyle;
use crate::respond::error_body::{self, Form};
use crate::respond::plan::{ArchivePart, Grant, Plan, Problem};

/// The methods that are answered with more than an error.
const ALLOW: &[u8] = b"GET, HEAD, OPTIONS";
/// What a client is asked for that may ask only by a password: the realm is that of the origin
/// ([RFC 7617 §2.1](https://www.rfc-editor.org/rfc/rfc7617#section-2.1)).
const CHALLENGE: &[u8] = b"Basic realm=\"zc\", charset=\"UTF-8\"";
/// How long a client is asked to wait when we are out of descriptors or busy, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;
/// The fields that scripts of other origins may read, beside those that everybody may.
const CORS_RESPONSE_FIELDS: &[u8] = b"Accept-Ranges, Content-Disposition, Content-Encoding, \
    Content-Range, Date, ETag";
/// How long a browser may remember what scripts of other origins may do, in seconds: a day.
const CORS_MAX_AGE_SECONDS: u64 = 86_400;

/// What the head depends on beside the plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Framing<'a> {
    /// What the connection speaks.
    pub(crate) scheme: Scheme,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) after: Persistence,
    pub(crate) now: HttpTime,
    /// What the request is called, if that is to be told.
    pub(crate) request_id: Option<&'a RequestId>,
    /// Fields of every response, as lines.
    pub(crate) lines: &'a [u8],
    /// Fields of responses whose body is the server's own, as lines.
    pub(crate) own_lines: &'a [u8],
    /// The style of the operator, for the page of an error.
    pub(crate) own_style: Option<&'a OwnStyle>,
    /// The form of an error without a page of its own; `None` where no request says that.
    pub(crate) error_form: Option<Form>,
    pub(crate) grant: Grant<'a>,
    /// The value of `Content-Disposition`, where the client asks for a download.
    pub(crate) disposition: Option<&'a str>,
    /// Whether clients that navigate are sent the page of a program where nothing is.
    pub(crate) has_routes: bool,
}

/// What [`render`] leaves to be sent after the head.
#[derive(Debug)]
pub(crate) enum Rest {
    Nothing,
    File(Range<u64>),
    /// Parts of a file.
    Parts(Box<Multipart>),
    /// A range of an archive.
    Archive(Range<u64>),
    /// A listing; whether in chunks, or ended by the end of the connection.
    Listing {
        chunked: bool,
    },
}

/// A head and what follows it.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// Where the head ends in the buffer; what stands behind it is body.
    pub(crate) head_end: usize,
    pub(crate) rest: Rest,
}

/// Appends the head, and the text body where there is one, to `out`.
pub(crate) fn render(plan: &Plan<'_>, framing: Framing<'_>, out: &mut Vec<u8>) -> Rendered {
    let status = plan.status();
    let head = HeadWriter::new(out, status).date("Date", framing.now);
    let head = head
        .lines(framing.lines)
        .persistence(framing.after, framing.version);
    let head = match framing.request_id {
        Some(id) => head.field("X-Request-Id", id.as_bytes()),
        None => head,
    };
    let head = vary(grant(head, framing.grant), plan, framing);
    match plan {
        Plan::Whole(file) => {
            let head = representation(head, file, &file.content_type, framing.disposition);
            let head = head.field("Accept-Ranges", b"bytes");
            head.number("Content-Length", file.length()).finish();
            file_rest(out, framing.method, 0..file.length())
        }
        Plan::Part(file, range) => {
            representation(head, file, &file.content_type, framing.disposition)
                .field("Accept-Ranges", b"bytes")
                .content_range(range.clone(), file.length())
                .number("Content-Length", range.end - range.start)
                .finish();
            file_rest(out, framing.method, range.clone())
        }
        Plan::Parts(file, parts) => {
            let multipart = multipart(head, file, parts, framing.disposition);
            only_head(out, Rest::Parts(Box::new(multipart)))
        }
        Plan::NotModified(file) => {
            cache_fields(head, file).finish();
            only_head(out, Rest::Nothing)
        }
        Plan::Listing(form) => {
            let rest = listing(head, *form, framing);
            only_head(out, rest)
        }
        Plan::Archive(archive, part) => {
            let rest = archive_rest(head, archive, part, framing);
            only_head(out, rest)
        }
        Plan::Player(page) => player(head, page, framing).append(out),
        Plan::Thumbnail(file, picture) => thumbnail(head, file, picture, framing).append(out),
        Plan::Page(problem, file) => {
            page(head, *problem, file).finish();
            file_rest(out, framing.method, 0..file.length())
        }
        Plan::Options { preflight } => {
            options(head, *preflight, framing.grant).finish();
            only_head(out, Rest::Nothing)
        }
        Plan::Unsatisfiable { length } => {
            let head = head.content_range_unsatisfied(*length);
            error(head, status, "", framing).append(out)
        }
        Plan::Redirect { location, .. } => {
            let head = head.field("Location", location);
            text(head, status, "", framing).append(out)
        }
        Plan::Message(status) => {
            let head = status_fields(head, *status);
            error(head, *status, "", framing).append(out)
        }
        #[cfg(feature = "tls")]
        Plan::NotHttps => text(head, status, NOT_HTTPS, framing).append(out),
        Plan::UnknownMethod => error(head, status, UNKNOWN_METHOD, framing).append(out),
    }
}

type Head<'b> = HeadWriter<'b, Vec<u8>>;

/// The head of an error whose body is a file.
fn page<'b>(head: Head<'b>, problem: Problem, file: &Representation) -> Head<'b> {
    let head = match problem.length {
        Some(length) => head.content_range_unsatisfied(length),
        None => status_fields(head, problem.status),
    };
    let head = head.field("Content-Type", file.content_type.as_bytes());
    content_encoding(head, file).number("Content-Length", file.length())
}

/// The fields of an answer to OPTIONS; those of a preflight where the origin is granted something.
fn options<'b>(head: Head<'b>, is_preflight: bool, grant: Grant<'_>) -> Head<'b> {
    let head = head.field("Allow", ALLOW);
    if !is_preflight || grant.origin.is_none() {
        return head;
    }
    head.field("Access-Control-Allow-Methods", ALLOW)
        .field("Access-Control-Allow-Headers", grant.request_fields)
        .number("Access-Control-Max-Age", CORS_MAX_AGE_SECONDS)
}

/// The head of a response of several parts, and the parts.
fn multipart(
    head: Head<'_>,
    file: &Representation,
    parts: &Parts,
    disposition: Option<&str>,
) -> Multipart {
    let boundary = boundary();
    let content_type = format!("multipart/byteranges; boundary={boundary}");
    let part_type = file.content_type.as_bytes();
    let multipart = Multipart::new(parts.clone(), &boundary, part_type, file.length());
    representation(head, file, &content_type, disposition)
        .field("Accept-Ranges", b"bytes")
        .number("Content-Length", multipart.remaining_bytes())
        .finish();
    multipart
}

fn representation<'b>(
    head: Head<'b>,
    file: &Representation,
    content_type: &str,
    disposition: Option<&str>,
) -> Head<'b> {
    let head = head.field("Content-Type", content_type.as_bytes());
    let head = content_encoding(head, file);
    let head = match disposition {
        Some(value) => head.field("Content-Disposition", value.as_bytes()),
        None => head,
    };
    cache_fields(head, file)
}

fn content_encoding<'b>(head: Head<'b>, file: &Representation) -> Head<'b> {
    match file.content_encoding() {
        Some(coding) => head.field("Content-Encoding", coding.as_bytes()),
        None => head,
    }
}

/// What a 304 has as well
/// ([RFC 9110 §15.4.5](https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5)).
fn cache_fields<'b>(mut head: Head<'b>, file: &Representation) -> Head<'b> {
    head = tag(head, file.validators.etag.as_ref());
    if let Some(time) = file.validators.last_modified {
        head = head.date("Last-Modified", time);
    }
    if let Some(value) = &file.cache_control {
        head = head.field("Cache-Control", value.as_bytes());
    }
    head.lines(&file.lines)
}

fn tag<'b>(head: Head<'b>, etag: Option<&EntityTag>) -> Head<'b> {
    match etag {
        Some(etag) => head.field("ETag", etag.as_bytes()),
        None => head,
    }
}

fn grant<'b>(head: Head<'b>, grant: Grant<'_>) -> Head<'b> {
    match grant.origin {
        None => head,
        Some(origin) => head
            .field("Access-Control-Allow-Origin", origin)
            .field("Access-Control-Expose-Headers", CORS_RESPONSE_FIELDS),
    }
}

/// The fields of the request that the answer depends on
/// ([RFC 9110 §12.5.5](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.5)).
fn vary<'b>(head: Head<'b>, plan: &Plan<'_>, framing: Framing<'_>) -> Head<'b> {
    let problem = match plan {
        Plan::Page(problem, _) => Some(problem.status),
        Plan::Message(status) => Some(*status),
        _ => None,
    };
    let (by_coding, by_type) = match plan {
        Plan::Whole(file)
        | Plan::Part(file, _)
        | Plan::Parts(file, _)
        | Plan::Thumbnail(file, _)
        | Plan::NotModified(file) => (file.resource.is_negotiated, file.resource.is_fallback),
        // Another client might accept what is there.
        _ if problem == Some(Status::NotAcceptable) => (true, framing.error_form.is_some()),
        Plan::Listing(_) => (true, true),
        // One that navigates is sent a page.
        Plan::Page(..) if problem == Some(Status::NotFound) => (false, framing.has_routes),
        // It has several forms.
        Plan::Message(_) | Plan::Unsatisfiable { .. } | Plan::UnknownMethod => {
            (false, framing.error_form.is_some())
        }
        _ => (false, false),
    };
    match (by_coding, by_type, framing.grant.varies) {
        (false, false, false) => head,
        (true, false, false) => head.field("Vary", b"Accept-Encoding"),
        (false, true, false) => head.field("Vary", b"Accept"),
        (false, false, true) => head.field("Vary", b"Origin"),
        (true, true, false) => head.field("Vary", b"Accept-Encoding, Accept"),
        (true, false, true) => head.field("Vary", b"Accept-Encoding, Origin"),
        (false, true, true) => head.field("Vary", b"Accept, Origin"),
        (true, true, true) => head.field("Vary", b"Accept-Encoding, Accept, Origin"),
    }
}

/// What belongs to an error whatever its body.
fn status_fields(head: Head<'_>, status: Status) -> Head<'_> {
    match status {
        Status::MethodNotAllowed => head.field("Allow", ALLOW),
        Status::Unauthorized => head.field("WWW-Authenticate", CHALLENGE),
        Status::ServiceUnavailable => head.number("Retry-After", RETRY_AFTER_SECONDS),
        _ => head,
    }
}

fn listing(head: Head<'_>, form: ListingForm, framing: Framing<'_>) -> Rest {
    let content_type: &[u8] = match form.format {
        Format::Html => b"text/html; charset=utf-8",
        Format::Json => b"application/json",
    };
    let head = head.field("Content-Type", content_type);
    let head = match form.is_gzip {
        true => head.field("Content-Encoding", b"gzip"),
        false => head,
    };
    let head = head.lines(framing.own_lines);
    let chunked = framing.version != Version::Http10;
    if chunked {
        head.field("Transfer-Encoding", b"chunked").finish();
    } else {
        head.finish();
    }
    match framing.method {
        Method::Head => Rest::Nothing,
        _ => Rest::Listing { chunked },
    }
}

/// The head of an archive, or of a part of it, and what follows.
fn archive_rest(
    head: Head<'_>,
    archive: &Archive,
    part: &ArchivePart,
    framing: Framing<'_>,
) -> Rest {
    let length = archive.length();
    let range = match part {
        ArchivePart::Whole | ArchivePart::NotModified => 0..length,
        ArchivePart::Part(range) => range.clone(),
    };
    let etag = archive.etag();
    if *part == ArchivePart::NotModified {
        tag(head, etag.as_ref()).finish();
        return Rest::Nothing;
    }
    let head = head.field("Content-Type", b"application/x-tar");
    let head = match framing.disposition {
        Some(value) => head.field("Content-Disposition", value.as_bytes()),
        None => head,
    };
    let head = tag(head, etag.as_ref())
        .lines(framing.own_lines)
        .field("Accept-Ranges", b"bytes");
    let head = match part {
        ArchivePart::Part(range) => head.content_range(range.clone(), length),
        _ => head,
    };
    head.number("Content-Length", range.end - range.start)
        .finish();
    match framing.method {
        Method::Head => Rest::Nothing,
        _ => Rest::Archive(range),
    }
}

/// A body in memory; announced by its head, absent in an answer to HEAD.
struct Bytes<'a>(&'a [u8]);

fn player<'a>(head: Head<'_>, page: &'a [u8], framing: Framing<'_>) -> Bytes<'a> {
    let head = head.field("Content-Type", b"text/html; charset=utf-8");
    bytes(head.lines(framing.own_lines), page, framing.method)
}

fn thumbnail<'a>(
    head: Head<'_>,
    file: &Representation,
    picture: &'a [u8],
    framing: Framing<'_>,
) -> Bytes<'a> {
    let head = representation(head, file, &file.content_type, framing.disposition);
    bytes(head, picture, framing.method)
}

fn bytes<'a>(head: Head<'_>, body: &'a [u8], method: Method) -> Bytes<'a> {
    head.number("Content-Length", body.len() as u64).finish();
    Bytes(if method == Method::Head { b"" } else { body })
}

impl Bytes<'_> {
    fn append(self, out: &mut Vec<u8>) -> Rendered {
        let rendered = only_head(out, Rest::Nothing);
        out.extend_from_slice(self.0);
        rendered
    }
}

/// A delimiter of [`BOUNDARY_BYTES`](crate::respond::plan::BOUNDARY_BYTES) that no file has, but by chance: 128 bits that nobody can know
/// before.
fn boundary() -> String {
    let random = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", random(), random())
}

fn file_rest(out: &[u8], method: Method, range: Range<u64>) -> Rendered {
    let has_none = method == Method::Head || range.is_empty();
    only_head(
        out,
        if has_none {
            Rest::Nothing
        } else {
            Rest::File(range)
        },
    )
}

fn only_head(out: &[u8], rest: Rest) -> Rendered {
    Rendered {
        head_end: out.len(),
        rest,
    }
}

/// What HTTP is answered with on an address of HTTPS, below the status.
#[cfg(feature = "tls")]
const NOT_HTTPS: &str = "HTTP was sent to an HTTPS port; use https:// in the URL\n";

/// What a query that names no method is answered with, below the status.
const UNKNOWN_METHOD: &str = "unknown method; use auto, sendfile, splice, copy or io\n";

/// A body that is announced by its head, and absent in an answer to HEAD.
enum Message {
    Nothing,
    /// A line of text that says the status, and more of it if there is.
    Text(Status, &'static str),
    Bytes(Vec<u8>),
}

/// The body of an error, in the form that the client asks for.
fn error(head: Head<'_>, status: Status, more: &'static str, framing: Framing<'_>) -> Message {
    let form = framing.error_form.unwrap_or(Form::Text);
    let Some(body) = error_body::of(form, status, more, framing.own_style) else {
        return text(head, status, more, framing);
    };
    head.field("Content-Type", body.content_type.as_bytes())
        .lines(framing.own_lines)
        .number("Content-Length", body.bytes.len() as u64)
        .finish();
    match framing.method {
        Method::Head => Message::Nothing,
        _ => Message::Bytes(body.bytes),
    }
}

fn text(head: Head<'_>, status: Status, more: &'static str, framing: Framing<'_>) -> Message {
    // All codes have three digits.
    let length = "200 \n".len() + status.reason().len() + more.len();
    head.field("Content-Type", b"text/plain; charset=utf-8")
        .lines(framing.own_lines)
        .number("Content-Length", length as u64)
        .finish();
    match framing.method {
        Method::Head => Message::Nothing,
        _ => Message::Text(status, more),
    }
}

impl Message {
    fn append(self, out: &mut Vec<u8>) -> Rendered {
        let rendered = only_head(out, Rest::Nothing);
        match self {
            Self::Nothing => {}
            Self::Text(status, more) => {
                // A buffer that grows takes all.
                let _ = write!(out, "{status}\n{more}");
            }
            Self::Bytes(bytes) => out.extend_from_slice(&bytes),
        }
        rendered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::plan::BOUNDARY_BYTES;

    #[test]
    fn no_two_boundaries_are_the_same() {
        let (one, other) = (boundary(), boundary());
        assert_eq!(one.len(), BOUNDARY_BYTES);
        assert_ne!(one, other);
    }
}
