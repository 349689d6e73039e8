//! Relative path → opened file and its metadata, beneath the root and nowhere else.
//!
//! The kernel keeps us inside (`openat2(2)` with `RESOLVE_BENEATH`), not string tests: `..`,
//! symbolic links and renames under way are judged at the moment of opening. Length, dates and
//! bytes all come from the one descriptor that was opened.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use zc_core::FileSystem;

use crate::config;

/// How often an open is tried again while renames in the tree disturb it (`EAGAIN`, see
/// `openat2(2)`).
const RENAME_RETRIES_MAX: u32 = 32;

/// The directory that is served, held open.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    /// The one file that is served, when ROOT names a file.
    only: Option<Vec<u8>>,
    /// The device of the root and the filesystem on it, so that it need not be asked for each file.
    mount: Option<(u64, FileSystem)>,
}

/// What stands at a path.
#[derive(Debug)]
pub(crate) enum Resolved {
    File(OpenFile),
    /// A directory that was asked for without the final slash.
    Directory,
}

/// An open regular file, with what `fstat(2)` said of that very descriptor.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) fd: OwnedFd,
    pub(crate) length: u64,
    /// What filesystem the file is on, where that is known without asking.
    pub(crate) file_system: Option<FileSystem>,
    pub(crate) mtime_seconds: i64,
    pub(crate) mtime_ns: i128,
    /// The path that was opened, relative to the root: the media type follows from its extension.
    pub(crate) path: Vec<u8>,
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
    pub(crate) fn open(root: &config::Root) -> io::Result<Self> {
        let (directory, only) = match root {
            config::Root::Directory(directory) => (directory.as_path(), None),
            config::Root::File { directory, name } => {
                (directory.as_path(), Some(name.as_bytes().to_vec()))
            }
        };
        let directory = OwnedFd::from(std::fs::File::open(directory)?);
        openat2(&directory, Path::new("."), how(OFlag::O_PATH))?;
        let device = fstat(&directory)?.st_dev;
        let mount = FileSystem::of(&directory).ok().map(|kind| (device, kind));
        Ok(Self {
            directory,
            only,
            mount,
        })
    }

    /// Opens what `path` names. `path` is decoded, relative and free of dot segments;
    /// `is_directory` says that the target ended in a slash.
    pub(crate) fn resolve(
        &self,
        path: &[u8],
        is_directory: bool,
    ) -> Result<Resolved, ResolveError> {
        if let Some(name) = &self.only {
            if !path.is_empty() && (path != name || is_directory) {
                return Err(ResolveError::NotFound);
            }
            return self.open_file(name.clone());
        }
        if !is_directory && !path.is_empty() {
            return self.open_file(path.to_vec());
        }
        let mut index = path.to_vec();
        if !index.is_empty() {
            index.push(b'/');
        }
        index.extend_from_slice(b"index.html");
        match self.open_file(index)? {
            Resolved::File(file) => Ok(Resolved::File(file)),
            Resolved::Directory => Err(ResolveError::NotFound),
        }
    }

    fn open_file(&self, path: Vec<u8>) -> Result<Resolved, ResolveError> {
        let fd = open_beneath(self.directory.as_fd(), &path).map_err(ResolveError::from_errno)?;
        let stat = fstat(&fd).map_err(ResolveError::from_errno)?;
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => {
                let mount = self.mount.filter(|mount| mount.0 == stat.st_dev);
                let file_system = mount.map(|mount| mount.1);
                Ok(Resolved::File(OpenFile::new(fd, &stat, file_system, path)))
            }
            SFlag::S_IFDIR => Ok(Resolved::Directory),
            _ => Err(ResolveError::NotFound),
        }
    }
}

impl OpenFile {
    fn new(fd: OwnedFd, stat: &FileStat, file_system: Option<FileSystem>, path: Vec<u8>) -> Self {
        let mtime_seconds: i64 = stat.st_mtime;
        Self {
            fd,
            length: u64::try_from(stat.st_size).unwrap_or(0),
            file_system,
            mtime_seconds,
            mtime_ns: i128::from(mtime_seconds) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
            path,
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
            // EXDEV: the path leaves the root. ELOOP: a magic link, or links in a circle. ENXIO,
            // ENODEV: a socket or a device without a driver.
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

/// Neither a fifo nor a device is waited for (`O_NONBLOCK`), no terminal is taken (`O_NOCTTY`).
fn open_beneath(directory: BorrowedFd<'_>, path: &[u8]) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut retries = 0;
    loop {
        match openat2(directory, path, how(flags)) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if retries < RENAME_RETRIES_MAX => retries += 1,
            answer => return answer,
        }
    }
}

fn how(flags: OFlag) -> OpenHow {
    OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(Mode::empty())
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS)
}
