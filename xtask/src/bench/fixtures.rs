//! The files that are served: made once for a run, in a directory of its own.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use zc_core::FileSystem;

/// The video of the study, in bytes.
pub(crate) const VIDEO_BYTES: u64 = 300_000_000;
/// Small files of which there are many.
pub(crate) const MANY: u64 = 10_000;
/// Cold files: streams at once, and their lengths.
pub(crate) const COLD_STREAMS: u64 = 32;
pub(crate) const COLD_SMALL_BYTES: u64 = 64 << 10;
/// How many small cold files each stream goes through.
const COLD_SMALL_EACH: u64 = 64;
pub(crate) const COLD_LARGE_BYTES: u64 = 64 << 20;

/// What is written in one call, in bytes.
const BLOCK_BYTES: u64 = 64 << 10;

/// The served directory, and what is in it.
#[derive(Debug)]
pub(crate) struct Fixtures {
    directory: tempfile::TempDir,
}

/// How large a run is: a trial needs no gigabytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Full,
    /// A thousandth of everything large.
    Trial,
}

impl Fixtures {
    /// Makes all files below `parent`.
    pub(crate) fn make(parent: &Path, size: Size) -> io::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("zc-bench-")
            .tempdir_in(parent)?;
        use std::os::unix::fs::PermissionsExt;
        // Some servers give up root.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
        let fixtures = Self { directory };
        let large = |bytes: u64| {
            if size == Size::Full {
                bytes
            } else {
                (bytes / 1000).max(1)
            }
        };
        for (name, bytes) in [
            ("1k.bin", 1 << 10),
            ("10k.bin", 10 << 10),
            ("100k.bin", 100 << 10),
            ("1m.bin", 1 << 20),
            ("video.mp4", large(VIDEO_BYTES)),
        ] {
            fixtures.write(name, bytes)?;
        }
        std::fs::create_dir(fixtures.root().join("4k"))?;
        for index in 0..fixtures.many(size) {
            fixtures.write(&format!("4k/{index}.bin"), 4 << 10)?;
        }
        std::fs::create_dir(fixtures.root().join("fuse"))?;
        Ok(fixtures)
    }

    /// Makes the cold files, which take gigabytes: only for who needs them.
    pub(crate) fn make_cold(&self, size: Size) -> io::Result<()> {
        let large = match size {
            Size::Full => COLD_LARGE_BYTES,
            Size::Trial => 1 << 20,
        };
        std::fs::create_dir_all(self.root().join("cold"))?;
        for index in 0..self.cold("small", size) {
            self.write(&format!("cold/small-{index}.bin"), COLD_SMALL_BYTES)?;
        }
        for index in 0..self.cold("large", size) {
            self.write(&format!("cold/large-{index}.bin"), large)?;
        }
        Ok(())
    }

    /// How many small files there are.
    pub(crate) fn many(&self, size: Size) -> u64 {
        if size == Size::Full { MANY } else { 100 }
    }

    /// How many cold files of one kind there are.
    pub(crate) fn cold(&self, kind: &str, size: Size) -> u64 {
        match (kind, size) {
            ("small", Size::Full) => COLD_STREAMS * COLD_SMALL_EACH,
            _ => COLD_STREAMS,
        }
    }

    /// Whether they are on tmpfs or its like, where no file is ever cold.
    pub(crate) fn are_in_memory(&self) -> bool {
        let directory = File::open(self.root());
        let found = directory.and_then(FileSystem::from_fd);
        found.is_ok_and(FileSystem::is_in_memory)
    }

    /// The directory that is served.
    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Bytes that do not repeat within any few KiB, another sequence for each name.
    fn write(&self, name: &str, length: u64) -> io::Result<()> {
        let mut state = name.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }) | 1;
        let mut out = File::create(self.root().join(name))?;
        let block_bytes = length.next_multiple_of(8).min(BLOCK_BYTES);
        let mut block = vec![0; block_bytes as usize];
        let mut left = length;
        while left > 0 {
            for word in block.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            let count = left.min(block_bytes) as usize;
            out.write_all(&block[..count])?;
            left -= count as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_on_tmpfs_are_known_to_be_in_memory() {
        let on_disk = env!("CARGO_MANIFEST_DIR");
        for (parent, is_in_memory) in [("/dev/shm", true), (on_disk, false)] {
            let directory = tempfile::Builder::new().tempdir_in(parent);
            let directory = directory.expect("a directory");
            assert_eq!(
                Fixtures { directory }.are_in_memory(),
                is_in_memory,
                "{parent}"
            );
        }
    }
}
