//! The archive that a kernel unpacks at its start: cpio in the form `newc`, see
//! [initramfs](https://docs.kernel.org/driver-api/early-userspace/buffer-format.html).

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
/// Each entry and each content begins at a multiple of this.
const ALIGNMENT: usize = 4;

/// An archive that grows.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    /// What it has already.
    names: BTreeSet<String>,
}

impl Archive {
    /// Adds a directory, unless it is there.
    pub(super) fn directory(&mut self, name: &str) {
        if !name.is_empty() {
            self.entry(name, DIRECTORY, &[]);
        }
    }

    /// Adds a file that can be run.
    pub(super) fn program(&mut self, name: &str, contents: &[u8]) {
        self.entry(name, PROGRAM, contents);
    }

    /// Adds a file that cannot.
    pub(super) fn file(&mut self, name: &str, contents: &[u8]) {
        self.entry(name, FILE, contents);
    }

    /// The bytes of the whole archive.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, contents: &[u8]) {
        if !self.names.insert(name.to_owned()) {
            return;
        }
        let links = 1;
        let fields = [
            // A number of the file: two with the same one are links.
            self.names.len(),
            mode as usize,
            0,
            0,
            links,
            0,
            contents.len(),
            0,
            0,
            0,
            0,
            // With the NUL at its end.
            name.len() + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(contents);
        self.align();
    }

    fn align(&mut self) {
        let length = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_a_header_of_110_bytes_and_is_aligned() {
        let mut archive = Archive::default();
        archive.directory("bin");
        archive.directory("bin");
        archive.directory("");
        archive.program("bin/x", b"abc");
        let bytes = archive.end();
        let text = String::from_utf8(bytes).expect("ASCII");
        let entries: Vec<&str> = text.split("070701").skip(1).collect();
        assert_eq!(entries.len(), 3, "{text}");
        assert!(entries[0].starts_with("00000001000041ed"), "{text}");
        assert!(entries[0].ends_with("bin\0\0\0"), "{text}");
        assert!(entries[1].starts_with("00000002000081ed"), "{text}");
        assert!(entries[1].ends_with("bin/x\0abc\0"), "{text}");
        for entry in entries {
            assert_eq!((entry.len() + "070701".len()) % ALIGNMENT, 0, "{entry}");
        }
    }
}
