//! Serves one file over HTTPS, with rustls and zc-core alone: `https_one_file FILE [ADDR]`.
//!
//! rustls makes the handshake and reads the request. Then the kernel seals the file, or rustls does where the
//! kernel cannot; it prints which of the two. One connection at a time, with a certificate of its own making.
//!
//! To see it: `cargo run -p zc-core --features ktls --example https_one_file -- Cargo.lock`, then
//! `curl -k https://127.0.0.1:8443/`. As root, `modprobe tls` before it.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::kernel::KernelConnection;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ConnectionTrafficSecrets, ProtocolVersion, ServerConfig};
use zc_core::ktls::{Cipher, Finish, KernelTls, SendSecrets, Version};
use zc_core::{HeadThenFile, Progress, Transfer};

/// A request that is longer is refused.
const REQUEST_BYTES_MAX: usize = 16 << 10;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, address) = match arguments.as_slice() {
        [path] => (path, "127.0.0.1:8443"),
        [path, address] => (path, address.as_str()),
        _ => bail!("usage: https_one_file FILE [ADDR]"),
    };
    let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    let config = self_signed()?;
    let fills_records = zc_core::ktls::probe()?.fills_records;
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    println!("https://{}/", listener.local_addr()?);
    for socket in listener.incoming() {
        match serve(socket?, &config, &file, fills_records) {
            Ok(sealed_by) => println!("sealed by {sealed_by}"),
            Err(error) => println!("{error:#}"),
        }
    }
    Ok(())
}

/// A certificate that nobody has signed, and the permission to take the secrets out of a connection.
pub fn self_signed() -> Result<Arc<ServerConfig>> {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let certificates = vec![own.cert.der().clone()];
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// Answers one request, and ends the connection.
pub fn serve(
    socket: TcpStream,
    config: &Arc<ServerConfig>,
    file: &File,
    fills_records: bool,
) -> Result<&'static str> {
    let mut session = Session::new(socket, config)?;
    session.handshake()?;
    let request = session.request()?;
    if !request.starts_with(b"GET ") {
        bail!("a request that is no GET");
    }
    let length = file.metadata()?.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");

    // Before the secrets are taken: without them rustls cannot go on.
    let Session {
        socket, connection, ..
    } = session;
    let ready = match KernelTls::attach(socket) {
        Ok(ready) => ready,
        Err(refused) => {
            println!("{refused}");
            send_by_rustls(refused.socket, connection, head.as_bytes(), file)?;
            return Ok("rustls");
        }
    };
    let mut socket = ready.start(take_secrets(connection)?.0)?;

    let mut send = HeadThenFile::new(head, Transfer::new(file, 0, length));
    if !fills_records {
        send = send.with_head_apart();
    }
    // The socket is a blocking one: each of these calls waits.
    match send.advance(&socket, u64::MAX)? {
        Progress::Complete => {}
        Progress::SourceTruncated(truncated) => return Err(truncated.into()),
        other => bail!("not of a blocking socket: {other:?}"),
    }
    match socket.finish()? {
        Finish::Complete => {}
        Finish::WouldBlock => bail!("not of a blocking socket"),
    }
    linger(socket.get_ref())?;
    Ok("the kernel")
}

/// What the kernel needs, and rustls no longer has; and what makes new keys.
pub fn take_secrets(
    connection: UnbufferedServerConnection,
) -> Result<(SendSecrets, KernelConnection<ServerConnectionData>)> {
    let (secrets, connection) = connection.dangerous_into_kernel_connection()?;
    let (sequence, keys) = &secrets.tx;
    let secrets = send_secrets(connection.protocol_version(), *sequence, keys)?;
    Ok((secrets, connection))
}

/// The same secrets, as zc-core has them.
pub fn send_secrets(
    version: ProtocolVersion,
    sequence: u64,
    keys: &ConnectionTrafficSecrets,
) -> Result<SendSecrets> {
    let version = match version {
        ProtocolVersion::TLSv1_2 => Version::Tls12,
        ProtocolVersion::TLSv1_3 => Version::Tls13,
        other => bail!("{other:?} is not for kernels"),
    };
    let (cipher, key, iv) = match keys {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Cipher::Aes128Gcm, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Cipher::Aes256Gcm, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
            (Cipher::Chacha20Poly1305, key, iv)
        }
        _ => bail!("a cipher that kernels do not have"),
    };
    let (key, iv) = (key.as_ref(), iv.as_ref());
    Ok(SendSecrets::new(version, cipher, key, iv, sequence)?)
}

