//! A response on its way out: its head and what follows it, piece by piece.
//!
//! A piece is bytes and then a range of a file, sent by [`HeadThenFile`]; most responses are one.
//! A worker [advances](ResponseBody::advance) it as far as nothing has to be waited for but the socket. What
//! has to be read first is [read by a thread](ResponseBody::read_and_wait), or was
//! [requested](ResponseBody::take_prefetch) of the disk already; where nobody can tell what is in memory, a
//! thread [sends too](ResponseBody::advance_and_wait).

mod archive;
mod change;
mod figures;
#[cfg(feature = "tls")]
mod kernel;
mod next;
mod parts;
mod piece;
#[cfg(feature = "tls")]
mod read;

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use nix::sys::resource::{UsageWho, getrusage};
use zc_core::{Fetcher, HeadThenFile, ProbedTransfer, Progress, Report, Residency, SendError};

pub(crate) use archive::{ArchiveBody, SendOptions};
pub(crate) use change::{Change, Promise};
pub(crate) use figures::{Cold, Figures, InMemory};
pub(crate) use parts::{MultipartBody, NextPart};
pub(crate) use piece::Source;

use crate::disk::CancelToken;
use crate::files::mounts::ReadPath;
use crate::files::open_file::FileHandle;
use crate::files::read_gate::AwaitedRead;
use piece::Taken;

/// How much of a file is looked for in memory, or waited for, at a time, in bytes; and the most that a thread
/// sends of one response before others have their turn.
pub(crate) const WINDOW_BYTES: u64 = 2 << 20;
/// A disk that takes longer than this for a file may keep the worker waiting noticeably for parts of it.
const PROMPT: Duration = Duration::from_millis(2);
/// How much of a file must have been read before a thread sends its head: while nothing is sent, an
/// error can still be told as one.
const FIRST_BYTES: u64 = 64 * 1024;

/// How much a thread sends before it tells that it has come further, in bytes: as much as one read of a
/// slow disk brings.
const PROGRESS_BYTES: u64 = 128 * 1024;

/// Why it stops before a file of an archive that a thread is to open: no byte of that is known yet.
const NEEDS_OPEN: Progress = Progress::NeedsDisk(0..0);

type Piece = HeadThenFile<BytesMut, ProbedTransfer<Arc<FileHandle>>>;

/// A response on its way out.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    piece: Piece,
    next_part: NextPart,
    /// How many of the first bytes are head; the rest is body.
    head_bytes: u64,
    /// What the pieces before this one came to.
    done: Done,
    read_path: ReadPath,
    /// Whether body that goes out as bytes was read from a file for this response.
    was_read: bool,
    cold: Cold,
    /// What the head has said of the file that is sent.
    promise: Option<Promise>,
    /// How the file was changed meanwhile: known at the end.
    change: Option<Change>,
    /// Whether it ends there, before its end.
    is_cut_short: bool,
    /// Since when a request to the disk is waited for.
    prefetch_began: Option<Instant>,
    /// The read that is under way, or is waited for next.
    reading: Option<AwaitedRead>,
    /// What was read of it to be sealed.
    #[cfg(feature = "tls")]
    filled: read::Filled,
    /// What the kernel that seals it is asked for.
    #[cfg(feature = "tls")]
    kernel: Option<kernel::KernelPieces>,
}

/// What was requested of the disk.
#[derive(Debug)]
pub(crate) struct Prefetch {
    pub(crate) file: Arc<FileHandle>,
    /// The offset of its last byte.
    pub(crate) last: u64,
    pub(crate) reading: AwaitedRead,
}

/// What was accepted of pieces that are over.
#[derive(Debug, Default)]
struct Done {
    bytes: u64,
    would_blocks: u64,
    /// Calls that sent what was read to be sealed.
    writes: u64,
    report: Option<Report>,
}

impl Default for ResponseBody {
    /// Nothing.
    fn default() -> Self {
        Self::new(BytesMut::new(), None, NextPart::Nothing, ReadPath::Direct)
    }
}

impl ResponseBody {
    /// A head, then a range of a file, and what follows that.
    pub(crate) fn new(
        head: BytesMut,
        body: Option<ProbedTransfer<Arc<FileHandle>>>,
        next_part: NextPart,
        read_path: ReadPath,
    ) -> Self {
        Self {
            head_bytes: head.len() as u64,
            piece: piece::piece(head, body, read_path),
            next_part,
            done: Done::default(),
            read_path,
            was_read: false,
            cold: Cold::default(),
            promise: None,
            change: None,
            is_cut_short: false,
            prefetch_began: None,
            reading: None,
            #[cfg(feature = "tls")]
            filled: read::Filled::default(),
            #[cfg(feature = "tls")]
            kernel: None,
        }
    }

