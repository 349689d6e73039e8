//! A bound on the reads of one mount that are under way, so that no worker waits for its device.
//!
//! A probe of a cold file begins a read, and a read takes a place in the request queue of the device. Where
//! all places are taken, the caller waits for one in the middle of the probe, whatever its flags say. So
//! reads are counted. While few are under way the gate is open, and workers probe. While it is closed,
//! they [look](zc_core::Residency::peek) first, which begins no read, and leave all that is absent to threads.

use std::fs;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// How many reads of a mount are under way.
#[derive(Debug)]
pub(crate) struct ReadGate {
    /// Reads that somebody waits for.
    awaited: AtomicU64,
    /// Reads that were begun and are awaited by nobody. Nothing tells when one is over, but the next awaited
    /// one that is shows that the device works through its queue: then they are forgotten.
    abandoned: AtomicU64,
    /// The gate is open below this number.
    reads_max: u64,
}

impl Default for ReadGate {
    fn default() -> Self {
        Self {
            awaited: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            reads_max: READS_MAX_DEFAULT,
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
        awaited + self.abandoned.load(Ordering::Relaxed) < self.reads_max
    }

    /// Whether a worker may probe `range` of `file`: the gate is open, or there is nothing to be read.
    pub(crate) fn lets_probe(&self, file: impl AsFd, range: Range<u64>) -> bool {
        self.is_open() || Residency::peek(file, range) == Residency::Hot
    }

    /// A read of `bytes` is under way, until what is returned is [over](AwaitedRead::over).
    pub(crate) fn begin(self: &Arc<Self>, bytes: u64) -> AwaitedRead {
        let reads = bytes.div_ceil(READ_BYTES).max(1);
        self.awaited.fetch_add(reads, Ordering::Relaxed);
        AwaitedRead {
            gate: Arc::clone(self),
            reads,
        }
    }
}

/// A read that is under way, or is about to be. Dropped before it is [over](Self::over), it counts as
/// abandoned.
#[derive(Debug)]
pub(crate) struct AwaitedRead {
    gate: Arc<ReadGate>,
    reads: u64,
}

impl AwaitedRead {
    /// The device has answered.
    pub(crate) fn over(mut self) {
        self.gate.abandoned.store(0, Ordering::Relaxed);
        self.gate.awaited.fetch_sub(self.reads, Ordering::Relaxed);
        self.reads = 0;
    }
}

impl Drop for AwaitedRead {
    fn drop(&mut self) {
        self.gate.awaited.fetch_sub(self.reads, Ordering::Relaxed);
        self.gate.abandoned.fetch_add(self.reads, Ordering::Relaxed);
    }
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
    fn a_closed_gate_lets_files_in_memory_pass() {
        let gate = gate(0);
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).expect("a file");
        file.set_len(1 << 20).expect("a sparse file");
        assert!(!gate.lets_probe(&file, 0..1 << 20));
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 8192], 0).expect("room");
        if Residency::peek(&file, 0..8192) == Residency::Unknown {
            println!("the kernel is older than Linux 6.5: nothing to test");
            return;
        }
        assert!(gate.lets_probe(&file, 0..8192));
        assert!(!gate.lets_probe(&file, 4096..16384));
    }
}
