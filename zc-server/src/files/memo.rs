//! A memory of facts about files. A fact holds as long as the state of its file stays the same.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::files::file_state::FileState;

/// The most facts that are remembered, of about 80 bytes each. One more forgets all others.
const FILES_MAX: usize = 32_768;

/// Facts by the state of their file.
#[derive(Debug)]
pub(crate) struct Memo<T>(Mutex<HashMap<Key, T>>);

/// A state of a file: every change gives it another `ctime`. A fact may be about one name of the file.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    /// A mount may have several: those of the subvolumes of btrfs.
    device: u64,
    inode: u64,
    ctime_ns: i128,
    name: Option<u64>,
}

impl Key {
    fn new(state: &FileState, name: Option<u64>) -> Self {
        Self {
            device: state.device,
            inode: state.inode,
            ctime_ns: state.ctime_ns,
            name,
        }
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Memo<T> {
    /// The fact about the file in this state.
    pub(crate) fn get(&self, state: &FileState) -> Option<T> {
        self.get_key(&Key::new(state, None))
    }

    /// Remembers a fact. The state must be [settled](crate::files::file_state::Stability::Settled): the times of
    /// another one may stay the same when the file changes.
    pub(crate) fn remember(&self, state: &FileState, answer: T) {
        self.remember_key(Key::new(state, None), answer);
    }

    /// The fact about one name of the file, by the hash of that name.
    pub(crate) fn get_named(&self, state: &FileState, name: u64) -> Option<T> {
        self.get_key(&Key::new(state, Some(name)))
    }

    /// Remembers a fact about one name of the file, by the hash of that name.
    pub(crate) fn remember_named(&self, state: &FileState, name: u64, answer: T) {
        self.remember_key(Key::new(state, Some(name)), answer);
    }

    fn get_key(&self, key: &Key) -> Option<T> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).cloned()
    }

    fn remember_key(&self, key: Key, answer: T) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= FILES_MAX {
            known.clear();
        }
        known.insert(key, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(inode: u64, ctime_ns: i128) -> FileState {
        FileState {
            device: 1,
            inode,
            length: 3,
            mtime_ns: 0,
            ctime_ns,
        }
    }

    #[test]
    fn an_answer_is_of_one_state_and_the_number_is_bounded() {
        let memo = Memo::default();
        memo.remember(&state(1, 10), "a");
        assert_eq!(memo.get(&state(1, 10)), Some("a"));
        assert_eq!(memo.get(&state(1, 11)), None);
        assert_eq!(memo.get(&state(2, 10)), None);
        assert_eq!(memo.get_named(&state(1, 10), 7), None);
        memo.remember_named(&state(1, 10), 7, "named");
        assert_eq!(memo.get_named(&state(1, 10), 7), Some("named"));
        assert_eq!(memo.get_named(&state(1, 10), 8), None);
        for inode in 0..FILES_MAX as u64 + 10 {
            memo.remember(&state(inode, 5), "b");
            assert_eq!(memo.get(&state(inode, 5)), Some("b"));
        }
        let count = memo.0.lock().expect("no panic").len();
        assert!(count <= FILES_MAX, "{count}");
    }
}
