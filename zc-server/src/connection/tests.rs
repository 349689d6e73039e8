//! The transition table of `mod.rs`, row by row, over real sockets.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream as StdTcpStream};
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::ending::LINGER_MS;
use super::*;
use crate::config::{Scheme, Spoken};
use crate::observe::record::Outcome;
use crate::socket::Stream;
use crate::worker::Life;
use crate::worker::testing::{Fixture, TIMEOUTS};

/// No test waits for so long, unless something hangs.
const HANG: Duration = Duration::from_secs(60);

const GET: &[u8] = b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_LONG: &[u8] = b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n";

/// A connection, its other end, and the worker that drives it.
struct Scene {
    fixture: Fixture,
    connection: Connection,
    client: StdTcpStream,
}

impl Scene {
    fn new() -> Self {
        Self::with(Scheme::Http.into())
    }

    /// One that begins with the header of the PROXY protocol.
    fn introducing() -> Self {
        Self::with(Spoken {
            scheme: Scheme::Http,
            has_proxy_header: true,
        })
    }

    fn with(spoken: Spoken) -> Self {
        let fixture = Fixture::without_offloading();
        std::fs::write(fixture.root.path().join("file"), b"content").expect("a file");
        let long = File::create(fixture.root.path().join("long")).expect("a file");
        // More than the buffers of both sockets hold.
        long.set_len(64 << 20).expect("a sparse file");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = StdTcpStream::connect(listener.local_addr().expect("bound")).expect("us");
        let (stream, remote) = listener.accept().expect("the client");
        stream.set_nonblocking(true).expect("a socket");
        let transport = Transport::plain(Stream::Tcp(TcpStream::from_std(stream)));
        let arrival = Arrival {
            remote: remote.into(),
            spoken,
        };
        let connection = Connection::new(transport, arrival, Admission::Free, 0, TIMEOUTS);
        let mut scene = Self {
            fixture,
            connection,
            client,
        };
        scene.fixture.worker.turn.quantum_bytes = u64::MAX;
        scene
    }

    /// Turns, as edges make them, until one leads to the state `expected`.
    fn until(&mut self, expected: &str) {
        let began = Instant::now();
        loop {
            let turn = self.turn();
            if self.state() == expected {
                assert_eq!(turn == Turn::Closed, expected == "Closed");
                return;
            }
            assert!(began.elapsed() < HANG, "it is {}", self.state());
            std::thread::yield_now();
        }
    }

    fn turn(&mut self) -> Turn {
        self.connection.on_readable(false);
        self.connection.drive(&mut self.fixture.worker)
    }

    fn state(&self) -> &'static str {
        match self.connection.state {
            State::Introducing { .. } => "Introducing",
            State::Idle { .. } => "Idle",
            State::Receiving { .. } => "Receiving",
            State::Exchanging(_) => "Exchanging",
            State::Ending { .. } => "Ending",
            State::Lingering { .. } => "Lingering",
            State::Closed => "Closed",
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).expect("the server");
    }

    /// The deadline that there is passes.
    fn deadline(&mut self) -> Turn {
        self.fixture.worker.now_ms = self.connection.deadline_ms();
        self.connection.on_deadline(&mut self.fixture.worker)
    }

    /// The status of the next response, whose body is not read.
    fn status(&mut self) -> String {
        let mut line = [0; 12];
        self.client.read_exact(&mut line).expect("a response");
        String::from_utf8_lossy(&line[9..]).into_owned()
    }

    fn outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.fixture.worker.completions)
    }
}

#[test]
fn idle() {
    let mut scene = Scene::new();
    scene.send(GET);
    scene.until("Idle");
    assert_eq!(scene.connection.deadline_ms(), TIMEOUTS.idle_ms);
    assert_eq!(scene.outcomes(), [Outcome::Complete]);
    // Bytes come: the time of a head begins with the first of them.
    scene.fixture.worker.now_ms = 500;
    scene.send(b"GET /fi");
    scene.until("Receiving");
    assert_eq!(scene.connection.deadline_ms(), 500 + TIMEOUTS.header_ms);
    scene.fixture.worker.now_ms = 600;
    scene.send(b"le HTTP/1.1\r\n");
    assert_eq!(scene.turn(), Turn::Wait);
    assert_eq!(scene.connection.deadline_ms(), 500 + TIMEOUTS.header_ms);
    scene.send(b"Host: a\r\n\r\n");
    scene.until("Idle");

    // Its deadline, and the end of the peer.
    assert_eq!(scene.deadline(), Turn::Closed);
    let mut scene = Scene::new();
    scene.send(GET);
    scene.until("Idle");
    scene.client.shutdown(Shutdown::Both).expect("a socket");
    scene.until("Closed");
}

