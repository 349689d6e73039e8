//! Starts the workers, and owns their end.

use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;
use std::{fmt, io, thread};

use mio::{Poll, Token, Waker};

use crate::admin::Sources;
use crate::admin::status::worker_name;
#[cfg(feature = "tls")]
use crate::certificates::{Acceptor, CertificateError};
use crate::config::{Config, ListenAddress, LogFormat};
use crate::files::content::Content;
use crate::files::roots::Roots;
use crate::mailbox::Mailbox;
use crate::observe::access_log::{self, Log};
use crate::observe::counters::Process;
use crate::observe::diagnostics::Diagnostics;
use crate::rate::MinRate;
use crate::reactor::balance::Balance;
use crate::reactor::drain::DrainCount;
use crate::reactor::listener::{InheritedSocket, Listener, Listening, unpaced_under};
use crate::reactor::{Reactor, ServerState};
use crate::respond::cache::{Bounds, ResponseCache};
use crate::services::Services;
use crate::start::{StartError, StartWarning};
#[cfg(feature = "tls")]
use crate::tls::KernelSealing;
use crate::worker::{Timeouts, WatchedRead, Worker, WorkerLimits, WorkerMessage};

mod admin_listener;
mod descriptors;
mod life_cycle;
mod passwords;
mod sockets;

use admin_listener::AdminListener;
use descriptors::DescriptorLimit;
pub(crate) use descriptors::{descriptors_needed, raise_descriptor_limit};
pub use life_cycle::Ping;
use life_cycle::{StopOnExit, end_times};
pub(crate) use passwords::prepare as prepare_passwords;
use sockets::{Sockets, https_port};

/// The waker's token: no listener's (those count from 0) and no connection's (those carry a
/// generation in their upper half).
const WAKER: Token = Token(u32::MAX as usize);

/// A server that holds its listeners and has not begun to serve.
#[derive(Debug)]
pub struct Server {
    reactors: Vec<Reactor>,
    listening: Vec<Listening>,
    warnings: Vec<StartWarning>,
    descriptors: DescriptorLimit,
    handle: Handle,
    diagnostics: Diagnostics,
    admin: Option<AdminListener>,
}

/// Stops a running server from another thread, or has it serve something else.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) shared: Arc<ServerState>,
    wakers: Arc<[Arc<Waker>]>,
    pub(crate) mailboxes: Arc<[Mailbox<WorkerMessage>]>,
    /// That of the admin listener.
    admin: Option<Mailbox<WorkerMessage>>,
    /// A handle does not keep the threads of the disk.
    pub(crate) services: Weak<Services>,
    pub(crate) https_port: Option<u16>,
    pub(crate) log: Log,
    /// What the server runs with. Whoever replaces it holds it.
    pub(crate) config: Arc<Mutex<Config>>,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every response that had begun was sent.
    Drained,
    /// The grace period ended before so many responses did.
    Cut(usize),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained => f.write_str("every response was sent"),
            Self::Cut(1) => f.write_str("1 response was cut"),
            Self::Cut(number) => write!(f, "{number} responses were cut"),
        }
    }
}

impl Server {
    /// Opens all that `config` names but its addresses, and answers what a server would warn of.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind), but for addresses.
    pub fn check(config: &Config) -> Result<Vec<StartWarning>, StartError> {
        let diagnostics = Diagnostics::start().map_err(StartError::Io)?;
        let services = Services::start(config, diagnostics.clone()).map_err(StartError::Disk)?;
        #[cfg(feature = "tls")]
        let services = with_acceptor(services, config)?;
        let (content, _) = Content::open(config, &services.mounts, &diagnostics, None)?;
        if config.access_log != LogFormat::Off {
            access_log::check(&config.log_target)?;
        }
        let warnings = prepare_passwords(config, &content, &services)?.into_iter();
        #[cfg(feature = "tls")]
        let warnings = warnings.chain(certificate_warnings(&services));
        Ok(warnings.collect())
    }

