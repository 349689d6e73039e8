//! What all workers use, for as long as the process lives.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{io, num::NonZero, thread};

use zc_core::{PipePool, Policy};

use crate::auth::Checks;
#[cfg(feature = "tls")]
use crate::certificates::Acceptor;
use crate::clients::Clients;
use crate::config::{self, CONNECTIONS_MAX_LIMIT, Config};
use crate::disk::{Disk, DiskState, Role};
use crate::files::archive::Places;
use crate::files::budget::Budget;
use crate::files::mounts::{Mounts, ReadPath};
use crate::files::open_file::{OpenFile, OpenMode};
use crate::observe::diagnostics::Diagnostics;
#[cfg(feature = "tls")]
use crate::tls::KernelSealing;

/// Passwords that may wait for a thread. Half of the places are for one client, and as many clients as there are find
/// one: see [`Disk::submit`].
const CHECKS_QUEUED_MAX: usize = 512;
/// The most threads that check passwords.
const CHECK_THREADS_MAX: usize = 16;

/// What all workers use, whatever is served.
#[derive(Debug)]
pub(crate) struct Services {
    /// Threads that look up, list, send and close.
    pub(crate) disk: Disk,
    /// Threads that read files.
    pub(crate) readers: Disk,
    /// Threads that check passwords, from when a file of users is first in use.
    checkers: OnceLock<Disk>,
    /// What they have found.
    pub(crate) checks: Arc<Checks>,
    /// What is known of each mount.
    pub(crate) mounts: Arc<Mounts>,
    /// What the kernel has refused: `sendfile` between two kinds of descriptors is tried once.
    pub(crate) policy: Arc<Policy>,
    /// The pipes of responses that go by splice.
    pub(crate) pipes: PipePool,
    /// Whether workers leave to the threads of the disk what they would have to wait for.
    offload_cold_reads: bool,
    /// Whether a worker may wait for cold files by io_uring.
    pub(crate) may_use_io_uring: bool,
    /// The memory of all listings and archives that are read or sent.
    pub(crate) listings: Budget,
    /// The archives that are made or sent.
    pub(crate) archives: Places,
    pub(crate) diagnostics: Diagnostics,
    /// What is configured about clients. Each worker has it as well.
    clients: Mutex<Arc<Clients>>,
    /// What handshakes of HTTPS are made with; `None` where there is no certificate.
    #[cfg(feature = "tls")]
    pub(crate) acceptor: Option<Acceptor>,
    /// For which connections of HTTPS the kernel seals.
    #[cfg(feature = "tls")]
    pub(crate) kernel_sealing: Arc<KernelSealing>,
}

impl Services {
    /// Starts the threads of the disk.
    pub(crate) fn start(config: &Config, diagnostics: Diagnostics) -> io::Result<Self> {
        // Each connection waits for one thing at a time: with two places for each, the connections of one
        // mount find one among half of them.
        let places = disk_places(config.connections_max);
        let start = |role| Disk::start(role, config.disk_threads, places);
        let disk = start(Role::Other)?;
        Ok(Self {
            mounts: Arc::new(Mounts::new(disk.handle())),
            disk,
            readers: start(Role::Read)?,
            checkers: OnceLock::new(),
            checks: Arc::default(),
            policy: Arc::new(Policy::new()),
            // A connection has one at most.
            pipes: PipePool::new(CONNECTIONS_MAX_LIMIT, zc_core::PIPE_BYTES_DEFAULT),
            offload_cold_reads: config.offload_cold_reads,
            may_use_io_uring: config.offload_cold_reads && config.io_uring,
            listings: Budget::default(),
            archives: Places::default(),
            diagnostics,
            clients: Mutex::new(Arc::new(Clients::new(&config.clients))),
            #[cfg(feature = "tls")]
            acceptor: None,
            #[cfg(feature = "tls")]
            kernel_sealing: Arc::new(KernelSealing::off()),
        })
    }

    /// Starts the threads that check passwords, unless they are there.
    pub(crate) fn start_checkers(&self) -> io::Result<()> {
        if self.checkers.get().is_none() {
            // Two at least: one client has half of them at most.
            let cores = thread::available_parallelism().map_or(1, NonZero::get);
            let threads = (cores / 2).clamp(2, CHECK_THREADS_MAX);
            let checkers = Disk::start(Role::Check, threads, CHECKS_QUEUED_MAX)?;
            // Another one may have been quicker; its threads are as good.
            let _ = self.checkers.set(checkers);
        }
        Ok(())
    }

    /// The threads of this role; `None` while nobody has needed them.
    pub(crate) fn threads(&self, role: Role) -> Option<&Disk> {
        match role {
            Role::Read => Some(&self.readers),
            Role::Other => Some(&self.disk),
            Role::Check => self.checkers.get(),
        }
    }

    /// What the threads that check passwords have to do.
    pub(crate) fn checkers_state(&self) -> DiskState {
        self.checkers.get().map(Disk::state).unwrap_or_default()
    }

    /// What is configured about clients.
    pub(crate) fn clients(&self) -> Arc<Clients> {
        Arc::clone(&self.clients.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers what is configured about clients from now on.
    pub(crate) fn renew_clients(&self, config: &config::Clients) -> Arc<Clients> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        *clients = Arc::new(clients.renewed(config));
        Arc::clone(&clients)
    }

    /// Takes so many connections into account from now on.
    pub(crate) fn set_connections_max(&self, connections_max: usize) {
        let places = disk_places(connections_max);
        self.disk.set_queue_max(places);
        self.readers.set_queue_max(places);
    }

    /// Whether a worker may wait for a disk.
    pub(crate) fn open_mode(&self) -> OpenMode {
        if self.offload_cold_reads {
            OpenMode::CachedOnly
        } else {
            OpenMode::MayBlock
        }
    }

    /// How the bytes of a file are to be read.
    pub(crate) fn read_path(&self, file: &OpenFile) -> ReadPath {
        file.read_path(self.open_mode())
    }
}

/// How many jobs may wait for a thread of the disk.
fn disk_places(connections_max: usize) -> usize {
    connections_max * 2
}
