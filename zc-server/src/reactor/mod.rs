//! Poll → dispatch → ready queue → deadlines. Nothing here knows HTTP.
//!
//! The rules of edge-triggered readiness, and where each is kept:
//!
//! * an edge is reported once: [`Reactor::dispatch`] queues its connection, and `Connection::drive`
//!   goes on until the socket returns would-block;
//! * bytes that were read already raise no edge: after a response, `drive` parses again at once;
//! * a connection that stops because its budget is spent goes to the end of a queue, and the next poll
//!   does not wait.
//!
//! Requests come before responses under way. Between two polls, the responses send as many bytes as take
//! about the time of the requests before them, and one turn at least. So a request waits for about one
//! turn of a download, however many downloads there are, and downloads get half of the time, however many
//! requests there are.
//!
//! Cold requests are scheduled after hot ones, and in small numbers: to start a disk read takes many times
//! as long as to answer from memory, and many of them at once would delay everything else.

mod accept;
pub(crate) mod balance;
mod counting;
pub(crate) mod drain;
mod handshakes;
mod idle;
pub(crate) mod listener;
mod pauses;
mod reserve;
pub(crate) mod room;
pub(crate) mod schedule;
pub(crate) mod slots;
mod state;
pub(crate) mod timer;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::config::Scheme;
use crate::connection::{Connection, Idleness, Turn};
use crate::observe::counters::Phase;
use crate::reactor::idle::IdleConnections;
use crate::reactor::listener::Listener;
use crate::reactor::reserve::Reserve;
use crate::reactor::schedule::{Quantum, Queued, Scheduler, TURN_COST_BYTES};
use crate::reactor::slots::Slots;
use crate::reactor::timer::{TICK_MS, Wheel};
use crate::worker::{Worker, WorkerMessage};
pub(crate) use state::{EndTimes, ServerState};

/// The token of the ring: no connection's, and not that of a waker.
const RING: Token = Token(u32::MAX as usize - 1);
/// Readiness events taken from the kernel in one call.
const EVENTS_MAX: usize = 512;
/// TLS handshakes that go on between two polls. A step of one takes about 0.1 ms.
const HANDSHAKES_MAX: usize = 4;
/// How soon log lines for which the log's queue had no room are offered again, in milliseconds.
const LOG_RETRY_MS: u64 = 100;

/// Whether new connections are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepting {
    /// At the next edge of a listener.
    OnEdge,
    /// In the next turn: a batch ended before the listener was empty.
    NextTurn,
    /// Not before this time, in milliseconds of the worker's clock: no descriptor is free.
    After(u64),
    /// Never again: the server drains.
    Stopped,
}

/// One worker: an epoll instance, its listeners and its connections.
#[derive(Debug)]
pub(crate) struct Reactor {
    /// Its place among the workers.
    index: usize,
    poll: Poll,
    listeners: Vec<Listener>,
    accepting: Accepting,
    /// Places for handshakes that were given to this worker, and that no connection has yet.
    granted_handshakes: usize,
    /// The listener that is looked at first.
    first_listener: usize,
    reserve: Reserve,
    slots: Slots<Slot>,
    /// Those with a request, or that something has happened to.
    ready: VecDeque<Token>,
    /// Those whose TLS handshake goes on.
    handshakes: VecDeque<Token>,
    /// The same as the ready ones, where the last response was of a cold file.
    cold: VecDeque<Token>,
    /// Those whose response is under way and can go on.
    streaming: VecDeque<Token>,
    wheel: Wheel<Token>,
    /// Those whose rate is limited wait for this one.
    pauses: Option<Wheel<Token>>,
    idle: IdleConnections,
    scheduler: Scheduler,
    worker: Worker,
    shared: Arc<ServerState>,
    /// Microseconds since the server began, renewed once a turn.
    now_us: u64,
    grace_deadline_ms: Option<u64>,
    /// Responses cut by the end of the grace period.
    cut: usize,
}

