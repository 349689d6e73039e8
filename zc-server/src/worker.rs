//! What a worker lends to the connection that it drives.

use std::sync::Arc;

use mio::Token;
use zc_core::DiskRing;
use zc_http::{After, HttpTime, Limits};

use crate::connection::input::Scratch;
use crate::disk::Mailbox;
use crate::exchange::Boxes;
use crate::files::roots::Roots;
use crate::observe::access_log::Sink;
use crate::reactor::schedule::Pace;
use crate::respond::cache::Cache;
use crate::respond::prepared::DATE_BYTES;
use crate::respond::reply::{Buffers, Moment, Place, Ready};
use crate::site::Site;

/// The limits of time that a connection is held to, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) header_ms: u64,
    pub(crate) idle_ms: u64,
    pub(crate) stall_ms: u64,
    pub(crate) disk_ms: u64,
}

/// What a worker lends to the connection that it drives.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) site: Arc<Site>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// Taken by the connection that reads into it, for as long as it does.
    pub(crate) scratch: Scratch,
    pub(crate) path_buffer: Vec<u8>,
    pub(crate) buffers: Buffers,
    pub(crate) boxes: Boxes,
    pub(crate) roots: Roots,
    pub(crate) cache: Cache,
    pub(crate) log: Option<Sink>,
    /// Where answers of the disk are left for this worker.
    pub(crate) mailbox: Mailbox,
    /// Where requests to the disk are waited for, if that is allowed.
    pub(crate) ring: Option<DiskRing>,
    /// The connection that is driven, as the mailbox knows it.
    pub(crate) token: Token,
    pub(crate) pace: Pace,
    /// Milliseconds since the worker began, renewed once a turn.
    pub(crate) now_ms: u64,
    /// The time of day, renewed once a turn.
    pub(crate) now: HttpTime,
    /// `now` as it stands in a head.
    pub(crate) date: [u8; DATE_BYTES],
    /// True once the server drains: every response then ends its connection.
    pub(crate) stopping: bool,
}

impl Context {
    /// When a request that is answered in this turn is answered.
    pub(crate) fn moment(&self, after: After) -> Moment {
        Moment {
            after,
            now: self.now,
            date: self.date,
            now_ms: self.now_ms,
        }
    }

    /// Lets go of what nobody uses. To be called once a turn.
    pub(crate) fn sweep(&mut self) {
        self.roots.sweep(&self.site.roots, self.now_ms);
        while let Some(root) = self.roots.take_retired() {
            self.cache.forget(root);
        }
        self.cache.sweep(self.now_ms);
    }

    /// When [`sweep`](Self::sweep) is due although nothing else happens.
    pub(crate) fn next_sweep_ms(&self) -> Option<u64> {
        let due = [self.cache.next_sweep_ms(), self.roots.next_sweep_ms()];
        due.into_iter().flatten().min()
    }

    /// All bytes of a response that was made last, or is kept ready.
    pub(crate) fn bytes_of(&self, ready: &Ready) -> &[u8] {
        match ready.place {
            Place::Output => {
                let output = &self.buffers.output;
                &output[output.len() - ready.length()..]
            }
            Place::Whole(id) => self.cache.whole(id),
            Place::NotModified(id) => self.cache.not_modified(id),
        }
    }

    /// Takes the response that was made last out of the output buffer, if it is there.
    pub(crate) fn drop_output_of(&mut self, ready: &Ready) {
        if ready.place == Place::Output {
            let output = &mut self.buffers.output;
            output.truncate(output.len() - ready.length());
        }
    }
}
