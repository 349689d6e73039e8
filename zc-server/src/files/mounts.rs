//! Mounts: whether a worker may open files of a filesystem, how their bytes are read, and what is remembered
//! of them.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::errno::Errno;
use nix::sys::stat::fstat;
use rustix::fs::{AtFlags, StatxFlags, statx};
use zc_core::FileSystem;
use zc_http::EntityTag;

use crate::disk::{Closer, DiskHandle, Key};
use crate::files::facts::{CodedContent, SidecarTag};
use crate::files::file_state::Clock;
use crate::files::memo::Memo;
use crate::files::mount_table::{KEY_UNKNOWN, LiveTable, MountTable, key_of_file};
use crate::files::read_gate::ReadGate;

/// One filesystem.
#[derive(Debug)]
pub(crate) struct Mount {
    key: Key,
    pub(crate) file_system: Option<FileSystem>,
    kind: Kind,
    /// How files of a local disk are read: set by the first file that tells it.
    disk_path: OnceLock<ReadPath>,
    /// Bounds the reads that workers begin.
    gate: Arc<ReadGate>,
    /// Closes files on an I/O thread.
    closer: Option<Closer>,
    /// The entity-tags in extended attributes of its files; `None` for a file without one.
    attributes: Memo<Option<Box<EntityTag>>>,
    /// What the sidecars of its files declare.
    sidecars: Memo<SidecarTag>,
    /// What precompressed files contain.
    codings: Memo<CodedContent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Files are in memory: no call blocks.
    Memory,
    /// A disk of this machine: opening does not block once the names are in the kernel's caches.
    Local,
    /// A network filesystem, or one of another program: every call may block.
    Remote,
    /// Interfaces of the kernel, whose lengths do not tell what reading returns.
    Synthetic,
}

/// How the bytes of a file are read, so that no worker blocks on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadPath {
    /// The worker sends them: they are in memory, or blocking is allowed (`--offload-cold-reads off`).
    Direct,
    /// The worker probes each window, and a disk I/O thread reads those that are not in memory.
    Probe,
    /// The same, and readahead of the whole file has begun: io_uring may tell its end.
    Prefetched,
    /// A disk I/O thread sends them: the filesystem does not tell whether they are in memory.
    Offload,
}

impl Mount {
    /// The mount of `file`. It calls `fstatfs(2)`, and looks at the layers of an overlay, which may block on a
    /// remote filesystem.
    fn new(file: impl AsFd, disk: Option<&DiskHandle>, key: Key) -> Self {
        let gate = Arc::new(ReadGate::of_device(&file));
        let file_system = FileSystem::from_fd(file).ok();
        let kind = match file_system {
            Some(kind) if kind.is_remote() => Kind::Remote,
            Some(kind) if kind.is_synthetic() => Kind::Synthetic,
            Some(kind) if kind.is_in_memory() => Kind::Memory,
            _ if MountTable::read().has_remote_layer(key) => Kind::Remote,
            // An unknown one is treated as a disk, and is probed.
            _ => Kind::Local,
        };
        Self {
            key,
            file_system,
            kind,
            disk_path: OnceLock::new(),
            gate,
            closer: disk.map(|disk| disk.closer(key)),
            attributes: Memo::default(),
            sidecars: Memo::default(),
            codings: Memo::default(),
        }
    }

    /// Whether it is the mount of `file`, which has the same identifier. It may block.
    fn is_still(&self, id: MountId, file: BorrowedFd<'_>) -> bool {
        match id {
            MountId::Unique(_) => true,
            MountId::Reused { .. } => self.file_system == FileSystem::from_fd(file).ok(),
        }
    }

    /// The key by which jobs of the disk are queued.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Whether it is a network filesystem, or one of another program.
    pub(crate) fn is_remote(&self) -> bool {
        self.kind == Kind::Remote
    }

    /// Whether its files are in memory, so that no call blocks.
    pub(crate) fn is_memory(&self) -> bool {
        self.kind == Kind::Memory
    }

    /// The entity-tags in extended attributes of its files.
    pub(crate) fn attributes(&self) -> &Memo<Option<Box<EntityTag>>> {
        &self.attributes
    }

    /// The entity-tags in sidecars of its files.
    pub(crate) fn sidecars(&self) -> &Memo<SidecarTag> {
        &self.sidecars
    }

    /// What precompressed files on it contain.
    pub(crate) fn codings(&self) -> &Memo<CodedContent> {
        &self.codings
    }

    /// Whether its files are interfaces of the kernel, such as those below `/proc`, which are not served.
    pub(crate) fn is_synthetic(&self) -> bool {
        self.kind == Kind::Synthetic
    }

    /// The clock that the times of its files come from.
    pub(crate) fn clock(&self) -> Clock {
        match self.kind {
            Kind::Remote => Clock::Another,
            Kind::Memory | Kind::Local | Kind::Synthetic => Clock::Ours,
        }
    }

