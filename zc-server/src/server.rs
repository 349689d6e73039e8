//! Starts the workers, and owns their end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{fmt, io, thread};

use mio::net::TcpListener;
use mio::{Poll, Token, Waker};
use zc_core::DiskRing;
use zc_http::{HttpTime, Limits};

use crate::config::{Config, LogFormat};
use crate::connection::input::Scratch;
use crate::disk::Mailbox;
use crate::exchange::Boxes;
use crate::files::roots::Roots;
use crate::observe::access_log;
use crate::observe::diagnostics::Diagnostics;
use crate::reactor::balance::Balance;
use crate::reactor::drain::DrainCount;
use crate::reactor::listener::{Listening, bind_all, unpaced_under};
use crate::reactor::schedule::Pace;
use crate::reactor::{Reactor, Shared};
use crate::respond::cache::{Bounds, Cache};
use crate::respond::reply::Buffers;
use crate::site::Site;
use crate::start::{StartError, StartWarning};
use crate::worker::{Context, Timeouts};

/// The waker's token: no listener's (those count from 0) and no connection's (those carry a
/// generation in their upper half).
const WAKER: Token = Token(u32::MAX as usize);
/// For how many responses at a time a worker waits without a thread; more wait with one. A disk that hangs
/// thus holds a bounded part of a ring, and of its memory.
const WATCHED_MAX: u32 = 64;
/// Descriptors that are neither a connection nor a file under way: listeners, epoll, log, root.
const DESCRIPTORS_RESERVED: u64 = 64;

/// A server that holds its listeners and has not begun to serve.
#[derive(Debug)]
pub struct Server {
    reactors: Vec<Reactor>,
    listening: Vec<Listening>,
    warnings: Vec<StartWarning>,
    handle: Handle,
    log_writer: Option<access_log::Writer>,
    diagnostics: Diagnostics,
}

/// Stops a running server from another thread.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    wakers: Arc<[Arc<Waker>]>,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every response that had begun was sent.
    Drained,
    /// The grace period ended before so many responses did.
    Cut(usize),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained => f.write_str("every response was sent"),
            Self::Cut(1) => f.write_str("1 response was cut"),
            Self::Cut(number) => write!(f, "{number} responses were cut"),
        }
    }
}

