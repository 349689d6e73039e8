//! A queue that is fair between mounts, and never gives all threads to one of them.
//!
//! Work of one mount is done in order; mounts take turns. A mount whose disk does not answer holds
//! its threads, so each may have another one only while more are free than it has already: of 16
//! threads the first hung mount holds 8, a second one 4, a third one 2, and so on, and there is one
//! left for whoever still has none. The places of the queue are shared by the same rule.
//!
//! Long reads begin one after the other, one for each core, where the disk is fast. It has enough to do
//! with one, and many threads of the policy `SCHED_IDLE` that become ready together each have a little
//! of their core before a worker that becomes ready too: beside 32 streams of cold files of 64 MiB it
//! waited for several of them 135 to 241 times in 2.7 s, for 0.16 to 0.29 ms at the mean.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// What work is fair between: the identifier of a mount.
pub(crate) type Key = u64;

/// A read is in its ramp-up for as long as a disk of 128 MB/s takes for it: a slower disk has many reads
/// at a time.
const RAMP_UP_BYTES_PER_MS: u64 = 128 << 10;

/// Work that waits, by mount, and how many threads each mount has.
#[derive(Debug)]
pub(crate) struct FairQueue<J> {
    threads: usize,
    queue_max: usize,
    /// How many long reads may be in their ramp-up at a time.
    ramp_up_max: usize,
    /// When the ramp-up of reads that have begun ends.
    in_ramp_up: Vec<Instant>,
    /// Mounts with work that waits, in the order of their turns.
    turns: VecDeque<Key>,
    waiting: HashMap<Key, MountJobs<J>>,
    running: HashMap<Key, usize>,
    next_id: JobId,
    queued: usize,
    /// Those of the queued that need a place.
    places_taken: usize,
    /// Those of the queued that are reads.
    queued_reads: usize,
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
    /// What it reads and waits for, in bytes; 0 for other work.
    read_bytes: u64,
}

/// Work that was taken, to be given back when it is [done](FairQueue::finish).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running {
    key: Key,
    ramp_up_end: Option<Instant>,
}

impl<J> FairQueue<J> {
    /// A queue for so many threads, with `queue_max` places. At most `ramp_up_max` reads begin together.
    pub(crate) fn new(threads: usize, queue_max: usize, ramp_up_max: usize) -> Self {
        Self {
            threads,
            queue_max,
            ramp_up_max,
            in_ramp_up: Vec::new(),
            turns: VecDeque::new(),
            waiting: HashMap::new(),
            running: HashMap::new(),
            next_id: 0,
            queued: 0,
            places_taken: 0,
            queued_reads: 0,
        }
    }

    /// Adds a job, or gives it back when it needs a place and its mount may not have another one.
    /// `read_bytes` is what it reads and waits for, or 0.
    pub(crate) fn push(
        &mut self,
        key: Key,
        job: J,
        place: Place,
        read_bytes: u64,
    ) -> Result<JobId, J> {
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
        self.queued_reads += usize::from(read_bytes > 0);
        let waiting = Waiting {
            job,
            place,
            read_bytes,
        };
        mount.jobs.insert(id, waiting);
        Ok(id)
    }

    /// Takes a job out before its turn. `None` when it has had its turn.
    pub(crate) fn remove(&mut self, key: Key, id: JobId) -> Option<J> {
        Some(self.take(key, id)?.job)
    }

