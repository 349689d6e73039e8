//! A peer that goes away is told apart from our own failures, and what it got is not forgotten.

mod common;

use std::error::Error;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;

use common::{
    Inbox, METHODS, advance, assert_only_path, assert_same_bytes, file_of, patterned, pipe_pair,
    tcp_pair, unix_pair, wait_until_hung_up, wait_until_writable,
};
use socket2::SockRef;
use zc_core::{Follows, Progress, SendErrorKind, Transfer, send_head};

/// Closes with a reset instead of an orderly end.
fn reset(reader: TcpStream) {
    SockRef::from(&reader)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(reader);
}

#[test]
fn a_reset_ends_the_transfer_and_keeps_what_went_before() {
    let file = file_of(&patterned(8 << 20, 40));
    for &method in METHODS {
        let (sender, reader) = tcp_pair(Some(16 * 1024), Some(16 * 1024));
        let mut transfer = Transfer::new(&file, 0, 8 << 20).with_method(method);
        let progress = advance(&mut transfer, &sender, u64::MAX).unwrap();
        assert_eq!(progress, Progress::WouldBlock);
        let sent = transfer.offset();
        assert!(sent > 0);

        reset(reader);
        wait_until_hung_up(&sender);
        // The first call says ECONNRESET, the later ones EPIPE; both mean the same.
        for _ in 0..2 {
            let error = advance(&mut transfer, &sender, u64::MAX).unwrap_err();
            assert_eq!(error.kind, SendErrorKind::PeerGone, "{error}");
            assert_eq!(error.sent, 0);
            assert_eq!(transfer.report().bytes(), sent);
            assert_eq!(transfer.remaining(), (8 << 20) - sent);
            assert_only_path(transfer.report(), method, sent);
        }
    }
}

#[test]
fn bytes_sent_in_the_failing_call_are_in_the_error_and_the_report() {
    const LENGTH: u64 = 256 << 20;
    const READ: usize = 1 << 20;
    let bytes = patterned(READ, 41);
    let file = file_of(&bytes);
    // A hole follows: more than all buffers hold.
    file.set_len(LENGTH).unwrap();
    for &method in METHODS {
        let (sender, mut reader) = tcp_pair(None, None);
        // One call on a blocking socket, so that sending and failing happen in the same one.
        sender.set_nonblocking(false).unwrap();
        reader.set_nonblocking(false).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut received = vec![0; READ];
                reader.read_exact(&mut received).unwrap();
                assert_same_bytes(&received, &bytes_again());
                reset(reader);
            });
            let mut transfer = Transfer::new(&file, 0, LENGTH).with_method(method);
            let error = advance(&mut transfer, &sender, u64::MAX).unwrap_err();
            assert_eq!(error.kind, SendErrorKind::PeerGone, "{error}");
            assert!(
                error.sent >= READ as u64,
                "the peer had received {READ}, not {}",
                error.sent
            );
            assert!(error.sent < LENGTH);
            assert_eq!(transfer.report().bytes(), error.sent);
            assert_eq!(transfer.offset(), error.sent);
        });
    }

    fn bytes_again() -> Vec<u8> {
        patterned(READ, 41)
    }
}

#[test]
fn an_orderly_close_is_noticed_by_the_next_sends() {
    let file = file_of(&patterned(1000, 42));
    for &method in METHODS {
        let (sender, reader) = tcp_pair(None, None);
        drop(reader);
        let mut transfer = Transfer::new(&file, 0, 1000).with_method(method);
        // The peer said only that it sends nothing more; its reset is the answer to this byte.
        let progress = advance(&mut transfer, &sender, 1).unwrap();
        assert_eq!(progress, Progress::BudgetSpent);
        wait_until_hung_up(&sender);
        let error = advance(&mut transfer, &sender, u64::MAX).unwrap_err();
        assert_eq!(error.kind, SendErrorKind::PeerGone, "{error}");
        assert_eq!(transfer.report().bytes(), 1);
        assert_eq!(transfer.remaining(), 999);
    }
}

#[test]
fn a_unix_socket_or_a_pipe_without_a_reader_is_a_peer_gone() {
    let file = file_of(&patterned(1000, 43));
    for &method in METHODS {
        let (sender, reader) = unix_pair(None);
        drop(reader);
        let mut transfer = Transfer::new(&file, 0, 1000).with_method(method);
        let error = advance(&mut transfer, &sender, u64::MAX).unwrap_err();
        assert_eq!(error.kind, SendErrorKind::PeerGone, "{error}");

        let (writer, reader) = pipe_pair();
        drop(reader);
        let mut transfer = Transfer::new(&file, 0, 1000).with_method(method);
        let error = advance(&mut transfer, &writer, u64::MAX).unwrap_err();
        assert_eq!(error.kind, SendErrorKind::PeerGone, "{error}");
        assert_eq!(error.source.kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn a_peer_that_only_stopped_sending_gets_everything() {
    // A client may shut down its sending half and wait for the answer.
    let bytes = patterned(100_000, 44);
    let file = file_of(&bytes);
    for &method in METHODS {
        let (sender, reader) = tcp_pair(None, None);
        reader.shutdown(std::net::Shutdown::Write).unwrap();
        let mut inbox = Inbox::new(reader);
        let mut transfer = Transfer::new(&file, 0, 100_000).with_method(method);
        let end = common::drive(&mut transfer, &sender, &mut inbox, || u64::MAX);
        assert_eq!(end, Progress::Complete);
        drop(sender);
        assert_same_bytes(&inbox.finish(), &bytes);
    }
}

#[test]
fn the_error_shows_its_cause_and_the_bytes_sent() {
    let file = file_of(b"bytes");
    let (sender, reader) = unix_pair(None);
    drop(reader);
    let error = Transfer::new(&file, 0, 5)
        .advance(&sender, u64::MAX)
        .unwrap_err();
    let message = error.to_string();
    assert!(message.contains("after 0 bytes"), "{message}");
    let cause = error.source().expect("a cause").to_string();
    assert!(message.contains(&cause), "{message}");
}

#[test]
fn a_head_for_a_peer_that_is_gone_is_a_broken_pipe() {
    let (sender, reader) = tcp_pair(None, None);
    reset(reader);
    wait_until_hung_up(&sender);
    wait_until_writable(&sender);
    let first = send_head(&sender, b"head", Follows::Nothing).unwrap_err();
    assert_eq!(first.kind(), ErrorKind::ConnectionReset);
    let second = send_head(&sender, b"head", Follows::Body).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::BrokenPipe);
}
