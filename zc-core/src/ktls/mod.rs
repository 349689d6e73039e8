//! TLS records that the kernel seals, so that a file goes to an HTTPS client without a copy in this program.
//!
//! Linux 4.13 and later have a module, `tls`, that [seals what is sent on a TCP socket][kernel] as TLS records:
//! `send` and `sendfile` then take plain bytes. A TLS library makes the handshake, and gives away the secrets of
//! the sending direction. What is received is not touched: the library, or the program, goes on opening records.
//!
//! 1. [`KernelTls::attach`] readies a socket. It still sends what it is given. If the kernel refuses, the library
//!    goes on, and nothing has happened.
//! 2. The library gives away its secrets, as [`SendSecrets`].
//! 3. [`KernelTls::start`] has the kernel seal from the next byte on. If it refuses, the socket still sends what
//!    it is given, and the program seals with the secrets that it has.
//! 4. [`Transfer`](crate::Transfer), [`ProbedTransfer`](crate::ProbedTransfer) and
//!    [`HeadThenFile`](crate::HeadThenFile) send over the [`KernelTlsSocket`] as over a plain one. All bytes that
//!    are sent without a content type are application data.
//! 5. [`KernelTlsSocket::finish`] sends close_notify and waits until the kernel has handed all records to TCP. A
//!    socket that is closed or shut down before that **loses bytes that a send has accepted**: the kernel keeps
//!    sealed records in a list of its own while the send buffer is full, and drops the list.
//!
//! [`probe`] tells what the kernel can do, before there is a connection.
//!
//! # Limits
//!
//! * A TLS library must have no unsent bytes and no received ones that it has opened already, at the time it gives
//!   its secrets away. Those that it has received and not opened yet are the caller's.
//! * Nobody counts how many records were sealed with one key: look at [`records`](KernelTlsSocket::records).
//!   [RFC 8446 section 5.5][limits] allows 2^24.5 records of AES-GCM.
//! * New keys can be set from Linux 6.14 on, in TLS 1.3; see [`rekey`](KernelTlsSocket::rekey).
//! * A socket whose `TCP_NOTSENT_LOWAT` is below [`UNSENT_BYTES_MIN`] is refused.
//! * `TCP_CORK` works on segments, below the records: around a body of 8 MB it saved 1 to 2 % of them on
//!   Linux 6.1. So [`HeadThenFile`](crate::HeadThenFile) sets it here too.
//! * A file that is changed while it is sent breaks no record: the kernel seals a copy of its pages.
//!
//! [kernel]: https://docs.kernel.org/networking/tls.html
//! [limits]: https://www.rfc-editor.org/rfc/rfc8446#section-5.5

mod finish;
mod probe;
mod refusal;
mod secrets;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{TcpTlsTx, TcpUlp};

use crate::sys;

pub use finish::Finish;
pub use probe::{CipherSupport, Support, probe};
pub use refusal::{Refusal, Refused};
pub use secrets::{Cipher, IV_BYTES, SecretsError, SendSecrets, Version};

/// The type of a TLS record, [RFC 8446 section 5.1](https://www.rfc-editor.org/rfc/rfc8446#section-5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentType {
    /// Alerts, close_notify among them.
    Alert,
    /// Handshake messages: after the handshake, [`KEY_UPDATE`] and session tickets.
    Handshake,
    /// What the connection is for.
    ApplicationData,
}

impl ContentType {
    fn on_the_wire(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::ApplicationData => 23,
        }
    }
}

/// The alert that ends a direction: level warning, description close_notify.
pub const CLOSE_NOTIFY: [u8; 2] = [1, 0];

/// The handshake message that announces new keys of the sender, and asks for none of the peer.
pub const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// The least `TCP_NOTSENT_LOWAT`, in bytes, with which kernel TLS is used: the least with which a send did not stall
/// over loopback. With 16 KiB it stalled on Linux 6.1, and with 32 KiB now and then: less than two records may be
/// unsent then, and the kernel does not announce room for the rest of one.
pub const UNSENT_BYTES_MIN: u32 = 64 << 10;

/// How far send buffers must be able to grow, in bytes, where kernel TLS is used: the third number of the sysctl
/// `net.ipv4.tcp_wmem`, at which [`probe`] looks. On Linux 6.1, sends stalled for good with 32 KiB, and took
/// eight times as long with 64 KiB.
pub const SEND_BUFFER_BYTES_MIN: u32 = 128 << 10;

