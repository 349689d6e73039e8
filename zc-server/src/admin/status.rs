//! What is under way, as JSON.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::Sources;
use crate::disk::DiskState;
use crate::files::open_file::{FileHandle, path_of};
use crate::observe::counters::{BodyPath, Counter, Phase, Words, WorkerCounters};
use crate::socket::PeerAddress;

/// How long all workers together have to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The most transfers of one worker that are listed; the others are counted.
pub(crate) const TRANSFERS_MAX: usize = 1_000;

/// Has a worker send what it has under way.
pub(crate) type AskedWorker = Box<dyn Fn(Sender<WorkerSnapshot>) + Send + Sync>;

/// What one worker has under way.
#[derive(Debug, Default)]
pub(crate) struct WorkerSnapshot {
    /// At most [`TRANSFERS_MAX`].
    pub(crate) transfers: Vec<Transfer>,
    /// How many there are beside those.
    pub(crate) omitted: u64,
}

/// A response that is under way.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) client: PeerAddress,
    /// The file that it is of, if it is of one.
    pub(crate) file: Option<Arc<FileHandle>>,
    pub(crate) path: BodyPath,
    /// Bytes of its body that the socket has accepted.
    pub(crate) sent_bytes: u64,
    /// When its worker turned to the request, in microseconds of the server's clock.
    pub(crate) started_us: u64,
}

/// The name of a worker, which its thread has as well.
pub(crate) fn worker_name(index: usize) -> String {
    format!("zc-worker-{index}")
}

/// What is under way, as JSON. It waits for the workers, for [`ANSWER_TIMEOUT`] at most.
pub(super) fn to_json(sources: &Sources, workers: &[AskedWorker]) -> Vec<u8> {
    let asked = workers.iter().map(|ask| {
        let (sender, answer) = mpsc::channel();
        ask(sender);
        answer
    });
    let asked: Vec<_> = asked.collect();
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let mut transfers = Vec::new();
    let (mut omitted, mut unanswered) = (0, Vec::new());
    for (index, answer) in asked.into_iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        match answer.recv_timeout(left) {
            Ok(snapshot) => {
                omitted += snapshot.omitted;
                let now_us = sources.process.started.elapsed().as_micros();
                let listed = snapshot.transfers.iter();
                transfers.extend(listed.map(|transfer| {
                    transfer_to_json(transfer, index, u64::try_from(now_us).unwrap_or(u64::MAX))
                }));
            }
            Err(_) => unanswered.push(worker_name(index)),
        }
    }
    let process = &sources.process;
    let services = &sources.services;
    let value = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": process.started.elapsed().as_secs(),
        "ready": process.ready.load(Ordering::Acquire),
        "configuration_generation": process.generation.load(Ordering::Relaxed),
        "workers": workers.len(),
        "unanswered": unanswered,
        "connections": connections(&sources.workers),
        "transfers": transfers,
        "transfers_omitted": omitted,
        "cache": cache(&sources.workers),
        "disk_queue": {
            "read": disk_to_json(services.readers.state()),
            "other": disk_to_json(services.disk.state()),
        },
    });
    let mut text = format!("{value:#}");
    text.push('\n');
    text.into()
}

fn connections(workers: &[Arc<WorkerCounters>]) -> Map<String, Value> {
    let by_phase = Phase::ALL.iter().map(|&phase| {
        let number: u64 = workers.iter().map(|worker| worker.phase(phase)).sum();
        (phase.word().to_owned(), number.into())
    });
    by_phase.collect()
}

fn cache(workers: &[Arc<WorkerCounters>]) -> Value {
    let sum = |of: fn(&WorkerCounters) -> &Counter| -> u64 {
        workers.iter().map(|worker| of(worker).get()).sum()
    };
    json!({
        "entries": sum(|worker| &worker.cache.entries),
        "bytes": sum(|worker| &worker.cache.bytes),
        "hits": sum(|worker| &worker.cache.hits),
        "misses": sum(|worker| &worker.cache.misses),
        "evictions": sum(|worker| &worker.cache.evictions),
    })
}

fn disk_to_json(state: DiskState) -> Value {
    json!({
        "jobs": state.queued,
        "threads": state.threads,
        "busy": state.busy,
        "refused": state.refused,
    })
}

fn transfer_to_json(transfer: &Transfer, worker: usize, now_us: u64) -> Value {
    let took_us = now_us.saturating_sub(transfer.started_us).max(1);
    let sent_bytes = transfer.sent_bytes;
    let bytes_per_second = u128::from(sent_bytes) * 1_000_000 / u128::from(took_us);
    json!({
        "client": transfer.client.to_string(),
        "worker": worker_name(worker),
        "file": transfer.file.as_deref().and_then(path_of),
        "path": transfer.path.word(),
        "sent_bytes": sent_bytes,
        "seconds": took_us / 1_000_000,
        "bytes_per_second": u64::try_from(bytes_per_second).unwrap_or(u64::MAX),
    })
}
