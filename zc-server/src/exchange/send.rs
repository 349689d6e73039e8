//! Responses that take more than one call: sent as far as it goes, and what comes of it.

use zc_core::{Progress, SendError};

use super::completion::{end, over};
use super::offload::wait_for_disk;
use super::{Ending, Exchange, Next, Outcome, Peer, State};
use crate::respond::response::Response;
use crate::worker::Worker;

/// How far a response came.
enum Sent {
    /// To its end, or to where it fails.
    Over(Result<Progress, SendError>),
    /// To where the disk has to be waited for.
    Cold,
    /// The socket is full.
    WouldBlock(Stall),
    /// Others have their turn.
    BudgetSpent(Stall),
}

/// When the peer counts as stalled, and what the kernel held for it when that was set.
type Stall = (u64, u64);

/// Sends what goes at once of a response that has just begun.
pub(crate) fn begin(mut response: Response, peer: &mut impl Peer, worker: &mut Worker) -> Next {
    let stall = (worker.now_ms + worker.timeouts.send_ms, 0);
    match send(&mut response, stall, peer, worker) {
        Sent::Over(answer) => over(response, answer, peer, worker),
        Sent::Cold => {
            let response = worker.boxes.fill(response);
            wait_for_disk(response, peer, worker)
        }
        Sent::WouldBlock(stall) => Next::Wait(sending(worker.boxes.fill(response), stall)),
        Sent::BudgetSpent(stall) => Next::Yield(sending(worker.boxes.fill(response), stall)),
    }
}

/// Where a stalled send is resumed: `HeadThenFile::advance` goes on at the byte where it stopped.
pub(super) fn resume(
    mut response: Box<Response>,
    stall: Stall,
    peer: &mut impl Peer,
    worker: &mut Worker,
) -> Next {
    match send(&mut response, stall, peer, worker) {
        Sent::Over(answer) => over(worker.boxes.empty(response), answer, peer, worker),
        Sent::Cold => wait_for_disk(response, peer, worker),
        Sent::WouldBlock(stall) => Next::Wait(sending(response, stall)),
        Sent::BudgetSpent(stall) => Next::Yield(sending(response, stall)),
    }
}

fn sending(response: Box<Response>, (deadline_ms, queued_bytes): Stall) -> Exchange {
    let state = State::Sending {
        response,
        queued_bytes,
    };
    Exchange { state, deadline_ms }
}

fn send(
    response: &mut Response,
    (deadline_ms, queued_bytes): Stall,
    peer: &mut impl Peer,
    worker: &mut Worker,
) -> Sent {
    let body = &mut response.body;
    let before = body.accepted();
    let byte_cost = peer.byte_cost();
    let budget = worker.turn.quantum_bytes / byte_cost;
    let answer = peer.send(body, budget, &mut worker.buffers.sealed);
    let accepted = body.accepted() - before;
    worker.turn.streamed_bytes += accepted * byte_cost;
    if before == 0 {
        response.end.measured = worker.with_first_byte(response.end.measured, accepted as usize);
    }
    // An edge without progress moves neither the deadline nor what the queue is measured by.
    let (deadline_ms, queued_bytes) = if accepted > 0 {
        (worker.now_ms + worker.timeouts.send_ms, 0)
    } else {
        (deadline_ms, queued_bytes)
    };
    match answer {
        Ok(Progress::WouldBlock) => Sent::WouldBlock(match queued_bytes {
            0 => (deadline_ms, peer.unacknowledged_bytes()),
            known => (deadline_ms, known),
        }),
        Ok(Progress::BudgetSpent) => Sent::BudgetSpent((deadline_ms, 0)),
        Ok(Progress::NeedsDisk(_)) => Sent::Cold,
        answer => Sent::Over(answer),
    }
}

/// No byte was accepted for as long as a reader may rest. A full socket accepts again only when a third
/// of its buffer is free, so that a slow reader is told from a dead one by whether the kernel got rid of
/// anything meanwhile.
pub(super) fn on_stall(
    response: Box<Response>,
    queued_before: u64,
    peer: &mut impl Peer,
    worker: &mut Worker,
) -> Next {
    let queued_bytes = peer.unacknowledged_bytes();
    if queued_bytes < queued_before {
        let deadline_ms = worker.now_ms + worker.timeouts.send_ms;
        return Next::Wait(sending(response, (deadline_ms, queued_bytes)));
    }
    end(*response, Outcome::Stalled, peer, worker);
    Next::End(Ending::Reset)
}
