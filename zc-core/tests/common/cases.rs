//! Generated cases: how they are run, and the parts that they are made of.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use zc_core::{Progress, SourceTruncated};

use super::{pipe_pair, tcp_pair, unix_pair};

/// The largest file of a generated case, in bytes: more than any buffer of [`sndbuf`] holds.
pub const SIZE_MAX: u64 = 300_000;

/// Longer than any test: it is there for what it does to signals, see `interrupted.rs`.
pub const IO_TIMEOUT: Duration = Duration::from_secs(600);

/// Runs `test` on so many generated `cases`, or on as many as `PROPTEST_CASES` says in the
/// environment. A failure shows the smallest input found that still fails.
#[track_caller]
pub fn check<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value)) {
    let mut config = Config {
        failure_persistence: None,
        // A case that hangs takes a minute to fail: the first smaller one is small enough.
        max_shrink_time: 30_000,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let outcome = TestRunner::new(config).run(strategy, |case| {
        test(case);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// What is promised of a file of `size` bytes.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    pub size: u64,
    pub offset: u64,
    pub length: u64,
}

impl Promise {
    /// How many of the promised bytes there are.
    pub fn available(&self) -> u64 {
        self.length.min(self.size.saturating_sub(self.offset))
    }

    /// How the slowest and most obvious program would end.
    pub fn end(&self) -> Progress {
        let available = self.available();
        if available == self.length {
            return Progress::Complete;
        }
        Progress::SourceTruncated(SourceTruncated {
            offset: self.offset + available,
            missing: self.length - available,
        })
    }

    /// The bytes that it would have moved, of a file with these.
    pub fn bytes<'b>(&self, contents: &'b [u8]) -> &'b [u8] {
        let from = (self.offset as usize).min(contents.len());
        &contents[from..from + self.available() as usize]
    }
}

/// Sizes in bytes: often at an edge of a page or of a buffer.
pub fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..=2_u64,
        near(4096),
        near(65_536),
        near(131_072),
        0..=SIZE_MAX,
        large(),
    ]
}

/// Sizes of which little fits the buffers, so that a sender has to wait.
pub fn large() -> impl Strategy<Value = u64> {
    SIZE_MAX / 2..=SIZE_MAX
}

fn near(edge: u64) -> impl Strategy<Value = u64> {
    edge - 1..=edge + 1
}

/// Promises that a file of such a `size` keeps.
pub fn kept(size: impl Strategy<Value = u64>) -> impl Strategy<Value = Promise> {
    let length = prop_oneof![Just(None), any::<Index>().prop_map(Some)];
    (size, any::<Index>(), length).prop_map(|(size, offset, length)| {
        let offset = offset.index(size as usize + 1) as u64;
        let rest = size - offset;
        let length = length.map_or(rest, |length| length.index(rest as usize + 1) as u64);
        Promise {
            size,
            offset,
            length,
        }
    })
}

/// Promises of more than there is in a file of such a `size`, as when somebody cut it.
pub fn broken(size: impl Strategy<Value = u64>) -> impl Strategy<Value = Promise> {
    let missing = prop_oneof![Just(1), 1..100_000_u64, Just(1 << 40)];
    (size, any::<Index>(), missing).prop_map(|(size, offset, missing)| {
        // Two bytes beyond the end at most.
        let offset = offset.index(size as usize + 3) as u64;
        Promise {
            size,
            offset,
            length: size.saturating_sub(offset) + missing,
        }
    })
}

/// What each call may move, over and over.
pub fn budgets() -> impl Strategy<Value = Vec<u64>> {
    let budget = prop_oneof![
        Just(u64::MAX),
        Just(0),
        1..10_u64,
        near(4096),
        near(65_536),
        1..70_000_u64,
    ];
    prop::collection::vec(budget, 0..6)
}

/// These budgets in a cycle that moves `bytes` in some hundred calls, however small they are.
pub fn cycle_of(budgets: &[u64], bytes: u64) -> impl FnMut() -> u64 + use<> {
    let mut budgets = budgets.to_vec();
    budgets.push(bytes / 40 + 1);
    let mut next = (0..budgets.len()).cycle();
    move || budgets[next.next().unwrap()]
}

/// Send buffers in bytes: the smallest there is, and others.
pub fn sndbuf() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1), 4096..65_536_usize, Just(256 * 1024)]
}

/// What bytes are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    File,
    Pipe,
    Unix,
    Tcp,
}

pub fn sink() -> impl Strategy<Value = Sink> {
    select(vec![Sink::File, Sink::Pipe, Sink::Unix, Sink::Tcp])
}

impl Sink {
    /// A sink of this kind and a nonblocking reader of what is written to it. One that `waits`
    /// blocks, for so long that a signal interrupts its calls (see `interrupted.rs`).
    pub fn open(self, sndbuf: usize, waits: bool) -> (File, File) {
        match self {
            Self::File => {
                let named = tempfile::NamedTempFile::new().unwrap();
                let reader = named.reopen().unwrap();
                (named.into_file(), reader)
            }
            Self::Pipe => {
                let (writer, reader) = pipe_pair();
                if cfg!(target_os = "linux") {
                    // Rounded up to whole pages.
                    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(sndbuf as i32)).unwrap();
                }
                if waits {
                    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
                }
                (writer, reader)
            }
            Self::Unix => {
                let (sender, reader) = unix_pair(Some(sndbuf));
                sender.set_nonblocking(!waits).unwrap();
                sender.set_write_timeout(Some(IO_TIMEOUT)).unwrap();
                (file_from(sender), file_from(reader))
            }
            Self::Tcp => {
                let (sender, reader) = tcp_pair(Some(sndbuf), Some(16 * 1024));
                sender.set_nonblocking(!waits).unwrap();
                sender.set_write_timeout(Some(IO_TIMEOUT)).unwrap();
                (file_from(sender), file_from(reader))
            }
        }
    }
}

/// A descriptor under one type, whatever it is.
pub fn file_from(descriptor: impl Into<OwnedFd>) -> File {
    File::from(descriptor.into())
}

/// When signals come: the thread that moves bytes is hit by so many in each round, and after each
/// round its peer goes on.
#[derive(Debug, Clone)]
pub struct Interruptions {
    pub rounds: Vec<u8>,
    /// Each signal waits until the thread sleeps in a call; otherwise they come at once.
    pub asleep: bool,
}

pub fn interruptions() -> impl Strategy<Value = Interruptions> {
    // Two signals in a row make the second one find a call that has moved nothing yet.
    (prop::collection::vec(1..4_u8, 1..6), any::<bool>())
        .prop_map(|(rounds, asleep)| Interruptions { rounds, asleep })
}
