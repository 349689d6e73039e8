//! One parsed request → its reply: method, target, what stands there, in this order.

mod admission;
mod archive;
pub(crate) mod cache;
mod error;
pub(crate) mod error_body;
pub(crate) mod failure;
mod media;
mod pending;
pub(crate) mod plan;
pub(crate) mod prepared;
pub(crate) mod render;
pub(crate) mod reply;
pub(crate) mod response;

use std::io;
use std::sync::Arc;

use zc_http::{
    AcceptEncoding, MediaAcceptance, Method, Request, Status, Target, decode_path, media_acceptance,
};

use crate::auth::User;
use crate::config::Scheme;
use crate::files::content::Content;
use crate::files::listing::Listing;
use crate::files::lookup::{Found, Query, Resource, look_up, preference};
use crate::files::open_file::ResolveError;
use crate::files::representation::Representation;
use crate::files::roots::{CurrentRoot, RootLookup, RootPath, Roots};
use crate::files::rules::Rules;
use crate::respond::cache::{CacheEntry, CachedFile, Id, Key as CacheKey, ResponseCache};
use crate::respond::failure::Failure;
use crate::respond::plan::{Override, Plan, Problem};
use crate::respond::render::Framing;
use crate::respond::reply::{Buffers, Moment, Reply, ReplyBuilder};
use crate::services::Services;
use crate::text::OneLine;

pub(crate) use error::refuse;
use error::warn_unopened;
use pending::PendingRoot;
pub(crate) use pending::{LookUp, LookUpAnswer, PendingLookup, Thread};

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Responded {
    Reply(Reply),
    /// Something has to be looked up first, by a thread that may wait.
    LookUp(Box<PendingLookup>, LookUp),
}

/// What a worker lends for a response.
pub(crate) struct ResponderParts<'a> {
    pub(crate) services: &'a Services,
    pub(crate) content: &'a Arc<Content>,
    pub(crate) moment: &'a Moment,
    pub(crate) roots: &'a mut Roots,
    pub(crate) cache: &'a mut ResponseCache,
    pub(crate) buffers: &'a mut Buffers,
    /// Overwritten by the decoded path.
    pub(crate) path: &'a mut Vec<u8>,
    /// Set to who has sent the request, where that takes a password.
    pub(crate) user: &'a mut Option<User>,
}

/// Where to look for what a request names.
struct RequestTarget {
    method: zc_core::SendMethod,
    is_directory: bool,
    is_archive: bool,
}

/// What stands at a path, and whether the cache has it.
enum Resolved {
    Cached(Id),
    Uncached(Found),
    /// It cannot be told without waiting.
    WouldBlock,
}

/// Answers a request, or says what has to be asked first.
pub(crate) fn respond(
    request: &Request<'_>,
    mut pending: Option<Box<PendingLookup>>,
    parts: ResponderParts<'_>,
) -> Responded {
    let ResponderParts {
        services,
        content,
        moment,
        roots,
        cache,
        buffers,
        path,
        user,
    } = parts;
    let begun = pending.as_ref().and_then(|pending| pending.content.clone());
    let content = begun.as_ref().unwrap_or(content);
    // What was served before is no business of the cache nor of the roots any more.
    let is_current = content.generation == parts.content.generation;
    let index = content.root_of(request, moment.scheme);
    let rules = content.rules_of(index);
    if let Some(plan) = to_https(request, content, moment.scheme) {
        let builder = builder(request, services, rules, moment, rules.method, None);
        return Responded::Reply(builder.reply(&plan, buffers));
    }
    let Some(root_path) = content.roots.get(index) else {
        // A site's place is one of the list.
        let builder = builder(request, services, rules, moment, rules.method, None);
        let plan = Plan::Message(Status::InternalServerError);
        return Responded::Reply(builder.reply_error(request, &plan, buffers));
    };
    let told = pending.as_mut().map(|pending| {
        let asked_ms = pending.asked_ms.unwrap_or(moment.now_ms);
        (std::mem::take(&mut pending.root), asked_ms)
    });
    let root = match &told {
        Some((PendingRoot::Own(root), _)) => CurrentRoot::Open(root),
        // Asked again when the cache has no descriptors any more.
        Some((PendingRoot::LookedUp(RootLookup::Exhausted), _)) if cache.shed_descriptors() => {
            CurrentRoot::WouldBlock
        }
        Some((PendingRoot::LookedUp(told), asked_ms)) => {
            if is_current {
                roots.install(index, told, *asked_ms);
            }
            CurrentRoot::from(told)
        }
        Some((PendingRoot::Unknown, _)) | None if !is_current => CurrentRoot::WouldBlock,
        Some((PendingRoot::Unknown, _)) | None => {
            roots.current(index, root_path, services.open_mode(), moment.now_ms)
        }
    };
    let responder = Responder {
        request,
        services,
        content,
        index,
        rules,
        is_current,
        moment,
        root_path,
        root,
        cache,
        buffers,
        pending,
    };
    responder.answer_to(user, path)
}

