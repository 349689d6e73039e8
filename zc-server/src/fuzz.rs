//! What the fuzzers in `fuzz/` call.

/// Records of a client, as its bytes tell them.
pub fn tls_records(data: &[u8]) {
    crate::tls::strange::check_bytes(data);
}
