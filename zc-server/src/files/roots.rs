//! The roots by their paths: what ROOT and the directories of the sites name now.
//!
//! A path may come to name something else while the server runs: a symbolic link is replaced, a
//! directory renamed, a filesystem mounted. A worker holds each root that it uses open, and looks its
//! path up again when it did so longer than the time to live of the cache ago. Where that cannot be
//! told from memory, or the path names something else now, a thread that may wait looks it up, for the
//! request that needs it ([`RootPath::look_up`]). A request is answered from one root, whatever happens
//! meanwhile.
//!
//! A root that nobody uses, or that the path names no more, is let go: an open directory keeps its
//! filesystem from being unmounted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::errno::Errno;

use crate::config::files::Symlinks;
use crate::disk::Key;
use crate::files::mounts::Mounts;
use crate::files::open_file::OpenMode;
use crate::files::root::{Identity, Root, RootId};
use crate::observe::diagnostics::Diagnostics;
use crate::text::OneLine;

/// How long a worker holds a root that no request is for, in milliseconds.
const UNUSED_MS: u64 = 3_000;
/// How often a worker compares the roots that it holds with their paths, in milliseconds, when no
/// request makes it do so.
const SWEEP_MS: u64 = 1_000;

/// A path that is served: of ROOT, or of a site.
#[derive(Debug)]
pub(crate) struct RootPath {
    path: PathBuf,
    symlinks: Symlinks,
    mounts: Arc<Mounts>,
    diagnostics: Diagnostics,
    /// The mount of the root that was opened last: whom looking the path up has to be shared with.
    key: AtomicU64,
    current: Mutex<Current>,
}

/// What a path named when it was looked up last.
#[derive(Debug)]
enum Current {
    /// A root; one that nobody holds is closed.
    Root(Weak<Root>),
    /// Nothing that can be served, which was said.
    Missing,
}

/// What looking a path up has told.
#[derive(Debug, Clone)]
pub(crate) enum RootLookup {
    Found(Arc<Root>),
    /// Nothing is there that can be served.
    Missing,
    /// Out of descriptors or memory: nothing is known.
    Exhausted,
}

impl RootPath {
    /// Opens the root once, so that what is wrong with it shows at the start, and answers it.
    ///
    /// # Errors
    ///
    /// What opening it reports, `openat2(2)` being absent among it.
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
            key: AtomicU64::new(root.key_of(b"")),
            current: Mutex::new(Current::Root(Arc::downgrade(&root))),
        };
        Ok((path, root))
    }

    /// The mount that is asked by [`look_up`](Self::look_up).
    pub(crate) fn key(&self) -> Key {
        self.key.load(Ordering::Relaxed)
    }

    /// What the path names now. It waits as long as that takes.
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
        self.key.store(opened.key_of(b""), Ordering::Relaxed);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Current::Missing = *current {
            let line = format!("root `{}` is back", OneLine(&self.path));
            self.diagnostics.warn(line);
        }
        // Another thread may have been faster: there is one root for each directory.
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

    fn held(&self) -> Option<Arc<Root>> {
        match &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            Current::Root(root) => root.upgrade(),
            Current::Missing => None,
        }
    }

    /// Says that nothing can be served, unless that was said and has not changed since.
    fn warn_missing(&self, error: &io::Error) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Current::Root(_) = *current {
            *current = Current::Missing;
            let path = self.path.display();
            let line =
                format!("root {path} cannot be opened ({error}): answering 503 until it can");
            self.diagnostics.warn(line);
        }
    }
}

/// The roots as one worker has them, in the order of the paths.
#[derive(Debug)]
pub(crate) struct Roots {
    ttl_ms: u64,
    roots: Vec<WorkerRoot>,
    swept_ms: u64,
    /// Roots that were let go since [`take_retired`](Self::take_retired).
    retired: Vec<RootId>,
}

/// One root as a worker has it.
#[derive(Debug)]
struct WorkerRoot {
    state: State,
    /// When the path was looked up, in milliseconds of the worker's clock.
    checked_ms: u64,
    used_ms: u64,
}

#[derive(Debug)]
enum State {
    /// It was let go.
    Unknown,
    Held(Arc<Root>),
    Missing,
}

/// The root that a request is answered from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CurrentRoot<'a> {
    Open(&'a Arc<Root>),
    /// Nothing is there that can be served.
    Missing,
    /// It could not be opened for want of descriptors or memory.
    Exhausted,
    /// The path has to be looked up by a thread.
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
    /// Roots that were just opened. What a path named is believed for `ttl_ms`.
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

    /// The root of `path`, which has the place `index`, at `now_ms`.
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
        let is_believed = now_ms.saturating_sub(held.checked_ms) < ttl_ms;
        if !is_believed || matches!(held.state, State::Unknown) {
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

    /// Takes in what a thread was told that began to look at `asked_ms`, unless something later is
    /// known.
    pub(crate) fn install(&mut self, index: usize, told: &RootLookup, asked_ms: u64) {
        let Some(held) = self.roots.get_mut(index) else {
            return;
        };
        if asked_ms >= held.checked_ms || matches!(held.state, State::Unknown) {
            held.install(told.clone(), asked_ms, &mut self.retired);
        }
    }

    /// Lets go of roots that nobody uses, and of those that `paths` do not name any more. To be
    /// called once a turn.
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

    /// When [`sweep`](Self::sweep) is due although nothing else happens.
    pub(crate) fn next_sweep_ms(&self) -> Option<u64> {
        let is_held = |held: &WorkerRoot| matches!(held.state, State::Held(_));
        let is_due = self.roots.iter().any(is_held);
        is_due.then_some(self.swept_ms + SWEEP_MS)
    }

    /// The next root that was let go, of which nothing is to be kept.
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

    /// Whether memory tells that the path names what it did.
    fn is_unchanged(&self, path: &RootPath) -> bool {
        match &self.state {
            State::Held(root) => match Identity::resolve(&path.path, OpenMode::CachedOnly) {
                Ok(identity) => identity == root.identity(),
                // What is open serves on.
                Err(error) => is_exhausted(&error),
            },
            State::Missing => match Identity::resolve(&path.path, OpenMode::CachedOnly) {
                Ok(_) => false,
                Err(error) => Identity::is_missing(&error),
            },
            State::Unknown => false,
        }
    }

    /// Whether memory tells that the path names something else, or nothing.
    fn is_replaced(&self, path: &RootPath) -> bool {
        let State::Held(root) = &self.state else {
            return false;
        };
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

/// Whether a call failed for want of descriptors or memory.
fn is_exhausted(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
}
