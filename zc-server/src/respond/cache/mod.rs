//! What stands at the paths that are asked for often: one cache for each worker, and no lock.
//!
//! An entry is what [`look_up`](crate::files::lookup::look_up) told for a path and a preference of codings:
//! an open file with its state, its ready responses and, if it is small, its bytes; or that there is
//! nothing. It is believed for the time to live, and then the same question is asked again. So no
//! answer is older than that, whoever renames, replaces or deletes what.
//!
//! * A path is kept from the second time that it is asked for.
//! * When there is no room, the least recently used of a few entries is dropped, and the hand that
//!   chooses them goes round.
//! * Where descriptors run out, all entries are dropped, since connections need them more, and there
//!   may be half as many as there were; that grows again in a minute or so.
//! * The entries of a root that was let go are dropped a few at a time.
//! * An entry that nobody has asked for in [`UNUSED_MS`] is dropped: a deleted file holds its disk
//!   space as long as somebody has it open.
//! * Of writes through a shared mapping (`mmap(2)`) the first one to a page moves the time of the file, and
//!   no later one does until the page is written back, which on tmpfs it never is. So the bytes that are
//!   kept are read again after [`READ_TTLS`] times the time to live.
//! * Where only the descriptor is kept and not the bytes, the state of the open file is asked for
//!   once in a millisecond, so that no head speaks of bytes that were overwritten longer ago.

mod doorkeeper;
mod entry;
#[cfg(test)]
mod tests;

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use doorkeeper::Doorkeeper;
pub(crate) use entry::{CacheEntry, CachedFile, Hot};

use crate::files::lookup::{Found, Resource};
use crate::files::root::RootId;
use crate::observe::counters::CacheCounters;
use crate::respond::prepared::Prepared;

/// How long an entry is kept that nobody asks for, in milliseconds.
const UNUSED_MS: u64 = 10_000;
/// How old the bytes of a file may be that are sent from memory, in times to live.
const READ_TTLS: u64 = 10;
/// The same where the time to live is short or none, in milliseconds.
const READ_MS: u64 = 100;
/// How often entries are looked through for such, in milliseconds.
const SWEEP_MS: u64 = 1_000;
/// How many entries one sweep looks at, at most: about a tenth of a millisecond.
const SWEEP_ENTRIES_MAX: usize = 4096;
/// How many places one turn looks through for entries of a root that was let go: closing as many
/// files takes less than a millisecond.
const FORGET_PLACES: usize = 512;
/// In how many sweeps as many entries are allowed again as ever.
const RECOVERY_SWEEPS: usize = 64;
/// Of how many entries the least recently used is dropped for want of room.
const CANDIDATES: usize = 8;

/// What the cache of one worker may hold, and how long it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Entries, and with them descriptors. None at all with 0.
    pub(crate) entries: usize,
    /// Bytes of memory, about.
    pub(crate) bytes: usize,
    /// The longest file whose bytes are kept, in bytes.
    pub(crate) file_max: u64,
    /// How long an entry is believed, in milliseconds; 0 asks each time.
    pub(crate) ttl_ms: u64,
}

/// What an entry is found by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) root: RootId,
    /// Decoded, relative, free of dot segments.
    pub(crate) path: &'a [u8],
    /// Whether the target ended in a slash.
    pub(crate) is_directory: bool,
    /// A number of the order in which codings are wanted.
    pub(crate) preference: u16,
}

/// The number of an entry, good until the next call that may drop entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(u32);

