//! One line for each response, written by a thread of its own so that a slow reader of standard
//! output never holds up a worker.
//!
//! Each worker collects lines in its [`Sink`] and hands the batch over once per reactor turn. All
//! buffers are bounded; where standard output cannot keep up, whole lines are dropped and counted,
//! and the count is said on standard error.

use std::{
    io::{self, Write},
    mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use jiff::Timestamp;

use crate::config::LogFormat;

/// Batches on the way to the writer.
const QUEUE_BATCHES_MAX: usize = 256;
/// Bytes on the way to the writer. Without this bound, batches that grew while the queue was full
/// could fill it with 256 MiB.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// Bytes that one worker keeps while the queue is full.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// How often, at most, dropped lines are reported.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How long [`Writer::finish`] waits for a reader of standard output that has stopped reading.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before another try where standard output was made nonblocking and is full.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// What is known of one response when it is over.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    /// When the response was over.
    pub(crate) time: SystemTime,
    /// The peer.
    pub(crate) remote: SocketAddr,
    /// The request line as received, without its line end. Empty if none came.
    pub(crate) request_line: &'a [u8],
    /// The `Referer` field, or empty.
    pub(crate) referer: &'a [u8],
    /// The `User-Agent` field, or empty.
    pub(crate) user_agent: &'a [u8],
    /// The status code that was sent; none where the request was given up before it had an answer.
    pub(crate) status: Option<u16>,
    /// Bytes of the head that the socket took.
    pub(crate) head_bytes: u64,
    /// Bytes of the body that the socket took.
    pub(crate) body_bytes: u64,
    /// How the body was moved: `sendfile`, `copy`, `memory` or `none`.
    pub(crate) path: &'static str,
    /// Why the asked method was given up, if it was.
    pub(crate) fallback: Option<String>,
    /// System calls that sent.
    pub(crate) calls: u64,
    /// Times that the socket was full.
    pub(crate) would_blocks: u64,
    /// Times that a thread of the disk carried the response on, since the disk had to be waited for.
    pub(crate) cold_windows: u64,
    /// How long that took, in microseconds.
    pub(crate) disk_micros: u64,
    /// From the first byte of the request to the last of the response, in microseconds.
    pub(crate) micros: u64,
    /// How it ended: `complete`, `truncated`, `peer_gone`, `stalled`, `disk_timeout`, `failed` or
    /// `shutdown`.
    pub(crate) outcome: &'static str,
}

/// Appends the line of `entry`, with its line end, to `out`. [`LogFormat::Off`] appends nothing.
///
/// Whatever came from the peer is escaped: every byte but printable ASCII, and also the quote and
/// the backslash, is written as `\xHH`. A line thus cannot be broken or forged, a terminal not be
/// controlled, and the bytes can be had back.
pub(crate) fn format(entry: &Entry<'_>, format: LogFormat, out: &mut Vec<u8>) {
    match format {
        LogFormat::Off => return,
        LogFormat::Clf => common(entry, out),
        LogFormat::Combined => {
            common(entry, out);
            for field in [entry.referer, entry.user_agent] {
                out.extend_from_slice(b" \"");
                escape_or_dash(field, out);
                out.push(b'"');
            }
            put(
                out,
                format_args!(
                    " method={} us={} outcome={}",
                    entry.path, entry.micros, entry.outcome
                ),
            );
        }
        LogFormat::Json => json(entry, out),
    }
    out.push(b'\n');
}

/// Apache's `%h %l %u %t "%r" %>s %b`; the date is in UTC.
fn common(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let time = timestamp(entry.time).strftime("%d/%b/%Y:%H:%M:%S +0000");
    put(out, format_args!("{} - - [{time}] \"", entry.remote.ip()));
    escape_or_dash(entry.request_line, out);
    match entry.status {
        Some(status) => put(out, format_args!("\" {status} ")),
        None => out.extend_from_slice(b"\" - "),
    }
    match entry.body_bytes {
        0 => out.push(b'-'),
        bytes => put(out, format_args!("{bytes}")),
    }
}