#[derive(Debug)]
struct Slot {
    connection: Connection,
    /// True while its token is in one of the queues, where it stands once at most.
    queued: bool,
    /// When the wheel will look at it: not later than a tick after its deadline.
    armed_ms: u64,
    /// What it is counted as; `None` where nothing is.
    phase: Option<Phase>,
    /// Whether it counts for `--max-handshakes`.
    has_handshake_place: bool,
}

impl Reactor {
    /// A reactor whose waker, if any, was registered with `poll` under a token at or above the
    /// number of listeners.
    pub(crate) fn new(
        index: usize,
        poll: Poll,
        mut listeners: Vec<Listener>,
        worker: Worker,
        shared: Arc<ServerState>,
    ) -> io::Result<Self> {
        for (number, listener) in listeners.iter_mut().enumerate() {
            poll.registry()
                .register(&mut listener.socket, Token(number), Interest::READABLE)?;
        }
        if let Some(ring) = &worker.ring {
            let descriptor = ring.as_fd().as_raw_fd();
            let mut source = SourceFd(&descriptor);
            let registry = poll.registry();
            registry.register(&mut source, RING, Interest::READABLE)?;
        }
        Ok(Self {
            index,
            poll,
            listeners,
            accepting: Accepting::NextTurn,
            granted_handshakes: 0,
            first_listener: 0,
            reserve: Reserve::new(),
            slots: Slots::new(),
            ready: VecDeque::new(),
            handshakes: VecDeque::new(),
            cold: VecDeque::new(),
            streaming: VecDeque::new(),
            wheel: Wheel::new(0),
            pauses: None,
            idle: IdleConnections::default(),
            scheduler: Scheduler::default(),
            worker,
            shared,
            now_us: 0,
            grace_deadline_ms: None,
            cut: 0,
        })
    }

