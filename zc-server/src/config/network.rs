//! What the listening sockets ask of the kernel.

use clap::ValueEnum;

/// What the kernel does for connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Congestion control of connections.
    pub congestion: Congestion,
    /// Whether the kernel keeps a new connection until its first bytes have come, for a second or so
    /// (`TCP_DEFER_ACCEPT`, [`tcp(7)`](https://man7.org/linux/man-pages/man7/tcp.7.html)).
    pub defer_accept: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            congestion: Congestion::System,
            defer_accept: true,
        }
    }
}

/// A congestion control algorithm of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Congestion {
    /// What `net.ipv4.tcp_congestion_control` says.
    #[default]
    System,
    /// CUBIC (RFC 9438): the least CPU.
    Cubic,
    /// BBR: for links that lose packets. It paces what it sends, which costs twice the CPU where
    /// the queueing discipline `fq` does not do it.
    Bbr,
}

impl Congestion {
    /// Its name, as the kernel has it; `None` for what the system has.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::System => None,
            Self::Cubic => Some("cubic"),
            Self::Bbr => Some("bbr"),
        }
    }
}