    /// The same, whose head was made from the state that `promise` is of.
    pub(crate) fn with_promise(self, promise: Option<Promise>) -> Self {
        Self { promise, ..self }
    }

    /// What is left of a response in memory, `bytes`, of which the socket accepted `accepted`. It goes in pieces of
    /// `piece_bytes`, or as a whole.
    pub(crate) fn rest_of(
        bytes: &[u8],
        ready: InMemory,
        accepted: usize,
        piece_bytes: Option<usize>,
    ) -> Self {
        let mut rest = BytesMut::from(&bytes[accepted..]);
        let next_part = NextPart::behind(&mut rest, piece_bytes);
        Self {
            piece: HeadThenFile::with_optional_body(rest, None),
            next_part,
            head_bytes: ready.head_bytes as u64,
            done: Done {
                bytes: accepted as u64,
                // The socket was full, or nobody has asked it yet.
                would_blocks: u64::from(accepted > 0),
                writes: 0,
                report: None,
            },
            read_path: ReadPath::Direct,
            was_read: ready.was_read,
            cold: Cold::default(),
            promise: None,
            change: None,
            is_cut_short: false,
            prefetch_began: None,
            reading: None,
            #[cfg(feature = "tls")]
            filled: read::Filled::default(),
            #[cfg(feature = "tls")]
            kernel: None,
        }
    }

    /// The read of the file that was begun for it, if one was.
    pub(crate) fn set_begun(&mut self, reading: Option<AwaitedRead>) {
        self.reading = reading;
    }

    /// The file that is sent, if there is one.
    pub(crate) fn file(&self) -> Option<&Arc<FileHandle>> {
        match &self.next_part {
            NextPart::Parts(parts) => Some(&parts.source.file),
            _ => self.piece.body().map(ProbedTransfer::source),
        }
    }

    /// Ends it where it stands, and gives back the buffer of its last head.
    pub(crate) fn into_head(self) -> BytesMut {
        self.piece.into_head()
    }

    /// Sends until the end, until the socket is full, until about `budget` bytes went, or until the
    /// disk would have to be waited for.
    pub(crate) fn advance(
        &mut self,
        socket: impl AsFd,
        budget: u64,
    ) -> Result<Progress, SendError> {
        let before = self.accepted();
        loop {
            if self.read_path == ReadPath::Offload
                && let Some(range) = self.next_window()
            {
                return Ok(Progress::NeedsDisk(range));
            }
            self.set_quiet();
            let left = budget.saturating_sub(self.accepted() - before);
            match self.piece.advance(&socket, left)? {
                Progress::Complete => {}
                stopped => return Ok(stopped),
            }
            if let Some(stopped) = self.go_on(before)? {
                return Ok(stopped);
            }
            if self.accepted() - before >= budget {
                return Ok(Progress::BudgetSpent);
            }
        }
    }

    /// While the device answers late, probes begin no reads.
    fn set_quiet(&mut self) {
        if let Some(body) = self.piece.body_mut() {
            let is_quiet = !body.source().gate().is_open();
            body.set_quiet(is_quiet);
        }
    }

    /// Compares the file at the end of a response of which `before` bytes had gone before this call. What is
    /// sent at once, right after its head was made, was not changed meanwhile. Where the file system may be
    /// waited for, a thread has compared.
    fn compare_unless_at_once(&mut self, before: u64) {
        let is_sent_at_once = before == 0 && self.cold.windows == 0;
        if !is_sent_at_once && self.read_path != ReadPath::Offload {
            self.compare();
        }
    }

    /// Counts the next window among the reads that are under way on its mount, unless a thread makes them all.
    pub(crate) fn await_read(&mut self) {
        if self.is_offloaded() {
            return;
        }
        let bytes = self.next_window().map(|window| window.end - window.start);
        if let (None, Some(bytes), Some(body)) = (&self.reading, bytes, self.piece.body()) {
            self.reading = Some(body.source().gate().begin(bytes));
        }
    }

