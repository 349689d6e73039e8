//! Our side of TLS against rustls' client, in memory.

use std::io::Write;
use std::sync::Arc;

use rustls::client::ClientConnection;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ContentType, ProtocolVersion, SupportedCipherSuite};
use zc_core::Progress;

use super::open::{Failed, Received};
use super::scene::{SCRATCH_BYTES, SUITES, Scene, configs};
use super::session::Session;

const TLS13_SUITE: SupportedCipherSuite = SUITES[0];

impl Scene {
    /// What the session has to tell without another read.
    pub(super) fn next(&mut self) -> Result<Received, Failed> {
        self.session.next(&mut self.scratch)
    }

    /// The session seals these bytes, the client opens them.
    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        let mut sent = 0;
        loop {
            assert_eq!(self.session.renew_keys(std::io::stdin()), Ok(true));
            self.carry_to_client();
            let sealing = self.session.seal_from(&mut sealed, 4, |slots| {
                sent += slots.put(&bytes[sent..]);
                Ok(Progress::BudgetSpent)
            });
            let (_, length) = sealing.expect("a record");
            let (now, kept) = sealed[..length].split_at(length / 3);
            self.deliver(now);
            self.session.keep(kept);
            self.carry_to_client();
            if sent == bytes.len() {
                return std::mem::take(&mut self.opened);
            }
        }
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index * 7 + index / 251) as u8)
        .collect()
}

/// What the session makes of these records.
fn received(session: &mut Session, records: &[u8]) -> Result<Received, Failed> {
    let mut scratch = vec![0; SCRATCH_BYTES];
    scratch[..records.len()].copy_from_slice(records);
    session.receive(&mut scratch, records.len())
}

#[test]
fn a_client_that_asks_for_an_address_names_no_server() {
    for suite in SUITES {
        let scene = Scene::asking_for("127.0.0.1", suite).shaken();
        let info = scene.session.info().expect("agreed on");
        assert_eq!(info.server_name, None);
    }
}

#[test]
fn bytes_come_and_go_with_every_version_and_cipher() {
    for suite in SUITES {
        let mut scene = Scene::established(suite);
        let info = scene.session.info().expect("it is open").clone();
        let name = suite
            .suite()
            .as_str()
            .map(|name| name.replace("TLS13_", "TLS_"));
        assert_eq!(Some(info.cipher), name.as_deref());
        let is_tls13 = suite.version().version == ProtocolVersion::TLSv1_3;
        assert_eq!(info.version, if is_tls13 { "1.3" } else { "1.2" });
        assert_eq!(info.server_name.as_deref(), Some("localhost"));
        assert!(!info.is_resumed);
        for length in [1, 100, 16_384, 16_385, 70_000, 0, 300_000] {
            let bytes = pattern(length);
            scene.client.writer().write_all(&bytes).expect("memory");
            let records = scene.client_output();
            assert!(
                scene.receive(&records).expect("records") == bytes,
                "{suite:?}"
            );
            assert!(scene.send(&bytes) == bytes, "{suite:?} {length}");
        }
    }
}

