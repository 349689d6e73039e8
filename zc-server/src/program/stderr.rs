//! Lines on standard error, which nobody may read.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a line waits for the reader of standard error, before the program goes on without it.
const SAY_TIMEOUT: Duration = Duration::from_secs(2);

/// Standard error. A clone is another handle of the same.
///
/// Nobody may read what it leads to, and then a write to it never ends: a line is written by a thread, and
/// waited for no longer than [`SAY_TIMEOUT`]. After that, lines are dropped until the writer moves on.
#[derive(Clone, Default)]
pub(crate) struct Stderr(Arc<Mutex<Writer>>);

#[derive(Default)]
enum Writer {
    /// It has had nothing to write.
    #[default]
    New,
    /// It takes a line, and answers when that is written.
    Ready(Sender<Line>),
    /// It has not answered in time.
    Stuck(Sender<Line>, mpsc::Receiver<()>),
}

type Line = (String, Sender<()>);

impl Stderr {
    /// Writes a line. Errors are ignored: the terminal may be closed.
    pub(crate) fn say(&self, line: impl Display) {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = match std::mem::take(&mut *writer) {
            Writer::New => match start_writer() {
                Ok(lines) => lines,
                // Better without a time limit than not at all.
                Err(_) => {
                    let _ = writeln!(io::stderr(), "{line}");
                    return;
                }
            },
            Writer::Ready(lines) => lines,
            Writer::Stuck(lines, written) => {
                if written.try_recv().is_err() {
                    *writer = Writer::Stuck(lines, written);
                    return;
                }
                lines
            }
        };
        let (done, written) = mpsc::channel();
        // The thread ends after its senders, and does not panic.
        let _ = lines.send((line.to_string(), done));
        *writer = match written.recv_timeout(SAY_TIMEOUT) {
            Err(RecvTimeoutError::Timeout) => Writer::Stuck(lines, written),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Writer::Ready(lines),
        };
    }
}

fn start_writer() -> io::Result<Sender<Line>> {
    let (lines, queue) = mpsc::channel::<Line>();
    thread::Builder::new()
        .name("zc-stderr".to_owned())
        .spawn(move || {
            for (line, done) in queue {
                let _ = writeln!(io::stderr(), "{line}");
                // Who said it may have gone on.
                let _ = done.send(());
            }
        })?;
    Ok(lines)
}
