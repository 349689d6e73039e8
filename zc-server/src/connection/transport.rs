//! The socket of a connection. Whatever reads it, writes it or ends it does so here.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use mio::{Registry, Token};
use zc_core::{Progress, SendError};

pub(crate) use super::plain::{Fill, Written};

use super::plain::Plain;
#[cfg(feature = "tls")]
use super::secure::Secure;
use crate::body::ResponseBody;
use crate::config::Scheme;
use crate::observe::record::TlsInfo;
use crate::socket::Stream;
#[cfg(feature = "tls")]
use crate::tls::FailedHandshake;

/// How bytes go between the server and the peer: as they are, or in TLS records.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: Plain,
    #[cfg(feature = "tls")]
    tls: Option<Box<Secure>>,
}

/// What sealing a byte by AES-128-GCM costs beside what sending it costs by `sendfile(2)`.
#[cfg(feature = "tls")]
const TLS_BYTE_COST: u64 = 2;

impl Transport {
    pub(crate) fn plain(stream: Stream) -> Self {
        Self {
            socket: Plain::new(stream),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn tls(stream: Stream, session: crate::tls::Session) -> Self {
        Self {
            socket: Plain::new(stream),
            tls: Some(Box::new(Secure::new(session))),
        }
    }

    /// Goes on without TLS, because the peer does.
    #[cfg(feature = "tls")]
    pub(crate) fn give_up_tls(&mut self) {
        self.tls = None;
    }

    pub(crate) fn scheme(&self) -> Scheme {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return Scheme::Https;
        }
        Scheme::Http
    }

    /// What was agreed on, with TLS and once its handshake is over.
    pub(crate) fn tls_info(&self) -> Option<&TlsInfo> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.info();
        }
        None
    }

    /// Whether bytes are there that the socket does not know of any more.
    fn has_received(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.has_received();
        }
        false
    }

    /// Whether the TLS handshake is not over yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.is_handshaking();
        }
        false
    }

    /// The time of the handshake is over.
    #[cfg(feature = "tls")]
    pub(crate) fn on_handshake_timeout(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.on_handshake_timeout();
        }
    }

    /// Why the handshake has failed, once.
    #[cfg(feature = "tls")]
    pub(crate) fn take_failed_handshake(&mut self) -> Option<Box<FailedHandshake>> {
        self.tls.as_mut()?.take_failed_handshake()
    }

    /// Has `registry` tell of both directions, under `token`, for as long as the socket is open.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket.register(registry, token)
    }

    /// A readable edge; `ending` when it says that the peer has ended its side.
    pub(crate) fn on_readable(&mut self, ending: bool) {
        self.socket.on_readable(ending);
    }

    /// Whether a read brings nothing before the next edge.
    pub(crate) fn is_drained(&self) -> bool {
        self.socket.is_drained() && !self.has_received()
    }

    /// Whether bytes may be there that nobody has read.
    pub(crate) fn may_have_bytes(&self) -> bool {
        self.socket.may_have_bytes() || self.has_received()
    }

    /// Whether no bytes are there, as the kernel tells now; also when the peer has ended its side.
    pub(crate) fn has_nothing_to_read(&self) -> bool {
        !self.has_received() && self.socket.has_nothing_to_read()
    }

    /// Reads once, into `scratch`.
    pub(crate) fn fill<'s>(&mut self, scratch: &'s mut [u8]) -> io::Result<Fill<'s>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls.fill(&mut self.socket, scratch);
        }
        self.socket.fill(scratch)
    }

    /// Looks at what the socket has, below TLS, and leaves it there.
    pub(crate) fn peek<'s>(&mut self, scratch: &'s mut [u8]) -> io::Result<Fill<'s>> {
        self.socket.peek(scratch)
    }

    /// What was looked at is not enough: nothing is to be done before the next edge.
    pub(crate) fn wait_for_more(&mut self) {
        self.socket.on_drained();
    }

    /// Takes `length` bytes out of the socket that were looked at, and drops them.
    pub(crate) fn skip(&mut self, length: usize) -> io::Result<()> {
        self.socket.skip(length)
    }

    /// Whether the peer has ended its side, as an edge told.
    pub(crate) fn has_ended(&self) -> bool {
        self.socket.has_ended()
    }

    /// Sends what the transport holds of what it took. False when the socket is full before the end.
    pub(crate) fn flush(&mut self) -> Result<bool, SendError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls.flush(&mut self.socket);
        }
        Ok(true)
    }

    /// Sends bytes that are in memory, as many as the socket takes. `sealed` is memory for TLS records.
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, clippy::ptr_arg))]
    pub(crate) fn send_bytes(&mut self, bytes: &[u8], sealed: &mut Vec<u8>) -> Written {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls.send_bytes(&mut self.socket, bytes, sealed);
        }
        let (accepted, error) = self.socket.send(bytes);
        Written {
            accepted,
            is_held: false,
            error,
        }
    }

    /// Sends of a response until it ends, stops or has sent `budget` bytes. `sealed` is memory for TLS
    /// records.
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, clippy::ptr_arg))]
    pub(crate) fn send_body(
        &mut self,
        body: &mut ResponseBody,
        budget: u64,
        sealed: &mut Vec<u8>,
    ) -> Result<Progress, SendError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls.send_body(&mut self.socket, body, budget, sealed);
        }
        body.advance(&self.socket.stream, budget)
    }

    /// What sending a byte costs, in times of what it costs by `sendfile(2)`.
    pub(crate) fn byte_cost(&self) -> u64 {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return TLS_BYTE_COST;
        }
        1
    }

    /// What is held for the peer, sent or not, and has no acknowledgement, in bytes.
    pub(crate) fn unacknowledged_bytes(&self) -> u64 {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return self.socket.unacknowledged_bytes() + tls.held_bytes();
        }
        self.socket.unacknowledged_bytes()
    }

    /// Another descriptor of the socket, for a thread that sends. `None` where a thread may only read, since
    /// what is sent has to be sealed.
    pub(crate) fn offload_fd(&self) -> io::Result<Option<OwnedFd>> {
        #[cfg(feature = "tls")]
        if self.tls.as_ref().is_some_and(|tls| !tls.is_in_kernel()) {
            return Ok(None);
        }
        self.socket.as_fd().try_clone_to_owned().map(Some)
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn close_write(&mut self) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls.close_write(&mut self.socket);
        }
        self.socket.close_write()
    }

    /// Whether our side is to be closed as soon as the socket has taken what TLS has to send.
    pub(crate) fn is_ending(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.is_closing();
        }
        false
    }

    /// Whether the kernel seals what is sent on the socket.
    pub(crate) fn is_in_kernel(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.is_in_kernel();
        }
        false
    }

    /// Whether nothing more can be sent, because the peer wants other keys than the kernel has.
    pub(crate) fn lacks_keys(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.lacks_keys();
        }
        false
    }

    /// Whether the connection is to end between two responses, although both sides could go on.
    pub(crate) fn must_end(&mut self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls.must_end(&self.socket);
        }
        false
    }

    /// To be called before a socket is closed whose responses were all sent. False when the socket has no room
    /// for the end of the TLS connection.
    pub(crate) fn finish(&mut self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls.finish(&mut self.socket);
        }
        true
    }

    /// Ends the connection for the peer, whoever else has a descriptor of it.
    pub(crate) fn cut_off(&mut self) {
        self.socket.cut_off();
    }

    /// Lets the kernel drop what the peer does not take when the socket is closed, instead of keeping it
    /// for minutes.
    pub(crate) fn reset_on_close(&mut self) {
        self.socket.reset_on_close();
    }
}
