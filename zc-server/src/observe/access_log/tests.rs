use std::io::{PipeReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;

use super::sink::{BUFFER_BYTES_MAX, QUEUE_BYTES_MAX};
use super::*;
use crate::observe::format::tests::{entry, line};

/// It only ends a test that hangs.
const HANG: Duration = Duration::from_secs(300);

/// A log to `output`, and what is said of it.
fn start_to(format: LogFormat, output: impl Write + Send + 'static) -> (Sink, Writer, PipeReader) {
    let (troubles, diagnostics) = io::pipe().expect("a pipe");
    let diagnostics = Diagnostics::start_to(diagnostics).expect("a thread");
    let output = Output::Stream(Box::new(output));
    let started = writer::start(format, output, diagnostics, Arc::default());
    let (sink, writer) = started.expect("a thread");
    (sink, writer, troubles)
}

fn finish(writer: Writer) -> Option<String> {
    writer.finish(Instant::now() + HANG)
}

fn text_of(reader: &mut PipeReader) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn every_line_of_every_worker_arrives() {
    const WORKERS: usize = 4;
    const LINES: usize = 2_000;
    let (mut reader, output) = io::pipe().unwrap();
    let (sink, writer, mut troubles) = start_to(LogFormat::Clf, output);
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
    assert_eq!(finish(writer), None);
    let text = collector.join().unwrap();
    let expected = line(&entry(), LogFormat::Clf);
    assert_eq!(text.len(), expected.len() * WORKERS * LINES);
    assert!(text.lines().all(|line| line == expected.trim_end()));
    assert_eq!(text_of(&mut troubles), "");
}

#[test]
fn a_reader_that_does_not_read_blocks_nobody_and_what_is_dropped_is_counted() {
    let (mut reader, output) = io::pipe().unwrap();
    let (mut sink, writer, mut troubles) = start_to(LogFormat::Clf, output);
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
    let shared = Arc::clone(&sink.shared);
    let queued = shared.queued_bytes.load(Ordering::Relaxed);
    assert!(queued <= QUEUE_BYTES_MAX);
    // All of it was in use, but for less than is reserved at a time.
    assert!(queued > QUEUE_BYTES_MAX - BUFFER_BYTES_MAX);
    let kept_max = BUFFER_BYTES_MAX + sink.reserved_bytes;
    assert!(sink.reserved_bytes > 0 && sink.buffer.len() <= kept_max);
    assert!(sink.buffer.len() > kept_max - length);
    let dropped = shared.dropped_lines.load(Ordering::Relaxed);
    assert!(dropped > 0);
    assert_eq!(shared.dropped_in_all.load(Ordering::Relaxed), dropped);
    // Now somebody reads: all that was not dropped arrives, in whole lines.
    let collector = thread::spawn(move || text_of(&mut reader));
    drop(sink);
    assert_eq!(finish(writer), None);
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
    let (mut sink, writer, mut troubles) = start_to(LogFormat::Json, output);
    let mut other = sink.clone();
    drop(reader);
    sink.record(&entry());
    sink.flush();
    // The thread ends by itself, while sinks are there.
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
    assert_eq!(finish(writer), None);
}

#[test]
fn a_write_that_fails_is_told_with_its_reason() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let (mut sink, writer, mut troubles) = start_to(LogFormat::Clf, full);
    sink.record(&entry());
    sink.flush();
    drop(sink);
    assert_eq!(finish(writer), None);
    let said = text_of(&mut troubles);
    let start =
        "zc-server: access log: 1 line dropped so far; cannot write to standard output: No space";
    assert!(
        said.starts_with(start) && said.lines().count() == 1,
        "{said}"
    );
}

/// A disk that is full after so many bytes, until it is given more room.
#[derive(Clone)]
struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock().unwrap();
        let length = bytes.len().min(disk.0);
        if length == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.0 -= length;
        disk.1.extend_from_slice(&bytes[..length]);
        Ok(length)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_that_a_full_disk_has_cut_is_whole_when_there_is_room_again() {
    let expected = line(&entry(), LogFormat::Clf);
    let length = expected.len();
    // In the middle of a line, before its last byte, and between two.
    for room in [length + 7, 2 * length - 1, 2 * length] {
        let disk = Disk(Arc::new(Mutex::new((room, Vec::new()))));
        let (mut sink, writer, mut troubles) = start_to(LogFormat::Clf, disk.clone());
        let shared = Arc::clone(&sink.shared);
        let written = || shared.queued_bytes.load(Ordering::Relaxed) == 0;
        for _ in 0..4 {
            sink.record(&entry());
        }
        sink.flush();
        while !written() {
            thread::yield_now();
        }
        disk.0.lock().unwrap().0 = usize::MAX;
        sink.record(&entry());
        drop(sink);
        assert_eq!(finish(writer), None);
        let text = String::from_utf8(disk.0.lock().unwrap().1.clone()).unwrap();
        assert_eq!(text, expected.repeat(3), "room for {room}");
        let said = text_of(&mut troubles);
        assert!(said.contains("2 lines dropped so far"), "{said}");
    }
}

