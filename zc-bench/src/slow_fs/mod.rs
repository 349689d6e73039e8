//! A file system in user space whose every operation can be made slow, held back, or failed on
//! command, whose files can lie about their length, and which can end while it is mounted: what object
//! stores, network shares and dying disks do by themselves.

mod treatment;
mod tree;

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use fuser::{
    BackgroundSession, Config, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, Request, SessionACL,
};
use nix::errno::Errno as SystemError;
use nix::mount::{MntFlags, umount2};

pub use treatment::{Operation, Treatment};
use treatment::{Shared, State};
pub use tree::{Content, pattern};

/// Reads that the kernel may have under way at once: past any number of streams in a test.
const BACKGROUND_MAX: u16 = 1024;

/// A mounted file system; unmounted when it is dropped, with every operation still held failed.
#[derive(Debug)]
pub struct SlowFs {
    shared: Arc<Shared>,
    point: PathBuf,
    session: Option<BackgroundSession>,
}

impl SlowFs {
    /// Mounts it, empty, at the directory `point`. Every user may read it.
    ///
    /// # Errors
    ///
    /// What mounting reports: `/dev/fuse` is missing, or may not be used.
    pub fn mount(point: impl Into<PathBuf>) -> io::Result<Self> {
        let point = point.into();
        let shared = Arc::new(Shared::new());
        let mut config = Config::default();
        config.mount_options = vec![MountOption::RO, MountOption::FSName("zc-slow".to_owned())];
        config.acl = SessionACL::All;
        let session = fuser::spawn_mount(Driver(Arc::clone(&shared)), &point, &config)?;
        Ok(Self {
            shared,
            point,
            session: Some(session),
        })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// Adds a file, and the directories above it. `path` is relative to the mount point.
    pub fn add(&self, path: impl AsRef<Path>, content: Content) {
        self.shared.lock().tree.add(path.as_ref(), content);
    }

    /// Gives the file at `path`, relative to the mount point, another content, as somebody does who
    /// overwrites it elsewhere.
    ///
    /// # Panics
    ///
    /// When there is no such file.
    pub fn set_content(&self, path: impl AsRef<Path>, content: Content) {
        self.shared.lock().tree.set_content(path.as_ref(), content);
    }

    /// Every read of the file at `path`, relative to the mount point, comes here from now on: the kernel
    /// keeps none of its bytes. A descriptor that is open keeps what it had.
    ///
    /// # Panics
    ///
    /// When there is no such file.
    pub fn keep_out_of_memory(&self, path: impl AsRef<Path>) {
        let mut state = self.shared.lock();
        let number = state.tree.number(path.as_ref());
        state.uncached.insert(number);
    }

    /// The kernel remembers names and attributes for so long from now on, as it does for most file systems in user
    /// space. It asks each time unless this is called.
    pub fn remember_for(&self, time: Duration) {
        self.shared.lock().remembered = time;
    }

    /// Treats `operation` like this from now on, but where a file has a treatment of its own. What was
    /// held of it is answered or failed first.
    pub fn treat(&self, operation: Operation, treatment: Treatment) {
        self.shared.set(&[operation], None, treatment);
    }

    /// The same for every operation.
    pub fn treat_all(&self, treatment: Treatment) {
        self.shared.set(&Operation::ALL, None, treatment);
    }

    /// Treats `operation` like this from now on when it is about the file at `path`, relative to the mount
    /// point, whatever the others have.
    ///
    /// # Panics
    ///
    /// When there is no such file.
    pub fn treat_file(&self, path: impl AsRef<Path>, operation: Operation, treatment: Treatment) {
        let number = self.shared.lock().tree.number(path.as_ref());
        self.shared.set(&[operation], Some(number), treatment);
    }

    /// Ends the program behind the mount, which stays: what waits for it fails, and every operation fails
    /// with `ENOTCONN` from now on.
    ///
    /// # Errors
    ///
    /// What `umount2(2)` says to who may not unmount.
    pub fn end(&self) -> io::Result<()> {
        // The kernel cuts the connection first, and then does not unmount what is in use.
        let root = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_PATH | nix::libc::O_DIRECTORY)
            .open(&self.point)?;
        let ended = umount2(&self.point, MntFlags::MNT_FORCE);
        drop(root);
        self.shared.lock().held.clear();
        match ended {
            Err(SystemError::EBUSY) => Ok(()),
            Err(errno) => Err(errno.into()),
            Ok(()) => Err(io::Error::other("it was unmounted")),
        }
    }