/// The entries of one worker.
#[derive(Debug)]
pub(crate) struct ResponseCache {
    bounds: Bounds,
    /// How many entries there may be now: fewer than by `bounds` after descriptors ran out.
    room: usize,
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
    entries: Slab<Entry>,
    /// The weights of all entries.
    bytes: usize,
    /// Where the next entries are looked at.
    hand: usize,
    /// Paths that were asked for once.
    doorkeeper: Doorkeeper,
    swept_ms: u64,
    /// Roots of which no entry is to be kept.
    forgotten: Vec<RootId>,
    /// The place where entries of those are looked for next.
    forget_at: usize,
    hits: u64,
    misses: u64,
    evictions: u64,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    root: RootId,
    path: Box<[u8]>,
    is_directory: bool,
    preference: u16,
    standing: CacheEntry,
    weight: usize,
    /// When the disk was asked, in milliseconds of the worker's clock.
    asked_ms: u64,
    /// When the bytes of the file were read, if they are kept; or some time before that.
    read_ms: u64,
    /// When the state of the open file was asked for.
    compared_ms: u64,
    used_ms: u64,
}

impl ResponseCache {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            room: bounds.entries,
            hasher: DefaultHashBuilder::default(),
            table: HashTable::new(),
            entries: Slab::new(),
            bytes: 0,
            hand: 0,
            doorkeeper: Doorkeeper::new(bounds.entries),
            swept_ms: 0,
            forgotten: Vec::new(),
            forget_at: 0,
            hits: 0,
            misses: 0,
            evictions: 0,
        }
    }

    /// Writes down what it holds and has done.
    pub(crate) fn publish(&self, counters: &CacheCounters) {
        counters.entries.set(self.entries.len() as u64);
        counters.bytes.set(self.bytes as u64);
        counters.hits.set(self.hits);
        counters.misses.set(self.misses);
        counters.evictions.set(self.evictions);
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The entry of `key`, if it may be believed at `now_ms`.
    pub(crate) fn get(&mut self, key: Key<'_>, now_ms: u64) -> Option<Id> {
        let id = self.believed(key, now_ms);
        match id {
            Some(_) => self.hits += 1,
            None => self.misses += 1,
        }
        id
    }

    fn believed(&mut self, key: Key<'_>, now_ms: u64) -> Option<Id> {
        if self.entries.is_empty() || self.bounds.ttl_ms == 0 {
            return None;
        }
        let id = self.find(self.hash(key), key)?;
        let entry = self.entries.get_mut(id.0 as usize)?;
        if now_ms.saturating_sub(entry.asked_ms) >= self.bounds.ttl_ms {
            return None;
        }
        if let CacheEntry::File(file) = &entry.standing
            && file.content().is_none()
            && entry.compared_ms != now_ms
        {
            if !file.is_unchanged() {
                self.remove(id);
                return None;
            }
            entry.compared_ms = now_ms;
        }
        entry.used_ms = now_ms;
        Some(id)
    }

    /// Takes in what was found at `key` by asking at `asked_ms`. An entry is renewed or replaced; a
    /// new one is made from the second time on. Gives back what is not kept.
    pub(crate) fn insert(
        &mut self,
        key: Key<'_>,
        found: Found,
        asked_ms: u64,
        make: impl FnOnce(Resource) -> CachedFile,
    ) -> Result<Id, Found> {
        if self.bounds.entries == 0 {
            return Err(found);
        }
        let hash = self.hash(key);
        if let Some(id) = self.find(hash, key) {
            return self.renew(id, found, asked_ms, make);
        }
        if !self.doorkeeper.insert(hash) {
            return Err(found);
        }
        let standing = CacheEntry::from_found(found, make)?;
        let entry = Entry {
            hash,
            root: key.root,
            path: key.path.into(),
            is_directory: key.is_directory,
            preference: key.preference,
            standing,
            weight: 0,
            asked_ms,
            read_ms: asked_ms,
            compared_ms: asked_ms,
            used_ms: asked_ms,
        };
        while self.entries.len() >= self.room {
            self.drop_least_used(None);
        }
        // At most as many as there are descriptors, which 32 bits hold.
        let id = Id(self.entries.insert(entry) as u32);
        let entries = &self.entries;
        let hash_of = |&other: &u32| entries.get(other as usize).map_or(0, |entry| entry.hash);
        self.table.insert_unique(hash, id.0, hash_of);
        self.charge(id)
    }

    fn renew(
        &mut self,
        id: Id,
        found: Found,
        asked_ms: u64,
        make: impl FnOnce(Resource) -> CachedFile,
    ) -> Result<Id, Found> {
        let Some(entry) = self.entries.get_mut(id.0 as usize) else {
            return Err(found);
        };
        if entry.standing.is_still(&found) {
            let file_max = self.bounds.file_max;
            // It is believed for one time to live from now on.
            let age_max_ms = (READ_TTLS - 1).saturating_mul(self.bounds.ttl_ms);
            let age_max_ms = age_max_ms.max(READ_MS);
            let is_old = asked_ms.saturating_sub(entry.read_ms) >= age_max_ms;
            if let CacheEntry::File(file) = &mut entry.standing
                && (file.content().is_none() || is_old)
                && file.representation.length() <= file_max
            {
                // It was not in memory before and may be now, or is to be read again.
                file.whole = None;
                entry.read_ms = asked_ms;
            }
        } else {
            match CacheEntry::from_found(found, make) {
                Ok(standing) => {
                    entry.standing = standing;
                    entry.read_ms = asked_ms;
                }
                Err(found) => {
                    self.remove(id);
                    return Err(found);
                }
            }
        }
        entry.asked_ms = asked_ms;
        entry.compared_ms = asked_ms;
        entry.used_ms = asked_ms;
        self.charge(id)
    }

    /// What stands at the path of an entry.
    pub(crate) fn entry(&mut self, id: Id) -> Option<&mut CacheEntry> {
        let entry = self.entries.get_mut(id.0 as usize)?;
        Some(&mut entry.standing)
    }

    /// The bytes of the 200 that is kept ready; none if there is none.
    pub(crate) fn whole(&self, id: Id) -> &[u8] {
        self.file(id)
            .and_then(|file| file.whole.as_ref())
            .map_or(&[], Prepared::bytes)
    }

    /// The bytes of the 304 that is kept ready; none if there is none.
    pub(crate) fn not_modified(&self, id: Id) -> &[u8] {
        self.file(id)
            .and_then(|file| file.not_modified.as_ref())
            .map_or(&[], Prepared::bytes)
    }

    fn file(&self, id: Id) -> Option<&CachedFile> {
        match &self.entries.get(id.0 as usize)?.standing {
            CacheEntry::File(file) => Some(file),
            _ => None,
        }
    }

    /// Counts what an entry weighs now, and makes room for it by dropping others. An entry that is too
    /// heavy by itself is dropped, and what was found is given back.
    pub(crate) fn charge(&mut self, id: Id) -> Result<Id, Found> {
        let Some(entry) = self.entries.get_mut(id.0 as usize) else {
            return Ok(id);
        };
        let weight = size_of::<Entry>() + entry.path.len() + entry.standing.weight();
        self.bytes = self.bytes - entry.weight + weight;
        entry.weight = weight;
        if weight > self.bounds.bytes
            && let Some(entry) = self.remove(id)
        {
            return Err(entry.standing.into_found());
        }
        while self.bytes > self.bounds.bytes {
            self.drop_least_used(Some(id));
        }
        Ok(id)
    }

    /// Drops all entries, and with them their descriptors; half as many are allowed from now on.
    /// Answers whether there were any.
    pub(crate) fn shed_descriptors(&mut self) -> bool {
        let count = self.entries.len();
        self.evictions += count as u64;
        self.room = (count / 2).max(1);
        self.table.clear();
        self.entries.clear();
        self.bytes = 0;
        count > 0
    }

    /// Drops the entries of a root that was let go, in this turn and the next ones. None may come to
    /// it after this.
    pub(crate) fn forget(&mut self, root: RootId) {
        self.forgotten.push(root);
        self.forget_at = 0;
    }

    fn drop_forgotten(&mut self) {
        let end = self.entries.capacity().min(self.forget_at + FORGET_PLACES);
        for place in self.forget_at..end {
            let entry = self.entries.get(place);
            if entry.is_some_and(|entry| self.forgotten.contains(&entry.root)) {
                self.remove(Id(place as u32));
            }
        }
        self.forget_at = end;
        if end == self.entries.capacity() {
            self.forgotten.clear();
        }
    }

    /// Drops what nobody has asked for in a while. To be called once a turn.
    pub(crate) fn sweep(&mut self, now_ms: u64) {
        if !self.forgotten.is_empty() {
            self.drop_forgotten();
        }
        if now_ms.saturating_sub(self.swept_ms) < SWEEP_MS {
            return;
        }
        self.swept_ms = now_ms;
        let more = self.bounds.entries.div_ceil(RECOVERY_SWEEPS);
        self.room = self.bounds.entries.min(self.room + more);
        for _ in 0..self.entries.len().min(SWEEP_ENTRIES_MAX) {
            let Some(id) = self.next_at_hand() else {
                return;
            };
            let unused = |entry: &Entry| now_ms.saturating_sub(entry.used_ms) >= UNUSED_MS;
            if self.entries.get(id.0 as usize).is_some_and(unused) {
                self.remove(id);
            }
        }
    }

    /// When [`sweep`](Self::sweep) is due although nothing else happens.
    pub(crate) fn next_sweep_ms(&self) -> Option<u64> {
        if !self.forgotten.is_empty() {
            return Some(0);
        }
        (!self.entries.is_empty()).then_some(self.swept_ms + SWEEP_MS)
    }

    fn hash(&self, key: Key<'_>) -> u64 {
        let Key {
            root,
            path,
            is_directory,
            preference,
        } = key;
        self.hasher.hash_one((path, root, is_directory, preference))
    }

    fn find(&self, hash: u64, key: Key<'_>) -> Option<Id> {
        let is_it = |&id: &u32| {
            self.entries
                .get(id as usize)
                .is_some_and(|entry| entry.has(hash, key))
        };
        self.table.find(hash, is_it).map(|&id| Id(id))
    }

    fn drop_least_used(&mut self, spared: Option<Id>) {
        let mut least: Option<(u64, Id)> = None;
        // One more than are wanted: the spared one may be among them.
        for _ in 0..self.entries.len().min(CANDIDATES + 1) {
            let Some(id) = self.next_at_hand() else {
                break;
            };
            let Some(entry) = self.entries.get(id.0 as usize) else {
                continue;
            };
            if Some(id) != spared && least.is_none_or(|(used_ms, _)| entry.used_ms < used_ms) {
                least = Some((entry.used_ms, id));
            }
        }
        if let Some((_, id)) = least {
            self.evictions += 1;
            self.remove(id);
        }
    }

    /// The next entry on the way round; `None` when there is none.
    fn next_at_hand(&mut self) -> Option<Id> {
        if self.entries.is_empty() {
            return None;
        }
        loop {
            if self.hand >= self.entries.capacity() {
                self.hand = 0;
            }
            let at = self.hand;
            self.hand += 1;
            if self.entries.contains(at) {
                return Some(Id(at as u32));
            }
        }
    }

    fn remove(&mut self, id: Id) -> Option<Entry> {
        let entry = self.entries.try_remove(id.0 as usize)?;
        self.bytes -= entry.weight;
        if let Ok(found) = self.table.find_entry(entry.hash, |&other| other == id.0) {
            found.remove();
        }
        Some(entry)
    }
}

impl Entry {
    fn has(&self, hash: u64, key: Key<'_>) -> bool {
        self.hash == hash
            && self.root == key.root
            && self.is_directory == key.is_directory
            && self.preference == key.preference
            && *self.path == *key.path
    }
}
