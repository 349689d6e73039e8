//! What the header of the PROXY protocol promises for any bytes, for tests and for the fuzzer: it is read in whatever
//! pieces it comes. Whether another parser reads it so is for the caller to see, by `oracle.rs`.

use std::net::SocketAddr;

use super::proxy::{HEADER_BYTES_MAX, Preamble, parse};

/// Checks the bytes that a connection begins with. Answers how long their header is, and whom it names.
pub(crate) fn check(bytes: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
    let text = bytes.escape_ascii();
    let found = parse(bytes);
    for length in 0..bytes.len() {
        let begun = parse(&bytes[..length]);
        match found {
            Ok(Preamble::Header { length: end, .. }) if length >= end => {
                assert_eq!(begun, found, "{text}")
            }
            Ok(_) => assert_eq!(begun, Ok(Preamble::Partial), "{length} of {text}"),
            Err(wrong) => assert!(
                begun == Ok(Preamble::Partial) || begun == Err(wrong),
                "{text}"
            ),
        }
    }
    if let Ok(Preamble::Partial) = found {
        assert!(bytes.len() < HEADER_BYTES_MAX, "it has no end");
    }
    match found {
        Ok(Preamble::Header { length, client }) => Some((length, client)),
        Ok(Preamble::Partial) | Err(_) => None,
    }
}