    /// Waits until at least `count` operations of this kind are held.
    ///
    /// # Panics
    ///
    /// When none comes for a minute: the test hangs.
    pub fn wait_until_held(&self, operation: Operation, count: usize) {
        let state = self.shared.lock();
        let held = |state: &State| {
            let of_this = state.held.iter().filter(|held| held.operation == operation);
            of_this.count()
        };
        let (_state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(state, Duration::from_secs(60), |state| held(state) < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !timeout.timed_out(),
            "no {count} operations {operation:?} came"
        );
    }

    /// How many operations of this kind have come so far, whatever became of them.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.shared
            .lock()
            .counts
            .get(&operation)
            .copied()
            .unwrap_or(0)
    }
}

impl Drop for SlowFs {
    fn drop(&mut self) {
        self.shared.fail_all();
        // A descriptor that somebody still has must not keep the mount.
        let _ = umount2(&self.point, MntFlags::MNT_DETACH);
        drop(self.session.take());
    }
}

/// What the kernel talks to. Nothing is remembered by the kernel beyond an answer (times to live
/// of 0), so that every look-up comes here; unless [`SlowFs::remember_for`] is called.
struct Driver(Arc<Shared>);

impl Filesystem for Driver {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Refused only by kernels that allow less; then they keep what they have.
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (found, remembered) = {
            let state = self.0.lock();
            let number = state.tree.child(parent, name.as_bytes());
            let attributes = |number| {
                let number = INodeNo(number);
                state.tree.attributes(number, self.0.mounted_at)
            };
            (number.and_then(attributes), state.remembered)
        };
        // Who looks for what is not there is treated like who looks at the directory.
        let of = found.map_or(parent, |attributes| attributes.ino);
        self.0
            .treat(Operation::LookUp, of, move |error| match (error, found) {
                (Some(errno), _) => reply.error(errno),
                (None, Some(attributes)) => reply.entry(&remembered, &attributes, Generation(0)),
                (None, None) => reply.error(Errno::ENOENT),
            });
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let (found, remembered) = {
            let state = self.0.lock();
            let found = state.tree.attributes(number, self.0.mounted_at);
            (found, state.remembered)
        };
        self.0.treat(Operation::Attributes, number, move |error| {
            match (error, found) {
                (Some(errno), _) => reply.error(errno),
                (None, Some(attributes)) => reply.attr(&remembered, &attributes),
                (None, None) => reply.error(Errno::ENOENT),
            }
        });
    }

    fn open(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let flags = if self.0.lock().uncached.contains(&number.0) {
            FopenFlags::FOPEN_DIRECT_IO
        } else {
            FopenFlags::empty()
        };
        self.0
            .treat(Operation::Open, number, move |error| match error {
                Some(errno) => reply.error(errno),
                None => reply.opened(FileHandle(0), flags),
            });
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.0
            .treat(Operation::Open, number, move |error| match error {
                Some(errno) => reply.error(errno),
                None => reply.opened(FileHandle(0), FopenFlags::empty()),
            });
    }

    fn flush(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.0
            .treat(Operation::Close, number, |error| end(reply, error));
    }

    fn release(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.0
            .treat(Operation::Release, number, |error| end(reply, error));
    }

    fn read(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let shared = Arc::clone(&self.0);
        self.0.treat(Operation::Read, number, move |error| {
            let bytes = match error {
                Some(errno) => return reply.error(errno),
                None => shared.lock().tree.read(number, offset, size),
            };
            match bytes {
                Some(bytes) => reply.data(&bytes),
                None => reply.error(Errno::EISDIR),
            }
        });
    }

    fn readdir(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let entries = self.0.lock().tree.entries(number);
        self.0.treat(Operation::List, number, move |error| {
            let entries = match (error, entries) {
                (Some(errno), _) => return reply.error(errno),
                (None, None) => return reply.error(Errno::ENOTDIR),
                (None, Some(entries)) => entries,
            };
            let rest = entries.into_iter().enumerate().skip(offset as usize);
            for (index, (name, kind, number)) in rest {
                let next = index as u64 + 1;
                if reply.add(INodeNo(number), next, kind, OsStr::from_bytes(&name)) {
                    break;
                }
            }
            reply.ok();
        });
    }
}

