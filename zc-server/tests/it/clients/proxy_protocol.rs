//! `--proxy-protocol`: headers as they come, in pieces, late, wrong, or not at all.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use nix::sys::signal::Signal;
use socket2::SockRef;

use super::{block, connect_behind, line};
use crate::harness::{Client, Server, binary, temp_root};

/// 192.0.2.7:4711 to 127.0.0.1:80.
const IPV4: [u8; 12] = [192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x67, 0, 80];

fn start(options: &[&str]) -> Server {
    let server = Server::start(&[&["--proxy-protocol"][..], options].concat());
    server.write("f", b"found");
    server
}

/// Headers, and the clients that they name.
fn headers() -> Vec<(Vec<u8>, &'static str)> {
    let mut ipv6 = [0; 36];
    ipv6[..16].copy_from_slice(&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    let long = [&IPV4[..], &[4; 4096 - 12]].concat();
    vec![
        (line("192.0.2.7"), "192.0.2.7"),
        (line("2001:db8::9"), "2001:db8::9"),
        (line("::ffff:192.0.2.7"), "192.0.2.7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (block(0x21, 0x11, &IPV4), "192.0.2.7"),
        (block(0x21, 0x21, &ipv6), "2001:db8::9"),
        (block(0x21, 0x11, &long), "192.0.2.7"),
        (block(0x20, 0x00, b""), "127.0.0.1"),
        (block(0x20, 0x11, &IPV4), "127.0.0.1"),
    ]
}

/// Asks, and compares the line of the log.
fn expect_client(server: &mut Server, client: &mut Client, named: &str) {
    let peer = client.stream.local_addr().expect("an address");
    assert_eq!(client.get("/f").body, b"found");
    let logged = server.log();
    assert_eq!(logged["client"], named);
    assert_eq!(logged["remote"], peer.to_string());
}

#[test]
fn the_client_that_a_header_names_is_in_the_log() {
    let mut server = start(&[]);
    for (header, named) in headers() {
        let mut client = connect_behind(&server, &header);
        // The whole connection is of that client.
        for _ in 0..3 {
            expect_client(&mut server, &mut client, named);
        }
    }
}

#[test]
fn what_comes_in_the_segment_of_the_header_is_taken() {
    let mut server = start(&[]);
    for (header, named) in headers() {
        let stream = TcpStream::connect(server.address).expect("the server accepts");
        // It waits in the socket for what comes next, the request or the handshake.
        let socket = SockRef::from(&stream);
        let sent = socket.send_with_flags(&header, nix::libc::MSG_MORE);
        assert_eq!(sent.expect("a new connection"), header.len());
        let mut client = server.client(stream);
        expect_client(&mut server, &mut client, named);
    }
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let mut server = start(&[]);
    let mut other = connect_behind(&server, &line("198.51.100.1"));
    for (header, named) in headers()
        .into_iter()
        .filter(|(header, _)| header.len() < 100)
    {
        let mut stream = TcpStream::connect(server.address).expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        for byte in header {
            stream.write_all(&[byte]).expect("the server reads");
            // The worker has had its turn.
            expect_client(&mut server, &mut other, "198.51.100.1");
        }
        let mut client = server.client(stream);
        expect_client(&mut server, &mut client, named);
    }
}

#[test]
fn each_worker_knows_the_client_of_a_connection_that_another_has_accepted() {
    const CLIENTS: u8 = 64;
    let mut server = start(&["--threads", "4"]);
    let name = |number| format!("192.0.2.{number}");
    // All at once, so that the workers share them out.
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|number| connect_behind(&server, &line(&name(number))))
        .collect();
    for client in &mut clients {
        assert_eq!(client.get("/f").body, b"found");
    }
    let logged = (0..CLIENTS).map(|_| server.log()["client"].as_str().expect("text").to_owned());
    let logged: BTreeSet<String> = logged.collect();
    assert_eq!(logged, (0..CLIENTS).map(name).collect());
}

/// Sends these bytes and no more. What comes before the connection ends, which it does.
fn answer_to(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).expect("the server accepts");
    // It may be refused before all is sent, and with a reset.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn a_connection_without_a_header_or_with_a_wrong_one_is_closed_and_told() {
    const GET: &[u8] = b"GET /f HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    let mut server = start(&[]);
    let absent = "it does not begin with a PROXY header";
    let malformed = "its PROXY header is malformed";
    let wrong_port = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 080\r\n";
    let too_long = block(0x21, 0x11, &[0; 4097]);
    for (header, reason, is_new) in [
        (&b""[..], absent, true),
        // The same address and reason are told once.
        (b"\x16\x03\x01\x02\x00", absent, false),
        (wrong_port, malformed, true),
        (&block(0x21, 0x11, &IPV4[1..]), malformed, false),
        (&too_long, "its PROXY header is too long", true),
    ] {
        let bytes = [header, GET].concat();
        assert_eq!(answer_to(&server, &bytes), b"", "{}", header.escape_ascii());
        if is_new {
            let said = server.said_with("PROXY protocol:");
            let expected = "zc-server: PROXY protocol: the connection from 127.0.0.1:";
            assert!(said.starts_with(expected), "{said}");
            assert!(
                said.ends_with(&format!(" was closed: {reason}\n")),
                "{said}"
            );
        }
    }
    // It serves who does as it is told.
    let mut client = connect_behind(&server, &line("192.0.2.7"));
    expect_client(&mut server, &mut client, "192.0.2.7");
}

