//! The study in figures: sendfile over copying, ours and as published.

use super::numbers::{decimals, ratio};
use crate::bench::results::{Results, Study};
use crate::bench::study::mean;

/// Sendfile over copying.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratios {
    pub(crate) cpu: Option<f64>,
    pub(crate) cpu_per_byte: Option<f64>,
    pub(crate) transfer: Option<f64>,
    pub(crate) latency: Option<f64>,
}

/// What was published of one method.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    /// From and to; 100 is one core.
    cpu_percent: (f64, f64),
    gb_per_second: f64,
    latency_ms: f64,
}

pub(crate) const COPY: Published = Published {
    cpu_percent: (480.0, 500.0),
    gb_per_second: 5.86,
    latency_ms: 1480.0,
};
pub(crate) const SENDFILE: Published = Published {
    cpu_percent: (110.0, 130.0),
    gb_per_second: 9.54,
    latency_ms: 568.0,
};

impl Published {
    /// In the middle of what was told; 1 is one core.
    const fn cores(&self) -> f64 {
        (self.cpu_percent.0 + self.cpu_percent.1) / 200.0
    }

    const fn cpu_seconds_per_gb(&self) -> f64 {
        self.cores() / self.gb_per_second
    }
}

/// The one over the other.
pub(crate) const PUBLISHED: Ratios = Ratios {
    cpu: Some(SENDFILE.cores() / COPY.cores()),
    cpu_per_byte: Some(SENDFILE.cpu_seconds_per_gb() / COPY.cpu_seconds_per_gb()),
    transfer: Some(SENDFILE.gb_per_second / COPY.gb_per_second),
    latency: Some(SENDFILE.latency_ms / COPY.latency_ms),
};

/// What is compared, with the published figures.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) published: fn(&Published) -> String,
    pub(crate) of: fn(&Ratios) -> Option<f64>,
}

/// In the order in which they are shown.
pub(crate) const KINDS: [Kind; 4] = [
    Kind {
        name: "CPU",
        published: |of| format!("{}–{} %", of.cpu_percent.0, of.cpu_percent.1),
        of: |ratios| ratios.cpu,
    },
    Kind {
        name: "CPU per GB",
        published: |of| format!("{} s, derived", ratio(of.cpu_seconds_per_gb())),
        of: |ratios| ratios.cpu_per_byte,
    },
    Kind {
        name: "transfer rate",
        published: |of| format!("{} GB/s", ratio(of.gb_per_second)),
        of: |ratios| ratios.transfer,
    },
    Kind {
        name: "mean latency",
        published: |of| format!("{} ms", decimals(of.latency_ms)),
        of: |ratios| ratios.latency,
    },
];

/// The two runs that are compared.
pub(crate) struct Pair<'r> {
    pub(crate) copy: &'r Study,
    pub(crate) sendfile: &'r Study,
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
fn cpu_percent(study: &Study) -> f64 {
    mean(&study.seconds, |second| second.cpu_percent)
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
        let told = KINDS.map(|kind| ((kind.published)(&COPY), (kind.published)(&SENDFILE)));
        let expected = [
            ("480–500 %", "110–130 %"),
            ("0.84 s, derived", "0.13 s, derived"),
            ("5.86 GB/s", "9.54 GB/s"),
            ("1,480 ms", "568 ms"),
        ];
        assert_eq!(told, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
