//! A queue that is fair between mounts, and never gives all threads to one of them.
//!
//! Work of one mount is done in order; mounts take turns. A mount whose disk does not answer holds
//! its threads, so each may have another one only while more are free than it has already: of 16
//! threads the first hung mount holds 8, a second one 4, a third one 2, and so on, and there is one
//! left for whoever still has none.

use std::collections::{HashMap, VecDeque};

/// What work is fair between: the device of a mount.
pub(crate) type Key = u64;

/// Work that waits, by mount, and how many threads each mount has.
#[derive(Debug)]
pub(crate) struct FairQueue<J> {
    threads: usize,
    queue_max: usize,
    /// Mounts with work that waits, in the order of their turns.
    turns: VecDeque<Key>,
    waiting: HashMap<Key, VecDeque<J>>,
    running: HashMap<Key, usize>,
    queued: usize,
}

impl<J> FairQueue<J> {
    /// A queue for so many threads, and for at most `queue_max` jobs that wait for one.
    pub(crate) fn new(threads: usize, queue_max: usize) -> Self {
        Self {
            threads,
            queue_max,
            turns: VecDeque::new(),
            waiting: HashMap::new(),
            running: HashMap::new(),
            queued: 0,
        }
    }

    /// Adds a job, or gives it back when as many as allowed are waiting.
    pub(crate) fn push(&mut self, key: Key, job: J) -> Result<(), J> {
        if self.queued >= self.queue_max {
            return Err(job);
        }
        let jobs = self.waiting.entry(key).or_default();
        if jobs.is_empty() {
            self.turns.push_back(key);
        }
        jobs.push_back(job);
        self.queued += 1;
        Ok(())
    }

    /// Takes the job whose turn it is, among those of mounts that may have another thread.
    pub(crate) fn pop(&mut self) -> Option<(Key, J)> {
        let place = self.turns.iter().position(|key| self.may_run(*key))?;
        let key = self.turns.remove(place)?;
        let jobs = self.waiting.get_mut(&key)?;
        let job = jobs.pop_front()?;
        if jobs.is_empty() {
            self.waiting.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        self.queued -= 1;
        *self.running.entry(key).or_default() += 1;
        Some((key, job))
    }

    /// A job of this mount has ended.
    pub(crate) fn finish(&mut self, key: Key) {
        if let Some(count) = self.running.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&key);
            }
        }
    }

    /// Jobs that wait.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Takes all that waits.
    pub(crate) fn take_all(&mut self) -> Vec<J> {
        self.turns.clear();
        self.queued = 0;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_values().flatten().collect()
    }

    fn may_run(&self, key: Key) -> bool {
        let free = self.threads.saturating_sub(self.running.values().sum());
        free > self.running.get(&key).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popped<J>(queue: &mut FairQueue<J>) -> Vec<(Key, J)> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn mounts_take_turns_and_each_keeps_its_order() {
        let mut queue = FairQueue::new(64, 100);
        for job in 0..4 {
            queue.push(1, job).expect("room");
        }
        for job in 10..12 {
            queue.push(2, job).expect("room");
        }
        let order = popped(&mut queue);
        assert_eq!(order, [(1, 0), (2, 10), (1, 1), (2, 11), (1, 2), (1, 3)]);
        assert_eq!(queue.queued(), 0);
    }

    #[test]
    fn no_number_of_hung_mounts_takes_the_last_thread_of_one_that_has_none() {
        let mut queue = FairQueue::new(16, 1000);
        let mut held = Vec::new();
        for mount in 1..=4 {
            for job in 0..50 {
                queue.push(mount, job).expect("room");
            }
            // None of them ever ends.
            held.push(popped(&mut queue).len());
        }
        assert_eq!(held, [8, 4, 2, 1]);
        queue.push(9, 0).expect("room");
        assert_eq!(queue.pop(), Some((9, 0)));
        // What is given back is given on, to those whose turn it is.
        queue.finish(9);
        queue.push(9, 1).expect("room");
        assert_eq!(popped(&mut queue), [(9, 1)]);
    }

    #[test]
    fn a_mount_that_is_done_leaves_nothing_behind() {
        let mut queue = FairQueue::new(2, 10);
        for round in 0..5 {
            queue.push(7, round).expect("room");
            assert_eq!(queue.pop(), Some((7, round)));
            queue.finish(7);
        }
        assert!(queue.running.is_empty() && queue.waiting.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn one_thread_still_serves_everybody() {
        let mut queue = FairQueue::new(1, 10);
        queue.push(1, 'a').expect("room");
        queue.push(2, 'b').expect("room");
        assert_eq!(popped(&mut queue), [(1, 'a')]);
        queue.finish(1);
        assert_eq!(popped(&mut queue), [(2, 'b')]);
    }

    #[test]
    fn the_queue_is_bounded_over_all_mounts() {
        let mut queue = FairQueue::new(1, 3);
        for job in 0..3 {
            queue.push(job, job).expect("room");
        }
        assert_eq!(queue.push(9, 9), Err(9));
        assert_eq!(queue.take_all().len(), 3);
        assert_eq!((queue.queued(), queue.pop()), (0, None));
    }
}
