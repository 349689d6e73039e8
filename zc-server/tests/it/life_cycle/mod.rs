//! The life of a server: how it starts, is told to reload and to stop, and hands over to the next one.

mod cluster;
mod drain_delay;
mod first_requests;
mod fleet;
mod inherited;
mod manager;
mod rolling;
mod sharing;
mod signals;
mod start;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::bounded::Bounded;
use crate::harness::tls::ClientTls;
use crate::harness::{Client, wait_until};

/// A server whose listeners the test knows before it starts. It is ended when it is dropped.
struct Node {
    child: Child,
    stderr: BufReader<Bounded<ChildStderr>>,
    /// What it has said so far.
    said: String,
}

impl Node {
    /// `command` is the binary with all its arguments, or becomes it.
    fn spawn(command: &mut Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let stderr = BufReader::new(Bounded(child.stderr.take().expect("piped")));
        Self {
            child,
            stderr,
            said: String::new(),
        }
    }

    /// The same, once it listens.
    fn start(command: &mut Command) -> Self {
        let mut node = Self::spawn(command);
        node.wait_for("press Ctrl-C to stop");
        node
    }

    /// Reads what it says up to the line with these words.
    #[track_caller]
    fn wait_for(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let count = self.stderr.read_line(&mut line).expect("text");
            assert!(count > 0, "it ended without {words}: {}", self.said);
            self.said.push_str(&line);
            if line.contains(words) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("our own child");
    }

    /// Waits for its end. Answers its status and all that it has said.
    fn wait(mut self) -> (ExitStatus, String) {
        let mut said = std::mem::take(&mut self.said);
        self.stderr.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("our own child"), said)
    }

    /// Stops it, which must end in order.
    #[track_caller]
    fn stop(self) -> String {
        self.signal(Signal::SIGTERM);
        let (status, said) = self.wait();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file whose body is `found`.
const FOUND: &str = "/f";

/// How clients of a [`Load`] make a client of a connection.
type Speak = fn(TcpStream) -> Client;

/// Clients that ask for files, whose bodies are `found`, all the time, each time on a new connection.
struct Load {
    tally: Arc<Tally>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Tally {
    answered: AtomicUsize,
    /// What came in place of an answer.
    failed: std::sync::Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Load {
    /// They ask for `/f`.
    fn start(address: SocketAddr, clients: usize, speak: Speak) -> Self {
        Self::of_targets(address, clients, speak, &[FOUND.to_owned()])
    }

    /// Each asks for all targets in turn.
    fn of_targets(address: SocketAddr, clients: usize, speak: Speak, targets: &[String]) -> Self {
        let tally = Arc::<Tally>::default();
        let thread = |_| {
            let (tally, targets) = (Arc::clone(&tally), targets.to_vec());
            std::thread::spawn(move || {
                for target in targets.iter().cycle() {
                    if tally.is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    match ask(address, speak, target) {
                        Ok(()) => drop(tally.answered.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => tally.failed.lock().expect("no panic").push(error),
                    }
                }
            })
        };
        Self {
            threads: (0..clients).map(thread).collect(),
            tally,
        }
    }

    fn answered(&self) -> usize {
        self.tally.answered.load(Ordering::Relaxed)
    }

    fn failures(&self) -> usize {
        self.tally.failed.lock().expect("no panic").len()
    }

    /// Waits until so many more are answered.
    #[track_caller]
    fn wait_for(&self, count: usize) {
        let enough = self.answered() + count;
        wait_until("clients are answered", || self.answered() >= enough);
    }

    /// Ends. Answers how many were answered, and what came in place of the other answers.
    fn finish(mut self) -> (usize, Vec<String>) {
        self.tally.is_over.store(true, Ordering::Relaxed);
        for thread in std::mem::take(&mut self.threads) {
            thread.join().expect("no panic");
        }
        let failed = std::mem::take(&mut *self.tally.failed.lock().expect("no panic"));
        (self.answered(), failed)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // In a test that fails nobody waits for it.
        self.tally.is_over.store(true, Ordering::Relaxed);
    }
}

fn ask(address: SocketAddr, speak: Speak, target: &str) -> Result<(), String> {
    let stream = TcpStream::connect(address).map_err(|error| format!("refused: {error}"))?;
    let mut client = speak(stream);
    let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    let answer = client.try_request(request.as_bytes());
    let response = answer.unwrap_or_else(|| Err("it ended at once".to_owned()))?;
    match (response.status, &response.body[..]) {
        (200, b"found") => Ok(()),
        (status, _) => Err(format!("status {status}")),
    }
}

fn by_http(stream: TcpStream) -> Client {
    Client::plain(stream)
}

fn by_https(stream: TcpStream) -> Client {
    use std::sync::LazyLock;
    static CONFIG: LazyLock<Arc<rustls::ClientConfig>> =
        LazyLock::new(|| Arc::new(crate::harness::tls::client_config(&rustls::version::TLS13)));
    let tls = ClientTls::with(Arc::clone(&CONFIG));
    Client::with_tls(stream, Some(Arc::new(tls)))
}
