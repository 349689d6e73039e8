//! The socket of a connection: what it reads, writes, and knows of its readiness.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use mio::{Interest, Registry, Token};
use zc_core::{HeadThenFile, SendError, Transfer};

use crate::socket::Stream;

/// The socket of a connection.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) stream: Stream,
    readiness: Readiness,
}

/// What a read could bring, as the edges told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    /// Nothing until the next edge.
    Drained,
    Readable,
    /// The peer has ended its side: every read says something, in the end that it is over.
    Ending,
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fill<'s> {
    Bytes(&'s [u8]),
    /// Nothing now.
    WouldBlock,
    /// The TLS handshake is over.
    #[cfg(feature = "tls")]
    Established,
    /// Bytes of a peer that does not speak TLS where it should.
    #[cfg(feature = "tls")]
    NotTls(&'s [u8]),
    /// What came is wrong, and an alert says so. Nothing is opened any more.
    #[cfg(feature = "tls")]
    Refused,
    /// The peer has sent everything it will send.
    Closed,
}

/// What became of some bytes.
#[derive(Debug)]
pub(crate) struct Written {
    /// How many the transport took.
    pub(crate) accepted: usize,
    /// Whether it holds some of them, which the socket has not taken yet.
    pub(crate) is_held: bool,
    /// What went wrong; `None` where the socket took all, or is full.
    pub(crate) error: Option<SendError>,
}

impl Written {
    /// Whether the socket took all of `length` bytes.
    pub(crate) fn is_whole(&self, length: usize) -> bool {
        self.accepted == length && !self.is_held
    }
}

impl Plain {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            readiness: Readiness::Readable,
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut self.stream, token, interest)
    }

    pub(super) fn on_readable(&mut self, ending: bool) {
        if ending {
            self.readiness = Readiness::Ending;
        } else if self.readiness == Readiness::Drained {
            self.readiness = Readiness::Readable;
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        self.readiness == Readiness::Drained
    }

    pub(super) fn may_have_bytes(&self) -> bool {
        self.readiness == Readiness::Readable
    }

    pub(super) fn has_nothing_to_read(&self) -> bool {
        !matches!(self.stream.peek(&mut [0]), Ok(1..))
    }

    /// Reads once, into `scratch`.
    pub(super) fn fill<'s>(&mut self, scratch: &'s mut [u8]) -> io::Result<Fill<'s>> {
        loop {
            match (&self.stream).read(scratch) {
                Ok(0) => return Ok(Fill::Closed),
                Ok(count) => {
                    // Fewer than there was room for: nothing is left until the next edge.
                    if count < scratch.len() && self.stream.is_drained_by_short_reads() {
                        self.on_drained();
                    }
                    return Ok(Fill::Bytes(&scratch[..count]));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.on_drained();
                    return Ok(Fill::WouldBlock);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks at what could be read, into `scratch`.
    pub(super) fn peek<'s>(&mut self, scratch: &'s mut [u8]) -> io::Result<Fill<'s>> {
        loop {
            match self.stream.peek(scratch) {
                Ok(0) => return Ok(Fill::Closed),
                Ok(count) => return Ok(Fill::Bytes(&scratch[..count])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.on_drained();
                    return Ok(Fill::WouldBlock);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads so many bytes and drops them; a look has found them there.
    pub(super) fn skip(&mut self, length: usize) -> io::Result<()> {
        let mut bytes = (&self.stream).take(length as u64);
        let skipped = io::copy(&mut bytes, &mut io::sink())?;
        if skipped < length as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Whether the peer has ended its side.
    pub(super) fn has_ended(&self) -> bool {
        self.readiness == Readiness::Ending
    }

    pub(super) fn on_drained(&mut self) {
        if self.readiness == Readiness::Readable {
            self.readiness = Readiness::Drained;
        }
    }

    /// Sends as many of `bytes` as the socket takes, and answers how many.
    pub(super) fn send(&mut self, bytes: &[u8]) -> (usize, Option<SendError>) {
        let mut send = HeadThenFile::<_, Transfer<BorrowedFd<'_>>>::with_optional_body(bytes, None);
        let error = send.advance(&self.stream, 0).err();
        // At most as many as there are.
        (send.accepted() as usize, error)
    }

    pub(super) fn unacknowledged_bytes(&self) -> u64 {
        zc_core::send_queue_bytes(&self.stream).unwrap_or(0)
    }

    /// How many more bytes the socket takes, at least, as a whole. What it holds takes more memory than it has
    /// bytes, and the limit is one of memory.
    #[cfg(feature = "tls")]
    pub(super) fn room_bytes(&self) -> u64 {
        let socket = socket2::SockRef::from(&self.stream);
        let memory_bytes = socket.send_buffer_size().unwrap_or(0) as u64;
        (memory_bytes / 2).saturating_sub(self.unacknowledged_bytes())
    }

    pub(super) fn close_write(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    pub(super) fn cut_off(&mut self) {
        // Refused only on a socket that is gone already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    pub(super) fn reset_on_close(&mut self) {
        // Refused only on a socket that is gone already.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

impl AsFd for Plain {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
