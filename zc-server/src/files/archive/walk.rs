//! The walk of a tree, on a thread that may wait for the disk.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use bytes::BytesMut;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstatat};
use rustix::fs::{Access, accessat};
use sha2::{Digest, Sha256};
use zc_http::EntityTag;

use super::header::{BLOCK_BYTES, END_BYTES, Kind};
use super::{Archive, ArchiveError, Member, Place, name_of};
use crate::config::files::{EntityTags, Symlinks};
use crate::disk::CancelToken;
use crate::files::budget::{Budget, Reservation};
use crate::files::file_state::{FileState, coarse_now_ns};
use crate::files::open_file::{FileHandle, OpenMode, Opened, ResolveError};
use crate::files::root::Root;
use crate::files::validators::tells_versions_apart;

/// The most entries of one archive: as many as a listing may have.
pub(super) const ENTRIES_MAX: usize = 1_000_000;
/// The most directories below each other.
pub(super) const DEPTH_MAX: usize = 128;
/// The longest path that the kernel takes (`PATH_MAX`, without the zero at its end), from the root on.
pub(super) const PATH_BYTES_MAX: usize = 4095;
/// After how many entries the walk tells that it has come further.
const PROGRESS_ENTRIES: usize = 256;
/// The memory of one entry without its name, in bytes. While a directory is read it is there twice.
const ENTRY_BYTES: usize = 2 * size_of::<Member>();
/// What a tag is made of begins with this: archives of another form will have other tags.
const FORM: &[u8] = b"zc tar 1";

/// A directory that is to be sent as an archive.
#[derive(Debug)]
pub(crate) struct ArchiveRequest {
    pub(crate) root: Arc<Root>,
    /// The decoded path, empty for the root.
    pub(crate) path: Vec<u8>,
    pub(crate) hidden: bool,
    pub(crate) symlinks: Symlinks,
    pub(crate) etags: EntityTags,
    pub(crate) memory: Budget,
    pub(crate) place: Place,
}

/// A walk under way.
struct Walk<'t> {
    archive: Archive,
    hidden: bool,
    links: bool,
    /// Whether an entity-tag tells this tree from what it becomes.
    is_tagged: bool,
    /// Entries that were found so far.
    entries: usize,
    token: &'t CancelToken,
}

/// A directory that the walk is in.
#[derive(Clone, Copy)]
struct Directory<'p> {
    /// Its number among the members.
    member: u32,
    /// Directories between it and the first one.
    depth: usize,
    /// Its path below the root.
    path: &'p [u8],
}

impl ArchiveRequest {
    /// Walks the tree. It leaves out what is not served: devices, hidden names, what this process may not read, and
    /// links that lead out of the directory. `token` is told of its progress, and ends it.
    pub(crate) fn read(self, token: &CancelToken) -> Result<Archive, ArchiveError> {
        let path = self.path.clone();
        let mut walk = Walk {
            archive: Archive {
                root: self.root,
                members: Vec::new(),
                names: name_of(&self.path).to_vec(),
                path: self.path,
                length: 0,
                etag: None,
                unreadable: 0,
                memory: Reservation::new(self.memory),
                _place: self.place,
            },
            hidden: self.hidden,
            links: self.symlinks != Symlinks::Deny,
            is_tagged: self.etags == EntityTags::Auto,
            entries: 1,
            token,
        };
        let opened = walk.archive.root.open_path(&path, OpenMode::MayBlock);
        let Opened::Directory(handle) = opened.map_err(ArchiveError::Open)? else {
            return Err(ArchiveError::Open(ResolveError::NotFound));
        };
        let state = FileState::from_file(&handle).map_err(ArchiveError::Read)?;
        let name_bytes = u16::try_from(walk.archive.names.len()).unwrap_or(0);
        let top = Member::new(Kind::Directory, &state, (0, name_bytes), 0);
        walk.archive.members.push(top);
        let directory = Directory {
            member: 0,
            depth: 0,
            path: &path,
        };
        walk.directory(directory, handle)?;
        let Walk {
            mut archive,
            is_tagged,
            ..
        } = walk;
        archive.lay_out()?;
        archive.etag = is_tagged.then(|| archive.tag()).flatten();
        Ok(archive)
    }
}

