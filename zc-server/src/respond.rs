//! One parsed request → its reply: method, target, what stands there, in this order.

use std::io;
use std::sync::Arc;

use zc_http::{AcceptEncoding, After, Method, Request, Status, Target, Version, decode_path};

use crate::cache::{Cache, CachedFile, Id, Key as CacheKey, Standing};
use crate::diagnostics::OneLine;
use crate::disk::{self, Key, Work};
use crate::listing::{self, Listing};
use crate::lookup::{Found, PREFERENCES, Query, Resource, error_page, look_up, preference};
use crate::plan::{self, Grant, Override, Plan};
use crate::prepared;
use crate::render::Framing;
use crate::reply::{Buffers, Moment, Reply, Terms};
use crate::representation::Representation;
use crate::resolve::{Patience, ResolveError, Root};
use crate::site::Site;

/// What becomes of a request.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart by the one that asked; a box would allocate for each request"
)]
pub(crate) enum Responded {
    Reply(Reply),
    /// The disk has to be asked first, on a thread that may wait; the key is that of the mount.
    /// What is known already is needed again.
    Ask(Box<Known>, Key, Work),
}

/// What a worker lends for a response.
pub(crate) struct Lent<'a> {
    pub(crate) site: &'a Arc<Site>,
    pub(crate) moment: &'a Moment,
    pub(crate) cache: &'a mut Cache,
    pub(crate) buffers: &'a mut Buffers,
    /// Overwritten by the decoded path.
    pub(crate) path: &'a mut Vec<u8>,
}

/// What the disk has told about a request so far.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// When it was asked first, in milliseconds of the worker's clock.
    asked_ms: Option<u64>,
    found: Option<Found>,
    page: Option<Found>,
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

/// What stands at a path, and whether the cache has it.
enum Stands {
    Kept(Id),
    Loose(Found),
    /// It cannot be told without waiting.
    Waits,
}

/// Answers a request, or says what has to be asked first.
pub(crate) fn respond(
    request: &Request<'_>,
    known: Option<Box<Known>>,
    lent: Lent<'_>,
) -> Responded {
    let Lent {
        site,
        moment,
        cache,
        buffers,
        path,
    } = lent;
    let mut responder = Responder {
        request,
        site,
        moment,
        cache,
        buffers,
        known,
    };
    if let Some(listing) = responder
        .known
        .as_mut()
        .and_then(|known| known.listing.take())
    {
        return responder.listing(listing, path);
    }
    match examine(request, site, path) {
        Ok(asked) => responder.resource(&asked, path),
        Err(unlooked) => responder.message(unlooked.into()),
    }
}

/// Answers what could not be parsed or read in time: an error, and the end of the connection.
pub(crate) fn refuse(status: Status, site: &Site, moment: &Moment, buffers: &mut Buffers) -> Reply {
    let framing = Framing {
        method: Method::Get,
        version: Version::Http11,
        after: After::Close,
        now: moment.now,
        lines: &site.rules.lines,
        grant: Grant::NONE,
        disposition: None,
    };
    let terms = Terms {
        site,
        framing,
        moment,
        method: site.method,
    };
    terms.reply(&Plan::Message(status), buffers)
}

struct Responder<'a, 'r> {
    request: &'a Request<'r>,
    site: &'a Arc<Site>,
    moment: &'a Moment,
    cache: &'a mut Cache,
    buffers: &'a mut Buffers,
    known: Option<Box<Known>>,
}

