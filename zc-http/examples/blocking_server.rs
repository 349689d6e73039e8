//! Serves one file over HTTP/1 on blocking sockets, with a thread for each connection:
//! `blocking_server FILE [ADDRESS]`.
//!
//! zc-http does no I/O. This program reads and writes. The library says what the received bytes mean,
//! and writes heads into a buffer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{env, fs, thread};

use zc_http::{
    Drain, EntityTag, HeadWriter, HttpTime, Limits, Method, Multipart, Parse, Parts, Persistence,
    Precondition, RangeOutcome, Request, Status, Validators, Version, decode_path,
    evaluate_preconditions, parse, persistence, range_applies, resolve_range,
};

/// How much is read at a time, in bytes.
const READ_BYTES: usize = 16 * 1024;
/// The longest request body that is read to its end, in bytes. A longer one is answered with 413.
const BODY_BYTES_MAX: u64 = 1024 * 1024;
/// How long a peer may be silent, or take nothing.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Stands between the parts of a multipart response. No part of the file may contain it.
const BOUNDARY: &str = "f3a0c1d27b5e4896";

/// The file that is served, kept in memory.
pub(crate) struct Content {
    /// Its path below the root.
    pub(crate) name: String,
    /// All of it.
    pub(crate) bytes: Vec<u8>,
    /// Its entity-tag and its date, for conditional requests.
    pub(crate) validators: Validators,
}

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let Some(file) = arguments.next() else {
        return Err(io::Error::other("usage: blocking_server FILE [ADDRESS]"));
    };
    let address = arguments.next();
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080"))?;
    let bytes = fs::read(&file)?;
    let modified = HttpTime::from(fs::metadata(&file)?.modified()?);
    let numbers = [modified.unix_seconds().into(), bytes.len() as i128];
    let name = file.rsplit('/').next().unwrap_or(&file).to_owned();
    println!("http://{}/{name}", listener.local_addr()?);
    let validators = Validators {
        etag: Some(EntityTag::from_numbers(&numbers, "")),
        last_modified: Some(modified),
    };
    let content = Content {
        name,
        bytes,
        validators,
    };
    serve(&listener, &Arc::new(content))
}

/// Accepts connections until the listener fails.
pub(crate) fn serve(listener: &TcpListener, content: &Arc<Content>) -> io::Result<()> {
    for stream in listener.incoming() {
        let (stream, content) = (stream?, Arc::clone(content));
        thread::spawn(move || {
            // An error of one connection ends that connection alone.
            let _ = converse(&stream, &content);
        });
    }
    Ok(())
}

/// Answers the requests of one connection, one after the other.
fn converse(mut stream: &TcpStream, content: &Content) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let limits = Limits::default();
    // What was received and not used yet: a part of a head, or more requests (pipelining).
    let mut received = Vec::new();
    loop {
        let (head_bytes, exchange) = match parse(&received, &limits) {
            Ok(Parse::Complete(request)) => (request.head_bytes, Exchange::new(&request, content)),
            Ok(Parse::Partial) => match receive(stream, &mut received)? {
                0 => return Ok(()),
                _ => continue,
            },
            Err(error) => (0, Exchange::refused(error.status())),
        };
        received.drain(..head_bytes);
        let exchange = match exchange.body {
            Some(body) => match skip_body(stream, body, &mut received)? {
                Ok(()) => Exchange {
                    body: None,
                    ..exchange
                },
                Err(status) => Exchange::refused(status),
            },
            None => exchange,
        };
        stream.write_all(&exchange.response)?;
        if exchange.persistence == Persistence::Close {
            return close(stream);
        }
    }
}

/// Reads what has come, and waits for it if need be; 0 means that the peer has ended.
fn receive(mut stream: &TcpStream, received: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; READ_BYTES];
    let count = stream.read(&mut chunk)?;
    received.extend_from_slice(&chunk[..count]);
    Ok(count)
}