/// The redirect to HTTPS, where requests for files are redirected there.
fn to_https(request: &Request<'_>, content: &Content, scheme: Scheme) -> Option<Plan<'static>> {
    let location = content.https_location(request, scheme)?;
    let status = Status::PermanentRedirect;
    let is_for_file = plan::without_a_look(request).is_none();
    is_for_file.then_some(Plan::Redirect { status, location })
}

struct Responder<'a, 'r> {
    request: &'a Request<'r>,
    services: &'a Services,
    content: &'a Arc<Content>,
    /// The place of the root among those of the content.
    index: usize,
    rules: &'a Rules,
    /// Whether the content is served still.
    is_current: bool,
    moment: &'a Moment,
    root_path: &'a Arc<RootPath>,
    root: CurrentRoot<'a>,
    cache: &'a mut ResponseCache,
    buffers: &'a mut Buffers,
    pending: Option<Box<PendingLookup>>,
}

impl<'a> Responder<'a, '_> {
    fn answer(mut self, path: &mut Vec<u8>) -> Responded {
        let pending = self.pending.as_mut();
        if let Some(listing) = pending.and_then(|pending| pending.listing.take()) {
            return self.listing(listing, path);
        }
        if let Some(archive) = self.told_archive() {
            return self.archive(archive, path);
        }
        if let Some(media) = self
            .pending
            .as_mut()
            .and_then(|pending| pending.take_media())
        {
            return self.media(media, path);
        }
        match examine(self.request, self.rules, path) {
            Ok(asked) if asked.is_archive => self.archive_or_resource(&asked, path),
            Ok(asked) => self.resource(&asked, path),
            Err(unlooked) => self.message(unlooked.into()),
        }
    }

    /// Answers with what stands at `path`.
    fn resource(mut self, asked: &RequestTarget, path: &[u8]) -> Responded {
        let rules = self.rules;
        let query = Query {
            path,
            is_directory: asked.is_directory,
            accepted: AcceptEncoding::from_headers(&self.request.headers),
            html: match rules.spa {
                Some(_) => media_acceptance(&self.request.headers, "text/html"),
                None => MediaAcceptance::Covered,
            },
            open_mode: self.services.open_mode(),
        };
        let root = match self.root {
            CurrentRoot::Open(root) => root,
            CurrentRoot::Missing | CurrentRoot::Exhausted => {
                return self.plain_error(Failure::RootUnavailable.status());
            }
            CurrentRoot::WouldBlock => return self.ask_for_root(),
        };
        if let Some(view) = self.wanted_media(root, asked, path) {
            return self.ask_for_media(root, view, query);
        }
        let key = CacheKey {
            root: root.id(),
            path,
            is_directory: asked.is_directory,
            preference: preference(&query, rules),
        };
        let told = self
            .pending
            .as_mut()
            .and_then(|pending| pending.found.take());
        match self.resolve(key, told, || look_up(root, rules, query)) {
            Resolved::WouldBlock => self.ask_for(root, query),
            Resolved::Cached(id) => match self.cache.entry(id) {
                Some(CacheEntry::File(_)) => self.kept_file(id, asked, path),
                Some(CacheEntry::Redirect) => self.redirect(),
                Some(CacheEntry::NotAcceptable) => self.error(Status::NotAcceptable),
                Some(CacheEntry::Missing) | None => self.error(Status::NotFound),
            },
            Resolved::Uncached(Found::File(resource)) => self.loose_file(*resource, asked, path),
            Resolved::Uncached(Found::Directory(_)) if self.request.method == Method::Head => {
                let format = plan::view(self.request).format;
                let plan = Plan::Listing(plan::listing_form(self.request, format));
                self.message(plan)
            }
            Resolved::Uncached(Found::Directory(directory)) => {
                self.ask_for_listing(root, directory, path)
            }
            Resolved::Uncached(Found::Redirect) => self.redirect(),
            Resolved::Uncached(Found::NotAcceptable) => self.error(Status::NotAcceptable),
            Resolved::Uncached(Found::Nothing(error)) => {
                warn_unopened(&error, root, asked, path, self.services);
                self.error(Failure::Open(&error).status())
            }
        }
    }

    /// What stands at a path: as the cache has it, as the disk has told, or as it tells now.
    fn resolve(
        &mut self,
        key: CacheKey<'_>,
        told: Option<Found>,
        look: impl Fn() -> Found,
    ) -> Resolved {
        let now_ms = self.moment.now_ms;
        let (found, asked_ms) = match told {
            Some(found) => {
                let asked_ms = self.pending.as_ref().and_then(|pending| pending.asked_ms);
                (found, asked_ms.unwrap_or(now_ms))
            }
            None if !self.is_current => (look(), now_ms),
            None => match self.cache.get(key, now_ms) {
                Some(id) => return Resolved::Cached(id),
                None => (look(), now_ms),
            },
        };
        let found = match found {
            // Asked again when the cache has none any more.
            Found::Nothing(ResolveError::Exhausted(_)) if self.cache.shed_descriptors() => look(),
            found => found,
        };
        if let Found::Nothing(ResolveError::WouldBlock) = found {
            return Resolved::WouldBlock;
        }
        if !self.is_current {
            return Resolved::Uncached(found);
        }
        let (services, rules, now) = (self.services, self.rules, self.moment.now);
        let make = |resource| CachedFile::new(Representation::new(resource, rules, now));
        let id = match self.cache.insert(key, found, asked_ms, make) {
            Ok(id) => id,
            Err(found) => return Resolved::Uncached(found),
        };
        let file_max = self.cache.bounds().file_max;
        if let Some(CacheEntry::File(file)) = self.cache.entry(id)
            && file.whole.is_none()
        {
            file.whole = Some(prepared::whole(
                &file.representation,
                file_max,
                services,
                rules,
                now,
            ));
            if let Err(found) = self.cache.charge(id) {
                return Resolved::Uncached(found);
            }
        }
        Resolved::Cached(id)
    }

    fn kept_file(self, id: Id, asked: &RequestTarget, path: &[u8]) -> Responded {
        let Some(CacheEntry::File(file)) = self.cache.entry(id) else {
            return self.error(Status::NotFound);
        };
        let representation = &file.representation;
        if let Some(problem) = problem(self.request, representation, self.rules, self.moment) {
            return self.error(problem);
        }
        let disposition = disposition(self.request, representation, self.root, path, self.rules);
        let builder = builder(
            self.request,
            self.services,
            self.rules,
            self.moment,
            asked.method,
            disposition.as_deref(),
        );
        Responded::Reply(builder.reply_file(self.request, file, Some(id), self.buffers))
    }

    fn loose_file(self, resource: Resource, asked: &RequestTarget, path: &[u8]) -> Responded {
        let representation = Representation::new(resource, self.rules, self.moment.now);
        if let Some(problem) = problem(self.request, &representation, self.rules, self.moment) {
            return self.error(problem);
        }
        let disposition = disposition(self.request, &representation, self.root, path, self.rules);
        let builder = builder(
            self.request,
            self.services,
            self.rules,
            self.moment,
            asked.method,
            disposition.as_deref(),
        );
        let mut file = CachedFile::new(representation);
        Responded::Reply(builder.reply_file(self.request, &mut file, None, self.buffers))
    }

    /// Answers a request for a listing that was read, or could not be.
    fn listing(self, listing: io::Result<Box<Listing>>, path_buffer: &mut Vec<u8>) -> Responded {
        match listing {
            Ok(listing) => {
                let builder = self.plain_builder();
                Responded::Reply(builder.reply_listing(listing, self.buffers))
            }
            Err(error) => self.unlisted(&error, path_buffer),
        }
    }

    /// Answers a request that takes a directory which could not be read.
    fn unlisted(self, error: &io::Error, path_buffer: &mut Vec<u8>) -> Responded {
        if examine(self.request, self.rules, path_buffer).is_ok()
            && let CurrentRoot::Open(root) = self.root
        {
            let path = root.path_of(path_buffer);
            let line = format!("cannot list the directory `{}`: {error}", OneLine(&path));
            self.services.diagnostics.warn_once_a_minute(line);
        }
        self.error(Failure::List(error).status())
    }

    /// The builder of a response that is not of the file that was asked for.
    fn plain_builder(&self) -> ReplyBuilder<'a> {
        builder(
            self.request,
            self.services,
            self.rules,
            self.moment,
            self.rules.method,
            None,
        )
    }
}

