//! A root, and opening of paths beneath it.
//!
//! A worker opens with [`OpenMode::CachedOnly`], and leaves what would block to a disk I/O thread.
//!
//! The kernel keeps every path beneath the root (`openat2(2)` with `RESOLVE_BENEATH`): it judges `..`, symbolic
//! links and concurrent renames at the moment of opening. Length, dates and bytes of a response all come
//! from the one descriptor that was opened.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::config::files::Symlinks;
use crate::disk::Key;
use crate::files::file_state::{Clock, FileState};
use crate::files::mounts::{Mount, Mounts};
use crate::files::open::{
    OpenedFd, READ_FLAGS, RESOLVE_CACHED, as_path, how, kind_of, open, open_here,
};
use crate::files::open_file::{FileHandle, OpenFile, OpenMode, Opened, ResolveError};
use crate::files::regular::RegularPaths;

/// A directory that is served, held open.
///
/// It stays the directory that the path of ROOT or of a site named when it was opened, whatever that path
/// names later.
#[derive(Debug)]
pub(crate) struct Root {
    id: RootId,
    identity: Identity,
    /// Opened with `O_PATH`, which needs search permission and no read permission.
    directory: OwnedFd,
    /// Its canonical path when it was opened.
    path: PathBuf,
    /// The one file that is served, where ROOT is a file.
    only: Option<OnlyFile>,
    symlinks: Symlinks,
    /// The mount of the root. Most files are on it.
    mount: Arc<Mount>,
    mounts: Arc<Mounts>,
    regular: RegularPaths,
}

/// A number that identifies a root. No other root of this process has it, now or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RootId(u64);

impl RootId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    #[cfg(test)]
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// The identity of a file or directory, as long as it exists or is held open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: (u32, u32),
    inode: u64,
    /// 0 before Linux 5.8, which does not have it.
    mount: u64,
}

/// The file that ROOT names.
#[derive(Debug)]
struct OnlyFile {
    /// Its name in the directory.
    name: Vec<u8>,
    /// The last segment of ROOT, where that is a symbolic link with another name.
    given: Option<Vec<u8>>,
    /// Keeps its inode number from being reused.
    _held: FileHandle,
}

impl Root {
    /// Opens what the absolute `path` names now. It may block.
    pub(crate) fn open(path: &Path, symlinks: Symlinks, mounts: Arc<Mounts>) -> io::Result<Self> {
        let canonical = fs::canonicalize(path)?;
        let named = open_here(&canonical, OFlag::O_PATH, ResolveFlag::empty())?;
        let identity = Identity::from_fd(&named)?;
        let (directory, only) = match kind_of(fstat(&named)?.st_mode) {
            SFlag::S_IFDIR => (canonical, None),
            SFlag::S_IFREG => {
                let split = canonical.parent().zip(canonical.file_name());
                let (directory, name) = split.ok_or(io::ErrorKind::NotFound)?;
                let given = path.file_name().filter(|&given| given != name);
                let only = OnlyFile {
                    name: name.as_bytes().to_vec(),
                    given: given.map(|given| given.as_bytes().to_vec()),
                    _held: FileHandle::new(
                        File::from(named.try_clone()?),
                        &mounts.mount_of(&named),
                    ),
                };
                (directory.to_owned(), Some(only))
            }
            _ => return Err(io::ErrorKind::NotADirectory.into()),
        };
        let opened = match only {
            None => named,
            Some(_) => open_here(
                &directory,
                OFlag::O_PATH | OFlag::O_DIRECTORY,
                ResolveFlag::empty(),
            )?,
        };
        Ok(Self {
            id: RootId::next(),
            identity,
            mount: mounts.mount_of(&opened),
            directory: opened,
            path: directory,
            only,
            symlinks,
            mounts,
            regular: RegularPaths::new(),
        })
    }

    pub(crate) fn id(&self) -> RootId {
        self.id
    }

