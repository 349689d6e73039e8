//! The client of OpenSSL, and the example that serves one file.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use zc_core::ktls::probe;

use super::common::{assert_same_bytes, file_of, patterned};
use super::https_one_file::{self_signed, serve};

/// Serves a file of these bytes to the client that `ask` is; what it received, and who sealed it.
fn served(bytes: &[u8], ask: impl FnOnce(u16) -> Vec<u8> + Send) -> (Vec<u8>, &'static str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = self_signed().unwrap();
    let file = file_of(bytes);
    let fills_records = probe().unwrap().fills_records;
    thread::scope(|scope| {
        let client = scope.spawn(move || ask(port));
        let (socket, _) = listener.accept().unwrap();
        let by = serve(socket, &config, &file, fills_records).unwrap();
        (client.join().unwrap(), by)
    })
}

fn expected(bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        bytes.len()
    );
    [head.as_bytes(), bytes].concat()
}

fn sealed_by() -> &'static str {
    match probe().unwrap().refusal {
        None => "the kernel",
        Some(_) => "rustls",
    }
}

#[test]
fn the_client_of_openssl_reads_what_the_kernel_seals() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: no openssl");
        return;
    }
    let bytes = patterned(700_001, 9);
    for arguments in [
        ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"],
        ["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
        ["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
        ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
        ["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
    ] {
        let (received, by) = served(&bytes, |port| {
            let mut client = Command::new("openssl")
                .args(["s_client", "-quiet", "-connect"])
                .arg(format!("127.0.0.1:{port}"))
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // Its input stays open: at the end of it it would close the connection.
            let mut input = client.stdin.take().unwrap();
            input.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            let output = client.wait_with_output().unwrap();
            drop(input);
            output.stdout
        });
        assert_same_bytes(&received, &expected(&bytes));
        assert_eq!(by, sealed_by(), "{arguments:?}");
    }
}

#[test]
fn the_example_serves_a_file_with_the_kernel_and_without() {
    let bytes = patterned(300_000, 10);
    let (received, by) = served(&bytes, |port| {
        let mut config = rustls::ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(any::Certificate))
            .with_no_client_auth();
        config.enable_sni = false;
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut client = rustls::StreamOwned::new(connection, socket);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        received
    });
    assert_same_bytes(&received, &expected(&bytes));
    assert_eq!(by, sealed_by());
}

/// A client that trusts everybody.
mod any {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    pub(super) struct Certificate;

    impl ServerCertVerifier for Certificate {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            default_provider()
                .signature_verification_algorithms
                .supported_schemes()
        }
    }
}