/// One JSON object. The fields are always the same, and absent ones are `null`.
fn json(entry: &Entry<'_>, out: &mut Vec<u8>) {
    // The target is whatever lies between the outer spaces; a line that is not in three parts is
    // all target, so that nothing is lost.
    let line = entry.request_line;
    let outer = (
        line.iter().position(|&byte| byte == b' '),
        line.iter().rposition(|&byte| byte == b' '),
    );
    let (method, target, protocol) = match outer {
        (Some(first), Some(last)) if first < last => {
            (&line[..first], &line[first + 1..last], &line[last + 1..])
        }
        _ => (&line[..0], line, &line[..0]),
    };
    put(
        out,
        format_args!(
            "{{\"time\":\"{:.6}\",\"remote\":\"{}\"",
            timestamp(entry.time),
            entry.remote
        ),
    );
    json_text(out, "method", method);
    json_text(out, "target", target);
    json_text(out, "protocol", protocol);
    match entry.status {
        Some(status) => put(out, format_args!(",\"status\":{status}")),
        None => out.extend_from_slice(b",\"status\":null"),
    }
    put(
        out,
        format_args!(
            ",\"head_bytes\":{},\"bytes\":{},\"path\":\"{}\"",
            entry.head_bytes, entry.body_bytes, entry.path
        ),
    );
    json_text(
        out,
        "fallback",
        entry.fallback.as_deref().unwrap_or_default().as_bytes(),
    );
    put(
        out,
        format_args!(
            ",\"calls\":{},\"would_blocks\":{},\"cold_windows\":{},\"disk_us\":{},\"us\":{},\
             \"outcome\":\"{}\"",
            entry.calls,
            entry.would_blocks,
            entry.cold_windows,
            entry.disk_micros,
            entry.micros,
            entry.outcome
        ),
    );
    json_text(out, "referer", entry.referer);
    json_text(out, "user_agent", entry.user_agent);
    out.push(b'}');
}

/// Appends `,"name":"text"`, or `null` for an empty text.
fn json_text(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    put(out, format_args!(",\"{name}\":"));
    if text.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    let mut escaped = Vec::with_capacity(text.len());
    escape(text, &mut escaped);
    // The escaped text is ASCII, so that nothing is replaced; a `Vec` takes every write.
    let _ = serde_json::to_writer(out, &*String::from_utf8_lossy(&escaped));
}

/// Appends escaped text, or `-` where there is none.
fn escape_or_dash(text: &[u8], out: &mut Vec<u8>) {
    if text.is_empty() {
        out.push(b'-');
    } else {
        escape(text, out);
    }
}

/// Appends text with `\xHH` for all but printable ASCII, and for the quote and the backslash.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => put(out, format_args!("\\x{byte:02X}")),
            b' '..=b'~' => out.push(byte),
            _ => put(out, format_args!("\\x{byte:02X}")),
        }
    }
}

/// Appends formatted text.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A `Vec` takes every write.
    let _ = out.write_fmt(text);
}

/// The time as a timestamp; a clock that is outside of years -9999 to 9999 is shown as 1970.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What the sinks and the writer share beside the queue.
#[derive(Debug, Default)]
struct Shared {
    /// Lines that were not written, by anybody.
    dropped_lines: AtomicU64,
    /// Bytes in the queue; in step with it up to one batch per worker.
    queued_bytes: AtomicUsize,
    /// Whether the writer has stopped for good. Looked at before the queue's bounds, which nobody
    /// relieves any more.
    reader_gone: AtomicBool,
    /// What was left in sinks that were dropped while the queue was full.
    left_over: Mutex<Vec<Vec<u8>>>,
}

impl Shared {
    fn drop_lines(&self, batch: &[u8]) {
        let lines = batch.iter().filter(|&&byte| byte == b'\n').count();
        self.dropped_lines
            .fetch_add(lines as u64, Ordering::Relaxed);
    }
}

/// A worker's end of the access log; each clone has a buffer of its own.
#[derive(Debug)]
pub(crate) struct Sink {
    format: LogFormat,
    /// `None` if there is no log, or if its reader has gone.
    queue: Option<SyncSender<Vec<u8>>>,
    shared: Arc<Shared>,
    /// Whole lines that are not handed over yet; at most [`BUFFER_BYTES_MAX`].
    buffer: Vec<u8>,
}

/// The other end: the thread that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Says so when the thread is done; `None` if there is no thread.
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

    /// Starts the writer to `output`; what went wrong goes to `diagnostics`.
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
                    Drain {
                        output,
                        diagnostics,
                        shared,
                        reported_lines: 0,
                        reported_at: None,
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

    /// Appends a line to this worker's buffer, or drops and counts it if the buffer is full.
    pub(crate) fn record(&mut self, entry: &Entry<'_>) {
        if self.queue.is_none() {
            return;
        }
        let before = self.buffer.len();
        format(entry, self.format, &mut self.buffer);
        if self.buffer.len() > BUFFER_BYTES_MAX {
            self.shared.drop_lines(&self.buffer[before..]);
            self.buffer.truncate(before);
        }
    }

    /// True while lines wait for room in the queue: someone has to call [`Sink::flush`] again.
    pub(crate) fn has_pending(&self) -> bool {
        !self.buffer.is_empty() && self.queue.is_some()
    }

    /// Hands the buffer over if the queue has room, and keeps it otherwise. Never blocks.
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
    /// Waits until everything is written. To be called when all sinks are dropped.
    ///
    /// Returns after a bounded time even if the reader of standard output does not read; then the
    /// rest is lost, and that is said on standard error.
    pub(crate) fn finish(self) {
        let Some(done) = self.done else { return };
        if done.recv_timeout(FINISH_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            let _ = writeln!(
                io::stderr(),
                "access log: standard output is not being read; gave up after {} s, \
                 with {} bytes unwritten and {} lines dropped before",
                FINISH_TIMEOUT.as_secs(),
                self.shared.queued_bytes.load(Ordering::Relaxed),
                self.shared.dropped_lines.load(Ordering::Relaxed),
            );
        }
    }
}

