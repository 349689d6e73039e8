//! Warnings on standard error. A thread of its own writes them, so that no worker waits for the reader.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::faults::{Faults, Kind};
use crate::socket::PeerAddress;
use crate::text::counted;

/// The most lines in the queue of the writer. Further ones are suppressed and counted.
const QUEUE_LINES_MAX: usize = 64;
/// The most lines written in one interval. A fault of every request must not flood standard error.
const INTERVAL_LINES_MAX: u32 = 10;
/// The interval of [`INTERVAL_LINES_MAX`].
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the same line about a file is not repeated.
const REPEAT_AFTER: Duration = Duration::from_secs(60);
/// The most different lines about files within [`REPEAT_AFTER`], since each is remembered for so long.
/// Further ones are suppressed and counted.
const REMEMBERED_MAX: usize = 256;
/// How long [`Diagnostics::finish`] waits for a reader of standard error that does not read.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long it pauses between attempts while the queue is full.
const RETRY_PAUSE: Duration = Duration::from_millis(2);

/// The sender of warnings. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(crate) struct Diagnostics {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// All messages before it are written; then this is notified.
    Finish(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Shared {
    /// Suppressed lines that are not reported yet.
    suppressed: AtomicU64,
    recent: Mutex<Recent>,
    /// In the order of [`Kind::ALL`].
    faults: [Mutex<Faults>; Kind::ALL.len()],
}

/// The lines about files of the last [`REPEAT_AFTER`], by their hashes.
#[derive(Debug, Default)]
struct Recent {
    hashes: RandomState,
    said_at: HashMap<u64, Instant>,
}

/// What happens to a line about a file.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    Write,
    /// The same line was written within [`REPEAT_AFTER`].
    Repeated,
    /// Too many other lines were.
    Suppressed,
}

impl Diagnostics {
    /// Starts the thread that writes. It ends when every sender is dropped.
    pub(crate) fn start() -> io::Result<Self> {
        Self::start_to(io::stderr())
    }

