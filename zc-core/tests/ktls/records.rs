//! What the kernel makes of what is sent.

use std::collections::BTreeSet;

use zc_core::ktls::{Cipher, ContentType, Finish, KEY_UPDATE, Refusal, Version, probe};
use zc_core::{Follows, HeadThenFile, ProbedTransfer, Progress, Transfer, send_head};

use super::common::{assert_same_bytes, file_of, patterned};
use super::ends::{Buffers, all, overhead, sealed_by_the_kernel, send_all};
use super::has_module;
use super::https_one_file::send_secrets;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: some\r\n\r\n";
/// The most that a record may have.
const RECORD_BYTES: usize = 16 << 10;
const APPLICATION_DATA: u8 = 23;

#[test]
fn each_version_and_cipher_brings_head_and_file_as_they_are() {
    if !has_module() {
        return;
    }
    let bytes = patterned(1_000_003, 1);
    let file = file_of(&bytes);
    for (version, cipher) in all() {
        for (offset, length, budget) in [
            (0, 1_000_003, u64::MAX),
            (4095, 150_001, 65_536),
            (16_384, 16_384, u64::MAX),
            (1, 1, 1),
            (999_999, 4, 3),
            (70_000, 0, u64::MAX),
        ] {
            let (mut socket, _, mut client) =
                sealed_by_the_kernel(version, cipher, Buffers::default());
            let transfer = Transfer::new(&file, offset, length);
            let mut send = HeadThenFile::new(HEAD, transfer);
            let end = send_all(&mut send, &socket, &mut client, budget);
            assert_eq!(end, Progress::Complete);
            assert_eq!(send.body_report().unwrap().sendfile.bytes, length);
            while socket.finish().unwrap() == Finish::WouldBlock {
                client.read_until_writable(&socket);
            }
            let sealed = socket.records().unwrap();
            drop(socket);
            client.read_to_end().unwrap();
            assert!(client.is_closed, "{version} {cipher}");
            let expected = &bytes[offset as usize..][..length as usize];
            assert_same_bytes(&client.opened, &[HEAD, expected].concat());
            let contents = client
                .last_records(sealed)
                .into_iter()
                .map(|record| record.sealed.len() - overhead(version, cipher));
            // And close_notify.
            assert_eq!(contents.sum::<usize>(), HEAD.len() + expected.len() + 2);
        }
    }
}

#[test]
fn a_probed_transfer_sends_over_it_too() {
    if !has_module() {
        return;
    }
    let bytes = patterned(3_000_000, 2);
    let file = file_of(&bytes);
    let buffers = Buffers {
        send: Some(64 << 10),
        receive: None,
    };
    let (socket, _, mut client) = sealed_by_the_kernel(Version::Tls13, Cipher::Aes128Gcm, buffers);
    let transfer = ProbedTransfer::new(Transfer::new(&file, 3, 2_999_990), 1 << 20);
    let mut send = HeadThenFile::new(HEAD, transfer).with_head_apart();
    assert_eq!(
        send_all(&mut send, &socket, &mut client, 300_000),
        Progress::Complete
    );
    while client.opened.len() < HEAD.len() + 2_999_990 {
        client.read_until_writable(&socket);
        client.read_a_little().unwrap();
    }
    assert_same_bytes(&client.opened, &[HEAD, &bytes[3..2_999_993]].concat());
}