impl Walk<'_> {
    /// Adds what is in a directory, by name, and what is in the directories in it.
    fn directory(&mut self, at: Directory<'_>, handle: FileHandle) -> Result<(), ArchiveError> {
        if self.archive.root.is_synthetic(&handle) {
            return Ok(());
        }
        let mut found = self.entries(at, &handle)?;
        drop(handle);
        let names = &self.archive.names;
        found.sort_unstable_by(|one, other| one.name(names).cmp(other.name(names)));
        for member in found {
            match member.kind {
                Kind::Directory => self.subdirectory(at, member)?,
                _ => self.archive.members.push(member),
            }
        }
        Ok(())
    }

    fn subdirectory(&mut self, at: Directory<'_>, member: Member) -> Result<(), ArchiveError> {
        let name = member.name(&self.archive.names);
        let path = match at.path {
            [] => name.to_vec(),
            path => [path, name].join(&b'/'),
        };
        if at.depth >= DEPTH_MAX {
            return Err(ArchiveError::TooDeep);
        }
        // By its path, as a request for it is answered: what took its place meanwhile is served as well.
        let handle = match self.archive.root.open_path(&path, OpenMode::MayBlock) {
            Ok(Opened::Directory(handle)) => handle,
            Err(ResolveError::Forbidden) => {
                self.archive.unreadable += 1;
                return Ok(());
            }
            Ok(Opened::File(_)) | Err(ResolveError::NotFound) => return Ok(()),
            Err(ResolveError::WouldBlock) => {
                return Err(ArchiveError::Read(io::ErrorKind::WouldBlock.into()));
            }
            Err(
                ResolveError::Exhausted(error)
                | ResolveError::Busy(error)
                | ResolveError::Failed(error),
            ) => return Err(ArchiveError::Read(error)),
        };
        // The bound of entries is far below 2^32.
        let number = self.archive.members.len() as u32;
        self.archive.members.push(member);
        let directory = Directory {
            member: number,
            depth: at.depth + 1,
            path: &path,
        };
        self.directory(directory, handle)
    }

    /// The entries of one directory that are sent.
    fn entries(
        &mut self,
        at: Directory<'_>,
        handle: &FileHandle,
    ) -> Result<Vec<Member>, ArchiveError> {
        let clock = self.archive.root.clock_of(handle);
        let now_ns = coarse_now_ns();
        let own = handle.as_fd().try_clone_to_owned();
        let own = own.map_err(ArchiveError::Read)?;
        let mut directory = Dir::from_fd(own).map_err(|errno| ArchiveError::Read(errno.into()))?;
        let mut found = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(|errno| ArchiveError::Read(errno.into()))?;
            let name = entry.file_name().to_bytes();
            let is_hidden = name.starts_with(b".") && !self.hidden;
            if is_hidden || name == b"." || name == b".." {
                continue;
            }
            // One that is gone is left out.
            let Ok(stat) = fstatat(handle, name, AtFlags::AT_SYMLINK_NOFOLLOW) else {
                continue;
            };
            let Some((kind, target)) = self.look_at(handle, name, &stat, at.depth) else {
                continue;
            };
            let state = FileState::from(&stat);
            if kind.is_file() {
                self.is_tagged &= tells_versions_apart(&state, state.stability(now_ns, clock));
            }
            self.reserve(at, name.len() + target.len())?;
            let names = &mut self.archive.names;
            // The memory of all names is bounded far below 4 GiB, and a name has 255 bytes at most.
            let place = (names.len() as u32, name.len() as u16);
            names.extend_from_slice(name);
            names.extend_from_slice(&target);
            let mut member = Member::new(kind, &state, place, at.member);
            if kind == Kind::Link {
                member.length = target.len() as u64;
            }
            found.push(member);
        }
        Ok(found)
    }

    /// Makes room for one more entry, of so many bytes of names, if that is within the bounds.
    fn reserve(&mut self, at: Directory<'_>, names_bytes: usize) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries);
        }
        if at.path.len() + 1 + names_bytes > PATH_BYTES_MAX {
            return Err(ArchiveError::TooDeep);
        }
        if self.entries.is_multiple_of(PROGRESS_ENTRIES) {
            self.token.on_progress();
            if self.token.is_cancelled() {
                return Err(ArchiveError::Read(io::ErrorKind::Interrupted.into()));
            }
        }
        let bytes = self.archive.names.len() + names_bytes + self.entries * ENTRY_BYTES;
        self.archive.memory.need(bytes).map_err(ArchiveError::Read)
    }

    /// What an entry is, and where it leads to if it is a link; `None` if it is left out.
    fn look_at(
        &mut self,
        directory: &FileHandle,
        name: &[u8],
        stat: &FileStat,
        depth: usize,
    ) -> Option<(Kind, Vec<u8>)> {
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFDIR => Some((Kind::Directory, Vec::new())),
            SFlag::S_IFREG => {
                let flags = rustix::fs::AtFlags::EACCESS;
                if accessat(directory, name, Access::READ_OK, flags).is_err() {
                    self.archive.unreadable += 1;
                    return None;
                }
                let is_executable = stat.st_mode & 0o111 != 0;
                let kind = if is_executable {
                    Kind::Executable
                } else {
                    Kind::File
                };
                Some((kind, Vec::new()))
            }
            SFlag::S_IFLNK if self.links => {
                let target = readlinkat(directory, name).ok()?;
                let target = target.as_bytes();
                stays_inside(target, depth, self.hidden).then(|| (Kind::Link, target.to_vec()))
            }
            _ => None,
        }
    }
}

