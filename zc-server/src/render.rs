//! A plan → the bytes of its head (and of a short text body), and the file range that follows.

use std::ops::Range;

use bytes::BytesMut;
use zc_http::{After, HeadWriter, HttpTime, Method, Status, Version};

use crate::plan::{Plan, Representation};

/// The methods that are answered with more than an error.
const ALLOW: &[u8] = b"GET, HEAD";
/// How long a client is asked to wait when we are out of descriptors, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// What the head depends on beside the plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Framing {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) after: After,
    pub(crate) now: HttpTime,
}

/// What [`render`] leaves to be sent after the head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    /// So many bytes of text, already written behind the head.
    Text(u64),
    File(Range<u64>),
}

/// Writes the head, and the text body where there is one, into `out`.
pub(crate) fn render(plan: &Plan, framing: Framing, out: &mut BytesMut) -> Rest {
    let head = HeadWriter::new(out, plan.status())
        .date("Date", framing.now)
        .field("Server", b"zc");
    let head = head.persistence(framing.after, framing.version);
    match plan {
        Plan::Whole(file) => {
            representation(head, file)
                .number("Content-Length", file.length)
                .finish();
            file_rest(framing.method, 0..file.length)
        }
        Plan::Part(file, range) => {
            representation(head, file)
                .content_range(range.clone(), file.length)
                .number("Content-Length", range.end - range.start)
                .finish();
            file_rest(framing.method, range.clone())
        }
        Plan::NotModified(file) => {
            head.field("ETag", file.etag.as_bytes())
                .date("Last-Modified", file.last_modified)
                .finish();
            Rest::Nothing
        }
        Plan::Unsatisfiable { length } => {
            let head = head.content_range_unsatisfied(*length);
            text(head, plan.status(), framing.method).append(out)
        }
        Plan::Redirect { location } => {
            let head = head.field("Location", location);
            text(head, plan.status(), framing.method).append(out)
        }
        Plan::Message(status) => {
            let head = match status {
                Status::MethodNotAllowed => head.field("Allow", ALLOW),
                Status::ServiceUnavailable => head.number("Retry-After", RETRY_AFTER_SECONDS),
                _ => head,
            };
            text(head, *status, framing.method).append(out)
        }
    }
}

fn representation<'b>(
    head: HeadWriter<'b, BytesMut>,
    file: &Representation,
) -> HeadWriter<'b, BytesMut> {
    head.field("Content-Type", file.content_type.as_bytes())
        .field("Accept-Ranges", b"bytes")
        .field("ETag", file.etag.as_bytes())
        .date("Last-Modified", file.last_modified)
}

fn file_rest(method: Method, range: Range<u64>) -> Rest {
    if method == Method::Head || range.is_empty() {
        Rest::Nothing
    } else {
        Rest::File(range)
    }
}

/// A line of text that says the status; announced by its head, absent in an answer to HEAD.
struct Text {
    line: Option<String>,
}

fn text(head: HeadWriter<'_, BytesMut>, status: Status, method: Method) -> Text {
    let line = format!("{} {}\n", status.code(), status.reason());
    head.field("Content-Type", b"text/plain; charset=utf-8")
        .number("Content-Length", line.len() as u64)
        .finish();
    Text {
        line: (method != Method::Head).then_some(line),
    }
}

impl Text {
    fn append(self, out: &mut BytesMut) -> Rest {
        match self.line {
            Some(line) => {
                out.extend_from_slice(line.as_bytes());
                Rest::Text(line.len() as u64)
            }
            None => Rest::Nothing,
        }
    }
}
