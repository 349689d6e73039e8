//! The HTTP that the load needs: a request on a connection, and its response with all bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::head::ResponseHead;

/// How long a connection may take to be accepted.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The longest head of a response, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// What is read in one call, in bytes.
const CHUNK_BYTES: usize = 16 << 10;

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection could be made.
    Refused,
    /// The connection was closed before a byte of the response came.
    ClosedBefore,
    /// The connection was closed within the response, or what came is no response.
    ClosedWithin,
    /// The time was over.
    TimedOut,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    /// The number in `X-Node: n3`.
    pub(super) node: Option<u8>,
    pub(super) body: Vec<u8>,
    /// Whether the connection can have no further request.
    pub(super) is_last: bool,
}

/// A connection that requests are sent on, one after the other.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// How many requests were answered on it.
    pub(super) answered: u32,
}

/// A response whose head has come, and perhaps some of its body.
#[derive(Debug)]
pub(super) struct Begun {
    head: Head,
    read: Vec<u8>,
    body_at: usize,
}

impl Begun {
    /// The node that answers, if the status is 200.
    pub(super) fn node(&self) -> Option<u8> {
        self.head.node.filter(|_| self.head.status == 200)
    }
}

/// The head of a response.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    node: Option<u8>,
    /// `None`: the body ends with the connection.
    length: Option<usize>,
    is_last: bool,
}

impl Connection {
    /// Connects.
    pub(super) fn open(address: SocketAddr) -> Result<Self, Fault> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_MAX);
        let stream = stream.map_err(|_| Fault::Refused)?;
        // Requests are short: none is to wait for the next.
        let _ = stream.set_nodelay(true);
        Ok(Self {
            stream,
            answered: 0,
        })
    }

    /// Sends a GET request, and reads its response.
    pub(super) fn get(&mut self, target: &str, deadline: Instant) -> Result<Response, Fault> {
        let begun = self.begin(target, deadline)?;
        self.end(begun, deadline)
    }

    /// Sends a GET request, and reads the head of its response.
    pub(super) fn begin(&mut self, target: &str, deadline: Instant) -> Result<Begun, Fault> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: files.example.org\r\n\r\n");
        let sent = self.stream.write_all(request.as_bytes());
        sent.map_err(|_| Fault::ClosedBefore)?;
        let mut read = Vec::new();
        loop {
            let found = ResponseHead::read(&read).map_err(|_| Fault::ClosedWithin)?;
            if let Some((head, body_at)) = found {
                let head = Head::from(&head);
                return Ok(Begun {
                    head,
                    read,
                    body_at,
                });
            }
            if read.len() > HEAD_BYTES_MAX {
                return Err(Fault::ClosedWithin);
            }
            if !self.read_more(&mut read, deadline)? {
                return Err(if read.is_empty() {
                    Fault::ClosedBefore
                } else {
                    Fault::ClosedWithin
                });
            }
        }
    }

    /// Reads the rest of a response.
    pub(super) fn end(&mut self, begun: Begun, deadline: Instant) -> Result<Response, Fault> {
        let Begun {
            head,
            mut read,
            body_at,
        } = begun;
        let end = head.length.map(|length| body_at + length);
        while end.is_none_or(|end| read.len() < end) {
            if !self.read_more(&mut read, deadline)? {
                if end.is_some() {
                    return Err(Fault::ClosedWithin);
                }
                break;
            }
        }
        self.answered += 1;
        // Bytes after the response belong to no request of ours, and are compared as part of it.
        Ok(Response {
            status: head.status,
            node: head.node,
            body: read.split_off(body_at),
            is_last: head.is_last || end.is_none(),
        })
    }

    /// Reads the rest of a response with a length at a rate, and forgets it. Answers how many bytes the body had.
    pub(super) fn end_slowly(
        &mut self,
        begun: Begun,
        bytes_per_second: f64,
        deadline: Instant,
    ) -> Result<u64, Fault> {
        let began = Instant::now();
        let length = begun.head.length.ok_or(Fault::ClosedWithin)?;
        let mut count = begun.read.len() - begun.body_at;
        let mut read = Vec::new();
        while count < length {
            let due = began + Duration::from_secs_f64(count as f64 / bytes_per_second);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            read.clear();
            if !self.read_more(&mut read, deadline)? {
                return Err(Fault::ClosedWithin);
            }
            count += read.len();
        }
        Ok(count as u64)
    }

    /// Reads some bytes; answers whether there were any.
    fn read_more(&mut self, read: &mut Vec<u8>, deadline: Instant) -> Result<bool, Fault> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Fault::TimedOut);
        }
        let _ = self.stream.set_read_timeout(Some(left));
        let kept = read.len();
        read.resize(kept + CHUNK_BYTES, 0);
        let count = self.stream.read(&mut read[kept..]);
        read.truncate(kept + *count.as_ref().unwrap_or(&0));
        match count {
            Ok(count) => Ok(count > 0),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Fault::TimedOut),
            // A reset, which is an end too.
            Err(_) => Ok(false),
        }
    }
}

impl From<&ResponseHead<'_>> for Head {
    fn from(head: &ResponseHead<'_>) -> Self {
        let connection = head.field("connection");
        let node = head.field("x-node").and_then(|node| node.strip_prefix('n'));
        Self {
            status: head.status,
            node: node.and_then(|number| number.parse().ok()),
            length: head.number("content-length"),
            is_last: connection.is_some_and(|word| word.eq_ignore_ascii_case("close")),
        }
    }
}

/// The status of one request on a connection of its own, if there is an answer in time.
pub(super) fn status(address: SocketAddr, target: &str, limit: Duration) -> Option<u16> {
    let mut connection = Connection::open(address).ok()?;
    let response = connection.get(target, Instant::now() + limit);
    response.ok().map(|response| response.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_the_node_and_the_length() {
        let read = |bytes: &[u8]| {
            let (head, _) = ResponseHead::read(bytes).expect("a head").expect("whole");
            Head::from(&head)
        };
        let expected = Head {
            status: 200,
            node: Some(3),
            length: Some(12),
            is_last: true,
        };
        let head =
            b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nX-Node: n3\r\nConnection: close\r\n\r\n";
        assert_eq!(read(head), expected);
        let head = read(b"HTTP/1.0 503 Service Unavailable\r\n\r\n");
        assert_eq!((head.status, head.node, head.length), (503, None, None));
    }
}
