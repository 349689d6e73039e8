//! Which path `Method::Auto` begins with: known from the filesystem, or learned from refusals.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage};
use nix::sys::stat::SFlag;

use crate::{Fallback, Path, Reason};

/// The kind of a filesystem, by the magic number of `statfs(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileSystem(i64);

/// Filesystems from which `sendfile` is known to send wrong or stale bytes, or to copy within the
/// kernel for no gain, with their magic numbers (`linux/magic.h` and the sources of each).
///
/// On vboxsf and on file shares of virtual machines (9p), pages were sent that the host had
/// changed long ago. FUSE and CIFS keep a page cache of their own making, which depends on the
/// mount whether it is coherent.
const COPIED: [(i64, &str); 6] = [
    (0x786f_4256, "vboxsf"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x517b, "smb"),
];

/// Filesystems of which a server elsewhere, or another program, is asked for everything: opening,
/// looking up and closing may wait as long as reading may.
const REMOTE: [i64; 15] = [
    0x6969,      // NFS
    0x0102_1997, // 9p
    0x6573_5546, // FUSE
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB 2 and later
    0x517b,      // SMB
    0x786f_4256, // vboxsf
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x6b41_4653, // AFS, the client of the kernel
    0x7375_7245, // Coda
    0x7461_636f, // OCFS2
    0x0116_1970, // GFS2
    0x0bd0_0bd0, // Lustre
    0x0187,      // autofs: looking up mounts
];

/// Filesystems whose files are in memory, or made up by the kernel when they are read.
const IN_MEMORY: [i64; 5] = [
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x9584_58f6, // hugetlbfs
];

/// Filesystems whose files are interfaces of the kernel: it makes up what reading one gives, and the
/// length that `stat(2)` tells is 0 or has nothing to do with that (`linux/magic.h`).
const SYNTHETIC: [i64; 18] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x6265_6570, // configfs
    0x7363_6673, // securityfs
    0xcafe_4a11, // bpf
    0xde5e_81e4, // efivarfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x4249_4e4d, // binfmt_misc
    0x6573_5543, // fusectl
    0x0765_5821, // resctrl
    0x6e73_6673, // nsfs
    0x6e66_7364, // nfsd
    0x6759_6969, // rpc_pipefs
];

impl FileSystem {
    /// Asks `fstatfs(2)` on which filesystem `file` is.
    ///
    /// # Errors
    ///
    /// What `fstatfs(2)` reports; `ENOSYS` for a filesystem that does not tell.
    pub fn from_fd(file: impl AsFd) -> io::Result<Self> {
        Ok(Self(crate::platform::file_system_magic(file.as_fd())?))
    }

    /// The name of a filesystem whose files [`Method::Auto`](crate::Method::Auto) copies; `None`
    /// for every other.
    #[must_use]
    pub fn copied(self) -> Option<&'static str> {
        let magic = self.magic();
        COPIED
            .iter()
            .find_map(|&(number, name)| (number == magic).then_some(name))
    }

    /// Whether opening, looking up and closing may wait for a server or another program (NFS, FUSE,
    /// CIFS and their like), and not reading alone.
    #[must_use]
    pub fn is_remote(self) -> bool {
        REMOTE.contains(&self.magic())
    }

    /// Whether the files are in memory (tmpfs and its like), so that no read waits for a disk, but
    /// for one that was swapped out.
    #[must_use]
    pub fn is_in_memory(self) -> bool {
        IN_MEMORY.contains(&self.magic())
    }

    /// Whether the files are interfaces of the kernel (proc, sysfs and their like), whose lengths say
    /// nothing about what reading gives.
    #[must_use]
    pub fn is_synthetic(self) -> bool {
        SYNTHETIC.contains(&self.magic())
    }

    /// A 32-bit magic number may arrive sign-extended.
    fn magic(self) -> i64 {
        self.0 & 0xffff_ffff
    }
}

/// The kind of descriptor that bytes are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SinkKind {
    /// A socket of IPv4 or IPv6.
    Inet,
    /// A Unix socket.
    Unix,
    /// A socket of another family.
    OtherSocket,
    /// A pipe or a fifo.
    Pipe,
    /// A regular file.
    File,
    /// A device or anything else.
    Other,
}

impl SinkKind {
    /// Asks `fstat(2)`, and of a socket its family.
    ///
    /// # Errors
    ///
    /// What `fstat(2)` or `getsockname(2)` report.
    pub fn from_fd(sink: impl AsFd) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        let sink = sink.as_fd();
        let mode = nix::sys::stat::fstat(sink)?.st_mode;
        Ok(match SFlag::from_bits_truncate(mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Self::File,
            SFlag::S_IFIFO => Self::Pipe,
            SFlag::S_IFSOCK => {
                let name: SockaddrStorage = nix::sys::socket::getsockname(sink.as_raw_fd())?;
                match name.family() {
                    Some(AddressFamily::Inet | AddressFamily::Inet6) => Self::Inet,
                    Some(AddressFamily::Unix) => Self::Unix,
                    _ => Self::OtherSocket,
                }
            }
            _ => Self::Other,
        })
    }
}

