//! A head and a file in one resumable send.

mod common;

use std::io::Read;

use common::{
    Inbox, METHODS, assert_only_path, assert_same_bytes, file_of, patterned, pipe_pair, tcp_pair,
};
use zc_core::{HeadThenFile, ProbedTransfer, Progress, SendErrorKind, Transfer};

#[test]
fn head_and_body_arrive_whole_through_the_smallest_buffer() {
    let (head, body) = (patterned(150_001, 70), patterned(200_003, 71));
    let file = file_of(&body);
    for &method in METHODS {
        let (sender, reader) = tcp_pair(Some(1), Some(8 * 1024));
        let mut inbox = Inbox::new(reader);
        let transfer = Transfer::new(&file, 3, 200_000).with_method(method);
        let mut both = HeadThenFile::new(&head, transfer);
        let mut stopped_in_head = false;
        loop {
            let before = both.accepted();
            match both.advance(&sender, 5_000).unwrap() {
                Progress::Complete => break,
                Progress::WouldBlock => {
                    stopped_in_head |= both.head_tally().bytes < head.len() as u64;
                    inbox.read_until_writable(&sender);
                }
                Progress::BudgetSpent => assert!(both.accepted() > before),
                other => panic!("{other:?}"),
            }
        }
        assert!(stopped_in_head, "no head met a full socket");
        assert!(both.would_blocks() > 1);
        assert_eq!(both.accepted(), 350_001);
        assert_only_path(both.body_report().unwrap(), method, 200_000);
        drop(sender);
        assert_same_bytes(&inbox.finish(), &[&head[..], &body[3..200_003]].concat());
    }
}

#[test]
fn a_head_may_stand_alone_and_a_body_may_be_empty() {
    let file = file_of(b"");
    let bodies = [None, Some(Transfer::new(&file, 0, 0))];
    for body in bodies {
        let (sender, reader) = tcp_pair(None, None);
        let mut both = HeadThenFile::with_optional_body(b"head alone", body);
        assert_eq!(both.advance(&sender, 1).unwrap(), Progress::Complete);
        // With nothing to follow nothing is held back: it is here although the sender stays open.
        let mut received = [0; 10];
        let mut reader = reader;
        reader.set_nonblocking(false).unwrap();
        reader.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"head alone");
    }
}

#[test]
fn a_pipe_gets_both() {
    let bytes = patterned(10_000, 72);
    let file = file_of(&bytes);
    for &method in METHODS {
        let (writer, reader) = pipe_pair();
        let transfer = Transfer::new(&file, 0, 10_000).with_method(method);
        let mut both = HeadThenFile::new(b"head", transfer);
        assert_eq!(both.advance(&writer, u64::MAX).unwrap(), Progress::Complete);
        drop(writer);
        assert_same_bytes(
            &Inbox::new(reader).finish(),
            &[b"head", &bytes[..]].concat(),
        );
    }
}

#[test]
fn an_error_counts_the_head_too() {
    let file = file_of(b"short");
    let null = std::fs::File::open("/dev/null").unwrap();
    let mut both = HeadThenFile::new(b"head", Transfer::new(&file, 0, 5));
    // Opened for reading: nothing can be written to it.
    let error = both.advance(&null, u64::MAX).unwrap_err();
    assert_eq!((error.sent, error.kind), (0, SendErrorKind::Failed));
}

#[test]
fn a_head_does_not_go_before_its_body_is_known_to_be_in_memory() {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let (head, body) = (patterned(100, 74), patterned(50_000, 75));
    // Nobody can tell whether it is in memory.
    let file = memfd_create(c"unknown", MFdFlags::MFD_CLOEXEC).unwrap();
    let mut file = std::fs::File::from(file);
    std::io::Write::write_all(&mut file, &body).unwrap();
    let (sender, reader) = tcp_pair(None, None);
    let mut inbox = Inbox::new(reader);
    let transfer = ProbedTransfer::new(Transfer::new(&file, 0, 50_000), 1 << 20);
    let mut both = HeadThenFile::new(&head, transfer);
    assert_eq!(
        both.advance(&sender, u64::MAX).unwrap(),
        Progress::NeedsDisk(0..50_000)
    );
    assert_eq!(both.accepted(), 0, "another answer can still be given");
    while both.advance(&sender, u64::MAX).unwrap() != Progress::Complete {
        inbox.read_until_writable(&sender);
    }
    drop(sender);
    assert_same_bytes(&inbox.finish(), &[head, body].concat());
}
