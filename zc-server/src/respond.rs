//! One parsed request → the response to send: method, target, file, plan, head, in this order.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use zc_http::{
    AcceptEncoding, After, HttpTime, Method, Request, Status, Target, Version, decode_path,
};

use crate::disk::{self, Key, Work};
use crate::listing::{self, Listing};
use crate::lookup::{Found, Query, Resource, error_page, look_up};
use crate::mounts::Guard;
use crate::outgoing::{Following, Outgoing, Parts, Source};
use crate::plan::{self, Grant, Override, Plan, Representation};
use crate::render::{Framing, Rendered, Rest, render};
use crate::resolve::{Patience, ResolveError, Root};
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
    /// The mount that the body is on.
    pub(crate) key: Key,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Box<Answer>),
    /// The disk has to be asked first, on a thread that may wait; the key is that of the mount.
    /// What is known already is needed again.
    Ask(Box<Known>, Key, Work),
}

/// When a request is answered, and what follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) after: After,
    pub(crate) now: HttpTime,
}

/// What the disk has told about a request so far.
#[derive(Debug, Default)]
pub(crate) struct Known {
    found: Option<Found>,
    page: Option<Result<Resource, ResolveError>>,
    listing: Option<io::Result<Listing>>,
}

impl Known {
    /// Adds an answer. What was sent is for nobody who asks here.
    pub(crate) fn add(&mut self, answer: disk::Answer) {
        match answer {
            disk::Answer::Found(found) => self.found = Some(found),
            disk::Answer::Page(page) => self.page = Some(page),
            disk::Answer::Listing(listing) => self.listing = Some(listing),
            disk::Answer::Sent(..) => {}
        }
    }
}

/// Where to look for what a request names.
struct Asked<'s> {
    root: &'s Arc<Root>,
    method: zc_core::Method,
    is_directory: bool,
}

/// Answers a request, or says what has to be asked first. `path_buffer` is overwritten by the decoded
/// path.
pub(crate) fn respond(
    request: &Request<'_>,
    site: &Arc<Site>,
    moment: Moment,
    mut known: Known,
    path_buffer: &mut Vec<u8>,
) -> Reply {
    if let Some(listing) = known.listing.take() {
        return respond_listing(request, site, moment, known, listing);
    }
    let asked = match examine(request, site, path_buffer) {
        Ok(asked) => asked,
        Err(unlooked) => return answer(request, site, moment, known, unlooked.into(), None),
    };
    let query = Query {
        path: path_buffer,
        is_directory: asked.is_directory,
        accepted: AcceptEncoding::of(&request.headers),
        patience: site.patience(),
    };
    let found = known.found.take();
    let found = found.unwrap_or_else(|| look_up(asked.root, &site.rules, query));
    let plan = match found {
        Found::Nothing(ResolveError::Waits) => {
            let (key, work) = ask_for(query, asked.root, site);
            return Reply::Ask(Box::new(known), key, work);
        }
        Found::File(resource) => {
            let file = represent(&resource, request, site, moment.now);
            let plan = plan::for_file(request, file, moment.now);
            let source = source(&resource, asked.method, site);
            return answer(request, site, moment, known, plan, Some(source));
        }
        Found::Directory(_) if request.method == Method::Head => {
            Plan::Listing(plan::view(request).format)
        }
        Found::Directory(directory) => {
            let list = listing::Request {
                root: Arc::clone(asked.root),
                directory,
                path: path_buffer.clone(),
                hidden: site.rules.hidden,
                view: plan::view(request),
                memory: site.listings.clone(),
            };
            let key = asked.root.key_of(path_buffer);
            return Reply::Ask(Box::new(known), key, Work::List(Box::new(list)));
        }
        Found::Redirect => Plan::Redirect {
            location: plan::directory_location(path_buffer, request.target.query()),
        },
        Found::NotAcceptable => Plan::Message(Status::NotAcceptable),
        Found::Nothing(error) => Plan::Message(status_of(&error, site)),
    };
    answer(request, site, moment, known, plan, None)
}