/// The error that takes the place of `file`, by the fields of the request, if errors of that kind have a page.
fn problem(
    request: &Request<'_>,
    file: &Representation,
    rules: &Rules,
    moment: &Moment,
) -> Option<Problem> {
    let kinds = [Status::PreconditionFailed, Status::RangeNotSatisfiable];
    if kinds.iter().all(|&kind| rules.error_page(kind).is_none()) {
        return None;
    }
    Problem::of(&plan::for_file(request, file, moment.now))
}

fn builder<'a>(
    request: &'a Request<'_>,
    services: &'a Services,
    rules: &'a Rules,
    moment: &'a Moment,
    method: zc_core::SendMethod,
    disposition: Option<&'a str>,
) -> ReplyBuilder<'a> {
    let cors = rules.cors.as_ref();
    ReplyBuilder {
        services,
        rules,
        framing: Framing {
            method: request.method,
            version: request.version,
            after: moment.after,
            now: moment.now,
            request_id: moment.sender.request_id.as_ref(),
            lines: rules.lines(moment.scheme),
            scheme: moment.scheme,
            own_lines: &rules.own_lines,
            own_style: rules.own_style.as_ref(),
            error_form: None,
            grant: plan::grant(cors, request.headers.get("origin")),
            disposition,
            has_routes: rules.spa.is_some(),
        },
        moment,
        method,
    }
}

