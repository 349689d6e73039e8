//! What the metrics count of connections and turns, and what is under way.

use super::{Reactor, Slot};
use crate::admin::status::{TRANSFERS_MAX, WorkerSnapshot};

impl Reactor {
    pub(super) fn begin_turn(&self) {
        if let Some(counters) = &self.worker.counters {
            counters.begin_turn(self.worker.now_ms);
        }
    }

    pub(super) fn end_turn(&self) {
        if let Some(counters) = &self.worker.counters {
            counters.end_turn();
        }
    }

    pub(super) fn count_accepted(&self) {
        if let Some(counters) = &self.worker.counters {
            counters.accepted.add(1);
        }
    }

    pub(super) fn count_closed(&self, slot: &Slot) {
        if let Some(counters) = &self.worker.counters {
            counters.count_closed(slot.connection.close_reason());
            counters.count_phase(slot.phase, None);
        }
    }

    /// What is under way.
    pub(super) fn snapshot(&mut self) -> WorkerSnapshot {
        let mut snapshot = WorkerSnapshot::default();
        for token in self.slots.tokens() {
            let slot = self.slots.get_mut(token);
            let Some(transfer) = slot.and_then(|slot| slot.connection.transfer()) else {
                continue;
            };
            if snapshot.transfers.len() < TRANSFERS_MAX {
                snapshot.transfers.push(transfer);
            } else {
                snapshot.omitted += 1;
            }
        }
        snapshot
    }
}
