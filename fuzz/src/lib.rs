//! What the fuzzers of `zc-http` look for. See `targets/mod.rs`; `cargo xtask fuzz` runs them. Those of the
//! record layer and of the PROXY header are in `zc-server`.

mod targets;

/// The fields `Accept-Encoding` and `Accept`.
pub fn accept_encoding(data: &[u8]) {
    targets::accept_encoding(data);
}

/// Preconditions, `If-Range` and lists of entity-tags.
pub fn conditional(data: &[u8]) {
    targets::conditional(data);
}

/// Dates, read and written.
pub fn date(data: &[u8]) {
    targets::date(data);
}

/// Bodies, in chunks and of a known length.
pub fn drain(data: &[u8]) {
    targets::drain(data);
}

/// The field `Range`.
pub fn range(data: &[u8]) {
    targets::range(data);
}

/// Request heads.
pub fn request(data: &[u8]) {
    targets::request(data);
}

/// Request targets, paths and queries.
pub fn target(data: &[u8]) {
    targets::target(data);
}
