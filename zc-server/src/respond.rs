//! One parsed request → the response to send: method, target, file, plan, head, in this order.

use std::sync::Arc;

use bytes::BytesMut;
use zc_core::PipePool;
use zc_http::{
    AcceptEncoding, After, HttpTime, Method, Request, Status, Target, Version, decode_path,
};

use crate::listing::{self, Listing};
use crate::lookup::{self, Found, Query, Resource, look_up};
use crate::outgoing::{Following, Outgoing, Parts, Source};
use crate::plan::{self, Grant, Override, Plan, Representation};
use crate::render::{Framing, Rendered, Rest, render};
use crate::resolve::{ResolveError, Root};
use crate::site::Site;
use crate::validators::validators;

/// Room for the head of an ordinary response, in bytes; it grows when a `Location` is longer.
const HEAD_BYTES: usize = 512;

/// A response ready to be sent, and what the log will say of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) outgoing: Outgoing,
    pub(crate) status: Status,
    /// Whether the end of the connection is the end of the response.
    pub(crate) ends_by_close: bool,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Box<Answer>),
    /// A directory has to be read first, on a thread that may wait.
    List(Box<listing::Request>),
}

/// What is known when a request is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) after: After,
    pub(crate) now: HttpTime,
}

/// Where to look for what a request names.
struct Asked<'s> {
    root: &'s Arc<Root>,
    method: zc_core::Method,
    is_directory: bool,
}

/// Answers a request, or says what has to be read first. `path_buffer` is overwritten by the decoded
/// path.
pub(crate) fn respond(
    request: &Request<'_>,
    site: &Site,
    moment: Moment,
    path_buffer: &mut Vec<u8>,
) -> Reply {
    let asked = match examine(request, site, path_buffer) {
        Ok(asked) => asked,
        Err(unlooked) => return answer(request, site, moment, unlooked.into(), None),
    };
    let query = Query {
        path: path_buffer,
        is_directory: asked.is_directory,
        accepted: AcceptEncoding::of(&request.headers),
    };
    let found = look_up(asked.root, &site.rules, query);
    let resource = match found {
        Found::File(resource) => resource,
        Found::Directory(_) if request.method == Method::Head => {
            let plan = Plan::Listing(plan::view(request).format);
            return answer(request, site, moment, plan, None);
        }
        Found::Directory(directory) => {
            return Reply::List(Box::new(listing::Request {
                root: Arc::clone(asked.root),
                directory,
                path: path_buffer.clone(),
                hidden: site.rules.hidden,
                view: plan::view(request),
                memory: site.listings.clone(),
            }));
        }
        Found::Redirect => {
            let location = plan::directory_location(path_buffer, request.target.query());
            return answer(request, site, moment, Plan::Redirect { location }, None);
        }
        Found::NotAcceptable => {
            let plan = Plan::Message(Status::NotAcceptable);
            return answer(request, site, moment, plan, None);
        }
        Found::Nothing(error) => {
            let plan = Plan::Message(status_of(&error, site));
            return answer(request, site, moment, plan, None);
        }
    };
    let file = represent(&resource, request, site, moment.now);
    let plan = plan::for_file(request, file, moment.now);
    let source = source(&resource, asked.method, &site.pipes);
    answer(request, site, moment, plan, Some(source))
}

/// Answers a request for a listing that was read, or could not be.
pub(crate) fn respond_listing(
    request: &Request<'_>,
    site: &Site,
    moment: Moment,
    listing: std::io::Result<Listing>,
) -> Reply {
    let listing = match listing {
        Ok(listing) => listing,
        Err(error) => {
            let status = match error.kind() {
                std::io::ErrorKind::OutOfMemory => Status::ServiceUnavailable,
                std::io::ErrorKind::PermissionDenied => Status::Forbidden,
                _ => Status::InternalServerError,
            };
            site.diagnostics
                .say(format!("cannot list a directory: {error}"));
            return answer(request, site, moment, Plan::Message(status), None);
        }
    };
    let plan = Plan::Listing(listing.view().format);
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    let framing = framing(request, site, moment);
    let Rendered { head_bytes, rest } = render(&plan, framing, &mut head);
    let following = match rest {
        Rest::Listing { chunked } => Following::Listing {
            listing: Box::new(listing),
            chunked,
            ended: false,
        },
        _ => Following::Nothing,
    };
    Reply::Answer(Box::new(Answer {
        ends_by_close: matches!(following, Following::Listing { chunked: false, .. }),
        outgoing: Outgoing::new(head, head_bytes, None, following),
        status: plan.status(),
    }))
}

/// Answers what could not be parsed or read in time: an error, and the end of the connection.
pub(crate) fn refuse(status: Status, site: &Site, now: HttpTime) -> Answer {
    let framing = Framing {
        method: Method::Get,
        version: Version::Http11,
        after: After::Close,
        now,
        lines: &site.rules.lines,
        grant: Grant::NONE,
    };
    assemble(&Plan::Message(status), framing, None)
}

