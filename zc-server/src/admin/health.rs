//! Whether the workers turn.

use super::status::worker_name;

/// How long a turn may take, in milliseconds: the longest ones of a busy worker take some.
const STUCK_MS: u64 = 10_000;

/// The verdict about the workers in one line, where some have been in one turn for [`STUCK_MS`]; `None` where all
/// turn. `workers` are their numbers, with when the turn began that each is in.
pub(super) fn stuck(
    workers: impl Iterator<Item = (usize, Option<u64>)>,
    now_ms: u64,
) -> Option<String> {
    let stuck = workers.filter_map(|(index, began_ms)| {
        let since_ms = now_ms.saturating_sub(began_ms?);
        let name = worker_name(index);
        (since_ms >= STUCK_MS).then(|| format!("{name} has not turned for {} s", since_ms / 1000))
    });
    let stuck: Vec<String> = stuck.collect();
    (!stuck.is_empty()).then(|| stuck.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_does_not_turn_is_named() {
        let verdict =
            |turns: &[Option<u64>], now_ms| stuck(turns.iter().copied().enumerate(), now_ms);
        // Who waits for events is well, however long.
        assert_eq!(verdict(&[None, None], u64::MAX), None);
        assert_eq!(verdict(&[Some(5_000), None], 14_999), None);
        let expected = "zc-worker-0 has not turned for 10 s";
        assert_eq!(
            verdict(&[Some(5_000), None], 15_000).as_deref(),
            Some(expected)
        );
        let expected = "zc-worker-1 has not turned for 12 s; zc-worker-2 has not turned for 60 s";
        let turns = [Some(59_000), Some(48_000), Some(1)];
        assert_eq!(verdict(&turns, 60_001).as_deref(), Some(expected));
        // A turn that has begun since the time was taken.
        assert_eq!(verdict(&[Some(7)], 5), None);
    }
}
