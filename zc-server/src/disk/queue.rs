//! A queue that is fair between mounts, and never gives all threads to one of them.
//!
//! Work of one mount is done in order; mounts take turns. A mount whose disk does not answer holds
//! its threads, so each may have another one only while more are free than it has already: of 16
//! threads the first hung mount holds 8, a second one 4, a third one 2, and so on, and there is one
//! left for whoever still has none. The places of the queue are shared by the same rule.

use std::collections::{BTreeMap, HashMap, VecDeque};

/// What work is fair between: the identifier of a mount, or of a client whose password is checked.
pub(crate) type Key = u64;

/// Work that waits, by mount, and how many threads each mount has.
#[derive(Debug)]
pub(crate) struct FairQueue<J> {
    threads: usize,
    queue_max: usize,
    /// Mounts with work that waits, in the order of their turns.
    turns: VecDeque<Key>,
    waiting: HashMap<Key, MountJobs<J>>,
    running: HashMap<Key, usize>,
    next_id: JobId,
    queued: usize,
    /// Those of the queued that need a place.
    places_taken: usize,
}

/// The number of a job in the queue. A later job has a higher one.
pub(crate) type JobId = u64;

/// The jobs of one mount that wait, in their order.
#[derive(Debug)]
struct MountJobs<J> {
    jobs: BTreeMap<JobId, Waiting<J>>,
    places_taken: usize,
}

/// Whether a job needs a place of the queue, of which there are a limited number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Needed,
    /// Such jobs are bounded elsewhere.
    NotNeeded,
}

#[derive(Debug)]
struct Waiting<J> {
    job: J,
    place: Place,
}

/// Work that was taken, to be given back when it is [done](FairQueue::finish).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running {
    key: Key,
}

impl<J> FairQueue<J> {
    /// Has so many places from now on. What waits already keeps its own.
    pub(crate) fn set_queue_max(&mut self, queue_max: usize) {
        self.queue_max = queue_max;
    }

    /// A queue for so many threads, with `queue_max` places.
    pub(crate) fn new(threads: usize, queue_max: usize) -> Self {
        Self {
            threads,
            queue_max,
            turns: VecDeque::new(),
            waiting: HashMap::new(),
            running: HashMap::new(),
            next_id: 0,
            queued: 0,
            places_taken: 0,
        }
    }

    /// Adds a job, or gives it back when it needs a place and its mount may not have another one.
    pub(crate) fn push(&mut self, key: Key, job: J, place: Place) -> Result<JobId, J> {
        if place == Place::Needed && !self.has_place_for(key) {
            return Err(job);
        }
        let id = self.next_id;
        self.next_id += 1;
        let mount = self.waiting.entry(key).or_insert_with(|| {
            self.turns.push_back(key);
            MountJobs {
                jobs: BTreeMap::new(),
                places_taken: 0,
            }
        });
        let needed = usize::from(place == Place::Needed);
        mount.places_taken += needed;
        self.places_taken += needed;
        self.queued += 1;
        mount.jobs.insert(id, Waiting { job, place });
        Ok(id)
    }

    /// Takes the job whose turn it is, among those of mounts that may have another thread.
    pub(crate) fn pop(&mut self) -> Option<(Running, J)> {
        let may_run = |key: &Key| self.may_run(*key);
        let turn = self.turns.iter().position(may_run)?;
        // The next turn of this mount comes after those of all others.
        let key = self.turns.remove(turn)?;
        self.turns.push_back(key);
        let (&id, _) = self.waiting.get(&key)?.jobs.first_key_value()?;
        let job = self.remove(key, id)?;
        *self.running.entry(key).or_default() += 1;
        Some((Running { key }, job))
    }

    /// Takes a job out before its turn. `None` when it has had its turn.
    pub(crate) fn remove(&mut self, key: Key, id: JobId) -> Option<J> {
        let mount = self.waiting.get_mut(&key)?;
        let Waiting { job, place } = mount.jobs.remove(&id)?;
        let needed = usize::from(place == Place::Needed);
        mount.places_taken -= needed;
        self.places_taken -= needed;
        self.queued -= 1;
        if mount.jobs.is_empty() {
            self.waiting.remove(&key);
            self.turns.retain(|turn| *turn != key);
        }
        Some(job)
    }

    /// A job has ended.
    pub(crate) fn finish(&mut self, Running { key }: Running) {
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
        (self.queued, self.places_taken) = (0, 0);
        let waiting = std::mem::take(&mut self.waiting);
        let jobs = waiting.into_values().flat_map(|mount| mount.jobs);
        jobs.map(|(_, waiting)| waiting.job).collect()
    }

