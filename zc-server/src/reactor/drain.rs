//! What the server waits for when it is told to stop, counted over all workers.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::text::counted;

/// Counts what each worker has under way when its drain begins.
#[derive(Debug)]
pub(crate) struct DrainCount {
    /// Workers that have not told yet.
    workers: AtomicUsize,
    responses: AtomicUsize,
    connections: AtomicUsize,
}

impl DrainCount {
    pub(crate) fn of_workers(workers: usize) -> Self {
        Self {
            workers: AtomicUsize::new(workers),
            responses: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        }
    }

    /// One that says nothing.
    pub(crate) fn silent() -> Self {
        Self::of_workers(usize::MAX)
    }

    /// Adds what a worker has: responses under way, and connections that are open. The last worker gets the
    /// line for the operator, if there is anything to wait for.
    pub(crate) fn add(
        &self,
        responses: usize,
        connections: usize,
        grace_ms: u64,
    ) -> Option<String> {
        self.responses.fetch_add(responses, Ordering::AcqRel);
        self.connections.fetch_add(connections, Ordering::AcqRel);
        if self.workers.fetch_sub(1, Ordering::AcqRel) > 1 {
            return None;
        }
        let responses = self.responses.load(Ordering::Acquire);
        let connections = self.connections.load(Ordering::Acquire);
        let what = match (responses, connections) {
            (0, 0) => return None,
            (0, _) => counted(connections as u64, "connection") + " being closed",
            _ => counted(responses as u64, "response") + " in progress",
        };
        let grace = match grace_ms {
            whole if whole % 1000 == 0 => format!("{} s", whole / 1000),
            part => format!("{part} ms"),
        };
        Some(format!(
            "{what}, waiting at most {grace}; press Ctrl-C again to stop now"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_worker_says_what_all_have() {
        let count = DrainCount::of_workers(3);
        assert_eq!(count.add(1, 2, 30_000), None);
        assert_eq!(count.add(0, 0, 30_000), None);
        let line = "3 responses in progress, waiting at most 30 s; press Ctrl-C again to stop now";
        assert_eq!(count.add(2, 2, 30_000).as_deref(), Some(line));
        let line =
            "1 connection being closed, waiting at most 1500 ms; press Ctrl-C again to stop now";
        assert_eq!(
            DrainCount::of_workers(1).add(0, 1, 1500).as_deref(),
            Some(line)
        );
        let line = "1 response in progress, waiting at most 1 s; press Ctrl-C again to stop now";
        assert_eq!(
            DrainCount::of_workers(1).add(1, 1, 1000).as_deref(),
            Some(line)
        );
        assert_eq!(DrainCount::of_workers(1).add(0, 0, 1000), None);
    }
}
