//! How fast a client is sent to, at most, and how fast it has to take what it is sent, at least.
//!
//! A [`Bucket`] of tokens is one number: the time up to which all that was sent is paid for. What lies between that
//! time and now is credit, of which a connection has a bounded amount, and a time in the future is a debt.
//!
//! Times are of the worker's clock, in milliseconds; within a bucket they are nanoseconds.

use std::num::NonZeroU64;

/// How long a connection without credit waits at least. So a response is sent in some twenty pieces a second.
const PAUSE_NS: i64 = 50_000_000;
/// The most credit, in pauses: a worker that wakes up late by one loses nothing of the rate.
const CREDIT_PAUSES: i64 = 2;
/// The least that is waited for, in bytes: the payload of a segment. Less would be a packet of its own.
const SEGMENT_BYTES: u64 = 1448;
/// The most of a body in memory that goes at once, in bytes: as much as a TLS record.
const PIECE_BYTES_MAX: u64 = 16 * 1024;
/// The longest pause, in milliseconds; then it is looked at again.
const PAUSE_MS_MAX: u64 = 5_000;

const NS_PER_S: i128 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// The most that a response is sent at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLimit {
    pub(crate) bytes_per_second: NonZeroU64,
    /// How many of the first bytes of a response may go on credit.
    pub(crate) after_bytes: u64,
}

impl RateLimit {
    /// How much of a body in memory goes at once.
    pub(crate) fn piece_bytes(&self) -> usize {
        let bytes = self.bytes_in(self.pause_ns()).min(PIECE_BYTES_MAX);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// What so many bytes take.
    fn ns_of(&self, bytes: u64) -> i64 {
        let ns = i128::from(bytes) * NS_PER_S / i128::from(self.bytes_per_second.get());
        i64::try_from(ns).unwrap_or(i64::MAX)
    }

    /// What goes in such a time.
    fn bytes_in(&self, ns: i64) -> u64 {
        let bytes = i128::from(ns) * i128::from(self.bytes_per_second.get()) / NS_PER_S;
        u64::try_from(bytes).unwrap_or(0)
    }

    /// How long a connection without credit waits.
    fn pause_ns(&self) -> i64 {
        // A byte more, since both conversions round down.
        PAUSE_NS.max(self.ns_of(SEGMENT_BYTES + 1))
    }

    /// The most credit of a connection that has sent `sent` bytes of a response.
    fn credit_ns_max(&self, sent: u64) -> i64 {
        let of_response = self.ns_of(self.after_bytes.saturating_sub(sent));
        of_response.max(self.pause_ns().saturating_mul(CREDIT_PAUSES))
    }
}

/// What a connection may send now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// So many bytes, and at least one.
    Bytes(u64),
    /// Nothing before this time.
    After(u64),
}

/// The tokens of one connection.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Up to when all that was sent is paid for.
    paid_ns: i64,
}

impl Default for Bucket {
    /// One that is full by whatever rate.
    fn default() -> Self {
        Self { paid_ns: i64::MIN }
    }
}

impl Bucket {
    /// What may be sent of a response of which `sent` bytes went already.
    pub(crate) fn allowance(&self, limit: RateLimit, sent: u64, now_ms: u64) -> Allowance {
        let now_ns = in_ns(now_ms);
        let credit_ns = now_ns.saturating_sub(self.paid_at(limit, sent, now_ns));
        let pause_ns = limit.pause_ns();
        if credit_ns >= pause_ns {
            return Allowance::Bytes(limit.bytes_in(credit_ns));
        }
        let wait_ns = u64::try_from(pause_ns.saturating_sub(credit_ns)).unwrap_or(0);
        let wait_ms = wait_ns.div_ceil(NS_PER_MS).min(PAUSE_MS_MAX);
        Allowance::After(now_ms + wait_ms)
    }

    /// Takes the tokens of `bytes` that were sent behind `sent` others of a response.
    pub(crate) fn charge(&mut self, limit: RateLimit, sent: u64, bytes: u64, now_ms: u64) {
        let paid_ns = self.paid_at(limit, sent, in_ns(now_ms));
        self.paid_ns = paid_ns.saturating_add(limit.ns_of(bytes));
    }

    /// The same time where credit is bounded.
    fn paid_at(&self, limit: RateLimit, sent: u64, now_ns: i64) -> i64 {
        let earliest_ns = now_ns.saturating_sub(limit.credit_ns_max(sent));
        self.paid_ns.max(earliest_ns)
    }
}

