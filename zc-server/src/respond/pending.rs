//! What has to be looked up before a request can be answered, and what has been.

use std::sync::Arc;
use std::{fmt, io};

use super::{Responded, Responder};
use crate::auth::Verdict;
use crate::disk::{CancelToken, Key};
use crate::files::archive::{Archive, ArchiveError};
use crate::files::content::Content;
use crate::files::listing::{Listing, ListingRequest};
use crate::files::lookup::{Found, Query, Resource, look_up};
use crate::files::mounts::{KEY_OF_TABLE, Mounts};
use crate::files::open_file::{FileHandle, OpenMode};
use crate::files::root::Root;
use crate::files::roots::{CurrentRoot, RootLookup};
use crate::respond::error_body::Form;
use crate::respond::plan;
use crate::respond::response::Asked;

/// What a thread is to look up.
pub(crate) struct LookUp {
    pub(crate) thread: Thread,
    pub(crate) work: Box<dyn FnOnce(&CancelToken) -> LookUpAnswer + Send>,
}

/// Which threads do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thread {
    /// Those that wait for this mount.
    Disk(Key),
    /// Those that check passwords.
    Check,
}

/// What a thread has looked up.
#[derive(Debug)]
pub(crate) enum LookUpAnswer {
    /// What the path of a root names.
    Root(RootLookup),
    Found(Found),
    /// The page of an error.
    Page(Found),
    Media(Media),
    Listing(io::Result<Box<Listing>>),
    Archive(Result<Box<Archive>, ArchiveError>),
    /// Whether the client may ask.
    Verdict(Verdict),
    /// What is under way on all workers, as the admin listener tells it.
    Status(Vec<u8>),
    /// Nothing yet: the table of mounts was read, and the request is resolved again.
    MountTable,
}

/// What a thread has found for a query that asks for more than the file.
#[derive(Debug)]
pub(crate) enum Media {
    /// Nothing: the file is sent as it is.
    Plain,
    /// The page that plays the file, or why its directory could not be read.
    Player(io::Result<Vec<u8>>),
    /// The file, and the thumbnail that was read from it.
    Thumbnail(Box<Resource>, Vec<u8>),
}

impl LookUp {
    fn of_mount_table(mounts: Arc<Mounts>) -> Self {
        let work = move |_: &CancelToken| {
            mounts.read_table();
            LookUpAnswer::MountTable
        };
        Self {
            thread: Thread::Disk(KEY_OF_TABLE),
            work: Box::new(work),
        }
    }
}

impl fmt::Debug for LookUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookUp")
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}

/// What the disk has told about a request so far.
#[derive(Debug, Default)]
pub(crate) struct PendingLookup {
    /// When it was asked first, in milliseconds of the worker's clock.
    pub(super) asked_ms: Option<u64>,
    /// When the worker turned to the request first, in microseconds of the server's clock.
    pub(crate) started_us: Option<u64>,
    /// What an error depends on that takes the place of the response.
    pub(crate) asked: Asked,
    /// What was served then: the request is answered from that.
    pub(super) content: Option<Arc<Content>>,
    pub(super) root: PendingRoot,
    pub(super) found: Option<Found>,
    pub(super) page: Option<Found>,
    pub(super) media: Option<Media>,
    pub(super) listing: Option<io::Result<Box<Listing>>>,
    pub(super) archive: Option<Result<Box<Archive>, ArchiveError>>,
    pub(crate) status: Option<Vec<u8>>,
    /// It holds until the request is answered.
    pub(super) verdict: Option<Verdict>,
}

/// The root that a request is answered from, once that is settled: it stays the same to the end.
#[derive(Debug, Default)]
pub(super) enum PendingRoot {
    #[default]
    Unknown,
    /// The one that the worker had.
    Own(Arc<Root>),
    /// What a thread was told, which is news for the worker.
    LookedUp(RootLookup),
}

