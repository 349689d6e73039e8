//! Room for a new connection, at `--max-connections` or where descriptors have run out: the connection that
//! has been idle longest is closed.
//!
//! The limit and the descriptors are shared by all workers, and so is this rule. A worker that has a
//! connection to accept looks for the oldest idle one of all. If that is another worker's, it sends a message:
//! the other one closes whichever of its connections has been idle longest by then, and answers. No message
//! names a connection, so none can close one that has become busy.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Accepting, Reactor};
use crate::connection::Turn;
use crate::reactor::listener::has_waiting;
use crate::text::counted;
use crate::worker::{Shortage, WorkerMessage};

/// The shortest time between two lines about idle connections that were closed, in microseconds.
const LINE_EVERY_US: u64 = 60_000_000;

/// What was done for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// A connection of this worker was closed.
    Made,
    /// Another worker closes one, and answers.
    Requested,
    /// Nobody is idle.
    None,
    /// Nobody waits to be accepted.
    Unneeded,
}

/// Idle connections of all workers that were closed for new ones, and are not reported yet.
#[derive(Debug, Default)]
pub(crate) struct ShedCount {
    connections: AtomicU64,
    descriptors: AtomicU64,
    /// When the next line may be written, in microseconds of the server's clock.
    next_line_us: AtomicU64,
}

impl ShedCount {
    fn add(&self, shortage: Shortage) {
        let count = match shortage {
            Shortage::Connections => &self.connections,
            Shortage::Descriptors => &self.descriptors,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// When there is something to report; `None` while there is not.
    pub(super) fn next_line_us(&self) -> Option<u64> {
        let pending = [&self.connections, &self.descriptors];
        let is_pending = pending
            .iter()
            .any(|count| count.load(Ordering::Relaxed) > 0);
        is_pending.then(|| self.next_line_us.load(Ordering::Relaxed))
    }

    /// The lines for the operator, if they are due at `now_us`.
    fn take_lines(&self, now_us: u64, connections_max: usize) -> [Option<String>; 2] {
        let Some(due_us) = self.next_line_us().filter(|&due_us| due_us <= now_us) else {
            return [None, None];
        };
        let next_us = now_us.saturating_add(LINE_EVERY_US);
        let order = Ordering::Relaxed;
        let next = &self.next_line_us;
        if next
            .compare_exchange(due_us, next_us, order, order)
            .is_err()
        {
            // Another worker reports.
            return [None, None];
        }
        let take = |count: &AtomicU64| match count.swap(0, order) {
            0 => None,
            number => Some(counted(number, "idle connection")),
        };
        let at_limit = take(&self.connections).map(|closed| {
            format!(
                "closed {closed} to make room for new ones at --max-connections {connections_max}; \
                 raise it or lower --idle-timeout"
            )
        });
        let without_descriptors = take(&self.descriptors).map(|closed| {
            format!(
                "closed {closed} to make room for new ones: no file descriptor was free; raise the \
                 limit of open files (ulimit -n) or lower --max-connections"
            )
        });
        [at_limit, without_descriptors]
    }
}

impl Reactor {
    /// Has the connection closed that has been idle longest, of all workers, if one waits at the listener.
    pub(super) fn make_room(&mut self, listener: usize, shortage: Shortage) -> Room {
        if !has_waiting(&self.listeners[listener].socket) {
            return Room::Unneeded;
        }
        let own_us = self.oldest_idle_us();
        let others = self.shared.balance.longest_idle(self.index);
        // While the server drains, its workers close what is idle by themselves.
        let other =
            others.filter(|&(_, since_us)| !self.worker.is_draining() && since_us <= self.now_us);
        if let Some((other, since_us)) = other
            && own_us.is_none_or(|own_us| since_us < own_us)
            && self
                .shared
                .balance
                .ask_for_room(other, self.index, shortage)
        {
            return Room::Requested;
        }
        if self.shed_idle(shortage) {
            return Room::Made;
        }
        match other {
            Some((other, _))
                if self
                    .shared
                    .balance
                    .ask_for_room(other, self.index, shortage) =>
            {
                Room::Requested
            }
            _ => Room::None,
        }
    }

    /// Another worker needs room.
    pub(super) fn on_room_wanted(&mut self, by: usize, shortage: Shortage) {
        self.shed_idle(shortage);
        // It looks again at once, and must not find here what is gone.
        self.publish_idle();
        self.shared.balance.tell(by, WorkerMessage::RoomAnswered);
    }

    /// The worker that was asked for room has done what it could.
    pub(super) fn on_room_answered(&mut self) {
        if matches!(self.accepting, Accepting::After(_)) {
            self.accepting = Accepting::NextTurn;
        }
    }

    /// Closes the connection of this worker that has been idle longest. False when none is idle.
    fn shed_idle(&mut self, shortage: Shortage) -> bool {
        while let Some((token, since_us)) = self.idle.oldest()
            && since_us <= self.now_us
        {
            self.idle.forget(token);
            // One of which bytes have come since is not idle: the next poll tells of them.
            if let Some(slot) = self.slots.get_mut(token)
                && slot.connection.has_nothing_to_read()
            {
                let turn = slot.connection.shed(&self.worker);
                let is_over = turn == Turn::Closed;
                self.after_turn(token, turn);
                if !is_over {
                    continue;
                }
                self.shared.shed.add(shortage);
                return true;
            }
        }
        false
    }

    /// Since when the connection of this worker that has been idle longest is idle, in microseconds.
    fn oldest_idle_us(&self) -> Option<u64> {
        let (_, since_us) = self.idle.oldest()?;
        (since_us <= self.now_us).then_some(since_us)
    }

    /// Lets the other workers know since when a connection of this one has been idle.
    pub(super) fn publish_idle(&self) {
        let oldest = self.idle.oldest().map(|(_, since_us)| since_us);
        self.shared.balance.set_idle_since(self.index, oldest);
    }

    /// Reports idle connections that were closed, at most once a minute.
    pub(super) fn report_shed(&self, now_us: u64) {
        let lines = self
            .shared
            .shed
            .take_lines(now_us, self.shared.connections_max.load(Ordering::Relaxed));
        for line in lines.into_iter().flatten() {
            self.worker.services.diagnostics.warn(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_closed_is_reported_once_a_minute() {
        let count = ShedCount::default();
        assert_eq!(count.take_lines(5, 10), [None, None]);
        count.add(Shortage::Connections);
        let [line, other] = count.take_lines(5, 10);
        let expected = "closed 1 idle connection to make room for new ones at --max-connections 10; \
                        raise it or lower --idle-timeout";
        assert_eq!((line.as_deref(), other), (Some(expected), None));
        for _ in 0..3 {
            count.add(Shortage::Connections);
            count.add(Shortage::Descriptors);
            assert_eq!(count.take_lines(LINE_EVERY_US + 4, 10), [None, None]);
        }
        assert_eq!(count.next_line_us(), Some(LINE_EVERY_US + 5));
        let lines = count.take_lines(LINE_EVERY_US + 5, 10);
        let is_of_three = |line: &Option<String>| {
            let line = line.as_deref().expect("it is due");
            line.starts_with("closed 3 idle connections ")
        };
        assert!(lines.iter().all(is_of_three), "{lines:?}");
        assert_eq!(count.next_line_us(), None);
    }
}