/// What the request names and how it is to be sent, or the answer that needs no look at a file.
fn examine(
    request: &Request<'_>,
    rules: &Rules,
    path_buffer: &mut Vec<u8>,
) -> Result<RequestTarget, plan::EarlyResponse> {
    if let Some(unlooked) = plan::without_a_look(request) {
        return Err(unlooked);
    }
    let (Target::Origin { path, query } | Target::Absolute { path, query, .. }) = request.target
    else {
        return Err(plan::EarlyResponse::Message(Status::BadRequest));
    };
    let method = match plan::method_override(query) {
        Override::Method(method) if rules.method_override => method,
        Override::Unknown if rules.method_override => {
            return Err(plan::EarlyResponse::UnknownMethod);
        }
        _ => rules.method,
    };
    let path = decode_path(path, path_buffer)
        .map_err(|error| plan::EarlyResponse::Message(error.status()))?;
    let is_directory = path.is_directory || path.bytes.is_empty();
    Ok(RequestTarget {
        method,
        is_directory,
        is_archive: is_directory && rules.archive && plan::wants_archive(query),
    })
}

/// The value of `Content-Disposition`, where a file is asked for by its own path and to be downloaded. An
/// index and the page of a program in the browser are to be shown, whatever the query says.
fn disposition(
    request: &Request<'_>,
    file: &Representation,
    root: CurrentRoot<'_>,
    path: &[u8],
    rules: &Rules,
) -> Option<String> {
    if !rules.download_query || !plan::wants_download(request.target.query()) {
        return None;
    }
    let file = &file.resource.path[..];
    let is_only = || matches!(root, CurrentRoot::Open(root) if root.only(path) == Some(file));
    (file == path || is_only()).then(|| plan::disposition(file))
}
