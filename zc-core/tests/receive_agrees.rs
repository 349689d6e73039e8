//! Receiving is compared over generated cases with what the slowest and most obvious program would
//! do: the same bytes in the same place, the same end, and nothing taken that was not promised.

mod common;

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use common::cases::{
    IO_TIMEOUT, Interruptions, SIZE_MAX, budgets, check, cycle_of, file_from, interruptions, size,
    sndbuf,
};
use common::receiving::{
    RECEIVE_METHODS, advance, assert_path, pool, send_in_pieces, wait_until_readable,
};
use common::signals::with_signals;
use common::{assert_same_bytes, contents, file_of, patterned, tcp_pair, unix_pair};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use proptest::prelude::*;
use proptest::sample::Index;
use zc_core::{Progress, Receive, ReceiveMethod, SourceTruncated};

/// The length of the file before anything is received.
const BEFORE: usize = 150_000;

/// Everything that a receive depends on.
#[derive(Debug, Clone)]
struct Case {
    /// Where in the file the bytes go.
    offset: u64,
    /// How many are promised.
    length: u64,
    /// How many the peer sends before it closes.
    sent: u64,
    /// The sizes of its sends, over and over.
    pieces: Vec<usize>,
    tcp: bool,
    sndbuf: usize,
    budgets: Vec<u64>,
    interruptions: Interruptions,
    /// The calls on the source wait; otherwise the receiver waits between them.
    waits: bool,
}

/// Cases in which so many bytes are promised and sent.
fn cases(promised_and_sent: impl Strategy<Value = (u64, u64)>) -> impl Strategy<Value = Case> {
    let pieces = proptest::collection::vec(1..40_000_usize, 1..5);
    let peer = (pieces, any::<bool>(), sndbuf());
    let receiver = (0..200_000_u64, budgets(), interruptions(), any::<bool>());
    (promised_and_sent, peer, receiver).prop_map(|((length, sent), peer, receiver)| {
        let (pieces, tcp, sndbuf) = peer;
        let (offset, budgets, interruptions, waits) = receiver;
        Case {
            offset,
            length,
            sent,
            pieces,
            tcp,
            sndbuf,
            budgets,
            interruptions,
            waits,
        }
    })
}

/// How a receive ended, and what it says of itself.
#[derive(Debug, PartialEq)]
struct Outcome {
    end: Progress,
    offset: u64,
    remaining: u64,
    reported: u64,
    unwritten: u64,
}

impl Case {
    fn received(&self) -> u64 {
        self.length.min(self.sent)
    }

    fn expected(&self) -> Outcome {
        let (offset, missing) = (self.offset + self.received(), self.length - self.received());
        let end = match missing {
            0 => Progress::Complete,
            _ => Progress::SourceTruncated(SourceTruncated { offset, missing }),
        };
        Outcome {
            end,
            offset,
            remaining: missing,
            reported: self.received(),
            unwritten: 0,
        }
    }

    /// What the file must hold afterwards: a hole is zeros, what is outside the range stays.
    fn expected_file(&self, before: &[u8], bytes: &[u8]) -> Vec<u8> {
        let (from, count) = (self.offset as usize, self.received() as usize);
        let mut after = before.to_vec();
        if count > 0 {
            after.resize(after.len().max(from + count), 0);
            after[from..from + count].copy_from_slice(&bytes[..count]);
        }
        after
    }

