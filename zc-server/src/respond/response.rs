//! A response that takes more than one call to send, and what is needed when it is over.

use zc_http::{Method, Status};

use crate::body::{Figures, InMemory, ResponseBody};
use crate::clients::Sender;
use crate::disk::Key;
use crate::observe::counters::Measured;
use crate::observe::record::RequestRecord;
use crate::rate::{Intake, RateLimit};
use crate::respond::error_body::Form;

/// The number of an exchange among those of its worker. What a thread or the kernel has to tell is
/// addressed by it: a connection may be at its next exchange when the answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ExchangeId(pub(crate) u64);

/// What an error that takes the place of a response depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The index of the root, and the content that it is an index of.
    pub(crate) root: usize,
    pub(crate) generation: u64,
    pub(crate) method: Method,
    pub(crate) sender: Sender,
    /// The form of its body; `None` where no request says that, and the body is a line of text.
    pub(crate) error_form: Option<Form>,
    /// Whether HTTP came where HTTPS is spoken.
    pub(crate) is_not_https: bool,
}

impl Default for Asked {
    /// Of what is no request: the first root, whose page it is.
    fn default() -> Self {
        Self {
            root: 0,
            generation: 0,
            method: Method::Get,
            sender: Sender::default(),
            error_form: None,
            is_not_https: false,
        }
    }
}

/// What comes after a response that was sent as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterResponse {
    KeepAlive,
    /// The peer has said that this was its last request: the connection closes, at once where
    /// nothing is left unread.
    Finish,
    /// The peer may still be sending, and must not be cut off by a reset before it has read.
    Linger,
    Close,
}

/// A response of which more than bytes is to be sent.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) body: ResponseBody,
    pub(crate) status: Status,
    /// Whether the end of the connection is the end of the response.
    pub(crate) ends_by_close: bool,
    /// The mount that the body is on.
    pub(crate) mount: Key,
    /// The most that it is sent at.
    pub(crate) limit: Option<RateLimit>,
}

impl Default for Stream {
    /// Of an empty box.
    fn default() -> Self {
        Self {
            body: ResponseBody::default(),
            status: Status::Ok,
            ends_by_close: false,
            mount: 0,
            limit: None,
        }
    }
}

/// A response that takes more than one call to send.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) id: ExchangeId,
    pub(crate) body: ResponseBody,
    /// The mount that the body is on.
    pub(crate) mount: Key,
    pub(crate) end: ResponseEnd,
}

/// What is needed of a response when it is over.
#[derive(Debug)]
pub(crate) struct ResponseEnd {
    pub(crate) status: Status,
    pub(crate) after: AfterResponse,
    pub(crate) asked: Asked,
    /// The most that it is sent at.
    pub(crate) limit: Option<RateLimit>,
    /// What the client takes of it, with `--min-rate`.
    pub(crate) intake: Intake,
    pub(crate) measured: Measured,
    /// `None` without an access log.
    pub(crate) record: Option<RequestRecord<'static>>,
}

impl Default for ResponseEnd {
    fn default() -> Self {
        Self {
            status: Status::Ok,
            after: AfterResponse::Close,
            asked: Asked::default(),
            limit: None,
            intake: Intake::default(),
            measured: Measured::default(),
            record: None,
        }
    }
}

impl Response {
    pub(crate) fn from_stream(
        stream: Stream,
        id: ExchangeId,
        after: AfterResponse,
        asked: Asked,
        (measured, record): (Measured, Option<RequestRecord<'_>>),
    ) -> Self {
        let after = match after {
            AfterResponse::KeepAlive if stream.ends_by_close => AfterResponse::Linger,
            after => after,
        };
        Self {
            id,
            body: stream.body,
            mount: stream.mount,
            end: ResponseEnd {
                status: stream.status,
                after,
                asked,
                limit: stream.limit,
                intake: Intake::default(),
                measured,
                record: record.map(RequestRecord::into_owned),
            },
        }
    }

    /// What is left of a response in memory, `bytes`, of which the socket accepted `accepted`.
    pub(crate) fn rest_of(
        bytes: &[u8],
        whole: InMemory,
        accepted: usize,
        id: ExchangeId,
        end: ResponseEnd,
    ) -> Self {
        let piece_bytes = end.limit.map(|limit| limit.piece_bytes());
        Self {
            id,
            body: ResponseBody::rest_of(bytes, whole, accepted, piece_bytes),
            mount: 0,
            end,
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        self.body.figures()
    }
}
