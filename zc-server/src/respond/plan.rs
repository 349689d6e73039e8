//! What to answer, decided from values alone: no file is opened and nothing is written here.

use std::ops::Range;

use percent_encoding::{percent_decode, percent_encode};
use zc_http::{
    AcceptEncoding, Coding, HttpTime, Method, Multipart, Parts, Precondition, RangeOutcome,
    Request, Status, Validators, evaluate_preconditions, prefers_media_type, range_applies,
    resolve_range,
};

use crate::config::files::{Cors, Origins};
use crate::files::archive::Archive;
use crate::files::listing::{Format, ListingForm, View};
use crate::files::percent::SEGMENT;
use crate::files::representation::Representation;

/// The most bytes that the heads of parts may have together. Whatever is asked for, a response with its
/// own head is then at most 64 KiB longer than the file. As many parts as [`zc_http::PARTS_MAX`] stay
/// below it, unless a type of more than 100 bytes was configured: then the whole file is sent.
const PART_HEADS_BYTES_MAX: usize = 63 * 1024;
/// How long the delimiter of parts is.
pub(crate) const BOUNDARY_BYTES: usize = 32;

/// The answer to one request, before it is written out.
#[derive(Debug, Clone)]
pub(crate) enum Plan<'r> {
    /// 200 with all of the file.
    Whole(&'r Representation),
    /// 206 with one part of the file. Invariant: the range is not empty and lies in the file.
    Part(&'r Representation, Range<u64>),
    /// 206 with several parts of the file. Invariant: their heads have no more than
    /// [`PART_HEADS_BYTES_MAX`] together.
    Parts(&'r Representation, Parts),
    /// 304: the client's copy is current.
    NotModified(&'r Representation),
    /// 416; the length of the file tells the client what could be asked for.
    Unsatisfiable { length: u64 },
    /// 200 with the entries of a directory, of a length that nobody knows yet.
    Listing(ListingForm),
    /// A directory as one file.
    Archive(&'r Archive, ArchivePart),
    /// 200 with the page that plays a file.
    Player(&'r [u8]),
    /// 200 with the thumbnail of the file.
    Thumbnail(&'r Representation, &'r [u8]),
    /// 301 to the same path with a slash at its end, or 308 to the same target by HTTPS.
    Redirect { status: Status, location: Vec<u8> },
    /// 204: what could be done here.
    Options { preflight: bool },
    /// An error, with a file of the site as its body.
    Page(Problem, &'r Representation),
    /// Any other answer, with a line of text.
    Message(Status),
    /// 400: the client speaks HTTP where it should speak HTTPS. The text says so.
    #[cfg(feature = "tls")]
    NotHttps,
    /// 400: the `method` parameter of the query names no method. The text says which there are.
    UnknownMethod,
}

/// What is sent of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArchivePart {
    /// 200 with all of it.
    Whole,
    /// 206. Invariant: the range is not empty and lies in the archive.
    Part(Range<u64>),
    /// 304.
    NotModified,
}

/// An error, and what its head tells beside the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: Status,
    /// The length of the file, for 416.
    pub(crate) length: Option<u64>,
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        Self {
            status,
            length: None,
        }
    }
}

impl Problem {
    /// The error that a plan is, if its page is not settled.
    pub(crate) fn of(plan: &Plan<'_>) -> Option<Self> {
        match plan {
            Plan::Message(status) => Some((*status).into()),
            Plan::Unsatisfiable { length } => Some(Self {
                status: plan.status(),
                length: Some(*length),
            }),
            _ => None,
        }
    }

    /// The same with a line of text.
    pub(crate) fn message(self) -> Plan<'static> {
        match self.length {
            Some(length) => Plan::Unsatisfiable { length },
            None => Plan::Message(self.status),
        }
    }
}

/// A request that is answered without a look at any file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EarlyResponse {
    Options { preflight: bool },
    Message(Status),
    UnknownMethod,
}

impl Plan<'_> {
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Whole(_)
            | Self::Listing(_)
            | Self::Player(_)
            | Self::Thumbnail(..)
            | Self::Archive(_, ArchivePart::Whole) => Status::Ok,
            Self::Part(..) | Self::Parts(..) | Self::Archive(_, ArchivePart::Part(_)) => {
                Status::PartialContent
            }
            Self::NotModified(_) | Self::Archive(_, ArchivePart::NotModified) => {
                Status::NotModified
            }
            Self::Unsatisfiable { .. } => Status::RangeNotSatisfiable,
            Self::Redirect { status, .. } => *status,
            Self::Options { .. } => Status::NoContent,
            Self::UnknownMethod => Status::BadRequest,
            #[cfg(feature = "tls")]
            Self::NotHttps => Status::BadRequest,
            Self::Page(problem, _) => problem.status,
            Self::Message(status) => *status,
        }
    }
}

