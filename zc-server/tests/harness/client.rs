//! A client that takes responses one by one, over TCP or TLS.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use super::HANG;
use super::tls::ClientTls;

/// A keep-alive connection that reads responses one by one.
pub(crate) struct Client {
    /// Its socket, on which there may be TLS.
    pub(crate) stream: TcpStream,
    tls: Option<Arc<ClientTls>>,
    pub(super) buffer: Vec<u8>,
    /// Bytes that have come, of all responses.
    received: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .get(&name.to_ascii_lowercase())
            .map(String::as_str)
    }
}

impl Client {
    /// One that speaks TLS where `TEST_TLS` says so.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self::with_tls(stream, ClientTls::new().map(Arc::new))
    }

    /// One that does not speak TLS.
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self::with_tls(stream, None)
    }

    pub(crate) fn with_tls(stream: TcpStream, tls: Option<Arc<ClientTls>>) -> Self {
        stream.set_read_timeout(Some(HANG)).expect("a timeout");
        stream.set_write_timeout(Some(HANG)).expect("a timeout");
        if tls.is_some() {
            // The end of a handshake and the request behind it go apart.
            stream.set_nodelay(true).expect("a TCP socket");
        }
        Self {
            stream,
            tls,
            buffer: Vec::new(),
            received: 0,
        }
    }

    /// Its side of TLS.
    pub(crate) fn tls(&self) -> &ClientTls {
        self.tls.as_deref().expect("it speaks TLS")
    }

    /// Sends these bytes; with TLS behind the handshake, which the server must answer.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.writer().write_all(bytes).expect("the server reads");
    }

    /// Sends while this client is read by another thread.
    pub(crate) fn writer(&self) -> Writer {
        Writer {
            stream: self.stream.try_clone().expect("a socket"),
            tls: self.tls.clone(),
        }
    }

    /// With TLS: waits until the handshake is over.
    pub(crate) fn shake_hands(&self) {
        if let Some(tls) = &self.tls {
            tls.shake_hands(&self.stream).expect("a handshake");
        }
    }

    /// Tells the server that nothing more comes.
    pub(crate) fn shutdown_write(&self) {
        self.writer().shutdown().expect("half-close");
    }

    /// Waits until a response has begun to come.
    pub(crate) fn wait_until_begun(&mut self) {
        while self.tls.is_some() && self.buffer.is_empty() {
            assert!(self.more().expect("the beginning") > 0, "it has ended");
        }
        if self.buffer.is_empty() {
            self.stream.peek(&mut [0]).expect("the beginning");
        }
    }

    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
        self.response(false)
    }

    /// What comes next, into the buffer. Zero at the end, which with TLS is told by close_notify.
    pub(super) fn more(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 65536];
        loop {
            let received = match &self.tls {
                Some(tls) => tls.receive(&self.stream, &mut self.buffer),
                None => self.stream.read(&mut chunk).inspect(|&count| {
                    self.buffer.extend_from_slice(&chunk[..count]);
                }),
            };
            match received {
                // A read with a time limit ends so where a machine stops for a moment.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(count) => {
                    self.received += count;
                    return Ok(count);
                }
                failed => return failed,
            }
        }
    }

    /// Sends a request. Its response, or why there is none; `None` where the connection had ended before, and
    /// nothing came.
    pub(crate) fn try_request(&mut self, request: &[u8]) -> Option<Result<Response, String>> {
        let before = self.received;
        let answer = match self.writer().write_all(request) {
            Ok(()) => self.try_response(false),
            Err(error) => Err(error.to_string()),
        };
        (answer.is_ok() || self.received > before).then_some(answer)
    }

    /// The next response, with as much body as its head announces.
    pub(crate) fn response(&mut self, head_only: bool) -> Response {
        self.try_response(head_only)
            .unwrap_or_else(|got| panic!("the connection ended inside a response: {got}"))
    }

    /// As `response`; when the connection ends before the response does, what came of its body.
    pub(crate) fn try_response(&mut self, head_only: bool) -> Result<Response, String> {
        let head = self.take_until(b"\r\n\r\n")?;
        let head = String::from_utf8(head).expect("heads are ASCII");
        let mut lines = head.split("\r\n");
        let status_line = lines.next().expect("a status line");
        assert!(status_line.starts_with("HTTP/1.1 "), "{status_line}");
        let status: u16 = status_line[9..12].parse().expect("a status code");
        let mut fields = BTreeMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a field line");
            let earlier = fields.insert(name.to_ascii_lowercase(), value.to_owned());
            assert!(earlier.is_none(), "{name} twice");
        }
        let bodiless = head_only || status == 304 || status == 204;
        let is_chunked = fields.get("transfer-encoding").map(String::as_str) == Some("chunked");
        if is_chunked && !bodiless {
            let body = self.chunks()?;
            return Ok(Response {
                status,
                fields,
                body,
            });
        }
        let length = match fields.get("content-length") {
            Some(value) if !bodiless => value.parse::<usize>().expect("a length"),
            _ => 0,
        };
        while self.buffer.len() < length {
            match self.more() {
                Ok(0) => return Err(format!("{} of {length} bytes of body", self.buffer.len())),
                Ok(_) => {}
                Err(error) => {
                    return Err(format!("{} of {length} bytes: {error}", self.buffer.len()));
                }
            }
        }
        let body = self.buffer.drain(..length).collect();
        Ok(Response {
            status,
            fields,
            body,
        })
    }

    /// The bytes of a body in chunks, to the last of them.
    fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = self.take_until(b"\r\n")?;
            let size = String::from_utf8(line).expect("a size in ASCII");
            let size = usize::from_str_radix(size.trim_end(), 16).expect("a size");
            while self.buffer.len() < size + 2 {
                if self.more().map_err(|error| error.to_string())? == 0 {
                    return Err(format!("{} bytes of chunks", body.len()));
                }
            }
            body.extend(self.buffer.drain(..size));
            let end: Vec<u8> = self.buffer.drain(..2).collect();
            assert_eq!(end, b"\r\n", "the end of a chunk");
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Everything up to and with `mark`.
    fn take_until(&mut self, mark: &[u8]) -> Result<Vec<u8>, String> {
        loop {
            let found = self.buffer.windows(mark.len()).position(|at| at == mark);
            if let Some(at) = found {
                return Ok(self.buffer.drain(..at + mark.len()).collect());
            }
            if self.more().map_err(|error| error.to_string())? == 0 {
                return Err("the connection ended".to_owned());
            }
        }
    }

    /// Asserts that the server sends nothing more and ends the connection in order.
    pub(crate) fn expect_end(&mut self) {
        let count = self.more().expect("an orderly end");
        assert_eq!(
            (count, self.buffer.len()),
            (0, 0),
            "bytes after the last response"
        );
    }

    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }
}

/// What comes, response or not.
impl Read for Client {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() && self.more()? == 0 {
            return Ok(0);
        }
        let count = into.len().min(self.buffer.len());
        into[..count].copy_from_slice(&self.buffer[..count]);
        self.buffer.drain(..count);
        Ok(count)
    }
}

/// What a [`Client`] sends by.
pub(crate) struct Writer {
    stream: TcpStream,
    tls: Option<Arc<ClientTls>>,
}

impl Writer {
    /// Tells the server that nothing more comes.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        if let Some(tls) = &self.tls {
            tls.close(&self.stream)?;
        }
        self.stream.shutdown(Shutdown::Write)
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.tls {
            Some(tls) => tls.send(&self.stream, bytes).map(|()| bytes.len()),
            None => self.stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
