//! A client that shakes hands as everybody does, and then sends whatever records it is told to.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundPlainMessage,
};
use rustls::crypto::tls13::OkmBlock;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConnection, ConnectionTrafficSecrets, ContentType, KeyLog, ProtocolVersion,
    SupportedCipherSuite, Tls13CipherSuite,
};

use super::Version;
use crate::harness::tls::client_config_with;
use crate::harness::{HANG, Server};

const HEADER_BYTES: usize = 5;
const KEY_BYTES: usize = 32;
/// The hash of the one cipher of TLS 1.3 that this client has is SHA-384.
const SECRET_BYTES: usize = 48;

pub(super) struct RawClient {
    stream: TcpStream,
    /// The end of the handshake, which goes in one piece with the first record.
    unsent: Vec<u8>,
    suite: SupportedCipherSuite,
    sealer: Box<dyn MessageEncrypter>,
    sent: u64,
    opener: Box<dyn MessageDecrypter>,
    received: u64,
    secrets: Arc<TrafficSecrets>,
}

/// The secrets of TLS 1.3, by their labels.
#[derive(Debug, Default)]
struct TrafficSecrets(Mutex<HashMap<String, Vec<u8>>>);

impl KeyLog for TrafficSecrets {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let mut secrets = self.0.lock().expect("no panic");
        secrets.insert(label.to_owned(), secret.to_owned());
    }
}

impl TrafficSecrets {
    /// The next key of one side.
    fn next(&self, suite: &Tls13CipherSuite, label: &str) -> (AeadKey, Iv) {
        let mut secrets = self.0.lock().expect("no panic");
        let secret = secrets.get_mut(label).expect("it is logged");
        *secret = expand::<SECRET_BYTES>(suite, secret, "traffic upd").to_vec();
        let key = expand::<KEY_BYTES>(suite, secret, "key");
        (key.into(), Iv::new(expand(suite, secret, "iv")))
    }
}

/// HKDF-Expand-Label of RFC 8446 §7.1.
fn expand<const N: usize>(suite: &Tls13CipherSuite, secret: &[u8], label: &str) -> [u8; N] {
    let label = format!("tls13 {label}");
    let length = u16::try_from(N).expect("short").to_be_bytes();
    let label_length = [u8::try_from(label.len()).expect("short")];
    let info = [&length[..], &label_length, label.as_bytes(), &[0]];
    let expander = suite.hkdf_provider.expander_for_okm(&OkmBlock::new(secret));
    let mut out = [0; N];
    expander.expand_slice(&info, &mut out).expect("short");
    out
}

