//! Mounts: whether a worker may open files of a filesystem, how their bytes are read, and what is remembered
//! of them.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::errno::Errno;
use zc_core::FileSystem;
use zc_http::EntityTag;

use crate::disk::{Closer, DiskHandle, Key};
use crate::files::facts::{CodedContent, SidecarTag};
use crate::files::file_state::Clock;
use crate::files::memo::Memo;
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
    /// Closes files whose closing may block.
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
    /// The mount of `file`. It calls `fstatfs(2)`, which may block on a remote filesystem.
    fn new(file: impl AsFd, disk: Option<&DiskHandle>, key: Key) -> Self {
        let gate = Arc::new(ReadGate::of_device(&file));
        let file_system = FileSystem::from_fd(file).ok();
        let kind = match file_system {
            Some(kind) if kind.is_remote() => Kind::Remote,
            Some(kind) if kind.is_synthetic() => Kind::Synthetic,
            Some(kind) if kind.is_in_memory() => Kind::Memory,
            // An unknown one is treated as a disk, and is probed.
            _ => Kind::Local,
        };
        Self {
            key,
            file_system,
            kind,
            disk_path: OnceLock::new(),
            gate,
            closer: disk
                .filter(|_| kind == Kind::Remote)
                .map(|disk| disk.closer(key)),
            attributes: Memo::default(),
            sidecars: Memo::default(),
            codings: Memo::default(),
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

    /// Closes files of this mount, where closing may block.
    pub(crate) fn closer(&self) -> Option<&Closer> {
        self.closer.as_ref()
    }
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

/// The mounts that files were opened on, by device.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    met: Mutex<HashMap<u64, Arc<Mount>>>,
    /// Closes files whose closing may block. Without it they are closed where they are dropped.
    disk: Option<DiskHandle>,
}

impl Mounts {
    pub(crate) fn new(disk: DiskHandle) -> Self {
        Self {
            met: Mutex::default(),
            disk: Some(disk),
        }
    }

    /// The mount of `file`, which is on `device`. The first call for a device calls `fstatfs(2)`, which may
    /// block on a remote filesystem.
    pub(crate) fn mount_of(&self, device: u64, file: impl AsFd) -> Arc<Mount> {
        if let Some(mount) = self.met().get(&device) {
            return Arc::clone(mount);
        }
        // Outside of the lock: it may block.
        let key = key_of_device(nix::sys::stat::major(device), nix::sys::stat::minor(device));
        let mount = Arc::new(Mount::new(file, self.disk.as_ref(), key));
        Arc::clone(self.met().entry(device).or_insert(mount))
    }

    fn met(&self) -> MutexGuard<'_, HashMap<u64, Arc<Mount>>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table of mounts of this machine. It tells the mount of a path without a call that could block.
#[derive(Debug, Default)]
pub(crate) struct MountTable(Vec<(Vec<u8>, Key)>);

impl MountTable {
    /// Reads `/proc/self/mountinfo`. Without that file all paths have the same key.
    pub(crate) fn read() -> Self {
        Self::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    fn parse(text: &[u8]) -> Self {
        let lines = text.split(|&byte| byte == b'\n');
        let mut mounts: Vec<_> = lines.filter_map(Self::parse_line).collect();
        // The longest mount point above a path counts, and of equal ones the one mounted last.
        mounts.reverse();
        mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self(mounts)
    }

    /// `ID PARENT MAJOR:MINOR ROOT POINT …`, see proc(5).
    fn parse_line(line: &[u8]) -> Option<(Vec<u8>, Key)> {
        let mut words = line.split(|&byte| byte == b' ').skip(2);
        let device = str::from_utf8(words.next()?).ok()?;
        let (major, minor) = device.split_once(':')?;
        let key = key_of_device(major.parse().ok()?, minor.parse().ok()?);
        Some((unescape(words.nth(1)?), key))
    }

    /// The key of the mount of `path`, which is absolute and without symbolic links; 0 if it is unknown.
    pub(crate) fn key_of(&self, path: &Path) -> Key {
        let path = path.as_os_str().as_bytes();
        let is_below = |point: &[u8]| match path.strip_prefix(point) {
            Some(rest) => point.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/"),
            None => false,
        };
        let mut mounts = self.0.iter();
        mounts
            .find(|(point, _)| is_below(point))
            .map_or(0, |(_, key)| *key)
    }
}

fn key_of_device(major: u64, minor: u64) -> Key {
    major << 32 | minor
}

/// Replaces the octal escapes of mountinfo, such as `\040` for a space.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let octal = |byte: &u8| (b'0'..=b'7').contains(byte).then(|| byte - b'0');
        match (first, tail) {
            (b'\\', [a, b, c, after @ ..])
                if let (Some(a), Some(b), Some(c)) = (octal(a), octal(b), octal(c)) =>
            {
                out.push(a.wrapping_mul(64).wrapping_add(b * 8 + c));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    const TABLE: &str = "\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
40 22 0:50 / /srv/my\\040films rw - fuse.sshfs host: rw
41 22 0:51 / /srv rw - nfs4 server:/export rw
42 22 0:52 / /srv rw - tmpfs tmpfs rw
broken line
";

    #[test]
    fn the_nearest_mount_above_a_path_counts() {
        let table = MountTable::parse(TABLE.as_bytes());
        for (path, key) in [
            ("/", 254 << 32 | 1),
            ("/home/x", 254 << 32 | 1),
            ("/proc/self", 21),
            ("/srv", 52),
            ("/srv/other", 52),
            ("/srvice", 254 << 32 | 1),
            ("/srv/my films/a", 50),
            ("/srv/my films", 50),
        ] {
            assert_eq!(table.key_of(Path::new(path)), key, "{path}");
        }
        assert_eq!(MountTable::parse(b"").key_of(Path::new("/a")), 0);
    }

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
    fn this_machine_has_mounts() {
        let table = MountTable::read();
        assert_ne!(
            table.key_of(Path::new("/proc")),
            table.key_of(Path::new("/"))
        );
    }
}
