//! Relative path → opened file and its metadata, beneath the root and nowhere else.
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

use zc_core::FileSystem;

use crate::config::{self, files::Symlinks};

/// How often an open is tried again while renames in the tree disturb it (`EAGAIN`, see
/// `openat2(2)`).
const RENAME_RETRIES_MAX: u32 = 32;

/// A directory that is served, held open.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    /// The one file that is served, when ROOT names a file.
    only: Option<Vec<u8>>,
    symlinks: Symlinks,
    /// The device of the root and the filesystem on it, so that it need not be asked for each file.
    mount: Option<(u64, FileSystem)>,
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
    pub(crate) file: Arc<File>,
    pub(crate) state: FileState,
    /// What filesystem the file is on, where that is known without asking.
    pub(crate) file_system: Option<FileSystem>,
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
}

impl Root {
    /// Opens the root, and asks for `openat2` once so that its absence is known at the start.
    pub(crate) fn open(root: &config::Root, symlinks: Symlinks) -> io::Result<Self> {
        let (directory, only) = match root {
            config::Root::Directory(directory) => (directory.as_path(), None),
            config::Root::File { directory, name } => {
                (directory.as_path(), Some(name.as_bytes().to_vec()))
            }
        };
        let directory = OwnedFd::from(File::open(directory)?);
        openat2(
            &directory,
            Path::new("."),
            how(OFlag::O_PATH, ResolveFlag::RESOLVE_BENEATH),
        )?;
        let device = fstat(&directory)?.st_dev;
        let mount = FileSystem::of(&directory).ok().map(|kind| (device, kind));
        Ok(Self {
            directory,
            only,
            symlinks,
            mount,
        })
    }

    /// The one name that is served, when ROOT names a file.
    pub(crate) fn only(&self) -> Option<&[u8]> {
        self.only.as_deref()
    }

    /// Opens what `path` names. `path` is decoded, relative and free of dot segments; empty for the
    /// root itself.
    pub(crate) fn open_path(&self, path: &[u8]) -> Result<Opened, ResolveError> {
        let fd = self.open_fd(path).map_err(ResolveError::from_errno)?;
        let stat = fstat(&fd).map_err(ResolveError::from_errno)?;
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => {
                let mount = self.mount.filter(|mount| mount.0 == stat.st_dev);
                Ok(Opened::File(OpenFile {
                    file: Arc::new(File::from(fd)),
                    state: FileState::from(&stat),
                    file_system: mount.map(|mount| mount.1),
                }))
            }
            SFlag::S_IFDIR => Ok(Opened::Directory(fd)),
            _ => Err(ResolveError::NotFound),
        }
    }

    /// The regular file at `path`.
    pub(crate) fn open_file(&self, path: &[u8]) -> Result<OpenFile, ResolveError> {
        match self.open_path(path)? {
            Opened::File(file) => Ok(file),
            Opened::Directory(_) => Err(ResolveError::NotFound),
        }
    }

    fn open_fd(&self, path: &[u8]) -> nix::Result<OwnedFd> {
        let path: &[u8] = if path.is_empty() { b"." } else { path };
        // Neither a fifo nor a device is waited for (`O_NONBLOCK`), no terminal is taken
        // (`O_NOCTTY`).
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let directory = self.directory.as_fd();
        match self.symlinks {
            Symlinks::Deny => open(
                directory,
                path,
                flags,
                ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS,
            ),
            Symlinks::Follow => open(directory, path, flags, ResolveFlag::empty()),
            Symlinks::Within => match open(directory, path, flags, ResolveFlag::RESOLVE_BENEATH) {
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
            },
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

    /// The first bytes of a small file, at most `bytes_max`; `None` when there is no such file.
    pub(crate) fn read_small(&self, path: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        let file = self.open_file(path).ok()?.file;
        let mut bytes = vec![0; bytes_max];
        let count = file.read_at(&mut bytes, 0).ok()?;
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
        }
    }
}

fn open(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlag,
    resolve: ResolveFlag,
) -> nix::Result<OwnedFd> {
    let path = Path::new(OsStr::from_bytes(path));
    let mut retries = 0;
    loop {
        match openat2(directory, path, how(flags, resolve)) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if retries < RENAME_RETRIES_MAX => retries += 1,
            answer => return answer,
        }
    }
}

/// `/proc/PID/fd` and its like are never followed, whatever the policy.
fn how(flags: OFlag, resolve: ResolveFlag) -> OpenHow {
    OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(Mode::empty())
        .resolve(resolve | ResolveFlag::RESOLVE_NO_MAGICLINKS)
}
