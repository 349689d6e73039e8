//! What is known of the filesystems that files are on: whether they may be asked on a worker, and
//! how their bytes are to go.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::errno::Errno;
use zc_core::FileSystem;
use zc_http::EntityTag;

use crate::disk::{Closer, Handle, Key};
use crate::files::facts::{CodedContent, SidecarTag};
use crate::files::file_state::Clock;
use crate::files::memo::Memo;

/// One filesystem, as it is met.
#[derive(Debug)]
pub(crate) struct Mount {
    key: Key,
    pub(crate) file_system: Option<FileSystem>,
    kind: Kind,
    /// How the bytes of files on a disk are read, from the first file on that told it.
    disk_path: OnceLock<ReadPath>,
    /// Where files are closed whose closing may wait.
    closer: Option<Closer>,
    /// The entity-tags that extended attributes of its files declare, or that they declare none.
    attributes: Memo<Option<Box<EntityTag>>>,
    /// What the sidecars of its files declare.
    sidecars: Memo<SidecarTag>,
    /// What precompressed sidecars among its files were found to be.
    codings: Memo<CodedContent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Files are in memory: nothing ever waits.
    Memory,
    /// A disk of this machine: looking up is quick once the names are in memory.
    Local,
    /// Somebody else is asked for everything.
    Remote,
    /// Interfaces of the kernel, whose lengths say nothing about what reading gives.
    Synthetic,
}

/// How bytes are sent without a worker waiting for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadPath {
    /// They are in memory, or nobody minds the wait.
    Direct,
    /// Each window is asked about, and the ones that are not in memory are waited for by a thread.
    Probe,
    /// The same, and the reading of all of it has begun: its end may be told by the kernel itself.
    Prefetched,
    /// All are sent by a thread: nobody can tell whether they are in memory.
    Offload,
}

impl Mount {
    /// What is known of the filesystem that `file` is on. Asks `fstatfs(2)`, which may wait where
    /// it is remote.
    fn new(file: impl AsFd, disk: Option<&Handle>, key: Key) -> Self {
        let file_system = FileSystem::from_fd(file).ok();
        let kind = match file_system {
            Some(kind) if kind.is_remote() => Kind::Remote,
            Some(kind) if kind.is_synthetic() => Kind::Synthetic,
            Some(kind) if kind.is_in_memory() => Kind::Memory,
            // One that does not tell what it is is treated as a disk: it will be asked.
            _ => Kind::Local,
        };
        Self {
            key,
            file_system,
            kind,
            disk_path: OnceLock::new(),
            closer: disk
                .filter(|_| kind == Kind::Remote)
                .map(|disk| disk.closer(key)),
            attributes: Memo::default(),
            sidecars: Memo::default(),
            codings: Memo::default(),
        }
    }

    /// Whom work on it has to be shared with.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Whether looking something up may wait for more than a disk of this machine.
    pub(crate) fn is_remote(&self) -> bool {
        self.kind == Kind::Remote
    }

    /// Whether its files are in memory: nothing that is asked of it waits.
    pub(crate) fn is_memory(&self) -> bool {
        self.kind == Kind::Memory
    }

    /// What is known of the attributes of its files.
    pub(crate) fn attributes(&self) -> &Memo<Option<Box<EntityTag>>> {
        &self.attributes
    }

    /// What is known of the sidecars that declare tags of its files.
    pub(crate) fn sidecars(&self) -> &Memo<SidecarTag> {
        &self.sidecars
    }

    /// What is known of the precompressed sidecars among its files.
    pub(crate) fn codings(&self) -> &Memo<CodedContent> {
        &self.codings
    }

    /// Whether its files are interfaces of the kernel, such as those below `/proc`: nothing that can
    /// be served.
    pub(crate) fn is_synthetic(&self) -> bool {
        self.kind == Kind::Synthetic
    }

    /// Whose clock the times of its files are taken from.
    pub(crate) fn clock(&self) -> Clock {
        match self.kind {
            Kind::Remote => Clock::Another,
            Kind::Memory | Kind::Local | Kind::Synthetic => Clock::Ours,
        }
    }

    /// How the bytes of `file`, which is on this mount and not empty, are to go.
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
            // It says something about this file alone: the next one is asked again.
            None => ReadPath::Offload,
        }
    }

    /// Where files of this mount are closed, if not at once.
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

/// The mounts that were met, by device.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    met: Mutex<HashMap<u64, Arc<Mount>>>,
    /// Where files are closed whose closing may wait; without it they are closed where they are.
    disk: Option<Handle>,
}

impl Mounts {
    pub(crate) fn new(disk: Handle) -> Self {
        Self {
            met: Mutex::default(),
            disk: Some(disk),
        }
    }

    /// The mount of `file`, which is on `device`. The first time it asks `fstatfs(2)`, which may
    /// wait where the filesystem is remote.
    pub(crate) fn mount_of(&self, device: u64, file: impl AsFd) -> Arc<Mount> {
        if let Some(mount) = self.met().get(&device) {
            return Arc::clone(mount);
        }
        // Not asked under the lock.
        let key = key_of_device(nix::sys::stat::major(device), nix::sys::stat::minor(device));
        let mount = Arc::new(Mount::new(file, self.disk.as_ref(), key));
        Arc::clone(self.met().entry(device).or_insert(mount))
    }

    fn met(&self) -> MutexGuard<'_, HashMap<u64, Arc<Mount>>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mounts of this machine, to tell which one a path is on without asking any of them.
#[derive(Debug, Default)]
pub(crate) struct MountTable(Vec<(Vec<u8>, Key)>);

impl MountTable {
    /// Reads `/proc/self/mountinfo`; without it every path is on the same mount.
    pub(crate) fn read() -> Self {
        Self::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    fn parse(text: &[u8]) -> Self {
        let lines = text.split(|&byte| byte == b'\n');
        let mut mounts: Vec<_> = lines.filter_map(Self::parse_line).collect();
        // The longest path that fits is the one that counts, and of equals the last mounted.
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

    /// The mount that `path`, absolute and without links, is on; 0 where that is not known.
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

/// Undoes `\040` and its like, by which mountinfo writes white space.
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
