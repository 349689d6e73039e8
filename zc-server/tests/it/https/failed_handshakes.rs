//! Handshakes that fail: what the operator is told.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::Arc;

use nix::sys::signal::Signal;
use rcgen::{CertificateParams, DistinguishedName, date_time_ymd};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::client_certificates::{Authority, config_with};
use super::handshakes::send_alone;
use super::{VERSIONS, client_hello, connect_with};
use crate::harness::Server;
use crate::harness::clients::Home;
use crate::harness::tls::client_config;

/// Makes a handshake, as far as it goes; answers the address of the client.
fn shake(server: &Server, config: ClientConfig) -> SocketAddr {
    let mut client = connect_with(server, Arc::new(config));
    // With TLS 1.3 it is over for the client before the server refuses it.
    let _ = client.tls().shake_hands(&client.stream);
    let _ = client.try_response(false);
    client.stream.local_addr().expect("an address")
}

/// Connects and sends these bytes.
fn send(server: &Server, bytes: &[u8]) -> (TcpStream, SocketAddr) {
    let mut stream = TcpStream::connect(server.address).expect("the server accepts");
    stream.write_all(bytes).expect("a new connection");
    let address = stream.local_addr().expect("an address");
    (stream, address)
}

/// Reads standard error up to the line about a handshake, which must be this one.
fn expect_told(server: &mut Server, client: SocketAddr, name: &str, reason: &str) {
    let said = server.said_with("handshake");
    let expected =
        format!("zc-server: HTTPS: the handshake with {client}{name} failed: {reason}\n");
    assert_eq!(said, expected);
}

#[test]
fn a_client_that_refuses_the_certificate_is_told_with_its_alert() {
    for version in VERSIONS {
        let mut server = Server::start_https(&[]);
        let mut config = client_config(version);
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
            Arc::new(other_roots()),
            Arc::clone(config.crypto_provider()),
        );
        let verifier = verifier.build().expect("a root");
        config.dangerous().set_certificate_verifier(verifier);
        let client = shake(&server, config);
        let reason = "the client refused the certificate (alert unknown_ca)";
        expect_told(&mut server, client, " for localhost", reason);
    }
}

/// An authority that has not signed the certificate of any server.
fn other_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots
        .add(Authority::new("another").der())
        .expect("a certificate");
    roots
}

#[test]
fn what_client_and_server_have_not_in_common_is_told() {
    let mut server = Server::start_https(&["--tls-min", "1.3"]);
    let client = shake(&server, client_config(&TLS12));
    let reason = "no protocol version in common: the client offers TLS 1.2 at most";
    expect_told(&mut server, client, "", reason);
    for version in VERSIONS {
        let mut server = Server::start_https(&[]);
        let mut config = client_config(version);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let client = shake(&server, config);
        let reason = "no application protocol in common: the client does not offer http/1.1";
        expect_told(&mut server, client, " for localhost", reason);
    }
}

#[test]
fn an_old_client_of_openssl_is_told_with_what_it_lacks() {
    let Some(home) = Home::for_clients(&["openssl"]) else {
        return;
    };
    for (options, name, reason) in [
        (
            ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            "",
            "no protocol version in common: the client offers TLS 1.1 at most",
        ),
        (
            ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
            " for localhost",
            "no cipher suite in common",
        ),
    ] {
        let mut server = Server::start_https(&[]);
        let mut command = home.command("openssl");
        command.args(["s_client", "-servername", "localhost", "-connect"]);
        command.arg(server.address.to_string()).args(options);
        let output = command.stdin(Stdio::null()).output().expect("it starts");
        assert!(!output.status.success(), "{options:?}");
        let said = server.said_with("handshake");
        let told = said.strip_prefix("zc-server: HTTPS: the handshake with 127.0.0.1:");
        let told = told
            .expect("an address")
            .trim_start_matches(char::is_numeric);
        assert_eq!(told, format!("{name} failed: {reason}\n"), "{options:?}");
    }
}

