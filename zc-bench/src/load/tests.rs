use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Longer than anybody waits for a test.
const FOREVER: Duration = Duration::from_secs(3600);
/// Requests a second: the first is due at once, and the second when the test is long over.
const RATE: f64 = 1.0 / 3600.0;
/// A wait that only ends a test that hangs; no test passes because of it.
const HANG: Duration = Duration::from_secs(60);

fn read_request(stream: &mut TcpStream) -> io::Result<usize> {
    stream.read(&mut [0; 1024])
}

fn answer(stream: &mut TcpStream) {
    stream.write_all(RESPONSE).expect("a client");
}

fn has_bytes(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let bytes = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a socket");
    bytes.is_ok_and(|count| count > 0)
}

/// A load on two connections whose loop is turned by the test: requests are due when it says so, and
/// nothing depends on how long anything takes.
struct Turned<'l> {
    run: Run<'l>,
    poll: Poll,
    events: Events,
}

impl<'l> Turned<'l> {
    fn start(load: &'l Load) -> io::Result<Self> {
        let poll = Poll::new()?;
        let clients = (0..load.connections).map(|index| Client::connect(load, index, &poll));
        Ok(Self {
            run: Run::new(load, clients.collect::<io::Result<_>>()?),
            poll,
            events: Events::with_capacity(16),
        })
    }

    /// Turns the loop until `condition` holds.
    fn turn_until(&mut self, mut condition: impl FnMut(&Run<'l>) -> bool) -> io::Result<()> {
        let hang = Instant::now() + HANG;
        while !condition(&self.run) {
            assert!(Instant::now() < hang, "the loop turns for nothing");
            let moment = Some(Duration::from_millis(1));
            self.poll.poll(&mut self.events, moment)?;
            for event in &self.events {
                self.run.on_event(event.token().0, &self.poll)?;
            }
            self.run.start_what_is_due(&self.poll)?;
        }
        Ok(())
    }

    /// One more request is due now.
    fn have_due(&mut self) -> io::Result<()> {
        self.run.due = Instant::now();
        self.run.start_what_is_due(&self.poll)
    }
}

/// Ends a connection that nothing was asked on, with these words, and has requests come due while there
/// is one other that is idle.
fn assert_not_asked_twice(last_words: &[u8]) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let accept = || listener.accept().expect("a client").0;
    let load = load_on(listener.local_addr().expect("bound"));
    let request_bytes = load.request(&load.targets[0]).len();
    let mut turned = Turned::start(&load).expect("two connections");
    let (mut asked, mut idle) = (accept(), accept());
    let step = turned.turn_until(|_| has_bytes(&asked));
    step.expect("the first request is due at once");
    assert_eq!(read_request(&mut asked).ok(), Some(request_bytes));

    idle.write_all(last_words).expect("a client");
    drop(idle);
    listener.set_nonblocking(true).expect("a socket");
    let mut again = None;
    let step = turned.turn_until(|_| {
        again = listener.accept().ok();
        again.is_some()
    });
    step.expect("a connection in its place");
    let (mut again, _) = again.expect("just now");
    again.set_nonblocking(false).expect("a socket");
    for _ in 0..3 {
        turned.have_due().expect("no bytes");
    }
    // One of them goes on the new connection. The next waits until the other is idle.
    let step = turned.turn_until(|_| has_bytes(&again));
    step.expect("a request");
    answer(&mut asked);
    let step = turned.turn_until(|_| has_bytes(&asked));
    step.expect("another request");
    for stream in [&mut asked, &mut again] {
        answer(stream);
    }
    let step = turned.turn_until(|run| run.outcome.responses == 3);
    step.expect("every response is one");
    let outcome = turned.run.finish();
    assert_eq!(outcome.errors, 0, "{outcome:?}");
    // Their ends have come: all that was ever asked is there.
    for stream in [&mut asked, &mut again] {
        let mut requests = Vec::new();
        stream.read_to_end(&mut requests).expect("an end");
        assert_eq!(requests.len(), request_bytes);
    }
}

fn load_on(address: SocketAddr) -> Load {
    Load {
        address,
        targets: vec![Target {
            path: "/".into(),
            file: None,
        }],
        connections: 2,
        rate: Some(RATE),
        keep_alive: true,
        tls: None,
        warm_up: Duration::ZERO,
        duration: HANG,
        responses_min: 0,
        duration_max: Duration::ZERO,
        verify_every: 0,
    }
}

/// Runs an open loop of two connections against what serves on the listener. One request is due.
fn run(serve: impl FnOnce(&TcpListener) + Send + 'static) -> io::Result<Outcome> {
    run_with(serve, |load| load)
}

/// The same with a load that is changed in some way.
fn run_with(
    serve: impl FnOnce(&TcpListener) + Send + 'static,
    change: impl FnOnce(Load) -> Load,
) -> io::Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = std::thread::spawn(move || serve(&listener));
    let outcome = change(load_on(address)).run();
    server.join().expect("the server has seen what it has to");
    outcome
}

#[test]
fn a_connection_that_ended_idle_is_not_asked_twice_at_a_time() {
    assert_not_asked_twice(b"");
}

