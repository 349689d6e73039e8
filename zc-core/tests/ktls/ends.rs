//! The two ends of a TLS connection: a server whose secrets the kernel gets, and a client of rustls that keeps the
//! bytes of the wire.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;

use nix::poll::PollFlags;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::kernel::KernelConnection;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::ServerConnectionData;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedCipherSuite, version,
};
use zc_core::ktls::{Cipher, KernelTls, KernelTlsSocket, Version};
use zc_core::{Body, HeadThenFile, Progress};

use super::common::{tcp_pair, wait_for};
use super::https_one_file::{Session, take_secrets};

/// Each version with each cipher.
pub fn all() -> impl Iterator<Item = (Version, Cipher)> {
    let with_ciphers = |version| Cipher::ALL.map(|cipher| (version, cipher));
    Version::ALL.into_iter().flat_map(with_ciphers)
}

/// Buffers of a connection, in bytes; `None` leaves them at the system's size.
#[derive(Debug, Clone, Copy, Default)]
pub struct Buffers {
    pub send: Option<usize>,
    pub receive: Option<usize>,
}

fn suite(version: Version, cipher: Cipher) -> SupportedCipherSuite {
    match (version, cipher) {
        (Version::Tls13, Cipher::Aes128Gcm) => cipher_suite::TLS13_AES_128_GCM_SHA256,
        (Version::Tls13, Cipher::Aes256Gcm) => cipher_suite::TLS13_AES_256_GCM_SHA384,
        (Version::Tls13, Cipher::Chacha20Poly1305) => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        (Version::Tls12, Cipher::Aes128Gcm) => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        }
        (Version::Tls12, Cipher::Aes256Gcm) => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        }
        (Version::Tls12, Cipher::Chacha20Poly1305) => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        }
    }
}

fn configs(tls: Version, cipher: Cipher) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![suite(tls, cipher)],
        ..aws_lc_rs::default_provider()
    });
    let versions = match tls {
        Version::Tls12 => [&version::TLS12],
        Version::Tls13 => [&version::TLS13],
    };
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    server.enable_secret_extraction = true;
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// A connection after its handshake, which rustls has made on both sides. Both sockets are nonblocking.
pub fn shake_hands(tls: Version, cipher: Cipher, buffers: Buffers) -> (Session, Client) {
    let (server_config, client_config) = configs(tls, cipher);
    let (server, client) = tcp_pair(buffers.send, buffers.receive);
    server.set_nonblocking(false).unwrap();
    client.set_nonblocking(false).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = Client {
        connection: ClientConnection::new(client_config, name).unwrap(),
        wire: Wire {
            socket: client,
            received: Vec::new(),
        },
        opened: Vec::new(),
        is_closed: false,
    };
    let client = thread::spawn(move || {
        client.connection.complete_io(&mut client.wire).unwrap();
        client
    });
    let mut session = Session::new(server, &server_config).unwrap();
    session.handshake().unwrap();
    let client = client.join().unwrap();
    session.socket.set_nonblocking(true).unwrap();
    client.wire.socket.set_nonblocking(true).unwrap();
    (session, client)
}

/// The same, and the kernel seals what the server sends.
pub fn sealed_by_the_kernel(
    tls: Version,
    cipher: Cipher,
    buffers: Buffers,
) -> (
    KernelTlsSocket<TcpStream>,
    KernelConnection<ServerConnectionData>,
    Client,
) {
    let (session, client) = shake_hands(tls, cipher, buffers);
    let ready = KernelTls::attach(session.socket).unwrap();
    let (secrets, connection) = take_secrets(session.connection).unwrap();
    (ready.start(secrets).unwrap(), connection, client)
}

/// A socket that keeps what was received.
pub struct Wire {
    pub socket: TcpStream,
    pub received: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.read(buffer)?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The client of rustls.
pub struct Client {
    pub connection: ClientConnection,
    pub wire: Wire,
    /// Application data.
    pub opened: Vec<u8>,
    /// Whether close_notify was received.
    pub is_closed: bool,
}

impl Client {
    /// Reads what one call gives, of a few KiB at most. False when nothing is there, or at the end.
    pub fn read_a_little(&mut self) -> Result<bool, rustls::Error> {
        if self.is_closed {
            // rustls reads nothing after close_notify, and the server may have sent another one.
            let mut buffer = [0; 4096];
            return Ok(matches!(self.wire.read(&mut buffer), Ok(1..)));
        }
        match self.connection.read_tls(&mut self.wire) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => panic!("the client failed: {error}"),
        }
        let answer = self.connection.process_new_packets();
        // What came before a fatal alert is application data still.
        loop {
            let mut buffer = [0; 16 << 10];
            match self.connection.reader().read(&mut buffer) {
                Ok(count) if count > 0 => self.opened.extend_from_slice(&buffer[..count]),
                _ => break,
            }
        }
        self.is_closed |= answer?.peer_has_closed();
        Ok(true)
    }

    /// Reads until the end of the connection.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Result<(), rustls::Error> {
        loop {
            wait_for([(self.wire.socket.as_fd(), PollFlags::POLLIN)]);
            let mut buffer = [0];
            if matches!(self.wire.socket.peek(&mut buffer), Ok(0)) {
                return Ok(());
            }
            self.read_a_little()?;
        }
    }

    /// Reads as little as makes `socket` writable.
    #[track_caller]
    pub fn read_until_writable(&mut self, socket: impl AsFd) {
        loop {
            let [ready, _] = wait_for([
                (socket.as_fd(), PollFlags::POLLOUT),
                (self.wire.socket.as_fd(), PollFlags::POLLIN),
            ]);
            if !ready.is_empty() {
                return;
            }
            self.read_a_little().unwrap();
        }
    }

    /// The last `count` records: those that the kernel has sealed, if it was so many.
    pub fn last_records(&self, count: u64) -> Vec<Record<'_>> {
        let mut records = self.records();
        records.split_off(records.len() - count as usize)
    }

    /// The records that were received.
    pub fn records(&self) -> Vec<Record<'_>> {
        records(&self.wire.received)
    }
}

/// A record as it is on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Record<'b> {
    pub content_type: u8,
    pub sealed: &'b [u8],
}

/// Cuts the bytes of the wire into records.
pub fn records(mut bytes: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    while let Some((&[content_type, _, _, high, low], rest)) = bytes.split_first_chunk() {
        let (sealed, rest) = rest.split_at(usize::from(u16::from_be_bytes([high, low])));
        records.push(Record {
            content_type,
            sealed,
        });
        bytes = rest;
    }
    assert_eq!(bytes.len(), 0, "the last record is cut");
    records
}

/// By how much what is sealed is longer than the content.
pub fn overhead(version: Version, cipher: Cipher) -> usize {
    match (version, cipher) {
        (Version::Tls13, _) => 17,
        (Version::Tls12, Cipher::Chacha20Poly1305) => 16,
        (Version::Tls12, _) => 24,
    }
}

/// Sends all of it. The client reads only when the socket accepts nothing more.
#[track_caller]
pub fn send_all<B: Body>(
    send: &mut HeadThenFile<&[u8], B>,
    socket: &KernelTlsSocket<TcpStream>,
    client: &mut Client,
    budget: u64,
) -> Progress {
    loop {
        match send.advance(socket, budget).unwrap() {
            Progress::WouldBlock => client.read_until_writable(socket),
            Progress::BudgetSpent | Progress::NeedsDisk(_) => {}
            end @ (Progress::Complete | Progress::SourceTruncated(_)) => return end,
        }
    }
}
