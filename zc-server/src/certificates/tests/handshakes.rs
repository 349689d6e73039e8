//! Handshakes in memory, by the configuration that workers get.

use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, NamedGroup,
    ProtocolVersion, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
    SupportedProtocolVersion, version,
};

use super::*;
use crate::config::tls::TlsVersion;

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// A client that trusts these certificates.
fn client(
    roots: &[CertificateDer<'static>],
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth()
}

/// Both sides at the end of a handshake.
fn shake(
    client: &Arc<ClientConfig>,
    name: &str,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name)?;
    let mut server = ServerConnection::new(server)?;
    // The last round brings tickets.
    for _ in 0..4 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

/// A directory with a pair for `localhost`, the acceptor of it, and what its clients trust.
fn localhost() -> (Directory, Acceptor, Vec<CertificateDer<'static>>) {
    let directory = Directory::new();
    let tls = directory.tls(&[("a", &["localhost"])]);
    let acceptor = acceptor(&tls);
    let root = directory.certificate("a");
    (directory, acceptor, vec![root])
}

#[test]
fn both_versions_are_spoken_with_the_preferred_group_and_protocol() {
    let (_directory, acceptor, roots) = localhost();
    for (versions, expected) in [
        (BOTH, ProtocolVersion::TLSv1_3),
        (&[&version::TLS12], ProtocolVersion::TLSv1_2),
    ] {
        let mut config = client(&roots, versions);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (client, server) = shake(&Arc::new(config), "localhost", acceptor.current()).unwrap();
        assert_eq!(server.protocol_version(), Some(expected));
        assert_eq!(server.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
        let group = server.negotiated_key_exchange_group().unwrap().name();
        let preferred = match expected {
            ProtocolVersion::TLSv1_3 => NamedGroup::X25519MLKEM768,
            _ => NamedGroup::X25519,
        };
        assert_eq!(group, preferred);
    }
}

#[test]
fn the_lowest_version_is_kept_to() {
    let (directory, _, roots) = localhost();
    let mut tls = directory.tls_of(&["a"]);
    tls.version_min = TlsVersion::Tls13;
    let acceptor = acceptor(&tls);
    let old = Arc::new(client(&roots, &[&version::TLS12]));
    let error = shake(&old, "localhost", acceptor.current()).unwrap_err();
    assert!(matches!(error, Error::PeerIncompatible(_)), "{error}");
    let new = Arc::new(client(&roots, BOTH));
    assert!(shake(&new, "localhost", acceptor.current()).is_ok());
}

#[test]
fn a_client_of_other_protocols_alone_is_refused_and_one_of_none_is_served() {
    let (_directory, acceptor, roots) = localhost();
    let mut config = client(&roots, BOTH);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let error = shake(&Arc::new(config), "localhost", acceptor.current()).unwrap_err();
    assert_eq!(error, Error::NoApplicationProtocol);
    let (_, server) = shake(
        &Arc::new(client(&roots, BOTH)),
        "localhost",
        acceptor.current(),
    )
    .unwrap();
    assert_eq!(server.alpn_protocol(), None);
}

#[test]
fn the_order_of_cipher_suites_is_that_of_the_client() {
    let (_directory, acceptor, roots) = localhost();
    let suites = default_provider().cipher_suites;
    for first in suites {
        let mut provider = default_provider();
        provider.cipher_suites.sort_by_key(|suite| *suite != first);
        let mut store = RootCertStore::empty();
        store.add(roots[0].clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(provider));
        let config = config.with_protocol_versions(BOTH).unwrap();
        let config = config.with_root_certificates(store).with_no_client_auth();
        let (_, server) = shake(&Arc::new(config), "localhost", acceptor.current()).unwrap();
        let is_13 = first.tls13().is_some();
        let chosen = server.negotiated_cipher_suite().unwrap();
        // One of TLS 1.2 is never chosen for both that have TLS 1.3.
        assert_eq!(chosen == first, is_13, "{first:?}: {chosen:?}");
    }
}

#[test]
fn a_session_is_resumed_on_another_worker_and_after_a_reload() {
    let (directory, acceptor, roots) = localhost();
    for versions in [&[&version::TLS13][..], &[&version::TLS12]] {
        let mut config = client(&roots, versions);
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        let kind = |acceptor: &Acceptor| {
            let (client, server) = shake(&config, "localhost", acceptor.current()).unwrap();
            assert_eq!(client.handshake_kind(), server.handshake_kind());
            server.handshake_kind().unwrap()
        };
        assert_eq!(kind(&acceptor), HandshakeKind::Full);
        assert_eq!(kind(&acceptor), HandshakeKind::Resumed);
        let before = acceptor.current();
        acceptor.reload().unwrap();
        assert!(!Arc::ptr_eq(&before, &acceptor.current()));
        assert_eq!(kind(&acceptor), HandshakeKind::Resumed);
    }
    // Another server has other keys.
    let other = super::acceptor(&directory.tls_of(&["a"]));
    let mut config = client(&roots, BOTH);
    config.resumption = Resumption::in_memory_sessions(8);
    let config = Arc::new(config);
    shake(&config, "localhost", acceptor.current()).unwrap();
    let (_, server) = shake(&config, "localhost", other.current()).unwrap();
    assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
}

#[test]
fn certificates_of_clients_are_required_and_checked() {
    let (directory, _, roots) = localhost();
    directory.authority("ca", "alice");
    directory.authority("other", "mallory");
    let mut tls = directory.tls_of(&["a"]);
    tls.client_ca = Some(directory.path("ca.pem"));
    let acceptor = acceptor(&tls);
    let config_of = |name: &str| {
        let mut store = RootCertStore::empty();
        store.add(roots[0].clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config
            .with_protocol_versions(BOTH)
            .unwrap()
            .with_root_certificates(store);
        let key = PrivateKeyDer::from_pem_file(directory.path(&format!("{name}.key"))).unwrap();
        let config = config.with_client_auth_cert(vec![directory.certificate(name)], key);
        Arc::new(config.unwrap())
    };
    let alice = config_of("alice");
    let (_, server) = shake(&alice, "localhost", acceptor.current()).unwrap();
    assert_eq!(
        server.peer_certificates().unwrap(),
        [directory.certificate("alice")]
    );
    let error = shake(&config_of("mallory"), "localhost", acceptor.current()).unwrap_err();
    assert!(matches!(error, Error::InvalidCertificate(_)), "{error}");
    let nobody = Arc::new(client(&roots, BOTH));
    let error = shake(&nobody, "localhost", acceptor.current()).unwrap_err();
    assert_eq!(error, Error::NoCertificatesPresented);
    // A ticket does not outlive the trust that it was given for.
    let (_, server) = shake(&alice, "localhost", acceptor.current()).unwrap();
    assert_eq!(server.handshake_kind(), Some(HandshakeKind::Resumed));
    fs::copy(directory.path("other.pem"), directory.path("ca.pem")).unwrap();
    acceptor.reload().unwrap();
    let error = shake(&alice, "localhost", acceptor.current()).unwrap_err();
    assert!(matches!(error, Error::InvalidCertificate(_)), "{error}");
    assert!(shake(&config_of("mallory"), "localhost", acceptor.current()).is_ok());
}

#[test]
fn the_name_chooses_the_certificate() {
    let directory = Directory::new();
    let tls = directory.tls(&[
        ("first", &["first.example"]),
        ("wild", &["*.Wild.example", "wild.example"]),
        ("exact", &["a.wild.example"]),
        ("again", &["first.example"]),
    ]);
    let acceptor = acceptor(&tls);
    let names = ["first", "wild", "exact", "again"];
    let roots = names.map(|name| directory.certificate(name));
    let chosen = |name: &str| {
        // Whether the name is in the certificate is not the question here.
        let resolver = by_name::ByName::new(&acceptor.shared.state().loaded.pairs);
        let indices = resolver.indices(Some(name)).to_vec();
        indices
            .iter()
            .map(|&index| names[index])
            .collect::<Vec<_>>()
    };
    assert_eq!(chosen("first.example"), ["first", "again"]);
    assert_eq!(chosen("wild.example"), ["wild"]);
    assert_eq!(chosen("b.wild.example"), ["wild"]);
    assert_eq!(chosen("a.wild.example"), ["exact"]);
    for other in ["c.b.wild.example", "second.example", "example", "localhost"] {
        assert_eq!(chosen(other), ["first"], "{other}");
    }
    for (name, expected) in [
        ("first.example", "first"),
        ("B.WILD.example", "wild"),
        ("a.wild.example", "exact"),
    ] {
        let config = Arc::new(client(&roots, BOTH));
        let (client, server) = shake(&config, name, acceptor.current()).unwrap();
        let sent = client.peer_certificates().unwrap()[0].clone();
        assert_eq!(sent, directory.certificate(expected), "{name}");
        assert_eq!(server.server_name(), Some(&*name.to_lowercase()));
    }
    // An address has no name, and gets the first certificate, which is not for it.
    let config = Arc::new(client(&roots, BOTH));
    let error = shake(&config, "127.0.0.1", acceptor.current()).unwrap_err();
    assert!(error.to_string().contains("first.example"), "{error}");
}

/// Takes every certificate, and keeps the OCSP response that came with it.
#[derive(Debug, Default)]
struct Stapled(Mutex<Vec<u8>>);

impl ServerCertVerifier for Stapled {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.0.lock().unwrap() = ocsp_response.to_owned();
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
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

#[test]
fn an_ocsp_response_is_sent_with_its_certificate() {
    let directory = Directory::new();
    directory.write("a.ocsp", b"\x30\x03\x0a\x01\x00");
    let mut tls = directory.tls(&[("a", &["localhost"])]);
    directory.set_ocsp(&mut tls, "a.ocsp");
    let acceptor = acceptor(&tls);
    let stapled = || {
        let verifier = Arc::new(Stapled::default());
        let mut config = client(&[], BOTH);
        let kept = Arc::clone(&verifier);
        config.dangerous().set_certificate_verifier(kept);
        shake(&Arc::new(config), "localhost", acceptor.current()).unwrap();
        verifier.0.lock().unwrap().clone()
    };
    assert_eq!(stapled(), b"\x30\x03\x0a\x01\x00");
    directory.write("a.ocsp", b"\x30\x05\x0a\x01\x00\x05\x00");
    acceptor.reload().unwrap();
    assert_eq!(stapled(), b"\x30\x05\x0a\x01\x00\x05\x00");
}

#[test]
fn a_self_signed_certificate_is_for_its_names_and_the_loopback_addresses() {
    let names = vec!["example.test".to_owned(), "*.example.test".to_owned()];
    let tls = Tls::new(Certificates::SelfSigned { names });
    let acceptor = acceptor(&tls);
    let leaf = acceptor.shared.state().loaded.pairs[0].certified.cert[0].clone();
    let config = Arc::new(client(&[leaf], BOTH));
    for name in ["example.test", "a.example.test", "127.0.0.1", "::1"] {
        shake(&config, name, acceptor.current()).expect(name);
    }
    assert!(shake(&config, "localhost", acceptor.current()).is_err());
}

#[test]
fn secrets_are_written_where_it_is_asked_for() {
    let (directory, _, roots) = localhost();
    let mut tls = directory.tls_of(&["a"]);
    tls.key_log = Some(directory.path("keys.log"));
    let started = Acceptor::start(&tls, diagnostics()).unwrap();
    assert_eq!(
        started.warnings()[0].to_string(),
        format!(
            "ALL CONNECTIONS CAN BE DECRYPTED by whoever reads `{}` (--tls-key-log)",
            directory.path("keys.log").display()
        )
    );
    let config = Arc::new(client(&roots, BOTH));
    shake(&config, "localhost", started.current()).unwrap();
    let log = fs::read_to_string(directory.path("keys.log")).unwrap();
    let line = log
        .lines()
        .find(|line| line.starts_with("SERVER_TRAFFIC_SECRET_0 "))
        .expect("a secret");
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words.len(), 3);
    assert!(words[1].len() == 64 && words[2].len() >= 64, "{line}");
    let found = fs::metadata(directory.path("keys.log")).unwrap();
    assert_eq!(found.mode() & 0o777, 0o600);
}
