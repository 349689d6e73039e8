//! A load generator of one thread that costs as little as it can: bodies are discarded in the kernel
//! (`MSG_TRUNC`), so that what the client pays for copying does not hide what the server pays.
//!
//! *Closed loop*: each connection asks again as soon as it has its answer. *Open loop*: requests are
//! due at a fixed rate, whatever the server does, and latency counts from the moment each was due,
//! so that a stall shows in the figures of all requests that it held up.

mod client;
mod idle;
mod response;
mod transport;

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fmt, io};

use hdrhistogram::Histogram;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use client::{Client, Event};
pub use idle::{Held, hold_idle};
pub(crate) use response::{Head, read_head};
pub use transport::{Cipher, SERVER_NAME, Tls};

/// The longest latency that is told apart, in nanoseconds: ten minutes.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// So long before a request is due in an open loop, and after it was sent, the loop does not sleep.
/// Waking up takes longer where others use the core: until what they do in the kernel is done, 0.2 to
/// 0.3 ms once in 100 times beside 32 downloads. What is late because of that is the client's delay and
/// not the server's. It is no longer, since who spins takes its core from the downloads.
const AWAKE: Duration = Duration::from_micros(400);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where the server listens.
    pub address: SocketAddr,
    /// What is asked for; each request takes the next one, round and round.
    pub targets: Vec<Target>,
    /// Connections held at once.
    pub connections: usize,
    /// Whether a connection serves many requests, or one.
    pub keep_alive: bool,
    /// How to speak TLS; `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// Requests per second over all connections; `None` for a closed loop.
    pub rate: Option<f64>,
    /// Time before the measurement begins.
    pub warm_up: Duration,
    /// Time of the measurement.
    pub duration: Duration,
    /// How many responses must have ended before the measurement does, in a closed loop: it goes on
    /// for [`duration_max`](Self::duration_max) at most. At a fixed rate it takes its time and no
    /// longer, since there the requests that have no answer count, with what they have waited.
    pub responses_min: u64,
    /// The longest time of the measurement; what is less than [`duration`](Self::duration) is that.
    pub duration_max: Duration,
    /// Every so many responses one is read whole and compared with its file, the last of them: of
    /// fewer none is. 0 for none.
    pub verify_every: u64,
}

/// One thing to ask for.
#[derive(Debug, Clone)]
pub struct Target {
    /// The path, with its query.
    pub path: String,
    /// The file that must come back.
    pub file: Option<PathBuf>,
}

/// What came of it.
pub struct Outcome {
    /// Responses with status 200 that ended in the measured time.
    pub responses: u64,
    /// Bytes of their bodies, and of those under way.
    pub body_bytes: u64,
    /// Responses with another status.
    pub other_status: u64,
    /// Connections that ended before their response did.
    pub errors: u64,
    /// Responses that were compared with their file and equal.
    pub verified: u64,
    /// Responses on connections that went on with the session of an earlier one, by TLS.
    pub resumed: u64,
    /// Requests that were due and had no answer at the end. Their latency until then is counted, so
    /// that a server which answers nothing does not look fast.
    pub unanswered: u64,
    /// The measured time, in seconds.
    pub seconds: f64,
    /// From asking (or from when it was due) to the last byte of the response, in nanoseconds.
    pub latency: Histogram<u64>,
    /// CPU time of this thread over the measured time, in seconds.
    pub client_cpu_seconds: f64,
}

impl Load {
    /// Runs it.
    ///
    /// # Errors
    ///
    /// If the server does not accept a first connection, or epoll fails. A response that is not what
    /// its file is, is an error of kind `InvalidData`: nothing measured of such a server counts.
    pub fn run(&self) -> io::Result<Outcome> {
        self.run_and_say(|| {})
    }

    /// The same, with a word when the measurement begins.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_and_say(&self, measuring: impl FnOnce()) -> io::Result<Outcome> {
        let mut measuring = Some(measuring);
        let mut clients = Vec::with_capacity(self.connections);
        let mut poll = Poll::new()?;
        for index in 0..self.connections {
            clients.push(Client::connect(self, index, &poll)?);
        }
        let alarm = Alarm::new(&poll)?;
        let mut run = Run::new(self, clients);
        let mut events = Events::with_capacity(1024);
        while run.goes_on() {
            if run.cpu_before.is_some()
                && let Some(measuring) = measuring.take()
            {
                measuring();
            }
            alarm.poll(&mut poll, &mut events, run.poll_timeout())?;
            for event in events.iter().filter(|event| event.token() != ALARM) {
                run.on_event(event.token().0, &poll)?;
            }
            run.start_what_is_due(&poll)?;
        }
        if let Some(measuring) = measuring.take() {
            measuring();
        }
        Ok(run.finish())
    }

    fn request(&self, target: &Target) -> Vec<u8> {
        let connection = if self.keep_alive {
            ""
        } else {
            "Connection: close\r\n"
        };
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n{connection}\r\n",
            target.path, self.address
        )
        .into_bytes()
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("responses", &self.responses)
            .field("body_bytes", &self.body_bytes)
            .field("other_status", &self.other_status)
            .field("errors", &self.errors)
            .field("verified", &self.verified)
            .field("resumed", &self.resumed)
            .field("unanswered", &self.unanswered)
            .field("seconds", &self.seconds)
            .field("p50_ns", &self.latency.value_at_quantile(0.5))
            .field("p99_ns", &self.latency.value_at_quantile(0.99))
            .field("client_cpu_seconds", &self.client_cpu_seconds)
            .finish()
    }
}

