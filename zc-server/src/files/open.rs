//! The system calls that open files.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{self, AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use rustix::fs::{AtFlags, StatxFlags, statx};

use crate::files::file_state::coarse_now_ns;
use crate::files::open_file::{OpenMode, ResolveError};

/// How often an open is repeated that failed because of a concurrent rename (`EAGAIN`, see
/// `openat2(2)`).
const RENAME_RETRIES_MAX: u32 = 32;

/// Resolution from the kernel's caches alone (`openat2(2)`, since Linux 5.12). Nix has no name for it.
pub(super) const RESOLVE_CACHED: ResolveFlag =
    ResolveFlag::from_bits_retain(nix::libc::RESOLVE_CACHED);

/// For reading, where nobody may wait. No FIFO, no device and no lease is waited for (`O_NONBLOCK`), and no
/// terminal becomes that of the process (`O_NOCTTY`).
pub(super) const READ_FLAGS: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);

/// A file or directory that is open for reading.
pub(super) struct OpenedFd {
    pub(super) fd: OwnedFd,
    pub(super) stat: FileStat,
    /// The time, read before `stat`: what is in the past then is in the past of the state.
    pub(super) now_ns: i128,
}

impl OpenedFd {
    pub(super) fn new(fd: OwnedFd) -> Result<Self, ResolveError> {
        let now_ns = coarse_now_ns();
        let stat = fstat(&fd).map_err(ResolveError::from_errno)?;
        Ok(Self { fd, stat, now_ns })
    }

    /// The same file, which was opened with `O_PATH` and is a regular one, for reading.
    ///
    /// # Errors
    ///
    /// Those of `open(2)`. `WouldBlock` where another process has a lease and nobody may wait, and `NotFound`
    /// where `/proc` is not mounted or a file server does not know the file any more.
    pub(super) fn reopen(&self, open_mode: OpenMode) -> Result<Self, ResolveError> {
        let flags = match open_mode {
            OpenMode::CachedOnly => READ_FLAGS,
            // It waits for a lease.
            OpenMode::MayBlock => READ_FLAGS.difference(OFlag::O_NONBLOCK),
        };
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let opened = loop {
            match fcntl::open(&path[..], flags | OFlag::O_CLOEXEC, Mode::empty()) {
                Err(Errno::EINTR) => {}
                answer => break answer,
            }
        };
        let fd = match (opened, open_mode) {
            (Ok(fd), OpenMode::CachedOnly) => fd,
            (Ok(fd), OpenMode::MayBlock) => {
                ask_for_state(&fd);
                return Self::new(fd);
            }
            (Err(Errno::EAGAIN), OpenMode::CachedOnly) => return Err(ResolveError::WouldBlock),
            (Err(Errno::ESTALE), _) => return Err(ResolveError::NotFound),
            (Err(errno), _) => return Err(ResolveError::from_errno(errno)),
        };
        Ok(Self { fd, ..*self })
    }
}

/// Has the kernel ask a file server or a program of FUSE for the state of a file that was opened. With FUSE an open gets
/// a handle alone, and what the kernel knows of the state may be a second old: the bytes of a file that was replaced would
/// get the entity-tag of the old one.
fn ask_for_state(fd: &OwnedFd) {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    // Where it fails, `fstat` tells why.
    let _ = statx(fd, "", flags, StatxFlags::BASIC_STATS);
}

/// Opens `path` below `directory`, with another try where renames are under way.
pub(super) fn open(
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
pub(super) fn open_here(path: &Path, flags: OFlag, resolve: ResolveFlag) -> nix::Result<OwnedFd> {
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

pub(super) fn kind_of(mode: u32) -> SFlag {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT
}

/// The path below the root, for the kernel; the root itself is `.`.
pub(super) fn as_path(path: &[u8]) -> &Path {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    Path::new(OsStr::from_bytes(path))
}

/// Magic links such as `/proc/PID/fd/1` are never followed, whatever `--symlinks` says.
pub(super) fn how(flags: OFlag, resolve: ResolveFlag) -> OpenHow {
    OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(Mode::empty())
        .resolve(resolve | ResolveFlag::RESOLVE_NO_MAGICLINKS)
}
