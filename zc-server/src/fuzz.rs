//! What the fuzzers in `fuzz/` call.

use std::net::SocketAddr;

/// Records of a client, as its bytes tell them.
pub fn tls_records(data: &[u8]) {
    crate::tls::strange::check_bytes(data);
}

/// The first bytes of a connection that begins with a header of the PROXY protocol. Answers how long the header is, and
/// whom it names, if there is one.
pub fn proxy_header(data: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
    crate::clients::strange::check(data)
}
