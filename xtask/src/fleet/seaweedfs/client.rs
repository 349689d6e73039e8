//! A request on a connection of its own, whose response is compared with what was expected while it is read.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::fleet::head::ResponseHead;

/// What is read in one call, in bytes. A file of the page cache should not be limited by the client.
const CHUNK_BYTES: usize = 256 << 10;
/// The longest head of a response, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How often a client that waits looks whether the run is to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How long a request may take, hung mounts included.
const REQUEST_MAX: Duration = Duration::from_secs(90);

/// A GET request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Request<'a> {
    pub(super) target: &'a str,
    /// What the whole file may be.
    pub(super) candidates: &'a [&'a [u8]],
    /// The first byte that is asked for, and the entity-tag of what there is already.
    pub(super) rest: Option<(u64, &'a str)>,
    /// The client takes no more than that.
    pub(super) bytes_per_second: Option<u64>,
    /// The client leaves after so many bytes of the body.
    pub(super) leave_after: Option<u64>,
    /// How many bytes of the body have come.
    pub(super) progress: Option<&'a AtomicU64>,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    /// Bytes of the body.
    pub(super) bytes: u64,
    /// Whether the body has the length that the head has promised.
    pub(super) is_whole: bool,
    /// The first candidate that has the bytes of the body in this place.
    pub(super) candidate: Option<usize>,
    pub(super) time: Duration,
}

/// The head of a response.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    etag: Option<String>,
    length: u64,
    /// Where the body begins in the file.
    start: u64,
}

impl Answer {
    /// Whether all of one of the candidates has come, or all of its rest.
    pub(super) fn is_right(&self) -> bool {
        matches!(self.status, 200 | 206) && self.is_whole && self.candidate.is_some()
    }

    /// In words, for messages.
    pub(super) fn words(&self) -> String {
        let equal = if self.candidate.is_some() {
            "equal"
        } else {
            "other bytes"
        };
        let whole = if self.is_whole { "whole" } else { "cut off" };
        format!(
            "{}, {} bytes, {whole}, {equal}, {:.1} s",
            self.status,
            self.bytes,
            self.time.as_secs_f64()
        )
    }
}

/// A connection with a request on it.
struct Exchange<'a> {
    stream: TcpStream,
    request: Request<'a>,
    began: Instant,
    stop: &'a AtomicBool,
}

/// Sends a request, and reads its response until its end, the end of the connection, or the end of the run.
pub(super) fn get(
    address: SocketAddr,
    request: Request<'_>,
    stop: &AtomicBool,
) -> anyhow::Result<Answer> {
    let mut exchange = Exchange::begin(address, request, stop)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let (head, first) = exchange.head(&mut buffer)?;
    let mut compared = Compared::new(request.candidates, head.start);
    compared.take(&buffer[first]);
    let has_enough = |bytes: u64| request.leave_after.is_some_and(|most| bytes >= most);
    while compared.bytes < head.length && !has_enough(compared.bytes) {
        if let Some(progress) = request.progress {
            progress.store(compared.bytes, Ordering::SeqCst);
        }
        if let Some(rate) = request.bytes_per_second {
            let due = Duration::from_secs_f64(compared.bytes as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(exchange.began.elapsed()).min(LOOK));
        }
        match exchange.read(&mut buffer)? {
            0 => break,
            count => compared.take(&buffer[..count]),
        }
    }
    let is_whole = compared.bytes == head.length;
    Ok(Answer {
        status: head.status,
        etag: head.etag,
        bytes: compared.bytes,
        is_whole,
        candidate: compared.candidate(is_whole),
        time: exchange.began.elapsed(),
    })
}

