//! The header of an entry of an archive: a `ustar` block, and in front of it records of pax for what that has no
//! room for ([POSIX, pax, "EXTENDED DESCRIPTION"](https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html)).

use bytes::{BufMut, BytesMut};

/// Archives are made of blocks of this size.
pub(super) const BLOCK_BYTES: usize = 512;
/// The zeros at the end of an archive: two blocks.
pub(super) const END_BYTES: u64 = 2 * BLOCK_BYTES as u64;

/// Where the fields of a block are, and how long.
mod field {
    use std::ops::Range;

    pub(super) const NAME: Range<usize> = 0..100;
    pub(super) const MODE: Range<usize> = 100..108;
    pub(super) const USER: Range<usize> = 108..116;
    pub(super) const GROUP: Range<usize> = 116..124;
    pub(super) const SIZE: Range<usize> = 124..136;
    pub(super) const MTIME: Range<usize> = 136..148;
    pub(super) const CHECKSUM: Range<usize> = 148..156;
    pub(super) const TYPE: usize = 156;
    pub(super) const LINK: Range<usize> = 157..257;
    pub(super) const MAGIC: Range<usize> = 257..265;
    pub(super) const DEVICE_MAJOR: Range<usize> = 329..337;
    pub(super) const DEVICE_MINOR: Range<usize> = 337..345;
    pub(super) const PREFIX: Range<usize> = 345..500;
}

/// The greatest number that a field of eleven octal digits has room for.
const NUMBER_MAX: u64 = 0o777_7777_7777;
/// What an extended header is called: readers that know none take it for a file.
const EXTENDED_NAME: &[u8] = b"PaxHeaders/records";

/// What an entry of an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    Executable,
    Link,
}

impl Kind {
    fn flag(self) -> u8 {
        match self {
            Self::Directory => b'5',
            Self::File | Self::Executable => b'0',
            Self::Link => b'2',
        }
    }

    fn mode(self) -> u64 {
        match self {
            Self::Directory | Self::Executable => 0o755,
            Self::File => 0o644,
            Self::Link => 0o777,
        }
    }

    pub(super) fn is_file(self) -> bool {
        matches!(self, Self::File | Self::Executable)
    }
}

/// What the header of an entry tells. Owners are left out: they are those of the machine.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) kind: Kind,
    /// The path of a directory ends in a slash.
    pub(super) path: &'a [u8],
    /// Where a link leads to.
    pub(super) target: &'a [u8],
    /// Bytes of a file.
    pub(super) length: u64,
    pub(super) mtime_seconds: i64,
}

impl Header<'_> {
    /// Appends the blocks of the header.
    pub(super) fn append(&self, out: &mut BytesMut) {
        let records = self.records();
        if !records.is_empty() {
            let mut block = Block::new(b'x', 0o644);
            block.put(field::NAME, EXTENDED_NAME);
            // They have a few paths at most.
            block.number(field::SIZE, records.len() as u64);
            block.append(out);
            out.extend_from_slice(&records);
            let padding = records.len().next_multiple_of(BLOCK_BYTES) - records.len();
            out.put_bytes(0, padding);
        }
        let mut block = Block::new(self.kind.flag(), self.kind.mode());
        match split(self.path) {
            Some((prefix, name)) => {
                block.put(field::PREFIX, prefix);
                block.put(field::NAME, name);
            }
            None => block.put(field::NAME, self.path),
        }
        block.put(field::LINK, self.target);
        block.number(field::SIZE, self.length);
        block.number(field::MTIME, self.mtime());
        block.append(out);
    }

    /// Times before 1970 have no number.
    fn mtime(&self) -> u64 {
        u64::try_from(self.mtime_seconds).unwrap_or(u64::MAX)
    }

    /// What the block has no room for, and names of other characters than those of ASCII.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let has_path = !is_plain(self.path) || split(self.path).is_none();
        let has_target = !is_plain(self.target) || self.target.len() > field::LINK.len();
        let is_text = |name: &[u8]| std::str::from_utf8(name).is_ok();
        // Names of no charset can be told of by the block alone, or as bytes.
        let has_path = has_path && (is_text(self.path) || split(self.path).is_none());
        let has_target =
            has_target && (is_text(self.target) || self.target.len() > field::LINK.len());
        let is_binary = has_path && !is_text(self.path) || has_target && !is_text(self.target);
        if is_binary {
            record(&mut records, "hdrcharset", b"BINARY");
        }
        if has_path {
            record(&mut records, "path", self.path);
        }
        if has_target {
            record(&mut records, "linkpath", self.target);
        }
        if self.length > NUMBER_MAX {
            record(&mut records, "size", self.length.to_string().as_bytes());
        }
        if self.mtime() > NUMBER_MAX {
            let seconds = self.mtime_seconds.to_string();
            record(&mut records, "mtime", seconds.as_bytes());
        }
        records
    }
}

fn is_plain(name: &[u8]) -> bool {
    name.is_ascii()
}

/// The prefix and the name of a path that a block has room for. They are parted at a slash, which is in neither.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name_max, prefix_max) = (field::NAME.len(), field::PREFIX.len());
    if path.len() <= name_max {
        return Some((b"", path));
    }
    // The slash at the end of a directory is part of its name.
    let last = (path.len() - 1).min(prefix_max + 1);
    let slash = path[1..last].iter().rposition(|&byte| byte == b'/')? + 1;
    let name = &path[slash + 1..];
    (name.len() <= name_max).then_some((&path[..slash], name))
}

/// Appends `LENGTH KEY=VALUE` and a line feed. The length counts its own digits.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = " =\n".len() + key.len() + value.len();
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