impl From<EarlyResponse> for Plan<'_> {
    fn from(unlooked: EarlyResponse) -> Self {
        match unlooked {
            EarlyResponse::Options { preflight } => Self::Options { preflight },
            EarlyResponse::Message(status) => Self::Message(status),
            EarlyResponse::UnknownMethod => Self::UnknownMethod,
        }
    }
}

/// What method and expectation alone decide; `None` when the target is to be looked up.
pub(crate) fn without_a_look(request: &Request<'_>) -> Option<EarlyResponse> {
    // RFC 9110 §10.1.1: `100-continue` is the one expectation there is.
    let mut expectations = request.headers.get_all("expect");
    let is_known = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
    if request.version != zc_http::Version::Http10 && !expectations.all(is_known) {
        return Some(EarlyResponse::Message(Status::ExpectationFailed));
    }
    match request.method {
        Method::Get | Method::Head => None,
        Method::Options => Some(EarlyResponse::Options {
            preflight: request.headers.get("origin").is_some()
                && request
                    .headers
                    .get("access-control-request-method")
                    .is_some(),
        }),
        Method::Unrecognized => Some(EarlyResponse::Message(Status::NotImplemented)),
        _ => Some(EarlyResponse::Message(Status::MethodNotAllowed)),
    }
}

/// The answer for a file: preconditions first, then the range
/// ([RFC 9110 §13.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2)).
pub(crate) fn for_file<'r>(
    request: &Request<'_>,
    file: &'r Representation,
    now: HttpTime,
) -> Plan<'r> {
    match select(request, &file.validators, file.length(), now) {
        Selection::NotModified => Plan::NotModified(file),
        Selection::PreconditionFailed => Plan::Message(Status::PreconditionFailed),
        Selection::Range(RangeOutcome::Whole) => Plan::Whole(file),
        Selection::Range(RangeOutcome::Partial(range)) => Plan::Part(file, range),
        Selection::Range(RangeOutcome::Parts(parts))
            if part_heads_bytes(file, &parts) > PART_HEADS_BYTES_MAX =>
        {
            Plan::Whole(file)
        }
        Selection::Range(RangeOutcome::Parts(parts)) => Plan::Parts(file, parts),
        Selection::Range(RangeOutcome::Unsatisfiable) => Plan::Unsatisfiable {
            length: file.length(),
        },
    }
}

/// The same for an archive. Several ranges of it are answered with the whole, as
/// [RFC 9110 §14.2](https://www.rfc-editor.org/rfc/rfc9110#section-14.2) allows.
pub(crate) fn for_archive<'r>(
    request: &Request<'_>,
    archive: &'r Archive,
    now: HttpTime,
) -> Plan<'r> {
    let validators = Validators {
        etag: archive.etag(),
        last_modified: None,
    };
    let length = archive.length();
    match select(request, &validators, length, now) {
        Selection::NotModified => Plan::Archive(archive, ArchivePart::NotModified),
        Selection::PreconditionFailed => Plan::Message(Status::PreconditionFailed),
        Selection::Range(RangeOutcome::Whole | RangeOutcome::Parts(_)) => {
            Plan::Archive(archive, ArchivePart::Whole)
        }
        Selection::Range(RangeOutcome::Partial(range)) => {
            Plan::Archive(archive, ArchivePart::Part(range))
        }
        Selection::Range(RangeOutcome::Unsatisfiable) => Plan::Unsatisfiable { length },
    }
}

/// What a request selects of a representation.
enum Selection {
    NotModified,
    PreconditionFailed,
    Range(RangeOutcome),
}

fn select(request: &Request<'_>, validators: &Validators, length: u64, now: HttpTime) -> Selection {
    match evaluate_preconditions(request.method, &request.headers, validators) {
        Precondition::NotModified => return Selection::NotModified,
        Precondition::PreconditionFailed => return Selection::PreconditionFailed,
        Precondition::Proceed => {}
    }
    // Range is defined for GET alone (RFC 9110 §14.2).
    Selection::Range(match request.headers.get("range") {
        Some(value)
            if request.method == Method::Get
                && range_applies(&request.headers, validators, now) =>
        {
            resolve_range(value, length)
        }
        _ => RangeOutcome::Whole,
    })
}

/// The answer for the thumbnail of a file, whose validators are those of the thumbnail. It is short: no part of
/// it is sent ([RFC 9110 §14.2](https://www.rfc-editor.org/rfc/rfc9110#section-14.2) allows that).
pub(crate) fn for_thumbnail<'r>(
    request: &Request<'_>,
    file: &'r Representation,
    picture: &'r [u8],
) -> Plan<'r> {
    match evaluate_preconditions(request.method, &request.headers, &file.validators) {
        Precondition::NotModified => Plan::NotModified(file),
        Precondition::PreconditionFailed => Plan::Message(Status::PreconditionFailed),
        Precondition::Proceed => Plan::Thumbnail(file, picture),
    }
}

