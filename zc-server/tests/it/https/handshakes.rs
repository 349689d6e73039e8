//! Handshakes: of peers that are no TLS, that send anything else, of many at once, and resumed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{VERSIONS, Version, client_hello, connect, connect_with};
use crate::admin::Watched;
use crate::harness::tls::client_config;
use crate::harness::{Client, HANG, Server, pattern};

const MUTATIONS: u64 = 1000;
const AT_ONCE: usize = 1000;

/// Sends these bytes, and nothing more; what comes is read to its end.
pub(super) fn send_alone(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).expect("the server accepts");
    stream.set_read_timeout(Some(HANG)).expect("a timeout");
    // A server that has refused it already may reset the connection.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("it hangs"),
        _ => answer,
    }
}

fn assert_serves(server: &Server) {
    for version in VERSIONS {
        let mut client = connect(server, version);
        assert_eq!(client.get("/f").body, b"found");
    }
}

fn start(options: &[&str]) -> Server {
    let server = Server::start_https(options);
    server.write("f", b"found");
    server
}

#[test]
fn http_on_the_port_of_https_gets_an_answer_that_can_be_read() {
    let server = start(&[]);
    for request in [
        "GET /f HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /f HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\nbody",
    ] {
        let stream = TcpStream::connect(server.address).expect("the server accepts");
        let mut client = Client::plain(stream);
        client.send(request.as_bytes());
        let response = client.response(false);
        assert_eq!(response.status, 400);
        let said = String::from_utf8(response.body).expect("UTF-8");
        assert!(
            said.contains("https://") || said.contains("HTTPS"),
            "{said}"
        );
        client.expect_end();
    }
    for garbage in [&b"\0\0\0\0"[..], b"SSH-2.0-x\r\n", &[0x80, 46, 1, 3, 1, 0]] {
        send_alone(&server, garbage);
    }
    assert_serves(&server);
}

#[test]
fn tls_on_the_port_of_http_is_refused() {
    let server = start(&[]);
    for version in VERSIONS {
        let stream = TcpStream::connect(server.plain_address).expect("the server accepts");
        let mut client = Client::plain(stream);
        client.send(&client_hello(version));
        assert_eq!(client.response(false).status, 400);
        client.expect_end();
    }
}

#[test]
fn a_handshake_that_is_cut_or_changed_anywhere_harms_nobody() {
    let server = start(&["--threads", "2"]);
    for version in VERSIONS {
        let hello = client_hello(version);
        for length in (0..hello.len()).step_by(13) {
            send_alone(&server, &hello[..length]);
        }
        for seed in 1..=MUTATIONS / 2 {
            let noise = pattern(32, seed);
            let mut bytes = hello.clone();
            for change in noise.chunks_exact(4).take(1 + usize::from(noise[31] % 7)) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
                match change[2] % 4 {
                    0 => bytes[at] = change[3],
                    1 => bytes[at] ^= 1 << (change[3] % 8),
                    2 => bytes.insert(at, change[3]),
                    _ => drop(bytes.remove(at)),
                }
            }
            let answer = send_alone(&server, &bytes);
            // Records, an alert of plain TLS, or a refusal in plain; no record of data.
            let is_known = matches!(answer.first(), None | Some(21 | 22 | b'H'));
            assert!(is_known, "seed {seed}: {answer:?}");
        }
    }
    // Behind a handshake that is right, records that are not.
    for version in VERSIONS {
        for seed in 1..50 {
            let mut client = connect(&server, version);
            client.shake_hands();
            let mut record = client.tls().sealed(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
            let noise = pattern(8, seed);
            let at = usize::from(noise[0]) % record.len();
            record[at] ^= 1 << (noise[1] % 8);
            let _ = client.stream.write_all(&record);
            let _ = client.stream.shutdown(Shutdown::Write);
            let response = client.try_response(false);
            assert!(response.is_err(), "seed {seed}: a forgery is answered");
        }
    }
    assert_serves(&server);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!said.contains("panic"), "{said}");
}

