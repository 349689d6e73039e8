//! Throughput of the mount beside that of a local disk, at one server and by turns.

use std::time::Duration;

use anyhow::ensure;

use super::client::Request;
use super::report::{Row, median};
use super::{Run, evict, write};

/// How much of a file is where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Warmth {
    /// On the disks of the volume servers, and on the local disk.
    Cold,
    /// In the chunk cache of `weed mount`, and on the local disk.
    Chunks,
    /// In the page cache, both.
    Cached,
}

/// The node that reads. The other one has written.
const READER: u16 = 2;
const PLACES: [&str; 2] = ["library", "local"];

/// For each round a file that was never read at the node.
pub(super) fn run(run: &mut Run) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let rounds = u64::from(run.options.rounds);
    let warmths = [Warmth::Cold, Warmth::Chunks, Warmth::Cached];
    let mut ratios = [const { Vec::new() }; 3];
    for round in 0..rounds {
        let (name, bytes) = (format!("round-{round}.bin"), run.large(100 + round));
        run.write(1, &name, &bytes)?;
        write(&run.cluster.www(READER).join("local").join(&name), &bytes)?;
        for (ratios, warmth) in ratios.iter_mut().zip(warmths) {
            ratios.push(ratio(run, &name, &bytes, warmth, round % 2 == 0)?);
        }
        for place in PLACES {
            // Room for the next round.
            std::fs::remove_file(run.cluster.www(READER).join(place).join(&name))?;
        }
    }
    for (ratios, warmth) in ratios.iter_mut().zip(warmths) {
        let what = match warmth {
            Warmth::Cold => "speed of a cold file, by that of a cold file of the local disk",
            Warmth::Chunks => "the same of a file in the chunk cache of `weed mount`",
            Warmth::Cached => {
                "speed of a file in the page cache, by that of such a file of the local disk"
            }
        };
        rows.push(Row::shown(what, &spread(ratios)));
    }
    Ok(rows)
}

/// The median, and all that was seen around it.
fn spread(ratios: &mut [f64]) -> String {
    let middle = median(ratios).unwrap_or(f64::NAN);
    let (least, most) = (
        ratios.first().unwrap_or(&f64::NAN),
        ratios.last().unwrap_or(&f64::NAN),
    );
    format!(
        "{middle:.2} (median of {}; {least:.2} to {most:.2})",
        ratios.len()
    )
}

/// The speed of the mount, by that of the local disk.
fn ratio(
    run: &Run,
    name: &str,
    bytes: &[u8],
    warmth: Warmth,
    is_library_first: bool,
) -> anyhow::Result<f64> {
    let mut places = PLACES;
    if !is_library_first {
        places.reverse();
    }
    let mut times = Vec::new();
    for place in places {
        if warmth != Warmth::Cached {
            evict(&run.cluster.www(READER).join(place).join(name))?;
        }
        if warmth == Warmth::Cold {
            for file in run.cluster.volume_files()? {
                evict(&file)?;
            }
        }
        times.push((place, time(run, &format!("/{place}/{name}"), bytes)?));
    }
    times.sort_unstable();
    let [(_, library), (_, local)] = times[..] else {
        anyhow::bail!("not two places")
    };
    Ok(local.as_secs_f64() / library.as_secs_f64())
}

fn time(run: &Run, target: &str, bytes: &[u8]) -> anyhow::Result<Duration> {
    let answer = run.get(
        READER,
        Request {
            target,
            candidates: &[bytes],
            ..Request::default()
        },
    )?;
    ensure!(answer.is_right(), "{target}: {}", answer.words());
    Ok(answer.time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_median_and_ends() {
        assert_eq!(
            spread(&mut [0.9, 0.5, 0.75]),
            "0.75 (median of 3; 0.50 to 0.90)"
        );
    }
}
