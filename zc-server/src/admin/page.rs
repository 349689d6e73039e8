//! A page in memory, and its response.

use zc_http::{HeadWriter, Method, Status, Version};

use crate::body::InMemory;
use crate::respond::reply::{Buffers, Moment, Place, Ready, Reply};

/// The methods that there are.
const ALLOW: &[u8] = b"GET, HEAD";

/// What is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: Status,
    content_type: &'static str,
    pub(super) body: Vec<u8>,
}

impl Page {
    pub(super) fn new(status: Status, content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type,
            body,
        }
    }

    pub(super) fn text(status: Status, text: String) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into())
    }

    /// The status in words.
    pub(super) fn of_status(status: Status) -> Self {
        Self::text(status, format!("{status}\n"))
    }

    /// Writes the response behind those in the output buffer.
    pub(super) fn reply(
        &self,
        method: Method,
        version: Version,
        moment: &Moment,
        buffers: &mut Buffers,
    ) -> Reply {
        let out = &mut buffers.output;
        let start = out.len();
        let mut head = HeadWriter::new(&mut *out, self.status)
            .date("Date", moment.now)
            .persistence(moment.after, version)
            .field("Cache-Control", b"no-store");
        if self.status == Status::MethodNotAllowed {
            head = head.field("Allow", ALLOW);
        }
        head.field("Content-Type", self.content_type.as_bytes())
            .number("Content-Length", self.body.len() as u64)
            .finish();
        let head_bytes = out.len() - start;
        let body: &[u8] = match method {
            Method::Head => &[],
            _ => &self.body,
        };
        out.extend_from_slice(body);
        Reply::Ready(Ready {
            status: self.status,
            limit: None,
            place: Place::Output,
            bytes: InMemory {
                head_bytes,
                body_bytes: body.len(),
                was_read: false,
            },
        })
    }
}
