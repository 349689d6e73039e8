//! The end of a connection: what was accepted arrives, and what was not is missed.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};

use zc_core::ktls::{Cipher, ContentType, Finish, KernelTls, Refusal, Version};
use zc_core::{Follows, HeadThenFile, Progress, SourceTruncated, Transfer, send_head};

use super::common::{assert_same_bytes, file_of, patterned, tcp_pair, wait_until_writable};
use super::ends::{Buffers, all, sealed_by_the_kernel, send_all};
use super::has_module;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

#[test]
fn a_slow_reader_gets_the_tail_after_the_socket_is_closed() {
    if !has_module() {
        return;
    }
    let bytes = patterned(1_622_016, 5);
    let file = file_of(&bytes);
    for (version, cipher) in all() {
        for (send, length) in [
            (1, 200_000),
            (16 << 10, 1_622_016),
            (16 << 10, 900_001),
            (64 << 10, 1_000_000),
            (200 << 10, 1_622_015),
        ] {
            let buffers = Buffers {
                send: Some(send),
                receive: Some(4096),
            };
            let (mut socket, _, mut client) = sealed_by_the_kernel(version, cipher, buffers);
            let transfer = Transfer::new(&file, 0, length);
            let mut all = HeadThenFile::new(HEAD, transfer).with_head_apart();
            let end = send_all(&mut all, &socket, &mut client, u64::MAX);
            assert_eq!(end, Progress::Complete);
            while socket.finish().unwrap() == Finish::WouldBlock {
                client.read_until_writable(&socket);
            }
            socket.get_ref().shutdown(Shutdown::Write).unwrap();
            drop(socket);
            client.read_to_end().unwrap();
            assert_same_bytes(&client.opened, &[HEAD, &bytes[..length as usize]].concat());
            assert!(client.is_closed, "{version} {cipher} {send}");
        }
    }
}

#[test]
fn a_socket_that_is_full_with_an_open_record_sends_no_alert_as_data() {
    if !has_module() {
        return;
    }
    for (version, cipher) in all() {
        for send in [16 << 10, 64 << 10, 256 << 10] {
            for piece in [1000, 5000, 16_000, 40_000] {
                let buffers = Buffers {
                    send: Some(send),
                    receive: Some(4096),
                };
                let (mut socket, _, mut client) = sealed_by_the_kernel(version, cipher, buffers);
                let bytes = patterned(piece, 6);
                let mut expected = Vec::new();
                loop {
                    match send_head(&socket, &bytes, Follows::Body) {
                        Ok(sent) => expected.extend_from_slice(&bytes[..sent]),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::WouldBlock);
                            break;
                        }
                    }
                }
                while socket.finish().unwrap() == Finish::WouldBlock {
                    client.read_until_writable(&socket);
                }
                drop(socket);
                client.read_to_end().unwrap();
                assert_same_bytes(&client.opened, &expected);
                assert!(client.is_closed, "{version} {cipher} {send} {piece}");
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_ends_in_an_alert_after_all_its_bytes() {
    if !has_module() {
        return;
    }
    const FATAL_INTERNAL_ERROR: [u8; 2] = [2, 80];
    let bytes = patterned(100_000, 7);
    let file = file_of(&bytes);
    for (version, cipher) in all() {
        let (socket, _, mut client) = sealed_by_the_kernel(version, cipher, Buffers::default());
        let mut send = HeadThenFile::new(HEAD, Transfer::new(&file, 0, 150_000));
        let end = send_all(&mut send, &socket, &mut client, u64::MAX);
        let cut = SourceTruncated {
            offset: 100_000,
            missing: 50_000,
        };
        assert_eq!(end, Progress::SourceTruncated(cut));
        wait_until_writable(&socket);
        let sent = socket.send_record(ContentType::Alert, &FATAL_INTERNAL_ERROR);
        assert_eq!(sent.unwrap(), 2);
        drop(socket);
        let error = client.read_to_end().unwrap_err();
        let expected = rustls::AlertDescription::InternalError;
        assert_eq!(error, rustls::Error::AlertReceived(expected));
        assert_same_bytes(&client.opened, &[HEAD, &bytes].concat());
        assert!(!client.is_closed, "{version} {cipher}");
    }
}

#[test]
fn a_client_that_is_gone_is_an_error_and_no_hang() {
    if !has_module() {
        return;
    }
    let (mut socket, _, client) =
        sealed_by_the_kernel(Version::Tls13, Cipher::Aes128Gcm, Buffers::default());
    socket2::SockRef::from(&client.wire.socket)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(client);
    super::common::wait_until_hung_up(&socket);
    let error = socket.finish().unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        "{error}"
    );
}

#[test]
fn a_small_limit_of_unsent_bytes_is_refused_and_with_a_larger_one_all_arrives() {
    if !has_module() {
        return;
    }
    let set = |socket: &TcpStream, bytes| {
        socket2::SockRef::from(socket)
            .set_tcp_notsent_lowat(bytes)
            .unwrap();
    };
    for (bytes, is_refused) in [(1, true), (16 << 10, true), (64 << 10, false), (0, false)] {
        let (socket, _peer) = tcp_pair(None, None);
        set(&socket, bytes);
        let refusal = KernelTls::attach(socket)
            .err()
            .map(|refused| refused.refusal);
        assert_eq!(
            refusal,
            is_refused.then_some(Refusal::FewUnsentBytes),
            "{bytes}"
        );
    }
    let bytes = patterned(2_000_000, 8);
    let file = file_of(&bytes);
    for limit in [64 << 10, 128 << 10] {
        let (mut socket, _, mut client) =
            sealed_by_the_kernel(Version::Tls13, Cipher::Aes128Gcm, Buffers::default());
        set(socket.get_ref(), limit);
        let transfer = Transfer::new(&file, 0, 2_000_000);
        let mut send = HeadThenFile::new(HEAD, transfer).with_head_apart();
        let end = send_all(&mut send, &socket, &mut client, u64::MAX);
        assert_eq!(end, Progress::Complete);
        while socket.finish().unwrap() == Finish::WouldBlock {
            client.read_until_writable(&socket);
        }
        drop(socket);
        client.read_to_end().unwrap();
        assert_same_bytes(&client.opened, &[HEAD, &bytes].concat());
        assert!(client.is_closed, "{limit}");
    }
}
