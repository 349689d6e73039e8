//! A root: a directory or a file that is served, checked to be readable before the server starts.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use super::error::ConfigError;

/// The path of what is served: everything below a directory, or one file.
///
/// The path is resolved again while the server runs. When it names another directory or file, because a
/// symbolic link was replaced, a directory renamed or a filesystem mounted, that is served from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedRoot {
    path: PathBuf,
}

impl ServedRoot {
    /// The path as given, made absolute. Symbolic links and `..` stay in it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root at `path`, which is checked to be readable now.
    ///
    /// # Errors
    ///
    /// It is missing, unreadable, or neither a directory nor a regular file.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ConfigError::RootMissing {
                path: path.to_owned(),
            },
            _ => ConfigError::RootUnreadable {
                path: path.to_owned(),
                error,
            },
        };
        let absolute = absolute(path).map_err(unreadable)?;
        let metadata = absolute.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            // Reaching what is in it is enough: without read permission it is served and not listed.
            absolute.join(".").metadata().map_err(unreadable)?;
        } else if metadata.is_file() {
            fs::File::open(&absolute).map_err(unreadable)?;
        } else {
            // Not opened: opening a FIFO would wait for its writer.
            return Err(ConfigError::RootUnservable {
                path: path.to_owned(),
            });
        }
        Ok(Self { path: absolute })
    }
}

/// The path from `/` on. A relative one starts at the current directory as the shell names it (`PWD`), with
/// its symbolic links: a server that is started in `current`, a link, serves what that link names.
pub(crate) fn absolute(path: &Path) -> io::Result<PathBuf> {
    if path.is_absolute() || path.as_os_str().is_empty() {
        return Ok(path.to_owned());
    }
    let here = fs::metadata(".")?;
    let is_here = |directory: &PathBuf| {
        let same = |found: fs::Metadata| (found.dev(), found.ino()) == (here.dev(), here.ino());
        directory.is_absolute() && fs::metadata(directory).is_ok_and(same)
    };
    let directory = env::var_os("PWD").map(PathBuf::from).filter(is_here);
    let directory = directory.map_or_else(env::current_dir, Ok)?;
    // A root of `.` is named by the directory itself.
    Ok(match path.strip_prefix(".") {
        Ok(rest) if rest.as_os_str().is_empty() => directory,
        Ok(rest) => directory.join(rest),
        Err(_) => directory.join(path),
    })
}
