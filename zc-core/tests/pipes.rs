//! The pool of pipes: bounds, reuse, and what a transfer borrows from it.

mod common;

use std::io::ErrorKind;

use common::{
    Inbox, PORTABLE, advance, assert_only_path, assert_same_bytes, drive, errno_of, file_of,
    patterned, unix_pair,
};
use nix::errno::Errno;
use zc_core::{PipePool, Progress, SendErrorKind, SendMethod, Transfer};

const SMALL: usize = 65_536;

// Lends pipes, which the portable path cannot make; what it says instead is the next test.
#[test]
#[cfg(not(feature = "portable"))]
fn a_pool_has_no_more_pipes_than_it_may() {
    let pool = PipePool::new(2, SMALL);
    assert_eq!((pool.alive(), pool.idle()), (0, 0), "none is made early");
    let first = pool.take().unwrap();
    let second = pool.clone().take().unwrap();
    assert_eq!((pool.alive(), pool.idle()), (2, 0));

    let error = pool.take().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("all 2 pipes"), "{error}");

    drop(first);
    assert_eq!((pool.alive(), pool.idle()), (2, 1));
    let again = pool.take().unwrap();
    assert_eq!((pool.alive(), pool.idle()), (2, 0), "reused, not made");
    drop((second, again));
    assert_eq!((pool.alive(), pool.idle()), (2, 2));

    let error = PipePool::new(0, SMALL).take().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
}

#[test]
#[cfg(feature = "portable")]
fn a_pool_that_can_make_no_pipe_says_so_and_counts_none() {
    for pool in [PipePool::new(2, SMALL), PipePool::default()] {
        // The place of a pipe that was not made is free again, or the third answer would differ.
        for _ in 0..3 {
            let error = pool.take().unwrap_err();
            assert_eq!(errno_of(&error), Errno::ENOSYS);
            assert_eq!((pool.alive(), pool.idle()), (0, 0));
        }
    }
    let error = PipePool::new(0, SMALL).take().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
}

#[test]
fn a_pool_keeps_its_bound_among_threads() {
    let pool = PipePool::new(3, 4096);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let lent = pool.take();
                    assert!(pool.alive() <= 3);
                    match lent {
                        Ok(pipe) => assert_eq!(pipe.pending(), 0),
                        Err(error) if PORTABLE && error.raw_os_error().is_some() => {
                            assert_eq!(errno_of(&error), Errno::ENOSYS);
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::ResourceBusy),
                    }
                }
            });
        }
    });
    assert!(pool.alive() <= 3);
    assert_eq!(pool.alive(), pool.idle());
    assert_eq!(pool.alive() == 0, PORTABLE);
}

// Borrowing from a pool needs pipes; that none is lent on the portable path is the next test.
#[test]
#[cfg(not(feature = "portable"))]
fn a_transfer_keeps_a_pipe_while_bytes_are_in_it_and_no_longer() {
    let bytes = patterned(300_000, 5);
    let file = file_of(&bytes);
    let pool = PipePool::new(1, SMALL);
    let spliced = || {
        let transfer = Transfer::new(&file, 0, 300_000).with_method(SendMethod::Splice);
        transfer.with_pipes(pool.clone())
    };
    let (sender, reader) = unix_pair(Some(1));
    let mut inbox = Inbox::new(reader);
    let mut first = spliced();
    assert_eq!((pool.alive(), pool.idle()), (0, 0), "none is taken early");
    let stopped = advance(&mut first, &sender, u64::MAX).unwrap();
    assert_eq!(stopped, Progress::WouldBlock);
    assert_eq!((pool.alive(), pool.idle()), (1, 0));

    let (other_sender, other_reader) = unix_pair(Some(1));
    let mut other_inbox = Inbox::new(other_reader);
    let mut second = spliced();
    let error = advance(&mut second, &other_sender, u64::MAX).unwrap_err();
    assert_eq!(error.source.kind(), ErrorKind::ResourceBusy);
    assert_eq!((error.sent, error.kind), (0, SendErrorKind::Failed));

    let end = drive(&mut first, &sender, &mut inbox, || u64::MAX);
    assert_eq!(end, Progress::Complete);
    assert_eq!((pool.alive(), pool.idle()), (1, 1), "given back at the end");
    let end = drive(&mut second, &other_sender, &mut other_inbox, || u64::MAX);
    assert_eq!(end, Progress::Complete);
    assert_eq!((pool.alive(), pool.idle()), (1, 1), "and used again");
    for (transfer, sender, inbox) in [(first, sender, inbox), (second, other_sender, other_inbox)] {
        assert_only_path(transfer.report(), SendMethod::Splice, 300_000);
        drop(sender);
        assert_same_bytes(&inbox.finish(), &bytes);
    }
}

#[test]
#[cfg(feature = "portable")]
fn a_transfer_by_splice_is_refused_whatever_its_pool() {
    let file = file_of(b"bytes");
    let (sender, reader) = unix_pair(None);
    let pool = PipePool::new(1, SMALL);
    for _ in 0..2 {
        let transfer = Transfer::new(&file, 0, 5).with_method(SendMethod::Splice);
        let mut transfer = transfer.with_pipes(pool.clone());
        let error = advance(&mut transfer, &sender, u64::MAX).unwrap_err();
        assert_eq!((error.sent, error.kind), (0, SendErrorKind::Refused));
        assert_eq!(errno_of(&error.source), Errno::ENOSYS);
        assert_eq!((pool.alive(), pool.idle()), (0, 0));
    }
    drop(sender);
    assert_same_bytes(&Inbox::new(reader).finish(), b"");
}

#[test]
fn auto_and_copy_leave_a_pool_alone() {
    let bytes = patterned(100_000, 6);
    let file = file_of(&bytes);
    // Even one that lends nothing.
    for pool in [PipePool::new(0, SMALL), PipePool::new(1, SMALL)] {
        for method in [SendMethod::Auto, SendMethod::Copy] {
            let (sender, reader) = unix_pair(None);
            let mut inbox = Inbox::new(reader);
            let transfer = Transfer::new(&file, 0, 100_000).with_method(method);
            let mut transfer = transfer.with_pipes(pool.clone());
            let end = drive(&mut transfer, &sender, &mut inbox, || u64::MAX);
            assert_eq!(end, Progress::Complete);
            assert_only_path(transfer.report(), method, 100_000);
            assert_eq!((pool.alive(), pool.idle()), (0, 0));
            drop(sender);
            assert_same_bytes(&inbox.finish(), &bytes);
        }
    }
}

// The sizes of pipes are the kernel's matter, and the portable path has no pipes.
#[test]
#[cfg(not(feature = "portable"))]
fn sizes_are_those_asked_for_where_the_kernel_allows() {
    let pipe = PipePool::new(1, 4096).take().unwrap();
    assert_eq!(pipe.capacity(), 4096);
    let pipe = PipePool::new(1, 100_000).take().unwrap();
    assert!(pipe.capacity().is_power_of_two(), "rounded by the kernel");
    let pool = PipePool::default();
    let pipe = pool.take().unwrap();
    if pipe.capacity() != zc_core::PIPE_BYTES_DEFAULT as u64 {
        println!("the kernel gave {} bytes only", pipe.capacity());
    }
    assert!(pipe.capacity() >= 4096);
}