    /// The last byte of what was requested of the disk, if nobody has waited for that yet; who takes it
    /// does, and says when it [is there](Self::is_prefetched).
    pub(crate) fn take_prefetch(&mut self) -> Option<Prefetch> {
        if self.read_path != ReadPath::Prefetched {
            return None;
        }
        self.read_path = ReadPath::Probe;
        let last = self.next_window()?.end - 1;
        let file = Arc::clone(self.piece.body()?.source());
        let reading = self.reading.take()?;
        self.prefetch_began = Some(Instant::now());
        Some(Prefetch {
            file,
            last,
            reading,
        })
    }

    /// The last byte of what was requested of the disk is in memory, or cannot be read: whether all seems
    /// to be. Where the end of a file was in memory and its beginning was not, it is told of at once.
    pub(crate) fn is_prefetched(&mut self) -> bool {
        let took = self.prefetch_began.take().map_or(Duration::ZERO, |since| {
            self.waited(since);
            since.elapsed()
        });
        match (self.next_window(), self.piece.body()) {
            (Some(window), Some(body)) => {
                let file = body.source();
                if took > PROMPT {
                    // Its parts may come one by one, in any order.
                    Residency::probe_whole(file, window) == Residency::Hot
                } else {
                    let first = window.start..window.start + 1;
                    Residency::probe(file, first) != Residency::Cold
                }
            }
            _ => true,
        }
    }

    /// Reads the next window, on a thread that may wait for the disk, and commits the job; `None` when
    /// it was cancelled. The window is the worker's to send, in turns between requests: a thread that
    /// sends keeps the core from the worker, and many of them for many times as long.
    pub(crate) fn read_and_wait(
        &mut self,
        fetcher: &Fetcher,
        token: &CancelToken,
    ) -> Option<Result<Progress, SendError>> {
        let began = Instant::now();
        if self.awaits_open() {
            return self.open_and_wait(fetcher, token);
        }
        let read = self.read_window(fetcher, token);
        if let Some(reading) = self.reading.take() {
            reading.over();
        }
        if !token.commit() {
            return None;
        }
        self.waited(began);
        Some(match read {
            Ok(()) => Ok(Progress::BudgetSpent),
            Err(error) => Err(SendError::from_read_error(error)),
        })
    }

    /// As [`advance`](Self::advance), on a thread that may wait for the disk. It reads the first bytes of
    /// the file before it commits the job (`None` when it was cancelled) and sends.
    pub(crate) fn advance_and_wait(
        &mut self,
        fetcher: &Fetcher,
        token: &CancelToken,
        socket: impl AsFd,
        budget: u64,
    ) -> Option<Result<Progress, SendError>> {
        let began = Instant::now();
        let read = self.read_first(fetcher, token);
        if !token.commit() {
            return None;
        }
        let result = match read {
            Ok(()) => self.advance_through_disk(token, socket, budget),
            Err(error) => Err(SendError::from_read_error(error)),
        };
        self.waited(began);
        Some(result)
    }

    fn waited(&mut self, since: Instant) {
        self.cold.windows += 1;
        self.cold.time += since.elapsed();
    }

    /// Reads the next window. Where that was in memory already the file seems to be cold no more, and the
    /// worker looks for itself again.
    fn read_window(&mut self, fetcher: &Fetcher, token: &CancelToken) -> io::Result<()> {
        let window = self.next_window();
        let (Some(window), Some(body)) = (window, self.piece.body_mut()) else {
            return Ok(());
        };
        // Not by a look beforehand: that has the kernel read the last page, on which a readahead breaks
        // when it gets there. It goes on with single pages, which took up to 0.8 ms for each file.
        let before = sleeps();
        fetcher.fetch_with(body.source(), window.clone(), |_| token.on_progress())?;
        if sleeps() == before && Residency::probe(body.source(), window) == Residency::Hot {
            body.resume_probing();
        }
        Ok(())
    }

    /// Reads the first bytes of the file, unless its head is sent: no error can be told any more then.
    fn read_first(&self, fetcher: &Fetcher, token: &CancelToken) -> io::Result<()> {
        let first = self.next_window().filter(|_| self.accepted() == 0);
        match (first, self.piece.body()) {
            (Some(range), Some(body)) => {
                let end = range.end.min(range.start + FIRST_BYTES);
                let first = range.start..end;
                let on_progress = |_| token.on_progress();
                fetcher
                    .fetch_with(body.source(), first, on_progress)
                    .map(drop)
            }
            _ => Ok(()),
        }
    }

