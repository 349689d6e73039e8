//! What the tests of an exchange are made of: a peer, responses, and exchanges in each state.

mod rates;
mod rows;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use bytes::BytesMut;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use zc_core::{DiskRing, ProbedTransfer, Residency, SourceTruncated, Transfer};
use zc_http::{Limits, Parse, parse};

use super::*;
use crate::body::{NextPart, WINDOW_BYTES};
use crate::files::lookup::Found;
use crate::files::mounts::ReadPath;
use crate::files::open_file::{FileHandle, ResolveError};
use crate::observe::counters::Measured;
use crate::rate::Intake;
use crate::respond::LookUpAnswer;
use crate::worker::WorkerMessage;
use crate::worker::testing::{Fixture, TIMEOUTS};

const LENGTH: u64 = 5_000;

/// A peer that answers sends as it is told, and then as one that takes everything.
struct FakePeer {
    is_gone: bool,
    answers: VecDeque<Progress>,
    unacknowledged_bytes: u64,
    bucket: Bucket,
    socket: UnixStream,
    _other_end: Option<UnixStream>,
}

impl FakePeer {
    fn new() -> Self {
        let (socket, other_end) = UnixStream::pair().expect("sockets");
        Self {
            is_gone: false,
            answers: VecDeque::new(),
            unacknowledged_bytes: 70,
            bucket: Bucket::default(),
            socket,
            _other_end: Some(other_end),
        }
    }

    fn answering(progress: Progress) -> Self {
        let mut peer = Self::new();
        peer.answers.push_back(progress);
        peer
    }

    /// One that no event tells of any more.
    fn gone() -> Self {
        let mut peer = Self::new();
        peer.is_gone = true;
        peer
    }

    /// One that has closed, as sending finds out.
    fn closed() -> Self {
        let mut peer = Self::new();
        peer._other_end = None;
        peer
    }
}

impl Peer for FakePeer {
    fn client(&self) -> Client<'_> {
        Client {
            remote: SocketAddr::from(([127, 0, 0, 1], 9)).into(),
            address: SocketAddr::from(([127, 0, 0, 1], 9)).into(),
            tls: None,
        }
    }

    fn is_refused(&self) -> bool {
        false
    }

    fn is_gone(&self) -> bool {
        self.is_gone
    }

    fn send(
        &mut self,
        body: &mut ResponseBody,
        budget: u64,
        _: &mut Vec<u8>,
    ) -> Result<Progress, SendError> {
        match self.answers.pop_front() {
            Some(progress) => Ok(progress),
            None => body.advance(&self.socket, budget.max(1)),
        }
    }

    fn bucket(&mut self) -> &mut Bucket {
        &mut self.bucket
    }

    fn byte_cost(&self) -> u64 {
        1
    }

    fn unacknowledged_bytes(&self) -> u64 {
        self.unacknowledged_bytes
    }

    fn offload_fd(&self) -> io::Result<Option<OwnedFd>> {
        self.socket.as_fd().try_clone_to_owned().map(Some)
    }
}

/// A file of zeros on the disk of the build directory: that for temporary files may be memory.
fn file(length: u64) -> File {
    let program = std::env::current_exe().expect("a path");
    let directory = program.parent().expect("a directory");
    let file = tempfile::tempfile_in(directory).expect("a file");
    file.set_len(length).expect("a sparse file");
    file
}

/// A response with a head of four bytes, and the file behind it.
fn response_of(source: &File, read_path: ReadPath, id: ExchangeId) -> Box<Response> {
    let length = source.metadata().expect("a file").len();
    let source = FileHandle::from_file(source.try_clone().expect("a descriptor"));
    let body = Transfer::new(Arc::new(source), 0, length);
    let mut body = ProbedTransfer::new(body, WINDOW_BYTES);
    match read_path {
        ReadPath::Direct => body.assume_resident_until(u64::MAX),
        _ => body.assume_cold(),
    }
    let head = BytesMut::from(&b"head"[..]);
    Box::new(Response {
        id,
        body: ResponseBody::new(head, Some(body), NextPart::Nothing, read_path),
        mount: 1,
        end: ResponseEnd {
            measured: Measured::default(),
            status: Status::Ok,
            after: AfterResponse::KeepAlive,
            record: None,
            asked: Asked::default(),
            limit: None,
            intake: Intake::default(),
        },
    })
}

fn response(read_path: ReadPath, worker: &mut Worker) -> Box<Response> {
    response_of(&file(LENGTH), read_path, worker.next_exchange())
}

/// One without a file: the head is all.
fn bytes_alone(worker: &mut Worker) -> Box<Response> {
    let mut response = response(ReadPath::Direct, worker);
    let head = BytesMut::from(&b"head"[..]);
    response.body = ResponseBody::new(head, None, NextPart::Nothing, ReadPath::Direct);
    response
}

