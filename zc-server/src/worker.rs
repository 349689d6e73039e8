//! What one worker owns, and lends to the connection that it drives.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::SystemTime;

use mio::Token;
use zc_core::{Completion, DiskRing, Fetcher, Progress, SendError};
use zc_http::{Headers, HttpTime, Limits, Persistence};

use crate::admin::Admin;
use crate::admin::status::WorkerSnapshot;
use crate::auth::User;
use crate::body::{Prefetch, ResponseBody};
use crate::clients::{Admission, Clients, RequestIds, Sender};
use crate::config::{Scheme, Spoken};
use crate::disk::{CancelToken, JobHandle, Key, Role};
use crate::files::content::Content;
use crate::files::open_file::FileHandle;
use crate::files::read_gate::AwaitedRead;
use crate::files::root::Root;
use crate::files::roots::Roots;
use crate::mailbox::Mailbox;
use crate::observe::access_log::Sink;
use crate::observe::counters::WorkerCounters;
use crate::observe::record::Outcome;
use crate::pool::BoxPool;
use crate::rate::MinRate;
use crate::respond::LookUpAnswer;
use crate::respond::cache::ResponseCache;
use crate::respond::prepared::DATE_BYTES;
use crate::respond::reply::{Buffers, Moment, Place, Ready};
use crate::respond::response::{ExchangeId, Response};
use crate::services::Services;
use crate::socket::{PeerAddress, Stream};

/// The most that one read takes from a socket, in bytes. It is also what one connection may hold beyond
/// a head that is not complete yet.
const READ_BYTES_MAX: usize = 16 * 1024;

/// For how many responses at a time a worker waits without a thread; more wait with one. A disk that hangs
/// thus holds a bounded part of a ring, and of its memory.
const WATCHED_MAX: u32 = 64;

/// The limits of time that a connection is held to, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) header_ms: u64,
    #[cfg(feature = "tls")]
    pub(crate) handshake_ms: u64,
    pub(crate) idle_ms: u64,
    pub(crate) send_ms: u64,
    pub(crate) disk_ms: u64,
}

/// The limits that all connections of a worker are held to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerLimits {
    pub(crate) timeouts: Timeouts,
    pub(crate) min_rate: Option<MinRate>,
    pub(crate) requests_max: Option<NonZeroU32>,
}

/// What others have to tell a worker.
#[derive(Debug)]
pub(crate) enum WorkerMessage {
    /// What a thread has done for an exchange of a connection.
    Done(Token, ExchangeId, Done),
    /// A connection that another worker has accepted.
    Connection(Stream, Arrival),
    /// A place for a TLS handshake is this worker's, which has waited for it.
    HandshakeGranted,
    /// Another worker, this one by number, has a connection to accept and no room for it.
    RoomWanted(usize, Shortage),
    /// The worker that was asked for room has done what it could.
    RoomAnswered,
    /// What is served from now on, its roots, which were just opened, to whom, and the limits.
    Reload {
        content: Arc<Content>,
        roots: Arc<[Arc<Root>]>,
        clients: Arc<Clients>,
        limits: WorkerLimits,
    },
    /// Somebody wants to know whether the worker takes its messages, and hears of it when this is dropped.
    Ping(mpsc::Sender<Infallible>),
    /// Somebody wants to know what is under way.
    Snapshot(mpsc::Sender<WorkerSnapshot>),
}

/// How far the end of the server has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Serving,
    /// The end was asked for, and connections are accepted all the same. Every response ends its connection.
    Leaving,
    /// No more are accepted. Idle connections are closed; who has asked for nothing yet may do so until this time,
    /// in milliseconds of the worker's clock.
    Draining {
        first_request_until_ms: u64,
    },
}

/// How a connection has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) remote: PeerAddress,
    /// What its listener speaks.
    pub(crate) spoken: Spoken,
}

/// Why there is no room for a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// As many connections as allowed are open.
    Connections,
    Descriptors,
}

/// What a thread has done for an exchange.
#[derive(Debug)]
pub(crate) enum Done {
    LookedUp(LookUpAnswer),
    /// It has read or sent a part of a response. The body comes back, with how far that came.
    Carried(Box<ResponseBody>, Result<Progress, SendError>),
}

/// What the connections of a worker did in one turn, as its scheduler reckons.
#[derive(Debug, Default)]
pub(crate) struct TurnAccount {
    /// The most that one connection sends of a body, in bytes.
    pub(crate) quantum_bytes: u64,
    /// Bytes of responses that take more than one call.
    pub(crate) streamed_bytes: u64,
    /// Whether a response went as a whole.
    pub(crate) has_answered: bool,
    /// How the last exchange ended, where that is counted.
    pub(crate) outcome: Option<Outcome>,
}