/// The most bytes that the heads of these parts can have.
fn part_heads_bytes(file: &Representation, parts: &Parts) -> usize {
    parts.iter().len() * Multipart::head_bytes_max(BOUNDARY_BYTES, file.content_type.len())
}

/// How a directory is to be listed for this request.
pub(crate) fn view(request: &Request<'_>) -> View {
    let prefers_json = prefers_media_type(&request.headers, "application/json", "text/html");
    View::from_query(request.target.query(), prefers_json)
}

/// What takes the place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaView {
    /// The page that plays it.
    Play,
    Thumbnail,
}

/// What the `view` parameter of a query asks for in place of a file.
pub(crate) fn media_view(query: Option<&[u8]>) -> Option<MediaView> {
    match zc_http::query_value(query?, "view")? {
        b"play" => Some(MediaView::Play),
        b"thumbnail" => Some(MediaView::Thumbnail),
        _ => None,
    }
}

/// The form of a listing in `format`: compressed where the client asks for it. What accepts anything, and names no
/// coding, gets it plain.
pub(crate) fn listing_form(request: &Request<'_>, format: Format) -> ListingForm {
    let accepted = AcceptEncoding::from_headers(&request.headers);
    ListingForm {
        format,
        is_gzip: accepted.choose(&[Coding::Gzip]) == Some(Coding::Gzip),
    }
}

/// Which origin is told that its scripts may read the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant<'a> {
    /// The value of `Access-Control-Allow-Origin`.
    pub(crate) origin: Option<&'a [u8]>,
    /// Whether another origin would have another answer.
    pub(crate) varies: bool,
    /// The value of `Access-Control-Allow-Headers`.
    pub(crate) request_fields: &'a [u8],
}

impl Grant<'_> {
    pub(crate) const NONE: Self = Self {
        origin: None,
        varies: false,
        request_fields: b"",
    };

    /// Whether a response has the same fields by either, unless it answers OPTIONS.
    pub(crate) fn is_like(self, other: Grant<'_>) -> bool {
        self.varies == other.varies && self.origin == other.origin
    }
}

/// What the rules grant to `asked`, the origin that a request names.
pub(crate) fn grant<'a>(cors: Option<&'a Cors>, asked: Option<&'a [u8]>) -> Grant<'a> {
    let Some(cors) = cors else {
        return Grant::NONE;
    };
    let (origin, varies) = match &cors.origins {
        Origins::Any => (Some(&b"*"[..]), false),
        Origins::Listed(origins) => {
            let is_listed = |asked: &&[u8]| origins.iter().any(|o| o.as_bytes() == *asked);
            (asked.filter(is_listed), true)
        }
    };
    Grant {
        origin,
        varies,
        request_fields: cors.request_fields.as_bytes(),
    }
}

/// The value of `Content-Disposition` for a download of the file at `path`: its name for clients of
/// any age, and by [RFC 8187](https://www.rfc-editor.org/rfc/rfc8187) for those of today.
pub(crate) fn disposition(path: &[u8]) -> String {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let plain = |byte: &u8| match byte {
        b'"' | b'\\' | b'%' => '_',
        b' '..=b'~' => char::from(*byte),
        _ => '_',
    };
    let ascii: String = name.iter().map(plain).collect();
    if ascii.as_bytes() == name {
        return format!("attachment; filename=\"{ascii}\"");
    }
    // The parameter is defined for UTF-8 alone.
    let text = String::from_utf8_lossy(name);
    let encoded = percent_encode(text.as_bytes(), SEGMENT);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

/// Whether the query asks for a download.
pub(crate) fn wants_download(query: Option<&[u8]>) -> bool {
    query.is_some_and(|query| zc_http::query_value(query, "download").is_some())
}

/// Whether the query asks for a directory as one file.
pub(crate) fn wants_archive(query: Option<&[u8]>) -> bool {
    query.and_then(|query| zc_http::query_value(query, "archive")) == Some(b"tar")
}

/// Where a directory asked for without its final slash is redirected: the last segment of `path`, the
/// path as it was sent, with a slash behind it, and the query as it came.
///
/// It is a relative reference, so that it holds below a proxy that serves the root under a prefix. It
/// begins with `./`, so that it names neither a scheme nor another host.
pub(crate) fn directory_location(path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    let segment = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let decoded: Vec<u8> = percent_decode(segment).collect();
    let mut location = b"./".to_vec();
    for piece in percent_encode(&decoded, SEGMENT) {
        location.extend_from_slice(piece.as_bytes());
    }
    location.push(b'/');
    if let Some(query) = query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    location
}

/// How many directories below the root a client takes the target of `path`, as it was sent, to be.
pub(crate) fn depth(path: &[u8]) -> usize {
    let slashes = path.iter().filter(|&&byte| byte == b'/').count();
    slashes.saturating_sub(1)
}

/// What the `method` parameter of a query asks for, where `--method-override` allows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Override {
    /// No such parameter: as configured.
    Absent,
    Method(zc_core::SendMethod),
    /// A word that names no method.
    Unknown,
}

