//! The rows of the transition table that limits of rate have.

use std::num::NonZeroU64;

use super::*;
use crate::rate::{MinRate, RateLimit};

/// A response whose first 50 ms are its whole body of 5,000 bytes; a tenth of a second is credit.
fn limited(worker: &mut Worker, read_path: ReadPath) -> Box<Response> {
    let mut response = response(read_path, worker);
    response.end.limit = NonZeroU64::new(40_000).map(|bytes_per_second| RateLimit {
        bytes_per_second,
        after_bytes: 0,
    });
    response
}

#[test]
fn a_response_waits_where_its_limit_is_met() {
    let mut fixture = Fixture::new();
    let worker = &mut fixture.worker;
    worker.turn.quantum_bytes = u64::MAX;
    worker.now_ms = 1_000;
    let mut peer = FakePeer::new();
    let response = limited(worker, ReadPath::Direct);
    let exchange = Exchange::sending(response, worker);
    let (_, next) = exchange.step(b"", &mut peer, worker);
    let Next::Pause(paused) = next else {
        panic!("{next:?}");
    };
    // A tenth of a second's bytes are gone, and 4 of the head: the next come 50 ms after that is paid.
    assert!(paused.is_paused() && paused.is_sending());
    assert_eq!(paused.deadline_ms(), 1_051);
    let State::Paused { response } = &paused.state else {
        panic!("{paused:?}");
    };
    assert_eq!(response.body.accepted(), 4_004);
    // An event changes nothing.
    let (_, next) = paused.step(b"", &mut peer, worker);
    let Next::Wait(paused) = next else {
        panic!("{next:?}");
    };
    worker.now_ms = 1_051;
    let next = paused.on_deadline(b"", &mut peer, worker);
    let Next::Yield(exchange) = next else {
        panic!("{next:?}");
    };
    // The time of the pause is not the client's.
    assert_eq!(exchange.deadline_ms(), 1_051 + TIMEOUTS.send_ms);
    assert_eq!(
        step(exchange, &mut peer, worker),
        "over KeepAlive, Complete"
    );
    // The next one on the connection waits before its first byte.
    let response = limited(worker, ReadPath::Direct);
    let next = begin(*response, &mut peer, worker);
    assert_eq!(told(&next, worker), "pause Paused");
}

#[test]
fn a_pause_ends_with_its_peer_and_with_the_server() {
    let mut fixture = Fixture::new();
    let worker = &mut fixture.worker;
    for cut in [false, true] {
        let response = limited(worker, ReadPath::Direct);
        let paused = Exchange::paused(response, 1_000);
        if cut {
            let ending = paused.cut(b"", &mut FakePeer::new(), worker);
            assert_eq!(ending, Ending::Reset);
            assert_eq!(worker.completions.pop(), Some(Outcome::Shutdown));
        } else {
            let gone = step(paused, &mut FakePeer::gone(), worker);
            assert_eq!(gone, "end Close, PeerGone");
        }
    }
}

#[test]
fn a_thread_sends_no_more_than_the_limit() {
    let mut fixture = Fixture::new();
    let mut peer = FakePeer::new();
    let response = limited(&mut fixture.worker, ReadPath::Offload);
    let next = offload::wait_for_disk(response, &mut peer, &mut fixture.worker);
    let Next::Wait(exchange) = next else {
        panic!("{next:?}");
    };
    let WorkerMessage::Done(_, id, done) = fixture.next_message() else {
        panic!("a body was offloaded");
    };
    let Done::Carried(body, _) = &done else {
        panic!("{done:?}");
    };
    assert_eq!(body.accepted(), 4_004);
    let worker = &mut fixture.worker;
    let exchange = exchange.on_done(id, done);
    let (_, next) = exchange.step(b"", &mut peer, worker);
    let Next::Yield(exchange) = next else {
        panic!("{next:?}");
    };
    assert_eq!(step(exchange, &mut peer, worker), "pause Paused");
}

/// A response that the peer has taken nothing of, and what it holds back.
fn waiting(worker: &mut Worker, peer: &FakePeer) -> Exchange {
    worker.min_rate = NonZeroU64::new(1_000).map(|bytes_per_second| MinRate {
        bytes_per_second,
        window_ms: 3_000,
    });
    let response = response(ReadPath::Direct, worker);
    let stall = Stall::new(worker);
    Exchange::blocked(response, stall, peer, worker)
}

#[test]
fn a_client_that_takes_too_little_is_cut_off_before_it_stalls() {
    let mut fixture = Fixture::new();
    let worker = &mut fixture.worker;
    let mut peer = FakePeer::new();
    peer.unacknowledged_bytes = 10_000;
    let exchange = waiting(worker, &peer);
    assert_eq!(exchange.deadline_ms(), 3_000);
    worker.now_ms = 3_000;
    peer.unacknowledged_bytes = 7_001;
    assert_eq!(deadline(exchange, &mut peer, worker), "end Reset, TooSlow");

    // One byte more is enough, for this window.
    worker.now_ms = 0;
    peer.unacknowledged_bytes = 10_000;
    let exchange = waiting(worker, &peer);
    worker.now_ms = 3_000;
    peer.unacknowledged_bytes = 7_000;
    let next = exchange.on_deadline(b"", &mut peer, worker);
    let Next::Wait(exchange) = next else {
        panic!("{next:?}");
    };
    // `--send-timeout` is looked at in its own time, and goes by what was taken as well.
    assert_eq!(exchange.deadline_ms(), TIMEOUTS.send_ms);
    worker.now_ms = TIMEOUTS.send_ms;
    peer.unacknowledged_bytes = 6_000;
    let next = exchange.on_deadline(b"", &mut peer, worker);
    let Next::Wait(exchange) = next else {
        panic!("{next:?}");
    };
    assert_eq!(exchange.deadline_ms(), 6_000);
    worker.now_ms = 6_000;
    peer.unacknowledged_bytes = 5_999;
    assert_eq!(deadline(exchange, &mut peer, worker), "end Reset, TooSlow");
}