    /// How the bytes of `file`, which is on this mount and not empty, are read.
    pub(crate) fn read_path(&self, file: impl AsFd) -> ReadPath {
        match self.kind {
            Kind::Memory | Kind::Synthetic => return ReadPath::Direct,
            Kind::Remote => return ReadPath::Offload,
            Kind::Local => {}
        }
        if let Some(&learned) = self.disk_path.get() {
            return learned;
        }
        match probed_path(file) {
            Some(path) => *self.disk_path.get_or_init(|| path),
            // The answer is about this file alone: the next file is probed again.
            None => ReadPath::Offload,
        }
    }

    /// Bounds the reads that workers begin on it.
    pub(crate) fn gate(&self) -> &Arc<ReadGate> {
        &self.gate
    }

    /// Who closes files of this mount.
    pub(crate) fn closing(&self) -> Closing {
        match (&self.closer, self.kind) {
            (None, _) => Closing::Here,
            (Some(closer), Kind::Remote) => Closing::ByThread(closer.clone()),
            (Some(closer), _) => Closing::ByThreadIfDeleted(closer.clone()),
        }
    }
}

/// Who closes a file.
#[derive(Debug)]
pub(crate) enum Closing {
    /// Whoever drops it.
    Here,
    /// An I/O thread: a file server or another program is told.
    ByThread(Closer),
    /// An I/O thread if the file is deleted: the last close frees its blocks, which takes seconds where they
    /// are many. Else whoever drops it.
    ByThreadIfDeleted(Closer),
}

impl Closing {
    pub(crate) fn close(&self, file: File) {
        match self {
            Self::ByThread(closer) => closer.close(file),
            Self::ByThreadIfDeleted(closer) if is_deleted(&file) => closer.close(file),
            Self::ByThreadIfDeleted(_) | Self::Here => drop(file),
        }
    }
}

/// Whether no name leads to a file of this machine. The kernel has its inode in memory: `fstat(2)` does not
/// wait.
fn is_deleted(file: &File) -> bool {
    fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
}

/// How files of a filesystem on a disk are read, by what it answers to a probe of `file`: it tells what is
/// in memory, or refuses to. `None` where the answer is about the file alone: it was truncated after it
/// was opened, or reading it fails.
fn probed_path(file: impl AsFd) -> Option<ReadPath> {
    match zc_core::read_resident(file, &mut [0], 0) {
        // Linux 5.9 and 5.10 may say so of a page that is absent, too.
        Ok(0) => None,
        Ok(_) => Some(ReadPath::Probe),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(ReadPath::Probe),
        // No file of it has RWF_NOWAIT, or the kernel has no preadv2(2).
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EOPNOTSUPP | Errno::ENOSYS) => Some(ReadPath::Offload),
            _ => None,
        },
    }
}

/// Mounts that are remembered though nothing on them is open. One more forgets them.
const UNUSED_MAX: usize = 64;

/// The key of jobs that [read the table of mounts](Mounts::read_table): no mount has it.
pub(crate) const KEY_OF_TABLE: Key = u64::MAX;

/// The mounts that files were opened on.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    met: Mutex<HashMap<MountId, Arc<Mount>>>,
    table: LiveTable,
    /// Closes files on an I/O thread. Without it they are closed where they are dropped.
    disk: Option<DiskHandle>,
}

/// What a mount is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MountId {
    /// No other mount has it until the machine is started again (`STATX_MNT_ID_UNIQUE`, Linux 6.8).
    Unique(u64),
    /// Another mount may have it later: an identifier that is reused, 0 before Linux 5.8, and the device.
    Reused { mount: u64, device: (u32, u32) },
}

impl MountId {
    /// It asks no file server.
    pub(crate) fn of(file: impl AsFd) -> io::Result<Self> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let told = statx(file, "", flags, StatxFlags::MNT_ID | MNT_ID_UNIQUE)?;
        Ok(if told.stx_mask & MNT_ID_UNIQUE.bits() != 0 {
            Self::Unique(told.stx_mnt_id)
        } else {
            Self::Reused {
                mount: told.stx_mnt_id,
                device: (told.stx_dev_major, told.stx_dev_minor),
            }
        })
    }
}

/// Rustix has no name for it.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

impl Mounts {
    pub(crate) fn new(disk: DiskHandle) -> Self {
        Self {
            disk: Some(disk),
            ..Self::default()
        }
    }

    /// The mount of `file`. It calls `statx(2)`, and `fstatfs(2)` for a mount that is new, which may block on
    /// a remote filesystem.
    pub(crate) fn mount_of(&self, file: impl AsFd) -> Arc<Mount> {
        let file = file.as_fd();
        let Ok(id) = MountId::of(file) else {
            // Nothing is remembered of a mount that nothing tells from others.
            return Arc::new(Mount::new(file, self.disk.as_ref(), KEY_UNKNOWN));
        };
        let known = self.met().get(&id).map(Arc::clone);
        if let Some(mount) = known
            && mount.is_still(id, file)
        {
            return mount;
        }
        // Outside of the lock: it may block.
        let mount = Arc::new(Mount::new(file, self.disk.as_ref(), key_of_file(file)));
        let mut met = self.met();
        if met.len() >= UNUSED_MAX {
            met.retain(|_, mount| Arc::strong_count(mount) > 1);
        }
        match id {
            // Another thread may have been faster.
            MountId::Unique(_) => Arc::clone(met.entry(id).or_insert(mount)),
            MountId::Reused { .. } => {
                met.insert(id, Arc::clone(&mount));
                mount
            }
        }
    }

