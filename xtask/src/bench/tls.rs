//! Files, handshakes and idle connections by TLS, beside the other servers that speak it, with one key
//! pair.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;

use super::Bench;
use super::peers::{Peer, Protocol};
use super::plan::Times;
use super::section::Section;
use super::{idle, sizes};

/// What this takes by plan.
pub(crate) fn planned(times: &Times, others: &[Peer]) -> Duration {
    sizes::planned(Section::Tls, times, others) + idle::planned(Protocol::Https, times, others)
}

/// Makes the key pair, and runs all scenarios.
pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let samples = sizes::samples(Section::Tls, &bench.times, &bench.others);
    let servers = idle::peers(Protocol::Https, &bench.others).len();
    let steps = u64::from(samples) + servers as u64;
    bench.progress.begin(Section::Tls, steps);
    let mut command = Command::new(&bench.programs.bench);
    let output = command
        .arg("certificate")
        .arg(&bench.programs.scratch)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "no certificate: {}", said.trim());
    sizes::run(bench, Section::Tls)?;
    idle::run(bench, Protocol::Https)
}
