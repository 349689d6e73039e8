//! Small requests over many paths, at a fixed rate for the whole run.
//!
//! Each request has a time at which it is due, and its latency counts from then. If all clients wait for
//! responses, the requests that could not be sent meanwhile have that wait in their latencies.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::content::Small;
use super::http::{Connection, Fault, Response};
use super::measure::{Outcome, Record};

/// Clients, with a connection each.
const CLIENTS: usize = 48;
/// After so many requests a client makes a new connection.
const REQUESTS_OF_CONNECTION: u32 = 20;
/// How long a client waits for a response.
const RESPONSE_MAX: Duration = Duration::from_secs(30);
/// Of so many requests one goes to the nodes by HTTPS.
const TLS_EVERY: u64 = 5;

/// Which releases may be answered with: a bit for each.
pub(super) const FIRST: u8 = 1;
/// The second one.
pub(super) const SECOND: u8 = 2;

/// The load under way. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    interval: Duration,
    /// Where the balancer accepts what goes to the nodes as HTTP, and as HTTPS.
    addresses: [SocketAddr; 2],
    small: Small,
    /// How many requests were taken.
    taken: AtomicU64,
    releases: AtomicU8,
    is_over: AtomicBool,
    records: Mutex<Vec<Record>>,
}

impl Load {
    /// Starts it. Times count from `began`.
    pub(super) fn start(
        began: Instant,
        addresses: [SocketAddr; 2],
        requests_per_second: u32,
        small: Small,
    ) -> Self {
        let shared = Arc::new(Shared {
            began,
            interval: Duration::from_secs(1) / requests_per_second,
            addresses,
            small,
            taken: AtomicU64::new(0),
            releases: AtomicU8::new(FIRST),
            is_over: AtomicBool::new(false),
            records: Mutex::new(Vec::new()),
        });
        let client = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.run_client())
        };
        Self {
            clients: (0..CLIENTS).map(client).collect(),
            shared,
        }
    }

    /// From now on responses must be of these releases.
    pub(super) fn expect(&self, releases: u8) {
        self.shared.releases.store(releases, Ordering::SeqCst);
    }

    /// All requests that have ended.
    pub(super) fn records(&self) -> Vec<Record> {
        self.shared.lock().clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            // Nobody waits for a client that waits for a response: it ends with the process.
            if client.is_finished() {
                let _ = client.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_client(&self) {
        // One for each address.
        let mut connections = [None, None];
        while !self.is_over.load(Ordering::SeqCst) {
            let number = self.taken.fetch_add(1, Ordering::SeqCst);
            let due = self
                .interval
                .saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
            thread::sleep(due.saturating_sub(self.began.elapsed()));
            let key = Small::key_of(number);
            let way = usize::from(number.is_multiple_of(TLS_EVERY));
            let allowed = self.releases.load(Ordering::SeqCst);
            let (answer, repeated) = ask(
                &mut connections[way],
                self.addresses[way],
                &Small::target(key),
            );
            let allowed = allowed | self.releases.load(Ordering::SeqCst);
            let latency = self.began.elapsed().saturating_sub(due);
            let node = answer.as_ref().ok().and_then(|response| response.node);
            self.lock().push(Record {
                due,
                latency,
                key,
                node,
                outcome: self.judge(key, allowed, answer),
                repeated,
            });
        }
    }

    fn judge(&self, key: u16, allowed: u8, answer: Result<Response, Fault>) -> Outcome {
        match answer {
            Err(Fault::Refused) => Outcome::Refused,
            Err(Fault::ClosedBefore | Fault::ClosedWithin) => Outcome::Cut,
            Err(Fault::TimedOut) => Outcome::TimedOut,
            Ok(response) if response.status != 200 => Outcome::Status(response.status),
            Ok(response) if self.small.is_expected(key, allowed, &response.body) => Outcome::Good,
            Ok(_) => Outcome::WrongBytes,
        }
    }
}

/// Asks on the connection there is, or on a new one. A server may close a connection that was used before at
/// any time; a GET request that meets this is sent once more, as browsers do. Answers whether it was.
fn ask(
    kept: &mut Option<Connection>,
    address: SocketAddr,
    target: &str,
) -> (Result<Response, Fault>, bool) {
    let deadline = Instant::now() + RESPONSE_MAX;
    let mut repeated = false;
    loop {
        let opened = kept.take().map_or_else(|| Connection::open(address), Ok);
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(fault) => return (Err(fault), repeated),
        };
        match connection.get(target, deadline) {
            Err(Fault::ClosedBefore) if connection.answered > 0 && !repeated => repeated = true,
            Err(fault) => return (Err(fault), repeated),
            Ok(response) => {
                if !response.is_last && connection.answered < REQUESTS_OF_CONNECTION {
                    *kept = Some(connection);
                }
                return (Ok(response), repeated);
            }
        }
    }
}
