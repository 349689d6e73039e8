//! See `src/targets/target.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zc_fuzz::target(data));
