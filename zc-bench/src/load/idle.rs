//! Connections on which nothing more is asked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustls::StreamOwned;

use super::read_head;
use super::transport::Tls;

/// An idle connection, and the session on it if there is one.
pub trait Held: Read + Write {}

impl<T: Read + Write> Held for T {}

/// Opens connections, has one request answered on each, and hands them out idle.
///
/// # Errors
///
/// What connecting, writing and reading may report, and `UnexpectedEof` for a connection that ended.
pub fn hold_idle(
    address: SocketAddr,
    tls: Option<&Tls>,
    target: &str,
    connections: usize,
) -> io::Result<Vec<Box<dyn Held>>> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut held = Vec::with_capacity(connections);
    for _ in 0..connections {
        let socket = TcpStream::connect(address)?;
        let mut stream: Box<dyn Held> = match tls {
            None => Box::new(socket),
            Some(tls) => Box::new(StreamOwned::new(tls.session()?, socket)),
        };
        stream.write_all(request.as_bytes())?;
        let mut received = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            received.extend_from_slice(&chunk[..count]);
            if let Some(head) = read_head(&received)?
                && received.len() as u64 >= head.bytes as u64 + head.body_bytes
            {
                break;
            }
        }
        held.push(stream);
    }
    Ok(held)
}
