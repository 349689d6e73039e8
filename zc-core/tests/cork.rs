//! `TCP_CORK` around long bodies: set while they go, and off on every way out.
//!
//! The option is read back from the socket: what is held back is not to be told by a clock.

mod common;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use common::{
    Inbox, METHODS, PORTABLE, assert_same_bytes, file_of, patterned, pipe_pair, tcp_pair,
    unix_pair, wait_until_hung_up,
};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;
use zc_core::{
    Body, CORK_BYTES_MIN, Fetcher, HeadThenFile, ProbedTransfer, Progress, SendErrorKind,
    SourceTruncated, Transfer,
};

/// The payload of a segment on an Ethernet, in bytes; the loopback has segments of 64 KiB.
const SEGMENT_BYTES: u32 = 1460;
/// What a body of one response has here, in bytes: long, and no whole number of segments.
const LONG: usize = CORK_BYTES_MIN as usize + 100_003;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

fn is_corked(socket: impl AsFd) -> bool {
    SockRef::from(&socket).tcp_cork().expect("a TCP socket")
}

/// Asserts that the socket is corked, on systems that have corks.
#[track_caller]
fn assert_corked(socket: impl AsFd) {
    assert_eq!(is_corked(socket), !PORTABLE);
}

#[track_caller]
fn assert_uncorked(socket: impl AsFd) {
    assert!(!is_corked(socket), "what was accepted is held back");
}

/// A nonblocking sender that sends segments of an Ethernet, and its reader; `buffers` is the size of
/// the buffer on either side.
fn streams(buffers: Option<usize>) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    setsockopt(&listener, sockopt::TcpMaxSeg, &SEGMENT_BYTES).unwrap();
    if let Some(bytes) = buffers {
        setsockopt(&listener, sockopt::RcvBuf, &bytes).unwrap();
    }
    let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (reader, _) = listener.accept().unwrap();
    if let Some(bytes) = buffers {
        setsockopt(&sender, sockopt::SndBuf, &bytes).unwrap();
    }
    sender.set_nodelay(true).unwrap();
    sender.set_nonblocking(true).unwrap();
    reader.set_nonblocking(true).unwrap();
    (sender, reader)
}

fn pair(buffers: Option<usize>) -> (TcpStream, Inbox<TcpStream>) {
    let (sender, reader) = streams(buffers);
    (sender, Inbox::new(reader))
}

