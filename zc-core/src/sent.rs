//! What a thin call moved.

/// What one thin call moved.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Bytes that the sink accepted.
    pub bytes: u64,
    /// System calls made, refused ones included; retries after a signal are not.
    pub calls: u64,
}
