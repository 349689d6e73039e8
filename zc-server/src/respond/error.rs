//! Responses that have no file of their own: errors with or without a page, redirects.

use std::sync::Arc;

use zc_http::{Status, Version};

use super::pending::LookUpAnswer;
use super::{RequestTarget, Resolved, Responded, Responder, ResponderParts};
use crate::files::lookup::{Found, PREFERENCES, error_page};
use crate::files::open_file::{OpenMode, ResolveError};
use crate::files::representation::Representation;
use crate::files::root::Root;
use crate::files::roots::CurrentRoot;
use crate::respond::cache::{CacheEntry, CachedFile, Key as CacheKey, ResponseCache};
use crate::respond::plan::{self, Grant, Plan, Problem};
use crate::respond::render::Framing;
use crate::respond::reply::{Buffers, Reply, ReplyBuilder};
use crate::respond::response::Asked;
use crate::services::Services;
use crate::text::OneLine;

/// Answers what could not be parsed or read in time, or waits for a disk that is busy or slow: with the page of
/// the error if that takes no waiting, else with a line of text.
pub(crate) fn refuse(status: Status, asked: Asked, parts: ResponderParts<'_>) -> Reply {
    let ResponderParts {
        services,
        content,
        moment,
        roots,
        cache,
        buffers,
        ..
    } = parts;
    // What is served may be something else by now, with other sites: then the first root, whose page it is.
    let root = match asked.generation == content.generation {
        true => asked.root,
        false => 0,
    };
    let rules = content.rules_of(root);
    let framing = Framing {
        method: asked.method,
        version: Version::Http11,
        after: moment.after,
        now: moment.now,
        request_id: moment.sender.request_id.as_ref(),
        lines: rules.lines(moment.scheme),
        scheme: moment.scheme,
        own_lines: &rules.own_lines,
        own_style: rules.own_style.as_ref(),
        error_form: asked.error_form,
        grant: Grant::NONE,
        disposition: None,
        has_routes: rules.spa.is_some(),
    };
    let builder = ReplyBuilder {
        services,
        rules,
        framing,
        moment,
        method: rules.method,
    };
    #[cfg(feature = "tls")]
    if asked.is_not_https {
        return builder.reply(&Plan::NotHttps, buffers);
    }
    if let Some(page) = rules.error_page(status)
        && !content.is_of_challenges(root)
        && let Some(root_path) = content.roots.get(root)
        && let CurrentRoot::Open(root) =
            roots.current(root, root_path, services.open_mode(), moment.now_ms)
        && let Some(reply) = page_at_once(&builder, status, (root, page), cache, buffers)
    {
        return reply;
    }
    builder.reply(&Plan::Message(status), buffers)
}

/// The reply with a page that can be read without waiting.
fn page_at_once(
    builder: &ReplyBuilder<'_>,
    status: Status,
    (root, page): (&Root, &[u8]),
    cache: &mut ResponseCache,
    buffers: &mut Buffers,
) -> Option<Reply> {
    let key = page_key(root, page);
    if let Some(id) = cache.get(key, builder.moment.now_ms) {
        let Some(CacheEntry::File(file)) = cache.entry(id) else {
            return None;
        };
        return builder.reply_page_at_once(status.into(), file, buffers);
    }
    match error_page(root, page, builder.services.open_mode()) {
        Found::File(resource) => {
            let now = builder.moment.now;
            let representation = Representation::new(*resource, builder.rules, now);
            let file = CachedFile::new(representation);
            builder.reply_page_at_once(status.into(), &file, buffers)
        }
        Found::Nothing(ResolveError::WouldBlock) => None,
        Found::Nothing(error) => {
            warn_pageless(status, (root, page), &error, builder.services);
            None
        }
        _ => None,
    }
}

fn page_key<'a>(root: &Root, page: &'a [u8]) -> CacheKey<'a> {
    CacheKey {
        root: root.id(),
        path: page,
        is_directory: false,
        preference: PREFERENCES,
    }
}

