//! A connection that is taken on only to be told that there is no room for it.

use super::TURN_READS_MAX;
use super::transport::{Fill, Transport};
use crate::exchange::refuse_connection;
use crate::observe::record::Client;
use crate::socket::Stream;
use crate::worker::{Arrival, Worker};

/// Answers what has come on a new connection with 503 (Service Unavailable), and closes it.
pub(crate) fn refuse(stream: Stream, arrival: Arrival, worker: &mut Worker) {
    let mut transport = Transport::plain(stream);
    let mut received = Vec::new();
    let mut scratch = std::mem::take(&mut worker.scratch);
    // What is left unread would make a reset of the end, which can overtake the answer.
    for _ in 0..TURN_READS_MAX {
        match transport.fill(&mut scratch) {
            Ok(Fill::Bytes(bytes)) if received.is_empty() => received.extend_from_slice(bytes),
            Ok(Fill::Bytes(_)) => {}
            _ => break,
        }
    }
    worker.scratch = scratch;
    if arrival.spoken.has_proxy_header {
        // The log is of requests.
        received.clear();
    }
    let client = Client {
        remote: arrival.remote,
        address: arrival.remote,
        tls: None,
    };
    let send = |bytes: &[u8]| transport.send_bytes(bytes, &mut Vec::new()).accepted;
    refuse_connection(&received, client, send, worker);
    // Refused only on a socket that is gone already.
    let _ = transport.close_write();
}
