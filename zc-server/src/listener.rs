//! Listening sockets, one for each worker, and what an `accept` can come to.
//!
//! The workers share an address through `SO_REUSEPORT`: the kernel spreads connections over their
//! sockets, and no worker wakes for another's connection. The option has a price, which is that a
//! second server of the same user could join silently. So the first socket of each address binds
//! *and listens* without it, which fails where anybody listens already, and takes it on afterwards
//! for the other workers to join. Set between `bind` and `listen` it would also work, except that
//! two servers that start in the same moment could then both succeed.

use std::{
    error::Error,
    fmt, io,
    net::{SocketAddr, TcpListener as StdTcpListener},
};

use mio::net::{TcpListener, TcpStream};
use nix::errno::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::config::Network;

/// Connections that the kernel holds for one socket until they are accepted. More than a reactor
/// turn accepts; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// How long the kernel keeps a connection of which no byte has come, where it does, in seconds.
const DEFER_ACCEPT_SECONDS: u16 = 1;

/// The listeners of all workers.
#[derive(Debug)]
pub(crate) struct Bound {
    /// For each worker, one listener for each address, in the order of `addresses`.
    pub(crate) workers: Vec<Vec<TcpListener>>,
    /// The addresses listened on, with the ports that the system chose.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// Listens on each address once for each worker. All or nothing: on an error none stays open.
///
/// # Errors
///
/// If an address cannot be listened on; the message names it and the mend.
pub(crate) fn bind_all(
    binds: &[SocketAddr],
    workers: usize,
    network: &Network,
) -> Result<Bound, BindError> {
    let mut per_worker: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let mut addresses = Vec::with_capacity(binds.len());
    for &requested in binds {
        let failed = |error| BindError {
            address: requested,
            error,
        };
        let mut address = requested;
        for (worker, listeners) in per_worker.iter_mut().enumerate() {
            let listener = socket_for(address, network).and_then(|socket| match worker {
                0 => listen_first(socket, address),
                _ => listen_again(socket, address),
            });
            let listener = listener.map_err(failed)?;
            // Where port 0 was asked for, the others follow the first.
            address = listener.local_addr().map_err(failed)?;
            listeners.push(TcpListener::from_std(listener));
        }
        addresses.push(address);
    }
    Ok(Bound {
        workers: per_worker,
        addresses,
    })
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
fn socket_for(address: SocketAddr, network: &Network) -> io::Result<Socket> {
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
        // `[::]` and `0.0.0.0` can then stand side by side, whatever the system's default is.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Why a congestion control is not what it should be, if so: BBR paces what it sends, by a timer for
/// each packet where no queueing discipline does it. `listener` has the one that is used.
pub(crate) fn pacing_warning(listener: &TcpListener) -> Option<String> {
    let name = SockRef::from(listener).tcp_congestion().ok()?;
    let default = std::fs::read_to_string("/proc/sys/net/core/default_qdisc").ok()?;
    let default = default.trim();
    (name.starts_with(b"bbr") && default != "fq").then(|| {
        format!(
            "connections are under bbr, which costs twice the CPU unless the network interface has \
             the queueing discipline fq (the default here is {default}): set it \
             (tc qdisc replace dev DEVICE root fq), or choose --congestion cubic"
        )
    })
}

/// An address that cannot be listened on. Displayed in one line that names the mend.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        write!(f, "cannot bind {address}: ")?;
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EADDRINUSE) => f.write_str(
                "address in use; stop the other program or choose another port with --bind",
            ),
            Some(Errno::EACCES) => f.write_str(
                "permission denied; use a port above 1023 or give CAP_NET_BIND_SERVICE",
            ),
            Some(Errno::EADDRNOTAVAIL) => f.write_str(
                "this machine does not have that address; choose one that it has with --bind",
            ),
            Some(Errno::EAFNOSUPPORT) => f.write_str(
                "this machine does not support the address family; choose another address with --bind",
            ),
            // Of all calls before the socket listens only the choice of a congestion control has it.
            Some(Errno::ENOENT) => f.write_str(
                "the kernel does not have that congestion control; load its module (modprobe \
                 tcp_bbr) or choose another with --congestion",
            ),
            Some(Errno::EMFILE | Errno::ENFILE) => f.write_str(
                "out of file descriptors; raise the limit (ulimit -n) or lower --threads",
            ),
            _ => write!(f, "{error}; choose another address with --bind"),
        }
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// What one `accept` came to.
#[derive(Debug)]
pub(crate) enum Accept {
    /// A connection, nonblocking and with `TCP_NODELAY`, and its peer.
    Connection(TcpStream, SocketAddr),
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
pub(crate) fn accept(listener: &TcpListener) -> Accept {
    match listener.accept() {
        Ok((stream, peer)) => Accept::Connection(stream, peer),
        Err(error) => classify(error),
    }
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
mod tests {
    use std::{
        net::TcpStream as StdTcpStream,
        os::fd::AsFd,
        time::{Duration, Instant},
    };

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use super::*;
    use crate::config::Congestion;

    /// Connections that nothing was sent on can be accepted.
    const EAGER: Network = Network {
        congestion: Congestion::System,
        defer_accept: false,
    };

    fn any_port() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    fn message(code: Errno) -> String {
        let error = io::Error::from_raw_os_error(code as i32);
        BindError {
            address: SocketAddr::from(([127, 0, 0, 1], 80)),
            error,
        }
        .to_string()
    }

    fn closes_on_exec(socket: impl AsFd) -> bool {
        let flags = FdFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFD).unwrap());
        flags.contains(FdFlag::FD_CLOEXEC)
    }