/// A read that the kernel tells the end of, and the exchange that waits for it.
#[derive(Debug)]
pub(crate) struct WatchedRead {
    file: Arc<FileHandle>,
    reading: AwaitedRead,
    token: Token,
    exchange: ExchangeId,
}

impl WatchedRead {
    /// Where a worker waits for such reads. `None` where that is not allowed, or refused: threads wait for everything.
    pub(crate) fn ring(services: &Services) -> Option<DiskRing<Self>> {
        let ring = || DiskRing::new(WATCHED_MAX).ok();
        services.may_use_io_uring.then(ring).flatten()
    }
}

impl AsFd for WatchedRead {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What one worker owns.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) services: Arc<Services>,
    pub(crate) content: Arc<Content>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// The least that a client has to take.
    pub(crate) min_rate: Option<MinRate>,
    /// Requests that are answered on one connection.
    pub(crate) requests_max: Option<NonZeroU32>,
    /// Taken by the connection that reads into it, for as long as it does.
    pub(crate) scratch: Box<[u8]>,
    pub(crate) path_buffer: Vec<u8>,
    /// Who has sent the request that was just answered, where that took a password. A request that waits is told
    /// again when it is taken again.
    pub(crate) user: Option<User>,
    pub(crate) buffers: Buffers,
    pub(crate) boxes: BoxPool<Response>,
    pub(crate) roots: Roots,
    pub(crate) cache: ResponseCache,
    pub(crate) log: Option<Sink>,
    /// What it counts for the metrics; `None` without an admin listener.
    pub(crate) counters: Option<Arc<WorkerCounters>>,
    /// When the turn began, or the last exchange ended, in microseconds of the server's clock.
    pub(crate) lap_us: u64,
    /// What it answers with in place of files, on the admin listener.
    pub(crate) admin: Option<Arc<Admin>>,
    /// Where others leave messages for this worker.
    pub(crate) mailbox: Mailbox<WorkerMessage>,
    /// Where reads that were submitted to the kernel are waited for, if that is allowed.
    pub(crate) ring: Option<DiskRing<WatchedRead>>,
    exchanges: u64,
    request_ids: RequestIds,
    /// The connection that is driven, and what it speaks.
    pub(crate) token: Token,
    pub(crate) scheme: Scheme,
    pub(crate) turn: TurnAccount,
    /// Milliseconds since the worker began, renewed once a turn.
    pub(crate) now_ms: u64,
    /// The time of day, renewed once a turn.
    pub(crate) now: HttpTime,
    /// `now` as it stands in a head.
    pub(crate) date: [u8; DATE_BYTES],
    pub(crate) life: Life,
    /// How the exchanges that are over ended.
    #[cfg(test)]
    pub(crate) completions: Vec<Outcome>,
}

impl Worker {
    pub(crate) fn new(
        services: Arc<Services>,
        content: Arc<Content>,
        roots: Roots,
        cache: ResponseCache,
        limits: WorkerLimits,
        mailbox: Mailbox<WorkerMessage>,
    ) -> Self {
        let now = HttpTime::from_unix_seconds(0);
        Self {
            clients: services.clients(),
            services,
            content,
            limits: Limits::default(),
            timeouts: limits.timeouts,
            min_rate: limits.min_rate,
            requests_max: limits.requests_max,
            scratch: vec![0; READ_BYTES_MAX].into(),
            path_buffer: Vec::new(),
            user: None,
            buffers: Buffers::default(),
            boxes: BoxPool::default(),
            roots,
            cache,
            log: None,
            counters: None,
            lap_us: 0,
            admin: None,
            mailbox,
            ring: None,
            exchanges: 0,
            request_ids: RequestIds::default(),
            token: Token(0),
            scheme: Scheme::Http,
            turn: TurnAccount::default(),
            now_ms: 0,
            now,
            date: now.imf_fixdate(),
            life: Life::Serving,
            #[cfg(test)]
            completions: Vec::new(),
        }
    }

    /// A turn begins, at `now_ms` of the worker's clock.
    pub(crate) fn renew_clock(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        let now = HttpTime::from(SystemTime::now());
        if self.now != now {
            self.now = now;
            self.date = now.imf_fixdate();
        }
    }

    /// Holds connections to these limits from now on.
    pub(crate) fn set_limits(&mut self, limits: WorkerLimits) {
        let WorkerLimits {
            timeouts,
            min_rate,
            requests_max,
        } = limits;
        (self.timeouts, self.min_rate, self.requests_max) = (timeouts, min_rate, requests_max);
    }