#[test]
fn in_tls_1_2_no_nonce_is_used_twice() {
    if !has_module() {
        return;
    }
    const EXPLICIT_NONCE_BYTES: usize = 8;
    const CHANGE_CIPHER_SPEC: u8 = 20;
    let bytes = patterned(500_000, 3);
    let file = file_of(&bytes);
    for cipher in [Cipher::Aes128Gcm, Cipher::Aes256Gcm] {
        let (mut socket, _, mut client) =
            sealed_by_the_kernel(Version::Tls12, cipher, Buffers::default());
        let mut send = HeadThenFile::new(HEAD, Transfer::new(&file, 0, 500_000));
        assert_eq!(
            send_all(&mut send, &socket, &mut client, u64::MAX),
            Progress::Complete
        );
        while socket.finish().unwrap() == Finish::WouldBlock {
            client.read_until_writable(&socket);
        }
        drop(socket);
        client.read_to_end().unwrap();
        assert_same_bytes(&client.opened, &[HEAD, &bytes].concat());
        let records = client.records();
        let plain = records
            .iter()
            .position(|record| record.content_type == CHANGE_CIPHER_SPEC);
        // What is sealed begins with Finished.
        let sealed = &records[plain.unwrap() + 1..];
        let nonces: BTreeSet<&[u8]> = sealed
            .iter()
            .map(|record| &record.sealed[..EXPLICIT_NONCE_BYTES])
            .collect();
        assert!(sealed.len() > 30);
        assert_eq!(nonces.len(), sealed.len(), "a nonce was used twice");
    }
}

/// The lengths of the contents of records of application data.
fn lengths(
    version: Version,
    cipher: Cipher,
    head_apart: bool,
    offset: u64,
    length: u64,
) -> Vec<usize> {
    let bytes = patterned((offset + length) as usize, 4);
    let file = file_of(&bytes);
    let buffers = Buffers {
        send: Some(1 << 20),
        receive: Some(1 << 20),
    };
    let (mut socket, _, mut client) = sealed_by_the_kernel(version, cipher, buffers);
    let transfer = Transfer::new(&file, offset, length);
    let mut send = HeadThenFile::new(HEAD, transfer);
    if head_apart {
        send = send.with_head_apart();
    }
    // All of it has room, so that no record is cut short by a full buffer.
    assert_eq!(send.advance(&socket, u64::MAX).unwrap(), Progress::Complete);
    let data_records = socket.records().unwrap() as usize;
    assert_eq!(socket.finish().unwrap(), Finish::Complete);
    drop(socket);
    client.read_to_end().unwrap();
    assert_same_bytes(&client.opened, &[HEAD, &bytes[offset as usize..]].concat());
    // The last one is close_notify.
    let records = client.last_records(data_records as u64 + 1);
    let data = &records[..data_records];
    let is_data = |record: &super::ends::Record<'_>| record.content_type == APPLICATION_DATA;
    assert!(data.iter().all(is_data));
    data.iter()
        .map(|record| record.sealed.len() - overhead(version, cipher))
        .collect()
}

#[test]
fn a_head_apart_is_a_record_and_another_one_shares_its_record_with_the_file() {
    if !has_module() {
        return;
    }
    let fills_records = probe().unwrap().fills_records;
    for (version, cipher) in all() {
        for (offset, length) in [(0, 100_000), (4095, 131_072), (1, 16_384), (70_001, 7)] {
            let apart = lengths(version, cipher, true, offset, length);
            assert_eq!(apart[0], HEAD.len(), "{version} {cipher}");
            let shared = lengths(version, cipher, false, offset, length);
            let whole = HEAD.len() + length as usize;
            for lengths in [&apart, &shared] {
                assert_eq!(lengths.iter().sum::<usize>(), whole);
                assert!(
                    lengths.iter().all(|&length| length <= RECORD_BYTES),
                    "{lengths:?}"
                );
            }
            assert_eq!(
                shared[0],
                whole.min(RECORD_BYTES),
                "{version} {cipher} {shared:?}"
            );
            if fills_records {
                assert_eq!(shared.len(), whole.div_ceil(RECORD_BYTES), "{shared:?}");
            }
        }
    }
}

#[test]
fn a_control_message_ends_a_record_that_is_open() {
    if !has_module() {
        return;
    }
    for (version, cipher) in all() {
        let (mut socket, _, mut client) = sealed_by_the_kernel(version, cipher, Buffers::default());
        assert_eq!(send_head(&socket, HEAD, Follows::Body).unwrap(), HEAD.len());
        assert_eq!(socket.records().unwrap(), 0);
        assert_eq!(socket.finish().unwrap(), Finish::Complete);
        assert_eq!(socket.finish().unwrap(), Finish::Complete);
        drop(socket);
        client.read_to_end().unwrap();
        assert!(client.is_closed, "{version} {cipher}");
        assert_same_bytes(&client.opened, HEAD);
        // The open record showed as bytes that TCP had not been handed before, so another close_notify followed.
        let contents = [HEAD.len(), 2, 2].map(|length| length + overhead(version, cipher));
        let records = client.last_records(3);
        let lengths: Vec<usize> = records.iter().map(|record| record.sealed.len()).collect();
        assert_eq!(lengths, contents);
    }
}

