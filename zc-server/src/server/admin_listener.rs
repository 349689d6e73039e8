//! The admin listener: a reactor beside the workers, which outlives them.

use std::io;
use std::sync::Arc;
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
use crate::reactor::listener::{InheritedSocket, bind_all};
use crate::reactor::{EndTimes, Reactor, ServerState};
use crate::respond::cache::{Bounds, ResponseCache};
use crate::start::StartError;
use crate::worker::{Worker, WorkerLimits, WorkerMessage};

/// Connections that are open at a time.
const CONNECTIONS_MAX: usize = 64;
/// The time that responses have which are under way when the workers have ended.
const END: EndTimes = EndTimes {
    drain_delay_ms: 0,
    grace_ms: 1_000,
};
/// It keeps no files.
const NO_CACHE: Bounds = Bounds {
    entries: 0,
    bytes: 0,
    file_max: 0,
    ttl_ms: 0,
};

/// What each worker counts: nothing without the listener.
pub(super) fn counters(
    has_admin: bool,
    config: &Config,
    process: &Process,
) -> Vec<Arc<WorkerCounters>> {
    let workers = match has_admin {
        true => config.threads.max(1),
        false => 0,
    };
    let new = |_| Arc::new(WorkerCounters::new(process.started));
    (0..workers).map(new).collect()
}

/// The listener, before its thread is started.
#[derive(Debug)]
pub(super) struct AdminListener {
    pub(super) address: ListenAddress,
    pub(super) mailbox: Mailbox<WorkerMessage>,
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
    /// Listens on the socket that is inherited for it, or else on its address, if there is one. `workers` are asked by their mailboxes for what they have under way.
    pub(super) fn bind(
        sources: Sources,
        inherited: Option<InheritedSocket>,
        workers: &[Mailbox<WorkerMessage>],
        content: Arc<Content>,
        config: &Config,
    ) -> Result<Option<Self>, StartError> {
        let spoken = Scheme::Http.into();
        let bind = config.admin_bind.clone().filter(|_| inherited.is_none());
        let binds: Vec<_> = bind.map(|bind| (bind.into(), spoken)).into_iter().collect();
        let mut bound = bind_all(&binds, 1, &config.network).map_err(StartError::Bind)?;
        if let Some(socket) = inherited {
            let adopted = bound.adopt(socket, spoken, &config.network);
            adopted.map_err(StartError::Bind)?;
        }
        let Some(listening) = bound.listening.pop() else {
            return Ok(None);
        };
        let address = listening.address;
        let seat = Seat::new(bound.workers.remove(0)).map_err(StartError::Io)?;
        let services = Arc::clone(&sources.services);
        let shared = Arc::new(ServerState::new(
            CONNECTIONS_MAX,
            None,
            END,
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
            seat.mailbox.clone(),
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
            mailbox: seat.mailbox,
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
        self.stop.shared.drain_in(0);
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
