//! Signals: a call that one interrupts is repeated, and no byte is lost, doubled or miscounted.
//! How they are aimed stands in `common/signals.rs`; generated cases are in `methods_agree.rs`.

mod common;

use std::net::TcpStream;

use common::cases::IO_TIMEOUT;
use common::signals::with_signals;
use common::{
    Inbox, METHODS, advance, assert_only_path, assert_same_bytes, file_of, path_of, patterned,
    tcp_pair,
};
use nix::errno::Errno;
use zc_core::{Follows, Progress, SendPath, Transfer, send_head};

/// Signals that each test delivers while the sender sleeps in a call.
const SIGNALS: usize = 25;

/// More than the socket buffers below hold.
const LENGTH: usize = 4 << 20;

/// A blocking sender whose calls EINTR reaches, and a reader that has yet to read.
fn interruptible_pair() -> (TcpStream, TcpStream) {
    let (sender, reader) = tcp_pair(Some(16 * 1024), Some(16 * 1024));
    sender.set_nonblocking(false).unwrap();
    sender.set_write_timeout(Some(IO_TIMEOUT)).unwrap();
    (sender, reader)
}

/// Runs `send` on a blocking socket in a thread that is interrupted over and over while nobody
/// reads; then reads all. Answers what `send` answered and the bytes received.
fn send_interrupted<T: Send>(send: impl FnOnce(&TcpStream) -> T + Send) -> (T, Vec<u8>) {
    let (sender, reader) = interruptible_pair();
    with_signals(
        // The sender moves in, so that its end is closed when it has sent.
        move || send(&sender),
        |aim| {
            for _ in 0..SIGNALS {
                assert!(
                    aim.interrupt_asleep(),
                    "the sender gave up before anybody read"
                );
            }
            Inbox::new(reader).finish()
        },
    )
}

#[test]
fn these_sockets_do_return_eintr() {
    // The other tests here would pass for nothing if they did not.
    let bytes = patterned(LENGTH, 60);
    let ((sent, interruptions), received) = send_interrupted(|sender| {
        let (mut sent, mut interruptions) = (0, 0);
        while sent < bytes.len() {
            match nix::unistd::write(sender, &bytes[sent..]) {
                Ok(count) => sent += count,
                Err(Errno::EINTR) => interruptions += 1,
                Err(errno) => panic!("{errno}"),
            }
        }
        (sent, interruptions)
    });
    assert_eq!(sent, LENGTH);
    // The first signals may have come before the buffers were full, and shortened calls.
    assert!(interruptions > 0);
    assert_same_bytes(&received, &bytes);
}

#[test]
fn a_transfer_goes_on_after_signals() {
    let bytes = patterned(LENGTH, 61);
    let file = file_of(&bytes);
    for &method in METHODS {
        let (report, received) = send_interrupted(|sender| {
            let mut transfer = Transfer::new(&file, 0, LENGTH as u64).with_method(method);
            let progress = advance(&mut transfer, sender, u64::MAX).unwrap();
            assert_eq!(progress, Progress::Complete);
            *transfer.report()
        });
        assert_same_bytes(&received, &bytes);
        assert_only_path(&report, method, LENGTH as u64);
        assert_eq!(
            report.would_blocks, 0,
            "neither a signal nor a short count is would-block"
        );
        if path_of(method) == SendPath::Sendfile {
            assert!(report.short_writes > 0, "a signal cut the first call short");
        }
    }
}

#[test]
fn a_head_goes_on_after_signals() {
    let head = patterned(LENGTH, 62);
    let (sent, received) = send_interrupted(|sender| {
        let mut sent = 0;
        while sent < head.len() {
            sent += send_head(sender, &head[sent..], Follows::Nothing).unwrap();
        }
        sent
    });
    assert_eq!(sent, LENGTH);
    assert_same_bytes(&received, &head);
}
