//! See `zc-server/src/tls/strange.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zc_server::fuzz::tls_records(data));
