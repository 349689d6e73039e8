//! A file system in user space whose every operation can be made slow, held back, or failed on
//! command: what object stores, network shares and dying disks do by themselves.

mod tree;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, Config, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, Request, SessionACL,
};

use tree::Tree;
pub use tree::{Content, pattern};

/// Reads that the kernel may have under way at once: past any number of streams in a test.
const BACKGROUND_MAX: u16 = 1024;

/// What the kernel asks of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Looks a name up in a directory, or asks for the attributes of a file.
    LookUp,
    /// Opens a file or a directory.
    Open,
    /// Reads bytes of a file.
    Read,
    /// Reads entries of a directory.
    List,
    /// Closes a descriptor of a file: `close(2)` waits for it.
    Close,
}

/// How an operation is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It is answered at once.
    Answer,
    /// It is answered after this time.
    Delay(Duration),
    /// It is not answered until the treatment of its operation changes.
    Hold,
    /// It fails with this `errno`.
    Fail(i32),
}

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

    /// Treats `operation` like this from now on. What was held of it is answered or failed first.
    pub fn treat(&self, operation: Operation, treatment: Treatment) {
        let released = {
            let mut state = self.shared.lock();
            state.treatments.insert(operation, treatment);
            let (released, held) = std::mem::take(&mut state.held)
                .into_iter()
                .partition(|(of, _)| *of == operation && treatment != Treatment::Hold);
            state.held = held;
            released
        };
        self.shared.release(released, treatment);
    }

    /// Waits until at least `count` operations of this kind are held.
    ///
    /// # Panics
    ///
    /// When none comes for a minute: the test hangs.
    pub fn wait_until_held(&self, operation: Operation, count: usize) {
        let state = self.shared.lock();
        let held = |state: &State| state.held.iter().filter(|(of, _)| *of == operation).count();
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
        for operation in [
            Operation::LookUp,
            Operation::Open,
            Operation::Read,
            Operation::List,
            Operation::Close,
        ] {
            self.treat(operation, Treatment::Fail(nix::libc::EIO));
        }
        // A descriptor that somebody still has must not keep the mount.
        let _ = nix::mount::umount2(&self.point, nix::mount::MntFlags::MNT_DETACH);
        drop(self.session.take());
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Notified when an operation is held.
    changed: Condvar,
    mounted_at: SystemTime,
}

struct State {
    tree: Tree,
    treatments: BTreeMap<Operation, Treatment>,
    held: Vec<(Operation, Answer)>,
    counts: BTreeMap<Operation, u64>,
}

/// Sends a reply: the real one, or an error.
type Answer = Box<dyn FnOnce(Option<Errno>) + Send>;

impl Shared {
    fn new() -> Self {
        Self {
            state: Mutex::new(State {
                tree: Tree::default(),
                treatments: BTreeMap::new(),
                held: Vec::new(),
                counts: BTreeMap::new(),
            }),
            changed: Condvar::new(),
            mounted_at: SystemTime::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn treat(&self, operation: Operation, answer: impl FnOnce(Option<Errno>) + Send + 'static) {
        let mut state = self.lock();
        *state.counts.entry(operation).or_default() += 1;
        let treatment = state.treatments.get(&operation).copied();
        if treatment == Some(Treatment::Hold) {
            state.held.push((operation, Box::new(answer)));
            self.changed.notify_all();
            return;
        }
        drop(state);
        self.release(
            vec![(operation, Box::new(answer))],
            treatment.unwrap_or(Treatment::Answer),
        );
    }

    fn release(&self, answers: Vec<(Operation, Answer)>, treatment: Treatment) {
        for (operation, answer) in answers {
            match treatment {
                Treatment::Answer => answer(None),
                Treatment::Fail(errno) => answer(Some(Errno::from_i32(errno))),
                Treatment::Delay(time) => {
                    thread::spawn(move || {
                        thread::sleep(time);
                        answer(None);
                    });
                }
                Treatment::Hold => self.lock().held.push((operation, answer)),
            }
        }
    }
}

/// What the kernel talks to. Nothing is remembered by the kernel beyond an answer (times to live
/// of 0), so that every look-up comes here.
struct Driver(Arc<Shared>);

impl Filesystem for Driver {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Refused only by kernels that allow less; then they keep what they have.
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = {
            let state = self.0.lock();
            let number = state.tree.child(parent, name.as_bytes());
            number.and_then(|number| state.tree.attributes(INodeNo(number), self.0.mounted_at))
        };
        self.0
            .treat(Operation::LookUp, move |error| match (error, found) {
                (Some(errno), _) => reply.error(errno),
                (None, Some(attributes)) => {
                    reply.entry(&Duration::ZERO, &attributes, Generation(0))
                }
                (None, None) => reply.error(Errno::ENOENT),
            });
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.0.lock().tree.attributes(number, self.0.mounted_at);
        self.0
            .treat(Operation::LookUp, move |error| match (error, found) {
                (Some(errno), _) => reply.error(errno),
                (None, Some(attributes)) => reply.attr(&Duration::ZERO, &attributes),
                (None, None) => reply.error(Errno::ENOENT),
            });
    }

    fn open(&self, _request: &Request, _number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.0.treat(Operation::Open, move |error| match error {
            Some(errno) => reply.error(errno),
            None => reply.opened(FileHandle(0), FopenFlags::empty()),
        });
    }

    fn opendir(&self, _request: &Request, _number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.0.treat(Operation::Open, move |error| match error {
            Some(errno) => reply.error(errno),
            None => reply.opened(FileHandle(0), FopenFlags::empty()),
        });
    }

    fn flush(
        &self,
        _request: &Request,
        _number: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.0.treat(Operation::Close, move |error| match error {
            Some(errno) => reply.error(errno),
            None => reply.ok(),
        });
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
        self.0.treat(Operation::Read, move |error| {
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
        self.0.treat(Operation::List, move |error| {
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

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("tree", &self.tree)
            .field("treatments", &self.treatments)
            .field("held", &self.held.len())
            .field("counts", &self.counts)
            .finish()
    }
}

#[cfg(test)]
mod tests {
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
}
