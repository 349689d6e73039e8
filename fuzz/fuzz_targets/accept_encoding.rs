//! See `src/targets/accept_encoding.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zc_fuzz::accept_encoding(data));
