//! The state of a file, and whether a later change is sure to give it another one.

use std::io;
use std::os::fd::AsFd;

use nix::sys::stat::{FileStat, fstat};
use rustix::time::{ClockId, clock_gettime};

pub(crate) const NS_PER_SECOND: i128 = 1_000_000_000;
/// How old the time of a local file must be before another write is sure to give it another time,
/// in nanoseconds: two ticks of the kernel's coarse clock, which times of files are taken from and which
/// ticks every 10 ms at most (`CONFIG_HZ=100`). A write call sets the time before it copies its bytes,
/// and is over by then unless it is long or was interrupted.
const GRAIN_NS: i128 = 20_000_000;
/// The same where times are whole seconds (FAT counts in steps of two), or are taken from the clock
/// of another machine.
const COARSE_GRAIN_NS: i128 = 2 * NS_PER_SECOND;

/// The state of a file, from `fstat(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileState {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) length: u64,
    /// Modification time of the bytes, which the writer may set; nanoseconds since 1970.
    pub(crate) mtime_ns: i128,
    /// Time of the last change of bytes or metadata, which the kernel sets; nanoseconds since 1970.
    pub(crate) ctime_ns: i128,
}

/// The clock that the times of a file come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The clock of this kernel.
    Ours,
    /// The clock of a file server, or of another program.
    Another,
}

/// Whether changes after the state was read are sure to change its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stability {
    /// Both times are in the past: any change gives it other ones.
    Settled,
    /// Its metadata changed a moment ago and its bytes did not: another write gives it another
    /// `mtime`, unless somebody sets that back.
    Touched,
    /// Its bytes were written in this second: another write gives it another `mtime`, which may be the
    /// same in whole seconds.
    ThisSecond,
    /// Its bytes were written a moment ago: another write may leave it the same times.
    Written,
}

impl FileState {
    /// The state of an open file.
    pub(crate) fn from_file(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::from(&fstat(file)?))
    }

    pub(crate) fn mtime_seconds(&self) -> i64 {
        // Seconds since 1970 fitted 64 bits when the kernel told them.
        i64::try_from(self.mtime_ns.div_euclid(NS_PER_SECOND)).unwrap_or(i64::MAX)
    }

    /// What the modification time has beside whole seconds, in nanoseconds.
    pub(crate) fn mtime_subsecond_ns(&self) -> u32 {
        // Less than a second.
        self.mtime_ns.rem_euclid(NS_PER_SECOND) as u32
    }

    /// Whether this file, which was made of `original`, is not older than it. Compressors give their result
    /// the time of the original, and some (`brotli`) in whole seconds.
    pub(crate) fn is_as_new_as(&self, original: &Self) -> bool {
        self.mtime_ns >= original.mtime_ns || self.has_time_of(original)
    }

    /// Whether it has the time of `original`, at least in whole seconds.
    pub(crate) fn has_time_of(&self, original: &Self) -> bool {
        let whole_second = original.mtime_ns - original.mtime_ns.rem_euclid(NS_PER_SECOND);
        [original.mtime_ns, whole_second].contains(&self.mtime_ns)
    }

    /// The stability of a state that was read at `now_ns` or later, by [`coarse_now_ns`].
    pub(crate) fn stability(&self, now_ns: i128, clock: Clock) -> Stability {
        let is_past = |time_ns: i128| {
            let grain_ns = match clock {
                Clock::Ours if time_ns.rem_euclid(NS_PER_SECOND) != 0 => GRAIN_NS,
                Clock::Ours | Clock::Another => COARSE_GRAIN_NS,
            };
            // A time far in the future was set by hand, or by another clock.
            (now_ns - time_ns).abs() >= grain_ns
        };
        let second = |time_ns: i128| time_ns.div_euclid(NS_PER_SECOND);
        if !is_past(self.mtime_ns) {
            Stability::Written
        } else if second(self.mtime_ns) == second(now_ns) {
            Stability::ThisSecond
        } else if !is_past(self.ctime_ns) {
            Stability::Touched
        } else {
            Stability::Settled
        }
    }
}

/// The clock that the kernel takes the times of files from (`CLOCK_REALTIME_COARSE`,
/// `clock_gettime(2)`), in nanoseconds since 1970.
pub(crate) fn coarse_now_ns() -> i128 {
    let time = clock_gettime(ClockId::RealtimeCoarse);
    ns(time.tv_sec, time.tv_nsec)
}

