//! What a worker has of the access log: a buffer of lines, and the queue to the thread that writes.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};

use super::LogEntry;
use crate::config::LogFormat;
use crate::observe::format;

/// The most batches in the queue.
pub(super) const QUEUE_BATCHES_MAX: usize = 256;
/// The most bytes in the queue, and of what workers keep in excess of [`BUFFER_BYTES_MAX`].
pub(super) const QUEUE_BYTES_MAX: usize = 16 << 20;
/// The most bytes that one worker keeps while the queue is full, and takes of [`QUEUE_BYTES_MAX`] at a time for more.
/// Batches of one line each fill the queue in a few milliseconds, and a disk may take a second.
pub(super) const BUFFER_BYTES_MAX: usize = 1 << 20;

/// What the sinks and the thread share beside the queue.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Lines that were dropped, by a worker or by the thread.
    pub(super) dropped_lines: AtomicU64,
    /// Those of all logs that the server has had.
    pub(super) dropped_in_all: Arc<AtomicU64>,
    /// Bytes in the queue, and those that workers have reserved; in step with it up to one batch per worker.
    pub(super) queued_bytes: AtomicUsize,
    /// Whether the thread has stopped. Checked before the bounds of the queue, which is not emptied any
    /// more then.
    pub(super) reader_gone: AtomicBool,
    /// Whether the file is to be opened again.
    pub(super) reopen_wanted: AtomicBool,
    /// The buffers of sinks that were dropped while the queue was full.
    pub(super) left_over: Mutex<Vec<Vec<u8>>>,
}

impl Shared {
    pub(super) fn drop_lines(&self, batch: &[u8]) {
        let lines = batch.iter().filter(|&&byte| byte == b'\n').count();
        self.count_dropped(lines as u64);
    }

    pub(super) fn count_dropped(&self, lines: u64) {
        self.dropped_lines.fetch_add(lines, Ordering::Relaxed);
        self.dropped_in_all.fetch_add(lines, Ordering::Relaxed);
    }
}

/// The access log of one worker. A clone has the same thread and its own buffer.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(super) format: LogFormat,
    /// `None` when the reader has gone.
    pub(super) queue: Option<SyncSender<Vec<u8>>>,
    pub(super) shared: Arc<Shared>,
    /// Whole lines that are not queued yet; at most [`BUFFER_BYTES_MAX`] and what is reserved.
    pub(super) buffer: Vec<u8>,
    /// Bytes of the buffer that count as queued.
    pub(super) reserved_bytes: usize,
}

impl Sink {
    /// Puts `new` in the place of `sink`. Where both have the same thread, the lines that wait stay.
    pub(crate) fn replace(sink: &mut Option<Self>, new: Option<Self>) {
        match (sink, new) {
            (Some(sink), Some(new)) if Arc::ptr_eq(&sink.shared, &new.shared) => {
                sink.format = new.format;
            }
            (sink, new) => *sink = new,
        }
    }

    pub(super) fn set_format(&mut self, format: LogFormat) {
        self.format = format;
    }

    /// Has the thread open its file again after what is queued now.
    pub(super) fn ask_to_reopen(&self) {
        self.shared.reopen_wanted.store(true, Ordering::Release);
        if let Some(queue) = &self.queue {
            // It looks after each batch. Where the queue is full, there will be one.
            let _ = queue.try_send(Vec::new());
        }
    }

    /// Appends a line to the buffer. With a full buffer the line is dropped and counted.
    pub(crate) fn record(&mut self, entry: &LogEntry<'_>) {
        if self.queue.is_none() {
            return;
        }
        let before = self.buffer.len();
        format::format(entry, self.format, &mut self.buffer);
        if self.buffer.len() > BUFFER_BYTES_MAX + self.reserved_bytes && !self.reserve() {
            self.shared.drop_lines(&self.buffer[before..]);
            self.buffer.truncate(before);
        }
    }

    /// Takes room of the queue for a full buffer, if there is any.
    fn reserve(&mut self) -> bool {
        let queued = &self.shared.queued_bytes;
        if queued.load(Ordering::Relaxed) > QUEUE_BYTES_MAX - BUFFER_BYTES_MAX {
            return false;
        }
        queued.fetch_add(BUFFER_BYTES_MAX, Ordering::Relaxed);
        self.reserved_bytes += BUFFER_BYTES_MAX;
        true
    }

    /// Whether lines wait for room in the queue, so that [`Sink::flush`] is to be called again.
    pub(crate) fn has_pending(&self) -> bool {
        !self.buffer.is_empty() && self.queue.is_some()
    }

    /// Queues the buffer if there is room, and keeps it otherwise. Never blocks.
    pub(crate) fn flush(&mut self) {
        if self.shared.reader_gone.load(Ordering::Relaxed) {
            self.queue = None;
            self.buffer = Vec::new();
            self.reserved_bytes = 0;
        }
        let Some(queue) = self.queue.as_ref().filter(|_| !self.buffer.is_empty()) else {
            return;
        };
        let bytes = self.buffer.len() - self.reserved_bytes;
        if self.shared.queued_bytes.load(Ordering::Relaxed) > QUEUE_BYTES_MAX - bytes {
            return;
        }
        // Added first, since the thread subtracts as soon as it has the batch.
        self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        match queue.try_send(mem::take(&mut self.buffer)) {
            Ok(()) => self.reserved_bytes = 0,
            Err(TrySendError::Full(batch)) => {
                self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.buffer = batch;
            }
            // The reader of standard output has gone, and the thread has said so.
            Err(TrySendError::Disconnected(_)) => self.queue = None,
        }
    }
}

impl Clone for Sink {
    fn clone(&self) -> Self {
        Self {
            format: self.format,
            queue: self.queue.clone(),
            shared: Arc::clone(&self.shared),
            buffer: Vec::new(),
            reserved_bytes: 0,
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.flush();
        if !self.buffer.is_empty() && self.queue.is_some() {
            // The thread looks here after the queue is closed.
            self.shared
                .queued_bytes
                .fetch_add(self.buffer.len() - self.reserved_bytes, Ordering::Relaxed);
            self.shared
                .left_over
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(mem::take(&mut self.buffer));
        }
    }
}
