//! TLS records that the kernel seals, read by clients that know nothing of it.
//!
//! Most of these tests need a kernel with the module `tls`, and are skipped without it. `cargo xtask vm-test` runs
//! all of them in virtual machines, with `TEST_REQUIRE_KTLS=1` where nothing may be skipped.

#![cfg(all(target_os = "linux", not(feature = "portable")))]
#![allow(unreachable_pub)]

mod closing;
#[path = "../common/mod.rs"]
mod common;
mod ends;
mod openssl;
mod records;
mod refusals;

// Its `main` takes the arguments of a program.
#[allow(dead_code)]
#[path = "../../examples/https_one_file.rs"]
mod https_one_file;

/// Whether the kernel can seal records.
fn has_module() -> bool {
    let support = zc_core::ktls::probe().unwrap();
    if let Some(refusal) = support.refusal {
        let is_required = std::env::var_os("TEST_REQUIRE_KTLS").is_some_and(|value| value == "1");
        assert!(!is_required, "{refusal}");
        println!("skipped: no TLS module");
    }
    support.refusal.is_none()
}
