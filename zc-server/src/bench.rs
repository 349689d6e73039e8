//! Parts of the server that are measured by themselves. Not for programs: it may change at any time.

use crate::files::lookup::Found;
use crate::files::open_file::ResolveError;
use crate::files::root::RootId;
use crate::respond::cache::{Bounds, CacheEntry, Key, ResponseCache};

/// Longer than any measurement.
const TTL_MS: u64 = 1 << 40;

/// The directory of a worker's cache: paths, and what is known to stand there.
#[derive(Debug)]
pub struct Directory(ResponseCache, RootId);

impl Directory {
    /// A directory that has room for so many paths.
    #[must_use]
    pub fn new(paths: usize) -> Self {
        let bounds = Bounds {
            entries: paths,
            bytes: usize::MAX,
            file_max: 0,
            ttl_ms: TTL_MS,
        };
        Self(ResponseCache::new(bounds), RootId::next())
    }

    /// Takes in that nothing stands at `path`. True when it is kept, which it is from the second
    /// time on.
    pub fn insert(&mut self, path: &[u8]) -> bool {
        let found = Found::Nothing(ResolveError::NotFound);
        let make = |_| unreachable!("nothing was found");
        self.0.insert(key(self.1, path), found, 0, make).is_ok()
    }

    /// Whether it is known that nothing stands at `path`.
    pub fn is_missing(&mut self, path: &[u8]) -> bool {
        self.0
            .get(key(self.1, path), 1)
            .and_then(|id| self.0.entry(id))
            .is_some_and(|standing| matches!(standing, CacheEntry::Missing))
    }
}

fn key(root: RootId, path: &[u8]) -> Key<'_> {
    Key {
        root,
        path,
        is_directory: false,
        preference: 0,
    }
}
