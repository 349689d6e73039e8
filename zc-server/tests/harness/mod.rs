//! Starts the real binary on a free port over a temporary root, and talks to it over real sockets.
#![allow(dead_code, reason = "each test file uses its own part of the harness")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) mod beside;
pub(crate) mod clients;
pub(crate) mod codings;
pub(crate) mod load;
pub(crate) mod mounts;
pub(crate) mod multipart;
pub(crate) mod nginx;
pub(crate) mod segments;
pub(crate) mod workers;

use workers::Workers;

/// A wait that only ends a test that hangs; no test passes because of it. The threads of the disk have a low
/// priority: beside programs that take all of the processor a second of theirs takes a minute.
pub(crate) const HANG: Duration = Duration::from_secs(300);

/// How old the times of a file must be before it counts as settled, a tick of the coarse clock, and a
/// little more.
pub(crate) const SETTLED: Duration = Duration::from_millis(40);

/// How often [`wait_until`] tries without a pause: most of what is waited for is there by then.
const TRIES_AT_ONCE: usize = 100;
/// Its pause after that, so that who waits leaves the processor to whom it waits for.
const PAUSE: Duration = Duration::from_millis(1);

/// Tries again and again until `condition` holds. When that hangs it fails, and says `what` was waited for.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let hang = Instant::now() + HANG;
    let mut tries = 0;
    while !condition() {
        assert!(Instant::now() < hang, "this did not come: {what}");
        tries += 1;
        if tries < TRIES_AT_ONCE {
            std::thread::yield_now();
        } else {
            std::thread::park_timeout(PAUSE);
        }
    }
}

pub(crate) struct Server {
    child: Child,
    /// Its workers, by `--threads`.
    threads: usize,
    pub(crate) address: SocketAddr,
    stdout: Option<BufReader<ChildStdout>>,
    /// What it said up to the first address.
    said: String,
    pub(crate) root: tempfile::TempDir,
    stderr: Box<dyn BufRead + Send + Sync>,
}

/// A temporary root that every user may read.
pub(crate) fn temp_root() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().expect("a temporary directory");
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    root
}

pub(crate) fn binary() -> Command {
    // In a virtual machine it is not where it was built.
    let built = std::env::var_os("TEST_SERVER");
    let mut command = Command::new(built.unwrap_or(env!("CARGO_BIN_EXE_zc-server").into()));
    for (name, _) in std::env::vars() {
        if name.starts_with("ZC_") {
            command.env_remove(name);
        }
    }
    // Where a test is not about these limits, a busy machine must not come near them.
    for limit in ["ZC_HEADER_TIMEOUT", "ZC_SEND_TIMEOUT", "ZC_DISK_TIMEOUT"] {
        command.env(limit, "10m");
    }
    // All tests hold whatever the cache keeps: `.ci/run` runs them without one, too.
    if let Some(files) = std::env::var_os("TEST_CACHE_FILES") {
        command.env("ZC_CACHE_FILES", files);
    }
    command
}

/// The binary in this directory, for users that may not look into the one where it was built.
pub(crate) fn binary_in(directory: &Path) -> PathBuf {
    let built = env!("CARGO_BIN_EXE_zc-server");
    let path = directory.join("zc-server");
    if std::fs::hard_link(built, &path).is_err() {
        // Copied by another process: a descriptor to write to it would be passed on to programs that
        // other tests start meanwhile, and it could not be started as long as they run.
        let copied = Command::new("cp").arg(built).arg(&path).status();
        assert!(copied.expect("cp").success());
    }
    path
}

impl Server {
    /// One worker over a new, empty root.
    pub(crate) fn start(options: &[&str]) -> Self {
        let root = temp_root();
        let served = root.path().to_owned();
        Self::start_with(binary(), root, &served, options)
    }

