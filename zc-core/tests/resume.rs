//! A transfer that is stopped anywhere goes on exactly there.

mod common;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use common::cases::{SIZE_MAX, budgets, check, cycle_of, kept, sink, size, sndbuf};
use common::{
    Inbox, METHODS, advance, assert_only_path, assert_same_bytes, drive, file_of, path_of,
    patterned, pipe_pair, tcp_pair, unix_pair,
};
use proptest::prelude::*;
use proptest::sample::select;
use zc_core::{COPY_BUFFER_BYTES, Progress, Report, SendMethod, SendPath, Transfer};

/// The kernel makes it 4,608 or so: the smallest send buffer there is.
const SMALLEST: Option<usize> = Some(1);

#[test]
fn a_full_socket_is_resumed_where_it_stopped() {
    let bytes = patterned(300_007, 1);
    let file = file_of(&bytes);
    for &method in METHODS {
        let (sender, reader) = tcp_pair(SMALLEST, Some(8 * 1024));
        let mut inbox = Inbox::new(reader);
        let mut transfer = Transfer::new(&file, 3, 300_000).with_method(method);

        // Nothing is read before the sink has refused for the first time.
        let first = advance(&mut transfer, &sender, u64::MAX).unwrap();
        assert_eq!(first, Progress::WouldBlock);
        assert!(transfer.remaining() > 0);
        assert!(transfer.offset() > 3, "what fits is sent");

        let end = drive(&mut transfer, &sender, &mut inbox, || u64::MAX);
        assert_eq!(end, Progress::Complete);
        assert_eq!(transfer.offset(), 300_003);
        let report = *transfer.report();
        assert_only_path(&report, method, 300_000);
        assert!(report.would_blocks > 1);
        assert!(report.short_writes > 0);
        assert!(report.calls() > report.would_blocks);

        drop(sender);
        assert_same_bytes(&inbox.finish(), &bytes[3..300_003]);
    }
}

#[test]
fn a_full_unix_socket_or_pipe_is_resumed_where_it_stopped() {
    let bytes = patterned(500_001, 2);
    let file = file_of(&bytes);
    for &method in METHODS {
        let (sender, reader) = unix_pair(SMALLEST);
        drive_and_compare(&file, &bytes, method, sender, reader);
        let (writer, reader) = pipe_pair();
        drive_and_compare(&file, &bytes, method, writer, reader);
    }
}

fn drive_and_compare(
    file: &File,
    bytes: &[u8],
    method: SendMethod,
    sink: impl AsFd,
    reader: impl Read + AsFd,
) {
    let mut inbox = Inbox::new(reader);
    let mut transfer = Transfer::new(file, 0, bytes.len() as u64).with_method(method);
    let end = drive(&mut transfer, &sink, &mut inbox, || u64::MAX);
    assert_eq!(end, Progress::Complete);
    assert!(transfer.report().would_blocks > 0);
    assert_only_path(transfer.report(), method, bytes.len() as u64);
    drop(sink);
    assert_same_bytes(&inbox.finish(), bytes);
}

#[test]
fn a_file_is_a_sink_too() {
    let bytes = patterned(200_003, 3);
    let file = file_of(&bytes);
    for &method in METHODS {
        let mut sink = tempfile::tempfile().unwrap();
        sink.write_all(b"before").unwrap();
        let mut transfer = Transfer::new(&file, 1, 200_000).with_method(method);
        let progress = advance(&mut transfer, &sink, u64::MAX).unwrap();
        assert_eq!(progress, Progress::Complete);
        assert_only_path(transfer.report(), method, 200_000);

        let mut written = Vec::new();
        sink.seek(SeekFrom::Start(0)).unwrap();
        sink.read_to_end(&mut written).unwrap();
        assert_eq!(&written[..6], b"before");
        assert_same_bytes(&written[6..], &bytes[1..200_001]);
    }
}

/// What happens between two calls of `advance`.
#[derive(Debug, Clone)]
struct Stop {
    budget: u64,
    /// The peer reads what has arrived.
    read: bool,
    /// Another transfer goes on from there, by this method.
    taken_over: Option<SendMethod>,
}

fn stops() -> impl Strategy<Value = Vec<Stop>> {
    let budget = prop_oneof![0..10_u64, 1..70_000_u64, Just(65_536), Just(u64::MAX)];
    let taken_over = proptest::option::of(select(METHODS));
    let stop = (budget, any::<bool>(), taken_over).prop_map(|(budget, read, taken_over)| Stop {
        budget,
        read,
        taken_over,
    });
    proptest::collection::vec(stop, 0..20)
}

