//! TLS handshakes under way at a time, over all workers (`--max-handshakes`).
//!
//! A connection of HTTPS has a place from before it is accepted until its handshake is over, or it ends. A worker that
//! gets no place leaves its connections in the queue of the kernel, and stands in line: the next place that becomes free
//! is given to the worker that has waited longest, by a message. So no worker that is busy keeps all places for itself,
//! and no worker waits for an edge that it has had already.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Accepting, Reactor};
use crate::config::Scheme;

/// The places of handshakes, and who waits for one.
#[derive(Debug)]
pub(crate) struct Handshakes(Mutex<Places>);

#[derive(Debug)]
struct Places {
    max: usize,
    taken: usize,
    /// Each worker once at most.
    waiting: VecDeque<usize>,
}

impl Handshakes {
    /// With `max` places; `None` for any number.
    pub(crate) fn new(max: Option<usize>) -> Self {
        Self(Mutex::new(Places {
            max: max.unwrap_or(usize::MAX),
            taken: 0,
            waiting: VecDeque::new(),
        }))
    }

    /// Takes a place for `worker`. False where there is none: it is given one later.
    fn take(&self, worker: usize) -> bool {
        let mut places = self.lock();
        if places.taken < places.max {
            places.taken += 1;
            return true;
        }
        if !places.waiting.contains(&worker) {
            places.waiting.push_back(worker);
        }
        false
    }

    /// The same, however many there are.
    pub(super) fn take_anyway(&self) {
        self.lock().taken += 1;
    }

    /// Gives a place back. Answers who has it from now on.
    pub(super) fn give_back(&self) -> Option<usize> {
        let mut places = self.lock();
        places.taken = places.taken.saturating_sub(1);
        places.next()
    }

    /// Changes their number. Answers who has those that are free from now on.
    #[cfg(feature = "tls")]
    pub(super) fn set_max(&self, max: Option<usize>) -> Vec<usize> {
        let mut places = self.lock();
        places.max = max.unwrap_or(usize::MAX);
        std::iter::from_fn(|| places.next()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// Gives a free place to the worker that has waited longest.
    fn next(&mut self) -> Option<usize> {
        if self.taken >= self.max {
            return None;
        }
        let worker = self.waiting.pop_front()?;
        self.taken += 1;
        Some(worker)
    }
}

impl Reactor {
    /// Takes a place for the next connection of a listener, if it needs one. False where there is none now.
    pub(super) fn begin_handshake(&mut self, scheme: Scheme) -> bool {
        if scheme != Scheme::Https {
            return true;
        }
        if self.worker.is_draining() {
            // What has connected is accepted before the listener closes.
            self.shared.handshakes.take_anyway();
            return true;
        }
        if self.granted_handshakes > 0 {
            self.granted_handshakes -= 1;
            return true;
        }
        self.shared.handshakes.take(self.index)
    }

    /// The place of a connection of such a listener is free.
    pub(super) fn end_handshake(&self, scheme: Scheme) {
        if scheme == Scheme::Https {
            self.shared.free_handshake();
        }
    }

    /// A place that this worker has waited for is its own.
    pub(super) fn on_handshake_granted(&mut self) {
        if self.worker.is_draining() {
            return self.shared.free_handshake();
        }
        self.granted_handshakes += 1;
        if self.accepting == Accepting::OnEdge {
            self.accepting = Accepting::NextTurn;
        }
    }

    /// Places that no connection came for.
    pub(super) fn return_handshakes(&mut self) {
        for _ in 0..std::mem::take(&mut self.granted_handshakes) {
            self.shared.free_handshake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_goes_to_the_worker_that_has_waited_longest() {
        let handshakes = Handshakes::new(Some(2));
        assert!(handshakes.take(0) && handshakes.take(0));
        assert!(!handshakes.take(1) && !handshakes.take(2) && !handshakes.take(1));
        // Who gives one back gets in line behind the others.
        assert_eq!(handshakes.give_back(), Some(1));
        assert!(!handshakes.take(0));
        assert_eq!(handshakes.give_back(), Some(2));
        assert_eq!(handshakes.give_back(), Some(0));
        assert_eq!(handshakes.give_back(), None);
        assert!(handshakes.take(1));
        assert!(!handshakes.take(1));
    }

    #[test]
    #[cfg(feature = "tls")]
    fn another_number_of_places_holds_at_once() {
        let handshakes = Handshakes::new(Some(1));
        assert!(handshakes.take(0));
        assert!(!handshakes.take(1) && !handshakes.take(2));
        assert_eq!(handshakes.set_max(Some(2)), [1]);
        assert_eq!(handshakes.set_max(Some(1)), [0; 0]);
        // One of the two is above the limit, and goes to nobody.
        assert_eq!(handshakes.give_back(), None);
        assert_eq!(handshakes.give_back(), Some(2));
        assert_eq!(handshakes.set_max(None), [0; 0]);
        assert!((0..100).all(|_| handshakes.take(0)));
    }
}
