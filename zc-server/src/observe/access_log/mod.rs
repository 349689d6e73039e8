//! The access log: one line for each response, on standard output, in a file, or to a daemon. A thread of its own
//! writes it, so that no worker waits for a reader or for a disk.
//!
//! Each worker collects lines in its [`Sink`] and queues the batch once per reactor turn. All buffers are
//! bounded. Where lines cannot be written, whole lines are dropped and counted, and the count is
//! reported on standard error.
//!
//! A log that goes elsewhere from now on has a thread of its own. The earlier one ends when every worker has given
//! up its sink, and writes what those have left.

mod daemon;
mod output;
mod sink;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem};

use super::diagnostics::Diagnostics;
pub(crate) use super::format::LogEntry;
use crate::config::{LogFormat, LogTarget};
use output::Output;
pub(crate) use output::check;
pub(crate) use sink::Sink;
use writer::Writer;

/// The most earlier logs whose threads have not ended: each waits for a reader or a disk that does not answer.
const RETIRED_MAX: usize = 4;
/// How long [`Log::finish`] waits for what does not take the last lines: so long at most, and at least the second.
const FINISH_TIMEOUT_MAX: Duration = Duration::from_secs(5);
const FINISH_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// The access log of a server. A clone is another handle of the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    state: Arc<Mutex<State>>,
    /// Lines that were dropped, by all threads.
    dropped_lines: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    /// Logs that were replaced and have lines to write.
    retired: Vec<Writer>,
    /// The server ends: there is no log any more.
    is_closed: bool,
}

#[derive(Debug)]
struct Current {
    target: LogTarget,
    sink: Sink,
    writer: Writer,
}

/// A log that is ready to take the place of the current one.
#[derive(Debug)]
pub(crate) struct Prepared(Change);

#[derive(Debug)]
enum Change {
    Off,
    /// It goes where it went before.
    Format(LogFormat),
    Replace(Current),
}

/// Why there can be no log as configured.
#[derive(Debug)]
pub(crate) enum LogError {
    /// The file cannot be opened.
    File { path: PathBuf, error: io::Error },
    /// So many earlier logs have not ended.
    Stuck(usize),
    /// The thread cannot be started.
    Thread(io::Error),
}

/// How many lines of the log were dropped.
#[derive(Debug)]
pub(crate) struct DroppedLines(Arc<AtomicU64>);

impl DroppedLines {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Log {
    /// Opens the log and starts its thread, or nothing for [`LogFormat::Off`].
    pub(crate) fn start(
        format: LogFormat,
        target: &LogTarget,
        diagnostics: &Diagnostics,
    ) -> Result<Self, LogError> {
        let log = Self::default();
        let prepared = log.prepare(format, target, diagnostics)?;
        log.install(prepared, |_| {});
        Ok(log)
    }

    /// A sink for one worker, if there is a log.
    pub(crate) fn sink(&self) -> Option<Sink> {
        let state = self.lock();
        let current = state.current.as_ref();
        current.map(|current| current.sink.clone())
    }

    pub(crate) fn dropped_lines(&self) -> DroppedLines {
        DroppedLines(Arc::clone(&self.dropped_lines))
    }

    /// Has the file opened again by its name, if the log is one; answers whether it is. Lines that are queued go to
    /// the file that is open. It does not wait.
    pub(crate) fn reopen(&self) -> bool {
        let state = self.lock();
        let current = state.current.as_ref();
        let file = current.filter(|current| matches!(current.target, LogTarget::File(_)));
        if let Some(current) = file {
            current.sink.ask_to_reopen();
        }
        file.is_some()
    }

    /// Opens what a new configuration names. Nothing changes before [`install`](Self::install). It waits for the disk.
    pub(crate) fn prepare(
        &self,
        format: LogFormat,
        target: &LogTarget,
        diagnostics: &Diagnostics,
    ) -> Result<Prepared, LogError> {
        if format == LogFormat::Off {
            return Ok(Prepared(Change::Off));
        }
        {
            let mut state = self.lock();
            let current = state.current.as_ref();
            if current.is_some_and(|current| current.target == *target) {
                return Ok(Prepared(Change::Format(format)));
            }
            state.retired.retain(|writer| !writer.has_ended());
            if state.retired.len() >= RETIRED_MAX {
                return Err(LogError::Stuck(RETIRED_MAX));
            }
        }
        let output = Output::open(target)?;
        let started = writer::start(
            format,
            output,
            diagnostics.clone(),
            Arc::clone(&self.dropped_lines),
        );
        let (sink, writer) = started.map_err(LogError::Thread)?;
        Ok(Prepared(Change::Replace(Current {
            target: target.clone(),
            sink,
            writer,
        })))
    }

    /// Puts a prepared log in the place of the current one, and has `hand_out` give it to the workers. A file that
    /// stays is opened again.
    pub(crate) fn install(&self, Prepared(change): Prepared, hand_out: impl FnOnce(Option<&Sink>)) {
        let mut state = self.lock();
        if state.is_closed {
            return hand_out(None);
        }
        match (change, &mut state.current) {
            (Change::Format(format), Some(current)) => {
                current.sink.set_format(format);
                if matches!(current.target, LogTarget::File(_)) {
                    current.sink.ask_to_reopen();
                }
            }
            // Whoever replaces a configuration does so alone: the log that was there is there.
            (Change::Format(_), None) => {}
            (Change::Off, current) => {
                let earlier = current.take();
                state.retire(earlier);
            }
            (Change::Replace(new), current) => {
                let earlier = current.replace(new);
                state.retire(earlier);
            }
        }
        let current = state.current.as_ref();
        hand_out(current.map(|current| &current.sink));
    }

    /// Ends the log: from now on nobody gets a sink.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let current = state.current.take();
        state.retire(current);
    }

    /// Waits until everything is written: for `time_left`, but for [`FINISH_TIMEOUT_MAX`] at most and for
    /// [`FINISH_TIMEOUT_MIN`] at least. It must be [closed](Self::close) and all sinks be dropped before.
    ///
    /// What nobody takes in that time is lost. The lines for the operator say so.
    pub(crate) fn finish(&self, time_left: Duration) -> Vec<String> {
        let timeout = time_left.clamp(FINISH_TIMEOUT_MIN, FINISH_TIMEOUT_MAX);
        let deadline = Instant::now() + timeout;
        let writers = mem::take(&mut self.lock().retired);
        let finish = |writer: Writer| writer.finish(deadline);
        writers.into_iter().filter_map(finish).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives up the sink of a log: its thread ends after those of the workers.
    fn retire(&mut self, log: Option<Current>) {
        self.retired.extend(log.map(|log| log.writer));
    }
}

#[cfg(test)]
mod tests;
