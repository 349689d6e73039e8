//! What the metrics count. Each worker has counters that it alone writes, so that counting takes neither a lock
//! nor an instruction that locks; who reads them adds those of all workers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use zc_core::Reason;
use zc_http::{Method, Status};

/// The upper bounds of the buckets of times, in microseconds: from what a small response takes to what nobody waits
/// for. Longer times are in a bucket of their own.
pub(crate) const BOUNDS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
/// The lowest status code that is counted, and how many there are from it on; the last place is that of requests
/// without an answer.
const CODE_MIN: u16 = 200;
const CODES: usize = 400;
/// The methods in the order of their places.
const METHODS: [Method; 10] = [
    Method::Get,
    Method::Head,
    Method::Post,
    Method::Put,
    Method::Delete,
    Method::Connect,
    Method::Options,
    Method::Trace,
    Method::Patch,
    Method::Unrecognized,
];

/// A number that one thread writes, and others read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, number: u64) {
        self.set(self.get().wrapping_add(number));
    }

    #[inline]
    pub(crate) fn subtract(&self, number: u64) {
        self.set(self.get().wrapping_sub(number));
    }

    #[inline]
    pub(crate) fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often a time fell between two of [`BOUNDS_US`].
///
/// The sum stands beside the buckets of short times, in one line of the processor's cache.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Histogram {
    sum_us: Counter,
    /// One for each bound, and one for what is longer.
    buckets: [Counter; BOUNDS_US.len() + 1],
}

impl Histogram {
    #[inline]
    fn record(&self, time_us: u64) {
        let bucket = BOUNDS_US.iter().take_while(|&&bound| time_us > bound);
        self.buckets[bucket.count()].add(1);
        self.sum_us.add(time_us);
    }

    /// How many times are in each bucket alone.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().map(Counter::get)
    }

    pub(crate) fn sum_us(&self) -> u64 {
        self.sum_us.get()
    }
}

/// A closed set of words, one for each value of a label.
pub(crate) trait Words: Copy + 'static {
    /// Its values, each at its place.
    const ALL: &'static [Self];
    /// Its word, in the metrics.
    fn word(self) -> &'static str;
}

/// An enumeration whose values are words of the metrics.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$doc])* $value,)* }

        impl Words for $name {
            const ALL: &'static [Self] = &[$(Self::$value,)*];

            fn word(self) -> &'static str {
                match self { $(Self::$value => $word,)* }
            }
        }
    };
}

words! {
    /// What a connection does between two turns.
    Phase {
        /// Its TLS handshake goes on.
        Handshake = "handshake",
        /// A request is to come, or the rest of one.
        Reading = "reading",
        /// Between two requests.
        Idle = "idle",
        /// A request waits for the disk, or for its own body.
        Waiting = "waiting",
        /// A response is under way.
        Sending = "sending",
        /// All is sent, and the end of the client awaited.
        Closing = "closing",
    }
}

words! {
    /// Why a connection was closed.
    CloseReason {
        /// The client has ended it.
        Client = "client",
        /// The last response was sent, as the client or the server wanted.
        Complete = "complete",
        IdleTimeout = "idle_timeout",
        HeaderTimeout = "header_timeout",
        SendTimeout = "send_timeout",
        /// The client took less than `--min-rate`.
        TooSlow = "too_slow",
        DiskTimeout = "disk_timeout",
        /// The TLS handshake has failed.
        Handshake = "handshake",
        /// Its header of the PROXY protocol was wrong or did not come.
        ProxyHeader = "proxy_header",
        /// Its client had as many others as it may have.
        Refused = "refused",
        /// A response could not be sent as its head had promised.
        Error = "error",
        /// Another connection needed the room.
        Room = "room",
        Shutdown = "shutdown",
    }
}

words! {
    /// How the bytes of a body went.
    BodyPath {
        /// There were none.
        None = "none",
        Memory = "memory",
        Sendfile = "sendfile",
        Splice = "splice",
        Copy = "copy",
        TlsMemory = "tls-memory",
        TlsCopy = "tls-copy",
        KtlsSendfile = "ktls-sendfile",
        KtlsSplice = "ktls-splice",
    }
}

words! {
    /// How a TLS handshake ended.
    HandshakeResult {
        Full = "full",
        Resumed = "resumed",
        Failed = "failed",
    }
}

words! {
    /// Why the bytes of a file went by another way than the first.
    FallbackReason {
        /// The kernel, the filesystem or a filter of system calls refused it.
        Refused = "refused",
        /// The filesystem is known to send wrong bytes that way.
        FileSystem = "file_system",
    }
}

impl From<Reason> for FallbackReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::FileSystem(_) => Self::FileSystem,
            // The only other one.
            _ => Self::Refused,
        }
    }
}

/// What the response cache of a worker holds and has done, as of the end of a turn.
#[derive(Debug, Default)]
pub(crate) struct CacheCounters {
    pub(crate) entries: Counter,
    pub(crate) bytes: Counter,
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) evictions: Counter,
}

