//! `Sendfile` and `Copy` are compared over generated cases: the slow path is the oracle.

mod common;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use common::{
    Generator, Inbox, METHODS, advance, assert_only_path, assert_same_bytes, drive, file_of,
    patterned, pipe_pair, tcp_pair, unix_pair,
};
use zc_core::{Method, Progress, SourceTruncated, Transfer};

const CASES: u64 = 300;

#[derive(Debug, Clone, Copy)]
enum Sink {
    Tcp,
    Unix,
    Pipe,
    File,
}

/// Everything that a case depends on, so that a failure can be read.
#[derive(Debug)]
struct Case {
    seed: u64,
    size: u64,
    offset: u64,
    length: u64,
    budget_max: u64,
    sndbuf: usize,
    sink: Sink,
}

impl Case {
    fn generate(seed: u64) -> Self {
        let mut generator = Generator::new(seed);
        let size_bound = generator.pick(&[1, 100, 5_000, 70_000, 300_000]);
        let size = generator.below(size_bound);
        // A little beyond the end now and then: such cases end in a truncation.
        let offset = generator.below(size + 3);
        let length = generator.below(size + 10);
        Self {
            seed,
            size,
            offset,
            length,
            budget_max: generator.pick(&[1_000, 4_096, 65_536, 65_537, 1 << 40]),
            sndbuf: generator.pick(&[1, 8 * 1024, 64 * 1024, 256 * 1024]),
            sink: generator.pick(&[Sink::Tcp, Sink::Unix, Sink::Pipe, Sink::File]),
        }
    }

    /// What the slowest and most obvious program would do.
    fn expected(&self, contents: &[u8]) -> (Progress, Vec<u8>) {
        let available = self.size.saturating_sub(self.offset);
        let sent = self.length.min(available);
        let bytes = contents
            .iter()
            .copied()
            .skip(self.offset as usize)
            .take(sent as usize)
            .collect();
        let progress = if sent == self.length {
            Progress::Complete
        } else {
            Progress::SourceTruncated(SourceTruncated {
                offset: self.offset + sent,
                missing: self.length - sent,
            })
        };
        (progress, bytes)
    }

    fn run(&self, file: &File, method: Method) -> (Progress, Vec<u8>) {
        let mut transfer = Transfer::new(file, self.offset, self.length).with_method(method);
        let mut budgets = Generator::new(self.seed + 1);
        let mut budget = || 1 + budgets.below(self.budget_max);
        let (progress, bytes) = match self.sink {
            Sink::Tcp => {
                let (sender, reader) = tcp_pair(Some(self.sndbuf), None);
                let mut inbox = Inbox::new(reader);
                let progress = drive(&mut transfer, &sender, &mut inbox, budget);
                drop(sender);
                (progress, inbox.finish())
            }
            Sink::Unix => {
                let (sender, reader) = unix_pair(Some(self.sndbuf));
                let mut inbox = Inbox::new(reader);
                let progress = drive(&mut transfer, &sender, &mut inbox, budget);
                drop(sender);
                (progress, inbox.finish())
            }
            Sink::Pipe => {
                let (writer, reader) = pipe_pair();
                let mut inbox = Inbox::new(reader);
                let progress = drive(&mut transfer, &writer, &mut inbox, budget);
                drop(writer);
                (progress, inbox.finish())
            }
            Sink::File => {
                let mut sink = tempfile::tempfile().unwrap();
                let progress = loop {
                    match advance(&mut transfer, &sink, budget()).unwrap() {
                        Progress::BudgetSpent => {}
                        end => break end,
                    }
                };
                let mut bytes = Vec::new();
                sink.seek(SeekFrom::Start(0)).unwrap();
                sink.read_to_end(&mut bytes).unwrap();
                (progress, bytes)
            }
        };
        assert_eq!(transfer.report().bytes(), bytes.len() as u64);
        if self.length > 0 {
            assert_only_path(transfer.report(), method, bytes.len() as u64);
        }
        (progress, bytes)
    }
}

#[test]
fn all_methods_send_what_the_obvious_program_would() {
    let (mut complete, mut truncated) = (0, 0);
    for seed in 0..CASES {
        let case = Case::generate(seed);
        // Shown only when the test fails.
        println!("{case:?}");
        let contents = patterned(case.size as usize, case.seed);
        let file = file_of(&contents);
        let (expected_progress, expected_bytes) = case.expected(&contents);
        for &method in METHODS {
            let (progress, bytes) = case.run(&file, method);
            assert_eq!(progress, expected_progress, "{method:?}");
            assert_same_bytes(&bytes, &expected_bytes);
        }
        match expected_progress {
            Progress::Complete => complete += 1,
            _ => truncated += 1,
        }
    }
    // The generator must go on making both kinds.
    assert!(
        complete > 50 && truncated > 50,
        "{complete} complete, {truncated} truncated"
    );
}
