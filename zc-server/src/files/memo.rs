//! What was found out about files by reading them, remembered for as long as they stay the same.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::files::file_state::FileState;

/// Files that are remembered at most, of some 80 bytes each. One more, and all others are forgotten.
const FILES_MAX: usize = 32_768;

/// Answers by the state of the file that they are about.
#[derive(Debug)]
pub(crate) struct Memo<T>(Mutex<HashMap<Key, T>>);

/// A state of a file: every change of it gives it another `ctime`. An answer may be about one of its
/// names alone.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    inode: u64,
    ctime_ns: i128,
    name: Option<u64>,
}

impl Key {
    fn new(state: &FileState, name: Option<u64>) -> Self {
        Self {
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
    /// What was found out about the file in this state.
    pub(crate) fn get(&self, state: &FileState) -> Option<T> {
        self.get_key(&Key::new(state, None))
    }

    /// Remembers it. The state must be settled: one that may change without its times telling is no
    /// key to anything.
    pub(crate) fn remember(&self, state: &FileState, answer: T) {
        self.remember_key(Key::new(state, None), answer);
    }

    /// The same about one name of the file, by a hash of it.
    pub(crate) fn get_named(&self, state: &FileState, name: u64) -> Option<T> {
        self.get_key(&Key::new(state, Some(name)))
    }

    /// The same about one name of the file, by a hash of it.
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