impl PendingLookup {
    pub(crate) fn add(&mut self, answer: LookUpAnswer) {
        match answer {
            LookUpAnswer::Root(told) => self.root = PendingRoot::LookedUp(told),
            LookUpAnswer::Found(found) => self.found = Some(found),
            LookUpAnswer::Page(page) => self.page = Some(page),
            LookUpAnswer::Listing(listing) => self.listing = Some(listing),
            LookUpAnswer::Archive(archive) => self.archive = Some(archive),
            LookUpAnswer::Media(media) => self.media = Some(media),
            LookUpAnswer::Verdict(verdict) => self.verdict = Some(verdict),
            LookUpAnswer::Status(status) => self.status = Some(status),
            LookUpAnswer::MountTable => {}
        }
    }

    /// What takes the place of the file. That nothing does stays known.
    pub(super) fn take_media(&mut self) -> Option<Media> {
        self.media.take_if(|media| !matches!(media, Media::Plain))
    }
}

impl Responder<'_, '_> {
    /// Has a thread look up what the path of the root names.
    pub(super) fn ask_for_root(self) -> Responded {
        let root_path = Arc::clone(self.root_path);
        let key = root_path.key();
        self.ask(key, move |_| LookUpAnswer::Root(root_path.look_up()))
    }

    /// Has a thread do the same look-up, which may wait.
    pub(super) fn ask_for(self, root: &Arc<Root>, query: Query<'_>) -> Responded {
        let key = root.key_of(query.path);
        let (root, path) = (Arc::clone(root), query.path.to_vec());
        let (content, index) = (Arc::clone(self.content), self.index);
        let (is_directory, accepted, html) = (query.is_directory, query.accepted, query.html);
        self.ask(key, move |_| {
            let query = Query {
                path: &path,
                is_directory,
                accepted,
                html,
                open_mode: OpenMode::MayBlock,
            };
            LookUpAnswer::Found(look_up(&root, content.rules_of(index), query))
        })
    }

    /// Has a thread read a directory that is to be listed.
    pub(super) fn ask_for_listing(
        self,
        root: &Arc<Root>,
        directory: FileHandle,
        path: &[u8],
    ) -> Responded {
        let view = plan::view(self.request);
        let list = ListingRequest {
            root: Arc::clone(root),
            directory,
            path: path.to_vec(),
            depth: plan::depth(self.request.target.path().unwrap_or_default()),
            hidden: self.rules.hidden,
            own_style: self.rules.own_style.clone(),
            archive: self.rules.archive,
            readme: self.rules.readme,
            view,
            types: Arc::clone(&self.rules.types),
            gzip: plan::listing_form(self.request, view.format).is_gzip,
            memory: self.services.listings.clone(),
        };
        self.ask(root.key_of(path), move |_| {
            LookUpAnswer::Listing(list.read().map(Box::new))
        })
    }

    /// Has a thread do `work`, which asks `mount`. Without one the table of mounts is read first: a look-up on
    /// a mount that hangs must not take the share of another.
    pub(super) fn ask(
        self,
        mount: Option<Key>,
        work: impl FnOnce(&CancelToken) -> LookUpAnswer + Send + 'static,
    ) -> Responded {
        let look_up = match mount {
            Some(mount) => LookUp {
                thread: Thread::Disk(mount),
                work: Box::new(work),
            },
            None => LookUp::of_mount_table(Arc::clone(&self.services.mounts)),
        };
        self.wait_for(look_up)
    }

    /// Has a thread look something up, and keeps what is known of the request until then.
    pub(super) fn wait_for(self, look_up: LookUp) -> Responded {
        let mut pending = self.pending.unwrap_or_default();
        pending
            .content
            .get_or_insert_with(|| Arc::clone(self.content));
        pending.asked_ms.get_or_insert(self.moment.now_ms);
        pending.asked = Asked {
            is_not_https: false,
            root: self.index,
            generation: self.content.generation,
            sender: self.moment.sender,
            method: self.request.method,
            error_form: Some(Form::of(self.request)),
        };
        if let CurrentRoot::Open(root) = self.root {
            pending.root = PendingRoot::Own(Arc::clone(root));
        }
        Responded::LookUp(pending, look_up)
    }
}
