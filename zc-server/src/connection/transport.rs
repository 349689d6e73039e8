//! The socket of a connection. Whatever reads it, writes it or ends it does so here.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use zc_core::{HeadThenFile, Progress, SendError, Transfer};

use crate::body::ResponseBody;

/// How bytes go between the server and the peer.
#[derive(Debug)]
pub(crate) enum Transport {
    /// As they are.
    Plain(Plain),
}

/// A TCP socket.
#[derive(Debug)]
pub(crate) struct Plain {
    stream: TcpStream,
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
    /// The peer has sent everything it will send.
    Closed,
}

/// What the socket took of some bytes.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) accepted: usize,
    /// What went wrong; `None` where the socket took all, or is full.
    pub(crate) error: Option<SendError>,
}

impl Transport {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self::Plain(Plain {
            stream,
            readiness: Readiness::Readable,
        })
    }

    /// Has `registry` tell of both directions, under `token`, for as long as the socket is open.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let Self::Plain(plain) = self;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut plain.stream, token, interest)
    }

    /// A readable edge; `ending` when it says that the peer has ended its side.
    pub(crate) fn on_readable(&mut self, ending: bool) {
        let Self::Plain(plain) = self;
        if ending {
            plain.readiness = Readiness::Ending;
        } else if plain.readiness == Readiness::Drained {
            plain.readiness = Readiness::Readable;
        }
    }

    /// Whether a read brings nothing before the next edge.
    pub(crate) fn is_drained(&self) -> bool {
        let Self::Plain(plain) = self;
        plain.readiness == Readiness::Drained
    }

    /// Whether bytes may be there that nobody has read.
    pub(crate) fn may_have_bytes(&self) -> bool {
        let Self::Plain(plain) = self;
        plain.readiness == Readiness::Readable
    }

    /// Whether no bytes are there, as the kernel tells now; also when the peer has ended its side.
    pub(crate) fn has_nothing_to_read(&self) -> bool {
        let Self::Plain(plain) = self;
        !matches!(plain.stream.peek(&mut [0]), Ok(1..))
    }

    /// Reads once, into `scratch`.
    pub(crate) fn fill<'s>(&mut self, scratch: &'s mut [u8]) -> io::Result<Fill<'s>> {
        let Self::Plain(plain) = self;
        plain.fill(scratch)
    }

    /// Sends bytes that are in memory, as many as the socket takes.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> Written {
        let Self::Plain(plain) = self;
        let mut send = HeadThenFile::<_, Transfer<BorrowedFd<'_>>>::with_optional_body(bytes, None);
        let error = send.advance(&plain.stream, 0).err();
        Written {
            // At most as many as there are.
            accepted: send.accepted() as usize,
            error,
        }
    }

    /// Sends of a response until it ends, stops or has sent `budget` bytes.
    pub(crate) fn send_body(
        &mut self,
        body: &mut ResponseBody,
        budget: u64,
    ) -> Result<Progress, SendError> {
        let Self::Plain(plain) = self;
        body.advance(&plain.stream, budget)
    }

    /// What the kernel holds for the peer, sent or not, and has no acknowledgement of, in bytes.
    pub(crate) fn unacknowledged_bytes(&self) -> u64 {
        let Self::Plain(plain) = self;
        zc_core::send_queue_bytes(&plain.stream).unwrap_or(0)
    }

    /// Another descriptor of the socket, for a thread that sends.
    pub(crate) fn offload_fd(&self) -> io::Result<OwnedFd> {
        let Self::Plain(plain) = self;
        plain.stream.as_fd().try_clone_to_owned()
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn close_write(&mut self) -> io::Result<()> {
        let Self::Plain(plain) = self;
        plain.stream.shutdown(Shutdown::Write)
    }

    /// Ends the connection for the peer, whoever else has a descriptor of it.
    pub(crate) fn cut_off(&mut self) {
        let Self::Plain(plain) = self;
        // Refused only on a socket that is gone already.
        let _ = plain.stream.shutdown(Shutdown::Both);
    }

    /// Lets the kernel drop what the peer does not take when the socket is closed, instead of keeping it
    /// for minutes.
    pub(crate) fn reset_on_close(&mut self) {
        let Self::Plain(plain) = self;
        // Refused only on a socket that is gone already.
        let _ = socket2::SockRef::from(&plain.stream).set_linger(Some(Duration::ZERO));
    }
}

impl Plain {
    fn fill<'s>(&mut self, scratch: &'s mut [u8]) -> io::Result<Fill<'s>> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Ok(Fill::Closed),
                Ok(count) => {
                    // Fewer than there was room for: nothing is left until the next edge.
                    if count < scratch.len() {
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

    fn on_drained(&mut self) {
        if self.readiness == Readiness::Readable {
            self.readiness = Readiness::Drained;
        }
    }
}
