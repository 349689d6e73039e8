//! TLS on a TCP socket.

use std::io;

use zc_core::{Progress, SendError};

use super::plain::{Fill, Plain, Written};
use crate::body::ResponseBody;
use crate::observe::record::TlsInfo;
use crate::tls::{
    Failed, FailedHandshake, KERNEL_BYTES_MAX, PEER_GONE, RECORD_BYTES_MAX, Received, Session,
};

/// The most plaintext that is sealed before it is written, in bytes.
const BATCH_BYTES: u64 = 4 * RECORD_BYTES_MAX;

/// The shortest body that is left to the kernel, in bytes.
const KERNEL_BYTES_MIN: u64 = 256 << 10;

/// TLS on a socket, which is lent to each method.
#[derive(Debug)]
pub(super) struct Secure {
    session: Session,
    /// Whether our side is to be closed as soon as the socket has taken what is sealed.
    is_closing: bool,
}

impl Secure {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            is_closing: false,
        }
    }

    pub(super) fn info(&self) -> Option<&TlsInfo> {
        self.session.info()
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// The time of the handshake is over.
    pub(super) fn on_handshake_timeout(&mut self) {
        let reason = "it took longer than --handshake-timeout";
        self.session.fail_handshake(reason);
    }

    /// Why the handshake has failed, once.
    pub(super) fn take_failed_handshake(&mut self) -> Option<Box<FailedHandshake>> {
        self.session.take_failed_handshake()
    }

    /// Whether a read brings something although the socket has nothing.
    pub(super) fn has_received(&self) -> bool {
        self.session.has_received()
    }

    /// Reads until there is something to tell.
    pub(super) fn fill<'s>(
        &mut self,
        socket: &mut Plain,
        scratch: &'s mut [u8],
    ) -> io::Result<Fill<'s>> {
        if self.session.is_over() {
            // Nobody opens it; but a reset, which unread bytes lead to, could overtake the alert.
            return socket.fill(scratch);
        }
        // The peer has a bounded number of records that tell nothing, and a bounded handshake.
        let received = loop {
            let mut received = self.session.next(scratch);
            if received == Ok(Received::Nothing) {
                let count = match socket.fill(scratch) {
                    Ok(Fill::Bytes(bytes)) => bytes.len(),
                    Ok(Fill::WouldBlock) => break Ok(Received::Nothing),
                    ended => {
                        self.session.fail_handshake(PEER_GONE);
                        return ended.map(|_| Fill::Closed);
                    }
                };
                received = self.session.receive(scratch, count);
            }
            if received != Ok(Received::Nothing) {
                break received;
            }
        };
        // What the handshake has to say, or an alert.
        let flushed = self.flush(socket);
        match received {
            Err(Failed) => {
                self.session.send_last_alert(&*socket);
                Ok(Fill::Refused)
            }
            Ok(_) if flushed.is_err() => Ok(Fill::Closed),
            Ok(Received::Nothing) => Ok(Fill::WouldBlock),
            Ok(Received::Plain(count)) => Ok(Fill::Bytes(&scratch[..count])),
            Ok(Received::Established) => Ok(Fill::Established),
            Ok(Received::NotTls(count)) => Ok(Fill::NotTls(&scratch[..count])),
            Ok(Received::Closed) => Ok(Fill::Closed),
        }
    }

    /// Sends what is sealed already. False when the socket is full before the end.
    pub(super) fn flush(&mut self, socket: &mut Plain) -> Result<bool, SendError> {
        if !self.session.output().is_empty() {
            let (taken, error) = socket.send(self.session.output());
            self.session.on_taken(taken);
            if let Some(error) = error {
                return Err(error);
            }
        }
        let is_flushed = self.session.output().is_empty();
        if is_flushed && self.is_closing && self.session.finish_in_kernel(&*socket) {
            self.is_closing = false;
            // Refused only on a socket that is gone already.
            let _ = socket.close_write();
        }
        Ok(is_flushed)
    }

    /// Sends bytes that are in memory, as many as the socket takes; of the last records it may take a part.
    pub(super) fn send_bytes(
        &mut self,
        socket: &mut Plain,
        bytes: &[u8],
        sealed: &mut Vec<u8>,
    ) -> Written {
        if self.session.is_in_kernel() {
            let has_keys = self.session.renew_keys(&*socket);
            let (accepted, error) = match has_keys {
                Ok(true) => socket.send(bytes),
                Ok(false) => (0, None),
                Err(Failed) => (0, Some(failed())),
            };
            return Written {
                accepted,
                is_held: false,
                error,
            };
        }
        let mut accepted = 0;
        let read = |slots: &mut zc_core::Slots<'_, '_>, accepted: &mut usize| {
            *accepted += slots.put(&bytes[*accepted..]);
            Ok(if *accepted < bytes.len() {
                Progress::BudgetSpent
            } else {
                Progress::Complete
            })
        };
        let mut room = 0;
        let error = loop {
            let left = (bytes.len() - accepted) as u64;
            match self.send_batch(socket, left, &mut room, sealed, |slots| {
                read(slots, &mut accepted)
            }) {
                Ok(Progress::BudgetSpent) => {}
                Ok(_) => break None,
                Err(error) => break Some(error),
            }
        };
        Written {
            accepted,
            is_held: !self.session.output().is_empty(),
            error,
        }
    }

    /// Sends of a response until it ends, stops or has sent `budget` bytes. It has not ended before the socket
    /// has taken every record.
    pub(super) fn send_body(
        &mut self,
        socket: &mut Plain,
        body: &mut ResponseBody,
        budget: u64,
        sealed: &mut Vec<u8>,
    ) -> Result<Progress, SendError> {
        if self.session.is_in_kernel() || self.move_to_kernel(socket, body)? {
            return self.send_by_kernel(socket, body, budget);
        }
        let before = body.accepted();
        let mut room = 0;
        loop {
            let left = budget.saturating_sub(body.accepted() - before);
            let progress =
                self.send_batch(socket, left, &mut room, sealed, |slots| body.read(slots))?;
            body.count_write(progress == Progress::WouldBlock);
            match progress {
                Progress::BudgetSpent if body.accepted() - before < budget => {}
                stopped => return Ok(stopped),
            }
        }
    }

    /// Leaves a long body to the kernel, if it seals for this connection and nothing of the body was sent.
    fn move_to_kernel(
        &mut self,
        socket: &mut Plain,
        body: &ResponseBody,
    ) -> Result<bool, SendError> {
        let is_long = (KERNEL_BYTES_MIN..=KERNEL_BYTES_MAX).contains(&body.file_bytes());
        let is_whole = body.accepted() == 0 && !body.is_offloaded();
        if !is_long || !is_whole {
            return Ok(false);
        }
        // The kernel may be unable to set the next keys of a connection that it has.
        let has_keys = self.session.renew_keys(&*socket);
        has_keys.map_err(|Failed| failed())?;
        Ok(self.flush(socket)? && self.session.move_to_kernel(&*socket))
    }

    fn send_by_kernel(
        &mut self,
        socket: &mut Plain,
        body: &mut ResponseBody,
        budget: u64,
    ) -> Result<Progress, SendError> {
        let has_keys = self.session.renew_keys(&*socket);
        if !has_keys.map_err(|Failed| failed())? {
            return Ok(Progress::WouldBlock);
        }
        body.leave_to_kernel(self.session.has_heads_apart());
        body.advance(&socket.stream, budget)
    }

    /// Seals up to `left` bytes that `read` brings, and sends them. `room` is what the socket is known to take as
    /// a whole.
    fn send_batch(
        &mut self,
        socket: &mut Plain,
        left: u64,
        room: &mut u64,
        sealed: &mut Vec<u8>,
        read: impl FnOnce(&mut zc_core::Slots<'_, '_>) -> Result<Progress, SendError>,
    ) -> Result<Progress, SendError> {
        let has_keys = self.session.renew_keys(&*socket);
        has_keys.map_err(|Failed| failed())?;
        if !self.flush(socket)? {
            return Ok(Progress::WouldBlock);
        }
        if *room < BATCH_BYTES && left > RECORD_BYTES_MAX {
            *room = socket.room_bytes();
        }
        // What the socket does not take is held in memory: a slow reader is sent one record at a time.
        let bytes = if *room < BATCH_BYTES {
            RECORD_BYTES_MAX
        } else {
            left.clamp(1, BATCH_BYTES)
        };
        *room = room.saturating_sub(bytes);
        let records = bytes.div_ceil(RECORD_BYTES_MAX) as usize;
        let (progress, length) = self.session.seal_from(sealed, records, read)?;
        let (taken, error) = socket.send(&sealed[..length]);
        if let Some(error) = error {
            return Err(error);
        }
        self.session.keep(&sealed[taken..length]);
        Ok(match progress {
            // The disk is waited for meanwhile.
            Progress::NeedsDisk(range) => Progress::NeedsDisk(range),
            _ if taken < length => Progress::WouldBlock,
            progress => progress,
        })
    }

    /// Sealed bytes that the socket has not taken.
    pub(super) fn held_bytes(&self) -> u64 {
        self.session.output().len() as u64
    }

    /// Tells the peer that nothing more comes, and closes our side of the socket behind that.
    pub(super) fn close_write(&mut self, socket: &mut Plain) -> io::Result<()> {
        self.session.close();
        self.is_closing = true;
        self.flush(socket).map(drop).map_err(io::Error::from)
    }

    /// Tells the peer that nothing more comes, before the socket is closed. False when the socket is full.
    pub(super) fn finish(&mut self, socket: &mut Plain) -> bool {
        self.session.close();
        self.flush(socket).unwrap_or(true) && self.session.finish_in_kernel(&*socket)
    }

    /// Whether the kernel seals what is sent on the socket, whoever sends it.
    pub(super) fn is_in_kernel(&self) -> bool {
        self.session.is_in_kernel()
    }

    /// Whether our side is to be closed as soon as the socket has taken everything.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Whether nothing more can be sent, because the peer wants other keys than the kernel has.
    pub(super) fn lacks_keys(&self) -> bool {
        self.session.lacks_keys()
    }

    /// Whether the connection is to end between two responses.
    pub(super) fn must_end(&mut self, socket: &Plain) -> bool {
        self.session.must_end(socket)
    }
}

fn failed() -> SendError {
    SendError::from_read_error(io::Error::other("the TLS connection is over"))
}