#[test]
fn an_idle_connection_may_end_with_a_408() {
    assert_not_asked_twice(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a_response_that_nobody_asked_for_counts_against_the_server() {
    let outcome = run(|listener| {
        let accept = || listener.accept().expect("a client").0;
        let (mut asked, mut idle) = (accept(), accept());
        read_request(&mut asked).expect("a request");
        answer(&mut idle);
        // The client goes.
        while read_request(&mut asked).is_ok_and(|count| count > 0) {}
    });
    let error = outcome.expect_err("nothing counts of such a server");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

/// Answers on two connections until both have ended.
fn answer_all(listener: &TcpListener) {
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().expect("a client");
            scope.spawn(move || {
                while read_request(&mut stream).is_ok_and(|count| count > 0) {
                    if stream.write_all(RESPONSE).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

/// Reads what two connections ask until both have ended.
fn never_answer(listener: &TcpListener) {
    let accept = || listener.accept().expect("a client").0;
    for mut stream in [accept(), accept()] {
        while read_request(&mut stream).is_ok_and(|count| count > 0) {}
    }
}

#[test]
fn a_measurement_goes_on_until_so_many_responses_have_ended() {
    // Far more than end in no time.
    let outcome = run_with(answer_all, |load| Load {
        rate: None,
        duration: Duration::ZERO,
        responses_min: 500,
        duration_max: FOREVER,
        ..load
    });
    let outcome = outcome.expect("every response is one");
    assert!(outcome.responses >= 500, "{outcome:?}");
    assert_eq!(outcome.latency.len(), outcome.responses);
    assert!(outcome.body_bytes >= outcome.responses * 2, "{outcome:?}");
}

#[test]
fn a_measurement_without_responses_ends_at_its_bound() {
    let outcome = run_with(never_answer, |load| Load {
        rate: None,
        duration: Duration::from_millis(1),
        responses_min: 20,
        duration_max: Duration::from_millis(100),
        ..load
    });
    let outcome = outcome.expect("no response is no error");
    assert_eq!(outcome.responses, 0, "{outcome:?}");
    assert!(outcome.seconds >= 0.1, "{outcome:?}");
}

#[test]
fn at_a_fixed_rate_a_measurement_is_no_longer_for_want_of_responses() {
    let outcome = run_with(never_answer, |load| Load {
        duration: Duration::from_millis(1),
        responses_min: 20,
        // The test would not end.
        duration_max: FOREVER,
        ..load
    });
    let outcome = outcome.expect("no response is no error");
    assert_eq!(outcome.responses, 0, "{outcome:?}");
    assert!(outcome.unanswered >= 1, "{outcome:?}");
}

/// Serves one file of 100,000 bytes by TLS, one request on each connection, until nobody connects.
struct TlsServer {
    directory: tempfile::TempDir,
    address: SocketAddr,
}

impl TlsServer {
    fn start(served: &'static [u8]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()]).expect("a key");
        let path = directory.path().join("cert.pem");
        std::fs::write(path, made.cert.pem()).expect("a file");
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a pair");
        let config = std::sync::Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let config = std::sync::Arc::clone(&config);
                let session = rustls::ServerConnection::new(config).expect("a session");
                let mut stream = rustls::StreamOwned::new(session, stream.expect("a client"));
                // A client may leave.
                let _ = serve_one(&mut stream, served);
            }
        });
        Self { directory, address }
    }

    /// A load by TLS whose every body is compared with `file`.
    fn load(&self, file: &[u8], resumes: bool) -> io::Result<Outcome> {
        let path = self.directory.path().join("file");
        std::fs::write(&path, file)?;
        let certificate = self.directory.path().join("cert.pem");
        let load = Load {
            targets: vec![Target {
                path: "/".into(),
                file: Some(path),
            }],
            connections: 1,
            rate: None,
            keep_alive: false,
            tls: Some(Tls::new(&certificate, Cipher::Aes128Gcm, resumes)?),
            duration: Duration::ZERO,
            responses_min: 10,
            duration_max: HANG,
            verify_every: 1,
            ..load_on(self.address)
        };
        load.run()
    }
}

fn serve_one(
    stream: &mut rustls::StreamOwned<rustls::ServerConnection, TcpStream>,
    body: &[u8],
) -> io::Result<()> {
    if stream.read(&mut [0; 1024])? > 0 {
        let bytes = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n")?;
        stream.write_all(body)?;
        stream.conn.send_close_notify();
        stream.flush()?;
    }
    Ok(())
}

static BODY: [u8; 100_000] = {
    let mut body = [0; 100_000];
    let mut at = 0;
    while at < body.len() {
        body[at] = (at % 251) as u8;
        at += 1;
    }
    body
};

#[test]
fn bodies_by_tls_are_compared_and_sessions_go_on_where_that_is_asked_for() {
    let server = TlsServer::start(&BODY);
    let outcome = server.load(&BODY, true).expect("every body is its file");
    assert!(outcome.verified >= 10, "{outcome:?}");
    assert_eq!(outcome.resumed, outcome.responses - 1, "{outcome:?}");
    let outcome = server.load(&BODY, false).expect("every body is its file");
    assert!(outcome.verified >= 10, "{outcome:?}");
    assert_eq!(outcome.resumed, 0, "{outcome:?}");
    let mut other = BODY;
    other[99_999] ^= 1;
    let error = server.load(&other, false).expect_err("not the file");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}
