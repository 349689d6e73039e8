//! Which sockets a server listens on: those of its addresses, and those that it has inherited.

use crate::config::{Bind, Config, Scheme, Spoken};
use crate::reactor::listener::{
    Bound, InheritedSocket, Listening, SocketFault, SocketRole, bind_all,
};
use crate::start::StartError;

/// The port of URLs of HTTPS that name none.
const HTTPS_PORT: u16 = 443;

/// What listens, before the workers have it.
pub(super) struct Sockets {
    pub(super) bound: Bound,
    /// The socket of the admin listener, if it is inherited.
    pub(super) admin: Option<InheritedSocket>,
}

impl Sockets {
    /// Listens for `workers` on the inherited sockets, and on the addresses of each kind of which none is inherited.
    pub(super) fn open(
        config: &Config,
        inherited: Vec<InheritedSocket>,
        workers: usize,
    ) -> Result<Self, StartError> {
        let has = |role| inherited.iter().any(|socket| socket.role() == role);
        let (has_http, has_https) = (has(SocketRole::Http), has(SocketRole::Https));
        let is_wanted = |scheme| match scheme {
            Scheme::Http => !has_http,
            Scheme::Https => !has_https,
        };
        let mut binds = binds_of(config);
        binds.retain(|(_, spoken)| is_wanted(spoken.scheme));
        let network = &config.network;
        let mut bound = bind_all(&binds, workers, network).map_err(StartError::Bind)?;
        let mut admin = None;
        for socket in inherited {
            let scheme = match socket.role() {
                SocketRole::Http => Scheme::Http,
                SocketRole::Https if has_certificate(config) => Scheme::Https,
                SocketRole::Https => return Err(socket.refused(SocketFault::NoCertificate).into()),
                SocketRole::Admin if admin.is_some() => {
                    return Err(socket.refused(SocketFault::SecondAdmin).into());
                }
                SocketRole::Admin => {
                    admin = Some(socket);
                    continue;
                }
            };
            let bind = Bind::Address(socket.address());
            let spoken = Spoken {
                scheme,
                has_proxy_header: config.clients.proxy_protocol.is_on_address(&bind),
            };
            let adopted = bound.adopt(socket, spoken, network);
            adopted.map_err(StartError::Bind)?;
        }
        Ok(Self { bound, admin })
    }
}

/// The port that requests by HTTP are redirected to.
pub(super) fn https_port(listening: &[Listening]) -> Option<u16> {
    let secure = listening.iter().filter(|one| one.scheme == Scheme::Https);
    let mut secure = secure.map(|one| one.address.socket_address()).peekable();
    secure.peek()?;
    // On Unix-domain sockets alone: whoever is in front listens on the usual port.
    let first = secure.flatten().next();
    Some(first.map_or(HTTPS_PORT, |address| address.port()))
}

/// Where to listen, and what is spoken there.
fn binds_of(config: &Config) -> Vec<(Bind, Spoken)> {
    let plain = config.binds.iter().map(|bind| (bind, Scheme::Http));
    #[cfg(feature = "tls")]
    let plain = {
        let secure = config.tls.iter().flat_map(|tls| &tls.binds);
        plain.chain(secure.map(|bind| (bind, Scheme::Https)))
    };
    let spoken = |(bind, scheme): (&Bind, Scheme)| {
        let has_proxy_header = config.clients.proxy_protocol.is_on(bind);
        let spoken = Spoken {
            scheme,
            has_proxy_header,
        };
        (bind.clone(), spoken)
    };
    plain.map(spoken).collect()
}

#[cfg(feature = "tls")]
fn has_certificate(config: &Config) -> bool {
    config.tls.is_some()
}

#[cfg(not(feature = "tls"))]
fn has_certificate(_: &Config) -> bool {
    false
}
