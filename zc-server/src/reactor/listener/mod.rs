//! Listening sockets, one for each worker, and what an `accept` can come to.
//!
//! The workers share an address of TCP through `SO_REUSEPORT`: the kernel spreads connections over their
//! sockets, and no worker wakes for another's connection. The option has a price, which is that a
//! second server of the same user could join silently. So the first socket of each address binds
//! *and listens* without it, which fails where anybody listens already, and takes it on afterwards
//! for the other workers to join. Set between `bind` and `listen` it would also work, except that
//! two servers that start in the same moment could then both succeed.
//!
//! A Unix-domain socket has no such option: the workers share one, and each has a descriptor of it. A connection
//! wakes all of them, and whoever is first takes it.

mod unix;

use std::{
    error::Error,
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdTcpListener},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::Arc,
};

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::{Bind, ListenAddress, Network, Scheme, Spoken};
use crate::socket::{PeerAddress, Stream};
use unix::{SocketFile, UnixFault};

mod inherited;

pub use inherited::{InheritedError, InheritedSocket, SocketFault, SocketRole};

/// Connections that the kernel holds for one socket until they are accepted. More than a reactor
/// turn accepts; the kernel cuts it to `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 1024;

/// How long the kernel keeps a connection of which no byte has come, where it does, in seconds.
const DEFER_ACCEPT_SECONDS: u16 = 1;

/// The listeners of all workers.
#[derive(Debug)]
pub(crate) struct Bound {
    /// For each worker, one listener for each address, in the order of `listening`.
    pub(crate) workers: Vec<Vec<Listener>>,
    pub(crate) listening: Vec<Listening>,
}

/// A listening socket of one worker.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: ListenSocket,
    pub(crate) spoken: Spoken,
    /// Whether other workers, and perhaps other processes, accept from the same socket.
    pub(crate) is_shared: bool,
}

/// What accepts connections.
#[derive(Debug)]
pub(crate) enum ListenSocket {
    Tcp(TcpListener),
    Unix {
        /// Removed when the last worker drops it, which is before the last one closes the socket: while somebody
        /// listens, no other server takes the path.
        file: Option<Arc<SocketFile>>,
        socket: UnixListener,
    },
}

impl Listener {
    /// Whether no other machine can connect.
    pub(crate) fn is_loopback(&self) -> bool {
        match &self.socket {
            ListenSocket::Tcp(socket) => {
                let address = socket.local_addr();
                address.is_ok_and(|address| address.ip().is_loopback())
            }
            ListenSocket::Unix { .. } => true,
        }
    }

    /// Lets go of the path of a Unix-domain socket. Those who have connected are still accepted.
    pub(super) fn leave_path(&mut self) {
        if let ListenSocket::Unix { file, .. } = &mut self.socket {
            *file = None;
        }
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix { socket, .. } => socket.as_fd(),
        }
    }
}

impl Source for ListenSocket {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.register(registry, token, interests),
            Self::Unix { socket, .. } => socket.register(registry, token, interests),
        }
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.reregister(registry, token, interests),
            Self::Unix { socket, .. } => socket.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.deregister(registry),
            Self::Unix { socket, .. } => socket.deregister(registry),
        }
    }
}

/// An address that is listened on. Displayed as where to find the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The address, with the port that the system chose where port 0 was asked for.
    pub address: ListenAddress,
    /// Whether an address of IPv6 takes connections by IPv4 as well.
    pub takes_ipv4: bool,
    /// What is spoken there.
    pub scheme: Scheme,
    /// Whether connections must begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Whether another process has opened the socket.
    pub inherited: bool,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address.url(self.scheme))?;
        let address = self.address.socket_address();
        if let Some(address) = address.filter(|address| address.ip().is_unspecified()) {
            f.write_str(match (address, self.takes_ipv4) {
                (SocketAddr::V4(_), _) => " (every IPv4 address)",
                (SocketAddr::V6(_), true) => " (every address, IPv4 and IPv6)",
                (SocketAddr::V6(_), false) => " (every IPv6 address)",
            })?;
        }
        f.write_str(if self.proxy_protocol {
            ", behind the PROXY protocol"
        } else {
            ""
        })?;
        f.write_str(if self.inherited {
            ", on an inherited socket"
        } else {
            ""
        })
    }
}

