//! Listening sockets that another process has opened, as socket activation hands them over.
//!
//! All workers share one socket, each by a descriptor of its own. The kernel wakes each of them for a new
//! connection, one gets it, and the others meet `EAGAIN`: that costs a call of `accept` more for each worker that
//! had nothing to do. It is handed over as any other, so that the workers have equally many.
//!
//! Another process may listen on the same socket, now or next. So nobody drains its queue at the end: what is
//! there is for the next process.

use std::error::Error;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::AsFd;
use std::{fmt, io};

use mio::net::TcpListener;
use socket2::{Protocol, SockRef};

use super::{BindError, Bound, DEFER_ACCEPT_SECONDS, Fault, ListenSocket, Listener, Listening};
use crate::config::{Network, Spoken};

/// What an inherited socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketRole {
    /// In place of the addresses of plain HTTP.
    Http,
    /// In place of those of HTTPS.
    Https,
    /// In place of that of metrics and health.
    Admin,
}

/// A listening socket that another process has opened.
#[derive(Debug)]
pub struct InheritedSocket {
    label: String,
    role: SocketRole,
    address: SocketAddr,
    socket: StdTcpListener,
}

/// An inherited socket that cannot be used. Displayed in one line that names it and the mend.
#[derive(Debug)]
pub struct InheritedError {
    label: String,
    fault: SocketFault,
}

/// What is wrong with an inherited socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum SocketFault {
    /// Its name says nothing.
    Name,
    /// It is a connection, or bound alone.
    NotListening,
    /// It is of another protocol, or no socket.
    NotTcp,
    /// It is a Unix-domain socket.
    Unix,
    /// It is for HTTPS, and there is no certificate.
    NoCertificate,
    /// There is another one for metrics and health.
    SecondAdmin,
    /// The system did not say what it is.
    Io(io::Error),
}

impl InheritedSocket {
    /// `name` is what the other process calls it: `http`, `https` or `admin`. One without a name, or with that of a
    /// socket unit of systemd, is for HTTP. `label` names the socket in messages.
    ///
    /// # Errors
    ///
    /// It does not listen for TCP, or the name is another one.
    pub fn new(label: String, name: &str, socket: StdTcpListener) -> Result<Self, InheritedError> {
        let address = address_of(&socket);
        let known =
            address.and_then(|address| Ok((address, role_of(name).ok_or(SocketFault::Name)?)));
        match known {
            Ok((address, role)) => Ok(Self {
                label,
                role,
                address,
                socket,
            }),
            Err(fault) => Err(InheritedError::new(label, fault)),
        }
    }

    /// Whether it is for metrics and health.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role == SocketRole::Admin
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn role(&self) -> SocketRole {
        self.role
    }

    /// It cannot be used after all.
    pub(crate) fn refused(self, fault: SocketFault) -> InheritedError {
        InheritedError::new(self.label, fault)
    }
}

/// Where it listens, for TCP.
fn address_of(listener: &StdTcpListener) -> Result<SocketAddr, SocketFault> {
    let socket = SockRef::from(listener);
    if socket.protocol().map_err(SocketFault::Io)? != Some(Protocol::TCP) {
        return Err(SocketFault::NotTcp);
    }
    match socket.is_listener() {
        Ok(true) => listener.local_addr().map_err(SocketFault::Io),
        Ok(false) => Err(SocketFault::NotListening),
        Err(error) => Err(SocketFault::Io(error)),
    }
}

/// What a socket with this name is for.
fn role_of(name: &str) -> Option<SocketRole> {
    match name {
        // `unknown` stands for no name in sd_listen_fds_with_names(3), and systemd itself gives the name of the unit.
        "http" | "" | "unknown" => Some(SocketRole::Http),
        name if name.ends_with(".socket") => Some(SocketRole::Http),
        "https" => Some(SocketRole::Https),
        "admin" => Some(SocketRole::Admin),
        _ => None,
    }
}

impl InheritedError {
    /// `label` names the socket.
    #[must_use]
    pub fn new(label: String, fault: SocketFault) -> Self {
        Self { label, fault }
    }
}

