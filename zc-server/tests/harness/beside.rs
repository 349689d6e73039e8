//! Requests for a file in memory all along, beside whatever else a test does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::workers::Workers;
use super::{Client, Server, wait_until};

/// 500 requests a second.
const PERIOD: Duration = Duration::from_millis(2);
/// More than there are workers, so that each has some.
const CONNECTIONS: usize = 32;

/// A thread that asks for `/hot`, whose body is `hot`, by one of many connections after the other.
pub(crate) struct HotRequests {
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    answered: AtomicUsize,
    is_over: AtomicBool,
}

impl HotRequests {
    /// Every connection has been answered once when it returns.
    pub(crate) fn start(server: &Server) -> Self {
        let connect = |_| {
            let mut client = server.connect();
            assert_eq!(client.get("/hot").body, b"hot");
            client
        };
        let clients: Vec<_> = (0..CONNECTIONS).map(connect).collect();
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        let thread = std::thread::spawn(move || ask(clients, &shared));
        Self {
            counts,
            thread: Some(thread),
        }
    }

    /// Waits until so many more are answered.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) {
        let answered = || self.counts.answered.load(Ordering::Relaxed);
        let enough = answered() + count;
        wait_until("hot requests are answered", || {
            let thread = self.thread.as_ref();
            answered() >= enough || thread.is_none_or(JoinHandle::is_finished)
        });
        assert!(answered() >= enough, "a hot request was answered wrongly");
    }

    /// Ends after the request that is under way.
    pub(crate) fn stop(mut self) {
        self.counts.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("joined here alone");
        thread.join().expect("every one was answered");
    }
}

impl Drop for HotRequests {
    fn drop(&mut self) {
        // In a test that fails nobody waits for it: it ends with the server.
        self.counts.is_over.store(true, Ordering::Relaxed);
    }
}

fn ask(mut clients: Vec<Client>, counts: &Counts) {
    let mut next = Instant::now();
    for index in (0..clients.len()).cycle() {
        if counts.is_over.load(Ordering::Relaxed) {
            return;
        }
        let response = clients[index].get("/hot");
        assert_eq!((response.status, &response.body[..]), (200, &b"hot"[..]));
        counts.answered.fetch_add(1, Ordering::Relaxed);
        next += PERIOD;
        if let Some(rest) = next.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(rest);
        }
    }
}

/// Says what the workers do when the test fails.
pub(crate) struct SaysWhere(pub(crate) Workers);

impl Drop for SaysWhere {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0.stacks());
        }
    }
}

/// What a server has of the machine.
#[derive(Debug)]
pub(crate) struct Holdings {
    /// Open descriptors.
    pub(crate) descriptors: usize,
    /// Threads that it has started, but for those of the disk.
    pub(crate) threads: usize,
    /// Threads of the disk.
    pub(crate) disk_threads: usize,
    /// Memory, in KiB.
    pub(crate) memory_kib: u64,
}

impl Holdings {
    pub(crate) fn of(server: &Server) -> Self {
        let process = format!("/proc/{}", server.pid());
        let tasks = std::fs::read_dir(format!("{process}/task")).expect("our child");
        let names: Vec<_> = tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            // The kernel's own, of a ring.
            .filter(|name| !name.starts_with("iou-"))
            .collect();
        let is_of_disk =
            |name: &&String| name.starts_with("zc-disk") || name.starts_with("zc-read");
        let disk_threads = names.iter().filter(is_of_disk).count();
        let status = std::fs::read_to_string(format!("{process}/status")).expect("our child");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|memory| memory.trim().strip_suffix(" kB"));
        Self {
            descriptors: server.descriptors(),
            threads: names.len() - disk_threads,
            disk_threads,
            memory_kib: memory.and_then(|kib| kib.parse().ok()).expect("KiB"),
        }
    }
}
