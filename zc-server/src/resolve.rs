//! Relative path → opened file and its metadata, beneath the root and nowhere else.
//!
//! A worker opens only what can be told from memory ([`Patience::Cached`]); what cannot is opened by
//! a thread that may wait.
//!
//! The kernel keeps us inside (`openat2(2)` with `RESOLVE_BENEATH`), not string tests: `..`,
//! symbolic links and renames under way are judged at the moment of opening. Length, dates and
//! bytes all come from the one descriptor that was opened.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use crate::config::{self, files::Symlinks};
use crate::disk::{Closer, Key};
use crate::mounts::{Mount, MountTable, Mounts};

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
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    /// Its path when it was opened, canonical.
    path: PathBuf,
    /// The one file that is served, when ROOT names a file.
    only: Option<Vec<u8>>,
    symlinks: Symlinks,
    /// The device and the mount of the root, which most files are on.
    device: u64,
    mount: Arc<Mount>,
    mounts: Arc<Mounts>,
    table: Arc<MountTable>,
}

/// Whether an open may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Only what the kernel can tell from memory, and on the mount of the root alone; otherwise the
    /// answer is [`ResolveError::Waits`].
    Cached,
    /// As long as it takes.
    Any,
}

/// What stands at a path.
#[derive(Debug)]
pub(crate) enum Opened {
    File(OpenFile),
    /// A directory, open for reading.
    Directory(OwnedFd),
}

/// An open regular file, with what `fstat(2)` said of that very descriptor.
#[derive(Debug, Clone)]
pub(crate) struct OpenFile {
    pub(crate) file: Arc<Handle>,
    pub(crate) state: FileState,
    pub(crate) mount: Arc<Mount>,
}

/// An open file that is closed where closing waits for nobody.
#[derive(Debug)]
pub(crate) struct Handle {
    /// `None` only while it is dropped.
    file: Option<File>,
    closer: Option<Closer>,
}

impl Handle {
    fn new(file: File, mount: &Mount) -> Self {
        Self {
            file: Some(file),
            closer: mount.closer().cloned(),
        }
    }

    /// One that is closed here and now.
    #[cfg(test)]
    pub(crate) fn of(file: File) -> Self {
        Self {
            file: Some(file),
            closer: None,
        }
    }

    pub(crate) fn file(&self) -> &File {
        match &self.file {
            Some(file) => file,
            None => unreachable!("it is taken by the drop alone"),
        }
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file().as_fd()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Others are closed by the drop of the field.
        if let Some(closer) = &self.closer
            && let Some(file) = self.file.take()
        {
            closer.close(file);
        }
    }
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileState {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) length: u64,
    /// When the bytes were last written, as told by whoever wrote them; nanoseconds since 1970.
    pub(crate) mtime_ns: i128,
    /// When bytes or metadata last changed, as told by the kernel; nanoseconds since 1970.
    pub(crate) ctime_ns: i128,
}

/// Why nothing is served from a path.
#[derive(Debug)]
pub(crate) enum ResolveError {
    /// Nothing there, or something that is not a file, or something outside the root: the answer
    /// is the same, so that nobody learns what lies outside.
    NotFound,
    /// The file is there and this process may not read it.
    Forbidden,
    /// Out of descriptors or memory: it may work later.
    Exhausted(io::Error),
    /// The disk or the filesystem failed.
    Failed(io::Error),
    /// It cannot be told without waiting, and waiting was not allowed.
    Waits,
}

impl Root {
    /// Opens the root, and asks for `openat2` once so that its absence is known at the start.
    pub(crate) fn open(
        root: &config::Root,
        symlinks: Symlinks,
        mounts: Arc<Mounts>,
        table: Arc<MountTable>,
    ) -> io::Result<Self> {
        let (path, only) = match root {
            config::Root::Directory(directory) => (directory, None),
            config::Root::File { directory, name } => (directory, Some(name.as_bytes().to_vec())),
        };
        let directory = OwnedFd::from(File::open(path)?);
        openat2(
            &directory,
            Path::new("."),
            how(OFlag::O_PATH, ResolveFlag::RESOLVE_BENEATH),
        )?;
        let device = fstat(&directory)?.st_dev;
        Ok(Self {
            mount: mounts.of(device, &directory),
            directory,
            path: path.clone(),
            only,
            symlinks,
            device,
            mounts,
            table,
        })
    }

