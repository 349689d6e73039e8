//! The table of mounts of this machine. It tells the mount of a path without a call that could block.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::libc::O_PATH;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{AtFlags, StatxFlags, statx};
use zc_core::FileSystem;

use crate::disk::Key;

/// The table, as `proc_pid_mountinfo(5)` describes it.
const PATH: &str = "/proc/self/mountinfo";

/// The table as it was read last, and whether it has changed since.
#[derive(Debug)]
pub(crate) struct LiveTable(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Open to be told of changes. `None` without `/proc`.
    watched: Option<File>,
    table: MountTable,
    /// How often the kernel has told of a change.
    changes: u64,
    /// How often it had when the table was read.
    changes_read: u64,
}

impl Default for LiveTable {
    /// The table as it is now. It may block.
    fn default() -> Self {
        // Opened first: what changes while it is read is told later.
        let watched = File::open(PATH).ok();
        Self(Mutex::new(State {
            watched,
            table: MountTable::read(),
            changes: 0,
            changes_read: 0,
        }))
    }
}

impl LiveTable {
    /// The key of the mount of `path`, which is absolute and without symbolic links. `None` when the table
    /// has changed: it is to be [read](Self::read_again) first.
    pub(crate) fn key_of(&self, path: &Path) -> Option<Key> {
        let mut state = self.lock();
        // Under the lock: the kernel tells of each change once.
        state.changes += u64::from(state.watched.as_ref().is_some_and(has_changed));
        state.is_current().then(|| state.table.key_of(path))
    }

    /// Reads it again if it has changed. It may block.
    pub(crate) fn read_again(&self) {
        self.read_with(MountTable::read);
    }

    fn read_with(&self, read: impl FnOnce() -> MountTable) {
        let changes = {
            let state = self.lock();
            if state.is_current() {
                return;
            }
            state.changes
        };
        let table = read();
        let mut state = self.lock();
        // A change that came meanwhile has it read once more, and a thread that was faster has read a later one.
        if changes > state.changes_read {
            state.table = table;
            state.changes_read = changes;
        }
    }