/// What the metrics tell of a request, beside its response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) method: Method,
    /// When its worker turned to it, in microseconds of the server's clock; 0 where nothing is measured.
    pub(crate) started_us: u64,
    /// When the first bytes of its response were accepted by the socket; 0 until then.
    pub(crate) first_byte_us: u64,
}

impl Default for Measured {
    /// Of what is no request.
    fn default() -> Self {
        Self {
            method: Method::Unrecognized,
            started_us: 0,
            first_byte_us: 0,
        }
    }
}

/// What one worker counts.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct WorkerCounters {
    /// The origin of the server's clock.
    epoch: Instant,
    /// When the turn began that the worker is in, in milliseconds; 0 while it waits for events.
    turn_began_ms: Counter,
    /// By method and code.
    requests: Box<[Counter]>,
    pub(crate) duration: Histogram,
    pub(crate) first_byte: Histogram,
    body_bytes: [Counter; BodyPath::ALL.len()],
    fallbacks: [Counter; FallbackReason::ALL.len()],
    pub(crate) accepted: Counter,
    closed: [Counter; CloseReason::ALL.len()],
    phases: [Counter; Phase::ALL.len()],
    handshakes: [Counter; HandshakeResult::ALL.len()],
    pub(crate) cache: CacheCounters,
}

impl WorkerCounters {
    /// `epoch` is the origin of the server's clock.
    pub(crate) fn new(epoch: Instant) -> Self {
        let requests = METHODS.len() * CODES;
        Self {
            epoch,
            turn_began_ms: Counter::default(),
            requests: (0..requests).map(|_| Counter::default()).collect(),
            duration: Histogram::default(),
            first_byte: Histogram::default(),
            body_bytes: Default::default(),
            fallbacks: Default::default(),
            accepted: Counter::default(),
            closed: Default::default(),
            phases: Default::default(),
            handshakes: Default::default(),
            cache: CacheCounters::default(),
        }
    }

    /// Microseconds since the server began, as of now.
    #[inline]
    pub(crate) fn clock_us(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A turn begins, at `now_ms`.
    #[inline]
    pub(crate) fn begin_turn(&self, now_ms: u64) {
        self.turn_began_ms.set(now_ms.max(1));
    }

    /// The worker waits for events from now on.
    #[inline]
    pub(crate) fn end_turn(&self) {
        self.turn_began_ms.set(0);
    }

    /// When the turn began that the worker is in, in milliseconds of the server's clock; `None` while it waits for
    /// events.
    pub(crate) fn turn_began_ms(&self) -> Option<u64> {
        Some(self.turn_began_ms.get()).filter(|&began_ms| began_ms > 0)
    }

    /// Counts a request at its end, `now_us`, and how long it took. Where nothing of a response was sent there is no
    /// first byte.
    #[inline]
    pub(crate) fn count_request(
        &self,
        measured: Measured,
        status: Option<Status>,
        is_begun: bool,
        now_us: u64,
    ) {
        if let Some(counter) = self.requests.get(place(measured.method, status)) {
            counter.add(1);
        }
        if status.is_none() {
            return;
        }
        let since = |time_us: u64| time_us.saturating_sub(measured.started_us);
        self.duration.record(since(now_us));
        if is_begun {
            let first_us = match measured.first_byte_us {
                0 => now_us,
                known => known,
            };
            self.first_byte.record(since(first_us));
        }
    }

    /// Counts bytes of a body that the socket has accepted.
    #[inline]
    pub(crate) fn count_body(&self, path: BodyPath, bytes: u64) {
        if bytes > 0 {
            self.body_bytes[path as usize].add(bytes);
        }
    }

    pub(crate) fn count_fallback(&self, reason: Reason) {
        self.fallbacks[FallbackReason::from(reason) as usize].add(1);
    }

    pub(crate) fn count_closed(&self, reason: CloseReason) {
        self.closed[reason as usize].add(1);
    }

    #[cfg(feature = "tls")]
    pub(crate) fn count_handshake(&self, result: HandshakeResult) {
        self.handshakes[result as usize].add(1);
    }

    /// A connection goes from one phase to another; `None` before its first and after its last.
    #[inline]
    pub(crate) fn count_phase(&self, from: Option<Phase>, to: Option<Phase>) {
        if from != to {
            if let Some(phase) = from {
                self.phases[phase as usize].subtract(1);
            }
            if let Some(phase) = to {
                self.phases[phase as usize].add(1);
            }
        }
    }

    /// The requests by method and code, as far as there were any. Those without an answer have no code.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (Method, Option<u16>, u64)> {
        let counted = self.requests.iter().map(Counter::get).enumerate();
        counted
            .filter(|&(_, number)| number > 0)
            .map(|(place, number)| {
                let code = (place % CODES) as u16;
                let code = (usize::from(code) < CODES - 1).then_some(code + CODE_MIN);
                (METHODS[place / CODES], code, number)
            })
    }

    pub(crate) fn body_bytes(&self, path: BodyPath) -> u64 {
        self.body_bytes[path as usize].get()
    }

    pub(crate) fn fallbacks(&self, reason: FallbackReason) -> u64 {
        self.fallbacks[reason as usize].get()
    }

