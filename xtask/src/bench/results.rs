//! What a benchmark run found: everything that the report shows, and every raw sample behind it.
//! Written as `report.json`, and read back by `--compare` and `--render`.

use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::scenarios::Scenario;
use super::section::Section;

/// Raised when a reader of older files would misread newer ones.
pub(crate) const FORMAT: u32 = 1;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) format: u32,
    /// When the run began, RFC 3339 in UTC.
    pub(crate) date: String,
    /// `git describe` of what was measured.
    pub(crate) commit: String,
    /// The command line.
    pub(crate) command: Vec<String>,
    pub(crate) machine: Machine,
    /// What was not measured, and why.
    pub(crate) skipped: Vec<Skipped>,
    /// Whether the run was ended by Ctrl-C: what is here is what was measured until then.
    pub(crate) interrupted: bool,
    pub(crate) micro: Vec<Micro>,
    pub(crate) study: Vec<Study>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) cold: Vec<Cold>,
    pub(crate) idle: Vec<Idle>,
}

impl Results {
    /// How many rounds the sizes were measured in.
    pub(crate) fn rounds(&self) -> usize {
        let rounds = self.samples.iter().map(|sample| sample.round as usize + 1);
        rounds.max().unwrap_or(0)
    }

    /// Whether it was a trial, whose figures mean nothing.
    pub(crate) fn is_trial(&self) -> bool {
        self.command.iter().any(|word| word == "--trial")
    }

    /// The sections with figures.
    pub(crate) fn sections(&self) -> Vec<&'static str> {
        let has = |section: &Section| match section {
            Section::Micro => !self.micro.is_empty(),
            Section::Study => !self.study.is_empty(),
            Section::Sizes | Section::Tls => Scenario::of(*section).any(|scenario| {
                let mut samples = self.samples.iter();
                samples.any(|sample| sample.scenario == scenario.id)
            }),
            Section::Cold => !self.cold.is_empty(),
            Section::Idle => self.idle.iter().any(|idle| !idle.tls),
        };
        let sections = Section::ALL.into_iter().filter(has);
        sections.map(Section::name).collect()
    }

    /// Reads a `report.json`.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read {}; give a report.json of an earlier run",
                path.display()
            )
        })?;
        let results: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a report of cargo xtask bench", path.display()))?;
        if results.format != FORMAT {
            bail!(
                "{} has format {}; this version reads format {FORMAT}",
                path.display(),
                results.format
            );
        }
        Ok(results)
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// The congestion control of the machine itself.
    pub(crate) system_congestion: String,
    /// That of the connections measured.
    pub(crate) congestion: String,
    /// Of the loopback device, in bytes.
    pub(crate) mtu: u32,
    /// Whether the run had a network namespace of its own.
    pub(crate) private_network: bool,
    /// Whether server and client had a core each.
    pub(crate) pinned: bool,
    /// Whether the client of the cold part went before what else ran on its core.
    #[serde(default)]
    pub(crate) urgent_client: bool,
    /// Whether the served files were on tmpfs or its like. Earlier runs did not look.
    #[serde(default)]
    pub(crate) files_in_memory: bool,
    /// What could not be had, and what that means.
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Skipped {
    pub(crate) what: String,
    pub(crate) why: String,
    /// The command that would help.
    pub(crate) mend: Option<String>,
}

/// A criterion benchmark: the median of one iteration and its confidence interval.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Micro {
    pub(crate) name: String,
    /// `ns` for a time, `x floor` for a ratio.
    pub(crate) unit: String,
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Bytes that one iteration handles, where that is told.
    pub(crate) bytes: Option<u64>,
    /// As in [`Sample`], from the result before to this one.
    #[serde(default)]
    pub(crate) foreign: Vec<f64>,
}

/// One run of wrk on the video, as in the study.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Study {
    /// `io`, `sendfile`, `splice` or `auto`; for other servers their name.
    pub(crate) method: String,
    pub(crate) wrk: Wrk,
    /// One row a second.
    pub(crate) seconds: Vec<Second>,
    /// As in [`Sample`].
    #[serde(default)]
    pub(crate) machine_cpu_seconds: Option<f64>,
    #[serde(default)]
    pub(crate) foreign: Vec<f64>,
}