    /// Whether there is a mount with this key.
    pub(crate) fn has(&self, key: Key) -> bool {
        self.lock().table.by_key(key).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_current(&self) -> bool {
        self.changes == self.changes_read
    }
}

/// Whether mounts were made, moved or unmounted since `mountinfo` was opened or asked last.
fn has_changed(mountinfo: &File) -> bool {
    let mut fds = [PollFd::new(mountinfo.as_fd(), PollFlags::POLLPRI)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// Overlays above overlays: the kernel allows no more (`FILESYSTEM_MAX_STACK_DEPTH`).
const OVERLAY_DEPTH_MAX: usize = 2;

/// The key of mounts that are not in the table, and of those that the kernel has no identifier for, before
/// Linux 5.8.
pub(crate) const KEY_UNKNOWN: Key = 0;

/// The key of the mount of `file`: its identifier in the table. No file server is asked.
pub(crate) fn key_of_file(file: impl AsFd) -> Key {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let told = statx(file, "", flags, StatxFlags::MNT_ID).ok();
    let told = told.filter(|told| told.stx_mask & StatxFlags::MNT_ID.bits() != 0);
    told.map_or(KEY_UNKNOWN, |told| told.stx_mnt_id)
}

/// The mounts at one moment.
#[derive(Debug, Default)]
pub(crate) struct MountTable(Vec<TableEntry>);

#[derive(Debug)]
struct TableEntry {
    point: Vec<u8>,
    key: Key,
    /// What the kernel calls the filesystem.
    kind: String,
    /// The directories that an overlay consists of, as far as they are absolute paths.
    layers: Vec<PathBuf>,
}

impl MountTable {
    /// Without `/proc` it is empty.
    pub(crate) fn read() -> Self {
        Self::parse(&std::fs::read(PATH).unwrap_or_default())
    }

    fn parse(text: &[u8]) -> Self {
        let lines = text.split(|&byte| byte == b'\n');
        let mut mounts: Vec<_> = lines.filter_map(TableEntry::parse).collect();
        // The longest mount point above a path counts, and of equal ones the one mounted last.
        mounts.reverse();
        mounts.sort_by_key(|entry| std::cmp::Reverse(entry.point.len()));
        Self(mounts)
    }

    fn by_key(&self, key: Key) -> Option<&TableEntry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    /// What the kernel calls the filesystem of a mount: `ext4`, `fuse.sshfs`.
    pub(crate) fn kind_of(&self, key: Key) -> Option<&str> {
        self.by_key(key).map(|entry| &*entry.kind)
    }

    /// The key of the mount of `path`, which is absolute and without symbolic links.
    fn key_of(&self, path: &Path) -> Key {
        let path = path.as_os_str().as_bytes();
        let is_below = |point: &[u8]| match path.strip_prefix(point) {
            Some(rest) => point.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/"),
            None => false,
        };
        let mut mounts = self.0.iter();
        mounts
            .find(|entry| is_below(&entry.point))
            .map_or(KEY_UNKNOWN, |entry| entry.key)
    }

    /// Whether the mount is an overlay, and one of its layers depends on a file server or another program. A
    /// layer whose path leads nowhere, as in a container, does not count. It may block.
    pub(crate) fn has_remote_layer(&self, key: Key) -> bool {
        self.has_remote_layer_within(key, OVERLAY_DEPTH_MAX)
    }

    fn has_remote_layer_within(&self, key: Key, depth: usize) -> bool {
        let is_remote = |layer: &PathBuf| {
            let mut options = File::options();
            let opened = options.read(true).custom_flags(O_PATH).open(layer);
            opened.is_ok_and(|directory| {
                FileSystem::from_fd(&directory).is_ok_and(FileSystem::is_remote)
                    || depth > 1 && self.has_remote_layer_within(key_of_file(&directory), depth - 1)
            })
        };
        self.by_key(key)
            .is_some_and(|entry| entry.layers.iter().any(is_remote))
    }
}

impl TableEntry {
    /// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS … - TYPE SOURCE OPTIONS`, see proc_pid_mountinfo(5). The
    /// identifier is the one of `statx(2)` with `STATX_MNT_ID`.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|&byte| byte == b' ');
        let id = str::from_utf8(words.next()?).ok()?;
        let key = id.parse().ok()?;
        let point = unescape(words.nth(3)?);
        let mut behind = words.skip_while(|word| *word != b"-").skip(1);
        let kind = behind.next().unwrap_or_default();
        let layers = match (kind, behind.nth(1)) {
            (b"overlay", Some(options)) => layers(options),
            _ => Vec::new(),
        };
        Some(Self {
            point,
            key,
            kind: String::from_utf8_lossy(&unescape(kind)).into_owned(),
            layers,
        })
    }
}

/// The paths in the options of an overlay, as Linux shows them: `lowerdir=TOP:…:BOTTOM` with `\:` for a colon in
/// a name, or `lowerdir+=` and `datadir+=` for each; and `upperdir=`.
fn layers(options: &[u8]) -> Vec<PathBuf> {
    let options = options.split(|&byte| byte == b',');
    let layers = options.flat_map(|option| {
        let value = |name: &[u8]| option.strip_prefix(name).map(unescape);
        let one = value(b"lowerdir+=").or_else(|| value(b"datadir+="));
        match one.or_else(|| value(b"upperdir=")) {
            Some(path) => vec![path],
            None => value(b"lowerdir=").map_or_else(Vec::new, |paths| split_layers(&paths)),
        }
    });
    let layers = layers.map(|path| PathBuf::from(OsString::from_vec(path)));
    layers.filter(|path| path.is_absolute()).collect()
}

/// Splits at the colons that have no backslash before them. An empty name, of two colons before a layer of
/// data alone, is no path.
fn split_layers(text: &[u8]) -> Vec<Vec<u8>> {
    let mut layers = vec![Vec::new()];
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match (byte, layers.last_mut()) {
            (b':', _) => layers.push(Vec::new()),
            (b'\\', Some(layer)) => layer.extend(bytes.next()),
            (_, Some(layer)) => layer.push(byte),
            (_, None) => {}
        }
    }
    layers
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
    fn a_change_while_the_table_is_read_has_it_read_once_more() {
        let table = LiveTable(Mutex::new(State {
            watched: None,
            table: MountTable::default(),
            changes: 1,
            changes_read: 0,
        }));
        let key = || table.key_of(Path::new("/srv"));
        assert_eq!(key(), None);
        table.read_with(|| {
            table.lock().changes += 1;
            MountTable::default()
        });
        assert_eq!(key(), None);
        table.read_with(|| {
            // A thread that is faster reads what there is now.
            table.read_with(|| MountTable::parse(TABLE.as_bytes()));
            MountTable::default()
        });
        assert_eq!(key(), Some(42));
        table.read_with(|| panic!("nothing has changed"));
    }

    #[test]
    fn the_nearest_mount_above_a_path_counts() {
        let table = MountTable::parse(TABLE.as_bytes());
        for (path, key) in [
            ("/", 22),
            ("/home/x", 22),
            ("/proc/self", 23),
            ("/srv", 42),
            ("/srv/other", 42),
            ("/srvice", 22),
            ("/srv/my films/a", 40),
            ("/srv/my films", 40),
        ] {
            assert_eq!(table.key_of(Path::new(path)), key, "{path}");
        }
        assert_eq!(MountTable::parse(b"").key_of(Path::new("/a")), 0);
        let kinds = [22, 40, 42, 43].map(|key| table.kind_of(key));
        assert_eq!(
            kinds,
            [Some("ext4"), Some("fuse.sshfs"), Some("tmpfs"), None]
        );
    }

    #[test]
    fn the_layers_of_an_overlay_are_told_from_its_options() {
        for (options, expected) in [
            (
                "rw,lowerdir=/a:/b,upperdir=/u,workdir=/w",
                vec!["/a", "/b", "/u"],
            ),
            // As mount(8) was given `lowerdir=/l\:x\,y z:/u`.
            (
                r"ro,lowerdir=/l\134:x\054y\040z:/u::/data",
                vec!["/l:x,y z", "/u", "/data"],
            ),
            (
                r"ro,lowerdir+=/a:b,lowerdir+=/c,datadir+=/d",
                vec!["/a:b", "/c", "/d"],
            ),
            ("rw,lowerdir=l/A:l/B,upperdir=A/diff", vec![]),
            ("rw", vec![]),
        ] {
            let line = format!("50 22 0:39 / /m rw shared:7 - overlay none {options}");
            let table = MountTable::parse(line.as_bytes());
            let entry = table.by_key(50).expect("a mount");
            let expected: Vec<PathBuf> = expected.into_iter().map(PathBuf::from).collect();
            assert_eq!(entry.layers, expected, "{options}");
        }
        let table = MountTable::parse(b"50 22 0:39 / /m rw - ext4 none rw,lowerdir=/a");
        assert!(table.by_key(50).expect("a mount").layers.is_empty());
    }

    #[test]
    fn this_machine_has_mounts() {
        let table = MountTable::read();
        let [proc, root] = ["/proc", "/"].map(|path| table.key_of(Path::new(path)));
        assert_ne!(proc, root);
    }
}