    pub(crate) fn start_to(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, messages) = mpsc::sync_channel(QUEUE_LINES_MAX);
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            output,
            shared: Arc::clone(&shared),
            interval_began: Instant::now(),
            written: 0,
        };
        thread::Builder::new()
            .name("zc-diagnostics".to_owned())
            .spawn(move || writer.run(&messages))?;
        Ok(Self { sender, shared })
    }

    /// Writes one line. It never blocks and never fails: with a full queue the line is suppressed and counted.
    pub(crate) fn warn(&self, line: String) {
        if self.sender.try_send(Message::Line(line)).is_err() {
            self.shared.suppressed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes a line, unless the same line was written in the last minute: each request for a file, or each new
    /// connection, would repeat it.
    pub(crate) fn warn_once_a_minute(&self, line: String) {
        let mut recent = self
            .shared
            .recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let admission = recent.admit(&line, Instant::now());
        drop(recent);
        match admission {
            Admission::Write => self.warn(line),
            Admission::Repeated => {}
            Admission::Suppressed => {
                self.shared.suppressed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Writes a line about a handshake with `remote` that failed. Any stranger can make one fail: few are told in a
    /// minute, and the others counted.
    #[cfg(feature = "tls")]
    pub(crate) fn warn_of_handshake(&self, remote: PeerAddress, name: Option<&str>, reason: &str) {
        if self.is_told(Kind::Handshake, remote, reason) {
            let name = name.map(|name| format!(" for {name}")).unwrap_or_default();
            let line = format!("HTTPS: the handshake with {remote}{name} failed: {reason}");
            self.warn(line);
        }
    }

    /// The same about a connection that does not begin as the PROXY protocol wants it.
    pub(crate) fn warn_of_proxy_header(&self, peer: PeerAddress, reason: &str) {
        if self.is_told(Kind::ProxyHeader, peer, reason) {
            self.warn(format!(
                "PROXY protocol: the connection from {peer} was closed: {reason}"
            ));
        }
    }

    /// The same about a connection of a client that has `max` already.
    pub(crate) fn warn_of_crowd(&self, client: PeerAddress, max: usize) {
        if self.is_told(Kind::Crowd, client, "") {
            let connections = counted(max as u64, "connection");
            self.warn(format!(
                "--max-connections-per-ip: a connection from {client} was refused: its address has {connections}"
            ));
        }
    }

    fn is_told(&self, kind: Kind, address: PeerAddress, reason: &str) -> bool {
        let mut faults = self.shared.faults(kind);
        faults.admit(address.host(), reason, Instant::now())
    }

    /// Waits until all lines so far are written, for [`FINISH_TIMEOUT`] at most.
    pub(crate) fn finish(&self) {
        let give_up = Instant::now() + FINISH_TIMEOUT;
        let (done, is_done) = mpsc::sync_channel(1);
        let mut message = Message::Finish(done);
        while let Err(TrySendError::Full(back)) = self.sender.try_send(message) {
            if Instant::now() >= give_up {
                return;
            }
            message = back;
            thread::sleep(RETRY_PAUSE);
        }
        let _ = is_done.recv_timeout(give_up.saturating_duration_since(Instant::now()));
    }
}

impl Shared {
    fn faults(&self, kind: Kind) -> MutexGuard<'_, Faults> {
        // `ALL` has each kind, in the order in which they are declared.
        let faults = &self.faults[kind as usize];
        faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn admit(&mut self, line: &str, now: Instant) -> Admission {
        let is_recent = |said_at: &Instant| now.duration_since(*said_at) < REPEAT_AFTER;
        let hash = self.hashes.hash_one(line);
        if self.said_at.get(&hash).is_some_and(is_recent) {
            return Admission::Repeated;
        }
        if self.said_at.len() >= REMEMBERED_MAX {
            self.said_at.retain(|_, said_at| is_recent(said_at));
        }
        if self.said_at.len() >= REMEMBERED_MAX {
            return Admission::Suppressed;
        }
        self.said_at.insert(hash, now);
        Admission::Write
    }
}

/// The state of the thread that writes. Failures of standard error itself are ignored.
struct Writer<O> {
    output: O,
    shared: Arc<Shared>,
    interval_began: Instant,
    /// Lines written in this interval.
    written: u32,
}

impl<O: Write> Writer<O> {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let message = match messages.recv_timeout(INTERVAL) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.interval_began.elapsed() >= INTERVAL {
                self.say_suppressed();
                self.say_faults(false);
                (self.interval_began, self.written) = (Instant::now(), 0);
            }
            match message {
                Some(Message::Line(line)) if self.written < INTERVAL_LINES_MAX => {
                    let _ = writeln!(self.output, "zc-server: {line}");
                    self.written += 1;
                }
                Some(Message::Line(_)) => {
                    self.shared.suppressed.fetch_add(1, Ordering::Relaxed);
                }
                Some(Message::Finish(done)) => {
                    self.say_suppressed();
                    self.say_faults(true);
                    // Whoever waited may have given up.
                    let _ = done.try_send(());
                }
                None => {}
            }
        }
    }

    fn say_suppressed(&mut self) {
        match self.shared.suppressed.swap(0, Ordering::Relaxed) {
            0 => {}
            number => {
                let lines = counted(number, "more line");
                let _ = writeln!(self.output, "zc-server: {lines} suppressed");
            }
        }
    }

    /// How many faults there were beside those that were told: of each minute when it is over, or at the end.
    fn say_faults(&mut self, is_end: bool) {
        for &kind in Kind::ALL {
            let untold = self.shared.faults(kind).take_untold(Instant::now(), is_end);
            if untold > 0 {
                let _ = writeln!(self.output, "zc-server: {}", kind.summary(untold));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Output {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no panic").clone()).expect("UTF-8")
        }
    }

    /// Lines that were written, and those that were counted.
    fn told(text: &str) -> u64 {
        let count = |line: &str| {
            let more = line
                .strip_prefix("zc-server: ")?
                .split_once(" more line")?
                .0;
            more.parse().ok()
        };
        text.lines().map(|line| count(line).unwrap_or(1)).sum()
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_and_a_flood_is_counted() {
        let output = Output::default();
        let diagnostics = Diagnostics::start_to(output.clone()).expect("a thread");
        for n in 0..25 {
            diagnostics.warn(format!("line {n}"));
        }
        diagnostics.finish();
        let text = output.text();
        assert!(text.starts_with("zc-server: line 0\n"));
        assert_eq!(told(&text), 25, "{text}");
        assert!(text.ends_with(" more lines suppressed\n"), "{text}");
    }

    #[test]
    fn a_line_about_a_file_is_said_once_a_minute_and_memory_is_bounded() {
        let mut recent = Recent::default();
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(recent.admit("a", at(0)), Admission::Write);
        assert_eq!(recent.admit("b", at(1)), Admission::Write);
        assert_eq!(recent.admit("a", at(59)), Admission::Repeated);
        assert_eq!(recent.admit("a", at(60)), Admission::Write);
        assert_eq!(recent.admit("a", at(119)), Admission::Repeated);
        for number in 2..REMEMBERED_MAX {
            assert_eq!(recent.admit(&number.to_string(), at(60)), Admission::Write);
        }
        // Of those that are remembered one is old.
        assert_eq!(recent.said_at.len(), REMEMBERED_MAX);
        assert_eq!(recent.admit("c", at(61)), Admission::Write);
        assert_eq!(recent.admit("d", at(61)), Admission::Suppressed);
        assert_eq!(recent.admit("a", at(61)), Admission::Repeated);
        assert_eq!(recent.said_at.len(), REMEMBERED_MAX);
        assert_eq!(recent.admit("d", at(120)), Admission::Write);
    }

    #[test]
    fn what_is_said_of_a_file_again_is_not_counted_and_what_is_too_much_is() {
        let output = Output::default();
        let diagnostics = Diagnostics::start_to(output.clone()).expect("a thread");
        for _ in 0..1000 {
            diagnostics.warn_once_a_minute("the same".to_owned());
        }
        diagnostics.finish();
        assert_eq!(output.text(), "zc-server: the same\n");
        for number in 0..REMEMBERED_MAX {
            diagnostics.warn_once_a_minute(number.to_string());
        }
        diagnostics.finish();
        // Ten in a second, and of 256 others one is not remembered.
        assert_eq!(
            told(&output.text()),
            1 + REMEMBERED_MAX as u64,
            "{}",
            output.text()
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
            diagnostics.warn("nobody reads this".to_owned());
        }
        diagnostics.finish();
    }
}
