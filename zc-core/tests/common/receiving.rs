//! What the tests of receiving share: the methods that work here, a drive that checks its
//! bookkeeping at every step, and a sender.

use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::PollFlags;
use zc_core::{PipePool, Progress, Receive, ReceiveError, ReceiveMethod, ReceiveReport, Tally};

use super::{PORTABLE, wait_for, wait_until_writable};

/// The methods that receive here.
pub const RECEIVE_METHODS: &[ReceiveMethod] = if PORTABLE {
    &[ReceiveMethod::Auto, ReceiveMethod::Copy]
} else {
    &[
        ReceiveMethod::Auto,
        ReceiveMethod::Splice,
        ReceiveMethod::Copy,
    ]
};

/// Fails unless all `bytes`, at least one, went as they should by `method`.
#[track_caller]
pub fn assert_path(report: &ReceiveReport, method: ReceiveMethod, bytes: u64) {
    assert_eq!(report.bytes(), bytes);
    let given_up = PORTABLE && method == ReceiveMethod::Auto;
    let errno = given_up.then_some(Errno::ENOSYS as i32);
    assert_eq!(report.fallback_errno, errno);
    if PORTABLE || method == ReceiveMethod::Copy {
        assert_eq!(report.splice, Tally::default());
    } else {
        // A byte that comes just after splice found none is read, as urgent data would be.
        assert!(report.splice.calls > 0);
        assert!(report.splice.bytes > 0 || bytes < 65_536);
    }
}

pub fn pool() -> PipePool {
    PipePool::new(2, 65_536)
}

/// One `advance`, with the bookkeeping checked against what it answered.
#[track_caller]
pub fn advance<F: AsFd>(
    receive: &mut Receive<F>,
    source: impl AsFd,
    budget: u64,
) -> Result<Progress, ReceiveError> {
    let (offset, remaining) = (receive.offset(), receive.remaining());
    let before = *receive.report();
    let unwritten = receive.unwritten();
    let result = receive.advance(source, budget);
    let after = *receive.report();
    let written = after.bytes() - before.bytes();
    assert!(written <= budget);
    assert_eq!(receive.offset(), offset + written);
    assert_eq!(receive.remaining(), remaining - written);
    assert!(receive.unwritten() <= receive.remaining());
    let would_block = matches!(result, Ok(Progress::WouldBlock));
    assert_eq!(
        after.would_blocks,
        before.would_blocks + u64::from(would_block)
    );
    if written > 0 || would_block {
        assert!(after.calls() > before.calls(), "calls are counted");
    }
    match &result {
        Ok(Progress::Complete) => assert_eq!(receive.remaining(), 0),
        Ok(Progress::BudgetSpent) => assert_eq!(written, budget),
        Ok(Progress::WouldBlock) => assert!(receive.remaining() > 0),
        Ok(Progress::SourceTruncated(truncated)) => {
            assert_eq!(truncated.offset, receive.offset());
            assert_eq!(truncated.missing, receive.remaining());
        }
        Ok(other) => panic!("a receive never answers {other:?}"),
        Err(error) => assert_eq!(error.written, written),
    }
    if result.is_ok() {
        let now = receive.unwritten();
        assert!(now <= unwritten, "only a failure leaves bytes between");
    }
    result
}

#[track_caller]
pub fn wait_until_readable(source: impl AsFd) {
    wait_for([(source.as_fd(), PollFlags::POLLIN)]);
}

/// Receives to the end from a nonblocking source, whose peer sends from another thread or has sent.
#[track_caller]
pub fn drive<F: AsFd>(
    receive: &mut Receive<F>,
    source: impl AsFd,
    mut budget: impl FnMut() -> u64,
) -> Progress {
    loop {
        match advance(receive, source.as_fd(), budget()).unwrap() {
            Progress::WouldBlock => wait_until_readable(&source),
            Progress::BudgetSpent => {}
            end => return end,
        }
    }
}

/// Writes all of it to a nonblocking socket, in pieces of these sizes, over and over.
#[track_caller]
pub fn send_in_pieces(mut sender: impl Write + AsFd, bytes: &[u8], pieces: &[usize]) {
    let mut pieces = pieces.iter().cycle();
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = rest.len().min(*pieces.next().unwrap());
        match sender.write(&rest[..piece]) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_until_writable(&sender),
            Err(error) => panic!("the sender failed: {error}"),
        }
    }
}
