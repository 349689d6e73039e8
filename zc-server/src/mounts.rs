//! What is known of the filesystems that files are on: whether they may be asked on a worker, and
//! how their bytes are to go.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zc_core::{FileSystem, Residency};
use zc_http::EntityTag;

use crate::declared::Sidecar;
use crate::disk::{Closer, Handle, Key};
use crate::file_state::Clock;
use crate::memo::Memo;
use crate::precompressed::Content;

/// One filesystem, as it is met.
#[derive(Debug)]
pub(crate) struct Mount {
    key: Key,
    pub(crate) file_system: Option<FileSystem>,
    kind: Kind,
    /// What it answers to `RWF_NOWAIT`: learned once.
    nowait: AtomicU8,
    /// Where files are closed whose closing may wait.
    closer: Option<Closer>,
    /// The entity-tags that extended attributes of its files declare, or that they declare none.
    attributes: Memo<Option<Box<EntityTag>>>,
    /// What the sidecars of its files declare.
    sidecars: Memo<Sidecar>,
    /// What precompressed sidecars among its files were found to be.
    codings: Memo<Content>,
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
pub(crate) enum Guard {
    /// They are in memory, or nobody minds the wait.
    Trusted,
    /// Each window is asked about, and the ones that are not in memory are waited for by a thread.
    Probed,
    /// The same, and the reading of all of it has begun: its end may be told by the kernel itself.
    Requested,
    /// All are sent by a thread: nobody can tell whether they are in memory.
    Offloaded,
}

const UNKNOWN: u8 = 0;
const ANSWERED: u8 = 1;
const REFUSED: u8 = 2;

impl Mount {
    /// What is known of the filesystem that `file` is on. Asks `fstatfs(2)`, which may wait where
    /// it is remote.
    fn of(file: impl AsFd, disk: Option<&Handle>, key: Key) -> Self {
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
            nowait: AtomicU8::new(UNKNOWN),
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
    pub(crate) fn sidecars(&self) -> &Memo<Sidecar> {
        &self.sidecars
    }

    /// What is known of the precompressed sidecars among its files.
    pub(crate) fn codings(&self) -> &Memo<Content> {
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
    pub(crate) fn guard(&self, file: impl AsFd) -> Guard {
        match self.kind {
            Kind::Memory | Kind::Synthetic => return Guard::Trusted,
            Kind::Remote => return Guard::Offloaded,
            Kind::Local => {}
        }
        if self.nowait.load(Ordering::Relaxed) == UNKNOWN {
            // The first byte of a file is either there or not; a refusal is neither.
            let answer = match Residency::probe(file, 0..1) {
                Residency::Hot | Residency::Cold => ANSWERED,
                Residency::Unknown => REFUSED,
            };
            self.nowait.store(answer, Ordering::Relaxed);
        }
        match self.nowait.load(Ordering::Relaxed) {
            REFUSED => Guard::Offloaded,
            _ => Guard::Probed,
        }
    }

    /// Where files of this mount are closed, if not at once.
    pub(crate) fn closer(&self) -> Option<&Closer> {
        self.closer.as_ref()
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
    pub(crate) fn of(&self, device: u64, file: impl AsFd) -> Arc<Mount> {
        if let Some(mount) = self.met().get(&device) {
            return Arc::clone(mount);
        }
        // Not asked under the lock.
        let key = key_of_device(nix::sys::stat::major(device), nix::sys::stat::minor(device));
        let mount = Arc::new(Mount::of(file, self.disk.as_ref(), key));
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

    #[test]
    fn this_machine_has_mounts() {
        let table = MountTable::read();
        assert_ne!(
            table.key_of(Path::new("/proc")),
            table.key_of(Path::new("/"))
        );
    }
}