    /// Whether it is on a network filesystem, or one of another program.
    pub(crate) fn is_remote(&self) -> bool {
        self.mount.is_remote()
    }

    /// The identity of what its path named when it was opened.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The absolute path of what a request for `path` names.
    pub(crate) fn path_of(&self, path: &[u8]) -> PathBuf {
        match &self.only {
            Some(only) => self.path_below(&only.name),
            None => self.path_below(path),
        }
    }

    /// The absolute path of `path` below the root.
    pub(crate) fn path_below(&self, path: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(path))
    }

    /// The key of the mount that `path` is on, by which the jobs of the disk are queued, as
    /// [`Mounts::key_of`] guesses it.
    pub(crate) fn key_of(&self, path: &[u8]) -> Option<Key> {
        self.mounts.key_of(&self.path_below(path))
    }

    /// The key of its own mount.
    pub(crate) fn key(&self) -> Key {
        self.mount.key()
    }

    /// Which symbolic links are followed below it.
    pub(crate) fn symlinks(&self) -> Symlinks {
        self.symlinks
    }

    /// Whether ROOT is one file.
    pub(crate) fn is_file(&self) -> bool {
        self.only.is_some()
    }

    /// The name of the one file, where ROOT is a file and `path` names it: by its name, by the last segment of
    /// ROOT, or by the empty path.
    pub(crate) fn only(&self, path: &[u8]) -> Option<&[u8]> {
        let only = self.only.as_ref()?;
        let is_it = path.is_empty() || path == only.name || Some(path) == only.given.as_deref();
        is_it.then_some(&only.name)
    }

    /// Opens `path`, which is decoded, relative and free of dot segments. The empty path is the root.
    ///
    /// With [`OpenMode::MayBlock`] it waits until a process that holds a write lease on the file (`F_SETLEASE`,
    /// `fcntl(2)`) has given it up, or the kernel has taken it away: after `/proc/sys/fs/lease-break-time`.
    pub(crate) fn open_path(
        &self,
        path: &[u8],
        open_mode: OpenMode,
    ) -> Result<Opened, ResolveError> {
        let OpenedFd { fd, stat, now_ns } = self.open_to_read(path, open_mode)?;
        let mount = self.mount_of(&fd, open_mode);
        match kind_of(stat.st_mode) {
            SFlag::S_IFREG => {
                if mount.is_synthetic() {
                    return Err(ResolveError::NotFound);
                }
                let state = FileState::from(&stat);
                Ok(Opened::File(OpenFile {
                    file: Arc::new(FileHandle::new(File::from(fd), &mount)),
                    state,
                    stability: state.stability(now_ns, mount.clock()),
                    mount,
                }))
            }
            SFlag::S_IFDIR => Ok(Opened::Directory(FileHandle::new(File::from(fd), &mount))),
            _ => {
                self.regular.remove(path);
                Err(ResolveError::NotFound)
            }
        }
    }

    /// The regular file at `path`.
    pub(crate) fn open_file(
        &self,
        path: &[u8],
        open_mode: OpenMode,
    ) -> Result<OpenFile, ResolveError> {
        match self.open_path(path, open_mode)? {
            Opened::File(file) => Ok(file),
            Opened::Directory(_) => Err(ResolveError::NotFound),
        }
    }

    /// Whether `path` is an entry that is no directory; a dangling symbolic link is one.
    pub(crate) fn has_entry(&self, path: &[u8], open_mode: OpenMode) -> Result<bool, ResolveError> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let opened = match open_mode {
            OpenMode::MayBlock => open(
                self.directory.as_fd(),
                path,
                flags,
                ResolveFlag::RESOLVE_BENEATH,
            )
            .map_err(ResolveError::from_errno),
            OpenMode::CachedOnly => self.open_cached(path, flags),
        };
        match opened {
            Ok(fd) => {
                let stat = fstat(&fd).map_err(ResolveError::from_errno)?;
                Ok(kind_of(stat.st_mode) != SFlag::S_IFDIR)
            }
            Err(ResolveError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether `path` names a directory, and its state; `None` where it names nothing that is served. Nothing
    /// is opened for reading. It may block.
    pub(crate) fn look_at(&self, path: &[u8]) -> Option<(bool, FileState)> {
        let looked = self.open_at(path, OFlag::O_PATH, OpenMode::MayBlock).ok()?;
        let stat = fstat(&looked).ok()?;
        match kind_of(stat.st_mode) {
            SFlag::S_IFREG if self.mount_of(&looked, OpenMode::MayBlock).is_synthetic() => None,
            SFlag::S_IFREG => Some((false, FileState::from(&stat))),
            SFlag::S_IFDIR => Some((true, FileState::from(&stat))),
            _ => None,
        }
    }

    /// Whether the files in an open directory are interfaces of the kernel, which are not served.
    pub(crate) fn is_synthetic(&self, directory: impl AsFd) -> bool {
        self.mounts.mount_of(directory).is_synthetic()
    }

    /// The clock that the times in an open directory come from.
    pub(crate) fn clock_of(&self, directory: impl AsFd) -> Clock {
        self.mounts.mount_of(directory).clock()
    }

    /// The mount of `file`, which was opened in this mode.
    fn mount_of(&self, file: impl AsFd, open_mode: OpenMode) -> Arc<Mount> {
        match open_mode {
            // It was opened without leaving the mount of the root.
            OpenMode::CachedOnly => Arc::clone(&self.mount),
            OpenMode::MayBlock => self.mounts.mount_of(file),
        }
    }

    /// Opens what `path` names for reading if it is a regular file or a directory. The open of anything else
    /// has effects, so it is looked at first (`O_PATH`). A path that named a regular file before is opened
    /// at once by a worker: if it names a FIFO by now, who writes to that is woken once.
    fn open_to_read(&self, path: &[u8], open_mode: OpenMode) -> Result<OpenedFd, ResolveError> {
        if open_mode == OpenMode::CachedOnly && self.regular.contains(path) {
            return OpenedFd::new(self.open_at(path, READ_FLAGS, open_mode)?);
        }
        let looked = OpenedFd::new(self.open_at(path, OFlag::O_PATH, open_mode)?)?;
        match kind_of(looked.stat.st_mode) {
            SFlag::S_IFREG => {
                self.regular.insert(path);
                match looked.reopen(open_mode) {
                    // Resolved again, in the same bounds.
                    Err(ResolveError::NotFound) => {
                        OpenedFd::new(self.open_at(path, READ_FLAGS, open_mode)?)
                    }
                    answer => answer,
                }
            }
            // By its path: that mounts what is mounted on demand, and needs no `/proc`.
            SFlag::S_IFDIR => {
                let flags = READ_FLAGS | OFlag::O_DIRECTORY;
                OpenedFd::new(self.open_at(path, flags, open_mode)?)
            }
            _ => Err(ResolveError::NotFound),
        }
    }

    fn open_at(
        &self,
        path: &[u8],
        flags: OFlag,
        open_mode: OpenMode,
    ) -> Result<OwnedFd, ResolveError> {
        match open_mode {
            OpenMode::MayBlock => self.open_fd(path, flags).map_err(ResolveError::from_errno),
            // Opening a file there asks a file server, or another program.
            OpenMode::CachedOnly if self.mount.is_remote() => Err(ResolveError::WouldBlock),
            OpenMode::CachedOnly => self.open_cached(path, flags),
        }
    }

    /// Opens from the kernel's caches, and on the mount of the root alone: on another mount an open may ask a
    /// file server.
    fn open_cached(&self, path: &[u8], flags: OFlag) -> Result<OwnedFd, ResolveError> {
        let resolve = match self.symlinks {
            Symlinks::Deny => ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS,
            Symlinks::Within => ResolveFlag::RESOLVE_BENEATH,
            Symlinks::Follow => ResolveFlag::empty(),
        };
        let resolve = resolve | RESOLVE_CACHED | ResolveFlag::RESOLVE_NO_XDEV;
        match openat2(&self.directory, as_path(path), how(flags, resolve)) {
            Ok(fd) => Ok(fd),
            // EAGAIN: not in memory, a rename is under way, or another process has a lease. EXDEV: another
            // mount, or a link that may lead back. EINVAL: a kernel before 5.12 does not know the flag.
            Err(Errno::EAGAIN | Errno::EXDEV | Errno::EINVAL | Errno::EINTR) => {
                Err(ResolveError::WouldBlock)
            }
            Err(errno) => Err(ResolveError::from_errno(errno)),
        }
    }

    fn open_fd(&self, path: &[u8], flags: OFlag) -> nix::Result<OwnedFd> {
        let directory = self.directory.as_fd();
        match self.symlinks {
            Symlinks::Deny => open(
                directory,
                path,
                flags,
                ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS,
            ),
            Symlinks::Follow => open(directory, path, flags, ResolveFlag::empty()),
            Symlinks::Within => {
                match open(directory, path, flags, ResolveFlag::RESOLVE_BENEATH) {
                    // An absolute link, or one that leaves the root and may come back.
                    Err(Errno::EXDEV) => {
                        let inside = self.where_links_lead(path).ok_or(Errno::EXDEV)?;
                        // By now it has no links, unless somebody put one there: the kernel decides.
                        open(
                            directory,
                            inside.as_os_str().as_bytes(),
                            flags,
                            ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS,
                        )
                    }
                    answer => answer,
                }
            }
        }
    }

    /// The path below the root that `path` leads to through symbolic links; `None` if it leads outside.
    ///
    /// The target is opened with `O_PATH` to learn its real path. The caller opens that path beneath the root
    /// for reading.
    fn where_links_lead(&self, path: &[u8]) -> Option<PathBuf> {
        let target = open(
            self.directory.as_fd(),
            path,
            OFlag::O_PATH,
            ResolveFlag::empty(),
        )
        .ok()?;
        let real = |fd: &OwnedFd| fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        // Read each time: the root may have been renamed.
        let root = real(&self.directory).ok()?;
        let below = real(&target).ok()?.strip_prefix(root).ok()?.to_owned();
        Some(if below.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            below
        })
    }
}

