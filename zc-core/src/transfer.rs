//! The resumable send.

use std::io;
use std::os::fd::AsFd;

use crate::copy::CopyBuffer;
use crate::{Method, Path, Progress, Report, SendError, SourceTruncated};

/// A range of a file on its way to a sink, resumable at any byte.
///
/// `F` is whatever owns or borrows the descriptor of the file: `File`, `&File`, `Arc<File>`,
/// `OwnedFd`. The sink is named at each [`advance`](Self::advance) and must be the same each time.
#[derive(Debug)]
pub struct Transfer<F> {
    source: F,
    /// The file offset of the next byte to be accepted by the sink.
    offset: u64,
    /// Bytes promised and not yet accepted.
    remaining: u64,
    method: Method,
    route: Route,
    report: Report,
}

/// The path in use, with what it needs.
#[derive(Debug)]
enum Route {
    Sendfile,
    /// The buffer's bytes are those at `offset`; made when the first byte is copied.
    Copy(Option<CopyBuffer>),
}

/// What one step of a route did.
enum Step {
    Sent { asked: u64, sent: u64 },
    SourceEnded,
}

impl Route {
    fn new(path: Path) -> Self {
        match path {
            Path::Sendfile => Self::Sendfile,
            Path::Copy => Self::Copy(None),
        }
    }

    fn path(&self) -> Path {
        match self {
            Self::Sendfile => Path::Sendfile,
            Self::Copy(_) => Path::Copy,
        }
    }
}

impl<F: AsFd> Transfer<F> {
    /// A transfer of the `length` bytes of `source` that start at `offset`, by [`Method::Auto`].
    ///
    /// Nothing is checked or sent yet. A file that is shorter than `offset + length` ends in
    /// [`Progress::SourceTruncated`].
    pub fn new(source: F, offset: u64, length: u64) -> Self {
        Self {
            source,
            offset,
            remaining: length,
            method: Method::Auto,
            route: Route::new(Method::Auto.first_path()),
            report: Report::default(),
        }
    }

    /// The same transfer by another method. To be chosen before the first `advance`.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self.route = Route::new(method.first_path());
        self
    }

    /// The file offset of the next byte, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Promised bytes that the sink has not accepted yet.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The path in use now.
    pub fn path(&self) -> Path {
        self.route.path()
    }

    /// What was done so far, over all calls of `advance`.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Sends until the end, until the sink would block, or until `budget` bytes went.
    ///
    /// A nonblocking sink is never waited for; a blocking one is. Short counts are followed by
    /// another call. After [`Progress::WouldBlock`] wait for writability; after
    /// [`Progress::BudgetSpent`] call again in your own time. Calling again after
    /// [`Progress::Complete`] is harmless.
    ///
    /// # Errors
    ///
    /// [`SendError`] says how many bytes this call had sent before it failed; they are counted in
    /// the report and in [`offset`](Self::offset) too. With [`Method::Auto`] a refusal of
    /// `sendfile` is no error: the transfer goes on by copying and keeps the reason.
    pub fn advance(&mut self, sink: impl AsFd, budget: u64) -> Result<Progress, SendError> {
        let sink = sink.as_fd();
        let before = self.remaining;
        let mut left = budget;
        while self.remaining > 0 {
            if left == 0 {
                return Ok(Progress::BudgetSpent);
            }
            match self.step(sink, self.remaining.min(left)) {
                Ok(Step::Sent { asked, sent }) => {
                    self.offset += sent;
                    self.remaining -= sent;
                    left -= sent;
                    self.report.tally(self.route.path()).bytes += sent;
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
                Err(error) => match self.method.fallback(self.route.path(), &error) {
                    Some(fallback) => {
                        self.route = Route::new(fallback.to);
                        self.report.fallback = Some(fallback);
                    }
                    None => return Err(SendError::new(before - self.remaining, error)),
                },
            }
        }
        Ok(Progress::Complete)
    }

    /// One send of at most `count` bytes, `count` being at least 1.
    fn step(&mut self, sink: impl AsFd, count: u64) -> io::Result<Step> {
        match &mut self.route {
            Route::Sendfile => {
                let asked = count.min(crate::CALL_BYTES_MAX);
                self.report.sendfile.calls += 1;
                match crate::sendfile(&self.source, sink, self.offset, asked)? {
                    0 => Ok(Step::SourceEnded),
                    sent => Ok(Step::Sent { asked, sent }),
                }
            }
            Route::Copy(buffer) => {
                let buffer = buffer.get_or_insert_with(CopyBuffer::new);
                if buffer.is_empty() {
                    self.report.copy.calls += 1;
                    // What the budget does not let out now stays in the buffer for the next call.
                    if buffer.fill(&self.source, self.offset, self.remaining)? == 0 {
                        return Ok(Step::SourceEnded);
                    }
                }
                self.report.copy.calls += 1;
                let (asked, sent) = buffer.flush(sink, count)?;
                if sent == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                Ok(Step::Sent {
                    asked: asked as u64,
                    sent: sent as u64,
                })
            }
        }
    }
}
