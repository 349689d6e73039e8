//! What is kept of one path.

use crate::lookup::{Found, Resource};
use crate::prepared::Prepared;
use crate::representation::Representation;
use crate::resolve::{FileState, ResolveError};

/// What stands at a path.
#[derive(Debug)]
pub(crate) enum Standing {
    File(Box<CachedFile>),
    /// A directory that was asked for without its final slash.
    Redirect,
    /// A file of which no coding is accepted.
    NotAcceptable,
    /// Nothing.
    Missing,
}

/// A file, and the answers that were made of it.
#[derive(Debug)]
pub(crate) struct CachedFile {
    pub(crate) representation: Representation,
    /// 200, as most requests get it; with the body behind it where the file is kept in memory.
    pub(crate) whole: Option<Prepared>,
    /// 304, as most requests get it.
    pub(crate) not_modified: Option<Prepared>,
    /// Until when the file counts as being in the page cache, in milliseconds of the worker's clock.
    /// `None` where nobody has looked yet, or it was not there.
    pub(crate) hot_until_ms: Option<u64>,
}

impl CachedFile {
    pub(crate) fn new(representation: Representation) -> Self {
        Self {
            representation,
            whole: None,
            not_modified: None,
            hot_until_ms: None,
        }
    }

    /// The bytes of the file, where they are kept.
    pub(crate) fn content(&self) -> Option<&[u8]> {
        self.whole.as_ref().and_then(Prepared::body)
    }

    /// Whether the open file is what it was. True where asking could mean to wait.
    pub(super) fn is_unchanged(&self) -> bool {
        let file = &self.representation.resource.file;
        file.mount.is_remote() || FileState::of(&file.file).is_ok_and(|state| state == file.state)
    }

    /// Bytes of memory, about.
    fn weight(&self) -> usize {
        let representation = &self.representation;
        // The 304 is made when it is asked for, and is shorter than the head of the 200.
        let whole = |whole: &Prepared| whole.weight() + whole.head().len();
        size_of::<Self>()
            + self.whole.as_ref().map_or(0, whole)
            + representation.resource.path.len()
            + representation.content_type.len()
            + representation.cache_control.as_ref().map_or(0, String::len)
    }
}

impl Standing {
    /// What is kept of what was found; given back if it is nothing to be kept.
    pub(super) fn of(
        found: Found,
        make: impl FnOnce(Resource) -> CachedFile,
    ) -> Result<Self, Found> {
        match found {
            Found::File(resource) => Ok(Self::File(Box::new(make(*resource)))),
            Found::Redirect => Ok(Self::Redirect),
            Found::NotAcceptable => Ok(Self::NotAcceptable),
            Found::Nothing(ResolveError::NotFound) => Ok(Self::Missing),
            Found::Directory(_) | Found::Nothing(_) => Err(found),
        }
    }

    /// Whether the disk has told the same again. What a file that changed a moment ago is known by
    /// holds for that moment only, and is never the same.
    pub(super) fn is_still(&self, found: &Found) -> bool {
        match (self, found) {
            (Self::File(kept), Found::File(resource)) => {
                !kept.representation.is_fresh && is_same(&kept.representation.resource, resource)
            }
            (Self::Redirect, Found::Redirect)
            | (Self::NotAcceptable, Found::NotAcceptable)
            | (Self::Missing, Found::Nothing(ResolveError::NotFound)) => true,
            _ => false,
        }
    }

    /// The other way round: what was found, where it is not kept after all.
    pub(super) fn into_found(self) -> Found {
        match self {
            Self::File(file) => Found::File(Box::new(file.representation.resource)),
            Self::Redirect => Found::Redirect,
            Self::NotAcceptable => Found::NotAcceptable,
            Self::Missing => Found::Nothing(ResolveError::NotFound),
        }
    }

    pub(super) fn weight(&self) -> usize {
        match self {
            Self::File(file) => file.weight(),
            Self::Redirect | Self::NotAcceptable | Self::Missing => 0,
        }
    }
}

fn is_same(one: &Resource, other: &Resource) -> bool {
    one.file.state == other.file.state
        && one.coding == other.coding
        && one.is_negotiated == other.is_negotiated
        && one.declared_tag == other.declared_tag
        && one.path == other.path
}