#[test]
fn a_thousand_handshakes_at_once_hold_up_nobody() {
    let server = start(&["--threads", "2"]);
    for version in VERSIONS {
        let hello = client_hello(version);
        let mut hot = connect(&server, version);
        assert_eq!(hot.get("/f").body, b"found");
        let mut clients: Vec<_> = (0..AT_ONCE).map(|_| connect(&server, version)).collect();
        // Half of them say no more than this: a handshake is made, and nobody reads what it says.
        let silent: Vec<_> = clients.drain(AT_ONCE / 2..).collect();
        for client in &silent {
            (&client.stream)
                .write_all(&hello)
                .expect("the server reads");
        }
        let answered = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let answered = &answered;
            let waiting = scope.spawn(move || {
                for client in &mut clients {
                    assert_eq!(client.get("/f").body, b"found");
                }
            });
            while !waiting.is_finished() {
                assert_eq!(hot.get("/f").body, b"found");
                answered.fetch_add(1, Ordering::Relaxed);
            }
            waiting.join().expect("all of them");
        });
        println!(
            "{} hot requests meanwhile",
            answered.load(Ordering::Relaxed)
        );
        drop(silent);
        assert_eq!(hot.get("/f").body, b"found");
    }
}

/// Asks on so many new connections, one after the other; how many were resumed.
fn resumed(server: &mut Server, version: Version, connections: usize) -> usize {
    let config = Arc::new(client_config(version));
    let mut resumed = 0;
    for _ in 0..connections {
        let mut client = connect_with(server, Arc::clone(&config));
        assert_eq!(client.get("/f").body, b"found");
        let log = server.log();
        resumed += usize::from(log["resumed"] == true);
        let expected = if version.version == VERSIONS[0].version {
            "1.3"
        } else {
            "1.2"
        };
        assert_eq!(log["tls"], expected, "{log}");
        assert_eq!(log["sni"], "localhost", "{log}");
    }
    resumed
}

#[test]
fn a_ticket_of_one_worker_is_good_for_all() {
    let mut server = start(&["--threads", "4"]);
    for version in VERSIONS {
        assert_eq!(resumed(&mut server, version, 17), 16);
    }
}

#[test]
fn full_handshakes_and_resumed_ones_are_counted() {
    let mut watched = Watched::of(start(&["--admin-bind", "127.0.0.1:0"]));
    for version in VERSIONS {
        assert_eq!(resumed(&mut watched.server, version, 4), 3);
    }
    for (result, number) in [("full", 2.0), ("resumed", 6.0), ("failed", 0.0)] {
        let name = format!("zc_tls_handshakes_total{{result=\"{result}\"}}");
        watched.wait_for(&name, number);
    }
}

#[test]
fn who_defers_an_accept_gets_the_handshake_all_the_same() {
    for defer in ["on", "off"] {
        let mut server = start(&["--defer-accept", defer]);
        for version in VERSIONS {
            assert_eq!(resumed(&mut server, version, 3), 2);
        }
    }
}

#[test]
fn clients_over_the_limit_shake_hands_when_there_is_room() {
    let server = start(&["--max-connections", "2"]);
    for version in VERSIONS {
        // Each has a part of its next request under way at any time: idle ones would make room.
        let ask = |client: &mut Client| {
            client.send(b"Host: t\r\n\r\nGET /f HTTP/1.1\r\n");
            assert_eq!(client.response(false).status, 200);
        };
        let mut clients = [connect(&server, version), connect(&server, version)];
        for client in &mut clients {
            client.send(b"GET /f HTTP/1.1\r\n");
            ask(client);
        }
        let [mut first, second] = clients;
        let mut third = connect(&server, version);
        std::thread::scope(|scope| {
            let third = scope.spawn(move || third.get("/f").status);
            for _ in 0..100 {
                ask(&mut first);
            }
            assert!(!third.is_finished(), "there is no room");
            drop(second);
            assert_eq!(third.join().expect("no panic"), 200);
        });
    }
}
