//! What a connection of the load generator sends and receives by: TCP alone, or TLS on it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use mio::net::TcpStream;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, Stream};

/// What is discarded in one call at most, in bytes.
const DISCARD_BYTES_MAX: usize = 1 << 20;
/// What is read from a socket in one call, in bytes: rustls by itself reads 4 KiB.
const READ_BYTES: usize = 64 << 10;
/// Tickets that are kept for connections to come.
const TICKETS_MAX: usize = 1024;
/// The name that certificates of the benchmark are for.
pub const SERVER_NAME: &str = "localhost";

/// The cipher of TLS 1.3 that a client offers, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// `TLS_AES_128_GCM_SHA256`.
    Aes128Gcm,
    /// `TLS_CHACHA20_POLY1305_SHA256`.
    ChaCha20Poly1305,
}

/// How a client speaks TLS 1.3: the key exchange is X25519, which every server has.
#[derive(Debug, Clone)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Trusts the certificate in `certificate` (PEM). With `resumes`, a connection goes on with the
    /// session of one before it, where the server lets it.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is no certificate.
    pub fn new(certificate: &Path, cipher: Cipher, resumes: bool) -> io::Result<Self> {
        let certificate = CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?;
        let mut authorities = rustls::RootCertStore::empty();
        authorities.add(certificate).map_err(io::Error::other)?;
        let suite = match cipher {
            Cipher::Aes128Gcm => CipherSuite::TLS13_AES_128_GCM_SHA256,
            Cipher::ChaCha20Poly1305 => CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        };
        let mut provider: CryptoProvider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|has| has.suite() == suite);
        provider
            .kx_groups
            .retain(|has| has.name() == NamedGroup::X25519);
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        config.resumption = if resumes {
            Resumption::store(Arc::new(Tickets::default()))
        } else {
            Resumption::disabled()
        };
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn session(&self) -> io::Result<ClientConnection> {
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)
    }
}

/// The tickets of one server, each of which is used once.
#[derive(Debug, Default)]
struct Tickets(Mutex<VecDeque<Tls13ClientSessionValue>>);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.push_back(ticket);
        if tickets.len() > TICKETS_MAX {
            tickets.pop_front();
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest: a server may have forgotten the others.
        tickets.pop_back()
    }
}

/// What bytes go by.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls {
        session: Box<ClientConnection>,
        socket: Buffered,
    },
}

impl Transport {
    pub(super) fn new(socket: TcpStream, tls: Option<&Tls>) -> io::Result<Self> {
        Ok(match tls {
            None => Self::Plain(socket),
            Some(tls) => Self::Tls {
                session: Box::new(tls.session()?),
                socket: Buffered::new(socket),
            },
        })
    }

    pub(super) fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls { socket, .. } => &mut socket.socket,
        }
    }

    /// Whether the session of an earlier connection was gone on with.
    pub(super) fn is_resumed(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls { session, .. } => session.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Drops up to `wanted` bytes, without a copy where TCP is all that there is.
    pub(super) fn discard(&mut self, wanted: usize) -> io::Result<usize> {
        thread_local! {
            // Of TCP, the kernel wants a buffer of that length, and does not touch it.
            static NOWHERE: std::cell::RefCell<Vec<u8>> =
                std::cell::RefCell::new(vec![0; DISCARD_BYTES_MAX]);
        }
        NOWHERE.with_borrow_mut(|nowhere| {
            let nowhere = &mut nowhere[..wanted.min(DISCARD_BYTES_MAX)];
            let Self::Plain(socket) = self else {
                return self.read(nowhere);
            };
            loop {
                match recv(socket.as_raw_fd(), nowhere, MsgFlags::MSG_TRUNC) {
                    Err(Errno::EINTR) => {}
                    answer => return answer.map_err(io::Error::from),
                }
            }
        })
    }
}

impl Read for Transport {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(room),
            Self::Tls { session, socket } => {
                match Stream::new(&mut **session, socket).read(room) {
                    // Without close_notify. Who counts sees whether the response was whole.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                    outcome => outcome,
                }
            }
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls { session, socket } => {
                match Stream::new(&mut **session, socket).write(bytes) {
                    // The connection ended within the handshake.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        Err(io::ErrorKind::BrokenPipe.into())
                    }
                    outcome => outcome,
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that is read many records at a time.
#[derive(Debug)]
pub(super) struct Buffered {
    socket: TcpStream,
    buffer: Vec<u8>,
    /// Where what has not been taken begins.
    taken: usize,
}

impl Buffered {
    fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
            taken: 0,
        }
    }
}

impl Read for Buffered {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.buffer.len() {
            self.taken = 0;
            self.buffer.resize(READ_BYTES, 0);
            let outcome = self.socket.read(&mut self.buffer);
            self.buffer.truncate(*outcome.as_ref().unwrap_or(&0));
            outcome?;
        }
        let count = (&self.buffer[self.taken..]).read(room)?;
        self.taken += count;
        Ok(count)
    }
}

impl Write for Buffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