#[test]
fn receiving() {
    // Nothing came.
    let mut scene = Scene::new();
    assert_eq!(scene.turn(), Turn::Wait);
    assert_eq!(scene.state(), "Receiving");
    assert_eq!(scene.connection.deadline_ms(), TIMEOUTS.header_ms);
    assert_eq!(scene.deadline(), Turn::Closed);
    assert_eq!(scene.outcomes(), []);

    // Of a head something came.
    let mut scene = Scene::new();
    scene.send(b"GET /");
    let began = Instant::now();
    while scene.connection.input.is_empty() {
        assert_eq!(scene.turn(), Turn::Wait);
        assert!(began.elapsed() < HANG);
    }
    assert_eq!(scene.deadline(), Turn::Again);
    assert_eq!(scene.state(), "Exchanging");
    scene.until("Closed");
    assert_eq!(scene.status(), "408");
    assert_eq!(scene.outcomes(), [Outcome::Complete]);

    // Pipelined requests raise no edge: a part of a third one is there already.
    let mut scene = Scene::new();
    scene.send(&[GET, GET, b"GET /f"].concat());
    let began = Instant::now();
    while scene.fixture.worker.completions.len() < 2 || scene.connection.input.is_empty() {
        assert_eq!(scene.turn(), Turn::Wait);
        assert!(began.elapsed() < HANG);
    }
    assert_eq!(scene.state(), "Receiving");
    assert_eq!(scene.outcomes(), [Outcome::Complete; 2]);

    // A head that must be refused.
    let mut scene = Scene::new();
    scene.send(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n");
    scene.until("Lingering");
    assert_eq!(scene.status(), "400");

    // The peer ends within a head.
    let mut scene = Scene::new();
    scene.send(b"GET /");
    scene.client.shutdown(Shutdown::Both).expect("a socket");
    scene.until("Closed");
    assert_eq!(scene.outcomes(), []);
}

#[test]
fn exchanging() {
    // More than the socket takes.
    let mut scene = Scene::new();
    scene.send(GET_LONG);
    scene.until("Exchanging");
    assert!(scene.connection.is_sending() && scene.connection.has_response());
    assert_eq!(scene.connection.deadline_ms(), TIMEOUTS.send_ms);
    let mut client = scene.client.try_clone().expect("a descriptor");
    let reader = std::thread::spawn(move || {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("a head");
            head.extend_from_slice(&byte);
        }
        let mut body = client.take(64 << 20);
        io::copy(&mut body, &mut io::sink()).expect("a body")
    });
    scene.until("Idle");
    assert_eq!(reader.join().expect("no panic"), 64 << 20);
    assert_eq!(scene.outcomes(), [Outcome::Complete]);

    // The peer takes nothing for too long, and its queue has not moved.
    scene.send(GET_LONG);
    scene.until("Exchanging");
    let closed = loop {
        match scene.deadline() {
            // The kernel still got rid of something.
            Turn::Wait => {}
            turn => break turn,
        }
    };
    assert_eq!(closed, Turn::Closed);
    assert_eq!(scene.outcomes(), [Outcome::Stalled]);

    // The peer goes away.
    let mut scene = Scene::new();
    scene.send(GET_LONG);
    scene.until("Exchanging");
    drop(std::mem::replace(&mut scene.client, Scene::new().client));
    scene.until("Closed");
    assert_eq!(scene.outcomes(), [Outcome::PeerGone]);

    // The grace period ends.
    let mut scene = Scene::new();
    scene.send(GET_LONG);
    scene.until("Exchanging");
    let Scene {
        connection,
        mut fixture,
        ..
    } = scene;
    assert!(connection.cut(&mut fixture.worker));
    assert_eq!(fixture.worker.completions, [Outcome::Shutdown]);
}