    fn has_place_for(&self, key: Key) -> bool {
        let free = self.queue_max.saturating_sub(self.places_taken);
        free > self.waiting.get(&key).map_or(0, |mount| mount.places_taken)
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
        let pop = || queue.pop().map(|(running, job)| (running.key, job));
        std::iter::from_fn(pop).collect()
    }

    #[test]
    fn mounts_take_turns_and_each_keeps_its_order() {
        let mut queue = FairQueue::new(64, 100);
        for job in 0..4 {
            queue.push(1, job, Place::Needed).expect("room");
        }
        for job in 10..12 {
            queue.push(2, job, Place::Needed).expect("room");
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
                queue.push(mount, job, Place::Needed).expect("room");
            }
            // None of them ever ends.
            held.push(popped(&mut queue).len());
        }
        assert_eq!(held, [8, 4, 2, 1]);
        queue.push(9, 0, Place::Needed).expect("room");
        assert_eq!(popped(&mut queue), [(9, 0)]);
        // What is given back is given on, to those whose turn it is.
        queue.finish(Running { key: 9 });
        queue.push(9, 1, Place::Needed).expect("room");
        assert_eq!(popped(&mut queue), [(9, 1)]);
    }

    #[test]
    fn a_mount_that_is_done_leaves_nothing_behind() {
        let mut queue = FairQueue::new(2, 10);
        for round in 0..5 {
            queue.push(7, round, Place::Needed).expect("room");
            assert_eq!(popped(&mut queue), [(7, round)]);
            queue.finish(Running { key: 7 });
        }
        assert!(queue.running.is_empty() && queue.waiting.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn one_thread_still_serves_everybody() {
        let mut queue = FairQueue::new(1, 10);
        queue.push(1, 'a', Place::Needed).expect("room");
        queue.push(2, 'b', Place::Needed).expect("room");
        assert_eq!(popped(&mut queue), [(1, 'a')]);
        queue.finish(Running { key: 1 });
        assert_eq!(popped(&mut queue), [(2, 'b')]);
    }

    #[test]
    fn the_queue_is_bounded_over_all_mounts() {
        let mut queue = FairQueue::new(1, 3);
        for job in 0..3 {
            queue.push(job, job, Place::Needed).expect("room");
        }
        assert_eq!(queue.push(9, 9, Place::Needed), Err(9));
        assert_eq!(queue.take_all().len(), 3);
        assert_eq!((queue.queued(), popped(&mut queue)), (0, vec![]));
    }

    #[test]
    fn no_number_of_hung_mounts_takes_the_last_place_of_one_that_has_none() {
        let mut queue = FairQueue::new(1, 16);
        let mut push = |key| queue.push(key, key, Place::Needed).ok();
        let taken = [1, 2, 3, 4].map(|mount| {
            let pushed = std::iter::repeat_with(|| push(mount));
            pushed.map_while(|id| id).count()
        });
        assert_eq!(taken, [8, 4, 2, 1]);
        let last = push(9).expect("the last place");
        assert!(push(9).is_none() && push(10).is_none());
        // What needs none is taken all the same, and takes none from others.
        for _ in 0..100 {
            queue.push(1, 1, Place::NotNeeded).expect("no bound");
        }
        assert_eq!(queue.remove(9, last), Some(9));
        queue.push(9, 9, Place::Needed).expect("it is free again");
    }

    #[test]
    fn a_job_that_is_taken_out_leaves_nothing_behind() {
        let mut queue = FairQueue::new(1, 10);
        let mut push = |key, job| queue.push(key, job, Place::Needed).expect("room");
        let ids = [(7, 'a'), (7, 'b'), (7, 'c'), (8, 'd')].map(|(key, job)| push(key, job));
        assert_eq!(queue.remove(7, ids[1]), Some('b'));
        assert_eq!(queue.remove(7, ids[1]), None);
        assert_eq!(queue.remove(8, ids[3]), Some('d'));
        assert_eq!(popped(&mut queue), [(7, 'a')]);
        // It has had its turn.
        assert_eq!(queue.remove(7, ids[0]), None);
        assert_eq!(queue.remove(7, ids[2]), Some('c'));
        assert_eq!((queue.queued, queue.places_taken), (0, 0));
        assert!(queue.waiting.is_empty() && queue.turns.is_empty());
    }
}