    /// A nonblocking sender, and a source whose reads a signal interrupts if they wait.
    fn open(&self) -> (File, File) {
        let (sender, source) = if self.tcp {
            let (sender, source) = tcp_pair(Some(self.sndbuf), None);
            source.set_read_timeout(Some(IO_TIMEOUT)).unwrap();
            (file_from(sender), file_from(source))
        } else {
            let (sender, source) = unix_pair(Some(self.sndbuf));
            source.set_read_timeout(Some(IO_TIMEOUT)).unwrap();
            (file_from(sender), file_from(source))
        };
        if self.waits {
            fcntl(&source, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        }
        (sender, source)
    }

    /// Receives to the end.
    fn receive(&self, file: &File, source: impl AsFd, method: ReceiveMethod) -> Outcome {
        let pool = pool();
        let mut receive = Receive::new(file, self.offset, self.length, &pool).with_method(method);
        let mut budget = cycle_of(&self.budgets, self.received());
        let end = loop {
            match advance(&mut receive, &source, budget()).unwrap() {
                Progress::BudgetSpent => {}
                Progress::WouldBlock => {
                    assert!(!self.waits, "a signal is not would-block");
                    wait_until_readable(&source);
                }
                end => break end,
            }
        };
        if self.length > 0 {
            assert_path(receive.report(), method, self.received());
        }
        assert_eq!(pool.idle(), pool.alive(), "the pipe was given back");
        Outcome {
            end,
            offset: receive.offset(),
            remaining: receive.remaining(),
            reported: receive.report().bytes(),
            unwritten: receive.unwritten(),
        }
    }

    /// Receives in a thread that signals are aimed at, and compares everything; answers how many
    /// signals reached it while it slept.
    fn run(&self, before: &[u8], bytes: &[u8], method: ReceiveMethod) -> u32 {
        let file = file_of(before);
        let (sender, source) = self.open();
        let (file, source) = (&file, &source);
        let receive = || self.receive(file, source, method);
        let (outcome, hits) = with_signals(receive, |aim| {
            let (promised, beyond) = bytes[..self.sent as usize].split_at(self.received() as usize);
            let mut rest = promised;
            let mut hits = 0;
            for (round, &count) in self.interruptions.rounds.iter().enumerate() {
                for _ in 0..count {
                    if self.interruptions.asleep {
                        hits += u32::from(aim.interrupt_asleep());
                    } else {
                        aim.interrupt();
                    }
                }
                let piece = self.pieces[round % self.pieces.len()].min(rest.len());
                send_in_pieces(&sender, &rest[..piece], &self.pieces);
                rest = &rest[piece..];
            }
            send_in_pieces(&sender, rest, &self.pieces);
            send_in_pieces(&sender, beyond, &self.pieces);
            drop(sender);
            hits
        });
        assert_eq!(outcome, self.expected(), "{method:?}");
        assert_same_bytes(&contents(file), &self.expected_file(before, bytes));
        let mut left = Vec::new();
        (&*source).read_to_end(&mut left).unwrap();
        assert_same_bytes(&left, &bytes[self.received() as usize..self.sent as usize]);
        hits
    }
}

fn compare(promised_and_sent: impl Strategy<Value = (u64, u64)>, complete: bool) {
    let before = patterned(BEFORE, 130);
    let bytes = patterned(SIZE_MAX as usize + 100, 131);
    let hits = Cell::new(0);
    check(60, &cases(promised_and_sent), |case| {
        assert_eq!(case.expected().end == Progress::Complete, complete);
        for &method in RECEIVE_METHODS {
            hits.set(hits.get() + case.run(&before, &bytes, method));
        }
    });
    assert!(hits.get() > 0, "no signal reached a receiver that slept");
}

#[test]
fn all_methods_receive_what_was_promised_and_leave_what_follows() {
    // What follows fits every buffer: nobody reads it before the end.
    let promised_and_sent = (size(), 0..100_u64);
    compare(
        promised_and_sent.prop_map(|(length, beyond)| (length, length + beyond)),
        true,
    );
}

#[test]
fn all_methods_end_where_a_peer_ends_early() {
    let missing = prop_oneof![Just(1), 1..100_000_u64, Just(1 << 40)];
    let promised_and_sent = (size(), any::<Index>(), missing);
    compare(
        promised_and_sent.prop_map(|(length, sent, missing)| {
            let sent = sent.index(length as usize + 1) as u64;
            (sent + missing, sent)
        }),
        false,
    );
}