    /// Serves something else from now on. Exchanges under way keep the content that they began with.
    pub(crate) fn replace_content(&mut self, content: Arc<Content>, roots: &[Arc<Root>]) {
        self.content = content;
        self.roots.replace(roots, self.now_ms);
    }

    /// The number of the next exchange.
    pub(crate) fn next_exchange(&mut self) -> ExchangeId {
        self.exchanges += 1;
        ExchangeId(self.exchanges)
    }

    /// When a request that is answered in this turn is answered.
    pub(crate) fn moment(&self, persistence: Persistence, sender: Sender) -> Moment {
        Moment {
            sender,
            after: persistence,
            now: self.now,
            date: self.date,
            now_ms: self.now_ms,
            scheme: self.scheme,
        }
    }

    /// Who has sent a request with these fields, on a connection of `client`.
    #[inline]
    pub(crate) fn sender(&mut self, client: PeerAddress, headers: &Headers<'_>) -> Sender {
        self.clients
            .sender(client.host(), headers, &mut self.request_ids)
    }

    /// The same of what could not be read as a request, or was not.
    pub(crate) fn unread_sender(&mut self) -> Sender {
        self.clients.unread_sender(&mut self.request_ids)
    }

    /// Counts a connection of `client`, and tells the operator when it has too many.
    pub(crate) fn admit(&self, client: PeerAddress) -> Admission {
        let admission = self.clients.admit(client.host());
        if let Admission::Refused { max } = admission {
            self.services.diagnostics.warn_of_crowd(client, max);
        }
        admission
    }

    /// Has `work` done by a thread that may wait, for an exchange of the connection that is driven.
    /// What it answers arrives in the mailbox. `mount` is the key of
    /// [`Disk::submit`](crate::disk::Disk::submit). `None` when too much is waiting already.
    pub(crate) fn submit(
        &self,
        role: Role,
        mount: Key,
        exchange: ExchangeId,
        work: impl FnOnce(&Fetcher, &CancelToken) -> Option<Done> + Send + 'static,
    ) -> Option<JobHandle> {
        let (mailbox, token) = (self.mailbox.clone(), self.token);
        let job = move |fetcher: &Fetcher, cancel: &CancelToken| {
            // From the commit on the message is certain to come, and is waited for.
            if let Some(done) = work(fetcher, cancel)
                && cancel.commit()
            {
                cancel.on_progress();
                mailbox.send(WorkerMessage::Done(token, exchange, done));
            }
        };
        let threads = match (role, &self.admin) {
            (Role::Other, Some(admin)) => Some(&admin.threads),
            _ => self.services.threads(role),
        };
        threads?.submit(mount, job).ok()
    }

    /// Has the kernel tell when what was requested of the disk is in memory. False when that is not possible.
    pub(crate) fn watch_read(&mut self, prefetch: Prefetch, exchange: ExchangeId) -> bool {
        let Some(ring) = &mut self.ring else {
            return false;
        };
        let Prefetch {
            file,
            last,
            reading,
        } = prefetch;
        let read = WatchedRead {
            file,
            reading,
            token: self.token,
            exchange,
        };
        ring.submit(read, last).is_ok()
    }

    /// The next read that the kernel tells of: whose it was, and how it ended.
    pub(crate) fn next_read(&mut self) -> Option<(Token, ExchangeId, std::io::Result<()>)> {
        let Completion { read, result } = self.ring.as_mut()?.next_completion()?;
        read.reading.over();
        Some((read.token, read.exchange, result))
    }

    /// Whether idle connections are to be closed, and no new ones accepted.
    pub(crate) fn is_draining(&self) -> bool {
        matches!(self.life, Life::Draining { .. })
    }

    /// When a connection is closed that waits for its first request, and would have time until `deadline_ms`.
    pub(crate) fn first_request_deadline_ms(&self, deadline_ms: u64) -> u64 {
        match self.life {
            Life::Draining {
                first_request_until_ms,
            } => deadline_ms.min(first_request_until_ms),
            Life::Serving | Life::Leaving => deadline_ms,
        }
    }

    /// Gives up descriptors that only the cache holds. False when there are none.
    pub(crate) fn shed_descriptors(&mut self) -> bool {
        self.cache.shed_descriptors()
    }

    /// Releases what is not in use. To be called once a turn.
    pub(crate) fn sweep(&mut self) {
        self.roots.sweep(&self.content.roots, self.now_ms);
        while let Some(root) = self.roots.take_retired() {
            self.cache.forget(root);
        }
        self.cache.sweep(self.now_ms);
        if let Some(counters) = &self.counters {
            self.cache.publish(&counters.cache);
        }
    }

