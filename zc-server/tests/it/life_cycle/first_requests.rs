//! A connection that was accepted has the chance to send its first request, also when the server stops.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use nix::sys::signal::Signal;
use rustls::version::{TLS12, TLS13};

use crate::harness::tls::{ClientTls, client_config};
use crate::harness::{Client, Server};

const GET: &[u8] = b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n";

/// A server that is stopped while `clients` have sent nothing of a request; it closes who has had a response.
fn stop_beside(server: &Server, begin: impl FnOnce()) {
    let mut idle = server.connect();
    assert_eq!(idle.get("/f").body, b"found");
    begin();
    // Accepted in order: with this one answered, those before it were accepted.
    let mut last = server.connect();
    assert_eq!(last.get("/f").body, b"found");
    server.signal(Signal::SIGTERM);
    // The drain has begun.
    idle.expect_end();
    last.expect_end();
}

fn expect_answer(client: &mut Client) {
    client.send(GET);
    let response = client.response(false);
    assert_eq!(response.body, b"found");
    assert_eq!(response.field("connection"), Some("close"));
    client.expect_end();
}

#[test]
fn the_first_request_is_answered_although_the_server_drains() {
    let server = Server::start_over(&[("f", b"found")], &["--defer-accept", "off"]);
    let mut silent = Vec::new();
    stop_beside(&server, || {
        silent.extend((0..10).map(|_| server.connect()));
    });
    silent.iter_mut().for_each(expect_answer);
    drop(silent);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn who_asks_for_nothing_is_closed_soon_and_not_at_the_end_of_the_grace_period() {
    let options = ["--defer-accept", "off", "--grace-period", "1h"];
    let server = Server::start_over(&[("f", b"found")], &options);
    let mut silent = None;
    stop_beside(&server, || silent = Some(server.connect().stream));
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!said.contains("handshake"), "{said}");
}

#[test]
fn a_handshake_goes_on_although_the_server_drains() {
    for version in [&TLS13, &TLS12] {
        let root = crate::harness::temp_root();
        std::fs::write(root.path().join("f"), b"found").expect("a file");
        let served = root.path().to_owned();
        let server = Server::start_https_over(root, &served, &["--defer-accept", "off"]);
        let config = Arc::new(client_config(version));
        let connect = || {
            let stream = TcpStream::connect(server.address).expect("it accepts");
            (stream, Arc::new(ClientTls::with(Arc::clone(&config))))
        };
        // One has sent nothing, one a part of its first message, and one has shaken hands.
        let mut clients = Vec::new();
        let mut rest = Vec::new();
        let mut idle = {
            let (stream, tls) = connect();
            Client::with_tls(stream, Some(tls))
        };
        assert_eq!(idle.get("/f").body, b"found");
        clients.push(connect());
        clients.push(connect());
        let hello = clients[1].1.sealed_after(|_| Ok(())).expect("memory");
        (&clients[1].0)
            .write_all(&hello[..hello.len() / 2])
            .expect("it reads");
        rest.extend_from_slice(&hello[hello.len() / 2..]);
        clients.push(connect());
        clients[2]
            .1
            .shake_hands(&clients[2].0)
            .expect("a handshake");
        server.signal(Signal::SIGTERM);
        idle.expect_end();
        (&clients[1].0).write_all(&rest).expect("it reads");
        for (stream, tls) in clients {
            let mut client = Client::with_tls(stream, Some(tls));
            expect_answer(&mut client);
        }
        drop(idle);
        let (status, said) = server.wait();
        assert_eq!(status.code(), Some(0), "{said}");
    }
}
