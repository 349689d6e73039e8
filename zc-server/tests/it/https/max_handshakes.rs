//! `--max-handshakes`: so many at a time, and all others wait without a handshake.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;

use nix::sys::signal::Signal;

use super::{VERSIONS, client_hello, connect};
use crate::admin::Watched;
use crate::harness::{Client, Server, temp_root};

const HANDSHAKES: &str = "zc_connections{state=\"handshake\"}";
const ACCEPTED: &str = "zc_connections_accepted_total";

/// A server whose connections count from the moment on in which they are there.
fn start(options: &[&str]) -> Watched {
    let always = ["--admin-bind", "127.0.0.1:0", "--defer-accept", "off"];
    let watched = Watched::of(Server::start_https(&[&always, options].concat()));
    watched.server.write("f", b"found");
    watched
}

/// A connection on which nobody says a word.
fn silent(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).expect("the kernel accepts")
}

#[track_caller]
fn assert_unanswered(stream: &TcpStream) {
    stream.set_nonblocking(true).expect("a socket");
    let found = stream.peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(found, Err(ErrorKind::WouldBlock));
    stream.set_nonblocking(false).expect("a socket");
}

/// By HTTP. The worker has looked at its listeners since all that came before.
fn ask_plainly(watched: &Watched) {
    let stream = TcpStream::connect(watched.server.plain_address).expect("the server accepts");
    assert_eq!(Client::plain(stream).get("/f").body, b"found");
}

#[test]
fn one_too_many_waits_until_another_is_over_and_http_does_not() {
    for version in VERSIONS {
        let watched = start(&["--max-handshakes", "2"]);
        let server = &watched.server;
        let mut waiting = vec![silent(server), silent(server)];
        watched.wait_for(HANDSHAKES, 2.0);
        let mut next = connect(server, version);
        let hello = client_hello(version);
        let mut later = silent(server);
        later.write_all(&hello).expect("room");
        ask_plainly(&watched);
        ask_plainly(&watched);
        // Two that are silent, and two by HTTP.
        assert_eq!(
            (watched.value(HANDSHAKES), watched.value(ACCEPTED)),
            (2.0, 4.0)
        );
        assert_unanswered(&next.stream);
        assert_unanswered(&later);
        // A place is free, and whoever has it gives it back when the handshake is over, and not when it closes.
        drop(waiting.pop());
        assert_eq!(next.get("/f").body, b"found");
        let mut last = connect(server, version);
        drop(waiting);
        assert_eq!(last.get("/f").body, b"found");
        assert_eq!(next.get("/f").body, b"found");
    }
}

#[test]
fn every_worker_gets_its_turn() {
    const CLIENTS: usize = 24;
    let watched = start(&["--max-handshakes", "1", "--threads", "3"]);
    let server = &watched.server;
    let holder = silent(server);
    watched.wait_for(HANDSHAKES, 1.0);
    // The kernel spreads them over the listeners of the workers.
    let clients: Vec<Client> = (0..CLIENTS).map(|_| connect(server, VERSIONS[0])).collect();
    std::thread::scope(|scope| {
        let asked = clients.into_iter().map(|mut client| {
            scope.spawn(move || {
                assert_eq!(client.get("/f").body, b"found");
                client
            })
        });
        let asked: Vec<_> = asked.collect();
        assert_eq!(watched.value(ACCEPTED), 1.0);
        drop(holder);
        // Connections that are open hold no place.
        let open: Vec<Client> = asked
            .into_iter()
            .map(|one| one.join().expect("no panic"))
            .collect();
        assert_eq!(open.len(), CLIENTS);
    });
    // A worker counts after its turn, when the client may have the response already.
    watched.wait_for(HANDSHAKES, 0.0);
    assert_eq!(watched.value(ACCEPTED), 1.0 + CLIENTS as f64);
}

#[test]
fn a_handshake_that_stalls_or_fails_gives_its_place_up() {
    let options = ["--max-handshakes", "1", "--handshake-timeout", "100ms"];
    let watched = start(&options);
    let server = &watched.server;
    for _ in 0..3 {
        let _silent = silent(server);
        let mut client = connect(server, VERSIONS[0]);
        assert_eq!(client.get("/f").body, b"found");
        super::handshakes::send_alone(server, b"SSH-2.0-x\r\n");
        super::handshakes::send_alone(server, b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    let mut client = connect(server, VERSIONS[0]);
    assert_eq!(client.get("/f").body, b"found");
}

#[test]
fn their_number_changes_without_a_restart() {
    let directory = temp_root();
    let file = directory.path().join("zc.toml");
    let write = |lines: &str| std::fs::write(&file, lines).expect("a file");
    write("max-handshakes = 1\n");
    let path = file.to_str().expect("UTF-8");
    let mut watched = start(&["--config", path, "--threads", "2"]);
    let _holder = silent(&watched.server);
    watched.wait_for(HANDSHAKES, 1.0);
    let waiting = [silent(&watched.server), silent(&watched.server)];
    ask_plainly(&watched);
    assert_eq!(watched.value(HANDSHAKES), 1.0);
    for (lines, number) in [
        ("max-handshakes = 2\n", 2.0),
        ("max-handshakes = \"off\"\n", 3.0),
    ] {
        write(lines);
        watched.server.signal(Signal::SIGHUP);
        watched.server.said_with("the configuration was read again");
        watched.wait_for(HANDSHAKES, number);
    }
    drop(waiting);
    watched.wait_for(HANDSHAKES, 1.0);
}

#[test]
fn a_drain_takes_those_who_have_connected() {
    let watched = start(&["--max-handshakes", "1"]);
    let server = &watched.server;
    let _holder = silent(server);
    watched.wait_for(HANDSHAKES, 1.0);
    let waiting = silent(server);
    server.signal(Signal::SIGTERM);
    // It is ended in order, and not reset in the queue of the kernel.
    let end = waiting.peek(&mut [0]);
    assert_eq!(end.ok(), Some(0));
}
