//! Responses that take more than one call: sent as far as it goes, and what comes of it.

use zc_core::{Progress, SendError};

use super::completion::{end, over};
use super::offload::wait_for_disk;
use super::{Ending, Exchange, Next, Outcome, Peer, Stall, State};
use crate::rate::Allowance;
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
    /// The limit of its rate is met, until this time.
    LimitMet(u64),
}

/// Sends what goes at once of a response that has just begun.
pub(crate) fn begin(mut response: Response, peer: &mut impl Peer, worker: &mut Worker) -> Next {
    let stall = Stall::new(worker);
    match send(&mut response, stall, peer, worker) {
        Sent::Over(answer) => over(response, answer, peer, worker),
        Sent::Cold => {
            let response = worker.boxes.fill(response);
            wait_for_disk(response, peer, worker)
        }
        Sent::WouldBlock(stall) => {
            let response = worker.boxes.fill(response);
            Next::Wait(Exchange::blocked(response, stall, peer, worker))
        }
        Sent::BudgetSpent(stall) => Next::Yield(sending(worker.boxes.fill(response), stall)),
        Sent::LimitMet(until_ms) => {
            let response = worker.boxes.fill(response);
            Next::Pause(Exchange::paused(response, until_ms))
        }
    }
}

/// Where a stalled send is resumed: `HeadThenFile::advance` goes on at the byte where it stopped.
pub(super) fn resume(
    mut response: Box<Response>,
    stall: Stall,
    peer: &mut impl Peer,
    worker: &mut Worker,
) -> Next {
    if worker.min_rate.is_some() {
        response.end.intake.end(worker.now_ms);
    }
    match send(&mut response, stall, peer, worker) {
        Sent::Over(answer) => over(worker.boxes.empty(response), answer, peer, worker),
        Sent::Cold => wait_for_disk(response, peer, worker),
        Sent::WouldBlock(stall) => Next::Wait(Exchange::blocked(response, stall, peer, worker)),
        Sent::BudgetSpent(stall) => Next::Yield(sending(response, stall)),
        Sent::LimitMet(until_ms) => Next::Pause(Exchange::paused(response, until_ms)),
    }
}

fn sending(response: Box<Response>, stall: Stall) -> Exchange {
    Exchange {
        state: State::Sending { response, stall },
        deadline_ms: stall.deadline_ms,
    }
}

/// What the peer has taken of a response, beside what the kernel held for it before.
pub(super) fn taken_bytes(response: &Response, peer: &impl Peer) -> i64 {
    response.body.accepted().cast_signed() - peer.unacknowledged_bytes().cast_signed()
}

fn send(response: &mut Response, stall: Stall, peer: &mut impl Peer, worker: &mut Worker) -> Sent {
    let limit = response.end.limit;
    let body = &mut response.body;
    let before = body.accepted();
    let byte_cost = peer.byte_cost();
    let mut budget = worker.turn.quantum_bytes / byte_cost;
    if let Some(limit) = limit {
        match peer.bucket().allowance(limit, before, worker.now_ms) {
            Allowance::Bytes(bytes) => budget = budget.min(bytes),
            Allowance::After(until_ms) => return Sent::LimitMet(until_ms),
        }
    }
    let answer = peer.send(body, budget, &mut worker.buffers.sealed);
    let accepted = body.accepted() - before;
    worker.turn.streamed_bytes += accepted * byte_cost;
    if before == 0 {
        response.end.measured = worker.with_first_byte(response.end.measured, accepted as usize);
    }
    if let Some(limit) = limit {
        let bucket = peer.bucket();
        bucket.charge(limit, before, accepted, worker.now_ms);
        if let Ok(Progress::BudgetSpent) = answer
            && let Allowance::After(until_ms) =
                bucket.allowance(limit, before + accepted, worker.now_ms)
        {
            return Sent::LimitMet(until_ms);
        }
    }
    // An edge without progress moves neither the deadline nor what the queue is measured by.
    let stall = if accepted > 0 {
        Stall::new(worker)
    } else {
        stall
    };
    match answer {
        Ok(Progress::WouldBlock) => Sent::WouldBlock(stall),
        Ok(Progress::BudgetSpent) => Sent::BudgetSpent(Stall {
            queued_bytes: 0,
            ..stall
        }),
        Ok(Progress::NeedsDisk(_)) => Sent::Cold,
        answer => Sent::Over(answer),
    }
}

/// No byte was accepted for as long as a reader may rest, or a window of `--min-rate` is over.
///
/// A full socket accepts again only when a third of its buffer is free, so that a slow reader is told from a dead one
/// by whether the kernel got rid of anything meanwhile.
pub(super) fn on_stall(
    mut response: Box<Response>,
    mut stall: Stall,
    peer: &mut impl Peer,
    worker: &mut Worker,
) -> Next {
    if let Some(rate) = worker.min_rate {
        let taken_bytes = taken_bytes(&response, peer);
        let intake = &mut response.end.intake;
        if intake.is_too_slow(rate, taken_bytes, worker.now_ms) {
            end(*response, Outcome::TooSlow, peer, worker);
            return Next::End(Ending::Reset);
        }
    }
    // Only the end of a window is earlier.
    if worker.min_rate.is_none() || stall.deadline_ms <= worker.now_ms {
        let queued_bytes = peer.unacknowledged_bytes();
        if queued_bytes >= stall.queued_bytes {
            end(*response, Outcome::Stalled, peer, worker);
            return Next::End(Ending::Reset);
        }
        stall = Stall {
            queued_bytes,
            ..Stall::new(worker)
        };
    }
    Next::Wait(Exchange::blocked(response, stall, peer, worker))
}