/// Sends to the end in turns of `budget`, and looks at the socket at each stop, by another descriptor.
#[track_caller]
fn drive<B: Body>(
    send: &mut HeadThenFile<&[u8], B>,
    sender: &TcpStream,
    inbox: &mut Inbox<TcpStream>,
    budget: u64,
    is_corked_between: bool,
) {
    let other = sender.try_clone().unwrap();
    loop {
        match send.advance(sender, budget).unwrap() {
            Progress::Complete => return assert_uncorked(&other),
            Progress::WouldBlock => {
                assert_eq!(is_corked(&other), is_corked_between);
                inbox.read_until_writable(sender);
            }
            Progress::BudgetSpent => assert_eq!(is_corked(&other), is_corked_between),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_long_body_is_corked_between_turns_and_not_when_it_is_complete() {
    let body = patterned(LONG, 130);
    let file = file_of(&body);
    for &method in METHODS {
        let (sender, mut inbox) = pair(None);
        let transfer = Transfer::new(&file, 0, LONG as u64).with_method(method);
        let mut send = HeadThenFile::new(HEAD, transfer);
        assert_uncorked(&sender);
        assert_eq!(send.advance(&sender, 1000).unwrap(), Progress::BudgetSpent);
        assert_corked(&sender);
        drive(&mut send, &sender, &mut inbox, 10_001, !PORTABLE);
        // Complete once more is harmless.
        assert_eq!(send.advance(&sender, 1).unwrap(), Progress::Complete);
        assert_uncorked(&sender);
        // All of it is on its way though the sender stays open.
        inbox.read_until((HEAD.len() + LONG) as u64);
        assert_same_bytes(&inbox.bytes, &[HEAD, &body].concat());
    }
}

#[test]
fn a_full_socket_stays_corked_and_the_send_goes_on() {
    let body = patterned(LONG, 131);
    let file = file_of(&body);
    for &method in METHODS {
        let (sender, mut inbox) = pair(Some(8 * 1024));
        let transfer = Transfer::new(&file, 0, LONG as u64).with_method(method);
        let mut send = HeadThenFile::new(HEAD, transfer);
        drive(&mut send, &sender, &mut inbox, u64::MAX, !PORTABLE);
        assert!(send.would_blocks() > 1, "the socket was never full");
        inbox.read_until((HEAD.len() + LONG) as u64);
        assert_same_bytes(&inbox.bytes, &[HEAD, &body].concat());
    }
}

#[test]
fn a_short_body_is_never_corked_and_the_caller_decides_what_is_short() {
    let least = CORK_BYTES_MIN;
    let body = patterned(LONG, 132);
    let file = file_of(&body);
    // (length of the body, the length given, whether it is corked)
    let table = [
        (least - 1, None, false),
        (least, None, true),
        (0, Some(0), true),
        (1001, Some(1002), false),
        (1001, Some(1001), true),
        (LONG as u64, Some(u64::MAX), false),
    ];
    for (length, from, expected) in table {
        let (sender, mut inbox) = pair(None);
        let mut send = HeadThenFile::new(HEAD, Transfer::new(&file, 0, length));
        if let Some(from) = from {
            send = send.with_cork_bytes_min(from);
        }
        let expected = expected && !PORTABLE;
        if length > 1000 {
            let stopped = send.advance(&sender, 1000).unwrap();
            assert_eq!(stopped, Progress::BudgetSpent);
            assert_eq!(is_corked(&sender), expected, "{length} from {from:?}");
        }
        drive(&mut send, &sender, &mut inbox, 100_000, expected);
        inbox.read_until(HEAD.len() as u64 + length);
        assert_same_bytes(&inbox.bytes[HEAD.len()..], &body[..length as usize]);
    }
}

#[test]
fn a_head_alone_is_not_corked() {
    let (sender, _inbox) = pair(Some(8 * 1024));
    let head = patterned(4 << 20, 133);
    let mut send = HeadThenFile::<_, Transfer<File>>::with_optional_body(&head, None);
    let stopped = send.advance(&sender, u64::MAX).unwrap();
    assert_eq!(stopped, Progress::WouldBlock);
    assert_uncorked(&sender);
}

#[test]
fn what_was_accepted_of_a_truncated_file_leaves() {
    let body = patterned(LONG, 134);
    let file = file_of(&body);
    for &method in METHODS {
        let (sender, mut inbox) = pair(None);
        let transfer = Transfer::new(&file, 0, LONG as u64 + 1).with_method(method);
        let mut send = HeadThenFile::new(HEAD, transfer);
        let end = loop {
            match send.advance(&sender, u64::MAX).unwrap() {
                Progress::WouldBlock => inbox.read_until_writable(&sender),
                end => break end,
            }
        };
        let truncated = Progress::SourceTruncated(SourceTruncated {
            offset: LONG as u64,
            missing: 1,
        });
        assert_eq!(end, truncated);
        assert_uncorked(&sender);
        inbox.read_until((HEAD.len() + LONG) as u64);
        assert_same_bytes(&inbox.bytes, &[HEAD, &body].concat());
        assert_eq!(send.advance(&sender, 1).unwrap(), truncated);
        assert_uncorked(&sender);
    }
}

#[test]
fn what_was_accepted_before_an_error_of_the_source_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, patterned(LONG, 135)).unwrap();
    // Its bytes cannot be read.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for &method in METHODS {
        let (sender, mut inbox) = pair(None);
        let transfer = Transfer::new(&file, 0, LONG as u64).with_method(method);
        let mut send = HeadThenFile::new(HEAD, transfer);
        let error = send.advance(&sender, u64::MAX).unwrap_err();
        assert_eq!(error.kind, SendErrorKind::Failed, "{error}");
        assert_eq!(error.sent, HEAD.len() as u64);
        assert_uncorked(&sender);
        inbox.read_until(HEAD.len() as u64);
        assert_same_bytes(&inbox.bytes, HEAD);
    }
}

#[test]
fn a_peer_that_is_gone_leaves_no_cork_behind() {
    let file = file_of(&patterned(LONG, 136));
    for &method in METHODS {
        let (sender, reader) = streams(Some(16 * 1024));
        let transfer = Transfer::new(&file, 0, LONG as u64).with_method(method);
        let mut send = HeadThenFile::new(HEAD, transfer);
        let stopped = send.advance(&sender, u64::MAX).unwrap();
        assert_eq!(stopped, Progress::WouldBlock);
        assert_corked(&sender);
        // A close that resets.
        SockRef::from(&reader)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
        drop(reader);
        wait_until_hung_up(&sender);
        let error = send.advance(&sender, u64::MAX).unwrap_err();
        assert!(error.is_peer_gone(), "{error}");
        assert_uncorked(&sender);
    }
}

