//! Bytes that were received and not used yet: handed out as a prefix, keeping the pipelined rest.

use bytes::{Buf, BytesMut};

/// Bytes that were received and not used yet. Holds no memory while empty.
///
/// The parser refuses a head over its bound, and nothing is read while a request waits to be
/// answered, so that at most one head and one read are held at a time.
#[derive(Debug, Default)]
pub(super) struct Input(BytesMut);

impl Input {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps bytes behind those that are there.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Drops the first `count` bytes, which must be there.
    pub(super) fn consume(&mut self, count: usize) {
        self.0.advance(count);
        if self.0.is_empty() {
            self.0 = BytesMut::new();
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.0 = BytesMut::new();
    }
}