impl<'a> Responder<'a, '_> {
    /// Answers with what stands at `path`.
    fn resource(mut self, asked: &Asked<'_>, path: &[u8]) -> Responded {
        let accepted = AcceptEncoding::of(&self.request.headers);
        let query = Query {
            path,
            is_directory: asked.is_directory,
            accepted,
            patience: self.site.patience(),
        };
        let key = CacheKey {
            root: Arc::as_ptr(asked.root).addr(),
            path,
            is_directory: asked.is_directory,
            preference: preference(accepted, &self.site.rules.precompressed),
        };
        let told = self.known.as_mut().and_then(|known| known.found.take());
        let rules = &self.site.rules;
        match self.stands(key, told, || look_up(asked.root, rules, query)) {
            Stands::Waits => {
                let (mount, work) = ask_for(query, asked.root, self.site);
                self.ask(mount, work)
            }
            Stands::Kept(id) => match self.cache.standing(id) {
                Some(Standing::File(_)) => self.kept_file(id, asked, path),
                Some(Standing::Redirect) => self.redirect(path),
                Some(Standing::NotAcceptable) => self.error(Status::NotAcceptable),
                Some(Standing::Missing) | None => self.error(Status::NotFound),
            },
            Stands::Loose(Found::File(resource)) => self.loose_file(*resource, asked, path),
            Stands::Loose(Found::Directory(_)) if self.request.method == Method::Head => {
                let plan = Plan::Listing(plan::view(self.request).format);
                self.message(plan)
            }
            Stands::Loose(Found::Directory(directory)) => {
                let list = listing::Request {
                    root: Arc::clone(asked.root),
                    directory,
                    path: path.to_vec(),
                    hidden: rules.hidden,
                    view: plan::view(self.request),
                    memory: self.site.listings.clone(),
                };
                self.ask(asked.root.key_of(path), Work::List(Box::new(list)))
            }
            Stands::Loose(Found::Redirect) => self.redirect(path),
            Stands::Loose(Found::NotAcceptable) => self.error(Status::NotAcceptable),
            Stands::Loose(Found::Nothing(error)) => {
                let status = status_of(&error, asked, path, self.site);
                self.error(status)
            }
        }
    }

    /// What stands at a path: as the cache has it, as the disk has told, or as it tells now.
    fn stands(
        &mut self,
        key: CacheKey<'_>,
        told: Option<Found>,
        look: impl Fn() -> Found,
    ) -> Stands {
        let now_ms = self.moment.now_ms;
        let (found, asked_ms) = match told {
            Some(found) => {
                let asked_ms = self.known.as_ref().and_then(|known| known.asked_ms);
                (found, asked_ms.unwrap_or(now_ms))
            }
            None => match self.cache.get(key, now_ms) {
                Some(id) => return Stands::Kept(id),
                None => (look(), now_ms),
            },
        };
        let found = match found {
            // Asked again when the cache has none any more.
            Found::Nothing(ResolveError::Exhausted(_)) if self.cache.yield_descriptors() => look(),
            found => found,
        };
        if let Found::Nothing(ResolveError::Waits) = found {
            return Stands::Waits;
        }
        let (site, now) = (self.site, self.moment.now);
        let make = |resource| CachedFile::new(Representation::new(resource, &site.rules, now));
        let id = match self.cache.settle(key, found, asked_ms, make) {
            Ok(id) => id,
            Err(found) => return Stands::Loose(found),
        };
        let inline_max = self.cache.bounds().inline_max;
        if let Some(Standing::File(file)) = self.cache.standing(id)
            && file.whole.is_none()
        {
            file.whole = Some(prepared::whole(&file.representation, inline_max, site, now));
            if let Err(found) = self.cache.fit(id) {
                return Stands::Loose(found);
            }
        }
        Stands::Kept(id)
    }

    fn kept_file(self, id: Id, asked: &Asked<'_>, path: &[u8]) -> Responded {
        let Some(Standing::File(file)) = self.cache.standing(id) else {
            unreachable!("asked before");
        };
        let disposition = disposition(self.request, &file.representation, asked, path, self.site);
        let terms = terms(
            self.request,
            self.site,
            self.moment,
            asked.method,
            disposition.as_deref(),
        );
        Responded::Reply(terms.reply_file(self.request, file, Some(id), self.buffers))
    }

    fn loose_file(self, resource: Resource, asked: &Asked<'_>, path: &[u8]) -> Responded {
        let representation = Representation::new(resource, &self.site.rules, self.moment.now);
        let disposition = disposition(self.request, &representation, asked, path, self.site);
        let terms = terms(
            self.request,
            self.site,
            self.moment,
            asked.method,
            disposition.as_deref(),
        );
        let mut file = CachedFile::new(representation);
        Responded::Reply(terms.reply_file(self.request, &mut file, None, self.buffers))
    }

    /// Answers a request for a listing that was read, or could not be.
    fn listing(self, listing: io::Result<Listing>, path_buffer: &mut Vec<u8>) -> Responded {
        let error = match listing {
            Ok(listing) => {
                let terms = self.plain_terms();
                return Responded::Reply(terms.reply_listing(listing, self.buffers));
            }
            Err(error) => error,
        };
        let status = match error.kind() {
            io::ErrorKind::OutOfMemory => Status::ServiceUnavailable,
            io::ErrorKind::PermissionDenied => Status::Forbidden,
            _ => Status::InternalServerError,
        };
        if let Ok(asked) = examine(self.request, self.site, path_buffer) {
            let path = asked.root.path_of(path_buffer);
            let line = format!("cannot list the directory `{}`: {error}", OneLine(&path));
            self.site.diagnostics.say_of_file(line);
        }
        self.error(status)
    }

    fn redirect(self, path: &[u8]) -> Responded {
        let location = plan::directory_location(path, self.request.target.query());
        self.message(Plan::Redirect { location })
    }

    /// Answers with a plan that has no file; an error has its page.
    fn message(self, plan: Plan<'_>) -> Responded {
        if let Plan::Message(status) = plan {
            return self.error(status);
        }
        let terms = self.plain_terms();
        Responded::Reply(terms.reply(&plan, self.buffers))
    }

    /// Answers an error: with the page that the site has for it, or with a line of text.
    fn error(mut self, status: Status) -> Responded {
        let Some(path) = self.site.rules.error_page(status) else {
            return self.plain_error(status);
        };
        let root = self.site.root_of(self.request);
        let key = CacheKey {
            root: Arc::as_ptr(root).addr(),
            path,
            is_directory: false,
            preference: PREFERENCES,
        };
        let told = self.known.as_mut().and_then(|known| known.page.take());
        let patience = self.site.patience();
        match self.stands(key, told, || error_page(root, path, patience)) {
            Stands::Waits => {
                let (root, path) = (Arc::clone(root), path.to_vec());
                let mount = root.key_of(&[]);
                let look_up =
                    move |_: &_| disk::Answer::Page(error_page(&root, &path, Patience::Any));
                self.ask(mount, Work::LookUp(Box::new(look_up)))
            }
            Stands::Kept(id) => {
                let terms = self.plain_terms();
                match self.cache.standing(id) {
                    Some(Standing::File(file)) => {
                        Responded::Reply(terms.reply_page(status, file, self.buffers))
                    }
                    _ => self.pageless_error(status, &ResolveError::NotFound),
                }
            }
            Stands::Loose(Found::File(resource)) => {
                let rules = &self.site.rules;
                let representation = Representation::new(*resource, rules, self.moment.now);
                let mut file = CachedFile::new(representation);
                let terms = self.plain_terms();
                Responded::Reply(terms.reply_page(status, &mut file, self.buffers))
            }
            Stands::Loose(Found::Nothing(error)) => self.pageless_error(status, &error),
            Stands::Loose(_) => self.pageless_error(status, &ResolveError::NotFound),
        }
    }

    /// Whatever is wrong with the page, the error is the one to be told.
    fn pageless_error(self, status: Status, error: &ResolveError) -> Responded {
        let root = self.site.root_of(self.request);
        let page = self.site.rules.error_page(status).unwrap_or_default();
        let (code, path) = (status.code(), root.path_below(page));
        let line = format!(
            "cannot open the page for {code}, `{}`: {error}",
            OneLine(&path)
        );
        self.site.diagnostics.say_of_file(line);
        self.plain_error(status)
    }

    fn plain_error(self, status: Status) -> Responded {
        let terms = self.plain_terms();
        Responded::Reply(terms.reply(&Plan::Message(status), self.buffers))
    }

    /// The terms of a response that is not of the file that was asked for.
    fn plain_terms(&self) -> Terms<'a> {
        terms(self.request, self.site, self.moment, self.site.method, None)
    }

    fn ask(self, mount: Key, work: Work) -> Responded {
        let mut known = self.known.unwrap_or_default();
        known.asked_ms.get_or_insert(self.moment.now_ms);
        Responded::Ask(known, mount, work)
    }
}