/// The least that a client has to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MinRate {
    pub(crate) bytes_per_second: NonZeroU64,
    /// Over how much time of waiting for the client.
    pub(crate) window_ms: u64,
}

/// What a client takes of a response while the server waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Intake {
    /// For how long it was waited for in this window, up to the last time.
    waited_ms: u64,
    /// Since when it is waited for.
    since_ms: Option<u64>,
    /// What it had taken when the window began. What the kernel held before the response counts below 0.
    taken_bytes: i64,
}

impl Intake {
    /// The client is waited for from now on; it has taken `taken_bytes`. Answers when the window ends.
    pub(crate) fn begin(&mut self, rate: MinRate, taken_bytes: i64, now_ms: u64) -> u64 {
        if self.waited_ms == 0 {
            self.taken_bytes = taken_bytes;
        }
        self.since_ms = Some(now_ms);
        now_ms + rate.window_ms.saturating_sub(self.waited_ms)
    }

    /// The client is not what is waited for any more.
    pub(crate) fn end(&mut self, now_ms: u64) {
        if let Some(since_ms) = self.since_ms.take() {
            self.waited_ms += now_ms.saturating_sub(since_ms);
        }
    }

    /// While the client is waited for: whether it has taken too little, once the window is over. Then the next one
    /// begins.
    pub(crate) fn is_too_slow(&mut self, rate: MinRate, taken_bytes: i64, now_ms: u64) -> bool {
        self.end(now_ms);
        if self.waited_ms < rate.window_ms {
            return false;
        }
        let taken = i128::from(taken_bytes) - i128::from(self.taken_bytes);
        let due = i128::from(rate.bytes_per_second.get()) * i128::from(self.waited_ms) / 1_000;
        self.waited_ms = 0;
        taken < due
    }
}

