//! Which paths were asked for not long ago: a Bloom filter that is emptied now and then.
//!
//! A path that was asked for is known until as many others were asked for as there may be entries,
//! about; one in twenty that was not is taken for known, which costs a needless entry.

/// Bits for each path.
const BITS: usize = 8;
/// Paths that are told apart at most.
const PATHS_MAX: usize = 65_536;

/// What was seen, by hashes.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    /// How many paths are remembered before all are forgotten.
    paths: usize,
    /// How many are remembered.
    count: usize,
    /// Empty until the first path.
    words: Vec<u64>,
}

impl Doorkeeper {
    pub(super) fn new(paths: usize) -> Self {
        Self {
            paths: paths.clamp(64, PATHS_MAX).next_power_of_two(),
            count: 0,
            words: Vec::new(),
        }
    }

    /// Whether the path of this hash was seen; from now on it was.
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        if self.count == self.paths {
            self.count = 0;
            self.words.fill(0);
        }
        if self.words.is_empty() {
            self.words = vec![0; self.paths * BITS / u64::BITS as usize];
        }
        let bits = self.words.len() as u64 * u64::from(u64::BITS);
        let mut was_seen = true;
        // Two bits, chosen by the halves of the hash.
        for half in [hash, hash.rotate_right(32)] {
            let bit = half % bits;
            let word = &mut self.words[(bit / u64::from(u64::BITS)) as usize];
            let mask = 1 << (bit % u64::from(u64::BITS));
            was_seen &= *word & mask != 0;
            *word |= mask;
        }
        self.count += usize::from(!was_seen);
        was_seen
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, DefaultHasher};

    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn all_that_were_seen_are_known_the_second_time_in_whatever_order() {
        // With the same numbers each time: a seed in some thousands makes more of them alike.
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut doorkeeper = Doorkeeper::new(1000);
        let first: Vec<bool> = (0..900)
            .map(|n| doorkeeper.insert(hasher.hash_one(n)))
            .collect();
        let mistaken = first.iter().filter(|&&was_seen| was_seen).count();
        assert!(mistaken < 90, "{mistaken} of 900");
        assert!((0..900).all(|n| doorkeeper.insert(hasher.hash_one(n))));
    }

    #[test]
    fn what_was_seen_long_ago_is_forgotten() {
        let hasher = hashbrown::DefaultHashBuilder::default();
        let mut doorkeeper = Doorkeeper::new(64);
        doorkeeper.insert(hasher.hash_one("old"));
        for n in 0..10_000 {
            doorkeeper.insert(hasher.hash_one(n));
            assert!(doorkeeper.count <= 64);
        }
        // All bits would be set if nothing had been forgotten.
        let set: u32 = doorkeeper.words.iter().map(|word| word.count_ones()).sum();
        assert!(set <= 2 * 64, "{set}");
    }
}
