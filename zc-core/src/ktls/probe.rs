//! What this kernel can do, found out on connections to oneself.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{setsockopt, sockopt};

use super::{
    Cipher, IV_BYTES, KernelTls, Refusal, SEND_BUFFER_BYTES_MIN, SendSecrets, UNSENT_BYTES_MIN,
    Version,
};
use crate::Follows;

/// What kernel TLS can do here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Support {
    /// Why no connection can use it, if so.
    pub refusal: Option<Refusal>,
    /// Each version with each cipher; empty when there is a `refusal`.
    pub ciphers: Vec<CipherSupport>,
    /// Whether [new keys can be set](super::KernelTlsSocket::rekey): from Linux 6.14 on.
    pub rekeying: bool,
    /// Whether `sendfile(2)` fills a record that a head with `MSG_MORE` has begun, up to its end: from Linux
    /// 6.5 on. Otherwise [send heads apart](crate::HeadThenFile::with_head_apart).
    pub fills_records: bool,
}

/// Whether the kernel can seal records of a version with a cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CipherSupport {
    /// The version.
    pub version: Version,
    /// The cipher.
    pub cipher: Cipher,
    /// Why it cannot, if so.
    pub refusal: Option<Refusal>,
}

impl Support {
    /// Whether the kernel can seal records of `version` with `cipher`.
    pub fn has(&self, version: Version, cipher: Cipher) -> bool {
        let is_it = |one: &&CipherSupport| (one.version, one.cipher) == (version, cipher);
        let found = self.ciphers.iter().find(is_it);
        found.is_some_and(|one| one.refusal.is_none())
    }
}

/// Finds out what kernel TLS can do here, by a few connections over the loopback interface. It takes some
/// milliseconds, and may have the kernel load modules for ciphers. It never waits.
///
/// # Errors
///
/// There is no loopback interface, or no descriptor is free.
pub fn probe() -> io::Result<Support> {
    let mut support = Support {
        refusal: None,
        ciphers: Vec::new(),
        rekeying: false,
        fills_records: false,
    };
    if let Err(refused) = KernelTls::attach(connection()?.0) {
        support.refusal = Some(refused.refusal);
        return Ok(support);
    }
    if unsent_bytes_limit().is_some_and(|bytes| bytes < UNSENT_BYTES_MIN) {
        support.refusal = Some(Refusal::FewUnsentBytes);
        return Ok(support);
    }
    if send_buffer_limit().is_some_and(|bytes| bytes < SEND_BUFFER_BYTES_MIN) {
        support.refusal = Some(Refusal::SmallSendBuffers);
        return Ok(support);
    }
    for version in Version::ALL {
        for cipher in Cipher::ALL {
            let enabled = KernelTls::enable(connection()?.0, secrets(version, cipher)?);
            support.ciphers.push(CipherSupport {
                version,
                cipher,
                refusal: enabled.err().map(|refused| refused.refusal),
            });
        }
    }
    let usable = |one: &&CipherSupport| one.refusal.is_none();
    // TLS 1.3 comes later, and it alone has new keys.
    if let Some(&CipherSupport {
        version, cipher, ..
    }) = support.ciphers.iter().rfind(usable)
    {
        support.fills_records = fills_records(&secrets(version, cipher)?)?;
        let enabled = KernelTls::enable(connection()?.0, secrets(version, cipher)?);
        let rekeyed =
            enabled.map(|mut socket| Ok(socket.rekey(&secrets(version, cipher)?).is_ok()));
        support.rekeying = rekeyed.unwrap_or(Ok::<_, io::Error>(false))?;
    }
    Ok(support)
}

/// Whether a head of 100 bytes and a file are sealed as full records, although the file is longer than what
/// `sendfile(2)` passes to the socket at a time, 64 KiB. Otherwise there is one record more.
///
/// A signal cuts a `sendfile` short, and says nothing about the records. The kernel has signals of its own: it
/// interrupts a thread that has closed an io_uring a moment ago.
fn fills_records(secrets: &SendSecrets) -> io::Result<bool> {
    const RECORD_BYTES: u64 = 16 << 10;
    const RECORDS: u64 = 5;
    const HEAD: [u8; 100] = [0; 100];
    const BODY_BYTES: u64 = RECORDS * RECORD_BYTES - HEAD.len() as u64;
    const ATTEMPTS_MAX: u32 = 16;
    let file = File::from(memfd_create("zc-core-ktls-probe", MFdFlags::MFD_CLOEXEC)?);
    file.set_len(BODY_BYTES)?;
    for _ in 0..ATTEMPTS_MAX {
        let (socket, _peer) = connection()?;
        // Room for all of it: where it is sent in parts, so are the records.
        setsockopt(&socket, sockopt::SndBuf, &(BODY_BYTES as usize * 4))?;
        socket.set_nonblocking(true)?;
        let Ok(socket) = KernelTls::enable(socket, secrets.clone()) else {
            return Ok(false);
        };
        crate::send_head(&socket, &HEAD, Follows::Body)?;
        let sent = crate::sendfile(&file, &socket, 0, BODY_BYTES).map_err(|error| error.source)?;
        if sent.bytes == BODY_BYTES {
            return Ok(socket.records()? == RECORDS);
        }
    }
    Ok(false)
}

/// How far the send buffers of sockets may grow unless they are told otherwise, where /proc can be read.
fn send_buffer_limit() -> Option<u32> {
    let said = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem").ok()?;
    said.split_whitespace().nth(2)?.parse().ok()
}

/// What sockets have as `TCP_NOTSENT_LOWAT` unless they are told otherwise, where /proc can be read.
fn unsent_bytes_limit() -> Option<u32> {
    let said = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_notsent_lowat").ok()?;
    said.trim().parse().ok()
}

/// Two ends of one connection.
fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .or_else(|_| TcpListener::bind((Ipv6Addr::LOCALHOST, 0)))?;
    let peer = TcpStream::connect(listener.local_addr()?)?;
    let (socket, _) = listener.accept()?;
    Ok((socket, peer))
}

/// Nobody opens what is sealed with them.
fn secrets(version: Version, cipher: Cipher) -> io::Result<SendSecrets> {
    let key = vec![0; cipher.key_bytes()];
    SendSecrets::new(version, cipher, &key, &[0; IV_BYTES], 0).map_err(io::Error::other)
}