/// What wrk printed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Wrk {
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) bytes: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) bytes_per_second: f64,
    /// Microseconds; `None` where wrk had no response to judge by.
    pub(crate) latency_mean_us: Option<f64>,
    pub(crate) latency_stdev_us: Option<f64>,
    pub(crate) latency_max_us: Option<f64>,
    /// (percentile, microseconds), as of `--latency`.
    pub(crate) percentiles_us: Vec<(f64, f64)>,
    pub(crate) errors: WrkErrors,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct WrkErrors {
    pub(crate) connect: u64,
    pub(crate) read: u64,
    pub(crate) write: u64,
    pub(crate) timeout: u64,
    pub(crate) status: u64,
}

/// What the server used in one second, as pidstat reads it from `/proc`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Second {
    /// 100 is one core.
    pub(crate) cpu_percent: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    pub(crate) voluntary_switches: u64,
    pub(crate) involuntary_switches: u64,
}

/// One server under one load, once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// What was asked for: the `id` of a scenario.
    pub(crate) scenario: String,
    pub(crate) server: String,
    pub(crate) round: u32,
    pub(crate) load: Load,
    /// CPU time of all processes of the server over the measured time.
    pub(crate) server_cpu_seconds: f64,
    /// How long the cores of server and client were busy, whoever with, together. Earlier runs did not
    /// look.
    #[serde(default)]
    pub(crate) machine_cpu_seconds: Option<f64>,
    /// Part of the machine's time that its host took away.
    pub(crate) steal: f64,
    /// The part of each core that other programs had, or of all together where server and client shared
    /// them. Empty in earlier runs, which did not look.
    #[serde(default)]
    pub(crate) foreign: Vec<f64>,
}

/// What the load generator printed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) responses: u64,
    pub(crate) body_bytes: u64,
    pub(crate) other_status: u64,
    pub(crate) errors: u64,
    pub(crate) verified: u64,
    /// Responses on connections that went on with the session of an earlier one, by TLS.
    #[serde(default)]
    pub(crate) resumed: u64,
    /// Requests that were due and had no answer at the end.
    pub(crate) unanswered: u64,
    pub(crate) seconds: f64,
    pub(crate) client_cpu_seconds: f64,
    pub(crate) p50_ns: u64,
    pub(crate) p90_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) max_ns: u64,
}

/// Small requests at a fixed rate, alone and beside others.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cold {
    /// `fuse`, `disk-small`, `disk-large` or `greedy`: what ran beside.
    pub(crate) beside: String,
    pub(crate) server: String,
    pub(crate) round: u32,
    pub(crate) alone: Load,
    pub(crate) together: Load,
    /// What the others got meanwhile, in bytes per second.
    pub(crate) others_bytes_per_second: f64,
    /// What the disk gives to the same number of readers beside the same small requests, in bytes per
    /// second.
    pub(crate) disk_bytes_per_second: Option<f64>,
    /// Part of the time that the host took away: the larger of that alone and that beside.
    #[serde(default)]
    pub(crate) steal: f64,
    /// As in [`Sample`]: of that alone or that beside, whichever was more disturbed.
    #[serde(default)]
    pub(crate) foreign: Vec<f64>,
}

/// Idle connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Idle {
    pub(crate) server: String,
    /// Whether the connections were of TLS.
    #[serde(default)]
    pub(crate) tls: bool,
    pub(crate) connections: usize,
    /// Resident memory of the server before the first connection, in bytes.
    pub(crate) resident_at_start_bytes: u64,
    /// Anonymous memory of the server that each connection added, in bytes.
    pub(crate) user_bytes_each: f64,
    /// Kernel memory (slab) that each connection added, both ends together, in bytes.
    pub(crate) kernel_bytes_each: f64,
}
