//! Memory that the next bytes of a send are read into, in place of a socket.

use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;

use nix::errno::Errno;

/// The most pieces of memory that one system call reads into.
const IOVECS_MAX: usize = 16;

/// Pieces of memory that are filled one behind the other: room for the plaintext of several TLS records, with
/// gaps between them for what each record has besides.
#[derive(Debug)]
pub struct Slots<'s, 'b> {
    slots: &'s mut [&'b mut [u8]],
    /// The slot that is filled next, and how many of its bytes are.
    next: usize,
    used: usize,
    filled: u64,
}

impl<'s, 'b> Slots<'s, 'b> {
    /// Empty slots.
    pub fn new(slots: &'s mut [&'b mut [u8]]) -> Self {
        let mut slots = Self {
            slots,
            next: 0,
            used: 0,
            filled: 0,
        };
        slots.fill(0);
        slots
    }

    /// Bytes that were filled so far.
    #[must_use]
    pub fn filled(&self) -> u64 {
        self.filled
    }

    /// True when there is no room left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.next == self.slots.len()
    }

    /// Copies as many of `bytes` as there is room for; returns how many.
    pub fn put(&mut self, mut bytes: &[u8]) -> usize {
        let length = bytes.len();
        while let Some(slot) = self.slots.get_mut(self.next)
            && !bytes.is_empty()
        {
            let room = &mut slot[self.used..];
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            room[..now.len()].copy_from_slice(now);
            bytes = later;
            self.fill(now.len());
        }
        length - bytes.len()
    }

    /// Counts `bytes` that stand in the slots now.
    fn fill(&mut self, bytes: usize) {
        self.filled += bytes as u64;
        self.used += bytes;
        while let Some(slot) = self.slots.get(self.next)
            && self.used >= slot.len()
        {
            self.used -= slot.len();
            self.next += 1;
        }
    }

    /// Fills up to `count` bytes, at least 1, by one `preadv(2)` of `source` at `offset`; returns how many. 0
    /// means the end of the file.
    pub(crate) fn read_at(
        &mut self,
        source: impl AsFd,
        offset: u64,
        count: u64,
    ) -> io::Result<u64> {
        let position = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        let mut left = usize::try_from(count).unwrap_or(usize::MAX);
        let mut iovecs: [_; IOVECS_MAX] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
        let mut number = 0;
        let mut used = self.used;
        for (iovec, slot) in iovecs.iter_mut().zip(&mut self.slots[self.next..]) {
            let room = &mut slot[used..];
            used = 0;
            let length = room.len().min(left);
            left -= length;
            *iovec = IoSliceMut::new(&mut room[..length]);
            number += 1;
            if left == 0 {
                break;
            }
        }
        let iovecs = &mut iovecs[..number];
        let source = source.as_fd();
        let read = crate::copy::retry_interrupted(|| read_vectored(source, iovecs, position))?;
        self.fill(read);
        Ok(read as u64)
    }
}

#[cfg(not(target_vendor = "apple"))]
fn read_vectored(
    source: impl AsFd,
    iovecs: &mut [IoSliceMut<'_>],
    position: i64,
) -> nix::Result<usize> {
    nix::sys::uio::preadv(source, iovecs, position)
}

/// Without `preadv(2)`: into the first one.
#[cfg(target_vendor = "apple")]
fn read_vectored(
    source: impl AsFd,
    iovecs: &mut [IoSliceMut<'_>],
    position: i64,
) -> nix::Result<usize> {
    match iovecs.first_mut() {
        Some(first) => nix::sys::uio::pread(source, first, position),
        None => Ok(0),
    }
}
