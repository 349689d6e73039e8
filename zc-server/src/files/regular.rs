//! Paths that named a regular file when they were last opened.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

/// How many paths are remembered of a root, at most: 64 KiB of memory. Two paths of one place displace each
/// other.
const PATHS: usize = 1 << 14;

/// Remembers paths, and may forget any of them.
///
/// A file that is opened for the first time is looked at first, with two more system calls: opening a FIFO
/// wakes who writes to it, and opening a device may do anything. For a path in here they are saved.
#[derive(Debug)]
pub(crate) struct RegularPaths {
    hasher: RandomState,
    /// A part of the hash of a path, which is never 0.
    tags: Box<[AtomicU32]>,
}

impl RegularPaths {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            tags: (0..PATHS).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Whether `path` named a regular file. One in 2^31 paths that never did is taken for one.
    pub(crate) fn contains(&self, path: &[u8]) -> bool {
        let (place, tag) = self.place(path);
        place.load(Ordering::Relaxed) == tag
    }

    pub(crate) fn insert(&self, path: &[u8]) {
        let (place, tag) = self.place(path);
        place.store(tag, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, path: &[u8]) {
        let (place, tag) = self.place(path);
        let _ = place.compare_exchange(tag, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn place(&self, path: &[u8]) -> (&AtomicU32, u32) {
        let hash = self.hasher.hash_one(path);
        let tag = (hash >> 32) as u32 | 1;
        (&self.tags[hash as usize % PATHS], tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_remembered_until_it_is_removed_or_displaced() {
        let paths = RegularPaths::new();
        assert!(!paths.contains(b"a"));
        paths.insert(b"a");
        assert!(paths.contains(b"a"));
        assert!(!paths.contains(b"b"));
        paths.remove(b"b");
        assert!(paths.contains(b"a"));
        paths.remove(b"a");
        assert!(!paths.contains(b"a"));
        for number in 0..4 * PATHS {
            paths.insert(number.to_string().as_bytes());
        }
        let is_known = |number: &usize| paths.contains(number.to_string().as_bytes());
        assert!((0..4 * PATHS).filter(is_known).count() <= PATHS);
    }
}
