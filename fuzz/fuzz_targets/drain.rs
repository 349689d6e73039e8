//! See `src/targets/drain.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zc_fuzz::drain(data));