    /// Takes the job whose turn it is, among those of mounts that may have another thread. Other work
    /// passes reads that have to wait.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Running, J)> {
        let may_read = self.reads_allowed(now) > 0;
        let is_runnable = |waiting: &Waiting<J>| may_read || waiting.read_bytes == 0;
        let (turn, key, id) = self.turns.iter().enumerate().find_map(|(turn, key)| {
            let mount = self.waiting.get(key).filter(|_| self.may_run(*key))?;
            let mut jobs = mount.jobs.iter();
            let (id, _) = jobs.find(|(_, waiting)| is_runnable(waiting))?;
            Some((turn, *key, *id))
        })?;
        // The next turn of this mount comes after those of all others.
        self.turns.remove(turn);
        self.turns.push_back(key);
        let Waiting {
            job, read_bytes, ..
        } = self.take(key, id)?;
        *self.running.entry(key).or_default() += 1;
        let ramp_up_end = (read_bytes > 0).then(|| {
            let until = now + Duration::from_micros(read_bytes * 1000 / RAMP_UP_BYTES_PER_MS);
            self.in_ramp_up.push(until);
            until
        });
        Some((Running { key, ramp_up_end }, job))
    }

    fn take(&mut self, key: Key, id: JobId) -> Option<Waiting<J>> {
        let mount = self.waiting.get_mut(&key)?;
        let waiting = mount.jobs.remove(&id)?;
        let needed = usize::from(waiting.place == Place::Needed);
        mount.places_taken -= needed;
        self.places_taken -= needed;
        self.queued -= 1;
        self.queued_reads -= usize::from(waiting.read_bytes > 0);
        if mount.jobs.is_empty() {
            self.waiting.remove(&key);
            self.turns.retain(|turn| *turn != key);
        }
        Some(waiting)
    }

    /// A job has ended.
    pub(crate) fn finish(&mut self, Running { key, ramp_up_end }: Running) {
        if let Some(count) = self.running.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&key);
            }
        }
        let place = self
            .in_ramp_up
            .iter()
            .position(|at| Some(*at) == ramp_up_end);
        if let Some(place) = place {
            self.in_ramp_up.swap_remove(place);
        }
    }

    /// Jobs that wait.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Jobs that could begin now.
    pub(crate) fn runnable(&mut self, now: Instant) -> usize {
        let reads = self.queued_reads.min(self.reads_allowed(now));
        self.queued - self.queued_reads + reads
    }

    /// For how long reads are throttled, if some are: until a ramp-up ends.
    pub(crate) fn throttled_for(&mut self, now: Instant) -> Option<Duration> {
        if self.queued_reads <= self.reads_allowed(now) {
            return None;
        }
        self.in_ramp_up.iter().min().map(|until| *until - now)
    }

    /// How many reads may begin.
    fn reads_allowed(&mut self, now: Instant) -> usize {
        self.in_ramp_up.retain(|until| *until > now);
        self.ramp_up_max.saturating_sub(self.in_ramp_up.len())
    }

    /// Takes all that waits.
    pub(crate) fn take_all(&mut self) -> Vec<J> {
        self.turns.clear();
        (self.queued, self.places_taken, self.queued_reads) = (0, 0, 0);
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
        let now = Instant::now();
        let pop = || queue.pop(now).map(|(running, job)| (running.key, job));
        std::iter::from_fn(pop).collect()
    }

    /// The end of a job that is no read.
    fn finish<J>(queue: &mut FairQueue<J>, key: Key) {
        let ramp_up_end = None;
        queue.finish(Running { key, ramp_up_end });
    }

    #[test]
    fn mounts_take_turns_and_each_keeps_its_order() {
        let mut queue = FairQueue::new(64, 100, 1);
        for job in 0..4 {
            queue.push(1, job, Place::Needed, 0).expect("room");
        }
        for job in 10..12 {
            queue.push(2, job, Place::Needed, 0).expect("room");
        }
        let order = popped(&mut queue);
        assert_eq!(order, [(1, 0), (2, 10), (1, 1), (2, 11), (1, 2), (1, 3)]);
        assert_eq!(queue.queued(), 0);
    }

    #[test]
    fn no_number_of_hung_mounts_takes_the_last_thread_of_one_that_has_none() {
        let mut queue = FairQueue::new(16, 1000, 1);
        let mut held = Vec::new();
        for mount in 1..=4 {
            for job in 0..50 {
                queue.push(mount, job, Place::Needed, 0).expect("room");
            }
            // None of them ever ends.
            held.push(popped(&mut queue).len());
        }
        assert_eq!(held, [8, 4, 2, 1]);
        queue.push(9, 0, Place::Needed, 0).expect("room");
        assert_eq!(popped(&mut queue), [(9, 0)]);
        // What is given back is given on, to those whose turn it is.
        finish(&mut queue, 9);
        queue.push(9, 1, Place::Needed, 0).expect("room");
        assert_eq!(popped(&mut queue), [(9, 1)]);
    }

    #[test]
    fn a_mount_that_is_done_leaves_nothing_behind() {
        let mut queue = FairQueue::new(2, 10, 1);
        for round in 0..5 {
            queue.push(7, round, Place::Needed, 0).expect("room");
            assert_eq!(popped(&mut queue), [(7, round)]);
            finish(&mut queue, 7);
        }
        assert!(queue.running.is_empty() && queue.waiting.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn one_thread_still_serves_everybody() {
        let mut queue = FairQueue::new(1, 10, 1);
        queue.push(1, 'a', Place::Needed, 0).expect("room");
        queue.push(2, 'b', Place::Needed, 0).expect("room");
        assert_eq!(popped(&mut queue), [(1, 'a')]);
        finish(&mut queue, 1);
        assert_eq!(popped(&mut queue), [(2, 'b')]);
    }

    #[test]
    fn the_queue_is_bounded_over_all_mounts() {
        let mut queue = FairQueue::new(1, 3, 1);
        for job in 0..3 {
            queue.push(job, job, Place::Needed, 0).expect("room");
        }
        assert_eq!(queue.push(9, 9, Place::Needed, 0), Err(9));
        assert_eq!(queue.take_all().len(), 3);
        assert_eq!((queue.queued(), popped(&mut queue)), (0, vec![]));
    }

    #[test]
    fn no_number_of_hung_mounts_takes_the_last_place_of_one_that_has_none() {
        let mut queue = FairQueue::new(1, 16, 1);
        let mut push = |key| queue.push(key, key, Place::Needed, 0).ok();
        let taken = [1, 2, 3, 4].map(|mount| {
            let pushed = std::iter::repeat_with(|| push(mount));
            pushed.map_while(|id| id).count()
        });
        assert_eq!(taken, [8, 4, 2, 1]);
        let last = push(9).expect("the last place");
        assert!(push(9).is_none() && push(10).is_none());
        // What needs none is taken all the same, and takes none from others.
        for _ in 0..100 {
            queue.push(1, 1, Place::NotNeeded, 0).expect("no bound");
        }
        assert_eq!(queue.remove(9, last), Some(9));
        queue
            .push(9, 9, Place::Needed, 0)
            .expect("it is free again");
    }

    #[test]
    fn a_job_that_is_taken_out_leaves_nothing_behind() {
        let mut queue = FairQueue::new(1, 10, 1);
        let mut push = |key, job| queue.push(key, job, Place::Needed, 0).expect("room");
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

    #[test]
    fn reads_wait_for_those_in_ramp_up_and_others_do_not() {
        let begun = Instant::now();
        let mut queue = FairQueue::new(16, 100, 2);
        let pop = |queue: &mut FairQueue<char>, ms| queue.pop(begun + Duration::from_millis(ms));
        for read in ['a', 'b', 'c', 'd'] {
            queue
                .push(1, read, Place::Needed, 3 * RAMP_UP_BYTES_PER_MS)
                .expect("room");
        }
        queue.push(1, 'x', Place::Needed, 0).expect("room");
        queue.push(2, 'y', Place::Needed, 0).expect("room");
        let (_hung, job) = pop(&mut queue, 0).expect("a read");
        assert_eq!(job, 'a');
        assert_eq!(queue.runnable(begun), 3);
        let (x, job) = pop(&mut queue, 0).expect("another mount");
        assert_eq!((x.key, job), (2, 'y'));
        let (short, job) = pop(&mut queue, 1).expect("a read");
        assert_eq!(job, 'b');
        // Of more than may begin the rest waits, for the oldest or for an end.
        let now = begun + Duration::from_millis(1);
        assert_eq!(queue.throttled_for(now), Some(Duration::from_millis(2)));
        assert_eq!(queue.runnable(now), 1);
        assert_eq!(pop(&mut queue, 1).expect("other work").1, 'x');
        assert_eq!(pop(&mut queue, 2), None);
        queue.finish(short);
        assert_eq!(pop(&mut queue, 2).expect("its place").1, 'c');
        assert_eq!(pop(&mut queue, 2), None);
        // The first one still reads, from a disk that has others in the meantime.
        assert_eq!(pop(&mut queue, 3).expect("a read").1, 'd');
        assert_eq!(queue.throttled_for(begun), None);
        assert_eq!(queue.queued(), 0);
    }
}
