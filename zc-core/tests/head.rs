//! Bytes before a body: they arrive whole, before it, and in the same segment.

mod common;

use std::io::ErrorKind;
use std::net::UdpSocket;

use common::{
    Inbox, METHODS, advance, assert_same_bytes, drive, errno_of, file_of, patterned, tcp_pair,
};
use nix::errno::Errno;
use zc_core::{Follows, Progress, Transfer, send_head};

#[test]
fn a_head_and_the_body_that_follows_arrive_whole() {
    let body = patterned(200_000, 50);
    let file = file_of(&body);
    let head = b"200 and so on\r\n\r\n";
    for &method in METHODS {
        let (sender, reader) = tcp_pair(Some(16 * 1024), None);
        let mut inbox = Inbox::new(reader);
        let sent = send_head(&sender, head, Follows::Body).unwrap();
        assert_eq!(sent, head.len());
        let mut transfer = Transfer::new(&file, 0, 200_000).with_method(method);
        let end = drive(&mut transfer, &sender, &mut inbox, || u64::MAX);
        assert_eq!(end, Progress::Complete);
        drop(sender);
        let received = inbox.finish();
        assert_same_bytes(&received[..head.len()], head);
        assert_same_bytes(&received[head.len()..], &body);
    }
}

#[test]
fn a_head_that_does_not_fit_is_sent_in_parts() {
    let head = patterned(300_000, 51);
    let body = patterned(5_000, 52);
    let file = file_of(&body);
    let (sender, reader) = tcp_pair(Some(1), Some(8 * 1024));
    let mut inbox = Inbox::new(reader);

    let (mut rest, mut partial, mut would_blocks) = (&head[..], 0, 0);
    while !rest.is_empty() {
        match send_head(&sender, rest, Follows::Body) {
            Ok(sent) => {
                assert!(0 < sent && sent <= rest.len());
                partial += usize::from(sent < rest.len());
                rest = &rest[sent..];
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                would_blocks += 1;
                inbox.read_until_writable(&sender);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        partial > 0 && would_blocks > 0,
        "{partial} partial, {would_blocks} refused"
    );

    let mut transfer = Transfer::new(&file, 0, 5_000);
    let end = drive(&mut transfer, &sender, &mut inbox, || u64::MAX);
    assert_eq!(end, Progress::Complete);
    drop(sender);
    let received = inbox.finish();
    assert_same_bytes(&received[..head.len()], &head);
    assert_same_bytes(&received[head.len()..], &body);
}

/// A pair of connected datagram sockets. With them `MSG_MORE` can be seen without a clock: what it
/// holds back leaves with what follows, as one datagram. On TCP it means the same for segments.
fn udp_pair() -> (UdpSocket, UdpSocket) {
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let reader = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(reader.local_addr().unwrap()).unwrap();
    reader.connect(sender.local_addr().unwrap()).unwrap();
    reader
        .set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .unwrap();
    (sender, reader)
}

// `MSG_MORE` is Linux's; where a head cannot be held back is the next test.
#[test]
#[cfg(not(feature = "portable"))]
fn a_head_is_held_back_until_its_body_comes() {
    let body = patterned(1000, 53);
    let file = file_of(&body);
    for &method in METHODS {
        let (sender, reader) = udp_pair();
        assert_eq!(send_head(&sender, b"head", Follows::Body).unwrap(), 4);
        assert_eq!(send_head(&sender, b"more", Follows::Body).unwrap(), 4);
        let mut transfer = Transfer::new(&file, 0, 1000).with_method(method);
        let progress = advance(&mut transfer, &sender, u64::MAX).unwrap();
        assert_eq!(progress, Progress::Complete);

        let mut datagram = [0; 2000];
        let length = reader.recv(&mut datagram).unwrap();
        assert_eq!(&datagram[..8], b"headmore");
        assert_same_bytes(&datagram[8..length], &body);
    }
}

#[test]
#[cfg(feature = "portable")]
fn a_head_that_cannot_be_held_back_leaves_at_once_and_its_body_after_it() {
    let body = patterned(1000, 53);
    let file = file_of(&body);
    for &method in METHODS {
        let (sender, reader) = udp_pair();
        assert_eq!(send_head(&sender, b"head", Follows::Body).unwrap(), 4);
        let mut datagram = [0; 2000];
        assert_eq!(reader.recv(&mut datagram).unwrap(), 4);
        assert_eq!(&datagram[..4], b"head");

        let mut transfer = Transfer::new(&file, 0, 1000).with_method(method);
        let progress = advance(&mut transfer, &sender, u64::MAX).unwrap();
        assert_eq!(progress, Progress::Complete);
        let length = reader.recv(&mut datagram).unwrap();
        assert_same_bytes(&datagram[..length], &body);
    }
}

#[test]
fn a_head_that_nothing_follows_leaves_at_once() {
    let (sender, reader) = udp_pair();
    assert_eq!(send_head(&sender, b"one", Follows::Nothing).unwrap(), 3);
    assert_eq!(send_head(&sender, b"two", Follows::Nothing).unwrap(), 3);
    let mut datagram = [0; 100];
    assert_eq!(reader.recv(&mut datagram).unwrap(), 3);
    assert_eq!(&datagram[..3], b"one");
    assert_eq!(reader.recv(&mut datagram).unwrap(), 3);
    assert_eq!(&datagram[..3], b"two");
}

#[test]
fn a_head_needs_a_socket() {
    let file = tempfile::tempfile().unwrap();
    let error = send_head(&file, b"head", Follows::Nothing).unwrap_err();
    assert_eq!(errno_of(&error), Errno::ENOTSOCK);
}