#[test]
fn any_sequence_of_budgets_and_of_methods_moves_the_same_bytes() {
    let contents = patterned(SIZE_MAX as usize, 4);
    let strategy = (kept(size()), stops(), sink(), sndbuf(), select(METHODS));
    check(100, &strategy, |(promise, stops, sink, sndbuf, first)| {
        let file = file_of(&contents[..promise.size as usize]);
        let (writer, reader) = sink.open(sndbuf, false);
        let mut inbox = Inbox::new(reader);
        let mut transfer = Transfer::new(&file, promise.offset, promise.length).with_method(first);
        let mut reported = 0;
        for stop in stops {
            // That it ends as it says, and spends the budget to the byte, is checked in there.
            let _ = advance(&mut transfer, &writer, stop.budget).unwrap();
            if stop.read {
                inbox.drain();
            }
            if let Some(method) = stop.taken_over {
                // What the first has in hand is lost with it, and the file still has it.
                reported += transfer.report().bytes();
                transfer = Transfer::new(&file, transfer.offset(), transfer.remaining())
                    .with_method(method);
            }
        }
        let end = drive(&mut transfer, &writer, &mut inbox, || u64::MAX);
        assert_eq!(end, Progress::Complete);
        assert_eq!(transfer.offset(), promise.offset + promise.length);
        reported += transfer.report().bytes();
        assert_eq!(reported, promise.length);
        drop(writer);
        assert_same_bytes(&inbox.finish(), promise.bytes(&contents));
    });
}

#[test]
fn the_budget_is_spent_to_the_byte_and_never_exceeded() {
    let bytes = patterned(100_000, 5);
    let file = file_of(&bytes);
    for &method in METHODS {
        let mut transfer = Transfer::new(&file, 0, 100_000).with_method(method);
        let sink = tempfile::tempfile().unwrap();
        // A file never refuses, so every one of these calls ends by its budget.
        let mut expected = 0;
        for budget in [0, 1, 7, 4095, 65_536, 1] {
            let progress = advance(&mut transfer, &sink, budget).unwrap();
            assert_eq!(progress, Progress::BudgetSpent);
            expected += budget;
            assert_eq!(transfer.offset(), expected);
            assert_eq!(transfer.remaining(), 100_000 - expected);
        }
        // A budget of exactly what is left completes.
        let progress = advance(&mut transfer, &sink, 100_000 - expected).unwrap();
        assert_eq!(progress, Progress::Complete);
    }
}

#[test]
fn system_calls_are_counted_one_by_one() {
    let file = file_of(&patterned(100, 6));
    let sink = tempfile::tempfile().unwrap();
    for &method in METHODS {
        let mut transfer = Transfer::new(&file, 0, 100).with_method(method);
        for step in 1..=9 {
            let _ = advance(&mut transfer, &sink, 10).unwrap();
            let report = transfer.report();
            match path_of(method) {
                SendPath::Sendfile => assert_eq!(report.sendfile.calls, step),
                // Into the pipe and out of it.
                SendPath::Splice => assert_eq!(report.splice.calls, 2 * step),
                // One pread fills the buffer, whatever the budget; then there is a write a step.
                SendPath::Copy => assert_eq!(report.copy.calls, 1 + step),
                other => panic!("no test knows the calls of {other:?}"),
            }
            assert_only_path(report, method, 10 * step);
        }
        assert_eq!(transfer.report().short_writes, 0);
    }
}

#[test]
fn a_copy_reads_the_source_once_per_buffer() {
    let buffers = 3;
    let bytes = patterned(buffers * COPY_BUFFER_BYTES, 7);
    let file = file_of(&bytes);
    let copying = METHODS
        .iter()
        .filter(|&&method| path_of(method) == SendPath::Copy);
    for &method in copying {
        let sink = tempfile::tempfile().unwrap();
        let mut transfer = Transfer::new(&file, 0, bytes.len() as u64).with_method(method);
        assert_eq!(
            transfer.path() == SendPath::Copy,
            method == SendMethod::Copy
        );
        let progress = advance(&mut transfer, &sink, u64::MAX).unwrap();
        assert_eq!(progress, Progress::Complete);
        assert_eq!(transfer.path(), SendPath::Copy);
        assert_eq!(transfer.report().copy.calls, 2 * buffers as u64);
    }
}