    /// The same over a root in memory, where there is a place for it: a disk takes seconds to make
    /// thousands of files.
    pub(crate) fn start_in_memory() -> Self {
        let root = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| temp_root());
        let served = root.path().to_owned();
        Self::start_with(binary(), root, &served, &[])
    }

    /// One worker over a new root with these files.
    pub(crate) fn start_over(files: &[(&str, &[u8])], options: &[&str]) -> Self {
        let root = temp_root();
        for (name, bytes) in files {
            let path = root.path().join(name);
            let parent = path.parent().expect("below the root");
            std::fs::create_dir_all(parent).expect("a directory");
            std::fs::write(path, bytes).expect("a file");
        }
        let served = root.path().to_owned();
        Self::start_with(binary(), root, &served, options)
    }

    /// `command` is the binary, or something that becomes it.
    pub(crate) fn start_with(
        mut command: Command,
        root: tempfile::TempDir,
        served: &Path,
        options: &[&str],
    ) -> Self {
        command.args(["--bind", "127.0.0.1:0", "--access-log", "json"]);
        let threads = options.iter().position(|&option| option == "--threads");
        let threads = threads.map_or("1", |name| options[name + 1]);
        if !options.contains(&"--threads") {
            command.args(["--threads", threads]);
        }
        let threads = threads.parse().expect("a number of threads");
        command.args(options).arg(served);
        let mut server = Self::start_from(command, root);
        server.threads = threads;
        server
    }

    /// `command` is the binary with all its arguments.
    pub(crate) fn start_from(mut command: Command, root: tempfile::TempDir) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stdout = child.stdout.take().map(BufReader::new);
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            let count = stderr.read_line(&mut line).expect("stderr is readable");
            assert!(count > 0, "the server ended before it listened: {said}");
            said.push_str(&line);
            if let Some(rest) = line.trim().strip_prefix("http://") {
                let address = rest.split('/').next().expect("a piece");
                break address.parse().expect("an address");
            }
        };
        Self {
            child,
            threads: 1,
            address,
            stdout,
            said,
            root,
            stderr: Box::new(stderr),
        }
    }

    /// From now on nobody reads what it says.
    pub(crate) fn close_stderr(&mut self) {
        self.stderr = Box::new(std::io::empty());
    }

    /// All that it said at its start, which ends in how to stop it.
    pub(crate) fn banner(mut self) -> String {
        let mut said = std::mem::take(&mut self.said);
        while !said.contains("Ctrl-C") {
            let count = self
                .stderr
                .read_line(&mut said)
                .expect("stderr is readable");
            assert!(count > 0, "the server ended: {said}");
        }
        said
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).expect("a directory");
        }
        std::fs::write(&path, bytes).expect("a file");
        // As though it had been written a minute ago: of a file that was written in this second not all
        // is said.
        let file = std::fs::File::options().write(true).open(path);
        let written = std::time::SystemTime::now() - Duration::from_secs(60);
        file.and_then(|file| file.set_modified(written))
            .expect("a time");
    }

    pub(crate) fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).expect("the server accepts"))
    }

    /// One GET with these field lines, each ended by CR LF, on a connection of its own.
    pub(crate) fn get_with(&self, target: &str, fields: &str) -> Response {
        self.request(&format!(
            "GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{fields}\r\n"
        ))
    }

    /// The same by HEAD.
    pub(crate) fn head_with(&self, target: &str, fields: &str) -> Response {
        self.request(&format!(
            "HEAD {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{fields}\r\n"
        ))
    }

    /// Waits until the file at `target`, which changes no more, has its tag and its date and may be
    /// kept: until the clock that gave it its times has moved on.
    pub(crate) fn wait_until_settled(&self, target: &str) {
        wait_until("the file has a date", || {
            self.head_with(target, "").field("last-modified").is_some()
        });
        let settled = Instant::now() + SETTLED;
        while let Some(rest) = settled.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(rest);
        }
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Response {
        self.request(&format!(
            "GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
        ))
    }

    pub(crate) fn request(&self, request: &str) -> Response {
        let mut client = self.connect();
        client.send(request.as_bytes());
        let head_only = request.starts_with("HEAD ");
        client.response(head_only)
    }

    /// The next line of the access log; blocks until it is there.
    pub(crate) fn log(&mut self) -> serde_json::Value {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("not taken");
        if !stdout.buffer().contains(&b'\n') {
            let mut fds = [PollFd::new(stdout.get_ref().as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(HANG).expect("some minutes");
            assert_eq!(poll(&mut fds, timeout), Ok(1), "no line of the log came");
        }
        stdout.read_line(&mut line).expect("stdout is readable");
        assert!(!line.is_empty(), "the access log ended");
        serde_json::from_str(&line).expect("a line of JSON")
    }

    /// What is readable when a line of the access log is there.
    pub(crate) fn log_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        let stdout = self.stdout.as_ref().expect("not taken");
        assert!(stdout.buffer().is_empty(), "a line is there already");
        stdout.get_ref().as_fd()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("our own child");
    }

    /// The next line on standard error with these words; blocks until it is there.
    pub(crate) fn said_with(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let count = self
                .stderr
                .read_line(&mut line)
                .expect("stderr is readable");
            assert!(count > 0, "the server ended and did not say {words}");
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Waits for its end; answers its status and what it said on standard error.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.stderr
            .read_to_string(&mut said)
            .expect("stderr is readable");
        let status = self.child.wait().expect("our own child");
        (status, said)
    }

    /// The threads that serve, each of which has begun.
    pub(crate) fn workers(&self) -> Workers {
        Workers::of(self.pid(), self.threads)
    }

    /// Open descriptors of the process.
    pub(crate) fn descriptors(&self) -> usize {
        self.descriptor_paths().len()
    }

    /// Open descriptors of the process, as links to what is open.
    pub(crate) fn descriptor_paths(&self) -> Vec<PathBuf> {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("our own child")
            .map(|entry| entry.expect("our own child").path())
            .collect()
    }

    /// From now on it may open so many descriptors more, unless it closes others.
    pub(crate) fn leave_descriptors(&self, spare: usize) {
        let open = |number: &usize| {
            // A link that leads nowhere a path could: it is there all the same.
            std::fs::symlink_metadata(format!("/proc/{}/fd/{number}", self.pid())).is_ok()
        };
        // The kernel gives the lowest that is free, and none from the limit on.
        let limit = (0..).filter(|number| !open(number)).nth(spare);
        let limit = limit.expect("numbers go on");
        let status = Command::new("prlimit")
            .arg(format!("--pid={}", self.pid()))
            .arg(format!("--nofile={limit}:{limit}"))
            .status()
            .expect("prlimit of util-linux");
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A keep-alive connection that reads responses one by one.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
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
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(HANG)).expect("a timeout");
        stream.set_write_timeout(Some(HANG)).expect("a timeout");
        Self {
            stream,
            buffer: Vec::new(),
            received: 0,
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
        self.response(false)
    }

    fn more(&mut self) -> std::io::Result<usize> {
        let mut chunk = [0; 65536];
        loop {
            match self.stream.read(&mut chunk) {
                // A read with a time limit ends so where a machine stops for a moment.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(count) => {
                    self.buffer.extend_from_slice(&chunk[..count]);
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
        let answer = match self.stream.write_all(request) {
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

/// Bytes that differ at every place within any few KiB, the same for the same seed.
pub(crate) fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