/// Reads `?method=copy|io|sendfile|splice|auto`; `io` is another word for `copy`.
pub(crate) fn method_override(query: Option<&[u8]>) -> Override {
    let Some(value) = query.and_then(|query| zc_http::query_value(query, "method")) else {
        return Override::Absent;
    };
    match value {
        b"auto" => Override::Method(zc_core::SendMethod::Auto),
        b"sendfile" => Override::Method(zc_core::SendMethod::Sendfile),
        b"splice" => Override::Method(zc_core::SendMethod::Splice),
        b"copy" | b"io" => Override::Method(zc_core::SendMethod::Copy),
        _ => Override::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_location_never_names_another_host() {
        let rows = [
            (&b"/a"[..], None, "./a/"),
            (b"/a/b%20c", Some(&b"x=1&y"[..]), "./b%20c/?x=1&y"),
            (b"//evil.example", None, "./evil.example/"),
            (b"/a%2fb", None, "./a%2Fb/"),
            (b"/https:", None, "./https%3A/"),
            (b"/%ff%0D%0A\\", None, "./%FF%0D%0A%5C/"),
            (b"/%2561", None, "./%2561/"),
        ];
        for (path, query, expected) in rows {
            assert_eq!(directory_location(path, query), expected.as_bytes());
        }
    }

    #[test]
    fn a_download_keeps_its_name() {
        let rows = [
            (&b"a/film.mp4"[..], "attachment; filename=\"film.mp4\""),
            (b"two words", "attachment; filename=\"two words\""),
            (
                "na\u{ef}ve \u{20ac}.txt".as_bytes(),
                "attachment; filename=\"na__ve ___.txt\"; \
                 filename*=UTF-8''na%C3%AFve%20%E2%82%AC.txt",
            ),
            (
                b"q\"uo\\te",
                "attachment; filename=\"q_uo_te\"; filename*=UTF-8''q%22uo%5Cte",
            ),
            (
                b"\xff\n",
                "attachment; filename=\"__\"; filename*=UTF-8''%EF%BF%BD%0A",
            ),
        ];
        for (path, expected) in rows {
            assert_eq!(disposition(path), expected);
        }
    }

    #[test]
    fn only_named_origins_are_granted_anything() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://a.b\r\n\r\n";
        let Ok(zc_http::Parse::Complete(request)) =
            zc_http::parse(head, &zc_http::Limits::default())
        else {
            panic!("a request");
        };
        let cors = |origins| Cors {
            origins,
            request_fields: "X-A, X-B".to_owned(),
        };
        let origins = |list: &[&str]| {
            let list = list.iter().map(|&origin| origin.to_owned());
            cors(Origins::Listed(list.collect()))
        };
        let asked = request.headers.get("origin");
        assert_eq!(grant(None, asked), Grant::NONE);
        assert_eq!(
            grant(Some(&cors(Origins::Any)), asked).origin,
            Some(&b"*"[..])
        );
        let both = origins(&["https://x.y", "https://a.b"]);
        let given = grant(Some(&both), asked);
        assert_eq!(given.request_fields, b"X-A, X-B");
        assert_eq!(
            (given.origin, given.varies),
            (Some(&b"https://a.b"[..]), true)
        );
        for other in [origins(&["https://a.b.c"]), origins(&["http://a.b"])] {
            let given = grant(Some(&other), asked);
            assert_eq!((given.origin, given.varies), (None, true));
        }
    }

    #[test]
    fn override_words() {
        use zc_core::SendMethod::{Auto, Copy, Sendfile, Splice};
        let rows: [(Option<&[u8]>, Override); 9] = [
            (None, Override::Absent),
            (Some(b"x=1"), Override::Absent),
            (Some(b"method=io"), Override::Method(Copy)),
            (Some(b"method=copy"), Override::Method(Copy)),
            (Some(b"a=b&method=sendfile"), Override::Method(Sendfile)),
            (Some(b"method=splice"), Override::Method(Splice)),
            (Some(b"method=auto"), Override::Method(Auto)),
            (Some(b"method=mmap"), Override::Unknown),
            (Some(b"method"), Override::Unknown),
        ];
        for (query, expected) in rows {
            assert_eq!(method_override(query), expected, "{query:?}");
        }
    }
}