#[test]
fn a_fatal_alert_reaches_the_client() {
    if !has_module() {
        return;
    }
    const FATAL_INTERNAL_ERROR: [u8; 2] = [2, 80];
    let (socket, _, mut client) =
        sealed_by_the_kernel(Version::Tls13, Cipher::Aes128Gcm, Buffers::default());
    assert_eq!(
        send_head(&socket, HEAD, Follows::Nothing).unwrap(),
        HEAD.len()
    );
    let sent = socket.send_record(ContentType::Alert, &FATAL_INTERNAL_ERROR);
    assert_eq!(sent.unwrap(), 2);
    drop(socket);
    let error = client.read_to_end().unwrap_err();
    let expected = rustls::AlertDescription::InternalError;
    assert_eq!(error, rustls::Error::AlertReceived(expected));
}

#[test]
fn new_keys_are_set_where_the_kernel_can_and_refused_elsewhere() {
    if !has_module() {
        return;
    }
    let rekeying = probe().unwrap().rekeying;
    for (version, cipher) in all() {
        let (mut socket, mut connection, mut client) =
            sealed_by_the_kernel(version, cipher, Buffers::default());
        send_head(&socket, HEAD, Follows::Nothing).unwrap();
        if version == Version::Tls12 {
            let keys = vec![1; cipher.key_bytes()];
            let secrets =
                zc_core::ktls::SendSecrets::new(version, cipher, &keys, &[2; 12], 0).unwrap();
            assert_eq!(socket.rekey(&secrets), Err(Refusal::CannotRekey));
        } else {
            let (sequence, keys) = connection.update_tx_secret().unwrap();
            let secrets = send_secrets(connection.protocol_version(), sequence, &keys).unwrap();
            if !rekeying {
                // Nothing was announced, so the old key goes on.
                assert_eq!(socket.rekey(&secrets), Err(Refusal::CannotRekey));
            } else {
                let sent = socket.send_record(ContentType::Handshake, &KEY_UPDATE);
                assert_eq!(sent.unwrap(), KEY_UPDATE.len());
                socket.rekey(&secrets).unwrap();
                assert_eq!(
                    (socket.sequence().unwrap(), socket.records().unwrap()),
                    (0, 0)
                );
            }
        }
        send_head(&socket, HEAD, Follows::Nothing).unwrap();
        assert_eq!(socket.finish().unwrap(), Finish::Complete);
        drop(socket);
        client.read_to_end().unwrap();
        assert!(client.is_closed);
        assert_same_bytes(&client.opened, &[HEAD, HEAD].concat());
    }
}

#[test]
fn the_kernel_counts_its_senders_and_no_faults() {
    if !has_module() {
        return;
    }
    let count = |name: &str| -> u64 {
        let counts = std::fs::read_to_string("/proc/net/tls_stat").unwrap();
        let line = counts.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    };
    let before = count("TlsTxSw ");
    let (socket, _, _client) =
        sealed_by_the_kernel(Version::Tls13, Cipher::Aes128Gcm, Buffers::default());
    assert!(count("TlsTxSw ") > before);
    assert!(count("TlsCurrTxSw ") > 0);
    assert_eq!(count("TlsDecryptError "), 0);
    drop(socket);
}

#[test]
fn nothing_that_is_shown_has_a_secret_in_it() {
    if !has_module() {
        return;
    }
    let (socket, _, _client) =
        sealed_by_the_kernel(Version::Tls13, Cipher::Aes128Gcm, Buffers::default());
    let shown = format!("{socket:?}");
    for name in ["key", "iv", "secret"] {
        assert!(!shown.to_lowercase().contains(name), "{shown}");
    }
}
