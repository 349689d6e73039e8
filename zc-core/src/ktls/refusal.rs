//! Why the kernel does not seal records on a socket.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// Why the kernel does not seal records on a socket, or not with these secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The kernel has no module `tls`, or it is not loaded. See [`mend`](Self::mend).
    NoModule,
    /// The connection is not established. The peer may have closed its direction already.
    NotConnected,
    /// Somebody has attached something to the socket already.
    AlreadyAttached,
    /// It is no TCP socket.
    NotTcp,
    /// `TCP_NOTSENT_LOWAT` is below [`UNSENT_BYTES_MIN`](super::UNSENT_BYTES_MIN): sends could stall.
    FewUnsentBytes,
    /// Send buffers may not grow to [`SEND_BUFFER_BYTES_MIN`](super::SEND_BUFFER_BYTES_MIN): sends could stall.
    SmallSendBuffers,
    /// The kernel lacks the cipher, or cannot use it with this version of TLS.
    NoCipher,
    /// Secrets were set already, and this kernel cannot change them.
    CannotRekey,
    /// Another error of the system call.
    Os(i32),
}

impl Refusal {
    /// Of `setsockopt(TCP_ULP)`.
    pub(super) fn of_attach(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT => Self::NoModule,
            Errno::ENOTCONN => Self::NotConnected,
            Errno::EEXIST => Self::AlreadyAttached,
            Errno::ENOPROTOOPT | Errno::EOPNOTSUPP | Errno::ENOTSOCK => Self::NotTcp,
            other => Self::Os(other as i32),
        }
    }

    /// Of `setsockopt(TLS_TX)`. `EINVAL` is a version or a cipher that the module does not know, `ENOENT` a
    /// cipher that the kernel's cryptography lacks.
    pub(super) fn of_start(errno: Errno) -> Self {
        match errno {
            Errno::EINVAL | Errno::ENOENT => Self::NoCipher,
            Errno::EBUSY => Self::CannotRekey,
            other => Self::Os(other as i32),
        }
    }

    /// What the administrator can do about it.
    pub fn mend(self) -> Option<&'static str> {
        match self {
            Self::NoModule => {
                Some("run `modprobe tls` as root, in a container on its host; it needs CONFIG_TLS")
            }
            Self::NoCipher => Some("a newer kernel: AES-GCM with TLS 1.3 needs 5.1, ChaCha20 5.11"),
            Self::CannotRekey => {
                Some("a newer kernel: new keys can be set from 6.14 on, in TLS 1.3")
            }
            Self::FewUnsentBytes => Some(
                "set TCP_NOTSENT_LOWAT, or the sysctl net.ipv4.tcp_notsent_lowat, to 64 KiB or more",
            ),
            Self::SmallSendBuffers => Some(
                "set the third number of the sysctl net.ipv4.tcp_wmem to 131072 or more; Linux has 4194304",
            ),
            Self::NotConnected | Self::AlreadyAttached | Self::NotTcp | Self::Os(_) => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoModule => "the kernel has no module tls",
            Self::NotConnected => "the connection is not established",
            Self::AlreadyAttached => "the socket has been attached already",
            Self::NotTcp => "it is no TCP socket",
            Self::FewUnsentBytes => "TCP may hold too few unsent bytes",
            Self::SmallSendBuffers => "send buffers are too small for it",
            Self::NoCipher => "the kernel lacks this cipher for this version of TLS",
            Self::CannotRekey => "secrets were set already",
            Self::Os(errno) => return io::Error::from_raw_os_error(*errno).fmt(formatter),
        })
    }
}

impl std::error::Error for Refusal {}

/// A socket that comes back, and why.
pub struct Refused<S> {
    /// The socket. It sends bytes as they are.
    pub socket: S,
    /// Why the kernel refused.
    pub refusal: Refusal,
}

impl<S> Refused<S> {
    pub(super) fn new(socket: S, refusal: Refusal) -> Self {
        Self { socket, refusal }
    }
}

impl<S> fmt::Debug for Refused<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Refused")
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Display for Refused<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no kernel TLS: {}", self.refusal)
    }
}

impl<S> std::error::Error for Refused<S> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_means_what_the_call_means_by_it() {
        for (errno, attach, start) in [
            (Errno::ENOENT, Refusal::NoModule, Refusal::NoCipher),
            (
                Errno::EBUSY,
                Refusal::Os(Errno::EBUSY as i32),
                Refusal::CannotRekey,
            ),
            (
                Errno::ENOTCONN,
                Refusal::NotConnected,
                Refusal::Os(Errno::ENOTCONN as i32),
            ),
        ] {
            assert_eq!(Refusal::of_attach(errno), attach);
            assert_eq!(Refusal::of_start(errno), start);
        }
        assert!(
            Refusal::NoModule
                .mend()
                .is_some_and(|mend| mend.contains("modprobe tls"))
        );
        assert!(Refusal::Os(5).to_string().contains("error 5"));
    }
}