/// What was learned of filesystems and sinks that refuse, so that it is asked once and not once
/// for each transfer. One belongs to a program or to a thread; transfers share it by `Arc`.
#[derive(Debug, Default)]
pub struct Policy {
    /// True once anything was learned: the common case costs one load.
    learned: AtomicBool,
    refusals: Mutex<Vec<(FileSystem, SinkKind, Fallback)>>,
}

impl Policy {
    /// A policy that has learned nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The fallback that a transfer between these two begins with; `None` to begin with `sendfile`.
    #[must_use]
    pub fn fallback(&self, file_system: FileSystem, sink: SinkKind) -> Option<Fallback> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let known = refusals
            .iter()
            .find(|entry| (entry.0, entry.1) == (file_system, sink));
        known.map(|entry| entry.2)
    }

    pub(crate) fn has_learned(&self) -> bool {
        self.learned.load(Ordering::Acquire)
    }

    /// Remembers that the kernel refused. Errors of one descriptor alone are better not remembered:
    /// a file opened for appending refuses `sendfile` where its neighbours do not.
    pub(crate) fn remember(&self, file_system: FileSystem, sink: SinkKind, fallback: Fallback) {
        if matches!(sink, SinkKind::File | SinkKind::Other) {
            return;
        }
        if self.fallback(file_system, sink).is_none() {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            refusals.push((file_system, sink, fallback));
            self.learned.store(true, Ordering::Release);
        }
    }
}

/// The fallback that the filesystem of `source` asks for before anything was tried.
pub(crate) fn from_file_system(file_system: FileSystem) -> Option<Fallback> {
    file_system.copied().map(|name| Fallback {
        from: Path::Sendfile,
        to: Path::Copy,
        reason: Reason::FileSystem(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn kinds_of_sinks() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let (unix, _peer) = UnixStream::pair().expect("a pair");
        let (_read, write) = nix::unistd::pipe().expect("a pipe");
        let file = tempfile::tempfile().expect("a file");
        let null = std::fs::File::open("/dev/null").expect("a device");
        assert_eq!(SinkKind::from_fd(&tcp).expect("open"), SinkKind::Inet);
        assert_eq!(SinkKind::from_fd(&unix).expect("open"), SinkKind::Unix);
        assert_eq!(SinkKind::from_fd(&write).expect("open"), SinkKind::Pipe);
        assert_eq!(SinkKind::from_fd(&file).expect("open"), SinkKind::File);
        assert_eq!(SinkKind::from_fd(&null).expect("open"), SinkKind::Other);
    }

    #[test]
    fn shares_of_virtual_machines_are_copied_and_local_disks_are_not() {
        let rows = [
            (0x786f_4256, Some("vboxsf")),
            (0x0102_1997, Some("9p")),
            (0x6573_5546, Some("fuse")),
            (0xff53_4d42, Some("cifs")),
            (i64::from(0xff53_4d42_u32.cast_signed()), Some("cifs")),
            (0xef53, None),
            (0x0102_1994, None),
        ];
        for (magic, name) in rows {
            assert_eq!(FileSystem(magic).copied(), name, "{magic:x}");
        }
    }

    #[test]
    fn remote_and_in_memory_are_told_apart() {
        let rows = [
            (0x6969, true, false),
            (0x6573_5546, true, false),
            (i64::from(0xff53_4d42_u32.cast_signed()), true, false),
            (0x0102_1994, false, true),
            (i64::from(0x8584_58f6_u32.cast_signed()), false, true),
            (0xef53, false, false),
            (0x5846_5342, false, false),
        ];
        for (magic, remote, in_memory) in rows {
            let kind = FileSystem(magic);
            assert_eq!(
                (kind.is_remote(), kind.is_in_memory()),
                (remote, in_memory),
                "{magic:x}"
            );
        }
    }

    #[test]
    #[cfg(all(target_os = "linux", not(feature = "portable")))]
    fn a_file_tells_its_filesystem() {
        let own = FileSystem::from_fd(tempfile::tempfile().expect("a file")).expect("it tells");
        assert_ne!(own, FileSystem(0));
    }

    #[test]
    fn a_refusal_is_remembered_for_its_pair_alone() {
        let policy = Policy::new();
        let fallback = Fallback {
            from: Path::Sendfile,
            to: Path::Copy,
            reason: Reason::Refused { errno: 22 },
        };
        let (ext4, tmpfs) = (FileSystem(0xef53), FileSystem(0x0102_1994));
        policy.remember(ext4, SinkKind::Unix, fallback);
        policy.remember(tmpfs, SinkKind::File, fallback);
        assert!(policy.has_learned());
        assert_eq!(policy.fallback(ext4, SinkKind::Unix), Some(fallback));
        assert_eq!(policy.fallback(ext4, SinkKind::Inet), None);
        assert_eq!(policy.fallback(tmpfs, SinkKind::Unix), None);
        assert_eq!(policy.fallback(tmpfs, SinkKind::File), None);
    }
}
