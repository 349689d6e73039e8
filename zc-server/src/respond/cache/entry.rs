//! One entry of the response cache.

use crate::files::file_state::{FileState, Stability};
use crate::files::lookup::{Found, Resource};
use crate::files::open_file::ResolveError;
use crate::files::representation::Representation;
use crate::respond::prepared::Prepared;

/// What stands at a path.
#[derive(Debug)]
pub(crate) enum CacheEntry {
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
    /// `None` where nobody has looked yet, or it was not there.
    pub(crate) hot: Option<Hot>,
}

/// How long a file counts as being in the page cache after it was found there, in milliseconds, while
/// it is asked for.
const HOT_MS: u64 = 1_000;
/// The longest time between two requests for it, in milliseconds. Who sends a file that is there no more
/// waits for the disk, and everybody else with it; what is read all the time is the last to go.
const HOT_PAUSE_MS: u64 = 100;

/// When a file was in the page cache, in milliseconds of the worker's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hot {
    found_ms: u64,
    asked_ms: u64,
}

impl Hot {
    pub(crate) fn found(now_ms: u64) -> Self {
        Self {
            found_ms: now_ms,
            asked_ms: now_ms,
        }
    }

    /// The file is asked for: whether it counts as being there without a look.
    pub(crate) fn ask(&mut self, now_ms: u64) -> bool {
        let asked_ms = std::mem::replace(&mut self.asked_ms, now_ms);
        now_ms < self.found_ms + HOT_MS && now_ms < asked_ms + HOT_PAUSE_MS
    }
}

impl CachedFile {
    pub(crate) fn new(representation: Representation) -> Self {
        Self {
            representation,
            whole: None,
            not_modified: None,
            hot: None,
        }
    }

    /// The bytes of the file, where they are kept.
    pub(crate) fn content(&self) -> Option<&[u8]> {
        self.whole.as_ref().and_then(Prepared::body)
    }

    /// Whether the open file is what it was. True where asking could mean to wait.
    pub(super) fn is_unchanged(&self) -> bool {
        let file = &self.representation.resource.file;
        file.mount.is_remote()
            || FileState::from_file(&file.file).is_ok_and(|state| state == file.state)
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
            + representation.lines.len()
            + representation.cache_control.as_ref().map_or(0, String::len)
    }
}

impl CacheEntry {
    /// The entry of what was found. Gives it back if it must not be cached.
    pub(super) fn from_found(
        found: Found,
        make: impl FnOnce(Resource) -> CachedFile,
    ) -> Result<Self, Found> {
        match found {
            // A file that changed a moment ago may change again without its times telling.
            Found::File(resource) if resource.file.stability == Stability::Settled => {
                Ok(Self::File(Box::new(make(*resource))))
            }
            Found::Redirect => Ok(Self::Redirect),
            Found::NotAcceptable => Ok(Self::NotAcceptable),
            Found::Nothing(ResolveError::NotFound) => Ok(Self::Missing),
            Found::File(_) | Found::Directory(_) | Found::Nothing(_) => Err(found),
        }
    }

    /// Whether the disk has told the same again.
    pub(super) fn is_still(&self, found: &Found) -> bool {
        match (self, found) {
            (Self::File(kept), Found::File(resource)) => {
                is_same(&kept.representation.resource, resource)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_as_in_memory_for_a_while_if_it_is_asked_for() {
        let mut hot = Hot::found(50);
        let mut now_ms = 50;
        while now_ms < 50 + HOT_MS {
            assert!(hot.ask(now_ms), "{now_ms}");
            now_ms += HOT_PAUSE_MS - 1;
        }
        assert!(!hot.ask(now_ms));
        let mut hot = Hot::found(50);
        assert!(!hot.ask(50 + HOT_PAUSE_MS));
    }
}