/// Listens on each address once for each worker. All or nothing: on an error none stays open.
///
/// # Errors
///
/// If an address cannot be listened on; the message names it and the mend.
pub(crate) fn bind_all(
    binds: &[(Bind, Spoken)],
    workers: usize,
    network: &Network,
) -> Result<Bound, BindError> {
    let mut bound = Bound {
        workers: (0..workers).map(|_| Vec::new()).collect(),
        listening: Vec::with_capacity(binds.len()),
    };
    for (bind, spoken) in binds {
        let spoken = *spoken;
        let mut listen = |address, takes_ipv4| bound.listen(address, takes_ipv4, spoken, network);
        match bind {
            &Bind::Address(address) => {
                let has_port = |(other, _): &&(Bind, _)| {
                    other.is_ipv4() && other.port() == Some(address.port())
                };
                let beside = binds.iter().find(has_port).filter(|_| address.port() != 0);
                let takes_ipv4 = address.ip() == Ipv6Addr::UNSPECIFIED && beside.is_none();
                listen(address, takes_ipv4)?;
            }
            &Bind::Loopback(port) => {
                let v4 = listen((Ipv4Addr::LOCALHOST, port).into(), false);
                // What one has of the other is its port.
                let port = v4.as_ref().map_or(port, SocketAddr::port);
                let v6 = listen((Ipv6Addr::LOCALHOST, port).into(), false);
                one_of(v4, v6)?;
            }
            &Bind::Everywhere(port) => match listen((Ipv6Addr::UNSPECIFIED, port).into(), true) {
                Err(error) if error.is_absent() => {
                    listen((Ipv4Addr::UNSPECIFIED, port).into(), false)?;
                }
                listening => drop(listening?),
            },
            Bind::Unix(path) => bound.listen_unix(path, spoken, network)?,
        }
    }
    Ok(bound)
}

/// Two addresses of which the machine must have one.
fn one_of(
    one: Result<SocketAddr, BindError>,
    other: Result<SocketAddr, BindError>,
) -> Result<(), BindError> {
    match (one, other) {
        (Err(error), Ok(_)) | (Ok(_), Err(error)) if error.is_absent() => Ok(()),
        (Err(error), _) | (_, Err(error)) => Err(error),
        (Ok(_), Ok(_)) => Ok(()),
    }
}

impl Bound {
    /// Listens on an address for each worker. Answers it with the port that the system chose.
    fn listen(
        &mut self,
        requested: SocketAddr,
        takes_ipv4: bool,
        spoken: Spoken,
        network: &Network,
    ) -> Result<SocketAddr, BindError> {
        let failed = |error| BindError {
            address: requested.into(),
            fault: Fault::Internet(error),
        };
        let mut address = requested;
        let mut listeners = Vec::with_capacity(self.workers.len());
        for worker in 0..self.workers.len() {
            let socket = socket_for(address, takes_ipv4, network);
            let listener = socket.and_then(|socket| match worker {
                0 => listen_first(socket, address),
                _ => listen_again(socket, address),
            });
            let listener = listener.map_err(failed)?;
            // Where port 0 was asked for, the others follow the first.
            address = listener.local_addr().map_err(failed)?;
            listeners.push(TcpListener::from_std(listener));
        }
        let sockets = listeners.into_iter().map(ListenSocket::Tcp);
        self.add(sockets, address.into(), takes_ipv4, spoken);
        Ok(address)
    }

