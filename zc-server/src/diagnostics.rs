//! What the operator must hear, on standard error, without a worker ever waiting for it.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that wait to be written. What comes on top is counted as suppressed.
const QUEUE_LINES_MAX: usize = 64;
/// Lines written in one interval: a fault that hits every request says so without flooding.
const INTERVAL_LINES_MAX: u32 = 10;
/// The interval of [`INTERVAL_LINES_MAX`].
const INTERVAL: Duration = Duration::from_secs(1);

/// A sender of lines; any thread may hold one.
#[derive(Debug, Clone)]
pub(crate) struct Diagnostics(SyncSender<String>);

impl Diagnostics {
    /// Starts the thread that writes; it ends when every sender is gone.
    pub(crate) fn start() -> io::Result<Self> {
        Self::start_to(io::stderr())
    }

    fn start_to(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, lines) = mpsc::sync_channel(QUEUE_LINES_MAX);
        thread::Builder::new()
            .name("zc-diagnostics".to_owned())
            .spawn(move || write_lines(&lines, output))?;
        Ok(Self(sender))
    }

    /// Says one line. Never blocks, never fails: with the queue full the line is dropped.
    pub(crate) fn say(&self, line: String) {
        let _ = self.0.try_send(line);
    }
}

/// A number of things, as it is said: `1 line`, `2 lines`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn write_lines(lines: &Receiver<String>, mut output: impl Write) {
    let mut interval_began = Instant::now();
    let mut written = 0;
    let mut suppressed = 0_u64;
    loop {
        let line = match lines.recv_timeout(INTERVAL) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if interval_began.elapsed() >= INTERVAL {
            if suppressed > 0 {
                // Nobody is left to be told when standard error itself fails.
                let _ = writeln!(output, "zc-server: {suppressed} more lines like these");
            }
            (interval_began, written, suppressed) = (Instant::now(), 0, 0);
        }
        match line {
            Some(line) if written < INTERVAL_LINES_MAX => {
                let _ = writeln!(output, "zc-server: {line}");
                written += 1;
            }
            Some(_) => suppressed += 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_and_a_flood_is_counted() {
        let (sender, lines) = mpsc::sync_channel(1000);
        for n in 0..25 {
            sender.send(format!("line {n}")).expect("room");
        }
        let output = Shared::default();
        let writer = {
            let output = output.clone();
            thread::spawn(move || write_lines(&lines, output))
        };
        let text = || String::from_utf8(output.0.lock().expect("no panic").clone()).expect("UTF-8");
        while !text().contains("more lines") {
            thread::yield_now();
        }
        drop(sender);
        writer.join().expect("no panic");
        assert!(text().starts_with("zc-server: line 0\n"));
        assert_eq!(text().matches("line ").count(), 10, "{}", text());
        assert!(
            text().ends_with("zc-server: 15 more lines like these\n"),
            "{}",
            text()
        );
    }

    #[test]
    fn a_writer_that_fails_stops_nobody() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let diagnostics = Diagnostics::start_to(Broken).expect("a thread");
        for _ in 0..1000 {
            diagnostics.say("nobody reads this".to_owned());
        }
    }
}
