//! The access log: one line on standard output for each response. A thread of its own writes it, so that no
//! worker waits for the reader.
//!
//! Each worker collects lines in its [`Sink`] and queues the batch once per reactor turn. All buffers are
//! bounded. Where the reader does not keep up, whole lines are dropped and counted, and the count is
//! reported on standard error.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use super::format;
pub(crate) use super::format::LogEntry;

use crate::config::LogFormat;
use crate::text::counted;

/// The most batches in the queue.
const QUEUE_BATCHES_MAX: usize = 256;
/// The most bytes in the queue. Without this bound, batches that grew while the queue was full could take
/// 256 MiB.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// The most bytes that one worker keeps while the queue is full.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// The shortest time between two reports of dropped lines.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How long [`Writer::finish`] waits for a reader of standard output that does not read: so long at most,
/// and at least the second.
const FINISH_TIMEOUT_MAX: Duration = Duration::from_secs(5);
const FINISH_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// How long the writer pauses where standard output is nonblocking and full.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// What the sinks and the writer share beside the queue.
#[derive(Debug, Default)]
struct Shared {
    /// Lines that were dropped, by a worker or by the writer.
    dropped_lines: AtomicU64,
    /// Bytes in the queue; in step with it up to one batch per worker.
    queued_bytes: AtomicUsize,
    /// Whether the writer has stopped. Checked before the bounds of the queue, which is not emptied any
    /// more then.
    reader_gone: AtomicBool,
    /// The buffers of sinks that were dropped while the queue was full.
    left_over: Mutex<Vec<Vec<u8>>>,
}

impl Shared {
    fn drop_lines(&self, batch: &[u8]) {
        let lines = batch.iter().filter(|&&byte| byte == b'\n').count();
        self.dropped_lines
            .fetch_add(lines as u64, Ordering::Relaxed);
    }
}

/// The access log of one worker. A clone has the same writer and its own buffer.
#[derive(Debug)]
pub(crate) struct Sink {
    format: LogFormat,
    /// `None` without a log, or when its reader has gone.
    queue: Option<SyncSender<Vec<u8>>>,
    shared: Arc<Shared>,
    /// Whole lines that are not queued yet; at most [`BUFFER_BYTES_MAX`].
    buffer: Vec<u8>,
}

/// How many lines of a log were dropped.
#[derive(Debug)]
pub(crate) struct DroppedLines(Arc<Shared>);

impl DroppedLines {
    pub(crate) fn get(&self) -> u64 {
        self.0.dropped_lines.load(Ordering::Relaxed)
    }
}

/// A handle of the thread that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Notified when the thread ends; `None` if there is no thread.
    done: Option<Receiver<()>>,
    shared: Arc<Shared>,
}

impl Sink {
    /// Starts the writer to standard output, or nothing for [`LogFormat::Off`].
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub(crate) fn start(format: LogFormat) -> io::Result<(Self, Writer)> {
        // `Stdout` is locked for each batch and not for good: others may print.
        Self::start_to(format, io::stdout(), io::stderr())
    }

    /// Starts the writer to `output`; its failures are reported to `diagnostics`.
    fn start_to(
        format: LogFormat,
        output: impl Write + Send + 'static,
        diagnostics: impl Write + Send + 'static,
    ) -> io::Result<(Self, Writer)> {
        let shared = Arc::new(Shared::default());
        let mut sink = Self {
            format,
            queue: None,
            shared: Arc::clone(&shared),
            buffer: Vec::new(),
        };
        let mut writer = Writer {
            done: None,
            shared: Arc::clone(&shared),
        };
        if format != LogFormat::Off {
            let (queue, batches) = mpsc::sync_channel(QUEUE_BATCHES_MAX);
            let (done_sender, done) = mpsc::channel();
            thread::Builder::new()
                .name("access-log".to_owned())
                .spawn(move || {
                    WriterThread {
                        output,
                        diagnostics,
                        shared,
                        reported_lines: 0,
                        reported_at: None,
                        failure: None,
                    }
                    .run(&batches);
                    // Nobody listens any more if `finish` gave up.
                    let _ = done_sender.send(());
                })?;
            sink.queue = Some(queue);
            writer.done = Some(done);
        }
        Ok((sink, writer))
    }

    /// Appends a line to the buffer. With a full buffer the line is dropped and counted.
    pub(crate) fn record(&mut self, entry: &LogEntry<'_>) {
        if self.queue.is_none() {
            return;
        }
        let before = self.buffer.len();
        format::format(entry, self.format, &mut self.buffer);
        if self.buffer.len() > BUFFER_BYTES_MAX {
            self.shared.drop_lines(&self.buffer[before..]);
            self.buffer.truncate(before);
        }
    }

