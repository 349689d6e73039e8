//! The resumable send.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::copy::CopyBuffer;
use crate::pipe::{PipePool, PooledPipe};
use crate::policy::{self, FileSystem, Policy, SinkKind};
use crate::{Fallback, Progress, Report, SendError, SendMethod, SendPath, Slots, SourceTruncated};

/// A range of a file on its way to a sink, resumable at any byte.
///
/// `F` owns or borrows the descriptor of the file: `File`, `&File`, `Arc<File>`, `OwnedFd`. The sink is
/// passed to each [`advance`](Self::advance) and must be the same each time.
///
/// A transfer waits for a page that is not in memory, on a nonblocking sink too. A
/// [`ProbedTransfer`](crate::ProbedTransfer) returns [`Progress::NeedsDisk`] instead.
///
/// # Example
///
/// A nonblocking socket accepts what fits, and the rest when it is writable again:
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
/// use std::os::fd::AsFd;
///
/// use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
/// use zc_core::{Progress, Transfer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // More than any socket buffer takes.
/// let bytes = vec![7; 64 << 20];
/// let mut file = tempfile::tempfile()?;
/// file.write_all(&bytes)?;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut peer = TcpStream::connect(listener.local_addr()?)?;
/// let (socket, _) = listener.accept()?;
/// socket.set_nonblocking(true)?;
///
/// let mut transfer = Transfer::new(&file, 0, bytes.len() as u64);
/// // Nobody reads yet.
/// assert_eq!(transfer.advance(&socket, u64::MAX)?, Progress::WouldBlock);
/// assert!(transfer.remaining() > 0);
///
/// let reader = std::thread::spawn(move || {
///     let mut received = Vec::new();
///     peer.read_to_end(&mut received).map(|_| received)
/// });
/// while transfer.advance(&socket, u64::MAX)? == Progress::WouldBlock {
///     let mut writable = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
///     poll(&mut writable, PollTimeout::NONE)?;
/// }
/// assert_eq!(transfer.remaining(), 0);
///
/// drop(socket);
/// assert!(reader.join().expect("no panic")? == bytes);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Transfer<F> {
    source: F,
    /// The file offset of the next byte to be accepted by the sink.
    offset: u64,
    /// Bytes promised and not yet accepted.
    remaining: u64,
    method: SendMethod,
    route: Route,
    report: Report,
    policy: Option<Arc<Policy>>,
    /// The filesystem of the source, once it is known.
    file_system: Option<FileSystem>,
    pipes: Option<PipePool>,
}

/// The path in use, with what it needs.
#[derive(Debug)]
enum Route {
    /// Nothing was tried yet.
    Undecided,
    Sendfile,
    /// The pipe's bytes are those at `offset`; taken when the first byte is spliced.
    Splice(Option<PooledPipe>),
    /// The buffer's bytes are those at `offset`; made when the first byte is copied.
    Copy(Option<CopyBuffer>),
}

/// What one step of a route did.
enum Step {
    Sent { asked: u64, sent: u64 },
    SourceEnded,
}

impl Route {
    fn new(path: SendPath) -> Self {
        match path {
            SendPath::Sendfile => Self::Sendfile,
            SendPath::Splice => Self::Splice(None),
            SendPath::Copy => Self::Copy(None),
        }
    }
}

impl<F: AsFd> Transfer<F> {
    /// A transfer of the `length` bytes of `source` that start at `offset`, by [`SendMethod::Auto`].
    ///
    /// Nothing is checked or sent yet. A file that is shorter than `offset + length` ends in
    /// [`Progress::SourceTruncated`].
    pub fn new(source: F, offset: u64, length: u64) -> Self {
        Self {
            source,
            offset,
            remaining: length,
            method: SendMethod::Auto,
            route: Route::Undecided,
            report: Report::default(),
            policy: None,
            file_system: None,
            pipes: None,
        }
    }

    /// The same transfer by another method. Call it before the first `advance`.
    #[must_use]
    pub fn with_method(mut self, method: SendMethod) -> Self {
        self.method = method;
        self.route = Route::Undecided;
        self
    }

    /// Shares refusals with other transfers through `policy`. Only [`SendMethod::Auto`] uses it.
    #[must_use]
    pub fn with_policy(mut self, policy: Arc<Policy>) -> Self {
        self.policy = Some(policy);
        self
    }

    /// The filesystem of the source, if the caller knows it: saves [`SendMethod::Auto`] an `fstatfs(2)`.
    #[must_use]
    pub fn with_file_system(mut self, file_system: FileSystem) -> Self {
        self.file_system = Some(file_system);
        self
    }

    /// Takes the pipe of [`SendMethod::Splice`] from `pipes`; a transfer without a pool makes its own.
    #[must_use]
    pub fn with_pipes(mut self, pipes: PipePool) -> Self {
        self.pipes = Some(pipes);
        self
    }

