//! Who asks: the PROXY protocol, proxies that are believed, who may ask, how many connections each has, and what a
//! request is called.

mod access;
mod forwarded;
mod per_ip;
mod proxy_protocol;
mod real_proxies;
mod request_id;

use std::net::{IpAddr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::harness::{Client, Server};

/// A connection to `address` from another loopback address than usual.
fn connect_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let source = SocketAddr::new(IpAddr::from(source), 0);
    socket.bind(&source.into()).expect("a loopback address");
    socket.connect(&address.into()).expect("somebody accepts");
    socket.into()
}

/// A client whose connection begins with these bytes.
fn connect_behind(server: &Server, header: &[u8]) -> Client {
    use std::io::Write;
    let mut stream = TcpStream::connect(server.address).expect("the server accepts");
    stream.write_all(header).expect("a new connection");
    server.client(stream)
}

/// The header of version 1 for a client at this address.
fn line(client: &str) -> Vec<u8> {
    let family = if client.contains(':') { 6 } else { 4 };
    let own = if family == 6 { "::1" } else { "127.0.0.1" };
    format!("PROXY TCP{family} {client} {own} 4711 80\r\n").into_bytes()
}

/// A header of version 2.
fn block(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).expect("it fits");
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend(length.to_be_bytes());
    header.extend(addresses);
    header
}
