//! A root, and opening of paths beneath it.
//!
//! A worker opens with [`OpenMode::CachedOnly`], and leaves what would block to a disk I/O thread.
//!
//! The kernel keeps every path beneath the root (`openat2(2)` with `RESOLVE_BENEATH`): it judges `..`, symbolic
//! links and concurrent renames at the moment of opening. Length, dates and bytes of a response all come
//! from the one descriptor that was opened.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::config::files::Symlinks;
use crate::disk::Key;
use crate::files::file_state::{FileState, coarse_now_ns};
use crate::files::mounts::{Mount, Mounts};
use crate::files::open_file::{FileHandle, OpenFile, OpenMode, Opened, ResolveError};

/// How often an open is repeated that failed because of a concurrent rename (`EAGAIN`, see
/// `openat2(2)`).
const RENAME_RETRIES_MAX: u32 = 32;

/// Resolution from the kernel's caches alone (`openat2(2)`, since Linux 5.12). Nix has no name for it.
const RESOLVE_CACHED: ResolveFlag = ResolveFlag::from_bits_retain(nix::libc::RESOLVE_CACHED);

/// An open waits for no FIFO and no device (`O_NONBLOCK`), and takes no terminal (`O_NOCTTY`).
const OPEN_FLAGS: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);

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
    pub(crate) fn open_path(
        &self,
        path: &[u8],
        open_mode: OpenMode,
    ) -> Result<Opened, ResolveError> {
        let fd = match open_mode {
            OpenMode::MayBlock => self.open_fd(path).map_err(ResolveError::from_errno)?,
            // Opening a file there asks a file server, or another program.
            OpenMode::CachedOnly if self.mount.is_remote() => return Err(ResolveError::WouldBlock),
            OpenMode::CachedOnly => self.open_cached(path, OPEN_FLAGS)?,
        };
        // Read before the state: what is in the past now is in the past of the state.
        let now_ns = coarse_now_ns();
        let stat = fstat(&fd).map_err(ResolveError::from_errno)?;
        let mount = match open_mode {
            // It was opened without leaving the mount of the root.
            OpenMode::CachedOnly => Arc::clone(&self.mount),
            OpenMode::MayBlock => self.mounts.mount_of(&fd),
        };
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
            _ => Err(ResolveError::NotFound),
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

    /// Whether the files in an open directory are interfaces of the kernel, which are not served.
    pub(crate) fn is_synthetic(&self, directory: impl AsFd) -> bool {
        self.mounts.mount_of(directory).is_synthetic()
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
            // EAGAIN: not in memory, or a rename is under way. EXDEV: another mount, or a link that
            // may lead back. EINVAL: a kernel before 5.12 does not know the flag.
            Err(Errno::EAGAIN | Errno::EXDEV | Errno::EINVAL | Errno::EINTR) => {
                Err(ResolveError::WouldBlock)
            }
            Err(errno) => Err(ResolveError::from_errno(errno)),
        }
    }

    fn open_fd(&self, path: &[u8]) -> nix::Result<OwnedFd> {
        let directory = self.directory.as_fd();
        match self.symlinks {
            Symlinks::Deny => open(
                directory,
                path,
                OPEN_FLAGS,
                ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS,
            ),
            Symlinks::Follow => open(directory, path, OPEN_FLAGS, ResolveFlag::empty()),
            Symlinks::Within => {
                match open(directory, path, OPEN_FLAGS, ResolveFlag::RESOLVE_BENEATH) {
                    // An absolute link, or one that leaves the root and may come back.
                    Err(Errno::EXDEV) => {
                        let inside = self.where_links_lead(path).ok_or(Errno::EXDEV)?;
                        // By now it has no links, unless somebody put one there: the kernel decides.
                        open(
                            directory,
                            inside.as_os_str().as_bytes(),
                            OPEN_FLAGS,
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

fn open(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlag,
    resolve: ResolveFlag,
) -> nix::Result<OwnedFd> {
    let mut retries = 0;
    loop {
        match openat2(directory, as_path(path), how(flags, resolve)) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if retries < RENAME_RETRIES_MAX => retries += 1,
            answer => return answer,
        }
    }
}

/// Opens a path of the configuration. It may lead anywhere.
fn open_here(path: &Path, flags: OFlag, resolve: ResolveFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(Mode::empty())
        .resolve(resolve);
    loop {
        match openat2(AT_FDCWD, path, how) {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
}

fn kind_of(mode: u32) -> SFlag {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT
}

/// The path below the root, for the kernel; the root itself is `.`.
fn as_path(path: &[u8]) -> &Path {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    Path::new(OsStr::from_bytes(path))
}

/// Magic links such as `/proc/PID/fd/1` are never followed, whatever `--symlinks` says.
fn how(flags: OFlag, resolve: ResolveFlag) -> OpenHow {
    OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(Mode::empty())
        .resolve(resolve | ResolveFlag::RESOLVE_NO_MAGICLINKS)
}
