//! Starts the real binary on a free port over a temporary root, and talks to it over real sockets.
#![allow(dead_code, reason = "each test file uses its own part of the harness")]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{iter, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

pub(crate) mod beside;
pub(crate) mod bounded;
pub(crate) mod client;
pub(crate) mod clients;
pub(crate) mod codings;
pub(crate) mod haproxy;
pub(crate) mod load;
pub(crate) mod mounts;
pub(crate) mod multipart;
pub(crate) mod nginx;
pub(crate) mod own_page;
pub(crate) mod reserved;
pub(crate) mod segments;
pub(crate) mod tls;
pub(crate) mod workers;

use bounded::{Bounded, wait_until_readable};
pub(crate) use client::{Client, Response};
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
            thread::yield_now();
        } else {
            thread::park_timeout(PAUSE);
        }
    }
}

pub(crate) struct Server {
    child: Child,
    /// Its workers, by `--threads`.
    threads: usize,
    pub(crate) address: SocketAddr,
    /// Where it is asked by HTTP.
    pub(crate) plain_address: SocketAddr,
    stdout: Option<BufReader<ChildStdout>>,
    /// What it said up to the first address.
    said: String,
    pub(crate) root: TempDir,
    /// The certificate, where the address is one of HTTPS.
    certificate: Option<tls::CertificateFiles>,
    stderr: Box<dyn BufRead + Send + Sync>,
}

/// A temporary root that every user may read.
pub(crate) fn temp_root() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().expect("a temporary directory");
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    root
}

pub(crate) fn binary() -> Command {
    // In a virtual machine it is not where it was built.
    let built = std::env::var_os("TEST_SERVER");
    let mut command = Command::new(built.unwrap_or_else(|| env!("CARGO_BIN_EXE_zc-server").into()));
    for (name, _) in std::env::vars() {
        if name.starts_with("ZC_") {
            command.env_remove(name);
        }
    }
    // Where a test is not about these limits, a busy machine must not come near them.
    for limit in ["HANDSHAKE", "HEADER", "IDLE", "SEND", "DISK"] {
        command.env(format!("ZC_{limit}_TIMEOUT"), "10m");
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
    pub(crate) fn start_in_memory(options: &[&str]) -> Self {
        let root = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| temp_root());
        let served = root.path().to_owned();
        Self::start_with(binary(), root, &served, options)
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

    /// One worker over a new, empty root, which is asked by HTTPS.
    pub(crate) fn start_https(options: &[&str]) -> Self {
        let root = temp_root();
        let served = root.path().to_owned();
        Self::start_https_over(root, &served, options)
    }

    /// The same over a root that is there.
    pub(crate) fn start_https_over(root: TempDir, served: &Path, options: &[&str]) -> Self {
        let certificate = Some(tls::CertificateFiles::write());
        Self::start_as(binary(), root, served, options, certificate)
    }

    /// `command` is the binary, or something that becomes it.
    pub(crate) fn start_with(
        command: Command,
        root: TempDir,
        served: &Path,
        options: &[&str],
    ) -> Self {
        // A test with listeners of HTTPS that are its own is about HTTP beside it.
        let has_own = options.iter().any(|option| option.starts_with("--tls-"));
        let certificate = (!has_own && tls::version().is_some()).then(tls::CertificateFiles::write);
        Self::start_as(command, root, served, options, certificate)
    }

    fn start_as(
        mut command: Command,
        root: TempDir,
        served: &Path,
        options: &[&str],
        certificate: Option<tls::CertificateFiles>,
    ) -> Self {
        command.args(["--bind", "127.0.0.1:0", "--access-log", "json"]);
        let threads = options.iter().position(|&option| option == "--threads");
        let threads = threads.map_or("1", |name| options[name + 1]);
        if !options.contains(&"--threads") {
            command.args(["--threads", threads]);
        }
        let threads = threads.parse().expect("a number of threads");
        if let Some(certificate) = &certificate {
            command.args(certificate.options());
        }
        command.args(options).arg(served);
        let mut server = Self::start_at(command, root, certificate);
        server.threads = threads;
        server
    }

    /// `command` is the binary with all its arguments. It is asked by HTTP.
    pub(crate) fn start_from(command: Command, root: TempDir) -> Self {
        Self::start_at(command, root, None)
    }

    fn start_at(
        mut command: Command,
        root: TempDir,
        certificate: Option<tls::CertificateFiles>,
    ) -> Self {
        let scheme = if certificate.is_some() {
            "https://"
        } else {
            "http://"
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stdout = child.stdout.take().map(BufReader::new);
        let mut stderr = BufReader::new(Bounded(child.stderr.take().expect("piped")));
        let mut said = String::new();
        let mut plain_address = None;
        let address = loop {
            let mut line = String::new();
            let count = stderr.read_line(&mut line).expect("stderr is readable");
            assert!(count > 0, "the server ended before it listened: {said}");
            said.push_str(&line);
            let address_behind = |scheme| {
                let rest = line.trim().strip_prefix(scheme)?;
                let address = rest.split('/').next().expect("a piece");
                Some(address.parse().expect("an address"))
            };
            plain_address = plain_address.or_else(|| address_behind("http://"));
            if let Some(address) = address_behind(scheme) {
                break address;
            }
        };
        Self {
            child,
            threads: 1,
            address,
            plain_address: plain_address.unwrap_or(address),
            stdout,
            said,
            root,
            certificate,
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
        self.client(TcpStream::connect(self.address).expect("the server accepts"))
    }

    /// Whether it is asked by HTTPS.
    pub(crate) fn is_tls(&self) -> bool {
        self.certificate.is_some()
    }

    /// A client on a connection to this server.
    pub(crate) fn client(&self, stream: TcpStream) -> Client {
        if self.is_tls() {
            Client::new(stream)
        } else {
            Client::plain(stream)
        }
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
        self.wait_until_settled_by(target, "");
    }

    /// The same where requests need these fields.
    pub(crate) fn wait_until_settled_by(&self, target: &str, fields: &str) {
        wait_until("the file has a date", || {
            self.head_with(target, fields)
                .field("last-modified")
                .is_some()
        });
        let settled = Instant::now() + SETTLED;
        while let Some(rest) = settled.checked_duration_since(Instant::now()) {
            thread::park_timeout(rest);
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
            wait_until_readable(stdout.get_ref().as_fd()).expect("a line of the log");
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

    /// What it said and no test has read. A process that it started may keep its end open.
    fn rest_said(&mut self) -> String {
        let mut stderr = std::mem::replace(&mut self.stderr, Box::new(std::io::empty()));
        let (lines, said) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|count| count > 0)
                && lines.send(std::mem::take(&mut line)).is_ok()
            {}
        });
        iter::from_fn(|| said.recv_timeout(Duration::from_secs(1)).ok()).collect()
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
        let ended = self.child.try_wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the server, {ended:?}, had said:\n{}", self.rest_said());
        }
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