    #[test]
    fn every_worker_has_every_address_and_one_port() {
        let bound = bind_all(&[any_port(), any_port()], 3, &EAGER).unwrap();
        assert_eq!(bound.workers.len(), 3);
        assert_ne!(bound.addresses[0], bound.addresses[1]);
        for listeners in &bound.workers {
            let actual: Vec<_> = listeners
                .iter()
                .map(|one| one.local_addr().unwrap())
                .collect();
            assert_eq!(actual, bound.addresses);
            assert!(actual.iter().all(|address| address.port() != 0));
        }
    }

    #[test]
    fn a_second_instance_fails_and_the_port_is_free_after_the_first() {
        let first = bind_all(&[any_port()], 2, &EAGER).unwrap();
        let address = first.addresses[0];
        for workers in [1, 2] {
            let error = bind_all(&[address], workers, &EAGER).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "cannot bind {address}: address in use; \
                     stop the other program or choose another port with --bind"
                )
            );
        }
        drop(first);
        bind_all(&[address], 2, &EAGER).unwrap();
    }

    #[test]
    fn two_that_start_in_the_same_moment_cannot_both_listen() {
        let bound_first = socket_for(any_port(), &EAGER).unwrap();
        bound_first.bind(&any_port().into()).unwrap();
        let address = bound_first.local_addr().unwrap();
        // Both have bound, thanks to SO_REUSEADDR, and neither listens yet.
        let bound_second = socket_for(any_port(), &EAGER).unwrap();
        bound_second.bind(&address).unwrap();
        bound_first.listen(BACKLOG).unwrap();
        bound_first.set_reuse_port(true).unwrap();
        let error = bound_second.listen(BACKLOG).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn connections_are_spread_over_the_workers() {
        const CONNECTIONS: usize = 200;
        let bound = bind_all(&[any_port()], 4, &EAGER).unwrap();
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| StdTcpStream::connect(bound.addresses[0]).unwrap())
            .collect();
        let mut accepted = [0; 4];
        let deadline = Instant::now() + Duration::from_secs(10);
        // A client is connected a moment before its connection is in the queue.
        while accepted.iter().sum::<usize>() < clients.len() && Instant::now() < deadline {
            for (worker, listeners) in bound.workers.iter().enumerate() {
                if let Accept::Connection(..) = accept(&listeners[0]) {
                    accepted[worker] += 1;
                }
            }
        }
        assert_eq!(accepted.iter().sum::<usize>(), CONNECTIONS);
        // By a fair hash, a worker without any has a chance of (3/4)^200.
        assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
    }

    #[test]
    fn accepted_sockets_need_no_further_calls() {
        let bound = bind_all(&[any_port()], 1, &EAGER).unwrap();
        let listener = &bound.workers[0][0];
        assert!(matches!(accept(listener), Accept::WouldBlock));
        let client = StdTcpStream::connect(bound.addresses[0]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let (stream, peer) = loop {
            match accept(listener) {
                Accept::Connection(stream, peer) => break (stream, peer),
                other => assert!(Instant::now() < deadline, "{other:?}"),
            }
        };
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).nonblocking().unwrap());
        assert!(closes_on_exec(&stream));
        assert!(closes_on_exec(listener));
    }

    #[test]
    fn v6_and_v4_wildcards_stand_side_by_side() {
        let v6 = match bind_all(&["[::]:0".parse().unwrap()], 2, &EAGER) {
            Ok(bound) => bound,
            // Containers without IPv6 are common.
            Err(error) if error.error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) => return,
            Err(error) => panic!("{error}"),
        };
        assert!(SockRef::from(&v6.workers[1][0]).only_v6().unwrap());
        // The same port is free for IPv4 unless another program took it meanwhile, which no test
        // can rule out; sharing with this very socket is what must not fail.
        let port = v6.addresses[0].port();
        bind_all(&[SocketAddr::from(([127, 0, 0, 1], port))], 1, &EAGER).unwrap();
    }

    #[test]
    fn an_address_of_another_machine() {
        // RFC 5737: documentation addresses are assigned to no interface.
        let error = bind_all(&["192.0.2.1:0".parse().unwrap()], 1, &EAGER).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot bind 192.0.2.1:0: this machine does not have that address; \
             choose one that it has with --bind"
        );
    }

    #[test]
    fn congestion_control_is_inherited_and_one_that_is_missing_is_named() {
        let network = Network {
            congestion: Congestion::Cubic,
            ..EAGER
        };
        let bound = bind_all(&[any_port()], 2, &network).unwrap();
        for listeners in &bound.workers {
            let name = SockRef::from(&listeners[0]).tcp_congestion().unwrap();
            assert!(name.starts_with(b"cubic"), "{name:?}");
            assert_eq!(pacing_warning(&listeners[0]), None);
        }
        assert!(message(Errno::ENOENT).contains("choose another with --congestion"));
    }

    #[test]
    fn messages_name_the_mend() {
        assert_eq!(
            message(Errno::EACCES),
            "cannot bind 127.0.0.1:80: permission denied; \
             use a port above 1023 or give CAP_NET_BIND_SERVICE"
        );
        assert!(message(Errno::EMFILE).contains("ulimit -n"));
        assert!(message(Errno::EIO).ends_with("; choose another address with --bind"));
    }

    #[test]
    fn errors_of_accept() {
        let classified = |code: Errno| classify(io::Error::from_raw_os_error(code as i32));
        assert!(matches!(classified(Errno::EAGAIN), Accept::WouldBlock));
        for code in [
            Errno::EMFILE,
            Errno::ENFILE,
            Errno::ENOBUFS,
            Errno::ENOMEM,
            Errno::EINVAL,
        ] {
            assert!(
                matches!(classified(code), Accept::OutOfDescriptors(_)),
                "{code}"
            );
        }
        for code in [
            Errno::ECONNABORTED,
            Errno::EINTR,
            Errno::EPROTO,
            Errno::EPERM,
            Errno::ENETDOWN,
            Errno::ENOPROTOOPT,
            Errno::EHOSTDOWN,
            Errno::ENONET,
            Errno::EHOSTUNREACH,
            Errno::EOPNOTSUPP,
            Errno::ENETUNREACH,
        ] {
            assert!(matches!(classified(code), Accept::Aborted), "{code}");
        }
    }
}
