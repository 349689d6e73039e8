//! The paths of ROOT and of the sites, and the roots that they name now.
//!
//! A path may name another directory while the server runs: a symbolic link is replaced, a directory
//! renamed, a filesystem mounted. A worker holds the roots that it uses open. When the time to live of the
//! response cache has passed, it compares a root with its path. If the comparison would block, or the path
//! names something else now, a disk I/O thread looks the path up for the request that needs it
//! ([`RootPath::look_up`]). One request is answered from one root.
//!
//! A root that no request uses, or that its path does not name any more, is released: an open directory
//! keeps its filesystem from being unmounted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nix::errno::Errno;

use crate::config::files::Symlinks;
use crate::disk::Key;
use crate::files::mounts::Mounts;
use crate::files::open_file::OpenMode;
use crate::files::root::{Identity, Root, RootId};
use crate::observe::diagnostics::Diagnostics;
use crate::text::OneLine;

/// How long a worker holds a root that no request uses, in milliseconds.
const UNUSED_MS: u64 = 3_000;
/// How often a worker compares the roots that it holds with their paths when no request does, in
/// milliseconds.
const SWEEP_MS: u64 = 1_000;

/// The path of ROOT or of a site.
#[derive(Debug)]
pub(crate) struct RootPath {
    path: PathBuf,
    symlinks: Symlinks,
    mounts: Arc<Mounts>,
    diagnostics: Diagnostics,
    /// The path of the root that was opened last, without symbolic links.
    canonical: Mutex<PathBuf>,
    current: Mutex<Current>,
}

/// What the path named at the last look-up.
#[derive(Debug)]
enum Current {
    /// A root, as long as a worker or a request holds it.
    Root(Weak<Root>),
    /// Nothing that can be served. The operator was warned.
    Missing,
}

/// The outcome of looking the path of a root up.
#[derive(Debug, Clone)]
pub(crate) enum RootLookup {
    Found(Arc<Root>),
    /// The path names nothing that can be served.
    Missing,
    /// Out of descriptors or memory: what it names is unknown.
    Exhausted,
}

impl RootPath {
    /// Opens the root, so that the server does not start without it.
    ///
    /// # Errors
    ///
    /// Those of `openat2(2)`, `ENOSYS` among them.
    pub(crate) fn open(
        path: &Path,
        symlinks: Symlinks,
        mounts: Arc<Mounts>,
        diagnostics: Diagnostics,
    ) -> io::Result<(Self, Arc<Root>)> {
        let root = Arc::new(Root::open(path, symlinks, Arc::clone(&mounts))?);
        let path = Self {
            path: path.to_owned(),
            symlinks,
            mounts,
            diagnostics,
            canonical: Mutex::new(root.path_below(b"")),
            current: Mutex::new(Current::Root(Arc::downgrade(&root))),
        };
        Ok((path, root))
    }

    /// The key of the mount that [`look_up`](Self::look_up) asks, as [`Mounts::key_of`] guesses it.
    pub(crate) fn key(&self) -> Option<Key> {
        self.mounts.key_of(&self.canonical())
    }

    /// The root that the path names now. It may block.
    pub(crate) fn look_up(&self) -> RootLookup {
        match self.open_now() {
            Ok(root) => RootLookup::Found(root),
            Err(error) if is_exhausted(&error) => RootLookup::Exhausted,
            Err(error) => {
                self.warn_missing(&error);
                RootLookup::Missing
            }
        }
    }

    fn open_now(&self) -> io::Result<Arc<Root>> {
        let identity = Identity::resolve(&self.path, OpenMode::MayBlock)?;
        if let Some(root) = self.held().filter(|root| root.identity() == identity) {
            return Ok(root);
        }
        let opened = Root::open(&self.path, self.symlinks, Arc::clone(&self.mounts))?;
        *self.canonical() = opened.path_below(b"");
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Current::Missing = *current {
            let line = format!("root `{}` can be opened again", OneLine(&self.path));
            self.diagnostics.warn(line);
        }
        // Another thread may have been faster. All share one root for each directory.
        if let Current::Root(weak) = &*current
            && let Some(root) = weak.upgrade()
            && root.identity() == opened.identity()
        {
            return Ok(root);
        }
        let opened = Arc::new(opened);
        *current = Current::Root(Arc::downgrade(&opened));
        Ok(opened)
    }

