//! TLS for the clients of the tests, and a certificate for their servers: with `TEST_TLS=1.3` or `1.2` the tests ask
//! by HTTPS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version::TLS12,
    version::TLS13,
};
use sha2::{Digest, Sha256};

/// The version of TLS that tests ask by; `None` where they ask by HTTP.
pub(crate) fn version() -> Option<&'static SupportedProtocolVersion> {
    let version = std::env::var_os("TEST_TLS")?;
    Some(match version.to_str() {
        Some("1.3") => &TLS13,
        Some("1.2") => &TLS12,
        _ => panic!("TEST_TLS is 1.2 or 1.3, and not {}", version.display()),
    })
}

/// Whether tests ask by HTTPS: then a test of the sockets below has nothing to test, and says why.
pub(crate) fn says_not_by_tls(why: &str) -> bool {
    let is_tls = version().is_some();
    if is_tls {
        println!("by HTTPS there is nothing to test: {why}");
    }
    is_tls
}

/// The send path that the log has for what goes by `path` over HTTP.
pub(crate) fn sent_by(path: &str) -> &str {
    match (version(), path) {
        (None, path) | (Some(_), path @ "none") => path,
        (Some(_), "memory") => "tls-memory",
        (Some(_), _) => "tls-copy",
    }
}

/// A certificate for `localhost` and the loopback addresses, and the authority that it is signed with.
pub(crate) struct Certificate {
    pub(crate) authority_pem: String,
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
    key: KeyPair,
    roots: Arc<RootCertStore>,
}

impl Certificate {
    /// The name of its key for Chromium: the SHA-256 of its DER, in base64.
    pub(crate) fn key_hash(&self) -> String {
        let hash = Sha256::digest(self.key.subject_public_key_info());
        base64(&hash)
    }
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(padded);
        for digit in 0..4 {
            let index = bits >> (18 - 6 * digit) & 63;
            let is_padding = digit > group.len();
            text.push(if is_padding {
                '='
            } else {
                DIGITS[index as usize].into()
            });
        }
    }
    text
}

/// Made once, for all servers of this process.
pub(crate) static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| {
    let mut authority = CertificateParams::new([]).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(rcgen::DnType::CommonName, "authority of a test");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key"));
    let authority = authority.expect("a certificate");
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut server = CertificateParams::new(names).expect("names");
    // Some clients take no certificate without it.
    server.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().expect("a key");
    let server = server.signed_by(&key, &authority).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("a certificate");
    Certificate {
        authority_pem: authority.pem(),
        chain_pem: server.pem(),
        key_pem: key.serialize_pem(),
        key,
        roots: Arc::new(roots),
    }
});

/// The certificate and its key, in files.
pub(crate) struct CertificateFiles {
    chain: PathBuf,
    key: PathBuf,
    _directory: tempfile::TempDir,
}

impl CertificateFiles {
    pub(crate) fn write() -> Self {
        let directory = super::temp_root();
        let path = |name| directory.path().join(name);
        let write = |path: &Path, pem: &str| std::fs::write(path, pem).expect("a file");
        let (chain, key) = (path("chain.pem"), path("key.pem"));
        write(&chain, &CERTIFICATE.chain_pem);
        write(&key, &CERTIFICATE.key_pem);
        Self {
            chain,
            key,
            _directory: directory,
        }
    }

    /// The options of a server on a port that is free.
    pub(crate) fn options(&self) -> [String; 6] {
        let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let words = ["--tls-cert", "--tls-key", "--tls-bind", "127.0.0.1:0"];
        let [chain, key, bind, address] = words.map(str::to_owned);
        [
            chain,
            path(&self.chain),
            key,
            path(&self.key),
            bind,
            address,
        ]
    }
}

/// The settings of clients that know the authority.
pub(crate) fn client_config(version: &'static SupportedProtocolVersion) -> ClientConfig {
    client_config_with(default_provider(), version)
}