/// Finishes a plan: an error for which the site has a page is answered with it.
fn answer(
    request: &Request<'_>,
    site: &Site,
    moment: Moment,
    plan: Plan<'_>,
    source: Option<Source>,
) -> Reply {
    let framing = framing(request, site, moment);
    let page = match &plan {
        Plan::Message(status) => error_page(request, site, *status, moment.now),
        _ => None,
    };
    let answer = match page {
        Some((plan, source)) => assemble(&plan, framing, Some(source)),
        None => assemble(&plan, framing, source),
    };
    Reply::Answer(Box::new(answer))
}

fn framing<'a>(request: &Request<'a>, site: &'a Site, moment: Moment) -> Framing<'a> {
    Framing {
        method: request.method,
        version: request.version,
        after: moment.after,
        now: moment.now,
        lines: &site.rules.lines,
        grant: plan::grant(site.rules.cors.as_ref(), &request.headers),
    }
}

/// The page that the site has for this error. Whatever is wrong with it, the error is the one to be
/// told.
fn error_page<'s>(
    request: &Request<'_>,
    site: &'s Site,
    status: Status,
    now: HttpTime,
) -> Option<(Plan<'s>, Source)> {
    let path = site.rules.error_page(status)?;
    match lookup::error_page(site.root_of(request), path) {
        Ok(resource) => {
            let file = represent(&resource, request, site, now);
            let source = source(&resource, site.method, &site.pipes);
            Some((Plan::Page(status, file), source))
        }
        Err(error) => {
            site.diagnostics.say(format!(
                "the page for {} cannot be opened: {error}",
                status.code()
            ));
            None
        }
    }
}

fn assemble(plan: &Plan<'_>, framing: Framing<'_>, source: Option<Source>) -> Answer {
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    let Rendered { head_bytes, rest } = render(plan, framing, &mut head);
    let (body, following) = match (rest, source) {
        (Rest::File(range), Some(source)) => (Some(source.transfer(range)), Following::Nothing),
        (Rest::Parts(parts, closing), Some(source)) => {
            let parts = Parts {
                source,
                parts: parts.into_iter(),
                closing: Some(closing),
            };
            (None, Following::Parts(Box::new(parts)))
        }
        _ => (None, Following::Nothing),
    };
    Answer {
        outgoing: Outgoing::new(head, head_bytes, body, following),
        status: plan.status(),
        ends_by_close: false,
    }
}

/// What the request names and how it is to be sent, or the answer that needs no look at a file.
fn examine<'s>(
    request: &Request<'_>,
    site: &'s Site,
    path_buffer: &mut Vec<u8>,
) -> Result<Asked<'s>, plan::Unlooked> {
    if let Some(unlooked) = plan::without_a_look(request) {
        return Err(unlooked);
    }
    let bad_request = plan::Unlooked::Message(Status::BadRequest);
    let (Target::Origin { path, query } | Target::Absolute { path, query, .. }) = request.target
    else {
        return Err(bad_request);
    };
    let method = match plan::method_override(query) {
        Override::Method(method) if site.method_override => method,
        Override::Unknown if site.method_override => return Err(bad_request),
        _ => site.method,
    };
    let path =
        decode_path(path, path_buffer).map_err(|error| plan::Unlooked::Message(error.status()))?;
    Ok(Asked {
        root: site.root_of(request),
        method,
        is_directory: path.is_directory || path.bytes.is_empty(),
    })
}

fn represent<'s>(
    resource: &Resource,
    request: &Request<'_>,
    site: &'s Site,
    now: HttpTime,
) -> Representation<'s> {
    let state = &resource.file.state;
    let wants_download = plan::wants_download(request.target.query());
    Representation {
        length: state.length,
        validators: validators(state, resource.declared_tag, resource.coding, now),
        content_type: site.rules.types.of(&resource.path),
        coding: resource.coding,
        is_negotiated: resource.is_negotiated,
        cache_control: site.rules.cache_control(&resource.path),
        disposition: wants_download.then(|| plan::disposition(&resource.path)),
    }
}

fn source(resource: &Resource, method: zc_core::Method, pipes: &PipePool) -> Source {
    Source {
        file: Arc::clone(&resource.file.file),
        file_system: resource.file.file_system,
        method,
        // The workers share the pool: only who needs it touches its count of references.
        pipes: (method == zc_core::Method::Splice).then(|| pipes.clone()),
    }
}

/// The one place where a failure of ours becomes a status.
fn status_of(error: &ResolveError, site: &Site) -> Status {
    let status = match error {
        ResolveError::NotFound => return Status::NotFound,
        ResolveError::Forbidden => return Status::Forbidden,
        ResolveError::Exhausted(_) => Status::ServiceUnavailable,
        ResolveError::Failed(_) => Status::InternalServerError,
    };
    site.diagnostics.say(format!("cannot open a file: {error}"));
    status
}