/// One connection while rustls seals and opens its records.
pub struct Session {
    /// The connection itself.
    pub socket: TcpStream,
    /// What rustls knows of it.
    pub connection: UnbufferedServerConnection,
    /// Bytes that rustls has not taken yet.
    pub sealed: Vec<u8>,
    /// Bytes that it has opened.
    pub opened: Vec<u8>,
}

impl Session {
    /// A connection that nothing was received of.
    pub fn new(socket: TcpStream, config: &Arc<ServerConfig>) -> Result<Self> {
        Ok(Self {
            socket,
            connection: UnbufferedServerConnection::new(Arc::clone(config))?,
            sealed: Vec::new(),
            opened: Vec::new(),
        })
    }

    /// Goes on until application data may be sent.
    pub fn handshake(&mut self) -> Result<()> {
        while !self.is_ready()? {
            self.receive()?;
        }
        Ok(())
    }

    /// The head of a request.
    pub fn request(&mut self) -> Result<Vec<u8>> {
        while !self.opened.windows(4).any(|four| four == b"\r\n\r\n") {
            if self.opened.len() > REQUEST_BYTES_MAX {
                bail!("a request of more than {REQUEST_BYTES_MAX} bytes");
            }
            self.receive()?;
            self.is_ready()?;
        }
        Ok(std::mem::take(&mut self.opened))
    }

    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        match self.socket.read(&mut buffer)? {
            0 => bail!("the client has closed the connection"),
            count => self.sealed.extend_from_slice(&buffer[..count]),
        }
        Ok(())
    }

    /// Has rustls do what it can with what was received. Whether the handshake is over.
    fn is_ready(&mut self) -> Result<bool> {
        let mut outgoing = Vec::new();
        loop {
            let UnbufferedStatus { discard, state, .. } =
                self.connection.process_tls_records(&mut self.sealed);
            let answer = match state? {
                ConnectionState::EncodeTlsData(mut message) => {
                    let begin = outgoing.len();
                    // More than any message of the handshake; the certificate is the longest.
                    outgoing.resize(begin + (64 << 10), 0);
                    let length = message.encode(&mut outgoing[begin..])?;
                    outgoing.truncate(begin + length);
                    None
                }
                ConnectionState::TransmitTlsData(written) => {
                    self.socket.write_all(&outgoing)?;
                    outgoing.clear();
                    written.done();
                    None
                }
                ConnectionState::ReadTraffic(mut records) => {
                    while let Some(record) = records.next_record() {
                        self.opened.extend_from_slice(record?.payload);
                    }
                    None
                }
                ConnectionState::BlockedHandshake => Some(false),
                ConnectionState::WriteTraffic(_) => Some(true),
                other => bail!("the client has ended it: {other:?}"),
            };
            self.sealed.drain(..discard);
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }
}

/// Without the kernel: each byte goes through this program.
fn send_by_rustls(
    mut socket: TcpStream,
    mut connection: UnbufferedServerConnection,
    head: &[u8],
    file: &File,
) -> Result<()> {
    const RECORD_BYTES: usize = 16 << 10;
    let mut sealed = vec![0; RECORD_BYTES + 256];
    let mut buffer = vec![0; RECORD_BYTES];
    let mut opened = head.to_vec();
    let mut offset = 0;
    loop {
        let UnbufferedStatus { state, .. } = connection.process_tls_records(&mut []);
        let ConnectionState::WriteTraffic(mut traffic) = state? else {
            bail!("rustls is not ready to send");
        };
        let length = match opened.as_slice() {
            [] => traffic.queue_close_notify(&mut sealed)?,
            bytes => traffic.encrypt(bytes, &mut sealed)?,
        };
        socket.write_all(&sealed[..length])?;
        if opened.is_empty() {
            return Ok(linger(&socket)?);
        }
        let count = file.read_at(&mut buffer, offset)?;
        offset += count as u64;
        opened.clear();
        opened.extend_from_slice(&buffer[..count]);
    }
}

/// Reads what the client still sends, so that the end of the file is not lost to a reset.
fn linger(mut socket: &TcpStream) -> io::Result<()> {
    socket.shutdown(Shutdown::Write)?;
    match io::copy(&mut socket, &mut io::sink()) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        answer => answer.map(drop),
    }
}
