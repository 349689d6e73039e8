//! The header of the PROXY protocol, and the decisions about clients.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::proxy::{HEADER_BYTES_MAX, Preamble, WrongPreamble, parse};
use super::*;

/// What both parsers promise of the bytes that a connection begins with.
fn check(bytes: &[u8]) {
    oracle::compare(bytes, strange::check(bytes));
}

fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("it fits");
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend(length.to_be_bytes());
    header.extend(block);
    header
}

/// 192.0.2.1:4711 to 198.51.100.1:80.
const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0, 80];

fn ipv6() -> Vec<u8> {
    let mut block = vec![0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    block.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    block.extend([0x12, 0x67, 0, 80]);
    block
}

#[track_caller]
fn expect(bytes: &[u8], client: Option<&str>) {
    let client: Option<SocketAddr> = client.map(|text| text.parse().expect(text));
    let length = bytes.len();
    for behind in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"\n"] {
        let bytes = [bytes, behind].concat();
        let found = parse(&bytes);
        assert_eq!(
            found,
            Ok(Preamble::Header { length, client }),
            "{}",
            bytes.escape_ascii()
        );
        check(&bytes);
    }
}

#[track_caller]
fn expect_wrong(bytes: &[u8], wrong: WrongPreamble) {
    assert_eq!(parse(bytes), Err(wrong), "{}", bytes.escape_ascii());
    check(bytes);
}

#[test]
fn a_header_names_the_client_or_leaves_it_to_the_peer() {
    expect(
        b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\r\n",
        Some("192.0.2.1:4711"),
    );
    expect(
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        Some("255.255.255.255:65535"),
    );
    expect(
        b"PROXY TCP6 2001:db8::1 fd00::2 4711 0\r\n",
        Some("[2001:db8::1]:4711"),
    );
    expect(
        b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 4711 80\r\n",
        Some("192.0.2.1:4711"),
    );
    let longest = ["ffff"; 8].join(":");
    let line = format!("PROXY TCP6 {longest} {longest} 65535 65535\r\n");
    expect(line.as_bytes(), Some(&format!("[{longest}]:65535")));
    expect(b"PROXY UNKNOWN\r\n", None);
    expect(b"PROXY UNKNOWN ffff:: ::1 65535 65535\r\n", None);
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(longest.len(), 107);
    expect(longest.as_bytes(), None);

    expect(&binary(0x21, 0x11, &IPV4), Some("192.0.2.1:4711"));
    expect(&binary(0x21, 0x21, &ipv6()), Some("[2001:db8::1]:4711"));
    let with_more = [&IPV4[..], &[4; 500]].concat();
    expect(&binary(0x21, 0x11, &with_more), Some("192.0.2.1:4711"));
    let longest = [&IPV4[..], &[0; 4096 - 12]].concat();
    expect(&binary(0x21, 0x11, &longest), Some("192.0.2.1:4711"));
    // Datagrams, sockets of another kind, nothing, and connections of the proxy itself.
    expect(&binary(0x21, 0x12, &IPV4), None);
    expect(&binary(0x21, 0x22, &ipv6()), None);
    expect(&binary(0x21, 0x31, &[b'/'; 216]), None);
    expect(&binary(0x21, 0x00, b""), None);
    expect(&binary(0x21, 0x00, b"any"), None);
    expect(&binary(0x20, 0x00, b""), None);
    expect(&binary(0x20, 0x11, &IPV4), None);
    expect(&binary(0x20, 0x41, b""), None);
}