/// A connected TCP socket that is ready for kernel TLS, and still sends bytes as they are.
#[derive(Debug)]
pub struct KernelTls<S> {
    socket: S,
}

impl<S: AsFd> KernelTls<S> {
    /// Readies `socket` (`TCP_ULP`). Do this while the TLS library still has its secrets.
    ///
    /// # Errors
    ///
    /// The socket comes back unchanged, with the [`Refusal`]. [`Refusal::NoModule`] concerns all
    /// connections, [`Refusal::NotConnected`] and [`Refusal::AlreadyAttached`] only this one.
    pub fn attach(socket: S) -> Result<Self, Refused<S>> {
        // 0 stands for the sysctl, at which the probe looks.
        if unsent_bytes_limit(&socket).is_some_and(|bytes| (1..UNSENT_BYTES_MIN).contains(&bytes)) {
            return Err(Refused::new(socket, Refusal::FewUnsentBytes));
        }
        match setsockopt(&socket, TcpUlp::default(), b"tls") {
            Ok(()) => Ok(Self { socket }),
            Err(errno) => Err(Refused::new(socket, Refusal::of_attach(errno))),
        }
    }

    /// Has the kernel seal records from the next byte on (`TLS_TX`). All bytes that the TLS library had to send
    /// must have been accepted by the socket.
    ///
    /// # Errors
    ///
    /// The socket comes back with the [`Refusal`]. It sends bytes as they are, as before.
    pub fn start(self, secrets: SendSecrets) -> Result<KernelTlsSocket<S>, Refused<S>> {
        match setsockopt(&self.socket, TcpTlsTx, &secrets.crypto_info()) {
            Ok(()) => Ok(KernelTlsSocket {
                socket: self.socket,
                state: KernelTlsState {
                    version: secrets.version(),
                    cipher: secrets.cipher(),
                    first_sequence: secrets.sequence(),
                    finish: finish::State::Open,
                },
            }),
            Err(errno) => Err(Refused::new(self.socket, Refusal::of_start(errno))),
        }
    }

    /// [Readies](Self::attach) the socket and [starts](Self::start).
    ///
    /// For secrets that are in hand already. A TLS library that gives them away cannot go on after that, so
    /// [`attach`](Self::attach) first where it could.
    ///
    /// # Errors
    ///
    /// As of [`attach`](Self::attach) and [`start`](Self::start).
    pub fn enable(socket: S, secrets: SendSecrets) -> Result<KernelTlsSocket<S>, Refused<S>> {
        Self::attach(socket)?.start(secrets)
    }

    /// The socket, which stays ready.
    pub fn into_inner(self) -> S {
        self.socket
    }
}

impl<S: AsFd> AsFd for KernelTls<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A TCP socket on which the kernel seals what is sent as TLS records.
///
/// It is a sink for all senders of this crate, by [`AsFd`]. Reading from it gives records as the peer sent
/// them, sealed.
///
/// Dropping it closes the socket as any other, which [loses bytes](self) unless [`finish`](Self::finish) was
/// complete.
#[derive(Debug)]
pub struct KernelTlsSocket<S> {
    socket: S,
    state: KernelTlsState,
}

impl<S: AsFd> KernelTlsSocket<S> {
    /// Sends `bytes`, of 16 KiB at most, as a record of the type `content_type`; returns how many bytes were
    /// accepted. An open record is closed and sent before it.
    ///
    /// A nonblocking socket that is not writable is left alone, although the record might fit. Kernels before
    /// [a change of October 2025][change] can send the bytes as application data if they have to send an open record first and cannot. A
    /// record is open after a head with [`Follows::Body`](crate::Follows::Body) whose body did not come, and
    /// after a file that was truncated.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when a nonblocking socket is full: wait until it is writable. Else as
    /// [`sendmsg(2)`](https://man7.org/linux/man-pages/man2/sendmsg.2.html).
    ///
    /// [change]: https://patch.msgid.link/0457252e578a10a94e40c72ba6288b3a64f31662.1760432043.git.sd@queasysnail.net
    pub fn send_record(&self, content_type: ContentType, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_writable()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        retry_interrupted(|| sys::send_tls_record(&self.socket, content_type.on_the_wire(), bytes))
    }