    /// Where the file or the directory that is asked for by `path` is in the file system.
    pub(crate) fn path_of(&self, path: &[u8]) -> PathBuf {
        self.path_below(self.only.as_deref().unwrap_or(path))
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

    /// The one name that is served, when ROOT names a file.
    pub(crate) fn only(&self) -> Option<&[u8]> {
        self.only.as_deref()
    }

    /// Opens what `path` names. `path` is decoded, relative and free of dot segments; empty for the
    /// root itself.
    pub(crate) fn open_path(
        &self,
        path: &[u8],
        patience: Patience,
    ) -> Result<Opened, ResolveError> {
        let fd = match patience {
            Patience::Any => self.open_fd(path).map_err(ResolveError::from_errno)?,
            // Opening itself would ask somebody else.
            Patience::Cached if self.mount.is_remote() => return Err(ResolveError::Waits),
            Patience::Cached => self.open_cached(path)?,
        };
        let stat = fstat(&fd).map_err(ResolveError::from_errno)?;
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => {
                let mount = if stat.st_dev == self.device {
                    Arc::clone(&self.mount)
                } else {
                    self.mounts.of(stat.st_dev, &fd)
                };
                Ok(Opened::File(OpenFile {
                    file: Arc::new(Handle::new(File::from(fd), &mount)),
                    state: FileState::from(&stat),
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
        patience: Patience,
    ) -> Result<OpenFile, ResolveError> {
        match self.open_path(path, patience)? {
            Opened::File(file) => Ok(file),
            Opened::Directory(_) => Err(ResolveError::NotFound),
        }
    }

    /// Opens what can be told from memory, and is on the mount of the root: of another one nobody
    /// knows before whether opening asks a server.
    fn open_cached(&self, path: &[u8]) -> Result<OwnedFd, ResolveError> {
        let resolve = match self.symlinks {
            Symlinks::Deny => ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS,
            Symlinks::Within => ResolveFlag::RESOLVE_BENEATH,
            Symlinks::Follow => ResolveFlag::empty(),
        };
        let resolve = resolve | RESOLVE_CACHED | ResolveFlag::RESOLVE_NO_XDEV;
        match openat2(&self.directory, as_path(path), how(OPEN_FLAGS, resolve)) {
            Ok(fd) => Ok(fd),
            // EAGAIN: not in memory, or a rename is under way. EXDEV: another mount, or a link that
            // may lead back. EINVAL: a kernel before 5.12 does not know the flag.
            Err(Errno::EAGAIN | Errno::EXDEV | Errno::EINVAL | Errno::EINTR) => {
                Err(ResolveError::Waits)
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
        let real = |fd: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        // Asked each time: the root may have been renamed.
        let root = real(&self.directory).ok()?;
        let below = real(&target).ok()?.strip_prefix(root).ok()?.to_owned();
        Some(if below.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            below
        })
    }

    /// The first bytes of a small file, at most `bytes_max`; `None` when there is no such file. It
    /// waits as long as it takes.
    pub(crate) fn read_small(&self, path: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        let file = self.open_file(path, Patience::Any).ok()?.file;
        let mut bytes = vec![0; bytes_max];
        let count = file.file().read_at(&mut bytes, 0).ok()?;
        bytes.truncate(count);
        Some(bytes)
    }
}

impl FileState {
    pub(crate) fn mtime_seconds(&self) -> i64 {
        // Seconds since 1970 fitted 64 bits when the kernel told them.
        i64::try_from(self.mtime_ns.div_euclid(NS_PER_SECOND)).unwrap_or(i64::MAX)
    }
}

const NS_PER_SECOND: i128 = 1_000_000_000;

impl FileState {
    /// What `fstat(2)` says of an open file.
    pub(crate) fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::from(&fstat(file)?))
    }
}

impl From<&FileStat> for FileState {
    fn from(stat: &FileStat) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * NS_PER_SECOND + i128::from(ns);
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            length: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: ns(stat.st_mtime, stat.st_mtime_nsec),
            ctime_ns: ns(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl ResolveError {
    fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::EACCES | Errno::EPERM => Self::Forbidden,
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN => {
                Self::Exhausted(errno.into())
            }
            // EXDEV: the path leaves the root. ELOOP: a link where none is followed, a magic link,
            // or links in a circle. ENXIO, ENODEV: a socket or a device without a driver.
            Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::EXDEV
            | Errno::ELOOP
            | Errno::ENAMETOOLONG
            | Errno::EINVAL
            | Errno::ENXIO
            | Errno::ENODEV => Self::NotFound,
            _ => Self::Failed(errno.into()),
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::Forbidden => f.write_str("permission denied"),
            Self::Exhausted(error) | Self::Failed(error) => error.fmt(f),
            Self::Waits => f.write_str("it would have to be waited for"),
        }
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
