//! The only module that sends: the bytes of a head, then a range of a file.

use std::os::fd::OwnedFd;

use bytes::{Buf, BytesMut};
use mio::net::TcpStream;
use zc_core::{
    Follows, Progress, Report, SendError, SendErrorKind, SourceTruncated, Transfer, send_head,
};

/// A response on its way out, resumable at any byte of its head or body.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// What is left of the head, and of a text body behind it.
    head: BytesMut,
    body: Option<Transfer<OwnedFd>>,
    /// Bytes of the head that the socket accepted.
    head_sent: u64,
    /// Sends of the head that accepted only a part of it, or nothing.
    head_would_blocks: u64,
}

/// Why a drive of a response stopped.
#[derive(Debug)]
pub(crate) enum Sent {
    Complete,
    /// The socket is full: resume at its next writable edge.
    Blocked,
    /// The budget is spent: resume from the ready queue, no edge will come.
    Yielded,
    Truncated(SourceTruncated),
}

impl Outgoing {
    pub(crate) fn new(head: BytesMut, body: Option<Transfer<OwnedFd>>) -> Self {
        Self {
            head,
            body,
            head_sent: 0,
            head_would_blocks: 0,
        }
    }

    /// Bytes accepted by the socket so far; grows exactly when there is progress.
    pub(crate) fn accepted(&self) -> u64 {
        self.head_sent + self.report().map_or(0, Report::bytes)
    }

    pub(crate) fn head_accepted(&self) -> u64 {
        self.head_sent
    }

    pub(crate) fn would_blocks(&self) -> u64 {
        self.head_would_blocks + self.report().map_or(0, |report| report.would_blocks)
    }

    pub(crate) fn report(&self) -> Option<&Report> {
        self.body.as_ref().map(Transfer::report)
    }

    /// Sends until the end, until the socket is full, or until `budget` bytes of body went.
    pub(crate) fn advance(&mut self, stream: &TcpStream, budget: u64) -> Result<Sent, SendError> {
        let follows = match &self.body {
            Some(body) if body.remaining() > 0 => Follows::Body,
            _ => Follows::Nothing,
        };
        while !self.head.is_empty() {
            match send_head(stream, &self.head, follows) {
                Ok(count) => {
                    self.head.advance(count);
                    self.head_sent += count as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.head_would_blocks += 1;
                    return Ok(Sent::Blocked);
                }
                Err(source) => {
                    return Err(SendError {
                        sent: 0,
                        kind: SendErrorKind::PeerGone,
                        source,
                    });
                }
            }
        }
        match &mut self.body {
            None => Ok(Sent::Complete),
            Some(body) => Ok(match body.advance(stream, budget)? {
                Progress::Complete => Sent::Complete,
                Progress::WouldBlock => Sent::Blocked,
                Progress::BudgetSpent => Sent::Yielded,
                Progress::SourceTruncated(truncated) => Sent::Truncated(truncated),
            }),
        }
    }
}
