//! KeyUpdate of the client, which asks for new keys of the server too.

use zc_core::ktls::{Cipher, Version};

use super::client::{Client, End};
use super::harness::Server;
use super::{SMALL_BYTES, assert_same_bytes, has_module, patterned, start, wait_for_worker};

const LENGTH: usize = (4 << 20) + 99;
const CIPHERS: [Cipher; 3] = Cipher::ALL;

fn start_one() -> (Server, std::net::SocketAddr) {
    start(&[("long", LENGTH)], &[])
}

fn update_keys(client: &mut Client) {
    client.connection.refresh_traffic_keys().unwrap();
    client.flush();
}

#[test]
fn new_keys_before_a_long_body_are_used_by_the_kernel() {
    if !has_module() {
        return;
    }
    let (mut server, address) = start_one();
    for cipher in CIPHERS {
        // With the request, and before it.
        for is_apart in [false, true] {
            let mut client = Client::connect(address, (Version::Tls13, cipher), None);
            client.get("/small", "");
            update_keys(&mut client);
            if is_apart {
                wait_for_worker(&server);
            }
            let body = client.get("/long", "").body;
            assert_same_bytes(&body, &patterned(LENGTH));
            let line = super::log_of(&mut server, "/long");
            assert_eq!(line["send_path"], "ktls-sendfile", "{line}");
            assert_eq!(client.get("/small", "").status, 200);
        }
    }
}

#[test]
fn new_keys_during_a_long_body_are_used_behind_it_or_the_connection_ends_in_order() {
    if !has_module() {
        return;
    }
    let can_rekey = zc_core::ktls::probe().unwrap().rekeying;
    println!("the kernel can set new keys: {can_rekey}");
    let (mut server, address) = start_one();
    for cipher in CIPHERS {
        let suite = (Version::Tls13, cipher);
        let mut client = Client::connect(address, suite, Some(4096));
        client.ask("/long", "");
        client.read_up_to(300_000);
        update_keys(&mut client);
        assert_same_bytes(&client.response(false).body, &patterned(LENGTH));
        assert_eq!(super::log_of(&mut server, "/long")["outcome"], "complete");
        if can_rekey {
            for _ in 0..3 {
                assert_same_bytes(&client.get("/small", "").body, &patterned(SMALL_BYTES));
                update_keys(&mut client);
                assert_same_bytes(&client.get("/long", "").body, &patterned(LENGTH));
            }
        } else {
            assert_eq!(client.read_to_end(), End::Closed, "{cipher}");
            assert!(client.opened.is_empty());
        }
    }
}

#[test]
fn a_request_behind_new_keys_that_the_kernel_cannot_set_is_not_answered_and_nothing_is_lost() {
    if !has_module() || zc_core::ktls::probe().unwrap().rekeying {
        return;
    }
    let (_server, address) = start_one();
    for cipher in CIPHERS {
        let mut client = Client::connect(address, (Version::Tls13, cipher), Some(4096));
        client.ask("/long", "");
        client.read_up_to(300_000);
        update_keys(&mut client);
        client.ask("/small", "");
        assert_same_bytes(&client.response(false).body, &patterned(LENGTH));
        assert_eq!(
            (client.read_to_end(), client.opened.len()),
            (End::Closed, 0),
            "{cipher}"
        );
    }
}
