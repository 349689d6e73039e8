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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use nix::sys::stat::{fstat, major, minor};
use zc_core::{PREFETCH_BYTES, Residency};

/// What counts as one read, in bytes, where the device does not tell how long a request may be.
const READ_BYTES_DEFAULT: u64 = 256 << 10;

/// The part of a device's queue that reads may take while workers probe: a quarter.
const QUEUE_SHARE: u64 = 4;
/// How many reads that is where the device does not tell the length of its queue.
const READS_MAX_DEFAULT: u64 = 32;
/// The most, however long the queue is.
const READS_MAX: u64 = 256;

/// A device that takes longer than this for a short read answers late.
const LATE: Duration = Duration::from_millis(50);
/// A longer read may take its time, and a thread that makes it may wait for a core.
const SHORT_BYTES: u64 = PREFETCH_BYTES;
/// For how long the gate stays closed after a late answer.
const LATE_FOR_MS: u64 = 1_000;
/// When abandoned reads are taken for over, if none is awaited: a device that hangs has some that are.
const ABANDONED_FOR_MS: u64 = 10_000;

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
    /// What counts as one read, in bytes: the longest request of the device.
    read_bytes: u64,
    // Times are in milliseconds of `now_ms`.
    /// When the last read was abandoned.
    abandoned_ms: AtomicU64,
    /// Until when the gate is closed because a short read took longer than [`LATE`].
    late_until_ms: AtomicU64,
    /// When the first of the awaited reads began, or the last one ended that is over.
    moved_ms: AtomicU64,
}

impl Default for ReadGate {
    fn default() -> Self {
        Self {
            awaited: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            reads_max: READS_MAX_DEFAULT,
            read_bytes: READ_BYTES_DEFAULT,
            abandoned_ms: AtomicU64::new(0),
            late_until_ms: AtomicU64::new(0),
            moved_ms: AtomicU64::new(0),
        }
    }
}

impl ReadGate {
    /// The gate of the mount that `file` is on.
    pub(crate) fn of_device(file: impl AsFd) -> Self {
        let device = fstat(file).ok().map(|stat| stat.st_dev);
        let told = |name| device.and_then(|device| queue_setting(device, name));
        Self {
            reads_max: told("nr_requests").map_or(READS_MAX_DEFAULT, |places| {
                (places / QUEUE_SHARE).clamp(1, READS_MAX)
            }),
            read_bytes: told("max_sectors_kb").map_or(READ_BYTES_DEFAULT, |kib| kib.max(4) << 10),
            ..Self::default()
        }
    }

    /// Whether a worker may begin another read.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open_at(now_ms)
    }

    /// The same by another clock, which is not read while no read is under way and none was late.
    fn is_open_at(&self, now_ms: impl Fn() -> u64) -> bool {
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let (awaited, abandoned) = (load(&self.awaited), load(&self.abandoned));
        let late_until_ms = load(&self.late_until_ms);
        if awaited + abandoned + late_until_ms == 0 {
            return true;
        }
        let now_ms = now_ms();
        if late_until_ms > 0 && now_ms >= late_until_ms {
            self.late_until_ms.store(0, Ordering::Relaxed);
        }
        let since = |value: &AtomicU64| now_ms.saturating_sub(load(value));
        let is_forgotten = awaited == 0 && since(&self.abandoned_ms) > ABANDONED_FOR_MS;
        if abandoned > 0 && is_forgotten {
            self.abandoned.store(0, Ordering::Relaxed);
        }
        let under_way = awaited + if is_forgotten { 0 } else { abandoned };
        // Of those that are awaited, none has ended for a while.
        let stands_still = awaited > 0 && u128::from(since(&self.moved_ms)) > LATE.as_millis();
        under_way < self.reads_max && now_ms >= late_until_ms && !stands_still
    }

    /// Whether a worker may probe `range` of `file`: the gate is open, or there is nothing to be read.
    pub(crate) fn lets_probe(&self, file: impl AsFd, range: Range<u64>) -> bool {
        self.is_open() || Residency::probe_whole(file, range) == Residency::Hot
    }

    /// A read of `bytes` is under way, until what is returned is [over](AwaitedRead::over).
    pub(crate) fn begin(self: &Arc<Self>, bytes: u64) -> AwaitedRead {
        let reads = bytes.div_ceil(self.read_bytes).max(1);
        if self.awaited.fetch_add(reads, Ordering::Relaxed) == 0 {
            self.moved_ms.store(now_ms(), Ordering::Relaxed);
        }
        AwaitedRead {
            gate: Arc::clone(self),
            reads,
            began: (bytes <= SHORT_BYTES).then(Instant::now),
        }
    }
}

