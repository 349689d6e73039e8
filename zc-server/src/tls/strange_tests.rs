//! What strangers may send: any records under the right keys, in any pieces, and handshakes with any byte changed.

use proptest::prelude::*;
use rustls::ContentType;

use super::open::{Failed, Received};
use super::tests::{SUITES, Scene};

/// A record of a client: its type, its plaintext, and which of its bytes is changed, if one is.
#[derive(Debug, Clone)]
struct Record {
    content_type: u8,
    plain: Vec<u8>,
    damage: Option<(prop::sample::Index, u8)>,
}

fn record() -> impl Strategy<Value = Record> {
    // Requests more often than anything else: what comes after the first error is not looked at.
    let content_type = prop_oneof![8 => Just(23), 1 => 20_u8..25, 1 => any::<u8>()];
    let plain = prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..200),
        1 => prop::collection::vec(any::<u8>(), 16_000..16_385),
        1 => Just(vec![24, 0, 0, 1, 0]),
        1 => Just(vec![24, 0, 0, 1, 1]),
        1 => Just(vec![1, 90]),
    ];
    let damage = prop::option::weighted(0.02, (any::<prop::sample::Index>(), 1_u8..));
    (content_type, plain, damage).prop_map(|(content_type, plain, damage)| Record {
        content_type,
        plain,
        damage,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn requests_come_in_order_up_to_the_first_record_that_is_wrong(
        suite in prop::sample::select(&SUITES[..]),
        records in prop::collection::vec(record(), 1..20),
        pieces in prop::collection::vec(1_usize..20_000, 1..8),
    ) {
        let (mut scene, mut sealer) = Scene::established(suite).with_sealer_of_client();
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        let mut is_right = true;
        for Record { content_type, plain, damage } in records {
            let start = stream.len();
            let (place, length) = sealer.layout(plain.len());
            stream.resize(start + length, 0);
            let sealed = &mut stream[start..];
            sealed[place].copy_from_slice(&plain);
            sealer.seal(ContentType::from(content_type), sealed).expect("a record");
            if let Some((index, bits)) = damage {
                *index.get_mut(sealed) ^= bits;
                is_right = false;
            }
            // Others may be right or wrong; what comes after the keys were changed is not sealed with them.
            is_right &= content_type == 23;
            if is_right {
                expected.extend_from_slice(&plain);
            }
        }
        let mut received = Vec::new();
        let mut sizes = pieces.iter().cycle();
        let mut rest = &stream[..];
        let mut has_failed = false;
        while !rest.is_empty() && !has_failed {
            let size = (*sizes.next().expect("a cycle")).min(rest.len());
            let (piece, later) = rest.split_at(size);
            rest = later;
            match scene.receive(piece) {
                Ok(plain) => received.extend(plain),
                Err(Failed) => has_failed = true,
            }
        }
        // What comes together with what is wrong may be lost with it.
        let common = received.len().min(expected.len());
        prop_assert!(received[..common] == expected[..common]);
        prop_assert!(has_failed || received.len() >= expected.len());
        if has_failed {
            prop_assert_eq!(scene.next(), Err(Failed));
        }
    }

    #[test]
    fn a_handshake_with_any_byte_changed_ends_or_goes_on(
        suite in prop::sample::select(&SUITES[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        is_second_flight in any::<bool>(),
    ) {
        let mut scene = Scene::new(suite);
        if is_second_flight {
            let hello = scene.client_output();
            prop_assert!(scene.receive(&hello).is_ok());
            scene.carry_to_client();
        }
        let mut flight = scene.client_output();
        for (index, byte) in changes {
            *index.get_mut(&mut flight) = byte;
        }
        if let Some(cut) = cut {
            flight.truncate(cut.index(flight.len()));
        }
        // Whatever becomes of it: nobody panics, and what has failed stays so.
        let first = flight.first().copied();
        if first == Some(22) || is_second_flight {
            if scene.receive(&flight).is_err() {
                prop_assert_eq!(scene.next(), Err(Failed));
            }
        } else {
            prop_assert!(scene.next() == Ok(Received::Nothing));
        }
    }
}
