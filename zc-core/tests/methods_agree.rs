//! All methods are compared over generated cases with what the slowest and most obvious program
//! would do: the same bytes, the same end, and a report of the same length.

mod common;

use std::cell::Cell;
use std::fs::File;

use common::cases::{
    Interruptions, Promise, SIZE_MAX, Sink, broken, budgets, check, cycle_of, interruptions, kept,
    large, sink, size, sndbuf,
};
use common::signals::with_signals;
use common::{
    Inbox, METHODS, advance, assert_only_path, assert_same_bytes, drive, file_of, patterned,
    wait_until_writable,
};
use proptest::prelude::*;
use zc_core::{Progress, SendMethod, Transfer};

/// Everything that a transfer depends on.
#[derive(Debug, Clone)]
struct Case {
    promise: Promise,
    budgets: Vec<u64>,
    sink: Sink,
    sndbuf: usize,
}

fn cases(promise: impl Strategy<Value = Promise>) -> impl Strategy<Value = Case> {
    (promise, budgets(), sink(), sndbuf()).prop_map(|(promise, budgets, sink, sndbuf)| Case {
        promise,
        budgets,
        sink,
        sndbuf,
    })
}

/// How a transfer ended, and what it says of itself.
#[derive(Debug, PartialEq)]
struct Outcome {
    end: Progress,
    offset: u64,
    remaining: u64,
    reported: u64,
}

impl Case {
    fn expected(&self) -> Outcome {
        let available = self.promise.available();
        Outcome {
            end: self.promise.end(),
            offset: self.promise.offset + available,
            remaining: self.promise.length - available,
            reported: available,
        }
    }

    fn budget(&self) -> impl FnMut() -> u64 + use<> {
        cycle_of(&self.budgets, self.promise.available())
    }

    fn transfer<'f>(&self, file: &'f File, method: SendMethod) -> Transfer<&'f File> {
        let Promise { offset, length, .. } = self.promise;
        Transfer::new(file, offset, length).with_method(method)
    }

    /// What came of a transfer that has ended so.
    #[track_caller]
    fn outcome(&self, transfer: &Transfer<&File>, method: SendMethod, end: Progress) -> Outcome {
        if self.promise.length > 0 {
            assert_only_path(transfer.report(), method, self.promise.available());
        }
        Outcome {
            end,
            offset: transfer.offset(),
            remaining: transfer.remaining(),
            reported: transfer.report().bytes(),
        }
    }

    /// Sends on one thread, so that the reader reads only when the sink accepts nothing more.
    fn send(&self, file: &File, method: SendMethod) -> (Outcome, Vec<u8>) {
        let (sink, reader) = self.sink.open(self.sndbuf, false);
        let mut inbox = Inbox::new(reader);
        let mut transfer = self.transfer(file, method);
        let end = drive(&mut transfer, &sink, &mut inbox, self.budget());
        drop(sink);
        (self.outcome(&transfer, method, end), inbox.finish())
    }

    /// Compares all methods with the obvious program.
    fn compare(&self, contents: &[u8], send: impl Fn(&File, SendMethod) -> (Outcome, Vec<u8>)) {
        let contents = &contents[..self.promise.size as usize];
        let file = file_of(contents);
        for &method in METHODS {
            let (outcome, received) = send(&file, method);
            assert_eq!(outcome, self.expected(), "{method:?}");
            assert_same_bytes(&received, self.promise.bytes(contents));
        }
    }
}

fn contents() -> Vec<u8> {
    patterned(SIZE_MAX as usize, 120)
}

#[test]
fn all_methods_send_what_the_obvious_program_would() {
    let contents = contents();
    check(150, &cases(kept(size())), |case| {
        assert_eq!(case.promise.end(), Progress::Complete);
        case.compare(&contents, |file, method| case.send(file, method));
    });
}

#[test]
fn all_methods_end_where_a_file_that_was_cut_ends() {
    let contents = contents();
    check(150, &cases(broken(size())), |case| {
        assert!(matches!(case.promise.end(), Progress::SourceTruncated(_)));
        case.compare(&contents, |file, method| case.send(file, method));
    });
}

/// A case, and how its sender is disturbed.
#[derive(Debug, Clone)]
struct Disturbed {
    case: Case,
    interruptions: Interruptions,
    /// The calls on the sink wait; otherwise the sender waits between them.
    waits: bool,
}

fn disturbed(promise: impl Strategy<Value = Promise>) -> impl Strategy<Value = Disturbed> {
    (cases(promise), interruptions(), any::<bool>()).prop_map(|(case, mut interruptions, waits)| {
        // Nobody ever waits for a file.
        interruptions.asleep &= case.sink != Sink::File;
        Disturbed {
            case,
            interruptions,
            waits,
        }
    })
}

impl Disturbed {
    /// Sends in a thread that signals are aimed at; answers too how many reached it in time.
    fn send(&self, file: &File, method: SendMethod) -> (Outcome, Vec<u8>, u32) {
        let (sink, reader) = self.case.sink.open(self.case.sndbuf, self.waits);
        let mut inbox = Inbox::new(reader);
        let work = move || {
            let mut transfer = self.case.transfer(file, method);
            let mut budget = self.case.budget();
            let end = loop {
                match advance(&mut transfer, &sink, budget()).unwrap() {
                    Progress::BudgetSpent => {}
                    Progress::WouldBlock => {
                        assert!(
                            !self.waits,
                            "neither a signal nor a short count is would-block"
                        );
                        wait_until_writable(&sink);
                    }
                    end => break end,
                }
            };
            self.case.outcome(&transfer, method, end)
        };
        let (outcome, hits) = with_signals(work, |aim| {
            let mut hits = 0;
            for &count in &self.interruptions.rounds {
                for _ in 0..count {
                    let hit = if self.interruptions.asleep {
                        aim.interrupt_asleep()
                    } else {
                        aim.interrupt()
                    };
                    hits += u32::from(hit);
                }
                inbox.drain();
            }
            inbox.read_to_end();
            hits
        });
        // A file ends where it has been written to: the sender had to end first.
        (outcome, inbox.finish(), hits)
    }
}

/// Sends every case under signals; answers how many reached a sender that slept, and one that ran.
fn compare_disturbed(promise: impl Strategy<Value = Promise>) -> (u32, u32) {
    let contents = contents();
    let (asleep, awake) = (Cell::new(0), Cell::new(0));
    check(50, &disturbed(promise), |disturbed| {
        disturbed.case.compare(&contents, |file, method| {
            let (outcome, received, hits) = disturbed.send(file, method);
            let hit = if disturbed.interruptions.asleep {
                &asleep
            } else {
                &awake
            };
            hit.set(hit.get() + hits);
            (outcome, received)
        });
    });
    println!("{asleep:?} signals reached a sleeping sender, {awake:?} another");
    (asleep.get(), awake.get())
}

#[test]
fn signals_change_nothing_of_what_is_sent() {
    let (asleep, awake) = compare_disturbed(kept(large()));
    assert!(asleep > 0 && awake > 0, "no signal came in time");
}

#[test]
fn signals_change_nothing_of_where_a_file_that_was_cut_ends() {
    let (asleep, awake) = compare_disturbed(broken(large()));
    assert!(asleep > 0 && awake > 0, "no signal came in time");
}
