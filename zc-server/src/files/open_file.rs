//! An open file, whether opening it may block, and why it may fail.

use std::error::Error;
use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::{fmt, fs, io};

use nix::errno::Errno;

use crate::files::file_state::{FileState, Stability};
use crate::files::mounts::{Closing, Mount, ReadPath};
use crate::files::read_gate::ReadGate;
use crate::text::OneLine;

/// Whether an open may block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenMode {
    /// It must not: a path is resolved from the kernel's caches, and on the mount of the root alone. Where
    /// that is not enough, the answer is [`ResolveError::WouldBlock`].
    CachedOnly,
    /// It may, for as long as the filesystem takes.
    MayBlock,
}

/// What a path names.
#[derive(Debug)]
pub(crate) enum Opened {
    File(OpenFile),
    /// A directory, open for reading.
    Directory(FileHandle),
}

/// An open regular file, with the state that `fstat(2)` gives for this descriptor.
#[derive(Debug, Clone)]
pub(crate) struct OpenFile {
    pub(crate) file: Arc<FileHandle>,
    pub(crate) state: FileState,
    /// Whether later changes of the file are sure to change its state.
    pub(crate) stability: Stability,
    pub(crate) mount: Arc<Mount>,
}

impl OpenFile {
    /// How its bytes are to be read by who opens in this mode.
    pub(crate) fn read_path(&self, open_mode: OpenMode) -> ReadPath {
        match open_mode {
            OpenMode::CachedOnly if self.state.length > 0 => self.mount.read_path(&self.file),
            _ => ReadPath::Direct,
        }
    }
}

/// An open file or directory. Where closing may block, a disk I/O thread closes it.
#[derive(Debug)]
pub(crate) struct FileHandle {
    /// `None` only during the drop.
    file: Option<File>,
    closing: Closing,
    /// That of its mount.
    gate: Arc<ReadGate>,
}

impl FileHandle {
    pub(crate) fn new(file: File, mount: &Mount) -> Self {
        Self {
            file: Some(file),
            closing: mount.closing(),
            gate: Arc::clone(mount.gate()),
        }
    }

    /// A file that is closed where it is dropped.
    #[cfg(test)]
    pub(crate) fn from_file(file: File) -> Self {
        Self {
            file: Some(file),
            closing: Closing::Here,
            gate: Arc::default(),
        }
    }

    /// Bounds the reads that workers begin on its mount.
    pub(crate) fn gate(&self) -> &Arc<ReadGate> {
        &self.gate
    }

    /// Whether a worker may probe `range`, which could begin a read.
    pub(crate) fn lets_probe(&self, range: Range<u64>) -> bool {
        self.gate.lets_probe(self.file(), range)
    }

    pub(crate) fn file(&self) -> &File {
        match &self.file {
            Some(file) => file,
            None => unreachable!("only the drop takes it"),
        }
    }
}

/// The present path of an open file, in backticks and followed by a colon. Empty without a file or without
/// `/proc`.
pub(crate) fn file_named(file: Option<&FileHandle>) -> String {
    let path = file.and_then(path_of);
    path.map_or_else(String::new, |path| format!("`{path}`: "))
}

/// The present path of an open file, on one line. `None` without `/proc`.
pub(crate) fn path_of(file: &FileHandle) -> Option<String> {
    let descriptor = file.file().as_raw_fd();
    let path = fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
    Some(OneLine(&path).to_string())
}

impl AsFd for FileHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file().as_fd()
    }
}

impl Drop for FileHandle {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            self.closing.close(file);
        }
    }
}

/// Why a path cannot be opened.
#[derive(Debug)]
pub(crate) enum ResolveError {
    /// The path names nothing, nothing that can be served, or something outside the root. These are one
    /// variant, so that no response tells what is outside.
    NotFound,
    /// This process may not read the file.
    Forbidden,
    /// Out of descriptors or memory: it may succeed later.
    Exhausted(io::Error),
    /// Renames went on under way, or another process holds a lease: it may succeed later.
    Busy(io::Error),
    /// The disk or the filesystem failed.
    Failed(io::Error),
    /// The open would block, and was not allowed to.
    WouldBlock,
}

impl ResolveError {
    pub(crate) fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::EACCES | Errno::EPERM => Self::Forbidden,
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => Self::Exhausted(errno.into()),
            Errno::EAGAIN => Self::Busy(errno.into()),
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
            Self::Exhausted(error) | Self::Busy(error) | Self::Failed(error) => Some(error),
            Self::NotFound | Self::Forbidden | Self::WouldBlock => None,
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::Forbidden => f.write_str("permission denied"),
            Self::Exhausted(error) | Self::Busy(error) | Self::Failed(error) => error.fmt(f),
            Self::WouldBlock => f.write_str("opening it would block"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::sync::mpsc;

    use super::*;
    use crate::disk::Disk;
    use crate::files::mounts::Mounts;

    /// Whether this process has a descriptor of a file of this state.
    fn is_open(state: &fs::Metadata) -> bool {
        let mut descriptors = fs::read_dir("/proc/self/fd").expect("proc(5)");
        descriptors.any(|descriptor| {
            let open = descriptor.and_then(|descriptor| fs::metadata(descriptor.path()));
            open.is_ok_and(|open| (open.dev(), open.ino()) == (state.dev(), state.ino()))
        })
    }

    #[test]
    fn a_thread_closes_a_deleted_file() {
        let disk = Disk::start(crate::disk::Role::Other, 1, 10).expect("a thread");
        let mounts = Mounts::new(disk.handle());
        for directory in [env!("CARGO_MANIFEST_DIR"), "/dev/shm"] {
            let (release, held) = mpsc::channel::<()>();
            let wait = move |_: &_, _: &_| {
                let _ = held.recv();
            };
            let _busy = disk.submit(1, wait).expect("room");
            let handle_of = |file: File| {
                let state = file.metadata().expect("a file");
                let mount = mounts.mount_of(&file);
                (FileHandle::new(file, &mount), state)
            };
            let named = tempfile::NamedTempFile::new_in(directory).expect("a file");
            let (handle, named_state) = handle_of(named.reopen().expect("the file"));
            let _path = named.into_temp_path();
            drop(handle);
            assert!(!is_open(&named_state), "{directory}");
            let (handle, deleted) = handle_of(tempfile::tempfile_in(directory).expect("a file"));
            drop(handle);
            assert!(is_open(&deleted), "{directory}");
            drop(release);
            while is_open(&deleted) {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn an_open_file_is_named_by_the_path_that_it_has() {
        assert_eq!(file_named(None), "");
        let file = File::open("/proc/self/exe").expect("this program");
        let path = std::env::current_exe().expect("a path");
        let named = file_named(Some(&FileHandle::from_file(file)));
        assert_eq!(named, format!("`{}`: ", path.display()));
    }
}