    fn advance_through_disk(
        &mut self,
        token: &CancelToken,
        socket: impl AsFd,
        budget: u64,
    ) -> Result<Progress, SendError> {
        let before = self.accepted();
        loop {
            let so_far = self.accepted();
            let left = budget.saturating_sub(so_far - before);
            let answer = self.piece.advance(&socket, left.min(PROGRESS_BYTES))?;
            if self.accepted() > so_far {
                token.on_progress();
            }
            match answer {
                Progress::BudgetSpent => {}
                // Here it may be waited for: the next advance does.
                Progress::NeedsDisk(_) => {}
                Progress::Complete => match self.take_next_piece(true)? {
                    Taken::Piece(()) => {}
                    Taken::Nothing => {
                        self.compare();
                        return Ok(Progress::Complete);
                    }
                    Taken::WouldBlock => return Ok(NEEDS_OPEN),
                    Taken::Changed => return Ok(Progress::Complete),
                },
                stopped => return Ok(stopped),
            }
            if self.accepted() - before >= budget {
                return Ok(Progress::BudgetSpent);
            }
        }
    }

    /// Compares the file with what the head has said of it.
    fn compare(&mut self) {
        if let (Some(promise), Some(file)) = (&self.promise, self.file()) {
            self.change = promise.broken_by(file);
        }
    }

    /// How the file was changed while it was sent, once all is sent.
    pub(crate) fn change(&self) -> Option<Change> {
        self.change
    }

    /// What of the file comes next; `None` where bytes in memory come next, or nothing.
    fn next_window(&self) -> Option<Range<u64>> {
        let body = self.piece.body().filter(|body| body.remaining() > 0)?;
        Some(body.offset()..body.offset() + body.remaining().min(WINDOW_BYTES))
    }

    /// Whether every byte of files goes by a thread.
    pub(crate) fn is_offloaded(&self) -> bool {
        self.read_path == ReadPath::Offload
    }

    /// What was done so far, for the log.
    pub(crate) fn figures(&self) -> Figures {
        let accepted = self.accepted();
        Figures {
            head_bytes: accepted.min(self.head_bytes),
            body_bytes: accepted.saturating_sub(self.head_bytes),
            report: self.report(),
            writes: self.done.writes,
            was_read: self.was_read,
            would_blocks: self.done.would_blocks + self.piece.would_blocks(),
            cold: self.cold,
        }
    }

    /// Bytes of head and body that the socket accepted; it grows exactly when there is progress.
    pub(crate) fn accepted(&self) -> u64 {
        let accepted = self.done.bytes + self.piece.accepted();
        // What was read of it to be sealed has not gone yet.
        #[cfg(feature = "tls")]
        let accepted = accepted - self.filled.rest().len() as u64;
        accepted
    }

    fn report(&self) -> Option<Report> {
        match (self.done.report, self.piece.body_report()) {
            (None, None) => None,
            (None, Some(report)) => Some(*report),
            (Some(report), None) => Some(report),
            (Some(report), Some(last)) => Some(report + *last),
        }
    }
}

impl Done {
    fn add(&mut self, piece: &Piece) {
        self.bytes += piece.accepted();
        self.would_blocks += piece.would_blocks();
        if let Some(report) = piece.body_report() {
            self.report = Some(self.report.unwrap_or_default() + *report);
        }
    }
}