    pub(crate) fn dropped_lines(&self) -> DroppedLines {
        DroppedLines(Arc::clone(&self.shared))
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
        }
        let bytes = self.buffer.len();
        let Some(queue) = self.queue.as_ref().filter(|_| bytes > 0) else {
            return;
        };
        if self.shared.queued_bytes.load(Ordering::Relaxed) > QUEUE_BYTES_MAX - bytes {
            return;
        }
        // Added first, since the writer subtracts as soon as it has the batch.
        self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        match queue.try_send(mem::take(&mut self.buffer)) {
            Ok(()) => {}
            Err(TrySendError::Full(batch)) => {
                self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.buffer = batch;
            }
            // The reader of standard output has gone, and the writer has said so.
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
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.flush();
        if !self.buffer.is_empty() && self.queue.is_some() {
            // The writer looks here after the queue is closed.
            self.shared
                .queued_bytes
                .fetch_add(self.buffer.len(), Ordering::Relaxed);
            self.shared
                .left_over
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(mem::take(&mut self.buffer));
        }
    }
}

impl Writer {
    /// Waits until everything is written: for `time_left`, but for [`FINISH_TIMEOUT_MAX`] at most and for
    /// [`FINISH_TIMEOUT_MIN`] at least. All sinks must be dropped before.
    ///
    /// If the reader of standard output does not read, the rest is lost. The line for the operator says so.
    pub(crate) fn finish(self, time_left: Duration) -> Option<String> {
        let done = self.done?;
        let timeout = time_left.clamp(FINISH_TIMEOUT_MIN, FINISH_TIMEOUT_MAX);
        if done.recv_timeout(timeout) != Err(RecvTimeoutError::Timeout) {
            return None;
        }
        let queued_bytes = self.shared.queued_bytes.load(Ordering::Relaxed) as u64;
        let dropped_lines = self.shared.dropped_lines.load(Ordering::Relaxed);
        Some(format!(
            "access log: nobody reads standard output; gave up, {} not written, {} dropped before",
            counted(queued_bytes, "byte"),
            counted(dropped_lines, "line"),
        ))
    }
}

/// The state of the thread that writes.
struct WriterThread<O, D> {
    output: O,
    /// Where failures are reported: standard error.
    diagnostics: D,
    shared: Arc<Shared>,
    /// Dropped lines at the last report.
    reported_lines: u64,
    /// When the last report was.
    reported_at: Option<Instant>,
    /// The failure of the last write, until it is reported.
    failure: Option<io::Error>,
}