    /// Opens the root and the listeners, so that every error of the configuration shows here.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub fn bind(config: Config) -> Result<Self, StartError> {
        Self::bind_with(config, Vec::new())
    }

    /// The same with sockets that another process has opened. They are listened on in place of the addresses of their
    /// kind. What waits in their queues when the server stops is left there.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind), and [`StartError::Inherited`].
    pub fn bind_with(config: Config, inherited: Vec<InheritedSocket>) -> Result<Self, StartError> {
        let diagnostics = Diagnostics::start().map_err(StartError::Io)?;
        let services = Services::start(&config, diagnostics.clone()).map_err(StartError::Disk)?;
        #[cfg(feature = "tls")]
        let services = with_acceptor(services, &config)?;
        let services = Arc::new(services);
        let Sockets { bound, admin } = Sockets::open(&config, inherited, config.threads.max(1))?;
        let https_port = https_port(&bound.listening);
        let (content, roots) = Content::open(&config, &services.mounts, &diagnostics, https_port)?;
        let content = Arc::new(content);
        let of_passwords = prepare_passwords(&config, &content, &services)?;
        let warnings = start_warnings(&services, &bound.workers[0]);
        let (descriptors, too_few) = raise_descriptor_limit(&config);
        let seats = bound.workers.into_iter().map(Seat::new);
        let seats: Vec<Seat> = seats.collect::<io::Result<_>>().map_err(StartError::Io)?;
        let shared = Arc::new(ServerState::new(
            config.connections_max,
            handshakes_max(&config),
            end_times(&config),
            Balance::new(seats.iter().map(|seat| seat.mailbox.clone())),
            Some(DrainCount::of_workers(seats.len())),
            Arc::new(Process::begin(Instant::now())),
        ));
        let log = Log::start(config.access_log, &config.log_target, &diagnostics)?;
        let mut handle = Handle {
            shared: Arc::clone(&shared),
            wakers: seats.iter().map(|seat| Arc::clone(&seat.waker)).collect(),
            mailboxes: seats.iter().map(|seat| seat.mailbox.clone()).collect(),
            admin: None,
            services: Arc::downgrade(&services),
            https_port,
            log,
            config: Arc::new(Mutex::new(config.clone())),
        };
        let has_admin = admin.is_some() || config.admin_bind.is_some();
        let counters = admin_listener::counters(has_admin, &config, &shared.process);
        let reactors = seats.into_iter().enumerate().map(|(index, seat)| {
            let roots = Roots::new(&roots, config.cache.ttl_ms);
            let cache = ResponseCache::new(cache_bounds(&config, descriptors.now, index));
            let (services, content) = (Arc::clone(&services), Arc::clone(&content));
            let limits = worker_limits(&config);
            let mut worker = Worker::new(services, content, roots, cache, limits, seat.mailbox);
            worker.log = handle.log.sink();
            worker.counters = counters.get(index).cloned();
            worker.ring = WatchedRead::ring(&worker.services);
            let shared = Arc::clone(&shared);
            Reactor::new(index, seat.poll, seat.listeners, worker, shared)
        });
        let reactors = reactors
            .collect::<io::Result<_>>()
            .map_err(StartError::Io)?;
        let dropped_lines = handle.log.dropped_lines();
        let sources = Sources::new(counters, services, &shared.process, dropped_lines);
        let admin = AdminListener::bind(sources, admin, &handle.mailboxes, content, &config)?;
        handle.admin = admin.as_ref().map(|admin| admin.mailbox.clone());
        Ok(Self {
            reactors,
            listening: bound.listening,
            warnings: (warnings.into_iter().chain(of_passwords))
                .chain(too_few)
                .collect(),
            descriptors,
            handle,
            diagnostics,
            admin,
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Where metrics and health are told.
    #[must_use]
    pub fn admin_address(&self) -> Option<&ListenAddress> {
        self.admin.as_ref().map(|admin| &admin.address)
    }

    /// What the operator should know although the server starts.
    #[must_use]
    pub fn warnings(&self) -> &[StartWarning] {
        &self.warnings
    }

    /// How far the limit of open files was raised, in one line; `None` where it was not.
    #[must_use]
    pub fn raised_descriptors(&self) -> Option<String> {
        let DescriptorLimit { before, now } = self.descriptors;
        (before < now).then(|| format!("raised the limit of open files from {before} to {now}"))
    }

    /// The SHA-256 of each certificate of HTTPS in the order of the configuration, as browsers show it.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        let services = self.handle.services.upgrade();
        let acceptor = services
            .as_ref()
            .and_then(|services| services.acceptor.as_ref());
        acceptor.map(Acceptor::fingerprints).unwrap_or_default()
    }

    /// Whether the kernel seals for HTTPS, and why, in one line; `None` without HTTPS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn kernel_tls(&self) -> Option<String> {
        let services = self.handle.services.upgrade()?;
        let is_secure = services.acceptor.is_some();
        is_secure.then(|| services.kernel_sealing.to_string())
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
    pub fn run(self) -> Result<Stopped, StartError> {
        let Self {
            reactors,
            handle,
            diagnostics,
            admin,
            ..
        } = self;
        let admin = admin.map(|admin| admin.spawn(StopOnExit(handle.clone())));
        let admin = admin.transpose().map_err(StartError::Io)?;
        let workers: Vec<_> = reactors
            .into_iter()
            .enumerate()
            .map(|(index, reactor)| {
                let guard = StopOnExit(handle.clone());
                thread::Builder::new()
                    .name(worker_name(index))
                    .spawn(move || {
                        let _guard = guard;
                        // Where it is refused, a worker waits longer for a core that others use.
                        let _ = zc_core::set_event_loop_priority();
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
        if let Some(admin) = admin {
            let answer = admin.finish();
            result = result.and_then(|cut| answer.map(|()| cut));
        }
        handle.log.close();
        // A sink may wait there for a worker that has ended.
        handle
            .mailboxes
            .iter()
            .for_each(|mailbox| drop(mailbox.take()));
        for line in handle.log.finish(handle.grace_left()) {
            diagnostics.warn(line);
        }
        diagnostics.finish();
        Ok(match result? {
            0 => Stopped::Drained,
            cut => Stopped::Cut(cut),
        })
    }
}

impl Handle {
    /// Whether the server has HTTPS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn has_certificates(&self) -> bool {
        let services = self.services.upgrade();
        services.is_some_and(|services| services.acceptor.is_some())
    }

    /// Reads the files of all certificates, keys and authorities again, and says on standard error what came of
    /// it. Connections that are open go on with what they have. Does nothing without HTTPS. It waits for the disk.
    ///
    /// # Errors
    ///
    /// What is wrong with each file that cannot be used. The earlier one stays in use.
    #[cfg(feature = "tls")]
    pub fn reload_certificates(&self) -> Result<(), Vec<CertificateError>> {
        let services = self.services.upgrade();
        let acceptor = services.as_ref();
        let acceptor = acceptor.and_then(|services| services.acceptor.as_ref());
        acceptor.map_or(Ok(()), Acceptor::reload)
    }

    /// Has the file of the access log opened again by its name; answers whether there is one. It does not wait: the
    /// thread of the log says on standard error what came of it, and no line is lost.
    pub fn reopen_logs(&self) -> bool {
        self.log.reopen()
    }
}

/// The same services, with HTTPS if it is configured.
#[cfg(feature = "tls")]
fn with_acceptor(mut services: Services, config: &Config) -> Result<Services, StartError> {
    if let Some(tls) = &config.tls {
        let kernel_sealing = KernelSealing::choose(tls.kernel).map_err(StartError::KernelTls)?;
        services.kernel_sealing = Arc::new(kernel_sealing);
        services.acceptor = Some(Acceptor::start(tls, services.diagnostics.clone())?);
    }
    Ok(services)
}

#[cfg(feature = "tls")]
fn certificate_warnings(services: &Services) -> Vec<StartWarning> {
    let warnings = services.acceptor.iter().flat_map(Acceptor::warnings);
    warnings.cloned().map(StartWarning::Certificate).collect()
}

/// What the operator should know of certificates, and of the listeners of a worker.
fn start_warnings(services: &Services, listeners: &[Listener]) -> Vec<StartWarning> {
    let listeners = listeners.iter();
    // On the loopback it says nothing of use: the connections that matter are those of the proxy in front.
    let mut listeners = listeners.filter(|listener| !listener.is_loopback());
    let qdisc = listeners.find_map(|listener| unpaced_under(&listener.socket));
    let unpaced = qdisc.map(|qdisc| StartWarning::Unpaced { qdisc });
    let warnings = std::iter::empty();
    #[cfg(feature = "tls")]
    let warnings = warnings.chain(certificate_warnings(services));
    #[cfg(not(feature = "tls"))]
    let _ = services;
    warnings.chain(unpaced).collect()
}

/// What each worker begins with.
struct Seat {
    listeners: Vec<Listener>,
    poll: Poll,
    waker: Arc<Waker>,
    mailbox: Mailbox<WorkerMessage>,
}

impl Seat {
    fn new(listeners: Vec<Listener>) -> io::Result<Self> {
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

/// The most TLS handshakes at a time.
pub(crate) fn handshakes_max(config: &Config) -> Option<usize> {
    #[cfg(feature = "tls")]
    let max = (config.tls.as_ref()).and_then(|tls| tls.handshakes_max);
    #[cfg(not(feature = "tls"))]
    let max = {
        let _ = config;
        None
    };
    max.map(|max: std::num::NonZeroU32| max.get() as usize)
}

pub(crate) fn worker_limits(config: &Config) -> WorkerLimits {
    let timeouts = Timeouts {
        header_ms: config.header_timeout_ms,
        #[cfg(feature = "tls")]
        handshake_ms: (config.tls.as_ref()).map_or(0, |tls| tls.handshake_timeout_ms),
        idle_ms: config.idle_timeout_ms,
        send_ms: config.send_timeout_ms,
        disk_ms: config.disk_timeout_ms,
    };
    let limits = &config.limits;
    WorkerLimits {
        timeouts,
        min_rate: limits.min_rate.map(|bytes_per_second| MinRate {
            bytes_per_second,
            window_ms: limits.min_rate_window_ms,
        }),
        requests_max: limits.requests_max,
    }
}

/// The share of the worker `index`; where there are fewer files than workers, some have none. All together
/// keep as many files as three of four descriptors: they give them up where connections need them.
fn cache_bounds(config: &Config, descriptors: u64, index: usize) -> Bounds {
    let (cache, workers) = (&config.cache, config.threads.max(1));
    let most = usize::try_from(descriptors / 4 * 3).unwrap_or(usize::MAX);
    let files = cache.files.min(most);
    Bounds {
        entries: files / workers + usize::from(index < files % workers),
        bytes: usize::try_from(cache.bytes).unwrap_or(usize::MAX) / workers,
        file_max: cache.file_max_bytes,
        ttl_ms: cache.ttl_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_together_keep_as_many_files_as_configured() {
        let mut config = Config::for_root(env!("CARGO_MANIFEST_DIR")).expect("a root");
        for (threads, files, descriptors, expected) in [
            (64, 1, 1_000, 1),
            (64, 100, 1_000, 100),
            (3, 10, 1_000, 10),
            (4, 0, 1_000, 0),
            (4, 1_000, 400, 300),
        ] {
            (config.threads, config.cache.files) = (threads, files);
            let share = |worker| cache_bounds(&config, descriptors, worker).entries;
            assert_eq!((0..threads).map(share).sum::<usize>(), expected);
        }
    }
}
