//! Responses that have no file of their own: errors with or without a page, redirects.

use std::sync::Arc;

use zc_http::{Method, Persistence, Status, Version};

use super::pending::LookUpAnswer;
use super::{Resolved, Responded, Responder};
use crate::files::content::Content;
use crate::files::lookup::{Found, PREFERENCES, error_page};
use crate::files::open_file::{OpenMode, ResolveError};
use crate::files::representation::Representation;
use crate::files::roots::CurrentRoot;
use crate::respond::cache::{CacheEntry, CachedFile, Key as CacheKey};
use crate::respond::plan::{self, Grant, Plan};
use crate::respond::render::Framing;
use crate::respond::reply::{Buffers, Moment, Reply, ReplyBuilder};
use crate::services::Services;
use crate::text::OneLine;

/// Answers what could not be parsed or read in time: an error, and the end of the connection.
pub(crate) fn refuse(
    status: Status,
    services: &Services,
    content: &Content,
    moment: &Moment,
    buffers: &mut Buffers,
) -> Reply {
    let framing = Framing {
        method: Method::Get,
        version: Version::Http11,
        after: Persistence::Close,
        now: moment.now,
        lines: &content.rules.lines,
        own_lines: &content.rules.own_lines,
        grant: Grant::NONE,
        disposition: None,
        has_routes: content.rules.spa.is_some(),
    };
    let builder = ReplyBuilder {
        services,
        rules: &content.rules,
        framing,
        moment,
        method: content.method,
    };
    builder.reply(&Plan::Message(status), buffers)
}

impl Responder<'_, '_> {
    pub(super) fn redirect(self) -> Responded {
        let target = self.request.target;
        let path = target.path().unwrap_or_default();
        let location = plan::directory_location(path, target.query());
        self.message(Plan::Redirect { location })
    }

    /// Answers with a plan that has no file; an error has its page.
    pub(super) fn message(self, plan: Plan<'_>) -> Responded {
        if let Plan::Message(status) = plan {
            return self.error(status);
        }
        let builder = self.plain_builder();
        Responded::Reply(builder.reply(&plan, self.buffers))
    }

    /// Answers an error: with the page that the site has for it, or with a line of text.
    pub(super) fn error(mut self, status: Status) -> Responded {
        let Some(path) = self.content.rules.error_page(status) else {
            return self.plain_error(status);
        };
        let root = match self.root {
            CurrentRoot::Open(root) => root,
            CurrentRoot::Missing | CurrentRoot::Exhausted => return self.plain_error(status),
            CurrentRoot::WouldBlock => return self.ask_for_root(),
        };
        let key = CacheKey {
            root: root.id(),
            path,
            is_directory: false,
            preference: PREFERENCES,
        };
        let told = self
            .pending
            .as_mut()
            .and_then(|pending| pending.page.take());
        let open_mode = self.services.open_mode();
        match self.resolve(key, told, || error_page(root, path, open_mode)) {
            Resolved::WouldBlock => {
                let (key, root, path) = (root.key_of(path), Arc::clone(root), path.to_vec());
                self.ask(key, move || {
                    LookUpAnswer::Page(error_page(&root, &path, OpenMode::MayBlock))
                })
            }
            Resolved::Cached(id) => {
                let builder = self.plain_builder();
                match self.cache.entry(id) {
                    Some(CacheEntry::File(file)) => {
                        Responded::Reply(builder.reply_page(status, file, self.buffers))
                    }
                    _ => self.pageless_error(status, &ResolveError::NotFound),
                }
            }
            Resolved::Uncached(Found::File(resource)) => {
                let rules = &self.content.rules;
                let representation = Representation::new(*resource, rules, self.moment.now);
                let mut file = CachedFile::new(representation);
                let builder = self.plain_builder();
                Responded::Reply(builder.reply_page(status, &mut file, self.buffers))
            }
            Resolved::Uncached(Found::Nothing(error)) => self.pageless_error(status, &error),
            Resolved::Uncached(_) => self.pageless_error(status, &ResolveError::NotFound),
        }
    }

    /// The status stays that of the error, whatever is wrong with its page.
    pub(super) fn pageless_error(self, status: Status, error: &ResolveError) -> Responded {
        if let CurrentRoot::Open(root) = self.root {
            let page = self.content.rules.error_page(status).unwrap_or_default();
            let (code, path) = (status.code(), root.path_below(page));
            let line = format!(
                "cannot open the error page for {code}, `{}`: {error}",
                OneLine(&path)
            );
            self.services.diagnostics.warn_of_file(line);
        }
        self.plain_error(status)
    }

    pub(super) fn plain_error(self, status: Status) -> Responded {
        let builder = self.plain_builder();
        Responded::Reply(builder.reply(&Plan::Message(status), self.buffers))
    }
}