impl Identity {
    /// The identity of an open file or directory, from the kernel's caches: no file server is asked.
    fn from_fd(fd: impl AsFd) -> io::Result<Self> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        Self::from_statx(fd, Path::new(""), flags)
    }

    fn from_statx(directory: impl AsFd, path: &Path, flags: AtFlags) -> io::Result<Self> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let told = statx(directory, path, flags, wanted)?;
        let has_mount = told.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        Ok(Self {
            device: (told.stx_dev_major, told.stx_dev_minor),
            inode: told.stx_ino,
            mount: if has_mount { told.stx_mnt_id } else { 0 },
        })
    }

    /// The identity of what the absolute `path` names now.
    ///
    /// # Errors
    ///
    /// Those of `openat2(2)` and `statx(2)`. With [`OpenMode::CachedOnly`] all errors but those of
    /// [`is_missing`](Self::is_missing) mean that it would block.
    pub(crate) fn resolve(path: &Path, open_mode: OpenMode) -> io::Result<Self> {
        match open_mode {
            OpenMode::CachedOnly => Self::from_fd(open_here(path, OFlag::O_PATH, RESOLVE_CACHED)?),
            // This needs no descriptor, of which none may be left.
            OpenMode::MayBlock => Self::from_statx(CWD, path, AtFlags::STATX_DONT_SYNC),
        }
    }

    /// Whether the error means that the path names nothing.
    pub(crate) fn is_missing(error: &io::Error) -> bool {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    }
}