/// A load under way.
struct Run<'l> {
    load: &'l Load,
    requests: Vec<Vec<u8>>,
    clients: Vec<Client>,
    /// Clients that wait for something to ask, in an open loop.
    idle: Vec<usize>,
    next_target: usize,
    responses_seen: u64,
    began: Instant,
    measured_from: Instant,
    /// When the measurement ends, if enough responses have ended by then.
    ends: Instant,
    ends_at_last: Instant,
    /// When the next request is due, in an open loop.
    due: Instant,
    /// When the last one was sent, in an open loop.
    asked: Instant,
    outcome: Outcome,
    cpu_before: Option<Duration>,
}

impl<'l> Run<'l> {
    fn new(load: &'l Load, clients: Vec<Client>) -> Self {
        let began = Instant::now();
        let measured_from = began + load.warm_up;
        Self {
            requests: load
                .targets
                .iter()
                .map(|target| load.request(target))
                .collect(),
            idle: (0..clients.len()).rev().collect(),
            clients,
            next_target: 0,
            responses_seen: 0,
            began,
            measured_from,
            ends: measured_from + load.duration,
            ends_at_last: measured_from + load.duration.max(load.duration_max),
            due: began,
            asked: began,
            outcome: Outcome {
                responses: 0,
                body_bytes: 0,
                other_status: 0,
                errors: 0,
                verified: 0,
                resumed: 0,
                unanswered: 0,
                seconds: load.duration.as_secs_f64(),
                latency: new_histogram(),
                client_cpu_seconds: 0.0,
            },
            cpu_before: None,
            load,
        }
    }

    fn goes_on(&mut self) -> bool {
        let now = Instant::now();
        if self.cpu_before.is_none() && now >= self.measured_from {
            self.cpu_before = Some(cpu_time());
            // What comes from here on counts; bytes of responses under way count from here.
            for client in &mut self.clients {
                client.body_bytes = 0;
            }
        }
        !self.is_over(now)
    }

    fn is_over(&self, now: Instant) -> bool {
        let responses = self.outcome.responses + self.outcome.other_status;
        let is_enough = self.load.rate.is_some() || responses >= self.load.responses_min;
        now >= self.ends && (is_enough || now >= self.ends_at_last)
    }

    /// How long the poll may sleep.
    fn poll_timeout(&self) -> Duration {
        let now = Instant::now();
        let end = if now < self.measured_from {
            self.measured_from
        } else if now < self.ends {
            self.ends
        } else {
            self.ends_at_last
        };
        let mut poll_timeout = end.saturating_duration_since(now);
        if self.load.rate.is_some() {
            poll_timeout = poll_timeout.min(self.due.saturating_duration_since(now));
            let is_waiting = self.idle.len() < self.clients.len();
            if poll_timeout <= AWAKE || is_waiting && now < self.asked + AWAKE {
                return Duration::ZERO;
            }
            poll_timeout -= AWAKE;
        }
        poll_timeout.min(Duration::from_millis(100))
    }

    fn on_event(&mut self, index: usize, poll: &Poll) -> io::Result<()> {
        loop {
            match self.clients[index].advance()? {
                Event::Waits => return Ok(()),
                Event::Done {
                    status,
                    started,
                    verified,
                    resumed,
                    closes,
                } => {
                    self.count(status, started, verified, resumed);
                    if closes || !self.load.keep_alive {
                        // As a client does that was told so: the server ends it first.
                        self.clients[index].expect_end();
                        continue;
                    }
                    if self.load.rate.is_some() {
                        self.idle.push(index);
                        return Ok(());
                    }
                    self.ask(index, Instant::now())?;
                }
                Event::Closed => {
                    self.reconnect(index, poll)?;
                    self.idle.push(index);
                    return Ok(());
                }
                Event::Ended => {
                    if Instant::now() >= self.measured_from {
                        self.outcome.errors += 1;
                    }
                    self.reconnect(index, poll)?;
                    self.idle.push(index);
                    return Ok(());
                }
                // It is among the idle already.
                Event::EndedIdle => return self.reconnect(index, poll),
            }
        }
    }

