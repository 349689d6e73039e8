//! Identifiers of requests: `X-Request-Id`.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};

/// The longest identifier that is taken from a request, in bytes. The usual ones have 32 or 36.
const BYTES_MAX: usize = 64;

/// The identifier of a request: visible ASCII.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId {
    bytes: [u8; BYTES_MAX],
    /// Invariant: at most `BYTES_MAX`.
    length: u8,
}

/// Makes identifiers without a system call: the keyed hashes of a count, under a key of its own.
#[derive(Debug, Default)]
pub(crate) struct RequestIds {
    key: RandomState,
    count: u64,
}

impl RequestId {
    /// That which a client or a proxy has given it, if that is short and visible ASCII.
    pub(super) fn taken(value: &[u8]) -> Option<Self> {
        let is_visible = value.iter().all(u8::is_ascii_graphic);
        if value.is_empty() || !is_visible {
            return None;
        }
        let mut bytes = [0; BYTES_MAX];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self {
            bytes,
            // There was room for all of it.
            length: value.len() as u8,
        })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl std::fmt::Debug for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char('`')?;
        write!(f, "{}", self.as_bytes().escape_ascii())?;
        f.write_char('`')
    }
}

impl RequestIds {
    /// 128 bits in 32 hexadecimal digits.
    pub(crate) fn next(&mut self) -> RequestId {
        self.count = self.count.wrapping_add(1);
        let mut bytes = [0; BYTES_MAX];
        let halves = [0_u8, 1].map(|half| self.key.hash_one((self.count, half)));
        let raw = halves.iter().flat_map(|half| half.to_be_bytes());
        let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
        let mut length = 0;
        for (pair, byte) in bytes.chunks_exact_mut(2).zip(raw) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            length += 2;
        }
        RequestId { bytes, length }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_is_short_and_visible_is_taken() {
        for taken in [&b"a"[..], b"0aF-{}\"\\~!", &[b'x'; 64]] {
            let id = RequestId::taken(taken).expect("it is short and visible");
            assert_eq!(id.as_bytes(), taken);
        }
        for wrong in [
            &b""[..],
            b"a b",
            b"\x7f",
            b"\xff",
            b"a\tb",
            &[b'x'; 65],
            &[b'x'; 1000],
        ] {
            assert_eq!(RequestId::taken(wrong), None);
        }
    }

    #[test]
    fn no_two_are_alike() {
        let mut makers = [RequestIds::default(), RequestIds::default()];
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            for maker in &mut makers {
                let id = maker.next();
                assert_eq!(id.as_bytes().len(), 32);
                let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                assert!(id.as_bytes().iter().all(is_digit), "{id:?}");
                assert!(seen.insert(id.as_bytes().to_vec()));
            }
        }
    }
}
