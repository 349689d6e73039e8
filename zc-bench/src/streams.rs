//! Downloads that go on in the background of a measurement, greedy ones or ones of cold files; and the
//! same files read from the disk without a server, to compare with.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::socket::{MsgFlags, recv};

use crate::load::{Head, read_head};

/// What is discarded in one call at most, in bytes.
const DISCARD_BYTES: usize = 1 << 20;

/// What is dropped from the page cache in one call, in bytes: others wait for its end. A multiple of the
/// largest folio, since one that is not dropped as a whole is kept.
const EVICT_BYTES: usize = 4 << 20;

/// Where the bytes of [`Streams`] come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A server that listens here.
    Server(SocketAddr),
    /// The files below this directory, by `read(2)`.
    Disk(PathBuf),
}

/// So many streams of `targets`, pass after pass, for as long as the process lives.
#[derive(Debug)]
pub struct Streams {
    /// Where they come from.
    pub source: Source,
    /// What is downloaded, or read.
    pub targets: Vec<String>,
    /// Streams at a time; each goes through its own part of the targets, one after the other.
    pub streams: usize,
    /// The directory in which the targets lie, when they are to be cold at the beginning of each
    /// pass.
    pub evict: Option<PathBuf>,
}

impl Streams {
    /// Goes on until standard input ends; answers bytes per second. The time in which files are
    /// made cold does not count.
    ///
    /// # Errors
    ///
    /// What reading standard input reports, and opening the files that are to be cold. Connections that
    /// fail are opened again.
    pub fn run_until_input_ends(self) -> io::Result<f64> {
        let clock = std::sync::Arc::new(Clock::default());
        let worker = std::sync::Arc::clone(&clock);
        let cold = match &self.evict {
            Some(root) => written_out(root, &self.targets)?,
            None => Vec::new(),
        };
        // It is not waited for: it may hang on a server that does not answer.
        std::thread::spawn(move || self.run(&cold, &worker));
        println!("ready");
        io::stdout().flush()?;
        io::copy(&mut io::stdin(), &mut io::sink())?;
        Ok(clock.bytes_per_second())
    }

    fn run(&self, cold: &[File], clock: &Clock) {
        // Threads, connections and memory are kept from pass to pass: what a pass measures is the
        // reading of files. A thread that began with it would have its stack and its block made then.
        let turn = Barrier::new(self.streams + 1);
        std::thread::scope(|scope| {
            for stream in 0..self.streams {
                let turn = &turn;
                scope.spawn(move || self.stream(stream, turn, clock));
            }
            loop {
                if let Err(error) = evict(cold) {
                    eprintln!("cannot evict the files from the page cache: {error}");
                }
                clock.start();
                turn.wait();
                turn.wait();
                clock.stop();
            }
        });
    }

    /// One of the streams: its part of the targets in each pass, which begins and ends at a `turn` of
    /// all.
    fn stream(&self, number: usize, turn: &Barrier, clock: &Clock) -> ! {
        let mut block = vec![0; DISCARD_BYTES];
        let mut connection = None;
        loop {
            turn.wait();
            let own = self.targets.iter().skip(number).step_by(self.streams);
            match &self.source {
                Source::Server(address) => {
                    download(*address, &mut connection, own, &mut block, clock);
                }
                Source::Disk(root) => read_files(root, own, &mut block, clock),
            }
            turn.wait();
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
fn download<'t>(
    address: SocketAddr,
    connection: &mut Option<TcpStream>,
    targets: impl Iterator<Item = &'t String>,
    block: &mut [u8],
    clock: &Clock,
) {
    for target in targets {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => match TcpStream::connect(address) {
                Ok(stream) => stream,
                Err(_) => continue,
            },
        };
        if fetch(&mut stream, block, (address, target), clock).is_ok() {
            *connection = Some(stream);
        }
    }
}

fn fetch(
    stream: &mut TcpStream,
    block: &mut [u8],
    (address, target): (SocketAddr, &str),
    clock: &Clock,
) -> io::Result<()> {
    // In one piece: of several, the later ones would wait for the acknowledgement of the first.
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut received = Vec::new();
    let Head {
        bytes, body_bytes, ..
    } = loop {
        let count = stream.read(&mut block[..4096])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(&block[..count]);
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
            &mut block[..wanted],
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

/// Reads each target in turn, in blocks of a MiB.
fn read_files<'t>(
    root: &Path,
    targets: impl Iterator<Item = &'t String>,
    block: &mut [u8],
    clock: &Clock,
) {
    for target in targets {
        let mut read = || -> io::Result<()> {
            let mut file = File::open(below(root, target))?;
            loop {
                match file.read(block)? {
                    0 => return Ok(()),
                    count => clock.bytes.fetch_add(count as u64, Ordering::Relaxed),
                };
            }
        };
        if let Err(error) = read() {
            eprintln!("cannot read {target}: {error}");
        }
    }
}

fn below(root: &Path, target: &str) -> PathBuf {
    root.join(target.trim_start_matches('/'))
}

/// Opens what is to be made cold before each pass, and has it written out: pages that never were
/// cannot be dropped.
fn written_out(root: &Path, targets: &[String]) -> io::Result<Vec<File>> {
    let open = |target: &String| {
        let file = File::open(below(root, target))?;
        file.sync_all()?;
        Ok(file)
    };
    targets.iter().map(open).collect()
}

/// Drops files from the page cache.
fn evict(files: &[File]) -> io::Result<()> {
    for file in files {
        let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
        for start in (0..length).step_by(EVICT_BYTES) {
            let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
            posix_fadvise(file, start, EVICT_BYTES as i64, advice)?;
        }
    }
    Ok(())
}
