//! What came of the passwords that were checked lately.
//!
//! Neither names nor passwords are kept, but a hash of both under a key that only this process has, and that is
//! forgotten with the memory when the file of users is read again. Who could read the memory of the process could
//! try passwords against such a hash faster than against the file: entries are short-lived for that.

use std::collections::HashMap;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest, Sha256};

use super::Verdict;
use super::basic::Credentials;

/// How long a right password is remembered after its last use: who keeps coming does not have to wait among strangers
/// whose passwords are checked.
const GRANTED_FOR: Duration = Duration::from_secs(60);
/// How long a wrong one is. It is short, for who is added to the file and asks again at once.
const DENIED_FOR: Duration = Duration::from_secs(5);
/// The most entries of each kind. One that finds no place is not remembered, and drives out no other.
const ENTRIES_MAX: usize = 4096;

/// A hash of a user name and a password.
type Fingerprint = [u8; 32];

#[derive(Debug)]
pub(super) struct Memory {
    key: [u8; 32],
    table: Mutex<Table>,
    /// Notified when a check ends.
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Fingerprint, Entry>,
    granted: usize,
    denied: usize,
}

#[derive(Debug)]
enum Entry {
    /// A thread checks it. There are as many of these as threads, at most.
    UnderWay,
    Known {
        verdict: Verdict,
        until: Instant,
    },
}

/// What who wants to check a password is told.
pub(super) enum Claim<'m> {
    Known(Verdict),
    Ours(Claimed<'m>),
}

/// The right to check a password, for others that wait. Dropping it lets another one check.
pub(super) struct Claimed<'m> {
    memory: &'m Memory,
    fingerprint: Fingerprint,
}

impl Memory {
    pub(super) fn new() -> io::Result<Self> {
        let mut key = [0; 32];
        let mut filled = 0;
        while filled < key.len() {
            filled += getrandom(&mut key[filled..], GetRandomFlags::empty())?;
        }
        Ok(Self {
            key,
            table: Mutex::default(),
            settled: Condvar::new(),
        })
    }

    /// What is remembered of these credentials.
    pub(super) fn recall(&self, credentials: &Credentials) -> Option<Verdict> {
        let fingerprint = self.fingerprint(credentials);
        self.table().known(&fingerprint, Instant::now())
    }

