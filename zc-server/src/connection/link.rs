//! The other end of a connection, as its exchange sees it.

use std::io;
use std::os::fd::OwnedFd;

use zc_core::{Progress, SendError};

use crate::body::ResponseBody;
use crate::clients::Admission;
use crate::connection::transport::Transport;
use crate::exchange::{Ending, Peer};
use crate::observe::record::Client;
use crate::rate::Bucket;
use crate::socket::PeerAddress;

/// The socket, and who is at its other end.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) transport: Transport,
    pub(super) remote: PeerAddress,
    /// The peer, or whom it names by the PROXY protocol.
    pub(super) client: PeerAddress,
    pub(super) admission: Admission,
    /// The peer takes nothing any more, as an event told.
    pub(super) is_gone: bool,
    /// What it may be sent where a response has a limit of rate.
    pub(super) bucket: Bucket,
}

impl Peer for Link {
    fn client(&self) -> Client<'_> {
        Client {
            remote: self.remote,
            address: self.client,
            tls: self.transport.tls_info(),
        }
    }

    fn is_refused(&self) -> bool {
        self.admission.is_refused()
    }

    fn is_gone(&self) -> bool {
        self.is_gone
    }

    fn send(
        &mut self,
        body: &mut ResponseBody,
        budget: u64,
        sealed: &mut Vec<u8>,
    ) -> Result<Progress, SendError> {
        self.transport.send_body(body, budget, sealed)
    }

    fn bucket(&mut self) -> &mut Bucket {
        &mut self.bucket
    }

    fn byte_cost(&self) -> u64 {
        self.transport.byte_cost()
    }

    fn unacknowledged_bytes(&self) -> u64 {
        self.transport.unacknowledged_bytes()
    }

    fn offload_fd(&self) -> io::Result<Option<OwnedFd>> {
        self.transport.offload_fd()
    }
}

impl Link {
    pub(super) fn end(&mut self, ending: Ending) {
        match ending {
            Ending::Close => {}
            Ending::Reset => self.transport.reset_on_close(),
            Ending::CutOff => self.transport.cut_off(),
        }
    }
}
