//! What a worker lends to the connection that it drives.

use std::sync::Arc;

use mio::Token;
use zc_http::{HttpTime, Limits};

use crate::access_log::Sink;
use crate::disk::Mailbox;
use crate::input::Scratch;
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
    pub(crate) scratch: Scratch,
    pub(crate) path_buffer: Vec<u8>,
    pub(crate) log: Option<Sink>,
    /// Where answers of the disk are left for this worker.
    pub(crate) mailbox: Mailbox,
    /// The connection that is driven, as the mailbox knows it.
    pub(crate) token: Token,
    /// Milliseconds since the worker began, renewed once a turn.
    pub(crate) now_ms: u64,
    /// The time of day, renewed once a turn.
    pub(crate) now: HttpTime,
    /// Bytes of body that one connection may send in this turn.
    pub(crate) budget_bytes: u64,
    /// True once the server drains: every response then ends its connection.
    pub(crate) stopping: bool,
}
