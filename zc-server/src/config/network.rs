//! Options of the listening sockets.

use clap::ValueEnum;

/// The default permission bits of Unix-domain sockets: the user and the group of the server.
pub const SOCKET_MODE_DEFAULT: u32 = 0o660;

/// Options of the listening sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The congestion control of connections.
    pub congestion: Congestion,
    /// Whether the kernel holds a new connection back until its first bytes arrive, for about a second
    /// (`TCP_DEFER_ACCEPT`, [`tcp(7)`](https://man7.org/linux/man-pages/man7/tcp.7.html)).
    pub defer_accept: bool,
    /// The permission bits of Unix-domain sockets, as of `chmod(2)`.
    pub socket_mode: u32,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            congestion: Congestion::System,
            defer_accept: true,
            socket_mode: SOCKET_MODE_DEFAULT,
        }
    }
}

/// A congestion control algorithm of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Congestion {
    /// The default of the system, net.ipv4.tcp_congestion_control.
    #[default]
    System,
    /// CUBIC (RFC 9438), which uses the least CPU.
    Cubic,
    /// BBR, for links that lose packets; twice the CPU unless the queueing discipline is fq.
    Bbr,
}

impl Congestion {
    /// Its name in the kernel; `None` for the default of the system.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::System => None,
            Self::Cubic => Some("cubic"),
            Self::Bbr => Some("bbr"),
        }
    }
}
