//! A directory as one file: a tar archive that nobody has written. A disk I/O thread walks the tree once, which tells
//! the length and every offset; headers are made as they are sent, and files are opened as they are reached.

mod cursor;
mod header;
mod walk;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use zc_http::EntityTag;

use crate::disk::Key;
use crate::files::budget::Reservation;
use crate::files::open_file::{OpenFile, OpenMode, ResolveError};
use crate::files::root::Root;

pub(crate) use cursor::{Cursor, FilePart};
use header::Kind;
pub(crate) use walk::ArchiveRequest;

/// The most archives that are made or sent at once.
pub(crate) const ARCHIVES_MAX: usize = 16;
/// What the archive of a root is called: its name on this machine is nobody's business.
const NAME_OF_ROOT: &[u8] = b"files";

/// The entries of a tree, in the order in which they are sent.
#[derive(Debug)]
pub(crate) struct Archive {
    root: Arc<Root>,
    /// The path of the directory below the root, empty for the root.
    path: Vec<u8>,
    /// The first is the directory itself.
    members: Vec<Member>,
    /// All names, and behind the name of a link its target.
    names: Vec<u8>,
    /// Bytes of the archive.
    length: u64,
    etag: Option<EntityTag>,
    /// Files and directories that this process may not read.
    unreadable: usize,
    memory: Reservation,
    _place: Place,
}

/// An entry of an archive.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// Where its header begins.
    offset: u64,
    /// Bytes of a file, or of the target of a link.
    length: u64,
    mtime_seconds: i64,
    mtime_ns: u32,
    name_start: u32,
    /// The directory that it is in; its own number for the first one.
    parent: u32,
    header_bytes: u32,
    name_bytes: u16,
    kind: Kind,
}

/// Why a file cannot be sent as a member of its archive.
#[derive(Debug)]
pub(crate) enum MemberError {
    /// The open would block, and was not allowed to.
    WouldBlock,
    /// It is not what it was when the tree was walked, or it is gone.
    Changed,
    Failed(io::Error),
}

/// Why there is no archive of a directory.
#[derive(Debug)]
pub(crate) enum ArchiveError {
    /// The directory cannot be opened.
    Open(ResolveError),
    /// A directory below it cannot be read, or the memory for archives is used up.
    Read(io::Error),
    TooManyEntries,
    TooDeep,
    TooLong,
}

impl Archive {
    /// Bytes of the archive.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Equal trees have equal tags, on whatever machine. `None` where the tree may change without changing it.
    pub(crate) fn etag(&self) -> Option<EntityTag> {
        self.etag
    }

    /// What it is to be saved as.
    pub(crate) fn file_name(&self) -> Vec<u8> {
        [name_of(&self.path), b".tar"].concat()
    }

    /// Files and directories below the directory that this process may not read. They are left out.
    pub(crate) fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Opens the file of a member, if it is as it was when the tree was walked: what the entity-tag stands for.
    pub(crate) fn open(&self, member: usize, open_mode: OpenMode) -> Result<OpenFile, MemberError> {
        let path = self.path_below(member);
        match self.root.open_file(&path, open_mode) {
            Ok(file) if self.members[member].is_like(&file) => Ok(file),
            Ok(_) | Err(ResolveError::NotFound | ResolveError::Forbidden) => {
                Err(MemberError::Changed)
            }
            Err(ResolveError::WouldBlock) => Err(MemberError::WouldBlock),
            Err(
                ResolveError::Exhausted(error)
                | ResolveError::Busy(error)
                | ResolveError::Failed(error),
            ) => Err(MemberError::Failed(error)),
        }
    }

    /// The absolute path of a member.
    pub(crate) fn absolute_path(&self, member: usize) -> PathBuf {
        self.root.path_below(&self.path_below(member))
    }

    /// The key of the mount that a member is on, as [`Root::key_of`] guesses it; that of the root where it
    /// cannot.
    pub(crate) fn mount_of(&self, member: usize) -> Key {
        let key = self.root.key_of(&self.path_below(member));
        key.unwrap_or_else(|| self.root.key())
    }

    /// The path of a member below the root.
    fn path_below(&self, member: usize) -> Vec<u8> {
        let mut name = Vec::new();
        self.append_name(&self.members[member], &mut name);
        let top = self
            .members
            .first()
            .map_or(0, |top| usize::from(top.name_bytes));
        match &self.path[..] {
            [] => name.split_off((top + 1).min(name.len())),
            path => [path, &name[top..]].concat(),
        }
    }

    /// Appends the path of a member in the archive, without a slash at its end.
    fn append_name(&self, member: &Member, out: &mut Vec<u8>) {
        // As deep as `walk::DEPTH_MAX`. The first member is its own parent.
        if member.name_start > 0
            && let Some(parent) = self.members.get(member.parent as usize)
        {
            self.append_name(parent, out);
            out.push(b'/');
        }
        out.extend_from_slice(member.name(&self.names));
    }

    fn target_of(&self, member: &Member) -> &[u8] {
        if member.kind != Kind::Link {
            return b"";
        }
        let start = member.name_start as usize + usize::from(member.name_bytes);
        // It was read into memory.
        &self.names[start..start + member.length as usize]
    }
}

impl Member {
    fn name<'a>(&self, names: &'a [u8]) -> &'a [u8] {
        let start = self.name_start as usize;
        &names[start..start + usize::from(self.name_bytes)]
    }

    fn body_bytes(&self) -> u64 {
        if self.kind.is_file() { self.length } else { 0 }
    }

    /// Whether a file has the length and the time that the archive tells of. Not its inode: copies that took its place
    /// are the same by the entity-tag, and file systems of programs number files anew.
    fn is_like(&self, file: &OpenFile) -> bool {
        let state = &file.state;
        (self.length, self.mtime_seconds, self.mtime_ns)
            == (
                state.length,
                state.mtime_seconds(),
                state.mtime_subsecond_ns(),
            )
    }
}

/// The name of the directory at `path` in its archive.
fn name_of(path: &[u8]) -> &[u8] {
    let name = path.rsplit(|&byte| byte == b'/').next();
    name.filter(|name| !name.is_empty()).unwrap_or(NAME_OF_ROOT)
}

/// The archives that are made or sent. A clone is another handle of the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Arc<AtomicUsize>);

/// The place of one archive. The drop gives it back.
#[derive(Debug)]
pub(crate) struct Place(Places);

impl Places {
    /// A place for another archive; `None` where there are as many as there may be.
    pub(crate) fn take(&self) -> Option<Place> {
        let more = |taken| (taken < ARCHIVES_MAX).then_some(taken + 1);
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::TooManyEntries => write!(f, "it has more than {} entries", walk::ENTRIES_MAX),
            Self::TooDeep => write!(
                f,
                "it is more than {} directories deep, or a path in it is longer than {} bytes",
                walk::DEPTH_MAX,
                walk::PATH_BYTES_MAX
            ),
            Self::TooLong => f.write_str("its archive would have more than 8 EiB"),
        }
    }
}

#[cfg(test)]
mod tests;
