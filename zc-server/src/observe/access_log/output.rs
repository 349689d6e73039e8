//! Where the lines of the access log go.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, thread};

use nix::libc;
use nix::unistd::{AccessFlags, access};

use super::LogError;
use super::daemon::{Daemon, Protocol};
use crate::config::LogTarget;
use crate::text::OneLine;

/// The mode of a new log file, less the umask: others have no business with the addresses of clients.
const FILE_MODE: u32 = 0o640;
/// How long the thread pauses where its output is nonblocking and full.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Where lines go.
pub(super) enum Output {
    /// Standard output, or what a test has in its place.
    Stream(Box<dyn Write + Send>),
    File {
        path: PathBuf,
        file: File,
    },
    Daemon(Daemon),
}

impl Output {
    /// Opens a file; daemons are found later.
    pub(super) fn open(target: &LogTarget) -> Result<Self, LogError> {
        Ok(match target {
            // `Stdout` is locked for each batch and not for good: others may print.
            LogTarget::Stdout => Self::Stream(Box::new(io::stdout())),
            LogTarget::File(path) => Self::File {
                file: open_file(path).map_err(|error| LogError::File {
                    path: path.clone(),
                    error,
                })?,
                path: path.clone(),
            },
            LogTarget::Syslog(path) => Self::Daemon(Daemon::new(path.clone(), Protocol::Syslog)),
            LogTarget::Journald(path) => {
                Self::Daemon(Daemon::new(path.clone(), Protocol::Journald))
            }
        })
    }

    /// Opens a file again by its name, which is answered. If that fails, the file that is open stays.
    pub(super) fn reopen(&mut self) -> Option<(&Path, io::Result<()>)> {
        let Self::File { path, file } = self else {
            return None;
        };
        let opened = open_file(path).map(|new| *file = new);
        Some((path, opened))
    }

    /// Writes `bytes` to a stream or a file; answers how many were written, and why not all.
    pub(super) fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let stream: &mut dyn Write = match self {
            Self::Stream(stream) => stream,
            Self::File { file, .. } => file,
            // Those get whole lines, each for itself.
            Self::Daemon(_) => return (0, Ok(())),
        };
        let mut rest = bytes;
        let result = loop {
            if rest.is_empty() {
                break stream.flush();
            }
            match stream.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => rest = &rest[bytes..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(RETRY_PAUSE);
                }
                Err(error) => break Err(error),
            }
        };
        (bytes.len() - rest.len(), result)
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(_) => f.write_str("standard output"),
            Self::File { path, .. } => write!(f, "`{}`", OneLine(path)),
            Self::Daemon(daemon) => write!(f, "`{}`", OneLine(daemon.path())),
        }
    }
}

/// Opens a log file. A FIFO that nobody reads is refused and not waited for.
fn open_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.append(true).create(true).mode(FILE_MODE);
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(path)
}

/// Whether the file of a log could be opened, as far as that can be said without making it.
pub(crate) fn check(target: &LogTarget) -> Result<(), LogError> {
    let LogTarget::File(path) = target else {
        return Ok(());
    };
    let checked = match fs::metadata(path) {
        Ok(_) => open_file(path).map(drop),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(path);
            access(directory, AccessFlags::W_OK | AccessFlags::X_OK).map_err(io::Error::from)
        }
        Err(error) => Err(error),
    };
    checked.map_err(|error| LogError::File {
        path: path.clone(),
        error,
    })
}
