//! A volume server that is killed while a file on it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::client::{self, Request};
use super::cluster::{Cluster, wait_until};
use super::report::Row;
use super::{PART, Run};

/// How long the download of a large file takes at least, in seconds.
const SECONDS: u64 = 3;

pub(super) fn run(run: &mut Run) -> anyhow::Result<Vec<Row>> {
    let (first, second) = (run.large(10), run.large(11));
    run.write(1, "killed.bin", &first)?;
    run.write(1, "after.bin", &second)?;
    let before = run.cluster.bytes_read();
    let (progress, stop) = (AtomicU64::new(0), Arc::clone(&run.stop));
    let length = first.len() as u64;
    let candidates: [&[u8]; 1] = [&first];
    let request = Request {
        target: "/library/killed.bin",
        candidates: &candidates,
        bytes_per_second: Some(length / SECONDS),
        progress: Some(&progress),
        ..Request::default()
    };
    let (answer, victim) = std::thread::scope(|scope| {
        let download = scope.spawn(|| client::get(Cluster::address(2), request, &stop));
        let has_come =
            || Ok(progress.load(Ordering::SeqCst) >= length / PART || download.is_finished());
        wait_until("a quarter of the file", &stop, has_come)?;
        let victim = busiest(&before, &run.cluster.bytes_read());
        run.cluster.kill_volume(victim)?;
        let answer = download.join();
        let answer = answer.map_err(|_| anyhow::anyhow!("the download has ended by a panic"))?;
        anyhow::Ok((answer?, victim))
    })?;
    let failed = run.cluster.failed_reads(2, victim)?;
    let mut rows = vec![Row::new(
        "a download during which the one is killed that sends the most is whole and equal",
        &answer.words(),
        answer.is_right(),
    )];
    let candidates: [&[u8]; 1] = [&second];
    let request = Request {
        target: "/library/after.bin",
        candidates: &candidates,
        ..Request::default()
    };
    let after = run.get(2, request)?;
    rows.push(Row::new(
        "so is one that begins afterwards",
        &after.words(),
        after.is_right(),
    ));
    let failed_after = run.cluster.failed_reads(2, victim)?;
    rows.push(Row::new(
        "the mount has asked it in vain, and then another one",
        &format!(
            "{failed} reads in the first, {} in the second",
            failed_after - failed
        ),
        failed_after > 0,
    ));
    run.cluster.start_volume(victim)?;
    Ok(rows)
}

/// The volume server that has read the most between two times. The first is 1.
fn busiest(before: &[u64], after: &[u64]) -> u16 {
    let read = after
        .iter()
        .zip(before)
        .map(|(after, before)| after.saturating_sub(*before));
    let most = (1..).zip(read).max_by_key(|(_, bytes)| *bytes);
    most.map_or(1, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_has_read_the_most_meanwhile() {
        assert_eq!(busiest(&[100, 5, 0], &[101, 50, 7]), 2);
        assert_eq!(busiest(&[], &[]), 1);
    }
}