#[test]
fn off_is_off() {
    let diagnostics = Diagnostics::start_to(io::sink()).unwrap();
    let log = Log::start(LogFormat::Off, &LogTarget::Stdout, &diagnostics).unwrap();
    assert!(log.sink().is_none());
    assert!(!log.reopen());
    log.close();
    assert_eq!(log.finish(HANG), Vec::<String>::new());
    assert_eq!(line(&entry(), LogFormat::Off), "");
}

#[test]
fn a_log_that_is_replaced_gets_the_lines_that_workers_have_and_the_new_one_those_that_come() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| LogTarget::File(temp.path().join(name));
    let read = |name: &str| std::fs::read_to_string(temp.path().join(name)).unwrap();
    let diagnostics = Diagnostics::start_to(io::sink()).unwrap();
    let log = Log::start(LogFormat::Clf, &at("one"), &diagnostics).unwrap();
    let mut worker = log.sink();
    let record = |worker: &mut Option<Sink>| worker.as_mut().unwrap().record(&entry());
    record(&mut worker);
    // The format alone: what waits stays with the worker.
    let change = |format, target: &LogTarget, worker: &mut Option<Sink>| {
        let prepared = log.prepare(format, target, &diagnostics).unwrap();
        log.install(prepared, |sink| Sink::replace(worker, sink.cloned()));
    };
    change(LogFormat::Json, &at("one"), &mut worker);
    assert!(worker.as_ref().unwrap().has_pending());
    record(&mut worker);
    change(LogFormat::Clf, &at("two"), &mut worker);
    record(&mut worker);
    let missing = at("none/three");
    let refused = log.prepare(LogFormat::Clf, &missing, &diagnostics);
    assert!(matches!(refused, Err(LogError::File { .. })), "{refused:?}");
    change(LogFormat::Off, &at("two"), &mut worker);
    assert!(worker.is_none());
    log.close();
    // A log that comes after the end is nobody's.
    change(LogFormat::Clf, &at("late"), &mut worker);
    assert!(worker.is_none());
    assert_eq!(log.finish(HANG), Vec::<String>::new());
    let clf = line(&entry(), LogFormat::Clf);
    assert_eq!(read("one"), clf.clone() + &line(&entry(), LogFormat::Json));
    assert_eq!(read("two"), clf);
    assert_eq!(log.dropped_lines().get(), 0);
}

#[test]
fn logs_that_hang_are_given_up_and_only_so_many() {
    let temp = tempfile::tempdir().unwrap();
    let diagnostics = Diagnostics::start_to(io::sink()).unwrap();
    let log = Log::default();
    let mut readers = Vec::new();
    let mut replace = |number: usize| {
        let fifo = temp.path().join(number.to_string());
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut options = std::fs::File::options();
        let options = options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        readers.push(options.open(&fifo).unwrap());
        let prepared = log.prepare(LogFormat::Clf, &LogTarget::File(fifo), &diagnostics)?;
        log.install(prepared, |_| {});
        // More than a FIFO holds.
        let mut worker = log.sink().unwrap();
        for _ in 0..1000 {
            worker.record(&entry());
        }
        Ok::<(), LogError>(())
    };
    for number in 0..=RETIRED_MAX {
        replace(number).unwrap();
    }
    let refused = replace(RETIRED_MAX + 1);
    assert!(
        matches!(refused, Err(LogError::Stuck(RETIRED_MAX))),
        "{refused:?}"
    );
    // One reader goes, and its log ends.
    drop(readers.swap_remove(0));
    let fifo = LogTarget::File(temp.path().join("1"));
    while log.prepare(LogFormat::Clf, &fifo, &diagnostics).is_err() {
        thread::yield_now();
    }
    log.close();
    // The others are not waited for longer than a server has time to end.
    let unwritten = log.finish(Duration::ZERO);
    assert_eq!(unwritten.len(), RETIRED_MAX);
    let all_named = unwritten
        .iter()
        .all(|line| line.contains("takes no lines; gave up, "));
    assert!(all_named, "{unwritten:?}");
}