impl fmt::Display for InheritedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, fault } = self;
        write!(f, "{label} ")?;
        match fault {
            SocketFault::Name => f.write_str(
                "has a name that says nothing; name it http, https or admin (FileDescriptorName=)",
            ),
            SocketFault::NotListening => {
                f.write_str("does not listen; hand over a listening socket (ListenStream=, Accept=no)")
            }
            SocketFault::NotTcp => {
                f.write_str("is no TCP socket; hand over one that is (ListenStream=ADDRESS:PORT)")
            }
            SocketFault::Unix => f.write_str(
                "is a Unix-domain socket; hand over a TCP socket (ListenStream=ADDRESS:PORT)",
            ),
            SocketFault::NoCertificate => f.write_str(
                "is for HTTPS, and there is no certificate; give --tls-cert and --tls-key, or name it http",
            ),
            SocketFault::SecondAdmin => {
                f.write_str("is the second one for metrics and health; hand over one")
            }
            SocketFault::Io(error) => write!(f, "cannot be used: {error}; hand over another one"),
        }
    }
}

impl Error for InheritedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            SocketFault::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl Bound {
    /// Has every worker listen on a socket that another process has opened.
    pub(crate) fn adopt(
        &mut self,
        inherited: InheritedSocket,
        spoken: Spoken,
        network: &Network,
    ) -> Result<(), BindError> {
        let InheritedSocket {
            socket, address, ..
        } = inherited;
        let failed = |error| BindError {
            address: address.into(),
            fault: Fault::Internet(error),
        };
        set_options(&socket, network).map_err(failed)?;
        let takes_ipv4 = address.is_ipv6() && !SockRef::from(&socket).only_v6().map_err(failed)?;
        for worker in &mut self.workers {
            let socket = socket.try_clone().map_err(failed)?;
            worker.push(Listener {
                socket: ListenSocket::Tcp(TcpListener::from_std(socket)),
                spoken,
                is_shared: true,
            });
        }
        self.listening.push(Listening {
            address: address.into(),
            takes_ipv4,
            scheme: spoken.scheme,
            proxy_protocol: spoken.has_proxy_header,
            inherited: true,
        });
        Ok(())
    }
}

/// What a listener of our own has before it is bound.
fn set_options(socket: &StdTcpListener, network: &Network) -> io::Result<()> {
    let socket_ref = SockRef::from(socket);
    socket_ref.set_nonblocking(true)?;
    if let Some(name) = network.congestion.name() {
        socket_ref.set_tcp_congestion(name.as_bytes())?;
    }
    if network.defer_accept {
        zc_core::set_defer_accept(socket.as_fd(), DEFER_ACCEPT_SECONDS)?;
    }
    socket_ref.set_tcp_nodelay(true)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::os::fd::OwnedFd;

    use socket2::{Domain, Socket, Type};

    use super::*;

    fn listener() -> StdTcpListener {
        StdTcpListener::bind("127.0.0.1:0").expect("a port")
    }

    fn fault(name: &str, socket: impl Into<OwnedFd>) -> String {
        let socket = StdTcpListener::from(socket.into());
        let refused = InheritedSocket::new("socket 1".to_owned(), name, socket);
        refused.expect_err("it is wrong").to_string()
    }

    #[test]
    fn a_name_says_what_a_socket_is_for() {
        for (name, role) in [
            ("http", SocketRole::Http),
            ("", SocketRole::Http),
            ("unknown", SocketRole::Http),
            ("zc.socket", SocketRole::Http),
            ("https", SocketRole::Https),
            ("admin", SocketRole::Admin),
        ] {
            let socket = InheritedSocket::new(String::new(), name, listener());
            assert_eq!(socket.expect("it listens").role(), role, "{name}");
        }
        let said = fault("web", listener());
        assert!(said.starts_with("socket 1 has a name"), "{said}");
    }

    #[test]
    fn what_does_not_listen_for_tcp_is_refused() {
        let one = listener();
        let address = one.local_addr().expect("bound");
        let said = fault("http", TcpStream::connect(address).expect("us"));
        assert!(said.contains("does not listen"), "{said}");
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        bound.bind(&any.into()).expect("a port");
        let said = fault("http", bound);
        assert!(said.contains("does not listen"), "{said}");
        let datagrams = std::net::UdpSocket::bind(any).expect("a port");
        let said = fault("http", datagrams);
        assert!(said.contains("is no TCP socket"), "{said}");
    }
}