fn terms<'a>(
    request: &'a Request<'_>,
    site: &'a Site,
    moment: &'a Moment,
    method: zc_core::Method,
    disposition: Option<&'a str>,
) -> Terms<'a> {
    let cors = site.rules.cors.as_ref();
    Terms {
        site,
        framing: Framing {
            method: request.method,
            version: request.version,
            after: moment.after,
            now: moment.now,
            lines: &site.rules.lines,
            grant: plan::grant(cors, request.headers.get("origin")),
            disposition,
        },
        moment,
        method,
    }
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

/// The value of `Content-Disposition`, where a file is asked for by its own path and to be downloaded. An
/// index and the page of a program in the browser are to be shown, whatever the query says.
fn disposition(
    request: &Request<'_>,
    file: &Representation,
    asked: &Asked<'_>,
    path: &[u8],
    site: &Site,
) -> Option<String> {
    let file = &file.resource.path[..];
    let wants = site.rules.download_query && plan::wants_download(request.target.query());
    let is_own = file == path || asked.root.only() == Some(file);
    (wants && is_own).then(|| plan::disposition(file))
}

/// The one place where a failure of ours becomes a status.
fn status_of(error: &ResolveError, asked: &Asked<'_>, path: &[u8], site: &Site) -> Status {
    let status = match error {
        ResolveError::NotFound => return Status::NotFound,
        ResolveError::Forbidden => Status::Forbidden,
        ResolveError::Exhausted(_) => Status::ServiceUnavailable,
        ResolveError::Failed(_) | ResolveError::Waits => Status::InternalServerError,
    };
    let path = asked.root.path_of(path);
    let is_directory = asked.is_directory && asked.root.only().is_none();
    let or_index = if is_directory { " or its index" } else { "" };
    let line = format!("cannot open `{}`{or_index}: {error}", OneLine(&path));
    site.diagnostics.say_of_file(line);
    status
}
