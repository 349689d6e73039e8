//! See `zc-server/src/clients/strange.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zc_server::fuzz::proxy_header(data));
