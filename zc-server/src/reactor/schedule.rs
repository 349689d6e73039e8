//! How much of the responses under way is sent before those who wait have their turn.

/// Body bytes in one turn of one connection while nobody asks for small things. With 256 KiB large
/// files cost 1.24 times the CPU of a bare `sendfile` loop, with 1 MiB 0.99 to 1.00 times, with this
/// much 0.93 to 0.97 times.
const TURN_BYTES_MAX: u64 = 2 << 20;
/// The same while somebody does. Beside eight greedy downloads the p99 of small requests was 0.164 ms
/// with turns of 1 MiB, 0.090 ms with 512 KiB and 0.068 ms with this much; the downloads had 6.5, 6.2 and
/// 6.0 GB/s. Beside 32 of cold files of 64 MiB, who came while a worker was at work waited for 0.095 ms
/// once in 20 times with 512 KiB, and for 0.045 ms with this much.
const TURN_BYTES_MAX_IN_COMPANY: u64 = 256 << 10;
/// How long after a small response others are expected, in milliseconds.
const COMPANY_MS: u64 = 100;
/// Bytes of a response under way that cost about as much as a small request, or as a turn that sends
/// nothing.
const BYTES_PER_REQUEST: u64 = 64 * 1024;
/// Patient connections in one turn while nobody asks for small things. Each of them begins a read, and
/// the disk has to have some before it: with one of them to each MiB of responses, 32 downloads of cold
/// files of 64 KiB had 0.909 times what as many readers of the disk had, with two 0.941, with four 0.985
/// and with this many 1.025 times (medians of six).
const PATIENT_MAX: usize = 8;
/// The same while somebody does: one costs about as much as five small requests. With two of them beside
/// a small request, the p99 of small requests beside 32 downloads of cold files of 64 KiB was 0.25 ms,
/// with one it was 0.22 ms, and the downloads had as much.
const PATIENT_MAX_IN_COMPANY: usize = 1;
/// For so many requests of others, one patient connection more has a turn.
const REQUESTS_PER_PATIENT: usize = 8;

/// What a worker has sent, and how much of it comes next.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Bytes of responses that took more than one call, and what stands for the cost of their turns.
    pub(crate) streamed_bytes: u64,
    /// Whether a response went as a whole since the last turn.
    pub(crate) has_answered: bool,
    company_until_ms: u64,
    /// Whether of both, patient connections and responses under way, the former had the last share.
    was_for_patient: bool,
}

/// Who waits for a share of a turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queued {
    /// Connections that [have waited](crate::connection::Connection::has_waited) for the disk.
    pub(crate) patient: bool,
    /// Those whose response is under way.
    pub(crate) streaming: bool,
}

/// What is done between two polls beside the requests of those who were ready.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// So many patient connections have a turn.
    Patient(usize),
    /// Responses under way have turns until `streamed_bytes` is at this.
    StreamingUntil(u64),
}

impl Pace {
    /// The most that one connection sends in one turn, in bytes.
    pub(crate) fn turn_bytes(&self, now_ms: u64) -> u64 {
        if now_ms < self.company_until_ms {
            TURN_BYTES_MAX_IN_COMPANY
        } else {
            TURN_BYTES_MAX
        }
    }

    /// A turn of a response under way begins, which costs something whatever it sends.
    pub(crate) fn begin_turn(&mut self) {
        self.streamed_bytes += BYTES_PER_REQUEST;
    }

    /// What comes after `requests` of those who were ready, and before those who have come meanwhile. It
    /// is for one of the others that are `queued`, patient connections or responses under way, by turns.
    /// Beside 32 downloads of cold files of 64 KiB, who came while a worker was at work waited for
    /// 0.099 ms once in 20 times with both in a turn, and for 0.048 ms with one (medians of five traces of
    /// a quiet machine).
    pub(crate) fn share(&mut self, requests: usize, queued: Queued, now_ms: u64) -> Share {
        if std::mem::take(&mut self.has_answered) {
            self.company_until_ms = now_ms + COMPANY_MS;
        }
        let is_for_patient = queued.patient && !(queued.streaming && self.was_for_patient);
        self.was_for_patient = is_for_patient;
        if is_for_patient {
            let patient_max = if now_ms < self.company_until_ms {
                PATIENT_MAX_IN_COMPANY
            } else {
                PATIENT_MAX
            };
            return Share::Patient(patient_max + requests / REQUESTS_PER_PATIENT);
        }
        // At half of a long turn, of which one goes all the same. Short responses that the disk has
        // brought together then go in several turns, and who has one asks for the next meanwhile.
        let bytes = self.turn_bytes(now_ms) / 2 + requests as u64 * BYTES_PER_REQUEST;
        Share::StreamingUntil(self.streamed_bytes + bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: Queued = Queued {
        patient: true,
        streaming: false,
    };
    const STREAMING: Queued = Queued {
        patient: false,
        streaming: true,
    };
    const BOTH: Queued = Queued {
        patient: true,
        streaming: true,
    };

    #[test]
    fn turns_are_short_in_company_alone() {
        let mut pace = Pace::default();
        let alone = Share::StreamingUntil(TURN_BYTES_MAX / 2);
        assert_eq!(pace.share(0, STREAMING, 5), alone);
        assert_eq!(pace.share(0, PATIENT, 5), Share::Patient(PATIENT_MAX));
        pace.has_answered = true;
        pace.streamed_bytes = 70;
        let bytes = TURN_BYTES_MAX_IN_COMPANY / 2 + 3 * BYTES_PER_REQUEST;
        let in_company = Share::StreamingUntil(70 + bytes);
        assert_eq!(pace.share(3, STREAMING, 10), in_company);
        assert_eq!(pace.turn_bytes(10), TURN_BYTES_MAX_IN_COMPANY);
        let patient = Share::Patient(PATIENT_MAX_IN_COMPANY);
        assert_eq!(pace.share(0, PATIENT, 10), patient);
        // Small ones of long ago do not count, and each counts once.
        let later_ms = 10 + COMPANY_MS;
        assert_eq!(pace.turn_bytes(later_ms - 1), TURN_BYTES_MAX_IN_COMPANY);
        let alone = Share::StreamingUntil(70 + TURN_BYTES_MAX / 2);
        assert_eq!(pace.share(0, STREAMING, later_ms), alone);
        pace.begin_turn();
        assert_eq!(pace.streamed_bytes, 70 + BYTES_PER_REQUEST);
        assert_eq!(pace.turn_bytes(later_ms), TURN_BYTES_MAX);
    }

    #[test]
    fn the_patient_and_those_under_way_come_by_turns() {
        let mut pace = Pace::default();
        let many = 2 * REQUESTS_PER_PATIENT;
        for patient_max in [PATIENT_MAX, PATIENT_MAX_IN_COMPANY] {
            for _ in 0..3 {
                assert_eq!(pace.share(many, BOTH, 0), Share::Patient(patient_max + 2));
                let share = pace.share(many, BOTH, 0);
                assert!(matches!(share, Share::StreamingUntil(_)), "{share:?}");
            }
            pace.has_answered = true;
        }
        // Where there are only the ones nobody waits for the others.
        for _ in 0..2 {
            let share = pace.share(0, PATIENT, 0);
            assert!(matches!(share, Share::Patient(_)), "{share:?}");
        }
        for _ in 0..2 {
            let share = pace.share(0, STREAMING, 0);
            assert!(matches!(share, Share::StreamingUntil(_)), "{share:?}");
        }
    }
}