    /// The source of the bytes.
    pub fn source(&self) -> &F {
        &self.source
    }

    /// The file offset of the next byte, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Promised bytes that the sink has not accepted yet.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The path in use now; before the first `advance`, the path that would be tried first.
    pub fn path(&self) -> SendPath {
        match self.route {
            Route::Undecided => self.method.first_path(),
            Route::Sendfile => SendPath::Sendfile,
            Route::Splice(_) => SendPath::Splice,
            Route::Copy(_) => SendPath::Copy,
        }
    }

    /// The bytes and system calls so far, over all calls of `advance`.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Sends until the end, until the sink would block, or until `budget` bytes were sent.
    ///
    /// It never waits for a nonblocking sink, and waits for a blocking one. A short count is followed by
    /// another system call. After [`Progress::WouldBlock`], wait until the sink is writable. After
    /// [`Progress::BudgetSpent`], call again soon: no event announces it. Calling again after
    /// [`Progress::Complete`] is harmless.
    ///
    /// # Errors
    ///
    /// [`SendError`] says how many bytes this call had sent before it failed; they are counted in
    /// the report and in [`offset`](Self::offset) too. With [`SendMethod::Auto`], a refusal of
    /// `sendfile` is no error: the transfer continues by copying and keeps the reason.
    ///
    /// # Example
    ///
    /// Turns of 64 KiB on a socket that is full now and then:
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    ///
    /// use zc_core::{Progress, Transfer};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bytes = vec![7; 4 << 20];
    /// let mut file = tempfile::tempfile()?;
    /// file.write_all(&bytes)?;
    /// let (socket, mut peer) = UnixStream::pair()?;
    /// socket.set_nonblocking(true)?;
    ///
    /// let mut received = Vec::new();
    /// let mut transfer = Transfer::new(&file, 0, bytes.len() as u64);
    /// loop {
    ///     match transfer.advance(&socket, 64 << 10)? {
    ///         Progress::Complete => break,
    ///         // Here a reactor waits for the socket to be writable; this peer makes room.
    ///         Progress::WouldBlock => {
    ///             let mut chunk = [0; 16 << 10];
    ///             let count = peer.read(&mut chunk)?;
    ///             received.extend_from_slice(&chunk[..count]);
    ///         }
    ///         // Here a reactor serves the others first.
    ///         Progress::BudgetSpent => {}
    ///         Progress::NeedsDisk(_) => unreachable!("only a ProbedTransfer answers it"),
    ///         Progress::SourceTruncated(truncated) => return Err(truncated.into()),
    ///     }
    /// }
    /// assert!(transfer.report().would_blocks > 0);
    ///
    /// drop(socket);
    /// peer.read_to_end(&mut received)?;
    /// assert!(received == bytes);
    /// # Ok(())
    /// # }
    /// ```
    pub fn advance(&mut self, sink: impl AsFd, budget: u64) -> Result<Progress, SendError> {
        self.advance_within(sink.as_fd(), budget, budget)
    }

