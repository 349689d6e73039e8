//! Records behind a right handshake, sealed by the right keys, that are strange: they are taken where RFC 8446 and
//! RFC 5246 allow them, and refused by the alert that the two ask for.

use rustls::{AlertDescription, ContentType};

use super::raw::RawClient;
use super::{VERSIONS, Version, connect};
use crate::harness::{Server, pattern};

const GET: &[u8] = b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n";
const RECORD: usize = 1 << 14;
/// KeyUpdate that asks for the same, and that does not.
const UPDATE_BOTH: [u8; 5] = [24, 0, 0, 1, 1];
const UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

type Record<'a> = (ContentType, &'a [u8]);

fn start() -> Server {
    let server = Server::start_https(&[]);
    server.write("f", b"found");
    server
}

fn assert_found(client: &mut RawClient) {
    let (content_type, plain) = client.receive().expect("a response");
    assert_eq!(content_type, ContentType::ApplicationData);
    assert!(plain.ends_with(b"\r\n\r\nfound"));
}

/// The connection ends with this alert, and with nothing else.
fn assert_refused(
    server: &Server,
    version: Version,
    records: &[Record<'_>],
    alert: AlertDescription,
) {
    let mut client = RawClient::shaken(server, version);
    // Answered: the handshake is over for the server as well.
    client.send(ContentType::ApplicationData, GET);
    assert_found(&mut client);
    for &(content_type, plain) in records {
        client.send(content_type, plain);
    }
    let what = format!("{:?} {:?}", version.version, records.last());
    let refusal = (ContentType::Alert, vec![2, alert.into()]);
    assert_eq!(client.receive(), Some(refusal), "{what}");
    assert_eq!(client.receive(), None, "{what}");
}

#[test]
fn a_key_update_right_behind_the_handshake_is_answered() {
    let server = start();
    for update in [UPDATE, UPDATE_BOTH] {
        let mut client = RawClient::shaken(&server, VERSIONS[0]);
        client.send(ContentType::Handshake, &update);
        client.use_next_key();
        client.send(ContentType::ApplicationData, GET);
        assert_found(&mut client);
    }
}

#[test]
fn a_key_update_may_come_in_several_records() {
    let server = start();
    for pieces in [
        &[&UPDATE_BOTH[..]][..],
        &[&[24], &[0, 0, 1, 1]],
        &[&[24, 0, 0, 1], &[1]],
        &[&[24], &[0], &[0], &[1], &[1]],
    ] {
        let mut client = RawClient::shaken(&server, VERSIONS[0]);
        for _ in 0..3 {
            for piece in pieces {
                client.send(ContentType::Handshake, piece);
            }
            client.use_next_key();
            client.send(ContentType::ApplicationData, GET);
            assert_found(&mut client);
        }
    }
}

#[test]
fn padding_is_dropped_up_to_the_longest_record() {
    let server = start();
    for (plain, padding) in [(GET, 1), (GET, RECORD - GET.len()), (b"", RECORD)] {
        let mut client = RawClient::shaken(&server, VERSIONS[0]);
        client.send_padded(ContentType::ApplicationData, plain, padding);
        if plain.is_empty() {
            client.send(ContentType::ApplicationData, GET);
        }
        assert_found(&mut client);
        client.send_padded(ContentType::Handshake, &UPDATE, 1000);
        client.use_next_key();
        client.send(ContentType::ApplicationData, GET);
        assert_found(&mut client);
        client.send_padded(ContentType::ApplicationData, b"", RECORD + 1);
        let overflow = vec![2, AlertDescription::RecordOverflow.into()];
        assert_eq!(client.receive(), Some((ContentType::Alert, overflow)));
    }
}

#[test]
fn what_a_client_may_not_send_is_refused_by_the_alert_of_the_standard() {
    use AlertDescription as Alert;
    use ContentType as Type;
    let server = start();
    let long = pattern(RECORD + 1, 1);
    let empty = [(Type::ApplicationData, &b""[..]); 33];
    for version in VERSIONS {
        for (records, alert) in [
            (
                &[(Type::ApplicationData, &long[..])][..],
                Alert::RecordOverflow,
            ),
            (&[(Type::Unknown(99), b"x")], Alert::UnexpectedMessage),
            (&[(Type::Heartbeat, b"x")], Alert::UnexpectedMessage),
            (&[(Type::Handshake, b"")], Alert::UnexpectedMessage),
            (&[(Type::Alert, &[1])], Alert::DecodeError),
            (&[(Type::Alert, &[1, 90, 1, 0])], Alert::DecodeError),
            // HelloRequest, ClientHello, NewSessionTicket, Certificate, Finished.
            (
                &[(Type::Handshake, &[0, 0, 0, 0])],
                Alert::UnexpectedMessage,
            ),
            (
                &[(Type::Handshake, &[1, 0, 0, 2, 3, 3])],
                Alert::UnexpectedMessage,
            ),
            (
                &[(Type::Handshake, &[4, 0, 0, 1, 0])],
                Alert::UnexpectedMessage,
            ),
            (
                &[(Type::Handshake, &[11, 0, 0, 1, 0])],
                Alert::UnexpectedMessage,
            ),
            (
                &[(Type::Handshake, &[20, 0, 0, 1, 0])],
                Alert::UnexpectedMessage,
            ),
            (&empty, Alert::UnexpectedMessage),
        ] {
            assert_refused(&server, version, records, alert);
        }
    }
    let mut client = connect(&server, VERSIONS[0]);
    assert_eq!(client.get("/f").body, b"found", "the server lives on");
}

#[test]
fn what_is_no_key_update_is_refused_by_the_alert_of_the_standard() {
    use AlertDescription as Alert;
    use ContentType as Type;
    let server = start();
    let two = [UPDATE, UPDATE].concat();
    for (records, alert) in [
        (&[(Type::Alert, &b""[..])][..], Alert::UnexpectedMessage),
        (
            &[(Type::Handshake, &[24, 0, 0, 1, 2])],
            Alert::IllegalParameter,
        ),
        (&[(Type::Handshake, &[24, 0, 0, 0])], Alert::DecodeError),
        (
            &[(Type::Handshake, &[24, 0, 0, 2, 0, 0])],
            Alert::DecodeError,
        ),
        (&[(Type::Handshake, &[24, 255])], Alert::DecodeError),
        // A key may not change within a record.
        (&[(Type::Handshake, &two)], Alert::UnexpectedMessage),
        (&[(Type::Handshake, &two[..6])], Alert::UnexpectedMessage),
        (
            &[(Type::Handshake, &two[..3]), (Type::Handshake, &two[3..6])],
            Alert::UnexpectedMessage,
        ),
        // Nor may anything stand in the middle of a message.
        (
            &[(Type::Handshake, &[24, 0]), (Type::ApplicationData, GET)],
            Alert::UnexpectedMessage,
        ),
        (
            &[(Type::Handshake, &[24, 0]), (Type::ApplicationData, b"")],
            Alert::UnexpectedMessage,
        ),
        (
            &[(Type::Handshake, &[24, 0]), (Type::Alert, &[1, 0])],
            Alert::UnexpectedMessage,
        ),
        // By a key that is over.
        (
            &[(Type::Handshake, &UPDATE), (Type::ApplicationData, GET)],
            Alert::BadRecordMac,
        ),
    ] {
        assert_refused(&server, VERSIONS[0], records, alert);
    }
    assert_refused(
        &server,
        VERSIONS[1],
        &[(Type::Handshake, &UPDATE)],
        Alert::UnexpectedMessage,
    );
}

/// A socket that is closed with bytes unread resets the connection, which takes the alert from some clients.
#[test]
fn a_client_that_is_refused_may_talk_on() {
    let server = start();
    for version in VERSIONS {
        let mut client = RawClient::shaken(&server, version);
        client.send(ContentType::Unknown(99), b"x");
        let alert = AlertDescription::UnexpectedMessage.into();
        assert_eq!(client.receive(), Some((ContentType::Alert, vec![2, alert])));
        assert_eq!(client.receive(), None);
        client.talk_on(&pattern(4 << 20, 1)).expect("no reset");
    }
}
