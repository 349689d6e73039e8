//! Faults of strangers: which are told, and how many are not.

use std::time::{Duration, Instant};

use crate::socket::Host;
use crate::text::counted;

/// The most lines in one interval: fewer than all warnings have in a second, so that others have room.
const TOLD_MAX: usize = 5;
/// The interval of [`TOLD_MAX`].
const INTERVAL: Duration = Duration::from_secs(60);

/// What a stranger can do any number of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A handshake that fails.
    #[cfg(feature = "tls")]
    Handshake,
    /// No header of the PROXY protocol, or a wrong one.
    ProxyHeader,
    /// A connection above `--max-connections-per-ip`.
    Crowd,
}

impl Kind {
    pub(super) const ALL: &[Self] = &[
        #[cfg(feature = "tls")]
        Self::Handshake,
        Self::ProxyHeader,
        Self::Crowd,
    ];

    /// The line about `untold` of them.
    pub(super) fn summary(self, untold: u64) -> String {
        match self {
            #[cfg(feature = "tls")]
            Self::Handshake => {
                let handshakes = counted(untold, "more handshake");
                format!("HTTPS: {handshakes} failed within a minute")
            }
            Self::ProxyHeader => {
                let connections = counted(untold, "more connection");
                format!("PROXY protocol: {connections} closed within a minute")
            }
            Self::Crowd => {
                let connections = counted(untold, "more connection");
                format!("--max-connections-per-ip: {connections} refused within a minute")
            }
        }
    }
}

/// The faults of one kind in the last minute.
#[derive(Debug, Default)]
pub(super) struct Faults {
    began: Option<Instant>,
    /// The address and the reason of each that was told.
    told: Vec<(Host, String)>,
    untold: u64,
    /// Those of earlier intervals.
    untold_before: u64,
}

impl Faults {
    /// Whether a failure is to be told: with the same address and reason it is once in an interval.
    pub(super) fn admit(&mut self, address: Host, reason: &str, now: Instant) -> bool {
        self.end_interval(now);
        self.began.get_or_insert(now);
        let is_known = |(known, why): &(Host, String)| *known == address && why == reason;
        if self.told.len() == TOLD_MAX || self.told.iter().any(is_known) {
            self.untold += 1;
            return false;
        }
        self.told.push((address, reason.to_owned()));
        true
    }

    /// How many were not told in intervals that are over, or at the `is_end` of all.
    pub(super) fn take_untold(&mut self, now: Instant, is_end: bool) -> u64 {
        self.end_interval(now);
        let untold = std::mem::take(&mut self.untold_before);
        if is_end {
            untold + std::mem::take(&mut self.untold)
        } else {
            untold
        }
    }

    fn end_interval(&mut self, now: Instant) {
        if self
            .began
            .is_some_and(|began| now.duration_since(began) >= INTERVAL)
        {
            self.began = None;
            self.told.clear();
            self.untold_before += std::mem::take(&mut self.untold);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn few_are_told_in_a_minute_and_all_others_counted() {
        let mut faults = Faults::default();
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let address = |last| Host::Internet(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
        assert!(faults.admit(address(1), "a", at(0)));
        assert!(!faults.admit(address(1), "a", at(59)));
        assert!(faults.admit(address(1), "b", at(59)));
        assert!(faults.admit(address(2), "a", at(59)));
        assert_eq!(faults.take_untold(at(59), false), 0);
        // In the next minute it is told again.
        assert!(faults.admit(address(1), "a", at(60)));
        assert_eq!(faults.take_untold(at(60), false), 1);
        assert_eq!(faults.take_untold(at(60), false), 0);
        let told = (2..200).filter(|&last| faults.admit(address(last), "a", at(61)));
        assert_eq!(told.count(), TOLD_MAX - 1);
        assert_eq!(faults.take_untold(at(119), false), 0);
        assert_eq!(faults.take_untold(at(120), false), 198 - 4);
        assert!(faults.admit(address(1), "a", at(500)));
        assert!(!faults.admit(address(1), "a", at(501)));
        assert_eq!(faults.take_untold(at(502), true), 1);
        assert_eq!(faults.take_untold(at(1000), true), 0);
    }
}