    fn count(&mut self, status: u16, started: Instant, verified: bool, resumed: bool) {
        self.responses_seen += 1;
        let now = Instant::now();
        if now < self.measured_from || self.is_over(now) {
            return;
        }
        if status != 200 {
            self.outcome.other_status += 1;
            return;
        }
        self.outcome.responses += 1;
        self.outcome.verified += u64::from(verified);
        self.outcome.resumed += u64::from(resumed);
        let latency = u64::try_from((now - started).as_nanos()).unwrap_or(u64::MAX);
        self.outcome.latency.saturating_record(latency);
    }

    fn reconnect(&mut self, index: usize, poll: &Poll) -> io::Result<()> {
        let old = &self.clients[index];
        let body_bytes = old.body_bytes;
        self.clients[index] = Client::connect(self.load, index, poll)?;
        self.clients[index].body_bytes = body_bytes;
        Ok(())
    }

    fn start_what_is_due(&mut self, poll: &Poll) -> io::Result<()> {
        let Some(rate) = self.load.rate else {
            while let Some(index) = self.idle.pop() {
                self.ask(index, Instant::now())?;
                self.on_event(index, poll)?;
            }
            return Ok(());
        };
        let step = Duration::from_secs_f64(1.0 / rate);
        let now = Instant::now();
        while self.due <= now {
            // With every connection busy the request waits, and its time runs.
            let Some(index) = self.idle.pop() else {
                return Ok(());
            };
            let due = self.due;
            self.due += step;
            self.asked = now;
            self.ask(index, due)?;
            self.on_event(index, poll)?;
        }
        Ok(())
    }

    fn ask(&mut self, index: usize, started: Instant) -> io::Result<()> {
        let target = self.next_target;
        self.next_target = (target + 1) % self.load.targets.len();
        let every = self.load.verify_every;
        let file = self.load.targets[target]
            .file
            .as_ref()
            .filter(|_| every > 0 && (self.responses_seen + 1).is_multiple_of(every));
        let expected = file.map(std::fs::read).transpose()?;
        self.clients[index].ask(&self.requests[target], started, expected)
    }

    /// In an open loop, counts what is under way and what was due and could not be sent.
    fn count_unanswered(&mut self, rate: f64, now: Instant) {
        let step = Duration::from_secs_f64(1.0 / rate);
        let mut due = Vec::new();
        due.extend(self.clients.iter().filter_map(Client::waiting_since));
        while self.due <= now {
            due.push(self.due);
            self.due += step;
        }
        for since in due.into_iter().filter(|since| *since >= self.measured_from) {
            self.outcome.unanswered += 1;
            let waited = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
            self.outcome.latency.saturating_record(waited);
        }
    }

    fn finish(mut self) -> Outcome {
        if let Some(rate) = self.load.rate {
            self.count_unanswered(rate, Instant::now());
        }
        let cpu = cpu_time() - self.cpu_before.unwrap_or_default();
        self.outcome.client_cpu_seconds = cpu.as_secs_f64();
        self.outcome.seconds = (Instant::now() - self.measured_from.max(self.began)).as_secs_f64();
        self.outcome.body_bytes = self.clients.iter().map(|client| client.body_bytes).sum();
        self.outcome
    }
}

/// A histogram for latencies in nanoseconds, to three digits.
#[must_use]
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).unwrap_or_else(|_| {
        unreachable!("the bounds are constants of which the first is less than the second")
    })
}

/// A timer that is exact to the microsecond: the timeout of epoll is in milliseconds.
struct Alarm(TimerFd);

/// No client has this number.
const ALARM: Token = Token(usize::MAX);

impl Alarm {
    fn new(poll: &Poll) -> io::Result<Self> {
        // Timers of this thread would else be up to 50 us late.
        nix::sys::prctl::set_timerslack(1)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        let mut source = SourceFd(&timer.as_fd().as_raw_fd());
        // Told once each time that it goes off, so it need not be read.
        poll.registry()
            .register(&mut source, ALARM, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Waits for events for so long at most.
    fn poll(&self, poll: &mut Poll, events: &mut Events, limit: Duration) -> io::Result<()> {
        let limit = if limit.is_zero() {
            Some(limit)
        } else {
            let expiration = Expiration::OneShot(limit.into());
            self.0.set(expiration, TimerSetTimeFlags::empty())?;
            None
        };
        poll.poll(events, limit)
    }
}

fn cpu_time() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests;
