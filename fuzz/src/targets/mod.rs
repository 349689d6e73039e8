//! The fuzz targets of `zc-http`: for each a function that takes any bytes and panics where the
//! library breaks a promise.
//!
//! Each promise is checked against something slow and obvious, mostly a twin that shares no code
//! with the library. The fuzzers call these functions to find new inputs, and
//! `tests/fuzz_corpus.rs` calls them again with every input that was worth keeping; it includes this
//! file, so that ordinary tests need neither the engine nor its compiler.

mod accept_encoding;
mod chunks_twin;
mod conditional;
mod date;
mod drain;
mod fields;
mod range;
mod request;
mod target;

#[path = "../../../zc-http/tests/harness/path_twin.rs"]
mod path_twin;
#[path = "../../../zc-http/tests/harness/range_twin.rs"]
mod range_twin;
#[path = "../../../zc-http/tests/harness/summary.rs"]
mod summary;
#[path = "../../../zc-http/tests/harness/twin.rs"]
mod twin;

pub(crate) use accept_encoding::check as accept_encoding;
pub(crate) use conditional::check as conditional;
pub(crate) use date::check as date;
pub(crate) use drain::check as drain;
pub(crate) use range::check as range;
pub(crate) use request::check as request;
pub(crate) use target::check as target;

/// Bytes as they are shown when a promise is broken.
fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
