//! Ports for programs that cannot take a free one by themselves.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port of one loopback address that no other test gets, while this lives.
///
/// Its socket is bound and never listens. A listener that is closed for the program to take its place goes on for a
/// moment in each process that another thread has forked and that has not called `execve(2)` yet: it accepts a
/// connection, and resets it. With `SO_REUSEADDR` the program can bind to the port beside a socket that does not
/// listen (ip(7)).
pub(crate) struct Reserved {
    _socket: Socket,
    /// What the program is to listen on.
    pub(crate) address: SocketAddr,
}

impl Reserved {
    pub(crate) fn at(address: Ipv4Addr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("an option");
        let any = SocketAddr::from((address, 0));
        socket.bind(&any.into()).expect("a port");
        let bound = socket.local_addr().expect("bound");
        Self {
            address: bound.as_socket().expect("of IPv4"),
            _socket: socket,
        }
    }
}