#[test]
fn what_is_no_header_is_refused() {
    for absent in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"PROXYTCP4 192.0.2.1",
        b"PROXY\t",
        b"proxy TCP4",
        b" PROXY",
        b"\n",
        b"\r\n\r\n\0\r\nQUIX",
        b"\x16\x03\x01",
        b"\0",
    ] {
        expect_wrong(absent, WrongPreamble::Absent);
    }
    for line in [
        "",
        "TCP4",
        "TCP4 192.0.2.1",
        "TCP4 192.0.2.1 198.51.100.1 4711",
        "TCP4 192.0.2.1 198.51.100.1 4711 ",
        "TCP4 192.0.2.1 198.51.100.1 4711 80 ",
        "TCP4 192.0.2.1 198.51.100.1 4711 80 x",
        "TCP4  192.0.2.1 198.51.100.1 4711 80",
        "TCP4 192.0.2.1 198.51.100.1 4711 65536",
        "TCP4 192.0.2.1 198.51.100.1 04711 80",
        "TCP4 192.0.2.1 198.51.100.1 +4711 80",
        "TCP4 192.0.2.1 198.51.100.1 -1 80",
        "TCP4 192.0.2.256 198.51.100.1 4711 80",
        "TCP4 192.0.2.01 198.51.100.1 4711 80",
        "TCP4 2001:db8::1 fd00::2 4711 80",
        "TCP6 192.0.2.1 198.51.100.1 4711 80",
        "TCP5 192.0.2.1 198.51.100.1 4711 80",
        "UDP4 192.0.2.1 198.51.100.1 4711 80",
        "tcp4 192.0.2.1 198.51.100.1 4711 80",
        "UNKNOWNX",
        "UNKNOWN\r",
        "UNKNOWN \u{fc}\r ",
    ] {
        let header = format!("PROXY {line}\r\n");
        expect_wrong(header.as_bytes(), WrongPreamble::Malformed);
    }
    expect_wrong(b"PROXY UNKNOWN\n", WrongPreamble::Malformed);
    expect_wrong(
        b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\n",
        WrongPreamble::Malformed,
    );
    expect_wrong(b"PROXY UNKNOWN \xff\r\n", WrongPreamble::Malformed);
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    expect_wrong(long.as_bytes(), WrongPreamble::TooLong);
    for (command, family, block) in [
        (0x21, 0x11, &IPV4[..11]),
        (0x21, 0x21, &IPV4[..]),
        (0x21, 0x31, &[0; 215][..]),
        (0x21, 0x01, b""),
        (0x21, 0x10, &IPV4[..]),
        (0x21, 0x41, &IPV4[..]),
        (0x22, 0x11, &IPV4[..]),
        (0x11, 0x11, &IPV4[..]),
        (0x31, 0x11, &IPV4[..]),
    ] {
        expect_wrong(&binary(command, family, block), WrongPreamble::Malformed);
    }
    expect_wrong(
        &binary(0x21, 0x11, &[0; 4097])[..16],
        WrongPreamble::TooLong,
    );
    assert_eq!(HEADER_BYTES_MAX, 16 + 4096);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_line_is_read_as_another_parser_reads_it(
        words in prop::collection::vec(
            prop::sample::select(&[
                "TCP4", "TCP6", "UNKNOWN", "192.0.2.1", "198.51.100.1", "2001:db8::1", "::", "0", "80", "65535",
                "65536", "080", "", "x", "\r", "\r\n",
            ][..]),
            0..8,
        ),
        end in prop::sample::select(&["\r\n", "\n", "\r", "", "\r\nGET / HTTP/1.1\r\n\r\n"][..]),
    ) {
        check(format!("PROXY {}{end}", words.join(" ")).as_bytes());
    }

    #[test]
    fn a_block_is_read_as_another_parser_reads_it(
        command in prop::sample::select(&[0x20_u8, 0x21, 0x22, 0x31][..]),
        family in prop::sample::select(&[0_u8, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32, 0x10, 0x41, 0xff][..]),
        block in prop::collection::vec(any::<u8>(), 0..300),
        cut in prop::option::of(0_usize..20),
        change in prop::option::weighted(0.1, (0_usize..16, any::<u8>())),
    ) {
        let mut bytes = binary(command, family, &block);
        if let Some((at, byte)) = change {
            bytes[at] = byte;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        check(&bytes);
    }

    #[test]
    fn any_bytes_are_a_header_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }
}

#[test]
fn every_saved_input_of_the_fuzzer_keeps_every_promise() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/proxy_header");
    let entries = std::fs::read_dir(corpus).expect("a directory of the repository");
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a file");
        let outcome = std::panic::catch_unwind(|| check(&bytes));
        assert!(outcome.is_ok(), "a promise is broken by {}", path.display());
        count += 1;
    }
    assert!(count > 0, "no corpus");
    check(b"");
}

fn networks(texts: &[&str]) -> Networks {
    texts.iter().map(|text| text.parse().expect(text)).collect()
}

#[test]
fn denied_goes_before_allowed_and_allowed_leaves_out_all_others() {
    for (allow, deny, address, expected) in [
        (&[][..], &[][..], "192.0.2.1", false),
        (&[], &["192.0.2.0/24"], "192.0.2.1", true),
        (&[], &["192.0.2.0/24"], "198.51.100.1", false),
        (&["192.0.2.0/24"], &[], "192.0.2.1", false),
        (&["192.0.2.0/24"], &[], "198.51.100.1", true),
        (&["192.0.2.0/24"], &[], "::1", true),
        (&["192.0.2.0/24"], &["192.0.2.1"], "192.0.2.1", true),
        (&["192.0.2.0/24"], &["192.0.2.1"], "192.0.2.2", false),
        // Also where what is allowed says more.
        (&["192.0.2.1"], &["192.0.2.0/24"], "192.0.2.1", true),
    ] {
        let clients = Clients::new(&config::Clients {
            allow: networks(allow),
            deny: networks(deny),
            ..config::Clients::default()
        });
        let address: IpAddr = address.parse().expect(address);
        assert_eq!(
            clients.is_forbidden(Host::Internet(address)),
            expected,
            "{allow:?} {deny:?} {address}"
        );
    }
}

#[test]
fn connections_of_trusted_proxies_do_not_count() {
    let clients = Clients::new(&config::Clients {
        trusted_proxies: networks(&["10.0.0.0/8"]),
        connections_per_ip_max: Some(1),
        ..config::Clients::default()
    });
    let address = |text: &str| text.parse::<IpAddr>().expect(text);
    let first = clients.admit(Host::Internet(address("192.0.2.1")));
    assert!(matches!(first, Admission::Counted(_)));
    let second = clients.admit(Host::Internet(address("192.0.2.1")));
    assert!(matches!(second, Admission::Refused { max: 1 }));
    for _ in 0..3 {
        assert!(matches!(
            clients.admit(Host::Internet(address("10.0.0.1"))),
            Admission::Free
        ));
    }
    drop(first);
    assert!(
        !clients
            .admit(Host::Internet(address("192.0.2.1")))
            .is_refused()
    );
}