/// The same with other ciphers.
pub(crate) fn client_config_with(
    provider: CryptoProvider,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(Arc::clone(&CERTIFICATE.roots))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Those of this process, for [`version`].
static CONFIG: LazyLock<Option<Arc<ClientConfig>>> =
    LazyLock::new(|| version().map(|version| Arc::new(client_config(version))));

/// The client's side of a connection, which one thread may read while another one sends.
pub(crate) struct ClientTls {
    connection: Mutex<ClientConnection>,
    /// Held while records go out, so that they go in order.
    sending: Mutex<()>,
}

impl ClientTls {
    /// `None` where tests ask by HTTP.
    pub(crate) fn new() -> Option<Self> {
        CONFIG.as_ref().map(|config| Self::with(Arc::clone(config)))
    }

    pub(crate) fn with(config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut connection = ClientConnection::new(config, name).expect("a client");
        connection.set_buffer_limit(None);
        Self {
            connection: Mutex::new(connection),
            sending: Mutex::new(()),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, ClientConnection> {
        self.connection.lock().expect("no panic")
    }

    pub(crate) fn shake_hands(&self, mut stream: &TcpStream) -> io::Result<()> {
        while self.lock().is_handshaking() {
            self.lock().complete_io(&mut stream)?;
        }
        Ok(())
    }

    /// Seals these bytes, and sends them.
    pub(crate) fn send(&self, stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        self.shake_hands(stream)?;
        self.send_after(stream, |connection| connection.writer().write_all(bytes))
    }

    /// Tells the server that nothing more comes.
    pub(crate) fn close(&self, stream: &TcpStream) -> io::Result<()> {
        self.send_after(stream, |connection| {
            connection.send_close_notify();
            Ok(())
        })
    }

    /// Sends what there is to send after a change of the connection.
    pub(crate) fn send_after(
        &self,
        mut stream: &TcpStream,
        change: impl FnOnce(&mut ClientConnection) -> io::Result<()>,
    ) -> io::Result<()> {
        let _sending = self.sending.lock().expect("no panic");
        let sealed = self.sealed_after(change)?;
        stream.write_all(&sealed)
    }

    /// What there is to send after a change of the connection.
    pub(crate) fn sealed_after(
        &self,
        change: impl FnOnce(&mut ClientConnection) -> io::Result<()>,
    ) -> io::Result<Vec<u8>> {
        let mut sealed = Vec::new();
        let mut connection = self.lock();
        change(&mut connection)?;
        while connection.wants_write() {
            connection.write_tls(&mut sealed)?;
        }
        Ok(sealed)
    }

    /// The records of these bytes, which nobody has sent yet.
    pub(crate) fn sealed(&self, bytes: &[u8]) -> Vec<u8> {
        let sealed = self.sealed_after(|connection| connection.writer().write_all(bytes));
        sealed.expect("memory")
    }

    /// What comes next, behind what is in `plain`. Zero at the end. That the connection ends without a word of it
    /// is an error.
    pub(crate) fn receive(&self, mut stream: &TcpStream, plain: &mut Vec<u8>) -> io::Result<usize> {
        let before = plain.len();
        loop {
            let has_closed = open_all(&mut self.lock(), plain)?;
            if plain.len() > before {
                return Ok(plain.len() - before);
            }
            let mut chunk = [0; 65536];
            let count = stream.read(&mut chunk)?;
            let mut connection = self.lock();
            match count {
                0 if has_closed || connection.is_handshaking() => return Ok(0),
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                _ => assert!(!has_closed, "bytes behind close_notify"),
            }
            let mut records = &chunk[..count];
            while !records.is_empty() && !open_all(&mut connection, plain)? {
                connection.read_tls(&mut records)?;
            }
            let has_closed = open_all(&mut connection, plain)?;
            assert!(
                !has_closed || records.is_empty(),
                "bytes behind close_notify"
            );
            let must_send = connection.wants_write() && !connection.is_handshaking();
            drop(connection);
            if must_send {
                self.send_after(stream, |_| Ok(()))?;
            }
        }
    }
}

/// Opens what has come; answers whether the peer has said that nothing more comes.
fn open_all(connection: &mut ClientConnection, plain: &mut Vec<u8>) -> io::Result<bool> {
    let state = connection.process_new_packets();
    let state = state.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    let count = state.plaintext_bytes_to_read();
    let start = plain.len();
    plain.resize(start + count, 0);
    connection.reader().read_exact(&mut plain[start..])?;
    Ok(state.peer_has_closed())
}