/// How often this thread has waited for something, as far as the system tells.
fn sleeps() -> i64 {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.voluntary_context_switches())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Seek, Write};
    use std::os::unix::net::UnixStream;

    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    use zc_core::Transfer;

    /// A response of a file of zeros that counts as absent, and a socket whose peer takes everything.
    fn cold(length: u64, read_path: ReadPath) -> (File, ResponseBody, UnixStream) {
        // On a disk: the directory for temporary files may be memory.
        let program = std::env::current_exe().expect("a path");
        let directory = program.parent().expect("a directory");
        let file = tempfile::tempfile_in(directory).expect("a file");
        file.set_len(length).expect("a sparse file");
        let source = Arc::new(FileHandle::from_file(
            file.try_clone().expect("a descriptor"),
        ));
        let mut body = ProbedTransfer::new(Transfer::new(source, 0, length), WINDOW_BYTES);
        body.assume_cold();
        let head = BytesMut::new();
        let body = ResponseBody::new(head, Some(body), NextPart::Nothing, read_path);
        let (socket, mut peer) = UnixStream::pair().expect("sockets");
        std::thread::spawn(move || io::copy(&mut peer, &mut io::sink()));
        (file, body, socket)
    }

    fn read(body: &mut ResponseBody) -> Progress {
        let fetcher = Fetcher::new().expect("/dev/null");
        let result = body.read_and_wait(&fetcher, &CancelToken::default());
        result.expect("nobody takes it back").expect("it is read")
    }

    #[test]
    fn a_thread_reads_and_the_worker_sends() {
        let (_file, mut body, socket) = cold(WINDOW_BYTES, ReadPath::Probe);
        let asked = body.advance(&socket, u64::MAX).expect("a socket");
        assert_eq!(asked, Progress::NeedsDisk(0..WINDOW_BYTES));
        assert_eq!(read(&mut body), Progress::BudgetSpent);
        assert_eq!((body.accepted(), body.cold.windows), (0, 1));
        let sent = body.advance(&socket, u64::MAX).expect("a socket");
        assert_eq!(sent, Progress::Complete);
        assert_eq!(body.accepted(), WINDOW_BYTES);
    }

    #[test]
    fn a_thread_sends_where_nobody_can_tell_what_is_in_memory() {
        let (_file, mut body, socket) = cold(WINDOW_BYTES, ReadPath::Offload);
        let fetcher = Fetcher::new().expect("/dev/null");
        let result = body.advance_and_wait(&fetcher, &CancelToken::default(), &socket, u64::MAX);
        let sent = result.expect("nobody takes it back").expect("it is sent");
        assert_eq!(sent, Progress::Complete);
        assert_eq!((body.accepted(), body.cold.windows), (WINDOW_BYTES, 1));
    }

    #[test]
    fn a_request_to_the_disk_is_waited_for_once() {
        let (_file, mut body, _socket) = cold(5000, ReadPath::Prefetched);
        body.await_read();
        let prefetch = body.take_prefetch().expect("it was requested");
        assert_eq!((prefetch.last, body.cold.windows), (4999, 0));
        assert!(body.take_prefetch().is_none());
        for _ in 0..2 {
            body.is_prefetched();
            assert_eq!(body.cold.windows, 1);
        }
        let (_file, mut body, _socket) = cold(5000, ReadPath::Probe);
        assert!(body.take_prefetch().is_none());
    }

    #[test]
    fn the_worker_looks_again_after_a_window_that_was_in_memory() {
        let windows = 8;
        let length = windows * WINDOW_BYTES;
        let (mut file, mut body, socket) = cold(length, ReadPath::Probe);
        io::copy(&mut file, &mut io::sink()).expect("a file");
        if Residency::probe(&file, 0..length) == Residency::Unknown {
            println!("the filesystem of the build directory does not tell what is in memory");
            return;
        }
        let mut asked = 0;
        loop {
            match body.advance(&socket, u64::MAX).expect("a socket") {
                Progress::Complete => break,
                Progress::NeedsDisk(_) => asked += 1,
                other => panic!("{other:?}"),
            }
            assert_eq!(read(&mut body), Progress::BudgetSpent);
        }
        // Once, unless the thread had to wait for something else, as for memory.
        assert!((1..windows).contains(&asked), "{asked} of {windows}");
        assert_eq!(body.accepted(), length);
    }

    #[test]
    fn the_worker_does_not_look_after_a_window_that_was_waited_for() {
        let length = 2 * WINDOW_BYTES;
        let (mut file, mut body, socket) = cold(length, ReadPath::Probe);
        file.write_all(&vec![1; length as usize]).expect("room");
        file.sync_all().expect("a disk");
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).expect("a file");
        if Residency::probe(&file, 0..length) != Residency::Cold {
            println!(
                "the filesystem of the build directory keeps what is dropped, or does not tell"
            );
            return;
        }
        let asked = body.advance(&socket, u64::MAX).expect("a socket");
        assert_eq!(asked, Progress::NeedsDisk(0..WINDOW_BYTES));
        assert_eq!(read(&mut body), Progress::BudgetSpent);
        // As a readahead leaves it: a look would find the rest in memory.
        file.rewind().expect("a file");
        io::copy(&mut file, &mut io::sink()).expect("a file");
        let asked = body.advance(&socket, u64::MAX).expect("a socket");
        assert_eq!(asked, Progress::NeedsDisk(WINDOW_BYTES..length));
        assert_eq!(body.accepted(), WINDOW_BYTES);
    }
}