    /// Listens on a path for all workers.
    fn listen_unix(
        &mut self,
        path: &Path,
        spoken: Spoken,
        network: &Network,
    ) -> Result<(), BindError> {
        let address = ListenAddress::Unix(path.to_owned());
        let listeners = unix::listen(path, network.socket_mode, self.workers.len());
        let (listeners, file) = listeners.map_err(|fault| BindError {
            address: address.clone(),
            fault: Fault::Unix(fault),
        })?;
        let sockets = listeners.into_iter().map(|socket| ListenSocket::Unix {
            file: Some(Arc::clone(&file)),
            socket,
        });
        self.add(sockets, address, false, spoken);
        Ok(())
    }

    /// Gives each worker its socket of an address.
    fn add(
        &mut self,
        sockets: impl Iterator<Item = ListenSocket>,
        address: ListenAddress,
        takes_ipv4: bool,
        spoken: Spoken,
    ) {
        for (worker, socket) in self.workers.iter_mut().zip(sockets) {
            worker.push(Listener {
                socket,
                spoken,
                is_shared: false,
            });
        }
        self.listening.push(Listening {
            address,
            takes_ipv4,
            scheme: spoken.scheme,
            proxy_protocol: spoken.has_proxy_header,
            inherited: false,
        });
    }
}

/// Listens on an address that nobody listens on, and opens it for sharing.
fn listen_first(socket: Socket, address: SocketAddr) -> io::Result<StdTcpListener> {
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_reuse_port(true)?;
    Ok(socket.into())
}

/// Listens on an address that a socket of [`listen_first`] has.
fn listen_again(socket: Socket, address: SocketAddr) -> io::Result<StdTcpListener> {
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A nonblocking, close-on-exec socket with the options that are set before `bind`; accepted sockets
/// inherit them, which saves calls for each.
fn socket_for(address: SocketAddr, takes_ipv4: bool, network: &Network) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(name) = network.congestion.name() {
        socket.set_tcp_congestion(name.as_bytes())?;
    }
    if network.defer_accept {
        zc_core::set_defer_accept(&socket, DEFER_ACCEPT_SECONDS)?;
    }
    // Connections of an earlier run that linger in TIME_WAIT do not hold the port.
    socket.set_reuse_address(true)?;
    // Heads are sent with `MSG_MORE`, so that Nagle's algorithm could only delay the last packet.
    // Delayed acknowledgements (TCP_QUICKACK off) change nothing here: 1.000 to 1.004 times the CPU for
    // a request with bodies of 1 KiB to 1 MiB.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        // Whatever the system's default is: `[::]` alone takes all, and beside `0.0.0.0` what that leaves.
        socket.set_only_v6(!takes_ipv4)?;
    }
    Ok(socket)
}

/// The default queueing discipline of the machine, where the connections of `listener` are under BBR and
/// it does not pace them.
pub(crate) fn unpaced_under(listener: &impl AsFd) -> Option<String> {
    let name = SockRef::from(listener).tcp_congestion().ok()?;
    let qdisc = std::fs::read_to_string("/proc/sys/net/core/default_qdisc").ok()?;
    let qdisc = qdisc.trim();
    (name.starts_with(b"bbr") && qdisc != "fq").then(|| qdisc.to_owned())
}

/// An address that cannot be listened on. Displayed in one line that names the mend.
#[derive(Debug)]
pub struct BindError {
    address: ListenAddress,
    fault: Fault,
}

/// Why not.
#[derive(Debug)]
enum Fault {
    Internet(io::Error),
    Unix(UnixFault),
}

