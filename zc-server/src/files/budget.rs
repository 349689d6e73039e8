//! The memory of all listings and archives of a server, bounded.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most memory of all listings and archives of a server together, in bytes.
const MEMORY_BYTES_MAX: usize = 256 << 20;
/// The step in which memory is reserved, in bytes.
const RESERVE_BYTES: usize = 256 << 10;

/// The memory that listings and archives use, in bytes. A clone is another handle of the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget(Arc<AtomicUsize>);

#[cfg(test)]
impl Budget {
    /// The bytes that are reserved now.
    pub(crate) fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The memory that one of them has reserved. The drop returns it.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Budget,
    bytes: usize,
}

impl Reservation {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Reserves `bytes` in all. Vectors double, so that twice as much is reserved.
    pub(crate) fn need(&mut self, bytes: usize) -> io::Result<()> {
        let Some(missing) = (bytes * 2)
            .checked_sub(self.bytes)
            .filter(|&missing| missing > 0)
        else {
            return Ok(());
        };
        let step = missing.next_multiple_of(RESERVE_BYTES);
        let used = self.budget.0.fetch_add(step, Ordering::Relaxed) + step;
        self.bytes += step;
        if used > MEMORY_BYTES_MAX {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_over_all_listings_and_comes_back() {
        let budget = Budget::default();
        let mut one = Reservation::new(budget.clone());
        assert!(one.need(MEMORY_BYTES_MAX / 4).is_ok());
        let mut other = Reservation::new(budget.clone());
        assert!(other.need(MEMORY_BYTES_MAX / 3).is_err());
        drop(other);
        let mut third = Reservation::new(budget.clone());
        assert!(third.need(1).is_ok());
        drop((one, third));
        assert_eq!(budget.used(), 0);
    }
}
