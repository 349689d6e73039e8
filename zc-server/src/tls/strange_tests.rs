//! What strangers may send: any records under the right keys, in any pieces, and handshakes with any byte changed.

use proptest::prelude::*;

use super::open::{Failed, Received};
use super::scene::{SUITES, Scene};
use super::strange::{Piece, check, check_bytes};

fn record() -> impl Strategy<Value = Piece> {
    // Requests more often than anything else: what comes after the first error is not looked at.
    let content_type = prop_oneof![8 => Just(23), 1 => 20_u8..25, 1 => any::<u8>()];
    let plain = prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..200),
        1 => prop::collection::vec(any::<u8>(), 16_000..16_385),
        1 => Just(vec![24, 0, 0, 1, 0]),
        1 => Just(vec![24, 0, 0, 1, 1]),
        1 => Just(vec![1, 90]),
    ];
    let damage = prop::option::weighted(0.02, (any::<usize>(), 1_u8..));
    (content_type, plain, damage).prop_map(|(content_type, plain, damage)| Piece::Record {
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
        sizes in prop::collection::vec(1_usize..20_000, 1..8),
    ) {
        check(suite, &records, &sizes);
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

#[test]
fn every_saved_input_of_the_fuzzer_keeps_every_promise() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/tls_records");
    let entries = std::fs::read_dir(corpus).expect("a directory of the repository");
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a file");
        let outcome = std::panic::catch_unwind(|| check_bytes(&bytes));
        assert!(outcome.is_ok(), "a promise is broken by {}", path.display());
        count += 1;
    }
    assert!(count > 0, "no corpus");
    check_bytes(b"");
}
