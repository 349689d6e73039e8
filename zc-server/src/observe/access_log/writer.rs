//! The thread that writes the access log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use super::output::Output;
use super::sink::{QUEUE_BATCHES_MAX, Shared, Sink};
use crate::config::LogFormat;
use crate::observe::diagnostics::Diagnostics;
use crate::text::{OneLine, counted};

/// The shortest time between two reports of dropped lines.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A handle of the thread.
#[derive(Debug)]
pub(super) struct Writer {
    /// Notified when the thread ends.
    done: Receiver<()>,
    shared: Arc<Shared>,
    /// What is said of an output that does not take the last lines.
    unread: String,
}

/// Starts the thread that writes to `output`. It ends when all sinks are dropped.
pub(super) fn start(
    format: LogFormat,
    output: Output,
    diagnostics: Diagnostics,
    dropped_in_all: Arc<AtomicU64>,
) -> io::Result<(Sink, Writer)> {
    let shared = Arc::new(Shared {
        dropped_in_all,
        ..Shared::default()
    });
    let (queue, batches) = mpsc::sync_channel(QUEUE_BATCHES_MAX);
    let (done_sender, done) = mpsc::channel();
    let writer = Writer {
        done,
        shared: Arc::clone(&shared),
        unread: match &output {
            Output::Stream(_) => "nobody reads standard output".to_owned(),
            other => format!("{other} takes no lines"),
        },
    };
    let sink = Sink {
        format,
        queue: Some(queue),
        shared: Arc::clone(&shared),
        buffer: Vec::new(),
        reserved_bytes: 0,
    };
    thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(move || {
            WriterThread {
                output,
                diagnostics,
                shared,
                cut: Vec::new(),
                reported_lines: 0,
                reported_at: None,
                failure: None,
                is_away: false,
            }
            .run(&batches);
            // Nobody listens any more if `finish` gave up.
            let _ = done_sender.send(());
        })?;
    Ok((sink, writer))
}

impl Writer {
    pub(super) fn has_ended(&self) -> bool {
        self.done.try_recv() != Err(TryRecvError::Empty)
    }

    /// Waits until `deadline` for the thread to end. If it does not, the answer is what is to be said.
    pub(super) fn finish(self, deadline: Instant) -> Option<String> {
        let timeout = deadline.saturating_duration_since(Instant::now());
        if self.done.recv_timeout(timeout) != Err(RecvTimeoutError::Timeout) {
            return None;
        }
        let queued_bytes = self.shared.queued_bytes.load(Ordering::Relaxed) as u64;
        let dropped_lines = self.shared.dropped_lines.load(Ordering::Relaxed);
        Some(format!(
            "access log: {}; gave up, {} not written, {} dropped before",
            self.unread,
            counted(queued_bytes, "byte"),
            counted(dropped_lines, "line"),
        ))
    }
}

/// The state of the thread.
struct WriterThread {
    output: Output,
    diagnostics: Diagnostics,
    shared: Arc<Shared>,
    /// The rest of a line of which a part was written before a disk was full, say. It is written first.
    cut: Vec<u8>,
    /// Dropped lines at the last report.
    reported_lines: u64,
    /// When the last report was.
    reported_at: Option<Instant>,
    /// The failure of the last write, until it is reported.
    failure: Option<io::Error>,
    /// A daemon has not taken the last lines, and this was said.
    is_away: bool,
}

impl WriterThread {
    /// Writes batches until all sinks are dropped or the reader has gone.
    fn run(mut self, batches: &Receiver<Vec<u8>>) {
        let written = self.write_all(batches);
        self.give_up_cut();
        match written {
            Ok(()) => self.report(true),
            Err(ReaderGone) => self.say_reader_gone(),
        }
    }

