//! What is served: found, and checked to be readable, before the server starts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::ConfigError;

/// What is served: everything below a directory, or one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// Everything below this directory.
    Directory(
        /// Canonical: absolute and without symbolic links.
        PathBuf,
    ),
    /// One regular file. If it was named through a symbolic link, this is where the link led at
    /// start.
    File {
        /// The directory that the file is in; canonical.
        directory: PathBuf,
        /// The file's name in that directory.
        name: OsString,
    },
}

impl Root {
    /// The path of the directory or of the file; canonical.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Directory(directory) => directory.clone(),
            Self::File { directory, name } => directory.join(name),
        }
    }

    /// Finds out what `path` is, and that it can be read now.
    pub(super) fn open(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ConfigError::RootMissing {
                path: path.to_owned(),
            },
            _ => ConfigError::RootUnreadable {
                path: path.to_owned(),
                error,
            },
        };
        let canonical = path.canonicalize().map_err(unreadable)?;
        let metadata = canonical.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            // Two permissions: to list the directory, and to reach what is in it.
            fs::read_dir(&canonical).map_err(unreadable)?;
            canonical.join(".").metadata().map_err(unreadable)?;
            return Ok(Self::Directory(canonical));
        }
        // Asked before the file is opened, since opening a FIFO would wait for its writer.
        if !metadata.is_file() {
            return Err(ConfigError::RootUnservable {
                path: path.to_owned(),
            });
        }
        fs::File::open(&canonical).map_err(unreadable)?;
        match (canonical.parent(), canonical.file_name()) {
            (Some(directory), Some(name)) => Ok(Self::File {
                directory: directory.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(ConfigError::RootUnservable {
                path: path.to_owned(),
            }),
        }
    }
}