    /// [Advances](Self::advance) until `limit` bytes were sent, as a part of a call that may send `budget`
    /// bytes; `limit` is at most `budget`. [`Progress::BudgetSpent`] means that the limit is reached.
    pub(crate) fn advance_within(
        &mut self,
        sink: BorrowedFd<'_>,
        limit: u64,
        budget: u64,
    ) -> Result<Progress, SendError> {
        let before = self.remaining;
        while self.remaining > 0 {
            let done = before - self.remaining;
            if done == limit {
                return Ok(Progress::BudgetSpent);
            }
            let count = self.remaining.min(limit - done);
            match self.step(sink, count, budget - done) {
                Ok(Step::Sent { asked, sent }) => {
                    self.offset += sent;
                    self.remaining -= sent;
                    let path = self.path();
                    self.report.tally(path).bytes += sent;
                    self.report.short_writes += u64::from(sent < asked);
                }
                Ok(Step::SourceEnded) => {
                    return Ok(Progress::SourceTruncated(SourceTruncated {
                        offset: self.offset,
                        missing: self.remaining,
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.report.would_blocks += 1;
                    return Ok(Progress::WouldBlock);
                }
                Err(error) => match self.method.fallback(self.path(), &error) {
                    Some(fallback) => self.fall_back(fallback, sink),
                    None => return Err(SendError::new(before - self.remaining, error)),
                },
            }
        }
        // A pipe goes back to its pool as soon as nothing is left to be sent.
        self.route = match std::mem::replace(&mut self.route, Route::Undecided) {
            Route::Splice(Some(_)) => Route::Splice(None),
            route => route,
        };
        Ok(Progress::Complete)
    }

    /// Reads the next bytes into `slots` instead of sending them, for a caller that has to change them on their
    /// way, as TLS does. What was read counts as sent, by [`SendPath::Copy`].
    ///
    /// [`Progress::BudgetSpent`] means that the slots are full and that more is left.
    ///
    /// # Errors
    ///
    /// What `preadv(2)` reports. What this call has read before stands in the slots, and is counted.
    pub fn read(&mut self, slots: &mut Slots<'_, '_>) -> Result<Progress, SendError> {
        self.read_within(slots, u64::MAX)
    }

    /// The same for `limit` bytes at most; [`Progress::BudgetSpent`] also means that they were read.
    pub(crate) fn read_within(
        &mut self,
        slots: &mut Slots<'_, '_>,
        limit: u64,
    ) -> Result<Progress, SendError> {
        self.route = Route::Copy(None);
        let mut left = limit.min(self.remaining);
        while left > 0 && !slots.is_full() {
            self.report.copy.calls += 1;
            let read = slots
                .read_at(&self.source, self.offset, left)
                .map_err(SendError::from_read_error)?;
            if read == 0 {
                return Ok(Progress::SourceTruncated(SourceTruncated {
                    offset: self.offset,
                    missing: self.remaining,
                }));
            }
            self.offset += read;
            self.remaining -= read;
            left -= read;
            self.report.copy.bytes += read;
        }
        Ok(if self.remaining == 0 {
            Progress::Complete
        } else {
            Progress::BudgetSpent
        })
    }

    /// One send of at most `count` bytes. `left` is how many the call of `advance` may still send;
    /// `1 <= count <= left`.
    fn step(&mut self, sink: BorrowedFd<'_>, count: u64, left: u64) -> io::Result<Step> {
        match &mut self.route {
            Route::Undecided => {
                self.decide(sink);
                self.step(sink, count, left)
            }
            Route::Sendfile => {
                let asked = count.min(crate::CALL_BYTES_MAX);
                self.report.sendfile.calls += 1;
                match crate::sendfile::call(&self.source, sink, self.offset, asked)? {
                    0 => Ok(Step::SourceEnded),
                    sent => Ok(Step::Sent { asked, sent }),
                }
            }
            Route::Splice(Some(pipe)) => {
                if pipe.pending() == 0 {
                    self.report.splice.calls += 1;
                    if crate::splice::fill(pipe, &self.source, self.offset, count)? == 0 {
                        return Ok(Step::SourceEnded);
                    }
                }
                let asked = pipe.pending().min(count);
                let more = asked < self.remaining.min(left);
                self.report.splice.calls += 1;
                match crate::splice::flush(pipe, sink, asked, more)? {
                    0 => Err(io::ErrorKind::WriteZero.into()),
                    sent => Ok(Step::Sent { asked, sent }),
                }
            }
            Route::Splice(pipe @ None) => {
                let pool = self.pipes.get_or_insert_with(PipePool::single);
                *pipe = Some(pool.take()?);
                self.step(sink, count, left)
            }
            Route::Copy(buffer) => {
                let buffer = buffer.get_or_insert_with(CopyBuffer::new);
                if buffer.is_empty() {
                    self.report.copy.calls += 1;
                    // What exceeds the budget stays in the buffer for the next call.
                    if buffer.fill_at(&self.source, self.offset, self.remaining)? == 0 {
                        return Ok(Step::SourceEnded);
                    }
                }
                self.report.copy.calls += 1;
                let asked = count.min(buffer.len());
                match buffer.flush(sink, count)? {
                    0 => Err(io::ErrorKind::WriteZero.into()),
                    sent => Ok(Step::Sent { asked, sent }),
                }
            }
        }
    }

    /// Chooses the path to begin with: that of the named method, or what is known of the pair.
    fn decide(&mut self, sink: BorrowedFd<'_>) {
        self.route = Route::new(self.method.first_path());
        if self.method != SendMethod::Auto {
            return;
        }
        // A filesystem of unknown kind is tried like any other.
        let Some(file_system) = self.known_file_system() else {
            return;
        };
        let learned = || {
            let policy = self.policy.as_ref().filter(|policy| policy.has_learned())?;
            policy.fallback(file_system, SinkKind::from_fd(sink).ok()?)
        };
        if let Some(fallback) = policy::from_file_system(file_system).or_else(learned) {
            self.route = Route::new(fallback.to);
            self.report.fallback = Some(fallback);
        }
    }

    fn fall_back(&mut self, fallback: Fallback, sink: BorrowedFd<'_>) {
        self.route = Route::new(fallback.to);
        self.report.fallback = Some(fallback);
        let pair = self.known_file_system().zip(SinkKind::from_fd(sink).ok());
        if let (Some(policy), Some((file_system, sink))) = (&self.policy, pair) {
            policy.remember(file_system, sink, fallback);
        }
    }

    fn known_file_system(&mut self) -> Option<FileSystem> {
        if self.file_system.is_none() {
            self.file_system = FileSystem::from_fd(&self.source).ok();
        }
        self.file_system
    }
}
