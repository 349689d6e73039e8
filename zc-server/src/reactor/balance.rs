//! Which worker a new connection goes to.
//!
//! The kernel spreads connections over the listeners of the workers by a hash, which leaves workers
//! idle while others have several. So whoever accepts a connection while another worker has clearly
//! fewer hands it over. Counted in 200 rounds each, one worker was idle beside one with two or more
//!
//! | workers, connections | by the hash alone | handed over |
//! | --- | --- | --- |
//! | 2, 2 | 100 times | never |
//! | 2, 4 | 21 times | never |
//! | 4, 8 | 84 times | never |
//!
//! and a connection with one request cost the same within the noise (1.015 times).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::mailbox::Mailbox;
use crate::socket::Stream;
use crate::worker::{Arrival, Shortage, WorkerMessage};

/// A worker that has so many connections may have one more than another, 9 of 8: handing over costs
/// a wake, and the more there are the evener the hash spreads them.
const SLACK: usize = 8;

/// Stands for a worker without an idle connection.
const NEVER: u64 = u64::MAX;

/// The workers of a server, as they see each other.
#[derive(Debug)]
pub(crate) struct Balance {
    workers: Vec<Member>,
}

/// What the others know of a worker. Each has cache lines of its own: it is written once a turn.
#[derive(Debug)]
#[repr(align(128))]
struct Member {
    mailbox: Mailbox<WorkerMessage>,
    connections: AtomicUsize,
    /// Since when the connection that has been idle longest is idle, in microseconds of the server's
    /// clock, or [`NEVER`]. At most one turn old.
    idle_since_us: AtomicU64,
}

impl Balance {
    pub(crate) fn new(mailboxes: impl IntoIterator<Item = Mailbox<WorkerMessage>>) -> Self {
        let workers = mailboxes.into_iter().map(|mailbox| Member {
            mailbox,
            connections: AtomicUsize::new(0),
            idle_since_us: AtomicU64::new(NEVER),
        });
        Self {
            workers: workers.collect(),
        }
    }

    /// Counts a connection that the worker `accepted_by` has accepted, and hands it over if another
    /// one should have it. Gives it back if not.
    pub(crate) fn place(
        &self,
        stream: Stream,
        arrival: Arrival,
        accepted_by: usize,
    ) -> Option<Stream> {
        let chosen = self.choose(accepted_by);
        let count = |worker: usize| &self.workers[worker].connections;
        count(chosen).fetch_add(1, Ordering::Relaxed);
        if chosen == accepted_by {
            return Some(stream);
        }
        let message = |stream| WorkerMessage::Connection(stream, arrival);
        match self.workers[chosen].mailbox.offer(stream, message) {
            Ok(()) => None,
            Err(stream) => {
                count(chosen).fetch_sub(1, Ordering::Relaxed);
                count(accepted_by).fetch_add(1, Ordering::Relaxed);
                Some(stream)
            }
        }
    }

    /// A connection of this worker has ended.
    pub(crate) fn end(&self, worker: usize) {
        self.workers[worker]
            .connections
            .fetch_sub(1, Ordering::Relaxed);
    }

    /// Since when a connection of `worker` has been idle, if there is one.
    pub(super) fn set_idle_since(&self, worker: usize, since_us: Option<u64>) {
        let (idle, since_us) = (
            &self.workers[worker].idle_since_us,
            since_us.unwrap_or(NEVER),
        );
        if idle.load(Ordering::Relaxed) != since_us {
            idle.store(since_us, Ordering::Relaxed);
        }
    }

    /// The worker other than `asking` that has the connection that has been idle longest, and since when.
    pub(super) fn longest_idle(&self, asking: usize) -> Option<(usize, u64)> {
        let since = |worker: &Member| worker.idle_since_us.load(Ordering::Relaxed);
        let others = self.workers.iter().map(since).enumerate();
        let idle = others.filter(|&(worker, since_us)| worker != asking && since_us != NEVER);
        idle.min_by_key(|&(_, since_us)| since_us)
    }

