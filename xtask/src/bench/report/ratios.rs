//! The study in figures: sendfile over the copy loop, ours and as published.

use super::numbers::{NONE, decimals, ratio};
use crate::bench::results::{Results, Study};
use crate::bench::study::mean;

/// What the study repeats.
pub(crate) struct Source {
    pub(crate) title: &'static str,
    pub(crate) article: &'static str,
    pub(crate) code: &'static str,
}

pub(crate) const SOURCE: Source = Source {
    title: "How I used Zero-Copy To Achieve Blazingly Fast File Transfers",
    article: "https://samirkattel.com.np/blog",
    code: "https://github.com/probablysamir/zero-copy-go",
};

/// A figure that is compared: as published of the copy loop and of sendfile, and as measured here.
struct Kind {
    name: &'static str,
    published: (f64, f64),
    /// As it is told, with its unit.
    told: fn(f64) -> String,
    of: fn(&Study) -> f64,
}

/// The CPU as published, of which a range was told: 480 to 500 % and 110 to 130 % of a core.
pub(crate) const CPU_PERCENT: (f64, f64) = (490.0, 120.0);
pub(crate) const GB_PER_SECOND: (f64, f64) = (5.86, 9.54);
/// Mean latencies as published.
pub(crate) const LATENCY_MS: (f64, f64) = (1480.0, 568.0);

const KINDS: [Kind; 4] = [
    Kind {
        name: "CPU",
        published: CPU_PERCENT,
        told: cpu_range,
        of: cpu_percent,
    },
    Kind {
        name: "CPU per GB",
        published: (
            CPU_PERCENT.0 / 100.0 / GB_PER_SECOND.0,
            CPU_PERCENT.1 / 100.0 / GB_PER_SECOND.1,
        ),
        told: |seconds| format!("{} s, derived", ratio(seconds)),
        of: cpu_seconds_per_gb,
    },
    Kind {
        name: "throughput",
        published: GB_PER_SECOND,
        told: |rate| format!("{} GB/s", ratio(rate)),
        of: |study| study.wrk.bytes_per_second,
    },
    Kind {
        name: "mean latency",
        published: LATENCY_MS,
        told: |ms| format!("{} ms", decimals(ms)),
        of: |study| study.wrk.latency_mean_us.unwrap_or(f64::NAN),
    },
];

/// The range of which `percent` is the middle, as it was published.
pub(crate) fn cpu_range(percent: f64) -> String {
    format!("{}–{} %", percent - 10.0, percent + 10.0)
}

/// What the columns of the rows below are.
pub(crate) const HEAD: [&str; 6] = [
    "sendfile / copy loop",
    "published, copy loop",
    "published, sendfile",
    "ratio, published",
    "ratio, here",
    "ratio, Go here",
];

/// A row for each figure that was measured of ours.
pub(crate) fn rows(results: &Results) -> Vec<Vec<String>> {
    let rows = KINDS.iter().filter_map(|kind| {
        let ours = over(results, "io", "sendfile", kind.of)?;
        let go = over(results, "go io", "go sendfile", kind.of);
        let (copy, sendfile) = kind.published;
        Some(vec![
            kind.name.to_owned(),
            (kind.told)(copy),
            (kind.told)(sendfile),
            ratio(sendfile / copy),
            ratio(ours),
            go.map_or_else(|| NONE.to_owned(), ratio),
        ])
    });
    rows.collect()
}

/// A figure of one run over that of another, if both have it.
fn over(results: &Results, copy: &str, sendfile: &str, of: fn(&Study) -> f64) -> Option<f64> {
    let find = |method: &str| results.study.iter().find(|study| study.method == method);
    let (copy, sendfile) = (of(find(copy)?), of(find(sendfile)?));
    let are_figures = sendfile > 0.0 && copy > 0.0 && sendfile.is_finite() && copy.is_finite();
    are_figures.then_some(sendfile / copy)
}

/// The mean over all seconds; 100 is one core.
pub(crate) fn cpu_percent(study: &Study) -> f64 {
    mean(&study.seconds, |second| second.cpu_percent)
}

/// What each GB took.
pub(crate) fn cpu_seconds_per_gb(study: &Study) -> f64 {
    cpu_percent(study) / 100.0 / (study.wrk.bytes_per_second / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{empty, study};

    /// A run of the copy loop, and one of sendfile, which take so much of a core for 2 GB/s.
    fn results() -> Results {
        Results {
            study: vec![
                study("io", 100.0, 2.0, 2e6),
                study("sendfile", 20.0, 2.0, 2e6),
            ],
            ..empty()
        }
    }

    #[test]
    fn ratios_stand_beside_the_published_ones() {
        let expected = [
            ["CPU", "480–500 %", "110–130 %", "0.24", "0.20", "–"],
            [
                "CPU per GB",
                "0.84 s, derived",
                "0.13 s, derived",
                "0.15",
                "0.20",
                "–",
            ],
            ["throughput", "5.86 GB/s", "9.54 GB/s", "1.63", "1.00", "–"],
            ["mean latency", "1,480 ms", "568 ms", "0.38", "1.00", "–"],
        ];
        assert_eq!(rows(&results()), expected);
        let mut with_go = results();
        with_go.study.extend([
            study("go io", 80.0, 2.0, 2e6),
            study("go sendfile", 20.0, 2.0, 2e6),
        ]);
        assert_eq!(rows(&with_go)[0][5], "0.25");
    }

    #[test]
    fn what_has_no_figure_is_not_compared() {
        assert!(rows(&empty()).is_empty());
        let mut one = results();
        one.study.truncate(1);
        assert!(rows(&one).is_empty());
        let names = |results: &Results| -> Vec<String> {
            rows(results)
                .into_iter()
                .map(|mut row| row.swap_remove(0))
                .collect()
        };
        // Nothing was sent, or nobody looked.
        let mut without_bytes = results();
        without_bytes.study[0].wrk.bytes_per_second = 0.0;
        assert_eq!(names(&without_bytes), ["CPU", "mean latency"]);
        let mut without_seconds = results();
        without_seconds.study[1].seconds.clear();
        assert_eq!(names(&without_seconds), ["throughput", "mean latency"]);
        let mut without_latency = results();
        without_latency.study[0].wrk.latency_mean_us = None;
        assert_eq!(names(&without_latency), ["CPU", "CPU per GB", "throughput"]);
    }
}