struct Block([u8; BLOCK_BYTES]);

impl Block {
    fn new(flag: u8, mode: u64) -> Self {
        let mut block = Self([0; BLOCK_BYTES]);
        block.0[field::TYPE] = flag;
        block.put(field::MAGIC, b"ustar\x0000");
        block.number(field::MODE, mode);
        for zero in [
            field::USER,
            field::GROUP,
            field::MTIME,
            field::DEVICE_MAJOR,
            field::DEVICE_MINOR,
        ] {
            block.number(zero, 0);
        }
        block
    }

    /// As much of the value as there is room for.
    fn put(&mut self, field: std::ops::Range<usize>, value: &[u8]) {
        let length = value.len().min(field.len());
        self.0[field.start..field.start + length].copy_from_slice(&value[..length]);
    }

    /// The value in octal digits with a zero behind; 0 where a record has it.
    fn number(&mut self, field: std::ops::Range<usize>, value: u64) {
        let value = if value > NUMBER_MAX { 0 } else { value };
        let digits = field.len() - 1;
        self.put(field, format!("{value:0digits$o}").as_bytes());
    }

    fn append(mut self, out: &mut BytesMut) {
        self.put(field::CHECKSUM, b"        ");
        let sum: u64 = self.0.iter().map(|&byte| u64::from(byte)).sum();
        // Six digits, a zero and a space.
        self.put(field::CHECKSUM, format!("{sum:06o}\0").as_bytes());
        out.extend_from_slice(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(path: &'a [u8], target: &'a [u8], length: u64, mtime_seconds: i64) -> BytesMut {
        let kind = if target.is_empty() {
            Kind::File
        } else {
            Kind::Link
        };
        let mut out = BytesMut::new();
        let header = Header {
            kind,
            path,
            target,
            length,
            mtime_seconds,
        };
        header.append(&mut out);
        out
    }

    #[test]
    fn a_block_has_its_fields_where_posix_has_them() {
        let block = header(b"a/b.txt", b"", 1234, 1_700_000_000);
        assert_eq!(block.len(), BLOCK_BYTES);
        assert_eq!(&block[..8], b"a/b.txt\0");
        assert_eq!(&block[100..124], b"0000644\x000000000\x000000000\0");
        assert_eq!(&block[124..148], b"00000002322\x0014524770400\0");
        assert_eq!(&block[156..158], b"0\0");
        assert_eq!(&block[257..265], b"ustar\x0000");
        assert_eq!(&block[265..329], [0; 64], "no owners");
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, &byte)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    byte.into()
                }
            })
            .sum();
        assert_eq!(&block[148..156], format!("{sum:06o}\0 ").as_bytes());
    }

    #[test]
    fn a_path_is_parted_at_a_slash_if_that_makes_it_fit() {
        let long = |prefix: usize, name: usize| {
            [&b"p".repeat(prefix)[..], b"/", &b"n".repeat(name)].concat()
        };
        for (path, expected) in [
            (b"n".repeat(100), Some((0, 100))),
            (b"n".repeat(101), None),
            (long(1, 99), Some((1, 99))),
            (long(1, 100), Some((1, 100))),
            (long(1, 101), None),
            (long(155, 100), Some((155, 100))),
            (long(156, 10), None),
            ([&long(120, 90)[..], b"/"].concat(), Some((120, 91))),
            ([&b"n".repeat(120)[..], b"/"].concat(), None),
        ] {
            let found = split(&path).map(|(prefix, name)| (prefix.len(), name.len()));
            let expected = expected.map(|(prefix, name)| match prefix {
                0 => (0, name),
                _ => (prefix, name),
            });
            assert_eq!(found, expected, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn what_has_no_room_is_a_record() {
        let records = |path: &[u8], target: &[u8], length, mtime| {
            let bytes = header(path, target, length, mtime);
            if bytes.len() == BLOCK_BYTES {
                return String::new();
            }
            assert_eq!(bytes[156], b'x');
            let size = std::str::from_utf8(&bytes[124..135]).expect("digits");
            let size = usize::from_str_radix(size, 8).expect("octal");
            assert_eq!(
                bytes.len(),
                2 * BLOCK_BYTES + size.next_multiple_of(BLOCK_BYTES)
            );
            bytes[BLOCK_BYTES..BLOCK_BYTES + size]
                .escape_ascii()
                .to_string()
        };
        assert_eq!(records(b"a", b"", NUMBER_MAX, NUMBER_MAX as i64), "");
        assert_eq!(
            records(b"a", b"", NUMBER_MAX + 1, 0),
            r"19 size=8589934592\n"
        );
        assert_eq!(records(b"a", b"", 0, -7), r"12 mtime=-7\n");
        assert_eq!(
            records("\u{e9}".as_bytes(), b"", 0, 0),
            r"11 path=\xc3\xa9\n"
        );
        // A block has room for it, and nobody knows its charset.
        assert_eq!(records(b"\xff", b"", 0, 0), "");
        let long = [b"\xff".repeat(101)].concat();
        assert!(records(&long, b"", 0, 0).starts_with(r"21 hdrcharset=BINARY\n111 path=\xff"));
        assert!(records(b"a", &b"t".repeat(101), 0, 0).starts_with("115 linkpath=t"));
    }

    #[test]
    fn a_record_counts_its_own_digits() {
        for length in 0..1200 {
            let mut records = Vec::new();
            record(&mut records, "path", &vec![b'a'; length]);
            let told = records
                .split(|&byte| byte == b' ')
                .next()
                .expect("a number");
            assert_eq!(told, records.len().to_string().as_bytes());
        }
    }
}