fn sending(worker: &mut Worker, read_path: ReadPath) -> Exchange {
    let response = response(read_path, worker);
    Exchange::sending(response, worker)
}

fn draining(framing: zc_http::BodyFraming, worker: &mut Worker) -> Exchange {
    let drain = Drain::new(framing, 100).expect("short").expect("a body");
    Exchange {
        state: State::Draining {
            drain,
            response: bytes_alone(worker),
        },
        deadline_ms: 1_000,
    }
}

fn resolving(worker: &mut Worker) -> (Exchange, ExchangeId) {
    let id = worker.next_exchange();
    let job = worker
        .submit(crate::disk::Role::Read, 1, id, |_, _| None)
        .expect("room");
    let exchange = Exchange::resolving(id, Box::default(), job, worker);
    (exchange, id)
}

fn prefetching(worker: &mut Worker) -> (Exchange, ExchangeId) {
    let response = response(ReadPath::Probe, worker);
    let id = response.id;
    let state = State::Prefetching { response };
    let deadline_ms = worker.now_ms + TIMEOUTS.disk_ms;
    (Exchange { state, deadline_ms }, id)
}

/// An exchange whose body a thread has, or had: what it answers is waited for.
fn offloaded(fixture: &mut Fixture, read_path: ReadPath, peer: &mut FakePeer) -> Exchange {
    let response = response(read_path, &mut fixture.worker);
    match offload::wait_for_disk(response, peer, &mut fixture.worker) {
        Next::Wait(exchange) => exchange,
        next => panic!("{next:?}"),
    }
}

/// The same, and what the thread has left replaced by `result`.
fn returned(
    fixture: &mut Fixture,
    read_path: ReadPath,
    result: Result<Progress, SendError>,
) -> Exchange {
    // Until the thread is done somebody takes what it sends.
    let mut peer = FakePeer::new();
    let exchange = offloaded(fixture, read_path, &mut peer);
    let WorkerMessage::Done(_, id, Done::Carried(body, _)) = fixture.next_message() else {
        panic!("a body was offloaded");
    };
    drop(peer);
    exchange.on_done(id, Done::Carried(body, result))
}

fn name(exchange: &Exchange) -> String {
    match &exchange.state {
        State::Resolving { .. } => "Resolving".to_owned(),
        State::Resolved { .. } => "Resolved".to_owned(),
        State::Draining { .. } => "Draining".to_owned(),
        State::Sending { response, .. } => match response.end.status {
            Status::Ok => "Sending".to_owned(),
            status => format!("Sending {} {:?}", status.code(), response.end.after),
        },
        State::Paused { .. } => "Paused".to_owned(),
        State::Prefetching { .. } => "Prefetching".to_owned(),
        State::Prefetched { .. } => "Prefetched".to_owned(),
        State::Offloaded(_) => "Offloaded".to_owned(),
        State::Returned(_) => "Returned".to_owned(),
    }
}

/// What comes next, in one line, and how the exchange ended, if it did.
fn told(next: &Next, worker: &mut Worker) -> String {
    let what = match next {
        Next::Go(exchange) => format!("go {}", name(exchange)),
        Next::Wait(exchange) => format!("wait {}", name(exchange)),
        Next::Pause(exchange) => format!("pause {}", name(exchange)),
        Next::Yield(exchange) => format!("yield {}", name(exchange)),
        Next::ReadBody(exchange) => format!("read {}", name(exchange)),
        Next::TakeHead(..) => "head".to_owned(),
        Next::Over(after) => format!("over {after:?}"),
        Next::End(ending) => format!("end {ending:?}"),
    };
    match worker.completions.drain(..).collect::<Vec<_>>()[..] {
        [] => what,
        [outcome] => format!("{what}, {outcome:?}"),
        ref outcomes => panic!("{what}: it ends once, and not {outcomes:?}"),
    }
}

fn step(exchange: Exchange, peer: &mut FakePeer, worker: &mut Worker) -> String {
    let (_, next) = exchange.step(b"GET / HTTP/1.1\r\n", peer, worker);
    told(&next, worker)
}

fn deadline(exchange: Exchange, peer: &mut FakePeer, worker: &mut Worker) -> String {
    let next = exchange.on_deadline(b"GET / HTTP/1.1\r\n", peer, worker);
    told(&next, worker)
}

fn accept(text: &str, worker: &mut Worker) -> String {
    let Ok(Parse::Complete(request)) = parse(text.as_bytes(), &Limits::default()) else {
        panic!("{text}");
    };
    match accept_request(&request, None, false, &FakePeer::new(), worker) {
        Accepted::Ready(response) => {
            let line = format!("ready {} {:?}", response.ready.status, response.after);
            worker.drop_output_of(&response.ready);
            line
        }
        Accepted::Stream(response) => format!("stream {}", response.end.status),
        Accepted::Waits(exchange, wait) => format!("{} {wait:?}", name(&exchange)),
    }
}
