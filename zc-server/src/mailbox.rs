//! Where what others have to tell a worker waits for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

/// Where messages for one worker arrive. A clone is another handle of the same.
#[derive(Debug)]
pub(crate) struct Mailbox<M> {
    inner: Arc<Mutex<Inner<M>>>,
    waker: Arc<Waker>,
}

#[derive(Debug)]
struct Inner<M> {
    messages: Vec<M>,
    /// Nothing new is taken on: the worker drains.
    is_closed: bool,
    /// The worker has ended.
    is_over: bool,
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            waker: Arc::clone(&self.waker),
        }
    }
}

impl<M> Mailbox<M> {
    /// A mailbox whose worker is woken by `waker`.
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        let inner = Inner {
            messages: Vec::new(),
            is_closed: false,
            is_over: false,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            waker,
        }
    }

    /// Leaves a message, and wakes the worker. It is dropped when that one has [ended](Self::end).
    pub(crate) fn send(&self, message: M) {
        let mut inner = self.lock();
        if inner.is_over {
            return;
        }
        inner.messages.push(message);
        drop(inner);
        self.wake();
    }

    /// Leaves a message that is more work, made of `value`, and wakes the worker; gives the value back
    /// when the mailbox is [closed](Self::close).
    pub(crate) fn offer<T>(&self, value: T, message: impl FnOnce(T) -> M) -> Result<(), T> {
        let mut inner = self.lock();
        if inner.is_closed {
            return Err(value);
        }
        inner.messages.push(message(value));
        drop(inner);
        self.wake();
        Ok(())
    }

    /// From now on what is [offered](Self::offer) is given back. What has arrived is to be taken once more.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Nobody takes anything any more: what is there is dropped, and what comes.
    pub(crate) fn end(&self) {
        let mut inner = self.lock();
        (inner.is_closed, inner.is_over) = (true, true);
        let messages = std::mem::take(&mut inner.messages);
        // Whoever waits for them may want to leave another.
        drop(inner);
        drop(messages);
    }

    /// Takes all that has arrived.
    pub(crate) fn take(&self) -> Vec<M> {
        std::mem::take(&mut self.lock().messages)
    }

    fn wake(&self) {
        // It fails only when the worker's epoll instance is gone, and then nobody needs waking.
        let _ = self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<M>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use mio::{Events, Poll, Token};

    use super::*;

    #[test]
    fn a_message_wakes_its_worker_and_none_is_lost_when_that_one_ends() {
        let mut poll = Poll::new().expect("epoll");
        let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
        let mailbox = Mailbox::new(Arc::new(waker));
        mailbox.offer(1, i32::from).expect("it is open");
        let mut events = Events::with_capacity(1);
        while events.is_empty() {
            poll.poll(&mut events, None).expect("epoll");
        }
        mailbox.close();
        assert_eq!(mailbox.offer(2, i32::from), Err(2));
        // What belongs to work under way arrives all the same.
        mailbox.send(3);
        assert_eq!(mailbox.take(), [1, 3]);
        assert!(mailbox.take().is_empty());
        let message = |mailbox: &Mailbox<i32>| mailbox.send(4);
        message(&mailbox);
        mailbox.end();
        message(&mailbox);
        assert!(mailbox.take().is_empty());
    }
}
