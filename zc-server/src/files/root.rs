//! Relative path → opened file and its metadata, beneath the root and nowhere else.
//!
//! A worker opens only what can be told from memory ([`OpenMode::CachedOnly`]); what cannot is opened by
//! a thread that may wait.
//!
//! The kernel keeps us inside (`openat2(2)` with `RESOLVE_BENEATH`), not string tests: `..`,
//! symbolic links and renames under way are judged at the moment of opening. Length, dates and
//! bytes all come from the one descriptor that was opened.

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
use crate::files::mounts::{Mount, MountTable, Mounts};
use crate::files::open_file::{FileHandle, OpenFile, OpenMode, Opened, ResolveError};

/// How often an open is tried again while renames in the tree disturb it (`EAGAIN`, see
/// `openat2(2)`).
const RENAME_RETRIES_MAX: u32 = 32;

/// Only what the kernel has in memory (`openat2(2)`, since Linux 5.12). Nix has no name for it.
const RESOLVE_CACHED: ResolveFlag = ResolveFlag::from_bits_retain(nix::libc::RESOLVE_CACHED);

/// Neither a fifo nor a device is waited for (`O_NONBLOCK`), no terminal is taken (`O_NOCTTY`).
const OPEN_FLAGS: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);

/// A directory that is served, held open.
///
/// It is what the path of ROOT or of a site named when it was opened, and stays that, wherever the
/// path leads since.
#[derive(Debug)]
pub(crate) struct Root {
    id: RootId,
    identity: Identity,
    /// Opened by `O_PATH`, which takes search permission and not read permission.
    directory: OwnedFd,
    /// Its path when it was opened, canonical.
    path: PathBuf,
    /// The one file that is served, when ROOT names a file.
    only: Option<OnlyFile>,
    symlinks: Symlinks,
    /// The device and the mount of the root, which most files are on.
    device: u64,
    mount: Arc<Mount>,
    mounts: Arc<Mounts>,
    table: MountTable,
}

/// A number that no other root of this process has, or had.
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

/// What tells two files or directories apart as long as both exist, or are held open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: (u32, u32),
    inode: u64,
    /// 0 before Linux 5.8, which does not tell it.
    mount: u64,
}

/// The file that ROOT names.
#[derive(Debug)]
struct OnlyFile {
    /// Its name in the directory.
    name: Vec<u8>,
    /// The last segment of ROOT, where that is a link with another name.
    given: Option<Vec<u8>>,
    /// Keeps its inode number from being given to another file.
    _held: OwnedFd,
}

impl Root {
    /// Opens what `path`, absolute, names now. It waits as long as that takes.
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
                    _held: named.try_clone()?,
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
        let device = fstat(&opened)?.st_dev;
        Ok(Self {
            id: RootId::next(),
            identity,
            mount: mounts.mount_of(device, &opened),
            directory: opened,
            path: directory,
            only,
            symlinks,
            device,
            mounts,
            table: MountTable::read(),
        })
    }

    pub(crate) fn id(&self) -> RootId {
        self.id
    }

    /// What its path named when it was opened.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Where the file or the directory that is asked for by `path` is in the file system.
    pub(crate) fn path_of(&self, path: &[u8]) -> PathBuf {
        match &self.only {
            Some(only) => self.path_below(&only.name),
            None => self.path_below(path),
        }
    }

    /// Where `path` below the root is in the file system.
    pub(crate) fn path_below(&self, path: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(path))
    }

    /// The mount that `path` is on, as far as that can be told without asking it: whom work on it
    /// has to be shared with.
    pub(crate) fn key_of(&self, path: &[u8]) -> Key {
        self.table.key_of(&self.path.join(OsStr::from_bytes(path)))
    }

    /// Whether it serves one file and nothing beside it.
    pub(crate) fn is_file(&self) -> bool {
        self.only.is_some()
    }

    /// Of a root that is one file the name of that, if `path` asks for it: by its name, by the one
    /// that ROOT has, or by `/`.
    pub(crate) fn only(&self, path: &[u8]) -> Option<&[u8]> {
        let only = self.only.as_ref()?;
        let is_it = path.is_empty() || path == only.name || Some(path) == only.given.as_deref();
        is_it.then_some(&only.name)
    }

    /// Opens what `path` names. `path` is decoded, relative and free of dot segments; empty for the
    /// root itself.
    pub(crate) fn open_path(
        &self,
        path: &[u8],
        open_mode: OpenMode,
    ) -> Result<Opened, ResolveError> {
        let fd = match open_mode {
            OpenMode::MayBlock => self.open_fd(path).map_err(ResolveError::from_errno)?,
            // Opening itself would ask somebody else.
            OpenMode::CachedOnly if self.mount.is_remote() => return Err(ResolveError::WouldBlock),
            OpenMode::CachedOnly => self.open_cached(path, OPEN_FLAGS)?,
        };
        // Before the state is asked for: what is in the past now stays so.
        let now_ns = coarse_now_ns();
        let stat = fstat(&fd).map_err(ResolveError::from_errno)?;
        match kind_of(stat.st_mode) {
            SFlag::S_IFREG => {
                let mount = if stat.st_dev == self.device {
                    Arc::clone(&self.mount)
                } else {
                    self.mounts.mount_of(stat.st_dev, &fd)
                };
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
            SFlag::S_IFDIR => Ok(Opened::Directory(fd)),
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

    /// Whether something that is no directory stands at `path`, be it a link that leads nowhere.
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

    /// Whether the files in an open directory are interfaces of the kernel: nothing that is served.
    pub(crate) fn is_synthetic(&self, directory: impl AsFd) -> io::Result<bool> {
        let device = fstat(&directory)?.st_dev;
        Ok(self.mounts.mount_of(device, &directory).is_synthetic())
    }

    /// Opens what can be told from memory, and is on the mount of the root: of another one nobody
    /// knows before whether opening asks a server.
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

    /// The place below the root that `path` names by way of its links; `None` when that is outside.
    ///
    /// Nothing is opened for reading here: the kernel is asked for the real path of what stands
    /// there, and that path is opened beneath the root afterwards.
    fn where_links_lead(&self, path: &[u8]) -> Option<PathBuf> {
        let target = open(
            self.directory.as_fd(),
            path,
            OFlag::O_PATH,
            ResolveFlag::empty(),
        )
        .ok()?;
        let real = |fd: &OwnedFd| fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        // RequestTarget each time: the root may have been renamed.
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
    /// That of an open file or directory, as the kernel has it in memory: nobody else is asked.
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

    /// That of what `path`, absolute, names now.
    ///
    /// # Errors
    ///
    /// What `openat2(2)` and `statx(2)` report. With [`OpenMode::CachedOnly`] all but those of
    /// [`is_missing`](Self::is_missing) mean that it cannot be told without waiting.
    pub(crate) fn resolve(path: &Path, open_mode: OpenMode) -> io::Result<Self> {
        match open_mode {
            OpenMode::CachedOnly => Self::from_fd(open_here(path, OFlag::O_PATH, RESOLVE_CACHED)?),
            // Without a descriptor, of which there may be none left.
            OpenMode::MayBlock => Self::from_statx(CWD, path, AtFlags::STATX_DONT_SYNC),
        }
    }

    /// Whether the error says that a path names nothing.
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

/// Opens a path of the configuration, which may lead anywhere.
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

/// `/proc/PID/fd` and its like are never followed, whatever the policy.
fn how(flags: OFlag, resolve: ResolveFlag) -> OpenHow {
    OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(Mode::empty())
        .resolve(resolve | ResolveFlag::RESOLVE_NO_MAGICLINKS)
}