#[test]
fn a_client_without_the_right_certificate_is_told() {
    let authority = Authority::new("authority of clients");
    let mut expired = CertificateParams::new([]).expect("no names");
    expired.not_after = date_time_ymd(2020, 1, 1);
    let expired = authority.sign_as(&expired);
    let foreign = Authority::new("another").sign(DistinguishedName::new());
    for version in VERSIONS {
        let mut server = authority.server();
        for (certificate, reason) in [
            (
                None,
                "the client has no certificate, and --tls-client-ca wants one",
            ),
            (
                Some(&foreign),
                "the certificate of the client was refused: no authority of --tls-client-ca has signed it",
            ),
            (
                Some(&expired),
                "the certificate of the client was refused: it has expired",
            ),
        ] {
            let config = Arc::unwrap_or_clone(config_with(version, certificate));
            let client = shake(&server, config);
            expect_told(&mut server, client, " for localhost", reason);
        }
    }
}

#[test]
fn what_is_no_handshake_is_told() {
    let mut server = Server::start_https(&[]);
    for (bytes, reason) in [
        (
            &b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"[..],
            "the client speaks HTTP without TLS",
        ),
        (b"SSH-2.0-x\r\n", "what the client sent first is not TLS"),
        (
            &[22, 3, 1, 0, 4, 9, 0, 0, 0],
            "received unexpected handshake message: got HandshakeType(0x9) when expecting ClientHello",
        ),
    ] {
        let (_stream, client) = send(&server, bytes);
        expect_told(&mut server, client, "", reason);
    }
}

#[test]
fn a_client_that_leaves_is_told_once_its_handshake_has_begun() {
    for version in VERSIONS {
        let mut server = Server::start_https(&[]);
        let hello = client_hello(version);
        drop(TcpStream::connect(server.address).expect("the server accepts"));
        let (stream, client) = send(&server, &hello[..hello.len() / 2]);
        drop(stream);
        let reason = "the client closed the connection";
        expect_told(&mut server, client, "", reason);
    }
    // With bytes that it has not read, the client sends a reset.
    let mut server = Server::start_https(&[]);
    let (stream, client) = send(&server, &client_hello(&TLS13));
    let mut first = [0];
    stream.peek(&mut first).expect("its answer");
    drop(stream);
    let reason = "the client closed the connection";
    expect_told(&mut server, client, " for localhost", reason);
}

#[test]
fn a_handshake_that_takes_too_long_is_told() {
    let options = ["--handshake-timeout", "300ms", "--defer-accept", "off"];
    let mut server = Server::start_https(&options);
    // Of this one nothing has come.
    let silent = TcpStream::connect(server.address).expect("the server accepts");
    let hello = client_hello(&TLS13);
    let (stream, client) = send(&server, &hello[..hello.len() - 1]);
    let reason = "it took longer than --handshake-timeout";
    expect_told(&mut server, client, "", reason);
    drop((silent, stream));
}

#[test]
fn many_failures_are_counted_and_few_told() {
    const KINDS: u8 = 20;
    const EACH: usize = 10;
    let server = Server::start_https(&["--threads", "2"]);
    for kind in 0..KINDS {
        for _ in 0..EACH {
            // A message without content, of another type for each kind.
            send_alone(&server, &[22, 3, 1, 0, 4, kind, 0, 0, 0]);
        }
    }
    // A connection that brings nothing is no handshake.
    send_alone(&server, b"");
    server.signal(Signal::SIGTERM);
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    let told = said.matches("HTTPS: the handshake with ").count();
    let more = said.lines().filter_map(|line| {
        let more = line.strip_prefix("zc-server: HTTPS: ")?;
        let more = more.strip_suffix(" more handshakes failed within a minute")?;
        Some(more.parse::<usize>().expect("a number"))
    });
    let more: usize = more.sum();
    assert_eq!(told + more, usize::from(KINDS) * EACH, "{said}");
    assert!(more > told, "{said}");
    assert!(!said.contains("suppressed"), "{said}");
}