    fn canonical(&self) -> MutexGuard<'_, PathBuf> {
        self.canonical
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> Option<Arc<Root>> {
        match &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            Current::Root(root) => root.upgrade(),
            Current::Missing => None,
        }
    }

    /// Warns that nothing can be served, once until it can.
    fn warn_missing(&self, error: &io::Error) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Current::Root(_) = *current {
            *current = Current::Missing;
            let path = OneLine(&self.path);
            let line =
                format!("root `{path}` cannot be opened: {error}; requests are answered with 503");
            self.diagnostics.warn(line);
        }
    }
}

/// The roots that one worker holds, in the order of the paths.
#[derive(Debug)]
pub(crate) struct Roots {
    ttl_ms: u64,
    roots: Vec<WorkerRoot>,
    swept_ms: u64,
    /// Roots that were released and not yet [taken](Self::take_retired).
    retired: Vec<RootId>,
}

/// What a worker knows of one root.
#[derive(Debug)]
struct WorkerRoot {
    state: State,
    /// When it was compared with its path, in milliseconds of the worker's clock.
    checked_ms: u64,
    used_ms: u64,
}

#[derive(Debug)]
enum State {
    /// It was released.
    Unknown,
    Held(Arc<Root>),
    Missing,
}

/// The root that a request is answered from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CurrentRoot<'a> {
    Open(&'a Arc<Root>),
    /// The path names nothing that can be served.
    Missing,
    /// It cannot be opened for want of descriptors or memory.
    Exhausted,
    /// A disk I/O thread has to look the path up.
    WouldBlock,
}

impl<'a> From<&'a RootLookup> for CurrentRoot<'a> {
    fn from(told: &'a RootLookup) -> Self {
        match told {
            RootLookup::Found(root) => Self::Open(root),
            RootLookup::Missing => Self::Missing,
            RootLookup::Exhausted => Self::Exhausted,
        }
    }
}

impl Roots {
    /// Holds roots that were just opened. Each is compared with its path when `ttl_ms` have passed.
    pub(crate) fn new(opened: &[Arc<Root>], ttl_ms: u64) -> Self {
        Self {
            ttl_ms,
            roots: opened.iter().map(|root| WorkerRoot::new(root, 0)).collect(),
            swept_ms: 0,
            retired: Vec::new(),
        }
    }

    /// Other roots, which were just opened, take the place of all that there were.
    pub(crate) fn replace(&mut self, opened: &[Arc<Root>], now_ms: u64) {
        for held in &mut self.roots {
            held.set_state(State::Unknown, &mut self.retired);
        }
        let roots = opened.iter();
        self.roots = roots.map(|root| WorkerRoot::new(root, now_ms)).collect();
    }