    /// The same for a thread that may wait: for another one that checks the same.
    pub(super) fn claim(&self, credentials: &Credentials) -> Claim<'_> {
        let fingerprint = self.fingerprint(credentials);
        let mut table = self.table();
        loop {
            if let Some(verdict) = table.known(&fingerprint, Instant::now()) {
                return Claim::Known(verdict);
            }
            if !matches!(table.entries.get(&fingerprint), Some(Entry::UnderWay)) {
                table.remove(&fingerprint);
                table.entries.insert(fingerprint, Entry::UnderWay);
                let memory = self;
                return Claim::Ours(Claimed {
                    memory,
                    fingerprint,
                });
            }
            let waited = self.settled.wait(table);
            table = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No part of the key and the text is told to anybody, nor the hash: it takes no more than a hash of both.
    fn fingerprint(&self, credentials: &Credentials) -> Fingerprint {
        let hash = Sha256::new().chain_update(self.key);
        hash.chain_update(credentials.bytes()).finalize().into()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn known(&mut self, fingerprint: &Fingerprint, now: Instant) -> Option<Verdict> {
        match self.entries.get_mut(fingerprint) {
            Some(Entry::Known { verdict, until }) if *until > now => {
                if matches!(verdict, Verdict::Granted(_)) {
                    *until = now + GRANTED_FOR;
                }
                Some(verdict.clone())
            }
            _ => None,
        }
    }

    fn count(&mut self, verdict: &Verdict) -> &mut usize {
        match verdict {
            Verdict::Granted(_) => &mut self.granted,
            Verdict::Denied => &mut self.denied,
        }
    }

    fn remove(&mut self, fingerprint: &Fingerprint) {
        if let Some(Entry::Known { verdict, .. }) = self.entries.remove(fingerprint) {
            *self.count(&verdict) -= 1;
        }
    }

    /// Remembers what came of a check, if there is room.
    fn remember(&mut self, fingerprint: Fingerprint, verdict: &Verdict, now: Instant) {
        if *self.count(verdict) >= ENTRIES_MAX {
            self.forget_old(now);
        }
        if *self.count(verdict) >= ENTRIES_MAX {
            return;
        }
        let time = match verdict {
            Verdict::Granted(_) => GRANTED_FOR,
            Verdict::Denied => DENIED_FOR,
        };
        *self.count(verdict) += 1;
        let known = Entry::Known {
            verdict: verdict.clone(),
            until: now + time,
        };
        self.entries.insert(fingerprint, known);
    }

    fn forget_old(&mut self, now: Instant) {
        let is_old = |entry: &Entry| matches!(entry, Entry::Known { until, .. } if *until <= now);
        let old = self.entries.iter().filter(|(_, entry)| is_old(entry));
        let old: Vec<Fingerprint> = old.map(|(fingerprint, _)| *fingerprint).collect();
        for fingerprint in old {
            self.remove(&fingerprint);
        }
    }
}

impl Claimed<'_> {
    /// Tells the others that wait, and those that ask for a while.
    pub(super) fn settle(self, verdict: &Verdict) {
        let mut table = self.memory.table();
        table.entries.remove(&self.fingerprint);
        table.remember(self.fingerprint, verdict, Instant::now());
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let mut table = self.memory.table();
        if let Some(Entry::UnderWay) = table.entries.get(&self.fingerprint) {
            table.entries.remove(&self.fingerprint);
        }
        drop(table);
        self.memory.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::super::User;
    use super::*;

    fn granted() -> Verdict {
        Verdict::Granted(User::from("ann"))
    }

    fn settle(memory: &Memory, text: &str, verdict: &Verdict) {
        match memory.claim(&Credentials::of(text)) {
            Claim::Ours(claimed) => claimed.settle(verdict),
            Claim::Known(known) => panic!("{known:?}"),
        }
    }

    #[test]
    fn what_was_checked_is_recalled_and_nothing_else() {
        let memory = Memory::new().expect("random bytes");
        settle(&memory, "ann:a", &granted());
        settle(&memory, "ann:b", &Verdict::Denied);
        assert_eq!(memory.recall(&Credentials::of("ann:a")), Some(granted()));
        assert_eq!(
            memory.recall(&Credentials::of("ann:b")),
            Some(Verdict::Denied)
        );
        assert_eq!(memory.recall(&Credentials::of("ann:c")), None);
        assert_eq!(memory.recall(&Credentials::of("anna:")), None);
        assert!(matches!(
            memory.claim(&Credentials::of("ann:a")),
            Claim::Known(_)
        ));
        // Another process, or another file: another key.
        let other = Memory::new().expect("random bytes");
        assert_ne!(memory.key, other.key);
    }

    #[test]
    fn right_passwords_are_remembered_for_longer_than_wrong_ones() {
        let mut table = Table::default();
        let began = Instant::now();
        table.remember([1; 32], &granted(), began);
        table.remember([2; 32], &Verdict::Denied, began);
        let mut known = |number: u8, after| table.known(&[number; 32], began + after).is_some();
        let instant = Duration::from_nanos(1);
        assert!(known(2, DENIED_FOR - instant) && !known(2, DENIED_FOR));
        // Each use of a right one begins its time anew.
        let (once, twice) = (GRANTED_FOR - instant, 2 * (GRANTED_FOR - instant));
        assert!(known(1, once) && known(1, twice));
        assert!(!known(1, twice + GRANTED_FOR));
    }

    #[test]
    fn a_flood_of_wrong_passwords_is_bounded_and_drives_out_no_right_one() {
        let mut table = Table::default();
        let began = Instant::now();
        table.remember([255; 32], &granted(), began);
        let flood = |table: &mut Table, now| {
            for number in 0..2 * ENTRIES_MAX as u64 {
                let mut fingerprint = [0; 32];
                fingerprint[..8].copy_from_slice(&number.to_le_bytes());
                table.remove(&fingerprint);
                table.remember(fingerprint, &Verdict::Denied, now);
            }
        };
        flood(&mut table, began);
        assert_eq!(table.entries.len(), ENTRIES_MAX + 1);
        // When they are old they make room.
        let later = began + DENIED_FOR;
        table.remember([254; 32], &Verdict::Denied, later);
        assert_eq!(table.entries.len(), 2);
        assert_eq!((table.granted, table.denied), (1, 1));
        assert!(table.known(&[255; 32], later).is_some());
    }

    #[test]
    fn who_comes_while_the_same_is_checked_waits_for_that() {
        let memory = Arc::new(Memory::new().expect("random bytes"));
        let Claim::Ours(claimed) = memory.claim(&Credentials::of("ann:a")) else {
            panic!("nobody checks");
        };
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let memory = Arc::clone(&memory);
                thread::spawn(move || match memory.claim(&Credentials::of("ann:a")) {
                    Claim::Known(verdict) => verdict,
                    Claim::Ours(_) => panic!("two check the same"),
                })
            })
            .collect();
        assert_eq!(memory.recall(&Credentials::of("ann:a")), None);
        claimed.settle(&granted());
        for thread in waiting {
            assert_eq!(thread.join().expect("no panic"), granted());
        }
    }

    #[test]
    fn a_check_that_is_given_up_is_done_by_another() {
        let memory = Memory::new().expect("random bytes");
        drop(memory.claim(&Credentials::of("ann:a")));
        assert!(matches!(
            memory.claim(&Credentials::of("ann:a")),
            Claim::Ours(_)
        ));
    }
}
