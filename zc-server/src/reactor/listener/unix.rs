//! Unix-domain sockets that are listened on: one for all workers, and its file.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mio::net::UnixListener;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use super::BACKLOG;

/// The longest path of a Unix-domain socket, in bytes: `sun_path` of `unix(7)`, without the zero byte at its end.
const PATH_BYTES_MAX: usize = 107;
/// How often, and after which pause, the directory is locked that another program has locked.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Why nobody can listen on a path.
#[derive(Debug)]
pub(super) enum UnixFault {
    /// Somebody listens there.
    InUse,
    /// The path has so many bytes.
    TooLong(usize),
    /// Something is there that is no socket.
    Occupied(&'static str),
    /// A socket is there that cannot be connected to, so that nobody knows whether it is in use.
    Unknown(io::Error),
    Io(io::Error),
}

/// The file of a socket that is listened on. Removed when this is dropped, unless another one has its path by then.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Listens on `path`, with a descriptor for each worker. All of them have one queue.
pub(super) fn listen(
    path: &Path,
    mode: u32,
    workers: usize,
) -> Result<(Vec<UnixListener>, Arc<SocketFile>), UnixFault> {
    let bytes = path.as_os_str().len();
    if bytes > PATH_BYTES_MAX {
        return Err(UnixFault::TooLong(bytes));
    }
    // Held from the look at what is there until this socket listens: one that is bound and does not listen yet
    // looks as though nobody used it.
    let _lock = lock_directory(path);
    make_way(path)?;
    let socket = bound(path, mode)?;
    let file = SocketFile::made_at(path, mode)?;
    socket.listen(BACKLOG)?;
    let first = StdUnixListener::from(OwnedFd::from(socket));
    let mut listeners = Vec::with_capacity(workers);
    for _ in 1..workers {
        listeners.push(UnixListener::from_std(first.try_clone()?));
    }
    listeners.push(UnixListener::from_std(first));
    Ok((listeners, Arc::new(file)))
}

/// A socket whose file has at most the permissions of `mode` from the moment on in which it is there: those of the
/// socket itself, less what the umask takes.
fn bound(path: &Path, mode: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    fchmod(&socket, Mode::from_bits_truncate(mode))?;
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// Keeps other servers from listening in the same directory meanwhile. `None` where it cannot be locked: only two that
/// start in the same moment could then both succeed.
fn lock_directory(path: &Path) -> Option<Flock<File>> {
    let mut directory = File::open(path.parent()?).ok()?;
    for _ in 0..LOCK_TRIES {
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((back, Errno::EAGAIN | Errno::EINTR)) => directory = back,
            Err(_) => return None,
        }
        thread::sleep(LOCK_PAUSE);
    }
    None
}

/// Removes a socket at `path` that nobody listens on.
fn make_way(path: &Path) -> Result<(), UnixFault> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !found.is_socket() {
        return Err(UnixFault::Occupied(match () {
            () if found.is_dir() => "a directory",
            () if found.is_symlink() => "a symbolic link",
            () if found.is_file() => "a regular file",
            () if found.is_fifo() => "a FIFO",
            () => "a device",
        }));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // With a full queue it would wait.
    probe.set_nonblocking(true)?;
    let connected = probe.connect(&SockAddr::unix(path)?);
    let errno = |error: &io::Error| error.raw_os_error().map(Errno::from_raw);
    match connected {
        Err(error) if errno(&error) == Some(Errno::ECONNREFUSED) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        },
        Err(error) if errno(&error) == Some(Errno::ENOENT) => Ok(()),
        Err(error) if errno(&error) == Some(Errno::EACCES) => Err(UnixFault::Unknown(error)),
        // It waits for its turn, or what listens there speaks in datagrams.
        _ => Err(UnixFault::InUse),
    }
}

impl SocketFile {
    /// The file that was made at `path`, which gets the bits of `mode` that the umask took.
    fn made_at(path: &Path, mode: u32) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .custom_flags((OFlag::O_PATH | OFlag::O_NOFOLLOW).bits())
            .open(path)?;
        let found = file.metadata()?;
        let made = Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
        };
        if found.file_type().is_socket() && found.mode() & 0o777 != mode {
            // The very file that was opened, whatever the path names by now.
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        Ok(made)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours =
            |found: &fs::Metadata| (found.dev(), found.ino()) == (self.device, self.inode);
        if fs::symlink_metadata(&self.path).is_ok_and(|found| is_ours(&found)) {
            // What stays there is replaced by the next server.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl From<io::Error> for UnixFault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What is wrong, and the mend.
impl fmt::Display for UnixFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str(
                "the address is in use; stop the other program or choose another path",
            ),
            Self::TooLong(bytes) => write!(
                f,
                "the path has {bytes} bytes, and that of a Unix-domain socket at most {PATH_BYTES_MAX}; \
                 choose a shorter one"
            ),
            Self::Occupied(what) => {
                write!(f, "{what} is there; remove it or choose another path")
            }
            Self::Unknown(_) => f.write_str(
                "a socket is there that this user may not connect to; remove it if nobody listens on it, or \
                 choose another path",
            ),
            Self::Io(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => f.write_str(
                    "the directory does not exist; create it or choose another path",
                ),
                io::ErrorKind::PermissionDenied => f.write_str(
                    "permission denied; let this user write to the directory, or choose another path",
                ),
                _ => write!(f, "{error}; choose another path"),
            },
        }
    }
}

impl UnixFault {
    /// The error of the system, if it is one.
    pub(super) fn source(&self) -> Option<&io::Error> {
        match self {
            Self::Unknown(error) | Self::Io(error) => Some(error),
            Self::InUse | Self::TooLong(_) | Self::Occupied(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_never_has_more_than_its_mode() {
        let directory = tempfile::tempdir().expect("a directory");
        for mode in [0o600, 0o644, 0o400] {
            let path = directory.path().join(format!("{mode:o}"));
            let _socket = bound(&path, mode).expect("a socket");
            let found = fs::symlink_metadata(&path).expect("its file");
            assert_eq!(found.mode() & 0o777 & !mode, 0, "{mode:o}");
        }
    }

    #[test]
    fn a_socket_that_is_bound_is_not_taken_for_one_that_nobody_uses() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let starting = lock_directory(&path).expect("a lock");
        let socket = bound(&path, 0o600).expect("a socket");
        let other = thread::scope(|scope| {
            let other = scope.spawn(|| listen(&path, 0o600, 1).map(drop));
            // It waits for the lock, or has failed already; it must not have taken the path.
            socket.listen(1).expect("it is bound");
            drop(starting);
            other.join().expect("no panic")
        });
        assert!(matches!(other, Err(UnixFault::InUse)), "{other:?}");
    }
}