/// Whether a link that is `depth` directories below the first one leads to what is in the archive, whatever other links
/// are on its way: its way up comes first, and ends there.
fn stays_inside(target: &[u8], depth: usize, hidden: bool) -> bool {
    let (mut up, mut is_down) = (0, false);
    for segment in target.split(|&byte| byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." if is_down => return false,
            b".." => up += 1,
            name if name.starts_with(b".") && !hidden => return false,
            _ => is_down = true,
        }
    }
    !target.starts_with(b"/") && up <= depth
}

impl Archive {
    /// Gives each member its offset.
    fn lay_out(&mut self) -> Result<(), ArchiveError> {
        let (mut end, mut header) = (0_u64, BytesMut::new());
        for index in 0..self.members.len() {
            let mut member = self.members[index];
            header.clear();
            self.append_header(&member, &mut header);
            member.offset = end;
            // A few KiB at most.
            member.header_bytes = header.len() as u32;
            let body = member.body_bytes().next_multiple_of(BLOCK_BYTES as u64);
            end = end
                .checked_add(body + header.len() as u64)
                .filter(|&end| end <= i64::MAX as u64 - END_BYTES)
                .ok_or(ArchiveError::TooLong)?;
            self.members[index] = member;
        }
        self.length = end + END_BYTES;
        Ok(())
    }

    /// The tag of all that the archive tells, and of the fractions of seconds that it does not.
    fn tag(&self) -> Option<EntityTag> {
        let mut hash = Sha256::new_with_prefix(FORM);
        for member in &self.members {
            hash.update([member.kind as u8]);
            hash.update(member.parent.to_be_bytes());
            hash.update(member.length.to_be_bytes());
            hash.update(member.mtime_seconds.to_be_bytes());
            hash.update(member.mtime_ns.to_be_bytes());
            hash.update(member.name_bytes.to_be_bytes());
            hash.update(member.name(&self.names));
            hash.update(self.target_of(member));
        }
        let digits = hash.finalize().iter().fold(String::new(), |digits, byte| {
            digits + &format!("{byte:02x}")
        });
        EntityTag::from_opaque(format!("tar-{digits}").as_bytes())
    }
}

impl Member {
    /// An entry whose name is at `place` among all names; its offset is not known yet. A directory has no length.
    fn new(kind: Kind, state: &FileState, place: (u32, u16), parent: u32) -> Self {
        Self {
            offset: 0,
            length: if kind.is_file() { state.length } else { 0 },
            mtime_seconds: state.mtime_seconds(),
            mtime_ns: state.mtime_subsecond_ns(),
            name_start: place.0,
            parent,
            header_bytes: 0,
            name_bytes: place.1,
            kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_may_lead_out_is_told_whatever_else_is_on_its_way() {
        for (target, depth, expected) in [
            (&b"a"[..], 0, true),
            (b"a/b/../c", 0, false),
            (b"a/..", 1, false),
            (b"./a//b/", 0, true),
            (b"..", 0, false),
            (b"..", 1, true),
            (b"../a", 1, true),
            (b"../../a", 1, false),
            (b"./../a", 1, true),
            (b"/a", 3, false),
            (b"//a", 3, false),
            (b".git/config", 0, false),
            (b"...", 0, false),
        ] {
            let found = stays_inside(target, depth, false);
            assert_eq!(found, expected, "{} {depth}", target.escape_ascii());
        }
        assert!(stays_inside(b".git/config", 0, true));
    }
}
