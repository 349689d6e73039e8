//! Errors of sends in functions that answer `io::Result`.

mod common;

use std::error::Error;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;

use common::{METHODS, advance, file_of, patterned, tcp_pair, wait_until_hung_up};
use nix::errno::Errno;
use socket2::SockRef;
use zc_core::{Progress, SendError, Transfer};

/// As a program writes it.
fn send(file: &File, sink: impl AsFd, length: u64) -> io::Result<Progress> {
    Ok(Transfer::new(file, 0, length).advance(sink, u64::MAX)?)
}

#[test]
fn a_question_mark_keeps_kind_and_errno() {
    let file = file_of(&patterned(1000, 110));
    let unwritable = File::open("/dev/null").unwrap();
    let error = send(&file, &unwritable, 1000).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EBADF as i32));

    let (sender, reader) = tcp_pair(None, None);
    SockRef::from(&reader)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(reader);
    wait_until_hung_up(&sender);
    let error = send(&file, &sender, 1000).unwrap_err();
    let expected = io::Error::from_raw_os_error(error.raw_os_error().unwrap());
    assert_eq!(error.kind(), expected.kind());
    assert!(
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        "{error}"
    );
}

#[test]
#[cfg(not(feature = "portable"))]
fn a_full_socket_is_would_block_to_those_that_ask_for_the_kind() {
    let file = file_of(&patterned(1 << 20, 111));
    let (sender, _reader) = tcp_pair(Some(1), Some(8 * 1024));
    let fill = || -> io::Result<()> {
        loop {
            let _ = zc_core::sendfile(&file, &sender, 0, 1 << 20)?;
        }
    };
    assert_eq!(fill().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn what_is_lost_is_the_count_and_the_transfer_still_has_it() {
    let bytes = patterned(8 << 20, 112);
    let file = file_of(&bytes);
    for &method in METHODS {
        let (sender, reader) = tcp_pair(Some(16 * 1024), Some(16 * 1024));
        let mut transfer = Transfer::new(&file, 0, 8 << 20).with_method(method);
        let progress = advance(&mut transfer, &sender, u64::MAX).unwrap();
        assert_eq!(progress, Progress::WouldBlock);
        let sent = transfer.report().bytes();
        SockRef::from(&reader)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
        drop(reader);
        wait_until_hung_up(&sender);
        let error: SendError = transfer.advance(&sender, u64::MAX).unwrap_err();
        let errno = error.source.raw_os_error();
        assert!(Error::source(&error).is_some());
        let error = io::Error::from(error);
        assert_eq!(error.raw_os_error(), errno);
        assert_eq!(transfer.report().bytes(), sent);
        assert!(sent > 0);
    }
}