fn warn_pageless(
    status: Status,
    (root, page): (&Root, &[u8]),
    error: &ResolveError,
    services: &Services,
) {
    let (code, path) = (status.code(), root.path_below(page));
    let line = format!(
        "cannot open the error page for {code}, `{}`: {error}",
        OneLine(&path)
    );
    services.diagnostics.warn_once_a_minute(line);
}

/// Warns that the path of a request cannot be opened, unless nothing is there.
pub(super) fn warn_unopened(
    error: &ResolveError,
    root: &Root,
    asked: &RequestTarget,
    path: &[u8],
    services: &Services,
) {
    if let ResolveError::NotFound = error {
        return;
    }
    let path = root.path_of(path);
    let is_directory = asked.is_directory && !root.is_file();
    let or_index = if is_directory { " or its index" } else { "" };
    let line = format!("cannot open `{}`{or_index}: {error}", OneLine(&path));
    services.diagnostics.warn_once_a_minute(line);
}

impl Responder<'_, '_> {
    pub(super) fn redirect(self) -> Responded {
        let target = self.request.target;
        let path = target.path().unwrap_or_default();
        let location = plan::directory_location(path, target.query());
        let status = Status::MovedPermanently;
        self.message(Plan::Redirect { status, location })
    }

    /// Answers with a plan that has no file; an error has its page.
    pub(super) fn message(self, plan: Plan<'_>) -> Responded {
        if let Some(problem) = Problem::of(&plan) {
            return self.error(problem);
        }
        let builder = self.plain_builder();
        Responded::Reply(match plan {
            Plan::UnknownMethod => builder.reply_error(self.request, &plan, self.buffers),
            _ => builder.reply(&plan, self.buffers),
        })
    }

    /// Answers an error: with the page that the site has for it, or with a line of text.
    pub(super) fn error(mut self, problem: impl Into<Problem>) -> Responded {
        let problem = problem.into();
        let page = self.rules.error_page(problem.status);
        let Some(path) = page.filter(|_| !self.content.is_of_challenges(self.index)) else {
            return self.plain_error(problem);
        };
        let root = match self.root {
            CurrentRoot::Open(root) => root,
            CurrentRoot::Missing | CurrentRoot::Exhausted => return self.plain_error(problem),
            CurrentRoot::WouldBlock => return self.ask_for_root(),
        };
        let key = page_key(root, path);
        let told = self
            .pending
            .as_mut()
            .and_then(|pending| pending.page.take());
        let open_mode = self.services.open_mode();
        match self.resolve(key, told, || error_page(root, path, open_mode)) {
            Resolved::WouldBlock => {
                let (key, root, path) = (root.key_of(path), Arc::clone(root), path.to_vec());
                self.ask(key, move |_| {
                    LookUpAnswer::Page(error_page(&root, &path, OpenMode::MayBlock))
                })
            }
            Resolved::Cached(id) => {
                let builder = self.plain_builder();
                match self.cache.entry(id) {
                    Some(CacheEntry::File(file)) => {
                        Responded::Reply(builder.reply_page(problem, file, self.buffers))
                    }
                    _ => self.pageless_error(problem, &ResolveError::NotFound),
                }
            }
            Resolved::Uncached(Found::File(resource)) => {
                let representation = Representation::new(*resource, self.rules, self.moment.now);
                let mut file = CachedFile::new(representation);
                let builder = self.plain_builder();
                Responded::Reply(builder.reply_page(problem, &mut file, self.buffers))
            }
            Resolved::Uncached(Found::Nothing(error)) => self.pageless_error(problem, &error),
            Resolved::Uncached(_) => self.pageless_error(problem, &ResolveError::NotFound),
        }
    }

    /// The status stays that of the error, whatever is wrong with its page.
    fn pageless_error(self, problem: Problem, error: &ResolveError) -> Responded {
        if let CurrentRoot::Open(root) = self.root {
            let page = self.rules.error_page(problem.status);
            let page = page.unwrap_or_default();
            warn_pageless(problem.status, (root, page), error, self.services);
        }
        self.plain_error(problem)
    }

    pub(super) fn plain_error(self, problem: impl Into<Problem>) -> Responded {
        let builder = self.plain_builder();
        let plan = problem.into().message();
        Responded::Reply(builder.reply_error(self.request, &plan, self.buffers))
    }
}
