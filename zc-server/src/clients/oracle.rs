//! The header of the PROXY protocol as `ppp` reads it: for the tests, and for the fuzzer, which includes this file. The
//! library does not depend on that parser.

use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};

/// The most that the addresses and fields of version 2 may take here, in bytes.
const BLOCK_BYTES_MAX: usize = 4096;

/// Compares what was found with what `ppp` finds in the same bytes.
pub(super) fn compare(bytes: &[u8], found: Option<(usize, Option<SocketAddr>)>) {
    if !is_known_to_differ(bytes) {
        assert_eq!(found, theirs(bytes), "{}", bytes.escape_ascii());
    }
}

/// The header as `ppp` reads it.
fn theirs(bytes: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
    let address = |ip: IpAddr, port| Some(SocketAddr::new(ip.to_canonical(), port));
    if let Ok(header) = v1::Header::try_from(bytes) {
        let client = match header.addresses {
            v1::Addresses::Unknown => None,
            v1::Addresses::Tcp4(ip) => address(ip.source_address.into(), ip.source_port),
            v1::Addresses::Tcp6(ip) => address(ip.source_address.into(), ip.source_port),
        };
        return Some((header.header.len(), client));
    }
    let header = v2::Header::try_from(bytes).ok()?;
    let is_stream = header.protocol == v2::Protocol::Stream && header.command == v2::Command::Proxy;
    let client = match header.addresses {
        v2::Addresses::IPv4(ip) if is_stream => address(ip.source_address.into(), ip.source_port),
        v2::Addresses::IPv6(ip) if is_stream => address(ip.source_address.into(), ip.source_port),
        _ => None,
    };
    Some((header.header.len(), client))
}

/// Where `ppp` does not do what the specification says, or where we say less than it allows.
fn is_known_to_differ(bytes: &[u8]) -> bool {
    if let Some(fixed) = bytes.first_chunk::<16>()
        && bytes.starts_with(v2::PROTOCOL_PREFIX)
    {
        let is_long = usize::from(u16::from_be_bytes([fixed[14], fixed[15]])) > BLOCK_BYTES_MAX;
        let is_local = fixed[12] == 0x20;
        // A family without a protocol, or the other way round.
        let is_half = (fixed[13] & 0x0f == 0) != (fixed[13] & 0xf0 == 0);
        return is_long || is_local || is_half;
    }
    let line = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    // It reads on behind a line feed without a carriage return, where we refuse the line.
    let has_bare_feed = line.len() < bytes.len() && !line.ends_with(b"\r");
    // It reads signs in ports, and not more than five words behind UNKNOWN.
    has_bare_feed || line.contains(&b'+') || line.split(|&byte| byte == b' ').count() > 6
}