#[test]
fn a_request_body_is_read_within_its_exchange() {
    let mut scene = Scene::new();
    scene.send(b"GET /file HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    scene.until("Exchanging");
    assert!(scene.connection.has_response() && !scene.connection.is_sending());
    assert_eq!(scene.connection.deadline_ms(), TIMEOUTS.header_ms);
    scene.send(b"lo");
    scene.until("Idle");
    assert_eq!(scene.status(), "200");
}

#[test]
fn after_the_last_response() {
    // The peer has said that it was its last request, and nothing is left unread.
    let mut scene = Scene::new();
    scene.send(b"GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    scene.until("Closed");
    assert_eq!(scene.status(), "200");

    // The same with bytes behind it: a reset would eat the answer.
    let mut scene = Scene::new();
    scene.send(b"GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nmore");
    scene.until("Lingering");
    assert_eq!(scene.connection.deadline_ms(), LINGER_MS);
    assert!(!scene.connection.has_response());
    // What still comes is dropped, until the peer ends.
    scene.send(GET);
    assert_eq!(scene.turn(), Turn::Wait);
    assert_eq!(scene.status(), "200");
    scene.client.shutdown(Shutdown::Write).expect("a socket");
    scene.until("Closed");
    assert_eq!(scene.outcomes(), [Outcome::Complete]);

    let mut scene = Scene::new();
    scene.send(b"POST /file HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
    scene.until("Lingering");
    assert_eq!(scene.status(), "405");
    assert_eq!(scene.deadline(), Turn::Closed);

    // The server drains: who has begun to ask is answered.
    let mut scene = Scene::new();
    scene.send(b"GET /file HTTP/1.1\r\n");
    let began = Instant::now();
    while scene.connection.input.is_empty() {
        assert_eq!(scene.turn(), Turn::Wait);
        assert!(began.elapsed() < HANG);
    }
    scene.fixture.worker.life = DRAINING;
    scene.send(b"Host: a\r\n\r\n");
    scene.until("Lingering");
    assert_eq!(scene.status(), "200");
}

const DRAINING: Life = Life::Draining {
    first_request_until_ms: 300,
};

#[test]
fn a_drain_leaves_time_for_the_first_request_and_closes_who_had_one() {
    for mut scene in [Scene::new(), Scene::introducing()] {
        scene.fixture.worker.life = DRAINING;
        assert_eq!(scene.turn(), Turn::Wait);
        assert_eq!(scene.connection.deadline_ms(), 300);
        assert_eq!(scene.deadline(), Turn::Closed);
        assert_eq!(scene.connection.close_reason(), CloseReason::Shutdown);
    }
    // Its own time is over before.
    let mut scene = Scene::new();
    scene.fixture.worker.life = Life::Draining {
        first_request_until_ms: TIMEOUTS.header_ms + 1,
    };
    assert_eq!(scene.turn(), Turn::Wait);
    assert_eq!(scene.connection.deadline_ms(), TIMEOUTS.header_ms);

    let mut scene = Scene::introducing();
    scene.fixture.worker.life = DRAINING;
    assert_eq!(scene.turn(), Turn::Wait);
    scene.send(b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n");
    scene.until("Receiving");
    assert_eq!(scene.connection.deadline_ms(), 300);
    scene.send(GET);
    scene.until("Lingering");
    assert_eq!(scene.status(), "200");

    let mut scene = Scene::new();
    scene.send(GET);
    scene.until("Idle");
    scene.fixture.worker.life = DRAINING;
    assert_eq!(scene.turn(), Turn::Closed);
}

#[test]
fn closed_stays_closed() {
    let mut scene = Scene::new();
    scene.client.shutdown(Shutdown::Both).expect("a socket");
    scene.until("Closed");
    assert_eq!(scene.turn(), Turn::Closed);
    assert_eq!(scene.deadline(), Turn::Closed);
    let Scene {
        connection,
        mut fixture,
        ..
    } = scene;
    assert!(!connection.cut(&mut fixture.worker));
}

#[test]
fn introducing_a_header_that_names_the_client() {
    let mut scene = Scene::introducing();
    assert_eq!(scene.state(), "Introducing");
    scene.send(b"PROXY TCP4 192.0.2.7 ");
    assert_eq!((scene.turn(), scene.state()), (Turn::Wait, "Introducing"));
    assert_eq!(scene.connection.deadline_ms(), TIMEOUTS.header_ms);
    scene.send(b"127.0.0.1 1 2\r\n");
    scene.until("Receiving");
    assert_eq!(scene.connection.link.client.to_string(), "192.0.2.7:1");
    scene.send(GET);
    scene.until("Idle");
}

#[test]
fn introducing_something_else_or_nothing() {
    let mut scene = Scene::introducing();
    scene.send(GET);
    scene.until("Closed");
    let mut scene = Scene::introducing();
    scene.client.shutdown(Shutdown::Both).expect("a socket");
    scene.until("Closed");
    let mut scene = Scene::introducing();
    scene.send(b"PROXY");
    assert_eq!(scene.turn(), Turn::Wait);
    let turn = scene.connection.on_deadline(&mut scene.fixture.worker);
    assert_eq!(turn, Turn::Closed);
}