/// The state of the writer's thread.
struct Drain<O, D> {
    output: O,
    /// Where troubles are told, standard error.
    diagnostics: D,
    shared: Arc<Shared>,
    /// Dropped lines that were reported.
    reported_lines: u64,
    /// When that was.
    reported_at: Option<Instant>,
}

impl<O: Write, D: Write> Drain<O, D> {
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
            Err(_) => {
                self.shared.drop_lines(rest);
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
        // If standard error is gone as well, there is nobody left to tell.
        let _ = writeln!(
            self.diagnostics,
            "access log: {dropped_lines} lines dropped so far, since standard output does not keep up"
        );
    }

    /// Says that no more lines come.
    fn say_reader_gone(&mut self) {
        self.shared.reader_gone.store(true, Ordering::Relaxed);
        let _ = writeln!(
            self.diagnostics,
            "access log: the reader of standard output has gone; no more lines are written"
        );
    }
}

/// Standard output is a pipe that nobody reads.
#[derive(Debug)]
struct ReaderGone;

#[cfg(test)]
mod tests {
    use std::{
        io::{PipeReader, Read},
        net::Ipv6Addr,
    };

    use serde_json::Value;

    use super::*;

    fn entry() -> Entry<'static> {
        Entry {
            // The example of Apache's manual, 2000-10-10 20:55:36 UTC.
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(971_211_336_000_042),
            remote: SocketAddr::from(([127, 0, 0, 1], 4711)),
            request_line: b"GET /apache_pb.gif HTTP/1.0",
            referer: b"http://www.example.com/start.html",
            user_agent: b"Mozilla/4.08 [en] (Win98; I ;Nav)",
            status: Some(200),
            head_bytes: 180,
            body_bytes: 2326,
            path: "sendfile",
            fallback: None,
            calls: 3,
            would_blocks: 1,
            cold_windows: 2,
            disk_micros: 345,
            micros: 1234,
            outcome: "complete",
        }
    }

    fn hostile() -> Entry<'static> {
        Entry {
            remote: SocketAddr::from((Ipv6Addr::LOCALHOST, 1)),
            request_line: b"GET /a\"b\\c\x1b[2J\n\xff\xc3\xa9\x7f HTTP/1.1",
            referer: b"",
            user_agent: b"x\" 200 1\r\n{}",
            body_bytes: 0,
            fallback: Some("sendfile: EINVAL \"odd\"".to_owned()),
            ..entry()
        }
    }

    fn line(entry: &Entry<'_>, log_format: LogFormat) -> String {
        let mut out = Vec::new();
        format(entry, log_format, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn common_log_format() {
        assert_eq!(
            line(&entry(), LogFormat::Clf),
            "127.0.0.1 - - [10/Oct/2000:20:55:36 +0000] \"GET /apache_pb.gif HTTP/1.0\" 200 2326\n"
        );
        assert_eq!(
            line(&hostile(), LogFormat::Clf),
            "::1 - - [10/Oct/2000:20:55:36 +0000] \
             \"GET /a\\x22b\\x5Cc\\x1B[2J\\x0A\\xFF\\xC3\\xA9\\x7F HTTP/1.1\" 200 -\n"
        );
        let nothing = Entry {
            request_line: b"",
            ..entry()
        };
        assert!(line(&nothing, LogFormat::Clf).contains("] \"-\" 200"));
    }

    #[test]
    fn combined_log_format() {
        assert_eq!(
            line(&entry(), LogFormat::Combined),
            "127.0.0.1 - - [10/Oct/2000:20:55:36 +0000] \"GET /apache_pb.gif HTTP/1.0\" 200 2326 \
             \"http://www.example.com/start.html\" \"Mozilla/4.08 [en] (Win98; I ;Nav)\" \
             method=sendfile us=1234 outcome=complete\n"
        );
        assert!(line(&hostile(), LogFormat::Combined).ends_with(
            " 200 - \"-\" \"x\\x22 200 1\\x0D\\x0A{}\" method=sendfile us=1234 outcome=complete\n"
        ));
    }

    #[test]
    fn a_request_without_an_answer_has_no_status() {
        let entry = Entry {
            status: None,
            body_bytes: 0,
            ..entry()
        };
        let text = line(&entry, LogFormat::Clf);
        assert!(text.ends_with("HTTP/1.0\" - -\n"), "{text}");
        let value: Value = serde_json::from_str(&line(&entry, LogFormat::Json)).unwrap();
        assert_eq!(value["status"], Value::Null);
    }

    #[test]
    fn json_lines() {
        let text = line(&entry(), LogFormat::Json);
        assert!(
            text.starts_with("{\"time\":\"2000-10-10T20:55:36.000042Z\","),
            "{text}"
        );
        let value: Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "time": "2000-10-10T20:55:36.000042Z", "remote": "127.0.0.1:4711", "method": "GET",
            "target": "/apache_pb.gif", "protocol": "HTTP/1.0", "status": 200, "head_bytes": 180,
            "bytes": 2326, "path": "sendfile", "fallback": null, "calls": 3, "would_blocks": 1, "cold_windows": 2, "disk_us": 345,
            "us": 1234, "outcome": "complete", "referer": "http://www.example.com/start.html",
            "user_agent": "Mozilla/4.08 [en] (Win98; I ;Nav)"
        });
        assert_eq!(value, expected);

        let value: Value = serde_json::from_str(&line(&hostile(), LogFormat::Json)).unwrap();
        assert_eq!(value["remote"], "[::1]:1");
        assert_eq!(
            value["target"],
            "/a\\x22b\\x5Cc\\x1B[2J\\x0A\\xFF\\xC3\\xA9\\x7F"
        );
        assert_eq!(value["fallback"], "sendfile: EINVAL \\x22odd\\x22");
        assert_eq!(value["referer"], Value::Null);
    }

    #[test]
    fn json_splits_the_request_line_at_its_outer_spaces() {
        for (request_line, method, target, protocol) in [
            (
                "GET /a b HTTP/1.1",
                Value::from("GET"),
                "/a b",
                Value::from("HTTP/1.1"),
            ),
            ("GET /a", Value::Null, "GET /a", Value::Null),
            ("nonsense", Value::Null, "nonsense", Value::Null),
        ] {
            let entry = Entry {
                request_line: request_line.as_bytes(),
                ..entry()
            };
            let value: Value = serde_json::from_str(&line(&entry, LogFormat::Json)).unwrap();
            assert_eq!(value["method"], method, "{request_line}");
            assert_eq!(value["target"], target, "{request_line}");
            assert_eq!(value["protocol"], protocol, "{request_line}");
        }
    }

    #[test]
    fn any_bytes_make_one_printable_line() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let entry = Entry {
            request_line: &all,
            referer: &all,
            user_agent: &all,
            ..entry()
        };
        for log_format in [LogFormat::Clf, LogFormat::Combined, LogFormat::Json] {
            let text = line(&entry, log_format);
            let body = text.strip_suffix('\n').unwrap();
            assert!(
                body.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{body}"
            );
            let quotes = body.bytes().filter(|&byte| byte == b'"').count();
            assert_eq!(quotes % 2, 0);
        }
        // The escaped text gives the bytes back.
        let mut escaped = Vec::new();
        escape(&all, &mut escaped);
        assert_eq!(unescape(&escaped), all);
    }

    fn unescape(mut text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some((&byte, rest)) = text.split_first() {
            if byte == b'\\' {
                let digits = str::from_utf8(&rest[1..3]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                text = &rest[3..];
            } else {
                bytes.push(byte);
                text = rest;
            }
        }
        bytes
    }

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
        writer.finish();
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
        let entry = Entry {
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
        writer.finish();
        let text = collector.join().unwrap();
        assert_eq!(
            text.len() as u64,
            (recorded as u64 - dropped) * length as u64
        );
        assert!(text.lines().all(|line| line.len() == length - 1));
        assert_eq!(shared.queued_bytes.load(Ordering::Relaxed), 0);
        let report = format!("access log: {dropped} lines dropped so far, ");
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
        assert!(said.contains("has gone"), "{said}");
        for sink in [&mut sink, &mut other] {
            for _ in 0..2 {
                sink.record(&entry());
                sink.flush();
            }
            assert!(sink.queue.is_none());
            assert!(sink.buffer.is_empty());
        }
        writer.finish();
    }

    #[test]
    fn off_is_off() {
        let (mut sink, writer) = Sink::start(LogFormat::Off).unwrap();
        assert!(sink.queue.is_none());
        sink.record(&entry());
        sink.flush();
        assert!(sink.buffer.is_empty());
        writer.finish();
        assert_eq!(line(&entry(), LogFormat::Off), "");
    }
}
