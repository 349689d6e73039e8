//! How operations are treated, and those that are held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use fuser::{Errno, INodeNo};

use super::tree::Tree;

/// What the kernel asks of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Looks a name up in a directory.
    LookUp,
    /// Asks for the attributes of a file or a directory.
    Attributes,
    /// Opens a file or a directory.
    Open,
    /// Reads bytes of a file.
    Read,
    /// Reads entries of a directory.
    List,
    /// Closes a descriptor of a file: `close(2)` waits for it.
    Close,
    /// Lets go of an open file, when its last descriptor is closed. Nobody waits for it.
    Release,
}

impl Operation {
    /// Each of them.
    pub const ALL: [Self; 7] = [
        Self::LookUp,
        Self::Attributes,
        Self::Open,
        Self::Read,
        Self::List,
        Self::Close,
        Self::Release,
    ];
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

/// Sends a reply: the real one, or an error.
type Answer = Box<dyn FnOnce(Option<Errno>) + Send>;

/// An operation that is not answered.
pub(super) struct Held {
    pub(super) operation: Operation,
    of: u64,
    answer: Answer,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Notified when an operation is held.
    pub(super) changed: Condvar,
    pub(super) mounted_at: SystemTime,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) tree: Tree,
    /// By operation, and by file for those that have a treatment of their own.
    treatments: BTreeMap<(Operation, Option<u64>), Treatment>,
    pub(super) held: Vec<Held>,
    pub(super) counts: BTreeMap<Operation, u64>,
    /// Files of which the kernel keeps no bytes.
    pub(super) uncached: BTreeSet<u64>,
    /// How long the kernel need not ask again for names and attributes.
    pub(super) remembered: Duration,
}

impl State {
    fn treatment(&self, operation: Operation, of: u64) -> Treatment {
        let own = self.treatments.get(&(operation, Some(of)));
        let general = || self.treatments.get(&(operation, None));
        own.or_else(general).copied().unwrap_or(Treatment::Answer)
    }
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            mounted_at: SystemTime::now(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Treats these operations like this from now on: those about the file of this number, or all. What is
    /// held and may go on goes on.
    pub(super) fn set(&self, operations: &[Operation], of: Option<u64>, treatment: Treatment) {
        let mut state = self.lock();
        for &operation in operations {
            state.treatments.insert((operation, of), treatment);
        }
        self.release(state);
    }

    /// Every operation fails from now on, whatever was said of files.
    pub(super) fn fail_all(&self) {
        let mut state = self.lock();
        state.treatments.clear();
        let fail = Treatment::Fail(nix::libc::EIO);
        let all = Operation::ALL.map(|operation| ((operation, None), fail));
        state.treatments.extend(all);
        self.release(state);
    }

    /// Answers or fails what is held and need not be any more.
    fn release(&self, mut state: MutexGuard<'_, State>) {
        let mut released = Vec::new();
        for held in std::mem::take(&mut state.held) {
            match state.treatment(held.operation, held.of) {
                Treatment::Hold => state.held.push(held),
                treatment => released.push((held.answer, treatment)),
            }
        }
        drop(state);
        for (answer, treatment) in released {
            go_on(answer, treatment);
        }
    }

    /// Answers an operation about the file `of` as such operations are treated now.
    pub(super) fn treat(
        &self,
        operation: Operation,
        of: INodeNo,
        answer: impl FnOnce(Option<Errno>) + Send + 'static,
    ) {
        let mut state = self.lock();
        *state.counts.entry(operation).or_default() += 1;
        let answer: Answer = Box::new(answer);
        match state.treatment(operation, of.0) {
            Treatment::Hold => {
                let of = of.0;
                state.held.push(Held {
                    operation,
                    of,
                    answer,
                });
                self.changed.notify_all();
            }
            treatment => {
                drop(state);
                go_on(answer, treatment);
            }
        }
    }
}

/// Sends the answer of an operation that is not held.
fn go_on(answer: Answer, treatment: Treatment) {
    match treatment {
        Treatment::Answer | Treatment::Hold => answer(None),
        Treatment::Fail(errno) => answer(Some(Errno::from_i32(errno))),
        Treatment::Delay(time) => {
            thread::spawn(move || {
                thread::sleep(time);
                answer(None);
            });
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("tree", &self.tree)
            .field("treatments", &self.treatments)
            .field("held", &self.held.len())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
