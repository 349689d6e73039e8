//! Downloads that go on in the background of a measurement: greedy ones, or ones of cold files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::socket::{MsgFlags, recv};

use crate::load::{Head, read_head};

/// What is discarded in one call at most, in bytes.
const DISCARD_BYTES: usize = 1 << 20;

/// Downloads of `targets` over so many connections, pass after pass, for as long as the process lives.
#[derive(Debug)]
pub struct Streams {
    /// Where the server listens.
    pub address: SocketAddr,
    /// What is downloaded.
    pub targets: Vec<String>,
    /// Downloads at a time.
    pub connections: usize,
    /// The directory in which the targets lie, when they are to be cold at the beginning of each
    /// pass.
    pub evict: Option<PathBuf>,
}

impl Streams {
    /// Downloads until standard input ends; answers bytes per second. The time in which files are
    /// made cold does not count.
    ///
    /// # Errors
    ///
    /// What reading standard input reports. Connections that fail are opened again.
    pub fn run_until_input_ends(self) -> io::Result<f64> {
        let clock = std::sync::Arc::new(Clock::default());
        let worker = std::sync::Arc::clone(&clock);
        // It is not waited for: it may hang on a server that does not answer.
        std::thread::spawn(move || self.run(&worker));
        println!("ready");
        io::stdout().flush()?;
        io::copy(&mut io::stdin(), &mut io::sink())?;
        Ok(clock.bytes_per_second())
    }

    fn run(&self, clock: &Clock) {
        loop {
            if let Some(root) = &self.evict {
                let paths = self.targets.iter();
                let paths = paths.map(|target| root.join(target.trim_start_matches('/')));
                if let Err(error) = evict(&paths.collect::<Vec<_>>()) {
                    eprintln!("cannot make files cold: {error}");
                }
            }
            clock.start();
            std::thread::scope(|scope| {
                for stream in 0..self.connections {
                    let own = self.targets.iter().skip(stream).step_by(self.connections);
                    scope.spawn(move || download(self.address, own, clock));
                }
            });
            clock.stop();
        }
    }
}

/// Bytes, and the time in which they came.
#[derive(Debug, Default)]
struct Clock {
    bytes: AtomicU64,
    /// Nanoseconds of the passes that are over.
    past_ns: AtomicU64,
    running_since: std::sync::Mutex<Option<Instant>>,
}

impl Clock {
    fn running_since(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.running_since
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn start(&self) {
        *self.running_since() = Some(Instant::now());
    }

    fn stop(&self) {
        if let Some(since) = self.running_since().take() {
            self.past_ns
                .fetch_add(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
    }

    fn bytes_per_second(&self) -> f64 {
        self.stop();
        let seconds = self.past_ns.load(Ordering::Relaxed) as f64 / 1e9;
        self.bytes.load(Ordering::Relaxed) as f64 / seconds.max(1e-9)
    }
}

/// Downloads each target in turn, over one connection while it lasts.
fn download<'t>(address: SocketAddr, targets: impl Iterator<Item = &'t String>, clock: &Clock) {
    let mut connection = None;
    for target in targets {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => match TcpStream::connect(address) {
                Ok(stream) => stream,
                Err(_) => continue,
            },
        };
        if fetch(&mut stream, address, target, clock).is_ok() {
            connection = Some(stream);
        }
    }
}

fn fetch(
    stream: &mut TcpStream,
    address: SocketAddr,
    target: &str,
    clock: &Clock,
) -> io::Result<()> {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let mut received = Vec::new();
    let mut chunk = vec![0; DISCARD_BYTES];
    let Head {
        bytes, body_bytes, ..
    } = loop {
        let count = stream.read(&mut chunk[..4096])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(&chunk[..count]);
        if let Some(head) = read_head(&received)? {
            break head;
        }
    };
    let mut got = (received.len() - bytes) as u64;
    clock.bytes.fetch_add(got, Ordering::Relaxed);
    while got < body_bytes {
        let wanted = (body_bytes - got).min(DISCARD_BYTES as u64) as usize;
        match recv(
            stream.as_raw_fd(),
            &mut chunk[..wanted],
            MsgFlags::MSG_TRUNC,
        ) {
            Err(Errno::EINTR) => {}
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(errno) => return Err(errno.into()),
            Ok(count) => {
                got += count as u64;
                clock.bytes.fetch_add(count as u64, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

/// Drops files from the page cache.
///
/// # Errors
///
/// What opening and synchronising them reports.
pub fn evict(files: &[impl AsRef<Path>]) -> io::Result<()> {
    for path in files {
        let file = File::open(path)?;
        // Pages that were never written out cannot be dropped.
        file.sync_all()?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    }
    Ok(())
}