fn end(reply: ReplyEmpty, error: Option<Errno>) {
    match error {
        Some(errno) => reply.error(errno),
        None => reply.ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn mounted() -> Option<(tempfile::TempDir, SlowFs)> {
        let directory = tempfile::tempdir().expect("a directory");
        match SlowFs::mount(directory.path()) {
            Ok(mount) => Some((directory, mount)),
            Err(error) => {
                println!("no FUSE here ({error}): nothing to test");
                None
            }
        }
    }

    #[test]
    fn files_have_their_bytes_and_directories_their_entries() {
        let Some((_directory, mount)) = mounted() else {
            return;
        };
        mount.add("a/b/small", Content::Bytes(b"hello".as_slice().into()));
        let length = 300_001;
        mount.add("large", Content::Pattern { seed: 7, length });
        let path = |name| mount.point().join(name);
        assert_eq!(std::fs::read(path("a/b/small")).expect("a file"), b"hello");
        let large = std::fs::read(path("large")).expect("a file");
        assert!(large == pattern(7, 0, 300_001));
        assert!(large[100_003..] == pattern(7, 100_003, 200_000 - 2)[..]);
        assert!(std::fs::metadata(path("none")).is_err());
        let names = std::fs::read_dir(mount.point()).expect("a directory");
        let mut names: Vec<_> = names
            .map(|entry| entry.expect("read").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["a", "large"]);
    }

    #[test]
    fn what_is_held_goes_on_when_it_is_released_and_failures_arrive() {
        let Some((_directory, mount)) = mounted() else {
            return;
        };
        mount.add("f", Content::Bytes(b"hello".as_slice().into()));
        mount.treat(Operation::Read, Treatment::Hold);
        let path = mount.point().join("f");
        let reader = {
            let path = path.clone();
            thread::spawn(move || std::fs::read(path))
        };
        mount.wait_until_held(Operation::Read, 1);
        assert!(!reader.is_finished());
        mount.treat(Operation::Read, Treatment::Answer);
        assert_eq!(reader.join().expect("no panic").expect("read"), b"hello");
        mount.treat(Operation::Open, Treatment::Fail(nix::libc::EACCES));
        let error = std::fs::read(&path).expect_err("it fails");
        assert_eq!(error.raw_os_error(), Some(nix::libc::EACCES));
    }

    #[test]
    fn one_file_is_held_while_the_others_are_answered() {
        let Some((_directory, mount)) = mounted() else {
            return;
        };
        for name in ["held", "fine"] {
            mount.add(name, Content::Bytes(name.as_bytes().into()));
        }
        let path = |name: &str| mount.point().join(name);
        for operation in [Operation::Attributes, Operation::Close] {
            mount.treat_file("held", operation, Treatment::Hold);
            let held = path("held");
            let reader =
                thread::spawn(move || std::fs::metadata(&held).and_then(|_| std::fs::read(held)));
            mount.wait_until_held(operation, 1);
            assert_eq!(std::fs::read(path("fine")).expect("a file"), b"fine");
            assert!(!reader.is_finished(), "{operation:?}");
            mount.treat_file("held", operation, Treatment::Answer);
            assert_eq!(reader.join().expect("no panic").expect("read"), b"held");
        }
    }

    #[test]
    fn lengths_lie() {
        let Some((_directory, mount)) = mounted() else {
            return;
        };
        let lie = |length, there, excess| Content::Lie {
            seed: 3,
            length,
            there,
            excess,
        };
        mount.add("short", lie(10_000, 6_000, 0));
        mount.add("long", lie(6_000, 10_000, 0));
        mount.add("garbage", lie(6_000, 6_000, 100));
        for name in ["short", "long", "garbage"] {
            mount.keep_out_of_memory(name);
        }
        let path = |name| mount.point().join(name);
        let length = |name| std::fs::metadata(path(name)).expect("a file").len();
        assert_eq!([length("short"), length("long")], [10_000, 6_000]);
        let read = std::fs::read(path("short")).expect("a file");
        assert!(read == pattern(3, 0, 6_000));
        let read = std::fs::read(path("long")).expect("a file");
        assert!(read == pattern(3, 0, 10_000));
        let error = std::fs::read(path("garbage")).expect_err("more than was asked for");
        assert_eq!(error.raw_os_error(), Some(nix::libc::EIO));
    }

    #[test]
    fn a_mount_whose_program_has_ended_is_not_connected() {
        let Some((_directory, mount)) = mounted() else {
            return;
        };
        mount.add("f", Content::Bytes(b"hello".as_slice().into()));
        mount.treat(Operation::Read, Treatment::Hold);
        let path = mount.point().join("f");
        let reader = {
            let path = path.clone();
            thread::spawn(move || std::fs::read(path))
        };
        mount.wait_until_held(Operation::Read, 1);
        mount.end().expect("we may unmount");
        reader.join().expect("no panic").expect_err("it failed");
        let error = std::fs::read(&path).expect_err("nobody is there");
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTCONN));
    }
}