#[test]
fn a_connection_that_drips_is_understood() {
    for suite in [SUITES[0], SUITES[3]] {
        let mut scene = Scene::new(suite);
        let mut plain = Vec::new();
        scene
            .client
            .writer()
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .expect("memory");
        while plain.is_empty() {
            for byte in scene.client_output() {
                plain.extend(scene.receive(&[byte]).expect("a handshake"));
            }
            scene.carry_to_client();
        }
        assert_eq!(plain, b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(scene.send(b"ok"), b"ok");
    }
}

#[test]
fn requests_right_behind_the_handshake_are_not_lost() {
    for suite in SUITES {
        for length in [20, 40_000] {
            let mut scene = Scene::new(suite);
            let request = pattern(length);
            // It goes out with the last flight of the client.
            scene.client.writer().write_all(&request).expect("memory");
            let mut plain = Vec::new();
            while plain.len() < length {
                let bytes = scene.client_output();
                assert!(!bytes.is_empty(), "{suite:?}: {} of {length}", plain.len());
                plain.extend(scene.receive(&bytes).expect("records"));
                scene.carry_to_client();
            }
            assert!(plain == request);
            assert_eq!(scene.send(b"ok"), b"ok");
        }
    }
}

#[test]
fn a_client_that_closes_right_behind_the_handshake_has_its_request_read() {
    for suite in SUITES {
        let mut scene = Scene::new(suite);
        scene.client.writer().write_all(b"ask").expect("memory");
        let mut plain = Vec::new();
        while plain.is_empty() {
            if !scene.client.is_handshaking() {
                scene.client.send_close_notify();
            }
            let bytes = scene.client_output();
            assert!(!bytes.is_empty(), "{suite:?}");
            plain.extend(scene.receive(&bytes).expect("records"));
            scene.carry_to_client();
        }
        assert_eq!(plain, b"ask");
        assert_eq!(scene.session.next(&mut scene.scratch), Ok(Received::Closed));
        assert_eq!(scene.send(b"ok"), b"ok");
    }
}

#[test]
fn keys_are_renewed_when_the_client_wants_it() {
    let mut scene = Scene::established(TLS13_SUITE);
    for _ in 0..3 {
        scene.client.refresh_traffic_keys().expect("TLS 1.3");
        scene
            .client
            .writer()
            .write_all(b"a request")
            .expect("memory");
        let records = scene.client_output();
        assert_eq!(scene.receive(&records).expect("records"), b"a request");
        // The client opens them with its next keys alone.
        assert_eq!(scene.send(b"a response"), b"a response");
    }
}

#[test]
fn both_sides_close() {
    for suite in SUITES {
        let mut scene = Scene::established(suite);
        scene
            .client
            .writer()
            .write_all(b"the last")
            .expect("memory");
        scene.client.send_close_notify();
        let records = scene.client_output();
        assert_eq!(scene.receive(&records).expect("records"), b"the last");
        assert_eq!(scene.session.next(&mut scene.scratch), Ok(Received::Closed));
        // What it asked for it still gets.
        assert_eq!(scene.send(b"a response"), b"a response");
        scene.session.close();
        let output = scene.session.output().to_vec();
        scene.client.read_tls(&mut &output[..]).expect("memory");
        let state = scene.client.process_new_packets().expect("records");
        assert!(state.peer_has_closed());
    }
}

#[test]
fn a_forged_record_ends_the_connection_with_an_alert() {
    for suite in SUITES {
        let mut scene = Scene::established(suite);
        scene
            .client
            .writer()
            .write_all(b"a request")
            .expect("memory");
        let mut records = scene.client_output();
        *records.last_mut().expect("a record") ^= 1;
        assert_eq!(scene.receive(&records), Err(Failed));
        assert_eq!(scene.session.next(&mut scene.scratch), Err(Failed));
        let output = scene.session.output().to_vec();
        scene.client.read_tls(&mut &output[..]).expect("memory");
        let error = scene.client.process_new_packets().expect_err("an alert");
        assert_eq!(
            error,
            rustls::Error::AlertReceived(AlertDescription::BadRecordMac)
        );
        let sealing = scene
            .session
            .seal_from(&mut Vec::new(), 1, |_| Ok(Progress::Complete));
        assert!(sealing.is_err());
    }
}

#[test]
fn what_a_client_may_not_send_ends_the_connection() {
    let update = |request| [24, 0, 0, 1, request];
    let handshake = ContentType::Handshake;
    for suite in [SUITES[0], SUITES[3]] {
        let is_tls13 = suite.version().version == ProtocolVersion::TLSv1_3;
        for (content_type, bytes, is_allowed) in [
            (handshake, &update(0)[..], is_tls13),
            (handshake, &update(2), false),
            // Its last byte may come in the next record.
            (handshake, &update(0)[..4], is_tls13),
            (handshake, &[update(0), update(0)].concat(), false),
            // HelloRequest, and a ClientHello: renegotiation.
            (handshake, &[0, 0, 0, 0], false),
            (handshake, &[1, 0, 0, 2, 3, 3], false),
            (ContentType::ChangeCipherSpec, &[1], false),
            (ContentType::Alert, &[1], false),
            (ContentType::Alert, &[1, 0, 0], false),
            // user_canceled: close_notify follows.
            (ContentType::Alert, &[1, 90], true),
            (ContentType::Unknown(99), &[1], false),
        ] {
            let (mut session, mut sealer) = Scene::established(suite).sealer_of_client();
            let mut record = Vec::new();
            sealer
                .seal_into(content_type, bytes, &mut record)
                .expect("a record");
            let expected = if is_allowed {
                Ok(Received::Nothing)
            } else {
                Err(Failed)
            };
            assert_eq!(
                received(&mut session, &record),
                expected,
                "{suite:?} {content_type:?} {bytes:?}"
            );
        }
    }
}

#[test]
fn records_that_say_nothing_are_bounded() {
    let (mut session, mut sealer) = Scene::established(TLS13_SUITE).sealer_of_client();
    let mut empty = || {
        let (_, length) = sealer.layout(0);
        let mut record = vec![0; length];
        sealer
            .seal(ContentType::ApplicationData, &mut record)
            .expect("a record");
        record
    };
    for _ in 0..32 {
        assert_eq!(received(&mut session, &empty()), Ok(Received::Nothing));
    }
    assert_eq!(received(&mut session, &empty()), Err(Failed));
}

#[test]
fn a_record_that_is_too_long_is_refused_by_its_header() {
    for (suite, length, is_refused) in [
        (SUITES[0], 16_384 + 256, false),
        (SUITES[0], 16_384 + 257, true),
        (SUITES[3], 16_384 + 2048, false),
        (SUITES[3], 16_384 + 2049, true),
    ] {
        let mut scene = Scene::established(suite);
        let [high, low] = u16::to_be_bytes(length);
        let answer = scene.receive(&[23, 3, 3, high, low]);
        assert_eq!(answer.is_err(), is_refused, "{suite:?} {length}");
    }
    // In TLS 1.3 nothing comes in plain.
    let mut scene = Scene::established(TLS13_SUITE);
    assert_eq!(scene.receive(&[21, 3, 3, 0, 2, 1, 0]), Err(Failed));
}

#[test]
fn what_is_no_tls_is_given_back() {
    let mut scene = Scene::new(TLS13_SUITE);
    let request = b"GET / HTTP/1.1\r\n\r\n";
    scene.scratch[..request.len()].copy_from_slice(request);
    let received = scene.session.receive(&mut scene.scratch, request.len());
    assert_eq!(received, Ok(Received::NotTls(request.len())));
    assert!(scene.session.output().is_empty());
    // What begins like TLS is not.
    let mut scene = Scene::new(TLS13_SUITE);
    assert_eq!(scene.receive(&[22, 3, 1, 0, 5, 1, 2, 3, 4, 5]), Err(Failed));
}

#[test]
fn nobody_who_prints_a_session_sees_its_keys() {
    let scene = Scene::established(TLS13_SUITE);
    let printed = format!("{:?}", scene.session);
    let (_, sealer) = scene.sealer_of_client();
    let printed = format!("{printed}{sealer:?}");
    assert!(printed.contains("TLS_AES_128_GCM_SHA256"), "{printed}");
    assert!(
        [" key:", "secret", " iv:", "sealing:"]
            .iter()
            .all(|name| !printed.contains(name)),
        "{printed}"
    );
}

#[test]
fn a_suite_that_nobody_shares_ends_in_an_alert() {
    let mut scene = Scene::new(SUITES[1]);
    let (_, client) = configs(SUITES[0]);
    let name = ServerName::try_from("localhost").expect("a name");
    scene.client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let hello = scene.client_output();
    assert_eq!(scene.receive(&hello), Err(Failed));
    let alert = scene.session.output();
    assert_eq!(alert[..5], [21, 3, 3, 0, 2]);
    assert_eq!(alert[6], u8::from(AlertDescription::HandshakeFailure));
}

/// How long the plaintext of each of these records is, in TLS 1.3.
fn plain_lengths(mut records: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = records {
        let payload = usize::from(u16::from_be_bytes([*high, *low]));
        // Behind the plaintext stand its type and a tag.
        lengths.push(payload - 17);
        records = &rest[payload..];
    }
    lengths
}

#[test]
fn a_response_begins_with_short_records() {
    let mut scene = Scene::established(TLS13_SUITE);
    let body = pattern(200_000);
    let mut sealed = Vec::new();
    let mut seal = |scene: &mut Scene, at: &mut usize, full_records| {
        let sealing = scene.session.seal_from(&mut sealed, full_records, |slots| {
            *at += slots.put(&body[*at..]);
            Ok(Progress::BudgetSpent)
        });
        let (_, length) = sealing.expect("records");
        scene.deliver(&sealed[..length]);
        plain_lengths(&sealed[..length])
    };
    let full = 16_384;
    for _ in 0..2 {
        scene.client.writer().write_all(b"ask").expect("memory");
        let request = scene.client_output();
        assert_eq!(scene.receive(&request).expect("a record"), b"ask");
        let mut at = 0;
        let first = seal(&mut scene, &mut at, 4);
        assert_eq!(first, [4096, 10_240, full, full, full]);
        assert_eq!(seal(&mut scene, &mut at, 4), [full; 4]);
        assert_eq!(seal(&mut scene, &mut at, 1), [full]);
        assert!(
            scene.opened == body[..at],
            "what is opened is what was sealed"
        );
        scene.opened.clear();
    }
    // One that is sent slowly has them too.
    scene.client.writer().write_all(b"ask").expect("memory");
    let request = scene.client_output();
    scene.receive(&request).expect("a record");
    assert_eq!(seal(&mut scene, &mut 0, 1), [4096, 10_240, 2048]);
    assert_eq!(seal(&mut scene, &mut 0, 1), [full]);
}
