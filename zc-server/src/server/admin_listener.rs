//! The admin listener: a reactor beside the workers, which outlives them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use mio::Waker;

use super::{Seat, StopOnExit, worker_limits};
use crate::admin::status::{AskedWorker, WorkerSnapshot};
use crate::admin::{Admin, Sources};
use crate::clients::Clients;
use crate::config::{self, Config, ListenAddress, Scheme};
use crate::files::content::Content;
use crate::files::roots::Roots;
use crate::mailbox::Mailbox;
use crate::observe::counters::{Process, WorkerCounters};
use crate::reactor::balance::Balance;
use crate::reactor::listener::bind_all;
use crate::reactor::{Reactor, ServerState};
use crate::respond::cache::{Bounds, ResponseCache};
use crate::start::StartError;
use crate::worker::{Worker, WorkerLimits, WorkerMessage};

/// Connections that are open at a time.
const CONNECTIONS_MAX: usize = 64;
/// How long responses have that are under way when the workers have ended, in milliseconds.
const GRACE_MS: u64 = 1_000;
/// It keeps no files.
const NO_CACHE: Bounds = Bounds {
    entries: 0,
    bytes: 0,
    file_max: 0,
    ttl_ms: 0,
};

/// What each worker counts: nothing without the listener.
pub(super) fn counters(config: &Config, process: &Process) -> Vec<Arc<WorkerCounters>> {
    let workers = match config.admin_bind {
        Some(_) => config.threads.max(1),
        None => 0,
    };
    let new = |_| Arc::new(WorkerCounters::new(process.started));
    (0..workers).map(new).collect()
}

/// The listener, before its thread is started.
#[derive(Debug)]
pub(super) struct AdminListener {
    pub(super) address: ListenAddress,
    reactor: Reactor,
    stop: Stop,
}

/// The thread of the listener.
pub(super) struct AdminThread {
    thread: JoinHandle<io::Result<usize>>,
    stop: Stop,
}

/// What ends the thread.
#[derive(Debug)]
struct Stop {
    shared: Arc<ServerState>,
    waker: Arc<Waker>,
}

impl AdminListener {
    /// Binds its address, if there is one. `workers` are asked by their mailboxes for what they have under way.
    pub(super) fn bind(
        sources: Sources,
        workers: &[Mailbox<WorkerMessage>],
        content: Arc<Content>,
        config: &Config,
    ) -> Result<Option<Self>, StartError> {
        let Some(address) = config.admin_bind.clone() else {
            return Ok(None);
        };
        let bind = (address.into(), Scheme::Http.into());
        let mut bound = bind_all(&[bind], 1, &config.network).map_err(StartError::Bind)?;
        let address = bound.listening.remove(0).address;
        let seat = Seat::new(bound.workers.remove(0)).map_err(StartError::Io)?;
        let services = Arc::clone(&sources.services);
        let shared = Arc::new(ServerState::new(
            CONNECTIONS_MAX,
            None,
            GRACE_MS,
            Balance::new([seat.mailbox.clone()]),
            None,
            Arc::clone(&sources.process),
        ));
        let admin = Admin::start(sources, workers.iter().map(asked).collect());
        let admin = admin.map_err(StartError::Disk)?;
        let limits = WorkerLimits {
            min_rate: None,
            requests_max: None,
            ..worker_limits(config)
        };
        let mut worker = Worker::new(
            services,
            content,
            Roots::new(&[], 0),
            ResponseCache::new(NO_CACHE),
            limits,
            seat.mailbox,
        );
        worker.admin = Some(Arc::new(admin));
        // Who may ask for files is nothing to it.
        worker.clients = Arc::new(Clients::new(&config::Clients::default()));
        let stop = Stop {
            shared: Arc::clone(&shared),
            waker: seat.waker,
        };
        let reactor = Reactor::new(0, seat.poll, seat.listeners, worker, shared);
        Ok(Some(Self {
            address,
            reactor: reactor.map_err(StartError::Io)?,
            stop,
        }))
    }

    /// Serves on a thread of its own. `guard` is dropped when that ends.
    pub(super) fn spawn(self, guard: StopOnExit) -> io::Result<AdminThread> {
        let (reactor, stop) = (self.reactor, self.stop);
        let thread = thread::Builder::new()
            .name("zc-admin".to_owned())
            .spawn(move || {
                let _guard = guard;
                reactor.run()
            })?;
        Ok(AdminThread { thread, stop })
    }
}

impl AdminThread {
    /// The workers have ended: it ends as well.
    pub(super) fn finish(self) -> Result<(), StartError> {
        self.stop.shared.stopping.store(true, Ordering::Release);
        // It fails only when the epoll instance is gone, and then nobody needs waking.
        let _ = self.stop.waker.wake();
        match self.thread.join() {
            Ok(answer) => answer.map(drop).map_err(StartError::Io),
            Err(_) => Err(StartError::WorkerPanicked),
        }
    }
}

fn asked(mailbox: &Mailbox<WorkerMessage>) -> AskedWorker {
    let mailbox = mailbox.clone();
    let ask = move |sender: Sender<WorkerSnapshot>| mailbox.send(WorkerMessage::Snapshot(sender));
    Box::new(ask)
}