/// The same look-up, for a thread that may wait.
fn ask_for(query: Query<'_>, root: &Arc<Root>, site: &Arc<Site>) -> (Key, Work) {
    let (root, site) = (Arc::clone(root), Arc::clone(site));
    let key = root.key_of(query.path);
    let path = query.path.to_vec();
    let (is_directory, accepted) = (query.is_directory, query.accepted);
    let look_up = move |_: &_| {
        let query = Query {
            path: &path,
            is_directory,
            accepted,
            patience: Patience::Any,
        };
        disk::Answer::Found(look_up(&root, &site.rules, query))
    };
    (key, Work::LookUp(Box::new(look_up)))
}

/// Answers a request for a listing that was read, or could not be.
fn respond_listing(
    request: &Request<'_>,
    site: &Arc<Site>,
    moment: Moment,
    known: Known,
    listing: io::Result<Listing>,
) -> Reply {
    let listing = match listing {
        Ok(listing) => listing,
        Err(error) => {
            let status = match error.kind() {
                io::ErrorKind::OutOfMemory => Status::ServiceUnavailable,
                io::ErrorKind::PermissionDenied => Status::Forbidden,
                _ => Status::InternalServerError,
            };
            site.diagnostics
                .say(format!("cannot list a directory: {error}"));
            return answer(request, site, moment, known, Plan::Message(status), None);
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
        outgoing: Outgoing::new(head, head_bytes, None, following, Guard::Trusted),
        status: plan.status(),
        key: 0,
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
    site: &Arc<Site>,
    moment: Moment,
    mut known: Known,
    plan: Plan<'_>,
    source: Option<Source>,
) -> Reply {
    let framing = framing(request, site, moment);
    let Plan::Message(status) = plan else {
        return Reply::Answer(Box::new(assemble(&plan, framing, source)));
    };
    let Some(path) = site.rules.error_page(status) else {
        return Reply::Answer(Box::new(assemble(&plan, framing, None)));
    };
    let root = site.root_of(request);
    let page = known.page.take();
    let answer = match page.unwrap_or_else(|| error_page(root, path, site.patience())) {
        Err(ResolveError::Waits) => {
            let (root, path) = (Arc::clone(root), path.to_vec());
            let look_up = move |_: &_| disk::Answer::Page(error_page(&root, &path, Patience::Any));
            let key = site.root_of(request).key_of(&[]);
            return Reply::Ask(Box::new(known), key, Work::LookUp(Box::new(look_up)));
        }
        Ok(resource) => {
            let file = represent(&resource, request, site, moment.now);
            let source = crate::respond::source(&resource, site.method, site);
            assemble(&Plan::Page(status, file), framing, Some(source))
        }
        // Whatever is wrong with the page, the error is the one to be told.
        Err(error) => {
            let code = status.code();
            let line = format!("the page for {code} cannot be opened: {error}");
            site.diagnostics.say(line);
            assemble(&plan, framing, None)
        }
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

fn assemble(plan: &Plan<'_>, framing: Framing<'_>, source: Option<Source>) -> Answer {
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    let Rendered { head_bytes, rest } = render(plan, framing, &mut head);
    let guard = source
        .as_ref()
        .map_or(Guard::Trusted, |source| source.guard);
    let key = source.as_ref().map_or(0, |source| source.mount.key());
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
        outgoing: Outgoing::new(head, head_bytes, body, following, guard),
        status: plan.status(),
        ends_by_close: false,
        key,
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

fn source(resource: &Resource, method: zc_core::Method, site: &Site) -> Source {
    let file = &resource.file;
    let guard = match site.cold_guard && file.state.length > 0 {
        true => file.mount.guard(&file.file),
        false => Guard::Trusted,
    };
    Source {
        file: Arc::clone(&file.file),
        mount: Arc::clone(&file.mount),
        guard,
        method,
        // The workers share the pool: only who needs it touches its count of references.
        pipes: (method == zc_core::Method::Splice).then(|| site.pipes.clone()),
    }
}

/// The one place where a failure of ours becomes a status.
fn status_of(error: &ResolveError, site: &Site) -> Status {
    let status = match error {
        ResolveError::NotFound => return Status::NotFound,
        ResolveError::Forbidden => return Status::Forbidden,
        ResolveError::Exhausted(_) => Status::ServiceUnavailable,
        ResolveError::Failed(_) | ResolveError::Waits => Status::InternalServerError,
    };
    site.diagnostics.say(format!("cannot open a file: {error}"));
    status
}