impl<'a> Exchange<'a> {
    /// Connects, and sends the request.
    fn begin(
        address: SocketAddr,
        request: Request<'a>,
        stop: &'a AtomicBool,
    ) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_read_timeout(Some(LOOK))?;
        let mut text = format!(
            "GET {} HTTP/1.1\r\nHost: files.example.org\r\nConnection: close\r\n",
            request.target
        );
        if let Some((from, tag)) = request.rest {
            text += &format!("Range: bytes={from}-\r\nIf-Range: {tag}\r\n");
        }
        stream.write_all(format!("{text}\r\n").as_bytes())?;
        Ok(Self {
            stream,
            request,
            began,
            stop,
        })
    }

    /// Reads the head, and answers where in the buffer the first bytes of the body are.
    fn head(&mut self, buffer: &mut [u8]) -> anyhow::Result<(Head, Range<usize>)> {
        let target = self.request.target;
        let mut filled = 0;
        loop {
            let found = ResponseHead::read(&buffer[..filled]);
            let found = found.with_context(|| format!("{target}: no response of HTTP"))?;
            if let Some((head, body_at)) = found {
                let head =
                    Head::of(&head).with_context(|| format!("{target}: a wrong Content-Range"))?;
                return Ok((head, body_at..filled));
            }
            ensure!(filled < HEAD_BYTES_MAX, "{target}: a head without end");
            match self.read(&mut buffer[filled..])? {
                0 => bail!("{target}: closed without a response"),
                count => filled += count,
            }
        }
    }

    /// Reads some bytes; none at the end of the connection.
    fn read(&mut self, buffer: &mut [u8]) -> anyhow::Result<usize> {
        loop {
            super::go_on(self.stop)?;
            let is_late = self.began.elapsed() > REQUEST_MAX;
            ensure!(
                !is_late,
                "{}: no end after {} s",
                self.request.target,
                REQUEST_MAX.as_secs()
            );
            match self.stream.read(buffer) {
                Ok(count) => return Ok(count),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(0),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Which candidates have had the same bytes so far.
#[derive(Debug)]
struct Compared<'a> {
    candidates: Vec<(&'a [u8], bool)>,
    start: u64,
    bytes: u64,
}

impl<'a> Compared<'a> {
    fn new(candidates: &[&'a [u8]], start: u64) -> Self {
        Self {
            candidates: candidates.iter().map(|bytes| (*bytes, true)).collect(),
            start,
            bytes: 0,
        }
    }

    fn take(&mut self, piece: &[u8]) {
        let from = usize::try_from(self.start + self.bytes).unwrap_or(usize::MAX);
        for (bytes, is_equal) in &mut self.candidates {
            *is_equal &= bytes
                .get(from..)
                .is_some_and(|rest| rest.starts_with(piece));
        }
        self.bytes += piece.len() as u64;
    }

    /// The first that is equal; of a whole body, the first that ends with it.
    fn candidate(&self, is_whole: bool) -> Option<usize> {
        let end = self.start + self.bytes;
        let is_it = |(bytes, is_equal): &(&[u8], bool)| {
            *is_equal && (!is_whole || bytes.len() as u64 == end)
        };
        self.candidates.iter().position(is_it)
    }
}

impl Head {
    /// `None` where the range is none.
    fn of(head: &ResponseHead<'_>) -> Option<Self> {
        let start = match head.field("content-range") {
            None => 0,
            Some(range) => range
                .strip_prefix("bytes ")?
                .split_once('-')?
                .0
                .parse()
                .ok()?,
        };
        Some(Self {
            status: head.status,
            etag: head.field("etag").map(str::to_owned),
            length: head.number("content-length").unwrap_or_default(),
            start,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The answer to a request to which these bytes are the response.
    fn answer(response: &'static [u8], request: Request<'_>) -> anyhow::Result<Answer> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("a request") > 0 {
                asked.push(byte[0]);
            }
            stream.write_all(response).expect("a reader");
            String::from_utf8(asked).expect("text")
        });
        let answer = get(address, request, &AtomicBool::new(false));
        let asked = server.join().expect("a server");
        assert_eq!(
            asked.contains("If-Range"),
            request.rest.is_some(),
            "{asked}"
        );
        answer
    }

    #[test]
    fn a_body_is_compared_in_its_place() {
        let candidates: [&[u8]; 2] = [b"0123456789", b"0123456xyz"];
        let whole = Request {
            target: "/a",
            candidates: &candidates,
            ..Request::default()
        };
        let got = answer(
            b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\n0123456xyz",
            whole,
        );
        let got = got.expect("an answer");
        assert!(got.is_right(), "{got:?}");
        assert_eq!(
            (got.candidate, got.etag.as_deref()),
            (Some(1), Some("\"a\""))
        );
        let rest = Request {
            rest: Some((7, "\"a\"")),
            ..whole
        };
        let head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 7-9/10\r\nContent-Length: 3\r\n\r\n789";
        assert!(answer(head, rest).expect("an answer").is_right());
    }

    #[test]
    fn what_is_cut_off_or_has_other_bytes_is_not_right() {
        let candidates: [&[u8]; 1] = [b"0123456789"];
        let whole = Request {
            target: "/a",
            candidates: &candidates,
            ..Request::default()
        };
        let cut = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234", whole)
            .expect("an answer");
        assert_eq!(
            (cut.bytes, cut.is_whole, cut.candidate),
            (5, false, Some(0))
        );
        assert!(!cut.is_right());
        let other = answer(
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234567X9",
            whole,
        );
        assert!(!other.expect("an answer").is_right());
        let short = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n01234", whole);
        assert!(!short.expect("an answer").is_right());
        assert!(answer(b"", whole).is_err());
        assert!(answer(b"SSH-2.0\r\n\r\n", whole).is_err());
    }
}
