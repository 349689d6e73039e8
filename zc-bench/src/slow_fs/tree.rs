//! The files and directories of the file system, and their bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{FileAttr, FileType, INodeNo};

/// The bytes of a file.
#[derive(Debug, Clone)]
pub enum Content {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// So many bytes that differ from place to place; see [`pattern`].
    Pattern {
        /// Files with different seeds have different bytes.
        seed: u64,
        /// The length in bytes.
        length: u64,
    },
    /// The bytes of a [`Content::Pattern`], by a file that says one length and is of another.
    ///
    /// The kernel asks for what is behind the said length only of files that it keeps no bytes of.
    Lie {
        /// As of a pattern.
        seed: u64,
        /// The length that the file has by its attributes, in bytes.
        length: u64,
        /// How many bytes reading it returns in all.
        there: u64,
        /// How many bytes each answer to a read has beyond those that were asked for. The kernel takes
        /// such an answer for `EIO`.
        excess: u32,
    },
}

/// The `length` bytes at `offset` of the file with this seed.
#[must_use]
pub fn pattern(seed: u64, offset: u64, length: usize) -> Vec<u8> {
    let word = |index: u64| {
        let mixed = (index ^ seed.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    let start = (offset % 8) as usize;
    let mut bytes = Vec::with_capacity(length + 16);
    let mut index = offset / 8;
    while bytes.len() < start + length {
        bytes.extend_from_slice(&word(index).to_le_bytes());
        index += 1;
    }
    bytes.drain(..start);
    bytes.truncate(length);
    bytes
}

/// All files and directories, by number.
pub(super) struct Tree {
    /// The node of number `n` stands at `n - 1`; the root has number 1.
    nodes: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Directory(BTreeMap<Vec<u8>, u64>),
    File(Content),
}

impl Default for Tree {
    /// An empty root.
    fn default() -> Self {
        Self {
            nodes: vec![Node::Directory(BTreeMap::new())],
        }
    }
}

impl Tree {
    /// Adds a file, and the directories above it.
    pub(super) fn add(&mut self, path: &Path, content: Content) {
        let mut parent = INodeNo::ROOT.0;
        let mut names: Vec<_> = path.iter().collect();
        let Some(last) = names.pop() else { return };
        for name in names {
            parent = self.directory(parent, name.as_bytes());
        }
        let number = self.add_node(Node::File(content));
        self.link(parent, last.as_bytes(), number);
    }

    /// Gives the file at `path`, which must be there, another content.
    pub(super) fn set_content(&mut self, path: &Path, content: Content) {
        let number = self.number(path);
        self.nodes[number as usize - 1] = Node::File(content);
    }

    /// The number of the file at `path`, which must be there.
    pub(super) fn number(&self, path: &Path) -> u64 {
        let mut number = INodeNo::ROOT.0;
        for name in path {
            let child = self.child(INodeNo(number), name.as_bytes());
            number = child.unwrap_or_else(|| panic!("no file {}", path.display()));
        }
        number
    }

    fn node(&self, number: INodeNo) -> Option<&Node> {
        self.nodes
            .get(usize::try_from(number.0).ok()?.checked_sub(1)?)
    }

    fn add_node(&mut self, node: Node) -> u64 {
        self.nodes.push(node);
        self.nodes.len() as u64
    }

    fn link(&mut self, parent: u64, name: &[u8], number: u64) {
        if let Some(Node::Directory(entries)) = self.nodes.get_mut(parent as usize - 1) {
            entries.insert(name.to_vec(), number);
        }
    }

    /// The directory `name` in `parent`, made if it is not there.
    fn directory(&mut self, parent: u64, name: &[u8]) -> u64 {
        if let Some(number) = self.child(INodeNo(parent), name) {
            return number;
        }
        let number = self.add_node(Node::Directory(BTreeMap::new()));
        self.link(parent, name, number);
        number
    }

    pub(super) fn child(&self, parent: INodeNo, name: &[u8]) -> Option<u64> {
        match self.node(parent)? {
            Node::Directory(entries) => entries.get(name).copied(),
            Node::File(_) => None,
        }
    }

    pub(super) fn attributes(&self, number: INodeNo, time: SystemTime) -> Option<FileAttr> {
        let (kind, perm, size) = match self.node(number)? {
            Node::Directory(_) => (FileType::Directory, 0o755, 0),
            Node::File(Content::Bytes(bytes)) => (FileType::RegularFile, 0o644, bytes.len() as u64),
            Node::File(Content::Pattern { length, .. } | Content::Lie { length, .. }) => {
                (FileType::RegularFile, 0o644, *length)
            }
        };
        Some(FileAttr {
            ino: number,
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    pub(super) fn read(&self, number: INodeNo, offset: u64, size: u32) -> Option<Vec<u8>> {
        let Node::File(content) = self.node(number)? else {
            return None;
        };
        Some(match content {
            Content::Bytes(bytes) => {
                let start = usize::try_from(offset).map_or(bytes.len(), |at| at.min(bytes.len()));
                let end = start.saturating_add(size as usize).min(bytes.len());
                bytes[start..end].to_vec()
            }
            Content::Pattern { seed, length } => {
                let count = length.saturating_sub(offset).min(u64::from(size));
                pattern(*seed, offset, count as usize)
            }
            Content::Lie {
                seed,
                there,
                excess,
                ..
            } => {
                let count = there.saturating_sub(offset).min(u64::from(size)) + u64::from(*excess);
                pattern(*seed, offset, count as usize)
            }
        })
    }

    /// Names, kinds and numbers of a directory, `.` and `..` first.
    pub(super) fn entries(&self, number: INodeNo) -> Option<Vec<(Vec<u8>, FileType, u64)>> {
        let Node::Directory(entries) = self.node(number)? else {
            return None;
        };
        let own = [&b"."[..], b".."].map(|name| (name.to_vec(), FileType::Directory, number.0));
        let others = entries.iter().map(|(name, &number)| {
            let kind = match self.node(INodeNo(number)) {
                Some(Node::Directory(_)) => FileType::Directory,
                _ => FileType::RegularFile,
            };
            (name.clone(), kind, number)
        });
        Some(own.into_iter().chain(others).collect())
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("nodes", &self.nodes.len())
            .finish()
    }
}
