//! Servers behind HAProxy that answer with their number, and nothing else.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The query of a request whose response is held back until [`Backends::release`] is called with its number.
pub(super) const HELD: &str = "?held=";
/// A response is held no longer.
const HELD_MAX: Duration = Duration::from_secs(60);

/// One for each node of a ring.
#[derive(Debug)]
pub(super) struct Backends {
    all: Vec<Backend>,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    has_ended: bool,
    streams: Vec<TcpStream>,
    last_check: Option<Instant>,
}

/// Responses with lower numbers go on.
#[derive(Debug, Default)]
struct Gate {
    released: Mutex<u64>,
    changed: Condvar,
}

impl Backends {
    pub(super) fn start(count: usize) -> anyhow::Result<Self> {
        let gate = Arc::new(Gate::default());
        let mut all = Vec::with_capacity(count);
        for number in 0..count {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let address = listener.local_addr()?;
            let shared = Arc::new(Shared::default());
            let (of_its_own, gate) = (Arc::clone(&shared), Arc::clone(&gate));
            thread::spawn(move || accept(&listener, number, &of_its_own, &gate));
            all.push(Backend { address, shared });
        }
        Ok(Self { all, gate })
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.all.iter().map(|backend| backend.address)
    }

    /// Lets the responses end whose numbers are lower.
    pub(super) fn release(&self, number: u64) {
        *lock(&self.gate.released) = number;
        self.gate.changed.notify_all();
    }

    /// When HAProxy last checked a backend.
    pub(super) fn last_check(&self, number: usize) -> Option<Instant> {
        lock(&self.all[number].shared.state).last_check
    }

    /// Ends a backend as SIGKILL ends a process: its listener and all of its connections are closed.
    pub(super) fn kill(&self, number: usize) {
        let backend = &self.all[number];
        let mut state = lock(&backend.shared.state);
        state.has_ended = true;
        for stream in state.streams.drain(..) {
            // Refused where the other end has closed it.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        // Its thread closes the listener when it has accepted this one.
        let _ = TcpStream::connect(backend.address);
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        self.release(u64::MAX);
        for number in 0..self.all.len() {
            self.kill(number);
        }
    }
}

/// A lock whose holder has panicked is taken all the same: the check fails by that panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, number: usize, shared: &Arc<Shared>, gate: &Arc<Gate>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        let mut state = lock(&shared.state);
        if state.has_ended {
            return;
        }
        let Ok(copy) = stream.try_clone() else { return };
        state.streams.push(copy);
        drop(state);
        let (shared, gate) = (Arc::clone(shared), Arc::clone(gate));
        // A connection that fails concerns its client alone, which counts it.
        thread::spawn(move || drop(serve(&stream, number, &shared, &gate)));
    }
}

fn serve(stream: &TcpStream, number: usize, shared: &Shared, gate: &Gate) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 && line != "\r\n" {
            line.clear();
        }
        if request.contains(" /readyz ") {
            lock(&shared.state).last_check = Some(Instant::now());
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nNode: {number}\r\n\r\n");
        let Some(held) = held(&request) else {
            writer.write_all(format!("{head}ok").as_bytes())?;
            continue;
        };
        writer.write_all(format!("{head}o").as_bytes())?;
        let released = lock(&gate.released);
        let is_held = |released: &mut u64| *released <= held;
        drop(gate.changed.wait_timeout_while(released, HELD_MAX, is_held));
        writer.write_all(b"k")?;
    }
}

/// The number in a request line `GET /path?held=7 HTTP/1.1`.
fn held(request: &str) -> Option<u64> {
    let (_, rest) = request.split_once(HELD)?;
    rest.split(' ').next()?.parse().ok()
}