    /// Whether the socket is writable; a blocking one is waited for. A socket that is not writable
    /// announces it when it is.
    fn is_writable(&self) -> io::Result<bool> {
        let flags = OFlag::from_bits_retain(fcntl(&self.socket, FcntlArg::F_GETFL)?);
        let timeout = if flags.contains(OFlag::O_NONBLOCK) {
            PollTimeout::ZERO
        } else {
            PollTimeout::NONE
        };
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
        retry_interrupted(|| poll(&mut polled, timeout).map_err(io::Error::from))?;
        // After an error or a hang-up a send reports what is wrong.
        Ok(polled[0].any().unwrap_or(true))
    }

    /// The number of the next record, from the kernel.
    ///
    /// # Errors
    ///
    /// As [`getsockopt(2)`](https://man7.org/linux/man-pages/man2/getsockopt.2.html).
    pub fn sequence(&self) -> io::Result<u64> {
        const SEQUENCE_BYTES: usize = 8;
        let mut info = [0; size_of::<libc::tls12_crypto_info_aes_gcm_256>()];
        let info = &mut info[..self.state.cipher.crypto_info_bytes()];
        let length = sys::socket_option(&self.socket, libc::SOL_TLS, libc::TLS_TX, info)?;
        let sequence = info[..length].last_chunk::<SEQUENCE_BYTES>().copied();
        // The rest of it is the key.
        info.fill(0);
        std::hint::black_box(info);
        sequence
            .map(u64::from_be_bytes)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// How many records the kernel has sealed with the key in use.
    ///
    /// # Errors
    ///
    /// As [`sequence`](Self::sequence).
    pub fn records(&self) -> io::Result<u64> {
        Ok(self.sequence()?.wrapping_sub(self.state.first_sequence))
    }

    /// Seals the following records with other secrets, in TLS 1.3.
    ///
    /// [Send](Self::send_record) a [`KEY_UPDATE`] before it: it is the last record under the old key. A kernel that
    /// [cannot rekey](Support::rekeying) leaves the peer waiting for a key that never comes: a connection that
    /// needs new keys has to end there, without a `KEY_UPDATE`.
    ///
    /// # Errors
    ///
    /// [`Refusal::CannotRekey`] before Linux 6.14, and in TLS 1.2. The old key stays in use.
    pub fn rekey(&mut self, secrets: &SendSecrets) -> Result<(), Refusal> {
        setsockopt(&self.socket, TcpTlsTx, &secrets.crypto_info()).map_err(Refusal::of_start)?;
        self.state.first_sequence = secrets.sequence();
        Ok(())
    }

    /// The version of the records.
    pub fn version(&self) -> Version {
        self.state.version
    }

    /// The cipher of the records.
    pub fn cipher(&self) -> Cipher {
        self.state.cipher
    }

    /// The socket.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// The socket, on which the kernel goes on sealing.
    pub fn into_inner(self) -> S {
        self.socket
    }

    /// The socket, and what is known of it, to be [put together](Self::from_parts) again. With it, a program that
    /// owns the socket itself lends it for one call: `S` is then a [`BorrowedFd`].
    pub fn into_parts(self) -> (S, KernelTlsState) {
        let Self { socket, state } = self;
        (socket, state)
    }

    /// The parts of [`into_parts`](Self::into_parts) together. `socket` must be the same socket.
    pub fn from_parts(socket: S, state: KernelTlsState) -> Self {
        Self { socket, state }
    }
}

/// What a [`KernelTlsSocket`] knows beside its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelTlsState {
    version: Version,
    cipher: Cipher,
    first_sequence: u64,
    finish: finish::State,
}

impl<S: AsFd> AsFd for KernelTlsSocket<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// `TCP_NOTSENT_LOWAT` of the socket, if it is a TCP socket.
fn unsent_bytes_limit(socket: impl AsFd) -> Option<u32> {
    let mut bytes = [0; size_of::<u32>()];
    sys::socket_option(
        socket,
        libc::IPPROTO_TCP,
        libc::TCP_NOTSENT_LOWAT,
        &mut bytes,
    )
    .ok()?;
    Some(u32::from_ne_bytes(bytes))
}

fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}