    fn write_all(&mut self, batches: &Receiver<Vec<u8>>) -> Result<(), ReaderGone> {
        loop {
            match batches.recv_timeout(REPORT_EVERY) {
                Ok(batch) => self.write_batch(&batch)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.shared.reopen_wanted.swap(false, Ordering::Acquire) {
                // These were queued before.
                for batch in batches.try_iter().take(QUEUE_BATCHES_MAX) {
                    self.write_batch(&batch)?;
                }
                self.reopen();
            }
            let is_due = |at: Instant| at.elapsed() >= REPORT_EVERY;
            if self.reported_at.is_none_or(is_due) {
                self.report(false);
            }
        }
        let left_over = mem::take(
            &mut *self
                .shared
                .left_over
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        left_over
            .iter()
            .try_for_each(|batch| self.write_batch(batch))
    }

    /// Writes one batch. Errors other than a reader that has gone, such as a full disk, may pass: the lines that
    /// were not begun count as dropped.
    fn write_batch(&mut self, batch: &[u8]) -> Result<(), ReaderGone> {
        let written = match &mut self.output {
            Output::Daemon(daemon) => {
                let sent = daemon.send(batch);
                self.note_sent(sent.map_err(|refused| {
                    self.shared.count_dropped(refused.lines);
                    refused.error
                }));
                Ok(())
            }
            _ => self.write_lines(batch),
        };
        self.shared
            .queued_bytes
            .fetch_sub(batch.len(), Ordering::Relaxed);
        written
    }

    fn write_lines(&mut self, batch: &[u8]) -> Result<(), ReaderGone> {
        let cut = mem::take(&mut self.cut);
        let (written, result) = self.output.write(&cut);
        if let Err(error) = result {
            self.cut = cut[written..].to_vec();
            self.shared.drop_lines(batch);
            return self.note_failure(error);
        }
        let (written, result) = self.output.write(batch);
        let Err(error) = result else {
            return Ok(());
        };
        let (begun, rest) = batch.split_at(written);
        // A line that was begun is not split: it goes on where it was cut.
        let is_cut = begun.last().is_some_and(|&byte| byte != b'\n');
        let line_end = rest.iter().position(|&byte| byte == b'\n');
        let line_end = line_end.filter(|_| is_cut).map_or(0, |at| at + 1);
        self.cut = rest[..line_end].to_vec();
        self.shared.drop_lines(&rest[line_end..]);
        self.note_failure(error)
    }

    fn note_failure(&mut self, error: io::Error) -> Result<(), ReaderGone> {
        // A FIFO may have another reader, who finds what the earlier one has left.
        let is_stream = matches!(self.output, Output::Stream(_));
        if is_stream && error.kind() == io::ErrorKind::BrokenPipe {
            return Err(ReaderGone);
        }
        self.failure = Some(error);
        Ok(())
    }

    /// Counts a line as dropped of which the rest cannot be written.
    fn give_up_cut(&mut self) {
        if !self.cut.is_empty() {
            let cut = mem::take(&mut self.cut);
            let (written, result) = self.output.write(&cut);
            self.shared.drop_lines(&cut[written..]);
            self.failure = result.err().or_else(|| self.failure.take());
        }
    }

    /// Opens the file again, and says what came of it.
    fn reopen(&mut self) {
        // The end of a line belongs where its beginning is.
        self.give_up_cut();
        let Some((path, opened)) = self.output.reopen() else {
            return;
        };
        let path = OneLine(path);
        self.diagnostics.warn(match opened {
            Ok(()) => format!("access log: opened `{path}` again"),
            Err(error) => format!(
                "access log: cannot open `{path}` again: {error}; lines go to the file that is open"
            ),
        });
    }

    /// Says once that a daemon does not take lines, and once that it does again.
    fn note_sent(&mut self, sent: io::Result<()>) {
        let (output, was_away) = (&self.output, self.is_away);
        self.is_away = sent.is_err();
        match sent {
            Err(error) if !was_away => self.diagnostics.warn(format!(
                "access log: cannot send to {output}: {error}; lines are dropped and counted until it takes them"
            )),
            Ok(()) if was_away => {
                let dropped_lines = self.shared.dropped_lines.load(Ordering::Relaxed);
                let lines = counted(dropped_lines, "line");
                self.diagnostics.warn(format!(
                    "access log: {output} takes lines again; {lines} dropped so far"
                ));
                self.reported_lines = dropped_lines;
            }
            _ => {}
        }
    }

    /// Reports the lines that were dropped since the last report, if any. Those that a daemon does not take are
    /// reported when it takes lines again, or when the log `ends`.
    fn report(&mut self, ends: bool) {
        let dropped_lines = self.shared.dropped_lines.load(Ordering::Relaxed);
        if dropped_lines == self.reported_lines || (self.is_away && !ends) {
            return;
        }
        self.reported_lines = dropped_lines;
        self.reported_at = Some(Instant::now());
        let (lines, output) = (counted(dropped_lines, "line"), &self.output);
        let reason = match (self.failure.take(), output) {
            (Some(error), _) => format!("cannot write to {output}: {error}"),
            (None, Output::Stream(_)) => "the reader of standard output is too slow".to_owned(),
            (None, Output::Daemon(_)) if self.is_away => format!("{output} takes none"),
            (None, _) => format!("{output} is too slow"),
        };
        self.diagnostics
            .warn(format!("access log: {lines} dropped so far; {reason}"));
    }

    /// Reports that no more lines are written.
    fn say_reader_gone(&mut self) {
        self.shared.reader_gone.store(true, Ordering::Relaxed);
        self.diagnostics.warn(
            "access log: the reader of standard output has closed it; no more lines are written"
                .to_owned(),
        );
    }
}

/// Standard output is a pipe that nobody reads.
#[derive(Debug)]
struct ReaderGone;
