//! How many connections each client has, over all workers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::socket::Host;

/// Tables that are locked apart, so that workers which accept in the same moment rarely meet.
const TABLES: usize = 64;

/// How many connections each client has. A table is locked when a connection begins and when it ends, for a few
/// instructions, and never for a request.
#[derive(Debug)]
pub(super) struct PerAddress {
    max: AtomicUsize,
    hashes: RandomState,
    tables: [Mutex<HashMap<u128, usize>>; TABLES],
}

/// One connection of a client, which counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    counts: Arc<PerAddress>,
    key: u128,
}

impl PerAddress {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: AtomicUsize::new(max),
            hashes: RandomState::new(),
            tables: std::array::from_fn(|_| Mutex::default()),
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// Changes it for connections that begin from now on.
    pub(super) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Counts a connection of `address`. `None` where it has as many as it may.
    pub(super) fn count(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let key = key(address);
        let mut table = self.table(key);
        let count = table.entry(key).or_insert(0);
        if *count >= self.max() {
            return None;
        }
        *count += 1;
        Some(Counted {
            counts: Arc::clone(self),
            key,
        })
    }

    fn table(&self, key: u128) -> MutexGuard<'_, HashMap<u128, usize>> {
        // The remainder is below `TABLES`.
        let index = (self.hashes.hash_one(key) % TABLES as u64) as usize;
        let table = &self.tables[index];
        table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.counts.table(self.key).entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The queue of a client whose work is to be fair beside that of others.
pub(crate) fn queue_key(client: Host) -> u64 {
    let Host::Internet(address) = client else {
        return 0;
    };
    let key = key(address);
    // The lower half is 0 for IPv6, the upper one for IPv4.
    (key >> 64) as u64 | key as u64
}

/// What counts as one client: an address of IPv4; of IPv6 a /64, which is the least that a customer has.
fn key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn each_client_has_a_queue_of_its_own() {
        let key = |text| queue_key(Host::Internet(address(text)));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    }

    #[test]
    fn each_client_has_its_own_number_and_what_has_ended_counts_no_more() {
        let counts = Arc::new(PerAddress::new(2));
        for (one, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::ffff:0:0:1", "2001:db8:0:1::1"),
            ("::1", "::2", "127.0.0.1"),
        ] {
            let first = counts.count(address(one)).expect("the first");
            let second = counts.count(address(same)).expect("the second");
            assert!(counts.count(address(one)).is_none());
            assert!(counts.count(address(same)).is_none());
            let of_other = counts.count(address(other)).expect("another client");
            drop(first);
            drop(counts.count(address(one)).expect("as one has ended"));
            drop((second, of_other));
        }
        let is_empty = |table: &Mutex<HashMap<_, _>>| table.lock().expect("no panic").is_empty();
        assert!(counts.tables.iter().all(is_empty));
    }
}
