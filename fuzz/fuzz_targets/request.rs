//! See `src/targets/request.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zc_fuzz::request(data));