#[test]
fn before_the_disk_is_waited_for_everything_accepted_leaves() {
    const WINDOW: u64 = 200_001;
    let body = patterned(LONG, 137);
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(&body).unwrap();
    file.sync_all().unwrap();
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
    let fetcher = Fetcher::new().unwrap();
    for &method in METHODS {
        let (sender, mut inbox) = pair(None);
        let transfer = Transfer::new(&file, 0, LONG as u64).with_method(method);
        let mut transfer = ProbedTransfer::new(transfer, WINDOW);
        // Whatever the system tells of its memory.
        transfer.assume_cold();
        let mut send = HeadThenFile::new(HEAD, transfer);
        let (mut questions, mut turns) = (0, 0);
        loop {
            match send.advance(&sender, 20_000).unwrap() {
                Progress::Complete => break,
                Progress::WouldBlock => inbox.read_until_writable(&sender),
                Progress::BudgetSpent => {
                    turns += 1;
                    assert_corked(&sender);
                }
                Progress::NeedsDisk(range) => {
                    questions += 1;
                    assert_uncorked(&sender);
                    // The disk answers when the peer has all that went before.
                    inbox.read_until(send.accepted());
                    fetcher.fetch(&file, range).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(questions > 1 && turns > 1, "{questions} and {turns}");
        assert_uncorked(&sender);
        inbox.read_until((HEAD.len() + LONG) as u64);
        assert_same_bytes(&inbox.bytes, &[HEAD, &body].concat());
    }
}

#[test]
fn one_response_behind_the_other_on_one_socket() {
    let body = patterned(LONG, 138);
    let file = file_of(&body);
    let (sender, mut inbox) = pair(Some(64 * 1024));
    let mut expected = Vec::new();
    for length in [LONG, 5, LONG - 7, LONG, 0, 70_000] {
        let mut send = HeadThenFile::new(HEAD, Transfer::new(&file, 0, length as u64));
        let is_long = length as u64 >= CORK_BYTES_MIN && !PORTABLE;
        drive(&mut send, &sender, &mut inbox, 65_536, is_long);
        expected.extend_from_slice(HEAD);
        expected.extend_from_slice(&body[..length]);
        // A client that waits for the end before it asks again has all of it.
        inbox.read_until(expected.len() as u64);
        assert_same_bytes(&inbox.bytes, &expected);
    }
}

#[test]
fn whoever_finishes_uncorks_by_whichever_descriptor() {
    let body = patterned(LONG, 139);
    let file = file_of(&body);
    let (sender, mut inbox) = pair(None);
    let mut send = HeadThenFile::new(HEAD, Transfer::new(&file, 0, LONG as u64));
    let stopped = send.advance(&sender, 10_000).unwrap();
    assert_eq!(stopped, Progress::BudgetSpent);
    assert_corked(&sender);
    let other = sender.try_clone().unwrap();
    let received = std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            other.set_nonblocking(false).unwrap();
            send.advance(&other, u64::MAX).unwrap()
        });
        inbox.read_until((HEAD.len() + LONG) as u64);
        assert_eq!(thread.join().unwrap(), Progress::Complete);
        inbox.bytes
    });
    assert_uncorked(&sender);
    assert_same_bytes(&received, &[HEAD, &body].concat());
}

#[test]
fn a_send_that_is_dropped_is_cut_by_closing_and_loses_nothing_that_was_accepted() {
    let body = patterned(LONG, 140);
    let file = file_of(&body);
    let (sender, inbox) = pair(None);
    let mut send = HeadThenFile::new(HEAD, Transfer::new(&file, 0, LONG as u64));
    let stopped = send.advance(&sender, 10_001).unwrap();
    assert_eq!(stopped, Progress::BudgetSpent);
    drop(send);
    assert_corked(&sender);
    drop(sender);
    assert_same_bytes(&inbox.finish(), &[HEAD, &body[..10_001]].concat());
}

#[test]
fn what_is_no_tcp_socket_gets_everything_all_the_same() {
    let body = patterned(LONG, 141);
    let file = file_of(&body);
    let expected = [HEAD, &body].concat();
    for &method in METHODS {
        let new = || Transfer::new(&file, 0, LONG as u64).with_method(method);

        let (sender, reader) = unix_pair(None);
        let mut inbox = Inbox::new(reader);
        let mut send = HeadThenFile::new(HEAD, new());
        while send.advance(&sender, u64::MAX).unwrap() != Progress::Complete {
            inbox.read_until_writable(&sender);
        }
        drop(sender);
        assert_same_bytes(&inbox.finish(), &expected);

        let (writer, reader) = pipe_pair();
        let mut inbox = Inbox::new(reader);
        let mut send = HeadThenFile::new(HEAD, new());
        while send.advance(&writer, u64::MAX).unwrap() != Progress::Complete {
            inbox.read_until_writable(&writer);
        }
        drop(writer);
        assert_same_bytes(&inbox.finish(), &expected);

        let sink = tempfile::tempfile().unwrap();
        let mut send = HeadThenFile::new(HEAD, new());
        assert_eq!(send.advance(&sink, u64::MAX).unwrap(), Progress::Complete);
        assert_same_bytes(&common::contents(&sink), &expected);
    }
}

#[test]
fn segments_of_the_loopback_are_corked_too() {
    let body = patterned(LONG, 142);
    let file = file_of(&body);
    let (sender, reader) = tcp_pair(None, None);
    let mut inbox = Inbox::new(reader);
    let mut send = HeadThenFile::new(HEAD, Transfer::new(&file, 0, LONG as u64));
    drive(&mut send, &sender, &mut inbox, 100_000, !PORTABLE);
    inbox.read_until((HEAD.len() + LONG) as u64);
    assert_same_bytes(&inbox.bytes, &[HEAD, &body].concat());
}