    /// Serves until the server is stopped and drained. Answers how many responses were cut.
    pub(crate) fn run(mut self) -> io::Result<usize> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut expired = Vec::new();
        self.renew_clock();
        loop {
            // Looked at before the poll, which then tells of all that had arrived by the time of the
            // signal: a connection that seems idle without its edge would be reset by its closing.
            let stop = self.is_drain_due();
            let timeout = if stop {
                Some(Duration::ZERO)
            } else {
                self.poll_timeout()
            };
            self.end_turn();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                answer => answer?,
            }
            self.renew_clock();
            for event in &events {
                self.dispatch(event);
            }
            if stop {
                self.begin_drain();
            }
            self.take_messages();
            self.take_reads();
            self.accept_all();
            self.drive_queued();
            self.worker.sweep();
            self.wheel.expire(self.worker.now_ms, &mut expired);
            if !expired.is_empty() {
                // An answer that has come during this turn beats the deadline.
                self.take_messages();
                self.take_reads();
            }
            for token in expired.drain(..) {
                self.check_deadline(token);
            }
            self.end_pauses(&mut expired);
            self.worker.flush_log();
            self.publish_idle();
            self.report_shed(self.now_us);
            if stop {
                self.count_drain();
            }
            if self.worker.is_draining() && self.drained() {
                self.report_shed(u64::MAX);
                return Ok(self.cut);
            }
        }
    }

    fn renew_clock(&mut self) {
        let elapsed = self.shared.started.elapsed();
        self.now_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let now_ms = self.now_us / 1000;
        self.worker.renew_clock(now_ms);
        self.worker.lap_us = self.now_us;
        self.begin_turn();
        self.worker.turn.quantum_bytes = self.scheduler.turn_bytes(now_ms);
    }

    fn poll_timeout(&self) -> Option<Duration> {
        let queues = [&self.ready, &self.handshakes, &self.cold, &self.streaming];
        let is_idle = queues.iter().all(|queue| queue.is_empty());
        if !is_idle || self.accepting == Accepting::NextTurn {
            return Some(Duration::ZERO);
        }
        let pause_end = match self.accepting {
            Accepting::After(time) => Some(time),
            _ => None,
        };
        let log_pending = self.worker.has_pending_log();
        let next = [
            self.wheel.next_wakeup_ms(),
            self.pauses.as_ref().and_then(Wheel::next_wakeup_ms),
            pause_end,
            self.next_end_ms(),
            log_pending.then_some(self.worker.now_ms + LOG_RETRY_MS),
            self.worker.next_sweep_ms(),
            self.shared.shed.next_line_us().map(|us| us.div_ceil(1000)),
        ]
        .into_iter()
        .flatten()
        .min()?;
        Some(Duration::from_millis(
            next.saturating_sub(self.worker.now_ms),
        ))
    }

    fn dispatch(&mut self, event: &mio::event::Event) {
        let token = event.token();
        if token.0 < self.listeners.len() {
            if self.accepting == Accepting::OnEdge {
                self.accepting = Accepting::NextTurn;
            }
            return;
        }
        // The tokens of the waker and the ring are no connection's: they have done their work by ending
        // the poll.
        let Some(slot) = self.slots.get_mut(token) else {
            return;
        };
        self.idle.forget(token);
        if event.is_readable() || event.is_read_closed() {
            slot.connection.on_readable(event.is_read_closed());
        }
        if event.is_writable() {
            slot.connection.on_writable();
        }
        if event.is_write_closed() || event.is_error() {
            slot.connection.on_gone();
        }
        if slot.connection.is_sending() {
            enqueue(&mut self.streaming, token, slot);
        } else if slot.connection.is_handshaking() {
            enqueue(&mut self.handshakes, token, slot);
        } else if slot.connection.was_cold() {
            enqueue(&mut self.cold, token, slot);
        } else {
            enqueue(&mut self.ready, token, slot);
        }
    }

    /// What requests to the disk have brought.
    fn take_reads(&mut self) {
        while let Some((token, exchange, result)) = self.worker.next_read() {
            if let Some(slot) = self.slots.get_mut(token) {
                slot.connection.on_read(exchange, result);
                enqueue(&mut self.streaming, token, slot);
            }
        }
    }

    /// What the threads of the disk and the other workers have left.
    fn take_messages(&mut self) {
        for message in self.worker.mailbox.take() {
            match message {
                WorkerMessage::Done(token, exchange, done) => {
                    if let Some(slot) = self.slots.get_mut(token) {
                        slot.connection.on_done(exchange, done);
                        if slot.connection.is_sending() {
                            enqueue(&mut self.streaming, token, slot);
                        } else {
                            enqueue(&mut self.ready, token, slot);
                        }
                    }
                }
                WorkerMessage::Connection(stream, arrival) => {
                    self.insert(stream, arrival);
                }
                WorkerMessage::HandshakeGranted => self.on_handshake_granted(),
                WorkerMessage::RoomWanted(by, shortage) => self.on_room_wanted(by, shortage),
                WorkerMessage::RoomAnswered => self.on_room_answered(),
                WorkerMessage::Reload {
                    content,
                    roots,
                    clients,
                    limits,
                } => {
                    self.worker.clients = clients;
                    self.worker.set_limits(limits);
                    self.worker.replace_content(content, &roots);
                }
                WorkerMessage::Ping(sender) => drop(sender),
                // Who asked may have given up.
                WorkerMessage::Snapshot(sender) => drop(sender.send(self.snapshot())),
            }
        }
    }

    fn remove(&mut self, token: Token) {
        // Dropping the stream closes the descriptor, and with it the registration.
        if let Some(slot) = self.slots.remove(token) {
            self.count_closed(&slot);
            if slot.has_handshake_place {
                self.end_handshake(Scheme::Https);
            }
            self.idle.forget(token);
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            self.shared.balance.end(self.index);
            if matches!(self.accepting, Accepting::After(_)) {
                self.accepting = Accepting::NextTurn;
            }
        }
    }

    /// One turn for everyone who was ready when it began, and then for some of those with cold files or of
    /// those whose response is under way.
    fn drive_queued(&mut self) {
        let requests = self.ready.len();
        for _ in 0..requests {
            if let Some(token) = self.ready.pop_front() {
                self.drive(token);
            }
        }
        for _ in 0..self.handshakes.len().min(HANDSHAKES_MAX) {
            if let Some(token) = self.handshakes.pop_front() {
                self.drive(token);
            }
        }
        let queued = Queued {
            cold: !self.cold.is_empty(),
            streaming: !self.streaming.is_empty(),
        };
        let has_answered = std::mem::take(&mut self.worker.turn.has_answered);
        let now_ms = self.worker.now_ms;
        let quantum = self.scheduler.next(requests, has_answered, queued, now_ms);
        self.worker.turn.quantum_bytes = self.scheduler.turn_bytes(now_ms);
        match quantum {
            Quantum::Cold(count) => {
                for _ in 0..count.min(self.cold.len()) {
                    if let Some(token) = self.cold.pop_front() {
                        self.drive(token);
                    }
                }
            }
            Quantum::Streaming(bytes) => {
                self.worker.turn.streamed_bytes = 0;
                for turns in 0..self.streaming.len() as u64 {
                    if self.worker.turn.streamed_bytes + turns * TURN_COST_BYTES >= bytes {
                        return;
                    }
                    if let Some(token) = self.streaming.pop_front() {
                        self.drive(token);
                    }
                }
            }
        }
    }

    fn drive(&mut self, token: Token) {
        let Some(slot) = self.slots.get_mut(token) else {
            return;
        };
        slot.queued = false;
        self.worker.token = token;
        let turn = slot.connection.drive(&mut self.worker);
        self.after_turn(token, turn);
    }

    fn check_deadline(&mut self, token: Token) {
        let now_ms = self.worker.now_ms;
        let Some(slot) = self.slots.get_mut(token) else {
            return;
        };
        if slot.armed_ms > now_ms {
            // An entry of the wheel that an earlier one made superfluous.
            return;
        }
        let deadline_ms = slot.connection.deadline_ms();
        if deadline_ms > now_ms {
            slot.armed_ms = self.wheel.schedule(token, deadline_ms);
            return;
        }
        slot.armed_ms = u64::MAX;
        self.worker.token = token;
        let turn = slot.connection.on_deadline(&mut self.worker);
        self.after_turn(token, turn);
    }

    /// After a turn: queued again, waiting with its deadline armed, or gone.
    fn after_turn(&mut self, token: Token, turn: Turn) {
        if turn == Turn::Closed {
            self.remove(token);
            return;
        }
        let Some(slot) = self.slots.get_mut(token) else {
            return;
        };
        if slot.has_handshake_place && !slot.connection.is_handshaking() {
            slot.has_handshake_place = false;
            self.shared.free_handshake();
        }
        let idleness = match turn {
            Turn::Again => Idleness::Busy,
            _ => slot.connection.idleness(),
        };
        self.idle.note(token, idleness, self.now_us);
        if let Some(counters) = &self.worker.counters {
            let phase = Some(slot.connection.phase());
            counters.count_phase(slot.phase, phase);
            slot.phase = phase;
        }
        match turn {
            Turn::Again => enqueue(&mut self.streaming, token, slot),
            Turn::Pause(until_ms) => return self.pause(token, until_ms),
            _ => {}
        }
        // A deadline that moved away is found out when the old one is due; one that came nearer by
        // a tick or more is not waited for.
        let deadline_ms = slot.connection.deadline_ms();
        if deadline_ms.saturating_add(TICK_MS) <= slot.armed_ms {
            slot.armed_ms = self.wheel.schedule(token, deadline_ms);
        }
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        // Nobody is to wait for an answer of a worker that has ended, in whatever way.
        self.worker.mailbox.end();
    }
}

fn enqueue(queue: &mut VecDeque<Token>, token: Token, slot: &mut Slot) {
    if !slot.queued {
        slot.queued = true;
        queue.push_back(token);
    }
}
