//! The table of mounts of this machine. It tells the mount of a path without a call that could block.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

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
    /// Whether it is being read again.
    is_stale: bool,
}

impl Default for LiveTable {
    /// The table as it is now. It may block.
    fn default() -> Self {
        // Opened first: what changes while it is read is told later.
        let watched = File::open(PATH).ok();
        Self(Mutex::new(State {
            watched,
            table: MountTable::read(),
            is_stale: false,
        }))
    }
}

impl LiveTable {
    /// The key of the mount of `path`, which is absolute and without symbolic links. `None` when the table
    /// has changed: it is to be [read](Self::read_again) first.
    pub(crate) fn key_of(&self, path: &Path) -> Option<Key> {
        let mut state = self.lock();
        // Under the lock: the kernel tells of each change once.
        state.is_stale |= state.watched.as_ref().is_some_and(has_changed);
        (!state.is_stale).then(|| state.table.key_of(path))
    }

    /// Reads it again if it has changed. It may block.
    pub(crate) fn read_again(&self) {
        if !self.lock().is_stale {
            return;
        }
        let table = MountTable::read();
        let mut state = self.lock();
        state.table = table;
        state.is_stale = false;
    }

    /// Whether there is a mount with this key.
    pub(crate) fn has(&self, key: Key) -> bool {
        self.lock().table.0.iter().any(|(_, known)| *known == key)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether mounts were made, moved or unmounted since `mountinfo` was opened or asked last.
fn has_changed(mountinfo: &File) -> bool {
    let mut fds = [PollFd::new(mountinfo.as_fd(), PollFlags::POLLPRI)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// Mount points and keys of their mounts.
#[derive(Debug, Default)]
pub(crate) struct MountTable(Vec<(Vec<u8>, Key)>);

impl MountTable {
    /// Without `/proc` all paths have the same key.
    fn read() -> Self {
        Self::parse(&std::fs::read(PATH).unwrap_or_default())
    }

    fn parse(text: &[u8]) -> Self {
        let lines = text.split(|&byte| byte == b'\n');
        let mut mounts: Vec<_> = lines.filter_map(Self::parse_line).collect();
        // The longest mount point above a path counts, and of equal ones the one mounted last.
        mounts.reverse();
        mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self(mounts)
    }

    /// `ID PARENT MAJOR:MINOR ROOT POINT …`, see proc_pid_mountinfo(5). The identifier is the one of
    /// `statx(2)` with `STATX_MNT_ID`.
    fn parse_line(line: &[u8]) -> Option<(Vec<u8>, Key)> {
        let mut words = line.split(|&byte| byte == b' ');
        let id = str::from_utf8(words.next()?).ok()?.parse().ok()?;
        Some((unescape(words.nth(3)?), id))
    }

    /// The key of the mount of `path`, which is absolute and without symbolic links; 0 if it is unknown.
    fn key_of(&self, path: &Path) -> Key {
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
    }

    #[test]
    fn this_machine_has_mounts() {
        let table = MountTable::read();
        let [proc, root] = ["/proc", "/"].map(|path| table.key_of(Path::new(path)));
        assert_ne!(proc, root);
    }
}