impl RawClient {
    /// One whose handshake is over. The last part of it waits for the first record.
    pub(super) fn shaken(server: &Server, version: Version) -> Self {
        let mut provider = default_provider();
        provider.cipher_suites = vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ];
        let secrets = Arc::new(TrafficSecrets::default());
        let mut config = client_config_with(provider, version);
        config.enable_secret_extraction = true;
        config.key_log = Arc::clone(&secrets) as Arc<dyn KeyLog>;
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = TcpStream::connect(server.address).expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(HANG)).expect("a timeout");
        let mut unsent = Vec::new();
        loop {
            while tls.wants_write() {
                tls.write_tls(&mut unsent).expect("memory");
            }
            if !tls.is_handshaking() {
                break;
            }
            stream.write_all(&unsent).expect("the server reads");
            unsent.clear();
            // No more than that: what is behind it is not lost with the connection.
            let record = next_record(&mut stream).expect("a record");
            tls.read_tls(&mut &record[..]).expect("memory");
            tls.process_new_packets().expect("a handshake");
        }
        let suite = tls.negotiated_cipher_suite().expect("a suite");
        let keys = tls.dangerous_extract_secrets().expect("allowed");
        let ((sent, write), (received, read)) = (keys.tx, keys.rx);
        let (sealer, opener) = ciphers(suite, key_and_iv(write), key_and_iv(read));
        Self {
            stream,
            unsent,
            suite,
            sealer,
            sent,
            opener,
            received,
            secrets,
        }
    }

    /// Of TLS 1.3, a record with this much padding.
    pub(super) fn send_padded(&mut self, content_type: ContentType, plain: &[u8], padding: usize) {
        let mut padded = plain.to_vec();
        padded.push(content_type.into());
        padded.resize(plain.len() + padding, 0);
        // The last zero stands where the type does without padding.
        self.send(ContentType::Unknown(0), &padded);
    }

    /// Sends a record. The server may have ended the connection.
    pub(super) fn send(&mut self, content_type: ContentType, plain: &[u8]) {
        let message = OutboundPlainMessage {
            typ: content_type,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(plain),
        };
        let record = self.sealer.encrypt(message, self.sent).expect("a record");
        self.sent += 1;
        self.unsent.extend(record.encode());
        let _ = self.stream.write_all(&self.unsent);
        self.unsent.clear();
    }

    /// Sends bytes that are no records, and then ends its side; whether the server has read them all.
    pub(super) fn talk_on(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.shutdown(Shutdown::Write)?;
        let rest = self.stream.read(&mut [0])?;
        assert_eq!(rest, 0, "nothing comes behind the alert");
        Ok(())
    }

    /// Goes on with the next key for what it sends.
    pub(super) fn use_next_key(&mut self) {
        let suite = self.suite.tls13().expect("TLS 1.3");
        let (key, iv) = self.secrets.next(suite, "CLIENT_TRAFFIC_SECRET_0");
        self.sealer = suite.aead_alg.encrypter(key, iv);
        self.sent = 0;
    }

    /// The next record and its type, which is no handshake message. `None` at the end of the connection.
    pub(super) fn receive(&mut self) -> Option<(ContentType, Vec<u8>)> {
        loop {
            let mut record = next_record(&mut self.stream)?;
            let content_type = ContentType::from(record[0]);
            let payload = &mut record[HEADER_BYTES..];
            let message =
                InboundOpaqueMessage::new(content_type, ProtocolVersion::TLSv1_2, payload);
            let opened = self.opener.decrypt(message, self.received).expect("ours");
            self.received += 1;
            let plain = opened.payload.to_vec();
            match (opened.typ, &plain[..]) {
                (ContentType::Handshake, [24, 0, 0, 1, 0]) => {
                    let suite = self.suite.tls13().expect("TLS 1.3");
                    let (key, iv) = self.secrets.next(suite, "SERVER_TRAFFIC_SECRET_0");
                    self.opener = suite.aead_alg.decrypter(key, iv);
                    self.received = 0;
                }
                // Tickets.
                (ContentType::Handshake, _) => {}
                (content_type, _) => return Some((content_type, plain)),
            }
        }
    }
}

/// The next record as it stands, with its header.
fn next_record(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut record = vec![0; HEADER_BYTES];
    let mut read = |bytes: &mut [u8]| match stream.read_exact(bytes) {
        Ok(()) => Some(()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("it hangs"),
        Err(_) => None,
    };
    read(&mut record)?;
    let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(HEADER_BYTES + length, 0);
    read(&mut record[HEADER_BYTES..])?;
    Some(record)
}

fn key_and_iv(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    match secrets {
        ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => panic!("another cipher was agreed on"),
    }
}

fn ciphers(
    suite: SupportedCipherSuite,
    (write_key, write_iv): (AeadKey, Iv),
    (read_key, read_iv): (AeadKey, Iv),
) -> (Box<dyn MessageEncrypter>, Box<dyn MessageDecrypter>) {
    match suite {
        SupportedCipherSuite::Tls13(suite) => (
            suite.aead_alg.encrypter(write_key, write_iv),
            suite.aead_alg.decrypter(read_key, read_iv),
        ),
        SupportedCipherSuite::Tls12(suite) => (
            suite.aead_alg.encrypter(write_key, write_iv.as_ref(), &[]),
            suite.aead_alg.decrypter(read_key, read_iv.as_ref()),
        ),
    }
}
