//! HTTPS: what its records, its handshake and its end add to HTTP. Everything else is tested by all other tests
//! with `TEST_TLS=1.3` or `1.2`.

mod client_certificates;
mod clients;
mod ends;
mod failed_handshakes;
mod handshakes;
mod max_handshakes;
mod raw;
mod records;
mod slow;
mod strange;

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock};

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use socket2::{Domain, Socket, Type};

use crate::harness::tls::{ClientTls, client_config};
use crate::harness::{Client, Server};

type Version = &'static SupportedProtocolVersion;

const VERSIONS: [Version; 2] = [&TLS13, &TLS12];

/// What clients know of each version, and of the servers that they have met.
static CONFIGS: LazyLock<[Arc<ClientConfig>; 2]> =
    LazyLock::new(|| VERSIONS.map(|version| Arc::new(client_config(version))));

fn config(version: Version) -> Arc<ClientConfig> {
    let index = VERSIONS
        .iter()
        .position(|other| other.version == version.version);
    Arc::clone(&CONFIGS[index.expect("one of them")])
}

/// A connection whose handshake has not begun.
fn connect(server: &Server, version: Version) -> Client {
    connect_with(server, config(version))
}

fn connect_with(server: &Server, config: Arc<ClientConfig>) -> Client {
    let stream = TcpStream::connect(server.address).expect("the server accepts");
    Client::with_tls(stream, Some(Arc::new(ClientTls::with(config))))
}

/// One whose socket takes only a few KiB.
fn connect_narrow(address: SocketAddr, version: Version) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("SO_RCVBUF");
    socket.connect(&address.into()).expect("the server accepts");
    let tls = ClientTls::with(config(version));
    Client::with_tls(TcpStream::from(socket), Some(Arc::new(tls)))
}

/// The records that a client begins with.
fn client_hello(version: Version) -> Vec<u8> {
    let tls = ClientTls::with(config(version));
    tls.sealed_after(|_| Ok(())).expect("memory")
}