    /// The key of the mount of `path`, by which jobs of the disk are queued: an absolute path without symbolic
    /// links. It is guessed from the table of mounts, without a call that could block. `None` after mounts
    /// were made or are gone: the table is to be [read](Self::read_table) first.
    pub(crate) fn key_of(&self, path: &Path) -> Option<Key> {
        self.table.key_of(path)
    }

    /// Reads the table of mounts again, and forgets mounts that are gone. It may block.
    pub(crate) fn read_table(&self) {
        self.table.read_again();
        let is_there =
            |mount: &Arc<Mount>| Arc::strong_count(mount) > 1 || self.table.has(mount.key);
        self.met().retain(|_, mount| is_there(mount));
    }

    fn met(&self) -> MutexGuard<'_, HashMap<MountId, Arc<Mount>>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// A mount that is treated as a disk, whatever it is.
    fn disk_of(file: &File) -> Mount {
        Mount {
            kind: Kind::Local,
            ..Mount::new(file, None, 0)
        }
    }

    /// A file on the filesystem of the sources, which is no tmpfs.
    fn file_on_disk() -> File {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).expect("a file");
        file.write_all_at(b"bytes", 0).expect("room");
        file
    }

    #[test]
    fn a_file_that_is_truncated_says_nothing_about_its_filesystem() {
        let (cut, whole) = (file_on_disk(), file_on_disk());
        let mount = disk_of(&cut);
        cut.set_len(0).expect("a shorter file");
        assert_eq!(mount.read_path(&cut), ReadPath::Offload);
        assert_eq!(mount.read_path(&whole), ReadPath::Probe);
        // What is known of the filesystem is believed from there on.
        assert_eq!(mount.read_path(&cut), ReadPath::Probe);
    }

    #[test]
    fn a_file_that_cannot_be_read_says_nothing_about_its_filesystem() {
        let whole = file_on_disk();
        let mount = disk_of(&whole);
        // Reading what was opened for writing alone fails with EBADF.
        let named = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).expect("a file");
        let unreadable = File::options().write(true).open(named.path());
        let unreadable = unreadable.expect("the file");
        assert_eq!(mount.read_path(&unreadable), ReadPath::Offload);
        assert_eq!(mount.read_path(&whole), ReadPath::Probe);
    }

    #[test]
    fn a_filesystem_that_refuses_probes_is_asked_once() {
        // No file below /proc has RWF_NOWAIT.
        let refusing = File::open("/proc/self/status").expect("proc(5)");
        let mount = disk_of(&refusing);
        assert_eq!(mount.read_path(&refusing), ReadPath::Offload);
        assert_eq!(mount.read_path(file_on_disk()), ReadPath::Offload);
    }

    #[test]
    fn the_table_of_mounts_and_an_open_file_give_the_same_key() {
        let mounts = Mounts::default();
        for path in ["/", "/proc", env!("CARGO_MANIFEST_DIR")] {
            let mount = mounts.mount_of(File::open(path).expect("a directory"));
            // Other tests make mounts meanwhile.
            let key = std::iter::repeat_with(|| {
                mounts.read_table();
                mounts.key_of(Path::new(path))
            });
            assert_eq!(key.flatten().next(), Some(mount.key()), "{path}");
        }
    }

    #[test]
    fn a_mount_is_met_once_and_forgotten_when_it_is_gone() {
        let mounts = Mounts::default();
        let met = mounts.mount_of(file_on_disk());
        assert!(Arc::ptr_eq(&met, &mounts.mount_of(file_on_disk())));
        let gone = |number: u64| {
            let mount = Mount::new(File::open("/proc").expect("proc(5)"), None, KEY_OF_TABLE);
            (MountId::Unique(u64::MAX - number), Arc::new(mount))
        };
        mounts.met().extend((0..3).map(gone));
        mounts.read_table();
        assert_eq!(mounts.met().len(), 1);
        mounts.met().extend((0..UNUSED_MAX as u64).map(gone));
        mounts.mount_of(File::open("/proc").expect("proc(5)"));
        assert_eq!(mounts.met().len(), 2);
    }

    #[test]
    fn an_identifier_that_is_reused_is_no_proof() {
        let file = file_on_disk();
        let mount = Mount::new(&file, None, 0);
        let reused = MountId::Reused {
            mount: 1,
            device: (0, 1),
        };
        let other = File::open("/proc/self/status").expect("proc(5)");
        assert!(mount.is_still(reused, file.as_fd()));
        assert!(!mount.is_still(reused, other.as_fd()));
        assert!(mount.is_still(MountId::Unique(1), other.as_fd()));
    }
}