    /// The root at `index`, whose path is `path`, at `now_ms`.
    pub(crate) fn current(
        &mut self,
        index: usize,
        path: &RootPath,
        open_mode: OpenMode,
        now_ms: u64,
    ) -> CurrentRoot<'_> {
        let ttl_ms = self.ttl_ms;
        let Some(held) = self.roots.get_mut(index) else {
            return CurrentRoot::Missing;
        };
        held.used_ms = now_ms;
        let is_fresh = now_ms.saturating_sub(held.checked_ms) < ttl_ms;
        if !is_fresh || matches!(held.state, State::Unknown) {
            match open_mode {
                OpenMode::MayBlock => held.install(path.look_up(), now_ms, &mut self.retired),
                OpenMode::CachedOnly if held.is_unchanged(path) => held.checked_ms = now_ms,
                OpenMode::CachedOnly => return CurrentRoot::WouldBlock,
            }
        }
        match (&held.state, open_mode) {
            (State::Held(root), _) => CurrentRoot::Open(root),
            (State::Missing, _) => CurrentRoot::Missing,
            (State::Unknown, OpenMode::CachedOnly) => CurrentRoot::WouldBlock,
            (State::Unknown, OpenMode::MayBlock) => CurrentRoot::Exhausted,
        }
    }

    /// Stores the outcome of a look-up that was asked for at `asked_ms`, unless a later one is known.
    pub(crate) fn install(&mut self, index: usize, told: &RootLookup, asked_ms: u64) {
        let Some(held) = self.roots.get_mut(index) else {
            return;
        };
        if asked_ms >= held.checked_ms || matches!(held.state, State::Unknown) {
            held.install(told.clone(), asked_ms, &mut self.retired);
        }
    }

    /// Releases the roots that no request uses, and those that `paths` do not name any more. To be called
    /// once per reactor turn.
    pub(crate) fn sweep(&mut self, paths: &[Arc<RootPath>], now_ms: u64) {
        if now_ms.saturating_sub(self.swept_ms) < SWEEP_MS {
            return;
        }
        self.swept_ms = now_ms;
        for (held, path) in self.roots.iter_mut().zip(paths) {
            if matches!(held.state, State::Held(_))
                && (now_ms.saturating_sub(held.used_ms) >= UNUSED_MS || held.is_replaced(path))
            {
                held.set_state(State::Unknown, &mut self.retired);
            }
        }
    }

    /// When [`sweep`](Self::sweep) is due, even if no event comes.
    pub(crate) fn next_sweep_ms(&self) -> Option<u64> {
        let is_held = |held: &WorkerRoot| matches!(held.state, State::Held(_));
        let is_due = self.roots.iter().any(is_held);
        is_due.then_some(self.swept_ms + SWEEP_MS)
    }

    /// The next root that was released. The caller drops what it caches of it.
    pub(crate) fn take_retired(&mut self) -> Option<RootId> {
        self.retired.pop()
    }
}

impl WorkerRoot {
    /// A root that was opened at `now_ms`.
    fn new(root: &Arc<Root>, now_ms: u64) -> Self {
        Self {
            state: State::Held(Arc::clone(root)),
            checked_ms: now_ms,
            used_ms: now_ms,
        }
    }

    /// Whether the path is known, without blocking, to name the same as before.
    fn is_unchanged(&self, path: &RootPath) -> bool {
        match &self.state {
            // CIFS and 9p ask the server for the state of a file, though statx(2) is told not to.
            State::Held(root) if root.is_remote() => false,
            State::Held(root) => match Identity::resolve(&path.path, OpenMode::CachedOnly) {
                Ok(identity) => identity == root.identity(),
                // The root is open, and goes on serving.
                Err(error) => is_exhausted(&error),
            },
            State::Missing => match Identity::resolve(&path.path, OpenMode::CachedOnly) {
                Ok(_) => false,
                Err(error) => Identity::is_missing(&error),
            },
            State::Unknown => false,
        }
    }

    /// Whether the path is known, without blocking, to name something else or nothing.
    fn is_replaced(&self, path: &RootPath) -> bool {
        let State::Held(root) = &self.state else {
            return false;
        };
        if root.is_remote() {
            return false;
        }
        match Identity::resolve(&path.path, OpenMode::CachedOnly) {
            Ok(identity) => identity != root.identity(),
            Err(error) => Identity::is_missing(&error),
        }
    }

    fn install(&mut self, told: RootLookup, asked_ms: u64, retired: &mut Vec<RootId>) {
        let state = match told {
            RootLookup::Found(root) => State::Held(root),
            RootLookup::Missing => State::Missing,
            RootLookup::Exhausted => return,
        };
        self.checked_ms = asked_ms;
        self.set_state(state, retired);
    }

    fn set_state(&mut self, state: State, retired: &mut Vec<RootId>) {
        let before = match std::mem::replace(&mut self.state, state) {
            State::Held(root) => Some(root.id()),
            State::Unknown | State::Missing => None,
        };
        let now = match &self.state {
            State::Held(root) => Some(root.id()),
            State::Unknown | State::Missing => None,
        };
        retired.extend(before.filter(|_| before != now));
    }
}

/// Whether the call failed for want of descriptors or memory.
fn is_exhausted(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
}
