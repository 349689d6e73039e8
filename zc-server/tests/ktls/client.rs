//! A client of rustls.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedCipherSuite, version};
use zc_core::ktls::{Cipher, Version};

use super::harness::HANG;

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    der: CertificateDer<'static>,
}

/// One for `localhost`, the same in all tests.
pub(crate) fn certificate() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Pair {
            certificate: own.cert.pem(),
            key: own.signing_key.serialize_pem(),
            der: own.cert.der().clone(),
        }
    })
}

/// Each version with each cipher that the kernel has.
pub(crate) fn all() -> Vec<(Version, Cipher)> {
    let support = zc_core::ktls::probe().unwrap();
    let with_ciphers = |version| Cipher::ALL.map(|cipher| (version, cipher));
    let all = Version::ALL.into_iter().flat_map(with_ciphers);
    all.filter(|&(version, cipher)| support.has(version, cipher))
        .collect()
}

/// One of each version that can be sealed here, for what does not depend on the cipher: these kernels run on machines
/// that are interpreted, where a megabyte takes a quarter of a second.
pub(crate) fn one_of_each_version() -> Vec<(Version, Cipher)> {
    let mut suites = all();
    suites.dedup_by_key(|(version, _)| *version);
    suites
}

fn suite(version: Version, cipher: Cipher) -> SupportedCipherSuite {
    match (version, cipher) {
        (Version::Tls13, Cipher::Aes128Gcm) => cipher_suite::TLS13_AES_128_GCM_SHA256,
        (Version::Tls13, Cipher::Aes256Gcm) => cipher_suite::TLS13_AES_256_GCM_SHA384,
        (Version::Tls13, _) => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        (Version::Tls12, Cipher::Aes128Gcm) => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        }
        (Version::Tls12, Cipher::Aes256Gcm) => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        }
        (Version::Tls12, _) => cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    /// close_notify, then FIN.
    Closed,
    /// FIN alone.
    Cut,
    /// A reset.
    Reset,
    Failed(rustls::Error),
}

pub(crate) struct Client {
    pub(crate) connection: ClientConnection,
    pub(crate) socket: TcpStream,
    /// Application data that nobody took.
    pub(crate) opened: Vec<u8>,
    has_closed: bool,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// After its handshake. `receive_buffer` is in bytes.
    pub(crate) fn connect(
        address: SocketAddr,
        (tls, cipher): (Version, Cipher),
        receive_buffer: Option<usize>,
    ) -> Self {
        let provider = CryptoProvider {
            cipher_suites: vec![suite(tls, cipher)],
            ..aws_lc_rs::default_provider()
        };
        let versions = match tls {
            Version::Tls13 => [&version::TLS13],
            Version::Tls12 => [&version::TLS12],
        };
        let mut roots = RootCertStore::empty();
        roots.add(certificate().der.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket.connect(&address.into()).unwrap();
        socket.set_read_timeout(Some(HANG)).unwrap();
        let mut client = Self {
            connection: ClientConnection::new(Arc::new(config), name).unwrap(),
            socket: socket.into(),
            opened: Vec::new(),
            has_closed: false,
        };
        client.connection.complete_io(&mut client.socket).unwrap();
        client
    }

    /// Sends what rustls has to send.
    pub(crate) fn flush(&mut self) {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.socket).unwrap();
        }
    }

    pub(crate) fn send(&mut self, request: &str) {
        self.connection
            .writer()
            .write_all(request.as_bytes())
            .unwrap();
        self.flush();
    }

    /// Sends a GET with these field lines, each ended by CR LF.
    pub(crate) fn ask(&mut self, target: &str, fields: &str) {
        self.send(&format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"
        ));
    }

    /// Sends a GET, and in the same segment that nothing more comes.
    pub(crate) fn ask_and_close(&mut self, target: &str, is_notified: bool) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.connection
            .writer()
            .write_all(request.as_bytes())
            .unwrap();
        self.close_write(is_notified);
    }

    pub(crate) fn get(&mut self, target: &str, fields: &str) -> Response {
        self.ask(target, fields);
        self.response(false)
    }

    /// Sends close_notify, or FIN.
    pub(crate) fn close_write(&mut self, is_notified: bool) {
        if is_notified {
            self.connection.send_close_notify();
            self.flush();
        } else {
            self.flush();
            self.socket.shutdown(Shutdown::Write).unwrap();
        }
    }

    /// Reads a few KiB. `Err` when that was the end.
    pub(crate) fn read_a_little(&mut self) -> Result<(), End> {
        if self.has_closed {
            // rustls reads nothing after close_notify, and the server may have sent another one.
            return match self.socket.read(&mut [0; 4096]) {
                Ok(0) => Err(End::Closed),
                Ok(_) => Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
                Err(error) => Err(end_of(error.kind())),
            };
        }
        match self.connection.read_tls(&mut self.socket) {
            Ok(0) => return Err(End::Cut),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(end_of(error.kind())),
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
        self.has_closed |= answer.map_err(End::Failed)?.peer_has_closed();
        // An answer to a KeyUpdate.
        if !self.has_closed {
            while self.connection.wants_write()
                && self.connection.write_tls(&mut self.socket).is_ok()
            {}
        }
        Ok(())
    }

    /// Reads to the end of the connection.
    pub(crate) fn read_to_end(&mut self) -> End {
        loop {
            if let Err(end) = self.read_a_little() {
                return end;
            }
        }
    }

    /// Reads until so many bytes have come that nobody took.
    #[track_caller]
    pub(crate) fn read_up_to(&mut self, count: usize) {
        while self.opened.len() < count {
            self.read_a_little().expect("the connection goes on");
        }
    }

    #[track_caller]
    pub(crate) fn response(&mut self, is_head: bool) -> Response {
        let end = loop {
            let found = self.opened.windows(4).position(|at| at == b"\r\n\r\n");
            if let Some(at) = found {
                break at + 4;
            }
            self.read_a_little().expect("a head");
        };
        let head: Vec<u8> = self.opened.drain(..end).collect();
        let head = String::from_utf8(head).expect("heads are ASCII");
        let status = head[9..12].parse().expect("a status code");
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let fields: BTreeMap<String, String> = lines
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = match fields.get("content-length") {
            Some(value) if !is_head && status != 304 => value.parse().expect("a length"),
            _ => 0,
        };
        self.read_up_to(length);
        let body = self.opened.drain(..length).collect();
        Response {
            status,
            fields,
            body,
        }
    }
}

fn end_of(kind: ErrorKind) -> End {
    match kind {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => End::Reset,
        kind => panic!("the client failed: {kind}"),
    }
}