/// Reads a request body to its end. The status is for one that is malformed or too long.
fn skip_body(
    stream: &TcpStream,
    mut body: Drain,
    received: &mut Vec<u8>,
) -> io::Result<Result<(), Status>> {
    loop {
        match body.consume(received) {
            Ok(drained) => {
                received.drain(..drained.consumed);
                if drained.done {
                    return Ok(Ok(()));
                }
            }
            Err(error) => return Ok(Err(error.status())),
        }
        if receive(stream, received)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Ends the connection. What the peer still sends is read first: a close with bytes unread is a reset,
/// which may take the response from the peer.
fn close(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let rest = io::copy(&mut stream.take(BODY_BYTES_MAX), &mut io::sink());
    rest.map(drop)
}

/// A response, and what it means for the connection.
struct Exchange {
    response: Vec<u8>,
    /// The request body, to be read before the response is sent.
    body: Option<Drain>,
    persistence: Persistence,
}

impl Exchange {
    fn new(request: &Request<'_>, content: &Content) -> Self {
        let drain = match Drain::new(request.body, BODY_BYTES_MAX) {
            Ok(drain) => drain,
            Err(too_large) => return Self::refused(too_large.status()),
        };
        // A peer that waits for 100 (Continue) gets the response instead, and its body is not read.
        let (body, persistence) = if drain.is_some() && request.headers.get("Expect").is_some() {
            (None, Persistence::Close)
        } else {
            (drain, persistence(request))
        };
        let now = HttpTime::from(SystemTime::now());
        let writer = Writer {
            now,
            persistence,
            version: request.version,
            has_body: request.method != Method::Head,
        };
        let response = match plan(request, content, now) {
            Ok(plan) => writer.success(plan, content),
            Err(status) => writer.failure(status, content.bytes.len() as u64),
        };
        Self {
            response,
            body,
            persistence,
        }
    }

    /// The end of a connection on which no further request can be found.
    fn refused(status: Status) -> Self {
        let persistence = Persistence::Close;
        let writer = Writer {
            now: HttpTime::from(SystemTime::now()),
            persistence,
            version: Version::Http11,
            has_body: true,
        };
        Self {
            response: writer.failure(status, 0),
            body: None,
            persistence,
        }
    }
}

/// What a successful response has of the file.
enum Plan {
    NotModified,
    Whole,
    Part(Range<u64>),
    Parts(Parts),
}

/// Decides on the response; the error is the status of a failure.
fn plan(request: &Request<'_>, content: &Content, now: HttpTime) -> Result<Plan, Status> {
    match request.method {
        Method::Get | Method::Head => {}
        Method::Unrecognized => return Err(Status::NotImplemented),
        _ => return Err(Status::MethodNotAllowed),
    }
    let mut decoded = Vec::new();
    let path = request.target.path().ok_or(Status::NotFound)?;
    let path = decode_path(path, &mut decoded).map_err(|error| error.status())?;
    if path.bytes != content.name.as_bytes() || path.is_directory {
        return Err(Status::NotFound);
    }
    let (headers, validators) = (&request.headers, &content.validators);
    match evaluate_preconditions(request.method, headers, validators) {
        Precondition::Proceed => {}
        Precondition::NotModified => return Ok(Plan::NotModified),
        Precondition::PreconditionFailed => return Err(Status::PreconditionFailed),
    }
    match headers.get("Range") {
        Some(value) if request.method == Method::Get && range_applies(headers, validators, now) => {
            match resolve_range(value, content.bytes.len() as u64) {
                RangeOutcome::Whole => Ok(Plan::Whole),
                RangeOutcome::Partial(range) => Ok(Plan::Part(range)),
                RangeOutcome::Parts(parts) => Ok(Plan::Parts(parts)),
                RangeOutcome::Unsatisfiable => Err(Status::RangeNotSatisfiable),
            }
        }
        _ => Ok(Plan::Whole),
    }
}

/// Writes responses of one request.
struct Writer {
    now: HttpTime,
    persistence: Persistence,
    version: Version,
    /// False for HEAD: the head is that of GET, and nothing follows it.
    has_body: bool,
}

impl Writer {
    fn success(&self, plan: Plan, content: &Content) -> Vec<u8> {
        const MEDIA_TYPE: &str = "application/octet-stream";
        let mut out = Vec::new();
        let length = content.bytes.len() as u64;
        let status = match plan {
            Plan::NotModified => Status::NotModified,
            Plan::Whole => Status::Ok,
            Plan::Part(_) | Plan::Parts(_) => Status::PartialContent,
        };
        let mut head = self
            .begin(&mut out, status)
            .field("Accept-Ranges", b"bytes");
        if let Some(etag) = content.validators.etag {
            head = head.field("ETag", etag.as_bytes());
        }
        if let Some(time) = content.validators.last_modified {
            head = head.date("Last-Modified", time);
        }
        match plan {
            Plan::NotModified => head.finish(),
            Plan::Whole => {
                head.field("Content-Type", MEDIA_TYPE.as_bytes())
                    .number("Content-Length", length)
                    .finish();
                self.body(&mut out, content, 0..length);
            }
            Plan::Part(range) => {
                head.field("Content-Type", MEDIA_TYPE.as_bytes())
                    .content_range(range.clone(), length)
                    .number("Content-Length", range.end - range.start)
                    .finish();
                self.body(&mut out, content, range);
            }
            Plan::Parts(parts) => {
                let media_type = format!("multipart/byteranges; boundary={BOUNDARY}");
                let mut body = Multipart::new(parts, BOUNDARY, MEDIA_TYPE.as_bytes(), length);
                head.field("Content-Type", media_type.as_bytes())
                    .number("Content-Length", body.remaining_bytes())
                    .finish();
                while let Some(range) = body.write_next(&mut out) {
                    self.body(&mut out, content, range);
                }
            }
        }
        out
    }

    fn failure(&self, status: Status, length: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let text = format!("{status}\n");
        let mut head = self.begin(&mut out, status);
        match status {
            Status::MethodNotAllowed => head = head.field("Allow", b"GET, HEAD"),
            Status::RangeNotSatisfiable => head = head.content_range_unsatisfied(length),
            _ => {}
        }
        head.field("Content-Type", b"text/plain")
            .number("Content-Length", text.len() as u64)
            .finish();
        if self.has_body {
            out.extend_from_slice(text.as_bytes());
        }
        out
    }

    fn begin<'b>(&self, out: &'b mut Vec<u8>, status: Status) -> HeadWriter<'b, Vec<u8>> {
        HeadWriter::new(out, status)
            .date("Date", self.now)
            .persistence(self.persistence, self.version)
    }

    fn body(&self, out: &mut Vec<u8>, content: &Content, range: Range<u64>) {
        if self.has_body {
            // The ranges of a file in memory fit.
            out.extend_from_slice(&content.bytes[range.start as usize..range.end as usize]);
        }
    }
}
