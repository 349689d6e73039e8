//! The study in figures: sendfile over copying, ours and as published.

use crate::bench::results::{Machine, Results, Study};
use crate::bench::stats::{Spread, spread};
use crate::bench::study::mean;

/// Sendfile over copying.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratios {
    pub(crate) cpu: Option<f64>,
    pub(crate) cpu_per_byte: Option<f64>,
    pub(crate) transfer: Option<f64>,
    pub(crate) latency: Option<f64>,
}

/// As published: copying took 480 to 500 % of a core for 5.86 GB/s and 1.48 s, sendfile 110 to 130 %
/// for 9.54 GB/s and 568 ms.
pub(crate) const PUBLISHED: Ratios = Ratios {
    cpu: Some(120.0 / 490.0),
    cpu_per_byte: Some((120.0 / 9.54) / (490.0 / 5.86)),
    transfer: Some(9.54 / 5.86),
    latency: Some(568.0 / 1480.0),
};
/// What is compared, with the published figures.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) published_copy: &'static str,
    pub(crate) published_sendfile: &'static str,
    pub(crate) of: fn(&Ratios) -> Option<f64>,
}

/// In the order in which they are shown.
pub(crate) const KINDS: [Kind; 4] = [
    Kind {
        name: "CPU",
        published_copy: "480–500 %",
        published_sendfile: "110–130 %",
        of: |ratios| ratios.cpu,
    },
    Kind {
        name: "CPU per GB",
        published_copy: "0.84 s, derived",
        published_sendfile: "0.13 s, derived",
        of: |ratios| ratios.cpu_per_byte,
    },
    Kind {
        name: "transfer rate",
        published_copy: "5.86 GB/s",
        published_sendfile: "9.54 GB/s",
        of: |ratios| ratios.transfer,
    },
    Kind {
        name: "mean latency",
        published_copy: "1.48 s",
        published_sendfile: "568 ms",
        of: |ratios| ratios.latency,
    },
];

/// The two runs that are compared.
pub(crate) struct Pair<'r> {
    pub(crate) copy: &'r Study,
    pub(crate) sendfile: &'r Study,
    pub(crate) machine: &'r Machine,
}

/// The ratios of our own server.
pub(crate) fn of_ours(results: &Results) -> Option<Ratios> {
    Pair::find(results, "io", "sendfile").map(|pair| pair.ratios())
}

/// The ratios of the study's own programs.
pub(crate) fn of_go(results: &Results) -> Option<Ratios> {
    Pair::find(results, "go io", "go sendfile").map(|pair| pair.ratios())
}

impl<'r> Pair<'r> {
    /// Both runs, if both were made.
    pub(crate) fn find(results: &'r Results, copy: &str, sendfile: &str) -> Option<Self> {
        let of = |method: &str| results.study.iter().find(|study| study.method == method);
        Some(Self {
            copy: of(copy)?,
            sendfile: of(sendfile)?,
            machine: &results.machine,
        })
    }

    /// The one over the other.
    pub(crate) fn ratios(&self) -> Ratios {
        let of = |figure: &dyn Fn(&Study) -> f64| {
            let (over, under) = (figure(self.sendfile), figure(self.copy));
            let found = over / under;
            (over > 0.0 && found.is_finite()).then_some(found)
        };
        Ratios {
            cpu: of(&cpu_percent),
            cpu_per_byte: of(&cpu_seconds_per_gb),
            transfer: of(&|study| study.wrk.bytes_per_second),
            latency: of(&|study| study.wrk.latency_mean_us.unwrap_or(f64::NAN)),
        }
    }
}

/// The mean over all seconds; 100 is one core.
pub(crate) fn cpu_percent(study: &Study) -> f64 {
    mean(&study.seconds, |second| second.cpu_percent)
}

/// The same, with quartiles of the seconds.
pub(crate) fn cpu_spread(study: &Study) -> Option<Spread> {
    spread(study.seconds.iter().map(|second| second.cpu_percent))
}

/// What each GB took.
pub(crate) fn cpu_seconds_per_gb(study: &Study) -> f64 {
    cpu_percent(study) / 100.0 / (study.wrk.bytes_per_second / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ratios_are_those_of_the_published_figures() {
        let rounded = |found: Option<f64>| (found.expect("published") * 100.0).round() / 100.0;
        assert_eq!(rounded(PUBLISHED.cpu), 0.24);
        assert_eq!(rounded(PUBLISHED.transfer), 1.63);
        assert_eq!(rounded(PUBLISHED.latency), 0.38);
        assert_eq!(rounded(PUBLISHED.cpu_per_byte), 0.15);
    }
}
