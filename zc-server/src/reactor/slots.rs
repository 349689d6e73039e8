//! The table of connections: a slab whose tokens go stale.
//!
//! A poll may hand over events for a connection that an earlier event of the same batch closed, and
//! a deadline may outlive its connection. Since the slab reuses keys, each entry has a generation as
//! well, and the token carries both: a late token reaches nothing.
//!
//! Generations start at 1, so that tokens below 2³² are never connections and are free for
//! listeners and wakers.

use mio::Token;
use slab::Slab;

/// Bits of a token below the generation: the slab's key.
const KEY_BITS: u32 = 32;

/// Mask of the key.
const KEY_MASK: usize = (1 << KEY_BITS) - 1;

const _: () = assert!(
    usize::BITS == 64,
    "a token holds a key and a generation of 32 bits each"
);

/// Values with a stable token each, until they are removed.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    entries: Slab<Entry<T>>,
    /// The generation of the next entry; never 0. It returns after 2³² - 1 insertions, by when no
    /// token is that late.
    generation: u32,
}

/// A value and the generation it was inserted in.
#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: T,
}

impl<T> Slots<T> {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self {
            entries: Slab::new(),
            generation: 1,
        }
    }

    /// Inserts the value that `make` makes from its own token, and returns the token.
    pub(crate) fn insert(&mut self, make: impl FnOnce(Token) -> T) -> Token {
        let generation = self.generation;
        self.generation = generation.checked_add(1).unwrap_or(1);
        let vacant = self.entries.vacant_entry();
        let token = token(vacant.key(), generation);
        vacant.insert(Entry {
            generation,
            value: make(token),
        });
        token
    }

    /// The value of a token, or `None` if it was removed.
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let entry = self.entries.get_mut(token.0 & KEY_MASK)?;
        (entry.generation == generation(token)).then_some(&mut entry.value)
    }

    /// Takes the value of a token out, or returns `None` if that was done before.
    pub(crate) fn remove(&mut self, token: Token) -> Option<T> {
        self.get_mut(token)?;
        self.entries
            .try_remove(token.0 & KEY_MASK)
            .map(|entry| entry.value)
    }

    /// Whether there are no values.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The tokens of all values, for a walk that removes some.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        self.entries
            .iter()
            .map(|(key, entry)| token(key, entry.generation))
            .collect()
    }
}

/// Packs a key and a generation. Keys are below the connection limit and thus fit.
fn token(key: usize, generation: u32) -> Token {
    debug_assert!(key <= KEY_MASK);
    Token((generation as usize) << KEY_BITS | key)
}

/// The key in a token: small, and reused by later connections.
pub(super) fn key(token: Token) -> usize {
    token.0 & KEY_MASK
}

/// The generation in a token.
fn generation(token: Token) -> u32 {
    (token.0 >> KEY_BITS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_token_cannot_reach_a_reused_slot() {
        let mut slots = Slots::new();
        let first = slots.insert(|_| "first");
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert(|_| "second");
        assert_eq!(
            first.0 & KEY_MASK,
            second.0 & KEY_MASK,
            "the slot is reused"
        );
        assert_ne!(first, second);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut "second"));
        assert_eq!(slots.tokens(), [second]);
    }

    #[test]
    fn small_tokens_are_never_connections() {
        let mut slots = Slots::new();
        slots.generation = u32::MAX;
        for _ in 0..3 {
            let inserted = slots.insert(|token| token);
            assert!(inserted.0 > KEY_MASK, "{inserted:?}");
            assert_eq!(
                slots.get_mut(inserted).copied(),
                Some(inserted),
                "it knows its own token"
            );
        }
        for key in 0..4 {
            assert_eq!(slots.get_mut(Token(key)), None);
        }
    }

    #[test]
    fn tokens_lists_what_is_there() {
        let mut slots = Slots::new();
        let all = [1, 2, 3].map(|value| slots.insert(|_| value));
        slots.remove(all[1]);
        assert_eq!(slots.tokens(), [all[0], all[2]]);
        for token in slots.tokens() {
            slots.remove(token);
        }
        assert!(slots.is_empty());
    }
}