impl Server {
    /// Opens the root and the listeners, so that every error of the configuration shows here.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub fn bind(config: Config) -> Result<Self, StartError> {
        let diagnostics = Diagnostics::start().map_err(StartError::Io)?;
        let (site, roots) = Site::open(&config, diagnostics.clone())?;
        let site = Arc::new(site);
        let bound = bind_all(&config.binds, config.threads.max(1), &config.network)
            .map_err(StartError::Bind)?;
        let qdisc = bound.workers[0].first().and_then(unpaced_under);
        let unpaced = qdisc.map(|qdisc| StartWarning::Unpaced { qdisc });
        let (descriptors, too_few) =
            raise_descriptor_limit(config.connections_max, config.cache.files);
        let workers = bound.workers.into_iter().map(Worker::new);
        let workers: Vec<Worker> = workers.collect::<io::Result<_>>().map_err(StartError::Io)?;
        let shared = Arc::new(Shared {
            stopping: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            connections_max: config.connections_max,
            balance: Balance::new(workers.iter().map(|worker| worker.mailbox.clone())),
            drain: DrainCount::of_workers(workers.len()),
            grace_ms: config.grace_ms,
        });
        let (sink, log_writer) = match config.access_log {
            LogFormat::Off => (None, None),
            format => {
                let (sink, writer) = access_log::Sink::start(format).map_err(StartError::Io)?;
                (Some(sink), Some(writer))
            }
        };
        let mut reactors = Vec::with_capacity(config.threads);
        let wakers = workers.iter().map(|worker| Arc::clone(&worker.waker));
        let wakers = wakers.collect();
        for (index, worker) in workers.into_iter().enumerate() {
            let context = Context {
                site: Arc::clone(&site),
                limits: Limits::default(),
                timeouts: Timeouts {
                    header_ms: config.header_timeout_ms,
                    idle_ms: config.idle_timeout_ms,
                    stall_ms: config.stall_timeout_ms,
                    disk_ms: config.disk_timeout_ms,
                },
                scratch: Scratch::new(),
                path_buffer: Vec::new(),
                buffers: Buffers::default(),
                boxes: Boxes::default(),
                roots: Roots::new(&roots, config.cache.ttl_ms),
                cache: Cache::new(cache_bounds(&config, descriptors)),
                log: sink.clone(),
                mailbox: worker.mailbox,
                // Where it is refused, threads wait for everything.
                ring: site
                    .may_use_io_uring
                    .then(|| DiskRing::new(WATCHED_MAX).ok())
                    .flatten(),
                token: WAKER,
                pace: Pace::default(),
                now_ms: 0,
                now: HttpTime::from_unix_seconds(0),
                date: HttpTime::from_unix_seconds(0).imf_fixdate(),
                stopping: false,
            };
            let shared = Arc::clone(&shared);
            let reactor = Reactor::new(index, worker.poll, worker.listeners, context, shared);
            reactors.push(reactor.map_err(StartError::Io)?);
        }
        Ok(Self {
            reactors,
            listening: bound.listening,
            warnings: unpaced.into_iter().chain(too_few).collect(),
            handle: Handle { shared, wakers },
            log_writer,
            diagnostics,
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// What the operator should know although the server starts.
    #[must_use]
    pub fn warnings(&self) -> &[StartWarning] {
        &self.warnings
    }

    /// A handle that can stop this server.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until [`Handle::stop`] was called and what had begun is sent.
    ///
    /// # Errors
    ///
    /// An error of `epoll`, or [`StartError::WorkerPanicked`]; the other workers are drained first.
    pub fn run(self) -> Result<Outcome, StartError> {
        let Self {
            reactors,
            handle,
            log_writer,
            diagnostics,
            ..
        } = self;
        let workers: Vec<_> = reactors
            .into_iter()
            .enumerate()
            .map(|(index, reactor)| {
                let guard = StopOnExit(handle.clone());
                thread::Builder::new()
                    .name(format!("zc-worker-{index}"))
                    .spawn(move || {
                        let _guard = guard;
                        reactor.run()
                    })
            })
            .collect();
        let mut result = Ok(0);
        for worker in workers {
            let answer = match worker {
                Ok(thread) => match thread.join() {
                    Ok(answer) => answer.map_err(StartError::Io),
                    Err(_) => Err(StartError::WorkerPanicked),
                },
                Err(error) => Err(StartError::Io(error)),
            };
            result = match (result, answer) {
                (Ok(sum), Ok(cut)) => Ok(sum + cut),
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
        }
        if let Some(writer) = log_writer {
            writer.finish();
        }
        diagnostics.finish();
        Ok(match result? {
            0 => Outcome::Drained,
            cut => Outcome::Cut(cut),
        })
    }
}

/// A worker that ends for whatever reason, a panic included, takes the others with it: a server
/// that answers on some of its listeners only is worse than none.
struct StopOnExit(Handle);

impl Drop for StopOnExit {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Handle {
    /// Begins the drain: listeners and idle connections close at once, responses under way have
    /// the grace period. Calling it again changes nothing.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        for waker in self.wakers.iter() {
            // It fails only when the worker's epoll instance is gone, and then nobody needs waking.
            let _ = waker.wake();
        }
    }
}

/// What each worker begins with.
struct Worker {
    listeners: Vec<TcpListener>,
    poll: Poll,
    waker: Arc<Waker>,
    mailbox: Mailbox,
}

impl Worker {
    fn new(listeners: Vec<TcpListener>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self {
            listeners,
            poll,
            mailbox: Mailbox::new(Arc::clone(&waker)),
            waker,
        })
    }
}

/// The share of one worker. All together keep as many files as three of four descriptors: they give
/// them up where connections need them.
fn cache_bounds(config: &Config, descriptors: u64) -> Bounds {
    let (cache, workers) = (&config.cache, config.threads.max(1));
    let most = usize::try_from(descriptors / 4 * 3).unwrap_or(usize::MAX);
    let files = cache.files.min(most);
    Bounds {
        entries: files.div_ceil(workers),
        bytes: usize::try_from(cache.bytes).unwrap_or(usize::MAX) / workers,
        inline_max: cache.inline_max_bytes,
        ttl_ms: cache.ttl_ms,
    }
}

/// Raises the limit of open files as far as it may be raised: each connection may hold a socket and a
/// file, and the cache holds files. Answers how many descriptors there may be, and a warning where they
/// are too few for the connections. A cache that has too few for itself does with what is left.
fn raise_descriptor_limit(
    connections_max: usize,
    cache_files: usize,
) -> (u64, Option<StartWarning>) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let needed = (connections_max as u64).saturating_mul(2) + DESCRIPTORS_RESERVED;
    let wanted = needed.saturating_add(cache_files as u64);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return (needed, None);
    };
    if soft < wanted && soft < hard {
        // Refused only where a sandbox forbids it; the warning below then tells.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard);
    }
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(soft, |(soft, _)| soft);
    let warning = (limit < needed).then_some(StartWarning::Descriptors {
        connections_max,
        needed,
        limit,
    });
    (limit, warning)
}
