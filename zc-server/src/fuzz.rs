//! What the fuzzers in `fuzz/` call.

/// Records of a client, as its bytes tell them.
pub fn tls_records(data: &[u8]) {
    crate::tls::strange::check_bytes(data);
}

/// The first bytes of a connection that begins with a header of the PROXY protocol.
pub fn proxy_header(data: &[u8]) {
    crate::clients::strange::check(data);
}