impl<O: Write, D: Write> WriterThread<O, D> {
    /// Writes batches until all sinks are dropped or the reader has gone.
    fn run(mut self, batches: &Receiver<Vec<u8>>) {
        loop {
            let written = match batches.recv_timeout(REPORT_EVERY) {
                Ok(batch) => self.write_batch(&batch),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if written.is_err() {
                return self.say_reader_gone();
            }
            if self
                .reported_at
                .is_none_or(|at| at.elapsed() >= REPORT_EVERY)
            {
                self.report();
            }
        }
        let left_over = mem::take(
            &mut *self
                .shared
                .left_over
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for batch in left_over {
            if self.write_batch(&batch).is_err() {
                return self.say_reader_gone();
            }
        }
        self.report();
    }

    /// Writes one batch. Errors other than a broken pipe, such as a full disk, may pass: the rest
    /// of the batch counts as dropped.
    fn write_batch(&mut self, batch: &[u8]) -> Result<(), ReaderGone> {
        let mut rest = batch;
        let outcome = loop {
            if rest.is_empty() {
                break self.output.flush();
            }
            match self.output.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => rest = &rest[bytes..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(RETRY_PAUSE);
                }
                Err(error) => break Err(error),
            }
        };
        self.shared
            .queued_bytes
            .fetch_sub(batch.len(), Ordering::Relaxed);
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone),
            Err(error) => {
                self.shared.drop_lines(rest);
                self.failure = Some(error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Reports the lines that were dropped since the last report, if any.
    fn report(&mut self) {
        let dropped_lines = self.shared.dropped_lines.load(Ordering::Relaxed);
        if dropped_lines == self.reported_lines {
            return;
        }
        self.reported_lines = dropped_lines;
        self.reported_at = Some(Instant::now());
        let lines = counted(dropped_lines, "line");
        // If standard error is gone as well, there is nobody left to tell.
        let _ = match self.failure.take() {
            Some(error) => writeln!(
                self.diagnostics,
                "zc-server: access log: {lines} dropped so far; cannot write to standard output: {error}"
            ),
            None => writeln!(
                self.diagnostics,
                "zc-server: access log: {lines} dropped so far; the reader of standard output is too slow"
            ),
        };
    }

    /// Reports that no more lines are written.
    fn say_reader_gone(&mut self) {
        self.shared.reader_gone.store(true, Ordering::Relaxed);
        let _ = writeln!(
            self.diagnostics,
            "zc-server: access log: the reader of standard output has closed it; no more lines are written"
        );
    }
}

/// Standard output is a pipe that nobody reads.
#[derive(Debug)]
struct ReaderGone;

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read};

    use super::{
        format::tests::{entry, line},
        *,
    };

    /// It is bounded all the same.
    const HANG: Duration = Duration::MAX;

    #[test]
    fn every_line_of_every_worker_arrives() {
        const WORKERS: usize = 4;
        const LINES: usize = 2_000;
        let (mut reader, output) = io::pipe().unwrap();
        let (mut troubles, diagnostics) = io::pipe().unwrap();
        let (sink, writer) = Sink::start_to(LogFormat::Clf, output, diagnostics).unwrap();
        let collector = thread::spawn(move || text_of(&mut reader));
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let mut sink = sink.clone();
                thread::spawn(move || {
                    for turn in 0..LINES {
                        sink.record(&entry());
                        if turn % 3 == 0 {
                            sink.flush();
                        }
                    }
                })
            })
            .collect();
        drop(sink);
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(writer.finish(HANG), None);
        let text = collector.join().unwrap();
        let expected = line(&entry(), LogFormat::Clf);
        assert_eq!(text.len(), expected.len() * WORKERS * LINES);
        assert!(text.lines().all(|line| line == expected.trim_end()));
        assert_eq!(text_of(&mut troubles), "");
    }

    fn text_of(reader: &mut PipeReader) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_reader_that_does_not_read_blocks_nobody_and_what_is_dropped_is_counted() {
        let (mut reader, output) = io::pipe().unwrap();
        let (mut troubles, diagnostics) = io::pipe().unwrap();
        let (mut sink, writer) = Sink::start_to(LogFormat::Clf, output, diagnostics).unwrap();
        // Long lines, so that the bound in bytes is met soon; more than all the bounds together.
        let entry = LogEntry {
            request_line: &[b'x'; 10_000],
            ..entry()
        };
        let length = line(&entry, LogFormat::Clf).len();
        let recorded = (QUEUE_BYTES_MAX + 4 * BUFFER_BYTES_MAX) / length;
        for _ in 0..recorded {
            sink.record(&entry);
            sink.flush();
        }
        assert!(sink.buffer.len() <= BUFFER_BYTES_MAX);
        assert!(sink.buffer.len() > BUFFER_BYTES_MAX - length);
        let shared = Arc::clone(&sink.shared);
        let dropped = shared.dropped_lines.load(Ordering::Relaxed);
        assert!(dropped > 0);
        // Now somebody reads: all that was not dropped arrives, in whole lines.
        let collector = thread::spawn(move || text_of(&mut reader));
        drop(sink);
        assert_eq!(writer.finish(HANG), None);
        let text = collector.join().unwrap();
        assert_eq!(
            text.len() as u64,
            (recorded as u64 - dropped) * length as u64
        );
        assert!(text.lines().all(|line| line.len() == length - 1));
        assert_eq!(shared.queued_bytes.load(Ordering::Relaxed), 0);
        let report = format!("zc-server: access log: {dropped} lines dropped so far; ");
        assert!(text_of(&mut troubles).contains(&report));
    }

    #[test]
    fn a_reader_that_has_gone_is_said_once_and_ends_the_log_only() {
        let (reader, output) = io::pipe().unwrap();
        let (mut troubles, diagnostics) = io::pipe().unwrap();
        let (mut sink, writer) = Sink::start_to(LogFormat::Json, output, diagnostics).unwrap();
        let mut other = sink.clone();
        drop(reader);
        sink.record(&entry());
        sink.flush();
        // The writer's thread ends by itself, while sinks are there.
        let said = text_of(&mut troubles);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("has closed it"), "{said}");
        for sink in [&mut sink, &mut other] {
            for _ in 0..2 {
                sink.record(&entry());
                sink.flush();
            }
            assert!(sink.queue.is_none());
            assert!(sink.buffer.is_empty());
        }
        assert_eq!(writer.finish(HANG), None);
    }

    #[test]
    fn a_write_that_fails_is_told_with_its_reason() {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let (mut troubles, diagnostics) = io::pipe().unwrap();
        let (mut sink, writer) = Sink::start_to(LogFormat::Clf, full, diagnostics).unwrap();
        sink.record(&entry());
        sink.flush();
        drop(sink);
        assert_eq!(writer.finish(HANG), None);
        let said = text_of(&mut troubles);
        let start = "zc-server: access log: 1 line dropped so far; cannot write to standard output: No space";
        assert!(
            said.starts_with(start) && said.lines().count() == 1,
            "{said}"
        );
    }

    #[test]
    fn off_is_off() {
        let (mut sink, writer) = Sink::start(LogFormat::Off).unwrap();
        assert!(sink.queue.is_none());
        sink.record(&entry());
        sink.flush();
        assert!(sink.buffer.is_empty());
        assert_eq!(writer.finish(HANG), None);
        assert_eq!(line(&entry(), LogFormat::Off), "");
    }
}
