//! A request body that is read and dropped before its response is sent.

use zc_http::Drain;

use super::{Exchange, Next, State};
use crate::respond::response::{AfterResponse, Response};
use crate::worker::Worker;

/// Drops what has come of a request body. Answers how many bytes that were, as well.
pub(super) fn drain_body(
    mut drain: Drain,
    response: Box<Response>,
    deadline_ms: u64,
    received: &[u8],
    worker: &mut Worker,
) -> (usize, Next) {
    match drain.consume(received) {
        Ok(drained) if drained.done => {
            let sending = Exchange::sending(response, worker);
            (drained.consumed, Next::Go(sending))
        }
        Ok(drained) => {
            let state = State::Draining { drain, response };
            let exchange = Exchange { state, deadline_ms };
            (drained.consumed, Next::ReadBody(exchange))
        }
        Err(error) => {
            let (id, end) = (response.id, response.end);
            let (status, after) = (error.status(), AfterResponse::Linger);
            let refusing = Exchange::refusing_instead(end, id, status, after, worker);
            (0, Next::Go(refusing))
        }
    }
}
