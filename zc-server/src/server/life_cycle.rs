//! The end of a server: asked for, and waited for.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::Handle;
use crate::config::Config;
use crate::mailbox::Mailbox;
use crate::reactor::EndTimes;
use crate::worker::WorkerMessage;

/// A worker that ends for whatever reason, a panic included, takes the others with it: a server
/// that answers on some of its listeners only is worse than none.
pub(super) struct StopOnExit(pub(super) Handle);

impl Drop for StopOnExit {
    fn drop(&mut self) {
        self.0.end_in(0);
    }
}

/// How long the end takes by this configuration.
pub(super) fn end_times(config: &Config) -> EndTimes {
    EndTimes {
        drain_delay_ms: config.drain_delay_ms,
        grace_ms: config.grace_ms,
    }
}

/// A question to every worker whether it does its work.
#[derive(Debug)]
pub struct Ping(mpsc::Receiver<Infallible>);

impl Ping {
    fn to<'m>(mailboxes: impl Iterator<Item = &'m Mailbox<WorkerMessage>>) -> Self {
        let (sender, answers) = mpsc::channel();
        for mailbox in mailboxes {
            mailbox.send(WorkerMessage::Ping(sender.clone()));
        }
        Self(answers)
    }

    /// Waits for all answers, for `limit` at most. False when some have not come by then. Workers that have ended need
    /// not answer.
    #[must_use]
    pub fn is_answered_within(&self, limit: Duration) -> bool {
        // Nobody sends a value: each drops its sender.
        self.0.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
    }
}

impl Handle {
    /// Begins the end of the server: `/readyz` fails at once. For as long as
    /// [`drain_delay_ms`](Config::drain_delay_ms) says, connections are accepted and requests answered, each with
    /// `Connection: close`. Then listeners and idle connections close, and responses under way have the grace
    /// period. Calling it again changes nothing.
    pub fn stop(&self) {
        self.end_in(self.shared.drain_delay_ms.load(Ordering::Relaxed));
    }

    /// How long connections are accepted although the end was asked for.
    #[must_use]
    pub fn drain_delay(&self) -> Duration {
        Duration::from_millis(self.shared.drain_delay_ms.load(Ordering::Relaxed))
    }

    /// Asks every worker, and the admin listener, for an answer: each gives it between two turns.
    #[must_use]
    pub fn ping(&self) -> Ping {
        Ping::to(self.mailboxes.iter().chain(&self.admin))
    }

    fn end_in(&self, delay_ms: u64) {
        self.shared.process.ready.store(false, Ordering::Release);
        self.shared.drain_in(delay_ms);
        for waker in self.wakers.iter() {
            // It fails only when the worker's epoll instance is gone, and then nobody needs waking.
            let _ = waker.wake();
        }
    }

    /// What is left of the grace period, once the workers have ended.
    pub(super) fn grace_left(&self) -> Duration {
        let shared = &self.shared;
        let now_ms = shared.now_ms();
        let began_ms = shared.drain_at_ms().unwrap_or(now_ms);
        let grace_ms = shared.grace_ms.load(Ordering::Relaxed);
        Duration::from_millis(grace_ms.saturating_sub(now_ms.saturating_sub(began_ms)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mio::{Poll, Token, Waker};

    use super::*;

    /// Longer than it takes to see that nobody answers.
    const SHORT: Duration = Duration::from_millis(10);
    /// No test waits for so long, unless something hangs.
    const HANG: Duration = Duration::from_secs(60);

    #[test]
    fn a_ping_is_answered_when_every_worker_has_taken_its_messages_or_ended() {
        let polls = [(); 3].map(|()| Poll::new().expect("epoll"));
        let mailboxes = polls.each_ref().map(|poll| {
            let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
            Mailbox::new(Arc::new(waker))
        });
        let ping = Ping::to(mailboxes.iter());
        drop(mailboxes[0].take());
        mailboxes[1].end();
        // Nobody reads the third.
        assert!(!ping.is_answered_within(SHORT));
        assert!(!ping.is_answered_within(SHORT), "still");
        drop(mailboxes[2].take());
        assert!(ping.is_answered_within(HANG));
        // Who has ended is asked nothing.
        let ping = Ping::to(mailboxes[1..2].iter());
        assert!(ping.is_answered_within(HANG));
    }
}