/// A read that is under way, or is about to be. Dropped before it is [over](Self::over), it counts as
/// abandoned.
#[derive(Debug)]
pub(crate) struct AwaitedRead {
    gate: Arc<ReadGate>,
    reads: u64,
    /// When it began, if it is short.
    began: Option<Instant>,
}

impl AwaitedRead {
    /// The device has answered.
    pub(crate) fn over(mut self) {
        let gate = &self.gate;
        let now_ms = now_ms();
        if self.began.is_some_and(|began| began.elapsed() > LATE) {
            gate.late_until_ms
                .store(now_ms + LATE_FOR_MS, Ordering::Relaxed);
        }
        gate.moved_ms.store(now_ms, Ordering::Relaxed);
        gate.abandoned.store(0, Ordering::Relaxed);
        gate.awaited.fetch_sub(self.reads, Ordering::Relaxed);
        self.reads = 0;
    }
}

impl Drop for AwaitedRead {
    fn drop(&mut self) {
        if self.reads > 0 {
            self.gate.abandoned_ms.store(now_ms(), Ordering::Relaxed);
            self.gate.awaited.fetch_sub(self.reads, Ordering::Relaxed);
            self.gate.abandoned.fetch_add(self.reads, Ordering::Relaxed);
        }
    }
}

/// Milliseconds of a clock that begins with the first call.
fn now_ms() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A number that the request queue of a block device is set to; `None` for what is no block device. See
/// [queue-sysfs](https://docs.kernel.org/block/queue-sysfs.html).
fn queue_setting(device: u64, name: &str) -> Option<u64> {
    let device = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    // The queue of a partition is that of its disk.
    ["queue", "../queue"].iter().find_map(|queue| {
        let told = fs::read_to_string(format!("{device}/{queue}/{name}"));
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
        let large = gate.begin(8 * gate.read_bytes);
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
    fn abandoned_reads_are_forgotten_in_time_unless_one_is_awaited() {
        let gate = gate(3);
        for _ in 0..3 {
            drop(gate.begin(1));
        }
        let later = || now_ms() + 2 * ABANDONED_FOR_MS;
        let awaited = gate.begin(1);
        assert!(!gate.is_open_at(later));
        awaited.over();
        for _ in 0..3 {
            drop(gate.begin(1));
        }
        assert!(!gate.is_open());
        assert!(gate.is_open_at(later));
        assert!(gate.is_open());
    }

    #[test]
    fn a_late_answer_closes_it_for_a_while() {
        let gate = gate(9);
        let mut late = gate.begin(1);
        late.began = Instant::now().checked_sub(2 * LATE);
        late.over();
        assert!(!gate.is_open());
        assert!(gate.is_open_at(|| now_ms() + 2 * LATE_FOR_MS));
        assert!(gate.is_open());
    }

    #[test]
    fn a_read_that_does_not_end_closes_it() {
        let gate = gate(9);
        let read = gate.begin(1);
        assert!(!gate.is_open_at(|| now_ms() + 1_000));
        read.over();
        assert!(gate.is_open_at(|| now_ms() + 1_000));
    }

    #[test]
    fn a_closed_gate_lets_files_in_memory_pass() {
        let gate = gate(1);
        let _under_way = gate.begin(1);
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
