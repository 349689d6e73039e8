//! The bytes of an archive from one offset to another: headers and padding, and which file stands between them.

use std::ops::Range;

use bytes::{BufMut, BytesMut};

use super::{Archive, Member};
use crate::files::archive::header::Header;

/// How far the bytes of an archive were given out.
#[derive(Debug)]
pub(crate) struct Cursor {
    archive: Box<Archive>,
    /// The offset of the next byte. Invariant: at most `end`.
    position: u64,
    end: u64,
    /// The member that the next byte is of, or in the padding of.
    index: usize,
}

/// A part of a file that stands in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePart {
    pub(crate) member: usize,
    /// Offsets in the file. Invariant: not empty.
    pub(crate) range: Range<u64>,
}

impl Cursor {
    /// The bytes of `range`, which lies in the archive.
    pub(crate) fn new(archive: Box<Archive>, range: Range<u64>) -> Self {
        Self {
            index: archive.member_at(range.start),
            position: range.start,
            end: range.end,
            archive,
        }
    }

    pub(crate) fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Bytes that were not given out.
    pub(crate) fn remaining(&self) -> u64 {
        self.end - self.position
    }

    /// Appends bytes to `out` up to the next file, and answers which part of that comes then: it counts as given out.
    /// `None` at the end, and where `out` has `bytes_max` or more.
    pub(crate) fn next(&mut self, out: &mut BytesMut, bytes_max: usize) -> Option<FilePart> {
        while self.remaining() > 0 && out.len() < bytes_max {
            let Some(member) = self.archive.members.get(self.index) else {
                // Behind the last one there are zeros alone.
                self.append_zeros(out, self.end);
                return None;
            };
            let (body, member_end) = (
                self.archive.body_of(member),
                self.archive.end_of(self.index),
            );
            if self.position < body.start {
                self.append_header(out, self.index);
            } else if self.position < body.end {
                let range = self.position..body.end.min(self.end);
                self.position = range.end;
                return Some(FilePart {
                    member: self.index,
                    range: range.start - body.start..range.end - body.start,
                });
            } else {
                self.append_zeros(out, member_end.min(self.end));
                self.index += 1;
            }
        }
        None
    }

    fn append_header(&mut self, out: &mut BytesMut, index: usize) {
        let member = &self.archive.members[index];
        let mut header = BytesMut::new();
        self.archive.append_header(member, &mut header);
        // A header has a few KiB at most.
        let from = (self.position - member.offset) as usize;
        let rest = &header[from..];
        let length = self.remaining().min(rest.len() as u64);
        out.extend_from_slice(&rest[..length as usize]);
        self.position += length;
    }

    /// Zeros up to the offset `end`: less than a block, or two.
    fn append_zeros(&mut self, out: &mut BytesMut, end: u64) {
        out.put_bytes(0, (end - self.position) as usize);
        self.position = end;
    }
}

impl Archive {
    /// The member that the byte at `offset` is of; its count where none is.
    fn member_at(&self, offset: u64) -> usize {
        let behind = self
            .members
            .partition_point(|member| member.offset <= offset);
        let index = behind.saturating_sub(1);
        // Behind the last one is the end.
        if offset < self.end_of(index) {
            index
        } else {
            index + 1
        }
    }

    /// Where the bytes of a member begin and end.
    fn body_of(&self, member: &Member) -> Range<u64> {
        let start = member.offset + u64::from(member.header_bytes);
        start..start + member.body_bytes()
    }

    /// Where the padding of a member ends.
    fn end_of(&self, index: usize) -> u64 {
        let next = self.members.get(index + 1);
        next.map_or(self.length - super::header::END_BYTES, |next| next.offset)
    }

    pub(super) fn append_header(&self, member: &Member, out: &mut BytesMut) {
        let mut path = Vec::new();
        self.append_name(member, &mut path);
        if member.kind == super::Kind::Directory {
            path.push(b'/');
        }
        let header = Header {
            kind: member.kind,
            path: &path,
            target: self.target_of(member),
            length: member.body_bytes(),
            mtime_seconds: member.mtime_seconds,
        };
        header.append(out);
    }
}
