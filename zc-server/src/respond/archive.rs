//! Requests for a directory as one file.

use std::sync::Arc;

use super::failure::Failure;
use super::pending::LookUpAnswer;
use super::plan::{self, ArchivePart, Plan};
use super::render::Rest;
use super::reply::{Buffers, Delivery, Reply, ReplyBuilder};
use super::{RequestTarget, Responded, Responder, builder, examine};
use crate::body::{ArchiveBody, NextPart, SendOptions};
use crate::files::archive::{ARCHIVES_MAX, Archive, ArchiveError, ArchiveRequest};
use crate::files::lookup::is_hidden;
use crate::files::root::Root;
use crate::files::roots::CurrentRoot;
use crate::text::OneLine;
use zc_http::Status;

impl Responder<'_, '_> {
    /// What a thread has told of the directory.
    pub(super) fn told_archive(&mut self) -> Option<Result<Box<Archive>, ArchiveError>> {
        self.pending.as_mut()?.archive.take()
    }

    /// Answers a request for the archive of what is at `path`. One file is no directory.
    pub(super) fn archive_or_resource(self, asked: &RequestTarget, path: &[u8]) -> Responded {
        match self.root {
            CurrentRoot::Open(root) if !root.is_file() => self.ask_for_archive(root, path),
            _ => self.resource(asked, path),
        }
    }

    /// Has a thread walk the directory at `path`.
    fn ask_for_archive(self, root: &Arc<Root>, path: &[u8]) -> Responded {
        // What is not listed is not told of by its archive either.
        if !self.rules.listing || !self.rules.hidden && is_hidden(path) {
            return self.error(Status::NotFound);
        }
        let Some(place) = self.services.archives.take() else {
            let line = format!("503: {ARCHIVES_MAX} archives are under way, the most at once");
            self.services.diagnostics.warn_once_a_minute(line);
            return self.error(Status::ServiceUnavailable);
        };
        let request = ArchiveRequest {
            root: Arc::clone(root),
            path: path.to_vec(),
            hidden: self.rules.hidden,
            symlinks: root.symlinks(),
            etags: self.rules.etags,
            memory: self.services.listings.clone(),
            place,
        };
        self.ask(root.key_of(path), move |token| {
            LookUpAnswer::Archive(request.read(token).map(Box::new))
        })
    }

    /// Answers with an archive, or says why there is none.
    pub(super) fn archive(
        self,
        archive: Result<Box<Archive>, ArchiveError>,
        path_buffer: &mut Vec<u8>,
    ) -> Responded {
        let asked = examine(self.request, self.rules, path_buffer);
        let named = match self.root {
            CurrentRoot::Open(root) => OneLine(&root.path_of(path_buffer)).to_string(),
            _ => String::new(),
        };
        let warn = |line| self.services.diagnostics.warn_once_a_minute(line);
        let archive = match archive {
            Ok(archive) => archive,
            Err(error) => {
                let status = Failure::Archive(&error).status();
                if status != Status::NotFound {
                    warn(format!(
                        "cannot send the directory `{named}` as an archive: {error}"
                    ));
                }
                return self.error(status);
            }
        };
        if archive.unreadable() > 0 {
            let count = archive.unreadable();
            warn(format!(
                "left out of the archive of `{named}`: {count} files and directories without read permission"
            ));
        }
        let part = match plan::for_archive(self.request, &archive, self.moment.now) {
            Plan::Archive(_, part) => part,
            refused => return self.message(refused),
        };
        let disposition = plan::disposition(&archive.file_name());
        let method = asked.map_or(self.rules.method, |asked| asked.method);
        let builder = builder(
            self.request,
            self.services,
            self.rules,
            self.moment,
            method,
            Some(&disposition),
        );
        Responded::Reply(builder.reply_archive(archive, part, self.buffers))
    }
}

impl ReplyBuilder<'_> {
    /// The reply that sends an archive, or a part of it.
    fn reply_archive(
        &self,
        archive: Box<Archive>,
        part: ArchivePart,
        buffers: &mut Buffers,
    ) -> Reply {
        let mut head = self.write_head(&Plan::Archive(&archive, part), buffers);
        let rest = std::mem::replace(&mut head.rendered.rest, Rest::Nothing);
        let Rest::Archive(range) = rest else {
            return head.ready(false, buffers);
        };
        let options = SendOptions {
            open_mode: self.services.open_mode(),
            method: self.method,
            policy: Arc::clone(&self.services.policy),
            pipes: self.pipes(),
        };
        let next_part = NextPart::Archive(Box::new(ArchiveBody::new(archive, range, options)));
        Reply::Stream(head.stream(None, next_part, Delivery::FROM_MEMORY, buffers))
    }
}
