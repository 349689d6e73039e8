//! The receive buffer: filled from the socket, handed out as a prefix, keeping the pipelined rest.

use std::io::{self, Read};

use bytes::{Buf, BytesMut};
use mio::net::TcpStream;

/// The most that one `read` takes, in bytes. It is also what one connection may hold beyond a
/// head that is not complete yet.
const READ_BYTES_MAX: usize = 16 * 1024;

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Bytes came, and there may be more.
    More,
    /// Bytes came, and fewer than there was room for: the socket is drained until its next edge.
    Drained,
    /// Nothing now.
    WouldBlock,
    /// The peer has sent everything it will send.
    Closed,
}

/// Memory into which every connection of one worker reads, so that an idle one needs none.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Box<[u8]>);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(vec![0; READ_BYTES_MAX].into())
    }

    /// Reads once from `stream`. Answers what that came to, and the bytes that came.
    pub(crate) fn fill(&mut self, mut stream: &TcpStream) -> io::Result<(Fill, &[u8])> {
        loop {
            match stream.read(&mut self.0) {
                Ok(0) => return Ok((Fill::Closed, &[])),
                Ok(count) if count == self.0.len() => return Ok((Fill::More, &self.0)),
                Ok(count) => return Ok((Fill::Drained, &self.0[..count])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok((Fill::WouldBlock, &[]));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Bytes that were received and not used yet. Holds no memory while empty.
///
/// The parser refuses a head over its bound, and nothing is read while a request waits to be
/// answered, so that at most one head and one read are held at a time.
#[derive(Debug, Default)]
pub(crate) struct Input(BytesMut);

impl Input {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps bytes behind those that are there.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Drops the first `count` bytes, which must be there.
    pub(crate) fn consume(&mut self, count: usize) {
        self.0.advance(count);
        if self.0.is_empty() {
            self.0 = BytesMut::new();
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.0 = BytesMut::new();
    }
}
