//! One connection of the load generator.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

use super::Load;
use super::response::{Head, read_head};
use super::transport::Transport;

/// Room for a head, and for a body of a KiB behind it, in bytes.
const HEAD_BYTES_MAX: usize = 2048;
/// What is read at a time of a body that is compared, in bytes.
const COMPARED_BYTES_MAX: usize = 1 << 20;

/// A connection and the response that it waits for.
#[derive(Debug)]
pub(super) struct Client {
    transport: Transport,
    state: State,
    started: Instant,
    /// What is still to be sent of the request.
    unsent: Vec<u8>,
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    /// The bytes that the body must have, when this one is looked at.
    expected: Option<Vec<u8>>,
    received: Vec<u8>,
    /// Bytes of body, over all responses.
    pub(super) body_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Idle,
    /// The last response is over, and the server is to end the connection.
    Over,
    Head,
    Body {
        status: u16,
        left: u64,
        closes: bool,
    },
}

/// What an advance came to.
#[derive(Debug)]
pub(super) enum Event {
    /// Nothing to do until the next edge.
    Waits,
    /// The response is over.
    Done {
        status: u16,
        started: Instant,
        verified: bool,
        /// Whether the connection went on with the session of an earlier one.
        resumed: bool,
        /// Whether the server ends the connection now.
        closes: bool,
    },
    /// The connection ended after its last response.
    Closed,
    /// The connection ended before its response did.
    Ended,
    /// The connection ended while nothing was asked, which is the server's right.
    EndedIdle,
}

impl Client {
    pub(super) fn connect(load: &Load, index: usize, poll: &Poll) -> io::Result<Self> {
        let mut transport = Transport::new(connect(load.address)?, load.tls.as_ref())?;
        poll.registry().register(
            transport.socket(),
            Token(index),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        Ok(Self {
            transport,
            state: State::Idle,
            started: Instant::now(),
            unsent: Vec::new(),
            head: [0; HEAD_BYTES_MAX],
            head_bytes: 0,
            expected: None,
            received: Vec::new(),
            body_bytes: 0,
        })
    }

    /// Asks; `expected` is what must come back, when that is to be looked at.
    pub(super) fn ask(
        &mut self,
        request: &[u8],
        started: Instant,
        expected: Option<Vec<u8>>,
    ) -> io::Result<()> {
        self.started = started;
        self.state = State::Head;
        self.head_bytes = 0;
        self.expected = expected;
        self.received.clear();
        let sent = match self.transport.write(request) {
            Ok(sent) => sent,
            // Not connected yet, or full: the next edge goes on.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => 0,
            // The next read says it too.
            Err(error) if is_gone(&error) => request.len(),
            Err(error) => return Err(error),
        };
        self.unsent.clear();
        self.unsent.extend_from_slice(&request[sent..]);
        Ok(())
    }

    /// Goes on until the socket has nothing more, or the response is over.
    pub(super) fn advance(&mut self) -> io::Result<Event> {
        if !self.unsent.is_empty() && !self.send_rest()? {
            return Ok(Event::Waits);
        }
        loop {
            let progress = match self.state {
                State::Idle => return self.look_for_end(Event::EndedIdle),
                State::Over => return self.look_for_end(Event::Closed),
                State::Head => self.read_head()?,
                State::Body {
                    status,
                    left: 0,
                    closes,
                } => return self.finish(status, closes),
                State::Body {
                    status,
                    left,
                    closes,
                } => {
                    let (left, progress) = self.read_body(left)?;
                    self.state = State::Body {
                        status,
                        left,
                        closes,
                    };
                    progress
                }
            };
            match progress {
                Progress::Some => {}
                Progress::WouldBlock => return Ok(Event::Waits),
                Progress::End => return Ok(Event::Ended),
            }
        }
    }

    fn send_rest(&mut self) -> io::Result<bool> {
        match self.transport.write(&self.unsent) {
            Ok(sent) => {
                self.unsent.drain(..sent);
                Ok(self.unsent.is_empty())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                ) =>
            {
                Ok(false)
            }
            Err(error) if is_gone(&error) => {
                self.unsent.clear();
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    fn read_head(&mut self) -> io::Result<Progress> {
        let room = &mut self.head[self.head_bytes..];
        let count = match outcome(self.transport.read(room))? {
            Ok(count) => count,
            Err(progress) => return Ok(progress),
        };
        self.head_bytes += count;
        let Some(Head {
            status,
            bytes,
            body_bytes,
            closes,
        }) = read_head(&self.head[..self.head_bytes])?
        else {
            if self.head_bytes == HEAD_BYTES_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a head over 2 KiB",
                ));
            }
            return Ok(Progress::Some);
        };
        let behind = &self.head[bytes..self.head_bytes];
        let behind_bytes = behind.len() as u64;
        if behind_bytes > body_bytes {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "more bytes than the response has",
            ));
        }
        if self.expected.is_some() {
            self.received.extend_from_slice(behind);
        }
        self.body_bytes += behind_bytes;
        self.state = State::Body {
            status,
            left: body_bytes - behind_bytes,
            closes,
        };
        Ok(Progress::Some)
    }

    fn read_body(&mut self, left: u64) -> io::Result<(u64, Progress)> {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX);
        let count = if self.expected.is_some() {
            let before = self.received.len();
            self.received
                .resize(before + wanted.min(COMPARED_BYTES_MAX), 0);
            let read = outcome(self.transport.read(&mut self.received[before..]))?;
            self.received
                .truncate(before + *read.as_ref().unwrap_or(&0));
            read
        } else {
            outcome(self.transport.discard(wanted))?
        };
        let count = match count {
            Ok(count) => count as u64,
            Err(progress) => return Ok((left, progress)),
        };
        self.body_bytes += count;
        Ok((left - count, Progress::Some))
    }

    fn finish(&mut self, status: u16, closes: bool) -> io::Result<Event> {
        self.state = State::Idle;
        let expected = self.expected.take();
        if let Some(expected) = &expected
            && status == 200
            && *expected != self.received
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a body that is not its file",
            ));
        }
        Ok(Event::Done {
            status,
            started: self.started,
            verified: expected.is_some(),
            resumed: self.transport.is_resumed(),
            closes,
        })
    }

    /// Since when a response is waited for, if one is.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        match self.state {
            State::Head | State::Body { .. } => Some(self.started),
            State::Idle | State::Over => None,
        }
    }

    /// No further request follows on this connection.
    pub(super) fn expect_end(&mut self) {
        self.state = State::Over;
    }

    /// Between responses nothing comes but the end, before which a server may say 408
    /// ([RFC 9110 §15.5.9](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.9)).
    fn look_for_end(&mut self, end: Event) -> io::Result<Event> {
        match outcome(self.transport.read(&mut self.head))? {
            Ok(count) if self.head[..count].starts_with(b"HTTP/1.1 408 ") => Ok(end),
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "bytes that belong to no response",
            )),
            Err(Progress::End) => Ok(end),
            Err(Progress::Some | Progress::WouldBlock) => Ok(Event::Waits),
        }
    }
}

enum Progress {
    Some,
    WouldBlock,
    End,
}

/// Sorts what a read came to; a connection that is gone has ended.
fn outcome(read: io::Result<usize>) -> io::Result<Result<usize, Progress>> {
    match read {
        Ok(0) => Ok(Err(Progress::End)),
        Ok(count) => Ok(Ok(count)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
            ) =>
        {
            Ok(Err(Progress::WouldBlock))
        }
        Err(error) if is_gone(&error) => Ok(Err(Progress::End)),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