fn in_ns(ms: u64) -> i64 {
    i64::try_from(ms.saturating_mul(NS_PER_MS)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(bytes_per_second: u64, after_bytes: u64) -> RateLimit {
        RateLimit {
            bytes_per_second: NonZeroU64::new(bytes_per_second).expect("a rate"),
            after_bytes,
        }
    }

    /// A connection by a made clock, which wakes up `late_ms` after the end of each pause.
    struct Sender {
        bucket: Bucket,
        now_ms: u64,
        late_ms: u64,
        /// The most bytes within one moment of the clock.
        burst: u64,
        pauses: u32,
    }

    impl Sender {
        fn new(now_ms: u64, late_ms: u64) -> Self {
            Self {
                bucket: Bucket::default(),
                now_ms,
                late_ms,
                burst: 0,
                pauses: 0,
            }
        }

        /// Sends a response in pieces of a multiple of `quantum`, as TLS does by its records.
        fn send(&mut self, limit: RateLimit, length: u64, quantum: u64) {
            let (mut sent, mut at_once) = (0, 0);
            while sent < length {
                match self.bucket.allowance(limit, sent, self.now_ms) {
                    Allowance::Bytes(bytes) => {
                        assert!(bytes > 0);
                        let bytes = bytes.div_ceil(quantum) * quantum;
                        let bytes = bytes.min(length - sent);
                        self.bucket.charge(limit, sent, bytes, self.now_ms);
                        sent += bytes;
                        at_once += bytes;
                        self.burst = self.burst.max(at_once);
                    }
                    Allowance::After(time_ms) => {
                        assert!(time_ms > self.now_ms, "it would spin");
                        self.now_ms = time_ms + self.late_ms;
                        self.pauses += 1;
                        at_once = 0;
                    }
                }
            }
        }
    }

    #[test]
    fn a_response_takes_the_time_of_its_rate() {
        for rate in [1_000, 10_000, 1_000_000, 100_000_000, 10_000_000_000] {
            for (late_ms, quantum) in [(0, 1), (15, 1), (40, 1), (15, 16 * 1024)] {
                for began_ms in [0, 7, 1_000_000] {
                    let limit = limit(rate, 0);
                    let length = 100 * rate.max(1024);
                    let mut sender = Sender::new(began_ms, late_ms);
                    sender.send(limit, length, quantum);
                    let took_ms = sender.now_ms - began_ms;
                    let ideal_ms = 1_000 * length / rate;
                    // The first tenth of a second, or two segments, or a record, is not waited for; and it ends with
                    // the last pause.
                    let free_ms = 100 + 1_000 * (2 * 1_500 + quantum) / rate;
                    let what = format!("{rate} B/s, late by {late_ms} ms, in {quantum} B");
                    assert!(took_ms + free_ms >= ideal_ms, "{what}: {took_ms} ms");
                    let slow_ms = ideal_ms + PAUSE_MS_MAX + free_ms;
                    assert!(took_ms <= slow_ms, "{what}: {took_ms} of {ideal_ms} ms");
                }
            }
        }
    }

    #[test]
    fn bursts_are_a_tenth_of_a_second_at_most_and_a_segment_at_least() {
        for (rate, most) in [(1_000, 2 * 1_450), (1_000_000, 100_000)] {
            let mut sender = Sender::new(5_000, 500);
            sender.send(limit(rate, 0), 50 * rate, 1);
            assert!(sender.burst <= most, "{rate}: {}", sender.burst);
            assert!(sender.burst >= SEGMENT_BYTES, "{rate}: {}", sender.burst);
        }
    }

    #[test]
    fn the_first_bytes_of_a_response_are_not_waited_for() {
        let limit = limit(10_000, 1_000_000);
        // A server that has run for a moment knows no less of it.
        for now_ms in [0, 10_000_000] {
            let mut sender = Sender::new(now_ms, 0);
            sender.send(limit, 1_000_000, 1);
            assert_eq!((sender.pauses, sender.now_ms), (0, now_ms));
            sender.send(limit, 100_000, 1);
            // Those of the next one are the same bytes: a connection has them once.
            assert!(sender.now_ms - now_ms >= 9_900, "{}", sender.now_ms);
            // They come back while nothing is sent, at the rate.
            sender.now_ms += 100_000;
            let (pauses, rested_ms) = (sender.pauses, sender.now_ms);
            sender.send(limit, 1_000_000, 1);
            assert_eq!((sender.pauses, sender.now_ms), (pauses, rested_ms));
        }
    }

    #[test]
    fn small_responses_in_a_row_are_as_slow_as_one() {
        for after_bytes in [0, 50_000] {
            let limit = limit(100_000, after_bytes);
            let mut sender = Sender::new(3_000, 15);
            for _ in 0..10_000 {
                sender.send(limit, 100, 1);
            }
            let took_ms = sender.now_ms - 3_000;
            let free_ms = 100 + after_bytes / 100;
            assert!(took_ms + free_ms >= 10_000, "{after_bytes}: {took_ms}");
        }
    }

    #[test]
    fn a_rate_of_another_response_counts_from_where_the_bucket_is() {
        let mut sender = Sender::new(1_000, 0);
        sender.send(limit(1_000, 0), 10_000, 1);
        let before_ms = sender.now_ms;
        // A second of the slow one is a second of the fast one.
        sender.send(limit(1_000_000, 0), 10_000, 10_000);
        assert!(sender.now_ms - before_ms <= 3_000);
    }

    #[test]
    fn a_client_is_too_slow_by_the_time_that_it_was_waited_for() {
        let rate = MinRate {
            bytes_per_second: NonZeroU64::new(1_000).expect("a rate"),
            window_ms: 30_000,
        };
        let mut intake = Intake::default();
        // The kernel has more than this response has given it.
        assert_eq!(intake.begin(rate, -5_000, 1_000), 31_000);
        // A pause of a minute in the middle is nobody's fault.
        intake.end(11_000);
        assert_eq!(intake.begin(rate, 7_000, 71_000), 91_000);
        assert!(!intake.is_too_slow(rate, 24_999, 90_999), "not over yet");
        assert_eq!(intake.begin(rate, 24_999, 90_999), 91_000);
        let mut slower = intake;
        assert!(slower.is_too_slow(rate, 24_999, 91_000));
        assert!(!intake.is_too_slow(rate, 25_000, 91_000));
        // The next window counts from there.
        assert_eq!(intake.begin(rate, 25_000, 91_000), 121_000);
        assert!(intake.is_too_slow(rate, 54_999, 121_000));
    }

    #[test]
    fn no_number_is_too_large() {
        let limit = limit(u64::MAX, u64::MAX);
        let mut bucket = Bucket::default();
        assert!(matches!(
            bucket.allowance(limit, 0, 0),
            Allowance::Bytes(1..)
        ));
        bucket.charge(limit, 0, u64::MAX, u64::MAX);
        let slow = self::limit(1, u64::MAX);
        assert!(matches!(
            bucket.allowance(slow, 0, 0),
            Allowance::After(PAUSE_MS_MAX)
        ));
        bucket.charge(slow, 1, u64::MAX, 0);
        assert!(matches!(
            bucket.allowance(slow, 1, 0),
            Allowance::After(PAUSE_MS_MAX)
        ));
    }
}