impl BindError {
    /// Whether the machine does not have the address, or no IPv6 at all.
    fn is_absent(&self) -> bool {
        let Fault::Internet(error) = &self.fault else {
            return false;
        };
        let errno = error.raw_os_error().map(Errno::from_raw);
        matches!(errno, Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT))
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, fault } = self;
        write!(f, "cannot listen on {address}: ")?;
        let error = match fault {
            Fault::Internet(error) => error,
            Fault::Unix(fault) => return fault.fmt(f),
        };
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EADDRINUSE) => f.write_str(
                "the address is in use; stop the other program or choose another port with --bind",
            ),
            Some(Errno::EACCES) => f.write_str(
                "permission denied; use a port above 1023, or grant CAP_NET_BIND_SERVICE",
            ),
            Some(Errno::EADDRNOTAVAIL) => f.write_str(
                "this machine does not have the address; choose another one with --bind",
            ),
            Some(Errno::EAFNOSUPPORT) => f.write_str(
                "this machine does not support the address family; choose another address with --bind",
            ),
            // Of all calls before the socket listens only the choice of a congestion control has it.
            Some(Errno::ENOENT) => f.write_str(
                "the kernel does not have the congestion control; load its module (modprobe \
                 tcp_bbr) or choose another one with --congestion",
            ),
            Some(Errno::EMFILE | Errno::ENFILE) => f.write_str(
                "too many open files; raise the limit (ulimit -n) or lower --threads",
            ),
            _ => write!(f, "{error}; choose another address with --bind"),
        }
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            Fault::Internet(error) => Some(error),
            Fault::Unix(fault) => fault.source().map(|error| error as _),
        }
    }
}

/// What one `accept` came to.
#[derive(Debug)]
pub(crate) enum Accept {
    /// A connection, nonblocking and with `TCP_NODELAY` where it is TCP, and its peer.
    Connection(Stream, PeerAddress),
    /// The queue is empty: wait for readiness.
    WouldBlock,
    /// The system gives no more sockets for now: stop accepting for a while, and say so. The queue
    /// is not empty, so that no new edge comes. Errors that are not known come here as well, since
    /// to try again at once might spin.
    OutOfDescriptors(io::Error),
    /// This one connection died in the queue, or the call was interrupted: try the next at once.
    Aborted,
}

/// Takes one connection from the queue of `listener`; never blocks.
pub(crate) fn accept(listener: &ListenSocket) -> Accept {
    let accepted = match listener {
        ListenSocket::Tcp(listener) => listener.accept().map(|(stream, mut peer)| {
            // A peer of IPv4 at a socket of IPv6 has its own address, and not `::ffff:192.0.2.1`.
            peer.set_ip(peer.ip().to_canonical());
            (Stream::Tcp(stream), PeerAddress::Internet(peer))
        }),
        ListenSocket::Unix { socket, .. } => socket
            .accept()
            .map(|(stream, _)| (Stream::Unix(stream), PeerAddress::Unix)),
    };
    match accepted {
        Ok((stream, peer)) => Accept::Connection(stream, peer),
        Err(error) => classify(error),
    }
}

/// Whether a connection waits in the queue of `listener`. Where that cannot be told it is assumed.
pub(crate) fn has_waiting(listener: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO) != Ok(0)
}

/// Sorts the errors of [`accept(2)`](https://man7.org/linux/man-pages/man2/accept.2.html) by what
/// there is to do about them.
fn classify(error: io::Error) -> Accept {
    match error.raw_os_error().map(Errno::from_raw) {
        // EWOULDBLOCK is the same number on Linux.
        Some(Errno::EAGAIN) => Accept::WouldBlock,
        Some(Errno::EINTR | Errno::ECONNABORTED | Errno::EPERM) => Accept::Aborted,
        // "Linux accept() passes already-pending network errors on the new socket as an error code
        // from accept()": these are of one connection.
        Some(
            Errno::ENETDOWN
            | Errno::EPROTO
            | Errno::ENOPROTOOPT
            | Errno::EHOSTDOWN
            | Errno::ENONET
            | Errno::EHOSTUNREACH
            | Errno::EOPNOTSUPP
            | Errno::ENETUNREACH,
        ) => Accept::Aborted,
        // EMFILE, ENFILE, ENOBUFS, ENOMEM, and what no manual lists.
        _ => Accept::OutOfDescriptors(error),
    }
}

#[cfg(test)]
mod tests;