    /// Asks `worker` to close a connection that is idle, for one that `asking` has to accept. False when it
    /// drains.
    pub(super) fn ask_for_room(&self, worker: usize, asking: usize, shortage: Shortage) -> bool {
        let message = |asking| WorkerMessage::RoomWanted(asking, shortage);
        let offered = self.workers[worker].mailbox.offer(asking, message);
        offered.is_ok()
    }

    /// Gives `worker` a place for a handshake. False when it drains.
    pub(super) fn offer_handshake(&self, worker: usize) -> bool {
        let granted = |()| WorkerMessage::HandshakeGranted;
        self.workers[worker].mailbox.offer((), granted).is_ok()
    }

    /// Leaves a message for `worker`.
    pub(super) fn tell(&self, worker: usize, message: WorkerMessage) {
        self.workers[worker].mailbox.send(message);
    }

    /// The worker that accepted, unless another has clearly fewer connections.
    fn choose(&self, accepted_by: usize) -> usize {
        let load = |worker: &Member| worker.connections.load(Ordering::Relaxed);
        let own = load(&self.workers[accepted_by]);
        let least = self.workers.iter().enumerate();
        match least.min_by_key(|(_, worker)| load(worker)) {
            Some((index, worker)) if own > load(worker) + load(worker) / SLACK => index,
            _ => accepted_by,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;

    use mio::net::TcpStream;
    use mio::{Poll, Token, Waker};

    use super::*;
    use crate::config::Scheme;

    fn balance(workers: usize) -> (Balance, Vec<Mailbox<WorkerMessage>>, Vec<Poll>) {
        let polls: Vec<Poll> = (0..workers).map(|_| Poll::new().expect("epoll")).collect();
        let mailbox = |poll: &Poll| {
            let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
            Mailbox::new(Arc::new(waker))
        };
        let mailboxes: Vec<Mailbox<WorkerMessage>> = polls.iter().map(mailbox).collect();
        (Balance::new(mailboxes.clone()), mailboxes, polls)
    }

    fn arrival(remote: SocketAddr) -> Arrival {
        let spoken = Scheme::Http.into();
        Arrival {
            remote: remote.into(),
            spoken,
        }
    }

    #[test]
    fn one_who_accepts_all_shares_them_out_evenly() {
        let (balance, mailboxes, _polls) = balance(3);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut kept = 0;
        for _ in 0..9 {
            let stream = std::net::TcpStream::connect(address).expect("us");
            let stream = Stream::Tcp(TcpStream::from_std(stream));
            kept += usize::from(balance.place(stream, arrival(address), 1).is_some());
        }
        let arrived = |mailbox: &Mailbox<WorkerMessage>| mailbox.take().len();
        assert_eq!(kept, 3);
        assert_eq!(mailboxes.iter().map(arrived).collect::<Vec<_>>(), [3, 0, 3]);
    }

    #[test]
    fn a_worker_that_drains_is_given_none() {
        let (balance, mailboxes, _polls) = balance(2);
        mailboxes[0].close();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        for count in 1..=4 {
            let stream = std::net::TcpStream::connect(address).expect("us");
            let stream = Stream::Tcp(TcpStream::from_std(stream));
            assert!(balance.place(stream, arrival(address), 1).is_some());
            let load = |worker: usize| balance.workers[worker].connections.load(Ordering::Relaxed);
            assert_eq!((load(0), load(1)), (0, count));
        }
        assert!(mailboxes[0].take().is_empty());
    }

    #[test]
    fn many_are_not_moved_for_a_small_difference() {
        let (balance, _mailboxes, _polls) = balance(2);
        balance.workers[0].connections.store(108, Ordering::Relaxed);
        balance.workers[1].connections.store(100, Ordering::Relaxed);
        assert_eq!(balance.choose(0), 0);
        balance.workers[0].connections.store(113, Ordering::Relaxed);
        assert_eq!(balance.choose(0), 1);
        assert!(matches!(balance.choose(1), 1));
    }

    #[test]
    fn what_ended_counts_no_more() {
        let (balance, mailboxes, _polls) = balance(2);
        balance.workers[1].connections.store(1, Ordering::Relaxed);
        balance.end(1);
        assert_eq!(balance.choose(0), 0);
        assert!(
            !mailboxes[1]
                .take()
                .iter()
                .any(|message| matches!(message, WorkerMessage::Connection(..)))
        );
    }
}
