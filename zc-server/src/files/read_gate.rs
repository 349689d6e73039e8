//! A bound on the reads of one mount that are under way, so that no worker waits for its device.
//!
//! A probe of a cold file begins a read, and a read takes a place in the request queue of the device. Where
//! all places are taken, the caller waits for one in the middle of the probe, whatever its flags say. A page
//! that is being read is waited for as well, by whoever sends it. So reads are counted, and timed.
//!
//! While few are under way and the device answers promptly, the gate is open: workers probe both ends of a
//! window. While it is closed, they look at the [whole](zc_core::Residency::probe_whole) of it, which begins
//! no read, and leave all that is absent to threads.

use std::fs;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use nix::sys::stat::{fstat, major, minor};
use zc_core::Residency;

/// What counts as one read, in bytes: what most devices take in one request.
const READ_BYTES: u64 = 256 << 10;

/// The part of a device's queue that reads may take while workers probe: a quarter.
const QUEUE_SHARE: u64 = 4;
/// How many reads that is where the device does not tell the length of its queue.
const READS_MAX_DEFAULT: u64 = 32;
/// The most, however long the queue is.
const READS_MAX: u64 = 256;

/// A device that takes longer than this for a read answers late.
const LATE: Duration = Duration::from_millis(50);

/// How many reads of a mount are under way, and how long they take.
#[derive(Debug)]
pub(crate) struct ReadGate {
    /// Reads that somebody waits for.
    awaited: AtomicU64,
    /// Reads that were begun and are awaited by nobody. Nothing tells when one is over, but the next awaited
    /// one that is shows that the device works through its queue: then they are forgotten.
    abandoned: AtomicU64,
    /// The gate is open below this number.
    reads_max: u64,
    /// Whether the last read that is over took longer than [`LATE`].
    was_late: AtomicBool,
    /// When the first of the awaited reads began, or the last one ended that is over, in milliseconds of
    /// [`now_ms`].
    moved_ms: AtomicU64,
}

impl Default for ReadGate {
    fn default() -> Self {
        Self {
            awaited: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            reads_max: READS_MAX_DEFAULT,
            was_late: AtomicBool::new(false),
            moved_ms: AtomicU64::new(0),
        }
    }
}

impl ReadGate {
    /// The gate of the mount that `file` is on.
    pub(crate) fn of_device(file: impl AsFd) -> Self {
        let places = fstat(file).ok().and_then(|stat| queue_places(stat.st_dev));
        Self {
            reads_max: places.map_or(READS_MAX_DEFAULT, |places| {
                (places / QUEUE_SHARE).clamp(1, READS_MAX)
            }),
            ..Self::default()
        }
    }

    /// Whether a worker may begin another read.
    pub(crate) fn is_open(&self) -> bool {
        let awaited = self.awaited.load(Ordering::Relaxed);
        let under_way = awaited + self.abandoned.load(Ordering::Relaxed);
        under_way < self.reads_max
            && !self.was_late.load(Ordering::Relaxed)
            && (awaited == 0 || !self.stands_still())
    }

    /// Whether no read has ended for a while, of those that are under way.
    fn stands_still(&self) -> bool {
        let moved_ms = self.moved_ms.load(Ordering::Relaxed);
        u128::from(now_ms().saturating_sub(moved_ms)) > LATE.as_millis()
    }

    /// Whether a worker may probe `range` of `file`: the gate is open, or there is nothing to be read.
    pub(crate) fn lets_probe(&self, file: impl AsFd, range: Range<u64>) -> bool {
        self.is_open() || Residency::probe_whole(file, range) == Residency::Hot
    }

    /// A read of `bytes` is under way, until what is returned is [over](AwaitedRead::over).
    pub(crate) fn begin(self: &Arc<Self>, bytes: u64) -> AwaitedRead {
        let reads = bytes.div_ceil(READ_BYTES).max(1);
        if self.awaited.fetch_add(reads, Ordering::Relaxed) == 0 {
            self.moved_ms.store(now_ms(), Ordering::Relaxed);
        }
        AwaitedRead {
            gate: Arc::clone(self),
            reads,
            began: Instant::now(),
        }
    }
}

/// A read that is under way, or is about to be. Dropped before it is [over](Self::over), it counts as
/// abandoned.
#[derive(Debug)]
pub(crate) struct AwaitedRead {
    gate: Arc<ReadGate>,
    reads: u64,
    began: Instant,
}

impl AwaitedRead {
    /// The device has answered.
    pub(crate) fn over(mut self) {
        let gate = &self.gate;
        let was_late = self.began.elapsed() > LATE;
        gate.was_late.store(was_late, Ordering::Relaxed);
        gate.moved_ms.store(now_ms(), Ordering::Relaxed);
        gate.abandoned.store(0, Ordering::Relaxed);
        gate.awaited.fetch_sub(self.reads, Ordering::Relaxed);
        self.reads = 0;
    }
}

impl Drop for AwaitedRead {
    fn drop(&mut self) {
        self.gate.awaited.fetch_sub(self.reads, Ordering::Relaxed);
        self.gate.abandoned.fetch_add(self.reads, Ordering::Relaxed);
    }
}

/// Milliseconds of a clock that begins with the first call.
fn now_ms() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// How many requests the queue of a block device takes; `None` for what is no block device.
fn queue_places(device: u64) -> Option<u64> {
    let device = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    // The queue of a partition is that of its disk.
    ["queue", "../queue"].iter().find_map(|queue| {
        let told = fs::read_to_string(format!("{device}/{queue}/nr_requests"));
        told.ok()?.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn gate(reads_max: u64) -> Arc<ReadGate> {
        Arc::new(ReadGate {
            reads_max,
            ..ReadGate::default()
        })
    }

    #[test]
    fn the_gate_closes_at_its_bound_and_opens_when_reads_are_over() {
        let gate = gate(9);
        let large = gate.begin(8 * READ_BYTES);
        assert!(gate.is_open());
        let small = gate.begin(1);
        assert!(!gate.is_open());
        large.over();
        assert!(gate.is_open());
        small.over();
        assert_eq!(gate.awaited.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn abandoned_reads_count_until_the_device_answers() {
        let gate = gate(3);
        for _ in 0..3 {
            drop(gate.begin(1));
        }
        assert!(!gate.is_open());
        gate.begin(1).over();
        assert!(gate.is_open());
    }

    #[test]
    fn a_late_answer_closes_it_until_a_prompt_one() {
        let gate = gate(9);
        let mut late = gate.begin(1);
        late.began = late.began.checked_sub(2 * LATE).expect("a clock");
        late.over();
        assert!(!gate.is_open());
        gate.begin(1).over();
        assert!(gate.is_open());
    }

    #[test]
    fn a_closed_gate_lets_files_in_memory_pass() {
        let gate = gate(0);
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).expect("a file");
        file.set_len(1 << 20).expect("a sparse file");
        assert!(!gate.lets_probe(&file, 0..1 << 20));
        file.write_all_at(&[1; 8192], 0).expect("room");
        if Residency::probe_whole(&file, 0..8192) == Residency::Unknown {
            println!("no cachestat(2) or RWF_NOWAIT here: nothing to test");
            return;
        }
        assert!(gate.lets_probe(&file, 0..8192));
        assert!(!gate.lets_probe(&file, 4096..16384));
    }
}