#[test]
fn one_open_file_serves_many_transfers_and_its_position_stays() {
    let bytes = patterned(SIZE_MAX as usize, 8);
    let mut file = file_of(&bytes);
    file.seek(SeekFrom::Start(12_345)).unwrap();
    let file = Arc::new(file);
    let promises = proptest::collection::vec(kept(Just(SIZE_MAX)), 2..9);
    check(10, &(promises, budgets()), |(promises, budgets)| {
        let mut runs: Vec<_> = promises
            .into_iter()
            .enumerate()
            .map(|(index, promise)| {
                let (sender, reader) = unix_pair(Some(16 * 1024));
                let transfer = Transfer::new(Arc::clone(&file), promise.offset, promise.length)
                    .with_method(METHODS[index % METHODS.len()]);
                let budget = cycle_of(&budgets, promise.length);
                (transfer, sender, Inbox::new(reader), budget, promise)
            })
            .collect();

        let mut unfinished = runs.len();
        while unfinished > 0 {
            unfinished = 0;
            for (transfer, sender, inbox, budget, _) in &mut runs {
                match advance(transfer, &*sender, budget()).unwrap() {
                    Progress::Complete => continue,
                    Progress::WouldBlock => inbox.read_until_writable(&*sender),
                    Progress::BudgetSpent => {}
                    end => panic!("{end:?}"),
                }
                unfinished += 1;
            }
        }
        for (transfer, sender, inbox, _, promise) in runs {
            drop((transfer, sender));
            assert_same_bytes(&inbox.finish(), promise.bytes(&bytes));
        }
        assert_eq!((&*file).stream_position().unwrap(), 12_345);
    });
}

#[test]
fn nothing_to_send_is_complete_without_a_system_call() {
    let file = file_of(b"some bytes");
    let (sender, reader) = tcp_pair(None, None);
    for &method in METHODS {
        for offset in [0, 3, 10, 11, u64::MAX] {
            let mut transfer = Transfer::new(&file, offset, 0).with_method(method);
            for budget in [0, 1, u64::MAX] {
                let progress = advance(&mut transfer, &sender, budget).unwrap();
                assert_eq!(progress, Progress::Complete);
            }
            assert_eq!(*transfer.report(), Report::default());
        }
    }
    drop(sender);
    assert_same_bytes(&Inbox::new(reader).finish(), b"");
}

#[test]
fn advancing_after_the_end_sends_nothing_more() {
    let bytes = patterned(1000, 9);
    let file = file_of(&bytes);
    for &method in METHODS {
        let (sender, reader) = tcp_pair(None, None);
        let mut transfer = Transfer::new(&file, 100, 500).with_method(method);
        assert_eq!(
            advance(&mut transfer, &sender, u64::MAX).unwrap(),
            Progress::Complete
        );
        let report = *transfer.report();
        for budget in [0, 1, u64::MAX] {
            assert_eq!(
                advance(&mut transfer, &sender, budget).unwrap(),
                Progress::Complete
            );
        }
        assert_eq!(*transfer.report(), report);
        drop(sender);
        assert_same_bytes(&Inbox::new(reader).finish(), &bytes[100..600]);
    }
}

#[test]
fn offsets_beyond_four_gibibytes_are_kept_whole() {
    const OFFSET: u64 = (1 << 32) + 123_457;
    const LENGTH: usize = 200_000;
    let bytes = patterned(LENGTH, 10);
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&bytes, OFFSET).unwrap();
    // Other bytes where an offset cut to 32 bits would look.
    file.write_all_at(&patterned(LENGTH, 11), OFFSET & 0xffff_ffff)
        .unwrap();

    for &method in METHODS {
        let (sender, reader) = tcp_pair(Some(32 * 1024), None);
        let mut inbox = Inbox::new(reader);
        let mut transfer = Transfer::new(&file, OFFSET, LENGTH as u64).with_method(method);
        let end = drive(&mut transfer, &sender, &mut inbox, || 65_537);
        assert_eq!(end, Progress::Complete);
        assert_eq!(transfer.offset(), OFFSET + LENGTH as u64);
        drop(sender);
        assert_same_bytes(&inbox.finish(), &bytes);
    }
}

// The bound is that of `sendfile`; a copy never asks for more than its buffer, as above.
#[test]
#[cfg(not(feature = "portable"))]
fn more_than_one_call_may_move_takes_more_calls() {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    const LENGTH: u64 = zc_core::CALL_BYTES_MAX + 4097;
    // A hole in memory: its pages are one and the same, where those of a disk would take 2 GiB.
    let file = File::from(memfd_create("hole", MFdFlags::MFD_CLOEXEC).unwrap());
    file.set_len(LENGTH).unwrap();
    let sink = File::options().write(true).open("/dev/null").unwrap();
    let mut transfer = Transfer::new(&file, 0, LENGTH).with_method(SendMethod::Sendfile);
    let progress = advance(&mut transfer, &sink, u64::MAX).unwrap();
    assert_eq!(progress, Progress::Complete);
    assert_eq!(transfer.report().sendfile.bytes, LENGTH);
    assert_eq!(transfer.report().sendfile.calls, 2);
    assert_eq!(transfer.report().short_writes, 0);
}
