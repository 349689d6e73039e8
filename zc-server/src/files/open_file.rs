//! An open file, how long opening it may take, and why there may be none.

use std::error::Error;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::{fmt, fs, io};

use nix::errno::Errno;

use crate::disk::Closer;
use crate::files::file_state::{FileState, Stability};
use crate::files::mounts::Mount;
use crate::text::OneLine;

/// Whether an open may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenMode {
    /// Only what the kernel can tell from memory, and on the mount of the root alone; otherwise the
    /// answer is [`ResolveError::WouldBlock`].
    CachedOnly,
    /// As long as it takes.
    MayBlock,
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
    pub(crate) file: Arc<FileHandle>,
    pub(crate) state: FileState,
    /// Whether a change of the file since then is sure to show.
    pub(crate) stability: Stability,
    pub(crate) mount: Arc<Mount>,
}

/// An open file that is closed where closing waits for nobody.
#[derive(Debug)]
pub(crate) struct FileHandle {
    /// `None` only while it is dropped.
    file: Option<File>,
    closer: Option<Closer>,
}

impl FileHandle {
    pub(crate) fn new(file: File, mount: &Mount) -> Self {
        Self {
            file: Some(file),
            closer: mount.closer().cloned(),
        }
    }

    /// One that is closed here and now.
    #[cfg(test)]
    pub(crate) fn from_file(file: File) -> Self {
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

/// The path that an open file has now, in backticks and with a colon behind it. Empty where there is no
/// file, or no `/proc` to ask.
pub(crate) fn file_named(file: Option<&FileHandle>) -> String {
    let path = file.and_then(|file| {
        let descriptor = file.file().as_raw_fd();
        fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()
    });
    path.map_or_else(String::new, |path| format!("`{}`: ", OneLine(&path)))
}

impl AsFd for FileHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file().as_fd()
    }
}

impl Drop for FileHandle {
    fn drop(&mut self) {
        // Others are closed by the drop of the field.
        if let Some(closer) = &self.closer
            && let Some(file) = self.file.take()
        {
            closer.close(file);
        }
    }
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
    WouldBlock,
}

impl ResolveError {
    pub(crate) fn from_errno(errno: Errno) -> Self {
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

impl Error for ResolveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Exhausted(error) | Self::Failed(error) => Some(error),
            Self::NotFound | Self::Forbidden | Self::WouldBlock => None,
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::Forbidden => f.write_str("permission denied"),
            Self::Exhausted(error) | Self::Failed(error) => error.fmt(f),
            Self::WouldBlock => f.write_str("it would have to be waited for"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_is_named_by_the_path_that_it_has() {
        assert_eq!(file_named(None), "");
        let file = File::open("/proc/self/exe").expect("this program");
        let path = std::env::current_exe().expect("a path");
        let named = file_named(Some(&FileHandle::from_file(file)));
        assert_eq!(named, format!("`{}`: ", path.display()));
    }
}
