//! Who has a turn after the requests: connections with cold files, or responses under way; and how much.

/// Body bytes in one turn of one connection while nobody asks for small things. With 256 KiB large
/// files cost 1.24 times the CPU of a bare `sendfile` loop, with 1 MiB 0.99 to 1.00 times, with this
/// much 0.93 to 0.97 times.
const TURN_BYTES_MAX: u64 = 2 << 20;
/// The same while somebody does. Beside eight greedy downloads the p99 of small requests was 0.164 ms
/// with turns of 1 MiB, 0.090 ms with 512 KiB and 0.068 ms with this much; the downloads had 6.5, 6.2 and
/// 6.0 GB/s. Beside 32 of cold files of 64 MiB, who came while a worker was at work waited for 0.095 ms
/// once in 20 times with 512 KiB, and for 0.045 ms with this much.
const TURN_BYTES_MAX_INTERACTIVE: u64 = 256 << 10;
/// How long after a small response others are expected, in milliseconds.
const INTERACTIVE_MS: u64 = 100;
/// Bytes of a response under way that cost about as much as a small request, or as a turn that sends
/// nothing.
pub(crate) const TURN_COST_BYTES: u64 = 64 * 1024;
/// Cold connections in one turn while nobody asks for small things. Each of them begins a read, and
/// the disk has to have some before it: with one of them to each MiB of responses, 32 downloads of cold
/// files of 64 KiB had 0.909 times the throughput of as many readers of the disk, with two 0.941, with four 0.985
/// and with this many 1.025 times (medians of six).
const COLD_MAX: usize = 8;
/// The same while somebody does: one costs about as much as five small requests. With two of them beside
/// a small request, the p99 of small requests beside 32 downloads of cold files of 64 KiB was 0.25 ms,
/// with one it was 0.22 ms, and the downloads had as much.
const COLD_MAX_INTERACTIVE: usize = 1;
/// For so many requests of others, one cold connection more has a turn.
const REQUESTS_PER_COLD: usize = 8;

/// Decides who has a turn after the requests of those who were ready.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    /// Until when small responses are expected, after one that went.
    interactive_until_ms: u64,
    /// Whether of both, cold connections and responses under way, the former had the last quantum.
    was_for_cold: bool,
}

/// Who waits for a quantum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queued {
    /// Connections whose last response was of a cold file.
    pub(crate) cold: bool,
    /// Those whose response is under way.
    pub(crate) streaming: bool,
}

/// What is done between two polls beside the requests of those who were ready.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Quantum {
    /// So many cold connections have a turn.
    Cold(usize),
    /// Responses under way have turns until they come to so many bytes, each with [`TURN_COST_BYTES`] on
    /// top.
    Streaming(u64),
}

impl Scheduler {
    /// The most that one connection sends in one turn, in bytes.
    pub(crate) fn turn_bytes(&self, now_ms: u64) -> u64 {
        if now_ms < self.interactive_until_ms {
            TURN_BYTES_MAX_INTERACTIVE
        } else {
            TURN_BYTES_MAX
        }
    }

    /// What comes after `requests` of those who were ready, and before those who have come meanwhile;
    /// `has_answered` when a small response went since the last time. It is for one of the others that
    /// are `queued`, cold connections or responses under way, by turns. Beside 32 downloads of cold files
    /// of 64 KiB, who came while a worker was at work waited for 0.099 ms once in 20 times with both in a
    /// turn, and for 0.048 ms with one (medians of five traces of a quiet machine).
    pub(crate) fn next(
        &mut self,
        requests: usize,
        has_answered: bool,
        queued: Queued,
        now_ms: u64,
    ) -> Quantum {
        if has_answered {
            self.interactive_until_ms = now_ms + INTERACTIVE_MS;
        }
        let is_for_cold = queued.cold && !(queued.streaming && self.was_for_cold);
        self.was_for_cold = is_for_cold;
        if is_for_cold {
            let cold_max = if now_ms < self.interactive_until_ms {
                COLD_MAX_INTERACTIVE
            } else {
                COLD_MAX
            };
            return Quantum::Cold(cold_max + requests / REQUESTS_PER_COLD);
        }
        // At half of a long turn, of which one goes all the same. Short responses that the disk has
        // brought together then go in several turns, and who has one asks for the next meanwhile.
        let bytes = self.turn_bytes(now_ms) / 2 + requests as u64 * TURN_COST_BYTES;
        Quantum::Streaming(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLD: Queued = Queued {
        cold: true,
        streaming: false,
    };
    const STREAMING: Queued = Queued {
        cold: false,
        streaming: true,
    };
    const BOTH: Queued = Queued {
        cold: true,
        streaming: true,
    };

    #[test]
    fn turns_are_short_beside_small_responses_alone() {
        let mut scheduler = Scheduler::default();
        let mut next = |requests, has_answered, queued, now_ms| {
            let quantum = scheduler.next(requests, has_answered, queued, now_ms);
            (quantum, scheduler.turn_bytes(now_ms))
        };
        let alone = (Quantum::Streaming(TURN_BYTES_MAX / 2), TURN_BYTES_MAX);
        assert_eq!(next(0, false, STREAMING, 5), alone);
        let (cold, _) = next(0, false, COLD, 5);
        assert_eq!(cold, Quantum::Cold(COLD_MAX));
        let short = TURN_BYTES_MAX_INTERACTIVE;
        let bytes = short / 2 + 3 * TURN_COST_BYTES;
        assert_eq!(
            next(3, true, STREAMING, 10),
            (Quantum::Streaming(bytes), short)
        );
        let (cold, _) = next(0, false, COLD, 10);
        assert_eq!(cold, Quantum::Cold(COLD_MAX_INTERACTIVE));
        // Small ones of long ago do not count, and each counts once.
        let later_ms = 10 + INTERACTIVE_MS;
        assert_eq!(next(0, false, STREAMING, later_ms - 1).1, short);
        assert_eq!(next(0, false, STREAMING, later_ms), alone);
    }

    #[test]
    fn cold_connections_and_responses_under_way_come_by_turns() {
        let mut scheduler = Scheduler::default();
        let many = 2 * REQUESTS_PER_COLD;
        for (has_answered, cold_max) in [(false, COLD_MAX), (true, COLD_MAX_INTERACTIVE)] {
            for _ in 0..3 {
                let cold = scheduler.next(many, has_answered, BOTH, 0);
                assert_eq!(cold, Quantum::Cold(cold_max + 2));
                let streaming = scheduler.next(many, false, BOTH, 0);
                assert!(matches!(streaming, Quantum::Streaming(_)), "{streaming:?}");
            }
        }
        // Where there are only the ones nobody waits for the others.
        for (queued, is_cold) in [(COLD, true), (STREAMING, false)] {
            for _ in 0..2 {
                let quantum = scheduler.next(0, false, queued, 0);
                assert_eq!(matches!(quantum, Quantum::Cold(_)), is_cold, "{quantum:?}");
            }
        }
    }
}
