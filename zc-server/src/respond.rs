//! One parsed request → the response to send: method, target, file, plan, head, in this order.

use std::os::fd::OwnedFd;

use bytes::BytesMut;
use zc_core::{HeadThenFile, PipePool, Transfer};
use zc_http::{After, EntityTag, HttpTime, Method, Request, Status, Target, Version};

use crate::diagnostics::Diagnostics;
use crate::plan::{self, Override, Plan, Representation};
use crate::render::{Framing, Rest, render};
use crate::resolve::{OpenFile, ResolveError, Resolved, Root};

/// Room for the head of an ordinary response, in bytes; it grows when a `Location` is longer.
const HEAD_BYTES: usize = 512;

/// A response on its way out: its head, with a text body behind it, then a range of a file.
pub(crate) type Outgoing = HeadThenFile<BytesMut, OwnedFd>;

/// What is served and how: the part of the configuration that answers depend on.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) root: Root,
    pub(crate) method: zc_core::Method,
    pub(crate) method_override: bool,
    /// The pipes of responses that go by splice.
    pub(crate) pipes: PipePool,
    pub(crate) diagnostics: Diagnostics,
}

/// A response ready to be sent, and what the log will say of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) outgoing: Outgoing,
    pub(crate) status: Status,
    /// Bytes of text behind the head, which are body and not head.
    pub(crate) text_bytes: u64,
}

/// A file and the way its bytes are to go.
struct Found {
    file: OpenFile,
    method: zc_core::Method,
}

/// Answers a request. `path_buffer` is overwritten by the decoded path.
pub(crate) fn respond(
    request: &Request<'_>,
    site: &Site,
    after: After,
    now: HttpTime,
    path_buffer: &mut Vec<u8>,
) -> Answer {
    let (plan, found) = match look_up(request, site, path_buffer) {
        Ok(found) => {
            let file = represent(&found.file);
            (plan::for_file(request, file, now), Some(found))
        }
        Err(plan) => (plan, None),
    };
    let framing = Framing {
        method: request.method,
        version: request.version,
        after,
        now,
    };
    assemble(&plan, framing, found.map(|found| (found, &site.pipes)))
}

/// Answers what could not be parsed or read in time: an error, and the end of the connection.
pub(crate) fn refuse(status: Status, now: HttpTime) -> Answer {
    let framing = Framing {
        method: Method::Get,
        version: Version::Http11,
        after: After::Close,
        now,
    };
    assemble(&Plan::Message(status), framing, None)
}

fn assemble(plan: &Plan, framing: Framing, found: Option<(Found, &PipePool)>) -> Answer {
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    let (text_bytes, range) = match render(plan, framing, &mut head) {
        Rest::Nothing => (0, None),
        Rest::Text(bytes) => (bytes, None),
        Rest::File(range) => (0, Some(range)),
    };
    let body = range.zip(found).map(|(range, (found, pipes))| {
        let length = range.end - range.start;
        let mut transfer =
            Transfer::new(found.file.fd, range.start, length).with_method(found.method);
        // The workers share the pool: only who needs it touches its count of references.
        if found.method == zc_core::Method::Splice {
            transfer = transfer.with_pipes(pipes.clone());
        }
        match found.file.file_system {
            Some(kind) => transfer.with_file_system(kind),
            None => transfer,
        }
    });
    Answer {
        outgoing: HeadThenFile::with_optional_body(head, body),
        status: plan.status(),
        text_bytes,
    }
}

/// The file that the request names, or the answer that says why there is none.
fn look_up(request: &Request<'_>, site: &Site, path_buffer: &mut Vec<u8>) -> Result<Found, Plan> {
    if let Some(refusal) = plan::refuse_method(request.method) {
        return Err(refusal);
    }
    let (Target::Origin { path, query } | Target::Absolute { path, query, .. }) = request.target
    else {
        return Err(Plan::Message(Status::BadRequest));
    };
    let method = match plan::method_override(query) {
        Override::Method(method) if site.method_override => method,
        Override::Unknown if site.method_override => {
            return Err(Plan::Message(Status::BadRequest));
        }
        _ => site.method,
    };
    let path =
        zc_http::decode_path(path, path_buffer).map_err(|error| Plan::Message(error.status()))?;
    match site.root.resolve(path.bytes, path.is_directory) {
        Ok(Resolved::File(file)) => Ok(Found { file, method }),
        Ok(Resolved::Directory) => Err(Plan::Redirect {
            location: plan::directory_location(path.bytes, query),
        }),
        Err(error) => Err(Plan::Message(status_of(&error, &site.diagnostics))),
    }
}

fn represent(file: &OpenFile) -> Representation {
    Representation {
        length: file.length,
        last_modified: HttpTime::from_unix_seconds(file.mtime_seconds),
        etag: EntityTag::from_numbers(&[file.mtime_ns, i128::from(file.length)], ""),
        content_type: crate::mime::content_type(&file.path),
    }
}

/// The one place where a failure of ours becomes a status.
fn status_of(error: &ResolveError, diagnostics: &Diagnostics) -> Status {
    match error {
        ResolveError::NotFound => Status::NotFound,
        ResolveError::Forbidden => Status::Forbidden,
        ResolveError::Exhausted(error) => {
            diagnostics.say(format!("cannot open a file: {error}"));
            Status::ServiceUnavailable
        }
        ResolveError::Failed(error) => {
            diagnostics.say(format!("cannot open a file: {error}"));
            Status::InternalServerError
        }
    }
}