    pub(crate) fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize].get()
    }

    pub(crate) fn phase(&self, phase: Phase) -> u64 {
        self.phases[phase as usize].get()
    }

    pub(crate) fn handshakes(&self, result: HandshakeResult) -> u64 {
        self.handshakes[result as usize].get()
    }
}

/// Where requests with this method and status are counted.
#[inline]
fn place(method: Method, status: Option<Status>) -> usize {
    let none = CODES - 1;
    let code = status.map_or(none, |status| {
        usize::from(status.code().saturating_sub(CODE_MIN)).min(none - 1)
    });
    method as usize * CODES + code
}

/// What the whole process tells of itself.
#[derive(Debug)]
pub(crate) struct Process {
    /// The origin of the server's clock.
    pub(crate) started: Instant,
    /// The same as a time of day.
    pub(crate) started_at: SystemTime,
    /// Whether new connections are wanted. It becomes false when the server begins to stop, which may be some time
    /// before its listeners close.
    pub(crate) ready: AtomicBool,
    /// How many configurations there were, the present one included.
    pub(crate) generation: AtomicU64,
    /// Whether the configuration that was read last could be used.
    pub(crate) is_reloaded: AtomicBool,
    /// When the present configuration was read, in seconds since 1970.
    pub(crate) reloaded_at: AtomicU64,
}

impl Process {
    /// One that begins now.
    pub(crate) fn begin(started: Instant) -> Self {
        Self {
            started,
            started_at: SystemTime::now(),
            ready: AtomicBool::new(true),
            generation: AtomicU64::new(1),
            is_reloaded: AtomicBool::new(true),
            reloaded_at: AtomicU64::new(unix_seconds(SystemTime::now())),
        }
    }

    /// A new configuration is in use, or could not be used.
    pub(crate) fn note_reload(&self, is_successful: bool) {
        self.is_reloaded.store(is_successful, Ordering::Relaxed);
        if is_successful {
            self.generation.fetch_add(1, Ordering::Relaxed);
            let now = unix_seconds(SystemTime::now());
            self.reloaded_at.store(now, Ordering::Relaxed);
        }
    }
}

/// Seconds since 1970.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> WorkerCounters {
        WorkerCounters::new(Instant::now())
    }

    #[test]
    fn each_method_and_code_is_counted_at_its_place() {
        let counters = counters();
        let measured = |method| Measured {
            method,
            ..Measured::default()
        };
        for (number, method) in METHODS.into_iter().enumerate() {
            assert_eq!(method as usize, number);
            for _ in 0..=number {
                counters.count_request(measured(method), Some(Status::Ok), true, 10);
                let last = Some(Status::HttpVersionNotSupported);
                counters.count_request(measured(method), last, true, 10);
                counters.count_request(measured(method), None, false, 10);
            }
        }
        let counted: Vec<_> = counters.requests().collect();
        let expected = METHODS.into_iter().zip(1..).flat_map(|(method, number)| {
            let codes = [Some(200), Some(505), None];
            codes.map(|code| (method, code, number))
        });
        assert_eq!(counted, expected.collect::<Vec<_>>());
        assert_eq!(counters.duration.buckets().sum::<u64>(), 110);
    }

    #[test]
    fn a_time_is_in_the_first_bucket_that_is_not_below_it() {
        let histogram = Histogram::default();
        for time_us in [0, 50, 51, 100, 10_000_000, 10_000_001, 60_000_000] {
            histogram.record(time_us);
        }
        let buckets: Vec<u64> = histogram.buckets().collect();
        assert_eq!(
            (buckets[0], buckets[1], buckets[16], buckets[17]),
            (2, 2, 1, 2)
        );
        assert_eq!(buckets.iter().sum::<u64>(), 7);
        assert_eq!(histogram.sum_us(), 80_000_202);
    }

    #[test]
    fn the_first_byte_has_a_time_of_its_own_where_there_was_one() {
        let counters = counters();
        let measured = Measured {
            method: Method::Get,
            started_us: 1_000,
            first_byte_us: 1_040,
        };
        counters.count_request(measured, Some(Status::Ok), true, 2_000);
        counters.count_request(measured, Some(Status::Ok), false, 2_000);
        assert_eq!(counters.duration.sum_us(), 2_000);
        assert_eq!(counters.first_byte.sum_us(), 40);
        assert_eq!(counters.first_byte.buckets().next(), Some(1));
    }

    #[test]
    fn a_connection_is_in_one_phase_at_a_time() {
        let counters = counters();
        counters.count_phase(None, Some(Phase::Reading));
        counters.count_phase(Some(Phase::Reading), Some(Phase::Sending));
        counters.count_phase(Some(Phase::Sending), Some(Phase::Sending));
        let phases = || Phase::ALL.iter().map(|&phase| counters.phase(phase));
        assert_eq!(phases().sum::<u64>(), 1);
        assert_eq!(counters.phase(Phase::Sending), 1);
        counters.count_phase(Some(Phase::Sending), None);
        assert_eq!(phases().sum::<u64>(), 0);
    }
}
