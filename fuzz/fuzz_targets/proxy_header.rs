//! See `zc-server/src/clients/strange.rs`; the other parser is in `oracle.rs` beside it.

#![no_main]

#[path = "../../zc-server/src/clients/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    oracle::compare(data, zc_server::fuzz::proxy_header(data));
});
