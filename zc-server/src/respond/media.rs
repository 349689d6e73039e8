//! What stands in place of a picture, a film or a sound where the query asks for it: the page that plays it, or
//! the thumbnail in it. A disk I/O thread reads what either takes.

use std::sync::Arc;

use zc_http::{Coding, EntityTag, MediaAcceptance};

use super::pending::{LookUpAnswer, Media};
use super::{RequestTarget, Responded, Responder};
use crate::files::exif;
use crate::files::file_state::FileState;
use crate::files::listing::ListingRequest;
use crate::files::listing::player::PlayerRequest;
use crate::files::lookup::{Found, Query, look_up};
use crate::files::mime::MediaKind;
use crate::files::open_file::OpenMode;
use crate::files::representation::Representation;
use crate::files::root::Root;
use crate::respond::plan::{self, MediaView, Plan};

impl Responder<'_, '_> {
    /// What the query asks for in place of the file, if the file can have it and no thread has looked yet.
    pub(super) fn wanted_media(
        &self,
        root: &Root,
        asked: &RequestTarget,
        path: &[u8],
    ) -> Option<MediaView> {
        let view = plan::media_view(self.request.target.query())?;
        let is_known = self
            .pending
            .as_ref()
            .is_some_and(|pending| pending.media.is_some());
        if is_known || asked.is_directory || root.is_file() {
            return None;
        }
        let kind = self.rules.types.media_kind(path)?;
        let is_fit = match view {
            MediaView::Play => self.rules.listing,
            MediaView::Thumbnail => kind == MediaKind::Photo,
        };
        is_fit.then_some(view)
    }

    /// Has a thread look for that.
    pub(super) fn ask_for_media(
        self,
        root: &Arc<Root>,
        view: MediaView,
        query: Query<'_>,
    ) -> Responded {
        let key = root.key_of(query.path);
        let (root, path) = (Arc::clone(root), query.path.to_vec());
        let (content, index) = (Arc::clone(self.content), self.index);
        let accepted = query.accepted;
        let order = plan::view(self.request);
        let memory = self.services.listings.clone();
        self.ask(key, move |_| {
            let rules = content.rules_of(index);
            let look_at = |path, is_directory| {
                let query = Query {
                    path,
                    is_directory,
                    accepted,
                    html: MediaAcceptance::Covered,
                    open_mode: OpenMode::MayBlock,
                };
                look_up(&root, rules, query)
            };
            if view == MediaView::Thumbnail {
                return LookUpAnswer::Media(thumbnail(look_at(&path, false), &path));
            }
            let (parent, name) = split(&path);
            // A directory that is not listed, as for its index, has no pages that tell its names.
            let Found::Directory(directory) = look_at(parent, true) else {
                return LookUpAnswer::Media(Media::Plain);
            };
            let request = PlayerRequest {
                name: name.to_vec(),
                has_download_query: rules.download_query,
                directory: ListingRequest {
                    path: parent.to_vec(),
                    directory,
                    depth: 0,
                    hidden: rules.hidden,
                    archive: false,
                    readme: false,
                    own_style: rules.own_style.clone(),
                    view: order,
                    types: Arc::clone(&rules.types),
                    gzip: false,
                    memory,
                    root: Arc::clone(&root),
                },
            };
            LookUpAnswer::Media(match request.read().transpose() {
                Some(page) => Media::Player(page),
                None => Media::Plain,
            })
        })
    }

    /// Answers with what a thread has found.
    pub(super) fn media(self, media: Media, path_buffer: &mut Vec<u8>) -> Responded {
        match media {
            Media::Player(Ok(page)) => self.message(Plan::Player(&page)),
            Media::Player(Err(error)) => self.unlisted(&error, path_buffer),
            Media::Thumbnail(resource, picture) => {
                let mut file = Representation::new(*resource, self.rules, self.moment.now);
                file.validators.etag = file.validators.etag.and_then(tag_of_thumbnail);
                let plan = plan::for_thumbnail(self.request, &file, &picture);
                self.message(plan)
            }
            // It is left where it is, and the file is sent.
            Media::Plain => self.answer(path_buffer),
        }
    }
}

/// The thumbnail of a picture that was found at `path`.
fn thumbnail(found: Found, path: &[u8]) -> Media {
    let Found::File(resource) = found else {
        return Media::Plain;
    };
    if resource.path != path || resource.coding != Coding::Identity {
        return Media::Plain;
    }
    let opened = &resource.file;
    let picture = exif::thumbnail(opened.file.file()).ok().flatten();
    // What was read belongs to the state that was told only if that is its state still.
    let is_unchanged =
        || FileState::from_file(&opened.file).is_ok_and(|state| state == opened.state);
    match picture.filter(|_| is_unchanged()) {
        Some(picture) => Media::Thumbnail(resource, picture),
        None => Media::Plain,
    }
}

/// The tag of the thumbnail in a file with this one; `None` where it would be too long.
fn tag_of_thumbnail(tag: EntityTag) -> Option<EntityTag> {
    let quoted = tag.as_bytes();
    let opaque = quoted.get(1..quoted.len().checked_sub(1)?)?;
    EntityTag::from_opaque(&[opaque, b"-thumb"].concat())
}

/// The directory of a path, and the name in it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}
