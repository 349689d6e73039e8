//! Where the answers of the disk, and connections that other workers accepted, wait for a worker.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::net::TcpStream;
use mio::{Token, Waker};

use super::Answer;

/// What arrives in a [`Mailbox`].
#[derive(Debug)]
pub(crate) enum Letter {
    /// What a connection has asked of the disk.
    Answer(Token, Answer),
    /// A connection that another worker has accepted.
    Connection(TcpStream, SocketAddr),
}

/// Where letters for one worker arrive. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    inner: Arc<Mutex<Inner>>,
    waker: Arc<Waker>,
}

#[derive(Debug, Default)]
struct Inner {
    letters: Vec<Letter>,
    /// No more connections: the worker drains.
    is_closed: bool,
}

impl Mailbox {
    /// A mailbox whose worker is woken by `waker`.
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self {
            inner: Arc::default(),
            waker,
        }
    }

    /// Leaves the answer for a connection, and wakes its worker.
    pub(crate) fn post(&self, token: Token, answer: Answer) {
        self.lock().letters.push(Letter::Answer(token, answer));
        self.wake();
    }

    /// Leaves a connection, and wakes the worker; gives it back when the worker takes no more.
    pub(crate) fn hand_over(&self, stream: TcpStream, remote: SocketAddr) -> Result<(), TcpStream> {
        let mut inner = self.lock();
        if inner.is_closed {
            return Err(stream);
        }
        inner.letters.push(Letter::Connection(stream, remote));
        drop(inner);
        self.wake();
        Ok(())
    }

    /// From now on connections are given back. What has arrived is to be taken once more.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Takes all that has arrived.
    pub(crate) fn take(&self) -> Vec<Letter> {
        std::mem::take(&mut self.lock().letters)
    }

    fn wake(&self) {
        // It fails only when the worker's epoll instance is gone, and then nobody needs waking.
        let _ = self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream as StdTcpStream};

    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn a_connection_wakes_its_new_worker_and_none_is_lost_when_that_one_ends() {
        let mut poll = Poll::new().expect("epoll");
        let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
        let mailbox = Mailbox::new(Arc::new(waker));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let stream = || TcpStream::from_std(StdTcpStream::connect(address).expect("us"));
        mailbox.hand_over(stream(), address).expect("it is open");
        let mut events = Events::with_capacity(1);
        while events.is_empty() {
            poll.poll(&mut events, None).expect("epoll");
        }
        mailbox.close();
        mailbox
            .hand_over(stream(), address)
            .expect_err("given back to the one who accepted it");
        assert!(matches!(mailbox.take()[..], [Letter::Connection(_, one)] if one == address));
    }
}
