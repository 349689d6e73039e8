//! Where the answers of the disk wait for a worker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::{Token, Waker};

use super::Answer;

/// Where the answers for one worker arrive. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    answers: Arc<Mutex<Vec<(Token, Answer)>>>,
    waker: Arc<Waker>,
}

impl Mailbox {
    /// A mailbox whose worker is woken by `waker`.
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self {
            answers: Arc::default(),
            waker,
        }
    }

    /// Leaves the answer for a connection, and wakes its worker.
    pub(crate) fn post(&self, token: Token, answer: Answer) {
        self.lock().push((token, answer));
        // It fails only when the worker's epoll instance is gone, and then nobody needs waking.
        let _ = self.waker.wake();
    }

    /// Takes all that has arrived.
    pub(crate) fn take(&self) -> Vec<(Token, Answer)> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Token, Answer)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