#[test]
fn a_header_that_ends_early_or_late_is_told_and_silence_is_not() {
    let mut server = start(&["--header-timeout", "200ms", "--defer-accept", "off"]);
    let silent = TcpStream::connect(server.address).expect("the server accepts");
    drop(TcpStream::connect(server.address).expect("the server accepts"));
    let header = line("192.0.2.7");
    let mut late = TcpStream::connect(server.address).expect("the server accepts");
    late.write_all(&header[..10]).expect("a new connection");
    let mut end = Vec::new();
    let _ = late.read_to_end(&mut end);
    assert_eq!(end, b"");
    let said = server.said_with("PROXY protocol:");
    assert!(
        said.ends_with("its PROXY header took longer than --header-timeout\n"),
        "{said}"
    );
    let _ = (&silent).read_to_end(&mut end);
    assert_eq!(end, b"");

    let mut server = start(&[]);
    let mut cut = TcpStream::connect(server.address).expect("the server accepts");
    cut.write_all(&header[..10]).expect("a new connection");
    cut.shutdown(Shutdown::Write).expect("half-close");
    let _ = cut.read_to_end(&mut end);
    assert_eq!(end, b"");
    let said = server.said_with("PROXY protocol:");
    assert!(
        said.ends_with("it ended within its PROXY header\n"),
        "{said}"
    );
}

#[test]
fn many_wrong_headers_are_counted_and_few_told() {
    const COUNT: usize = 50;
    let server = start(&["--threads", "2"]);
    for _ in 0..COUNT {
        assert_eq!(answer_to(&server, b"GET / HTTP/1.0\r\n\r\n"), b"");
    }
    server.signal(Signal::SIGTERM);
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    assert_eq!(said.matches("the connection from ").count(), 1, "{said}");
    let more = format!(
        "PROXY protocol: {} more connections closed within a minute\n",
        COUNT - 1
    );
    assert!(said.contains(&more), "{said}");
}

#[test]
fn only_the_listener_that_is_named_expects_the_header() {
    let root = temp_root();
    std::fs::write(root.path().join("f"), b"found").expect("a file");
    let mut command = binary();
    command.args([
        "--threads",
        "1",
        "--access-log",
        "json",
        "--bind=127.0.0.1:0,127.0.0.2:0",
    ]);
    command
        .args(["--proxy-protocol=127.0.0.2:0"])
        .arg(root.path());
    let mut server = Server::start_from(command, root);
    let said = server.said_with("http://127.0.0.2:");
    let url = said
        .trim()
        .strip_suffix("/, behind the PROXY protocol")
        .expect("it is said");
    let proxied: SocketAddr = url
        .strip_prefix("http://")
        .expect("a URL")
        .parse()
        .expect("an address");
    assert_eq!(server.get("/f").body, b"found");
    assert_eq!(server.log()["client"], "127.0.0.1");
    let mut stream = TcpStream::connect(proxied).expect("the server accepts");
    stream
        .write_all(&line("192.0.2.7"))
        .expect("a new connection");
    let mut client = Client::plain(stream);
    expect_client(&mut server, &mut client, "192.0.2.7");
    // The header is no request where it is not expected.
    let mut client = server.connect();
    client.send(&line("192.0.2.7"));
    assert_eq!(client.response(false).status, 400);
}