    /// When [`sweep`](Self::sweep) is due although nothing else happens.
    pub(crate) fn next_sweep_ms(&self) -> Option<u64> {
        let due = [self.cache.next_sweep_ms(), self.roots.next_sweep_ms()];
        due.into_iter().flatten().min()
    }

    /// Offers the log what it had no room for.
    pub(crate) fn flush_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    /// Whether the log has had no room for something.
    pub(crate) fn has_pending_log(&self) -> bool {
        self.log.as_ref().is_some_and(Sink::has_pending)
    }

    /// All bytes of a response that was made last, or is kept ready.
    pub(crate) fn bytes_of(&self, ready: &Ready) -> &[u8] {
        match ready.place {
            Place::Output => {
                let output = &self.buffers.output;
                &output[output.len() - ready.length()..]
            }
            Place::Whole(id) => self.cache.whole(id),
            Place::NotModified(id) => self.cache.not_modified(id),
        }
    }

    /// Takes the response that was made last out of the output buffer, if it is there.
    pub(crate) fn drop_output_of(&mut self, ready: &Ready) {
        if ready.place == Place::Output {
            let output = &mut self.buffers.output;
            output.truncate(output.len() - ready.length());
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A worker without a reactor, for the tests of states.

    use std::sync::Arc;

    use mio::{Poll, Token, Waker};
    use tempfile::TempDir;

    use super::{Timeouts, Worker, WorkerLimits, WorkerMessage};
    use crate::config::Config;
    use crate::files::content::Content;
    use crate::files::roots::Roots;
    use crate::mailbox::Mailbox;
    use crate::observe::diagnostics::Diagnostics;
    use crate::respond::cache::{Bounds, ResponseCache};
    use crate::services::Services;

    /// The limits of time of the worker, in milliseconds: each another one, so that a deadline tells
    /// whose it is.
    pub(crate) const TIMEOUTS: Timeouts = Timeouts {
        #[cfg(feature = "tls")]
        handshake_ms: 2_000,
        header_ms: 1_000,
        idle_ms: 2_000,
        send_ms: 4_000,
        disk_ms: 8_000,
    };

    /// A worker, and what it lives on.
    pub(crate) struct Fixture {
        pub(crate) worker: Worker,
        pub(crate) root: TempDir,
        poll: Poll,
    }

    impl Fixture {
        pub(crate) fn new() -> Self {
            let root = tempfile::tempdir().expect("a directory");
            let mut config = Config::for_root(root.path()).expect("a root");
            config.disk_threads = 1;
            Self::with_config(root, &config)
        }

        /// One that waits for the disk itself.
        pub(crate) fn without_offloading() -> Self {
            let root = tempfile::tempdir().expect("a directory");
            let mut config = Config::for_root(root.path()).expect("a root");
            config.disk_threads = 1;
            config.offload_cold_reads = false;
            Self::with_config(root, &config)
        }

        /// One whose threads of the disk take no job.
        pub(crate) fn with_busy_disk() -> Self {
            let root = tempfile::tempdir().expect("a directory");
            let mut config = Config::for_root(root.path()).expect("a root");
            config.disk_threads = 1;
            config.connections_max = 0;
            Self::with_config(root, &config)
        }

        fn with_config(root: TempDir, config: &Config) -> Self {
            let poll = Poll::new().expect("epoll");
            let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
            let diagnostics = Diagnostics::start().expect("a thread");
            let services = Services::start(config, diagnostics).expect("threads");
            let opened = Content::open(config, &services.mounts, &services.diagnostics, None);
            let (content, roots) = opened.expect("a root");
            let cache = ResponseCache::new(Bounds {
                entries: 0,
                bytes: 0,
                file_max: 0,
                ttl_ms: 0,
            });
            let worker = Worker::new(
                Arc::new(services),
                Arc::new(content),
                Roots::new(&roots, 0),
                cache,
                WorkerLimits {
                    timeouts: TIMEOUTS,
                    min_rate: None,
                    requests_max: None,
                },
                Mailbox::new(Arc::new(waker)),
            );
            Self { worker, root, poll }
        }

        /// The next message for the worker, which is waited for.
        pub(crate) fn next_message(&mut self) -> WorkerMessage {
            let mut events = mio::Events::with_capacity(1);
            loop {
                let mut messages = self.worker.mailbox.take();
                if let Some(message) = messages.pop() {
                    assert!(messages.is_empty(), "one was asked for");
                    return message;
                }
                self.poll.poll(&mut events, None).expect("epoll");
            }
        }
    }
}