impl From<&FileStat> for FileState {
    fn from(stat: &FileStat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            length: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: ns(stat.st_mtime, stat.st_mtime_nsec),
            ctime_ns: ns(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

fn ns(seconds: i64, ns: i64) -> i128 {
    i128::from(seconds) * NS_PER_SECOND + i128::from(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_NS: i128 = 1_700_000_000 * NS_PER_SECOND + 500_000_123;
    const MS: i128 = 1_000_000;

    fn state(mtime_ns: i128, ctime_ns: i128) -> FileState {
        FileState {
            device: 1,
            inode: 2,
            length: 3,
            mtime_ns,
            ctime_ns,
        }
    }

    #[test]
    fn a_time_settles_when_the_clock_that_gave_it_has_moved_on() {
        let long_ago = NOW_NS - 1_000_000 * NS_PER_SECOND;
        let whole_second = NOW_NS - NOW_NS % NS_PER_SECOND;
        use Stability::{Settled, ThisSecond, Written};
        for (mtime_ns, clock, expected) in [
            (NOW_NS, Clock::Ours, Written),
            (NOW_NS - 19 * MS, Clock::Ours, Written),
            (NOW_NS - 20 * MS, Clock::Ours, ThisSecond),
            (whole_second + 1, Clock::Ours, ThisSecond),
            (whole_second - 1, Clock::Ours, Settled),
            // A fine-grained time may be ahead of the coarse clock by a tick.
            (NOW_NS + 10 * MS, Clock::Ours, Written),
            (NOW_NS + 20 * MS, Clock::Ours, ThisSecond),
            (NOW_NS + NS_PER_SECOND, Clock::Ours, Settled),
            (whole_second, Clock::Ours, Written),
            (whole_second - NS_PER_SECOND, Clock::Ours, Written),
            (whole_second - 2 * NS_PER_SECOND, Clock::Ours, Settled),
            (whole_second + NS_PER_SECOND, Clock::Ours, Written),
            (NOW_NS - 100 * MS, Clock::Another, Written),
            (NOW_NS + 100 * MS, Clock::Another, Written),
            (NOW_NS - 2001 * MS, Clock::Another, Settled),
        ] {
            let found = state(mtime_ns, long_ago).stability(NOW_NS, clock);
            assert_eq!(found, expected, "{} ns ago, {clock:?}", NOW_NS - mtime_ns);
        }
    }

    #[test]
    fn what_was_made_of_a_file_is_as_new_even_in_whole_seconds() {
        let second = 1_600_000_000 * NS_PER_SECOND;
        let original = state(second + 5, 0);
        for (mtime_ns, is_as_new, has_time) in [
            (second + 5, true, true),
            (second, true, true),
            (second + 4, false, false),
            (second - 1, false, false),
            (second + 6, true, false),
        ] {
            let made = state(mtime_ns, 0);
            assert_eq!(made.is_as_new_as(&original), is_as_new, "{mtime_ns}");
            assert_eq!(made.has_time_of(&original), has_time, "{mtime_ns}");
        }
    }

    #[test]
    fn metadata_that_changes_leaves_the_bytes_as_they_are() {
        let long_ago = NOW_NS - 1_000_000 * NS_PER_SECOND;
        let touched = state(long_ago, NOW_NS - MS);
        assert_eq!(touched.stability(NOW_NS, Clock::Ours), Stability::Touched);
        let written = state(NOW_NS - MS, NOW_NS - MS);
        assert_eq!(written.stability(NOW_NS, Clock::Ours), Stability::Written);
    }

    #[test]
    fn a_file_that_was_just_written_is_not_settled_and_soon_is() {
        let file = tempfile::tempfile().expect("a file");
        std::os::unix::fs::FileExt::write_all_at(&file, b"x", 0).expect("room");
        let now_ns = coarse_now_ns();
        let state = FileState::from_file(&file).expect("open");
        assert_eq!(state.stability(now_ns, Clock::Ours), Stability::Written);
        let hang_ns = now_ns + 30 * NS_PER_SECOND;
        while state.stability(coarse_now_ns(), Clock::Ours) != Stability::Settled {
            assert!(coarse_now_ns() < hang_ns, "the clock stands still");
            std::thread::yield_now();
        }
    }
}
