//! A file that is replaced at one node, until the other node has it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::client::{Answer, Request};
use super::report::{Row, median};
use super::{Run, bytes, go_on, write};

/// How often each file is replaced.
const TIMES: u64 = 7;
/// How often the other node is asked.
const ASK: Duration = Duration::from_millis(10);
/// How long a new file may take to be seen.
const SEEN_MAX: Duration = Duration::from_secs(30);

/// What came of all replacements of a file.
#[derive(Debug, Default, PartialEq)]
struct Found {
    /// Seconds from the renaming to the first response with the new bytes.
    seen: Vec<f64>,
    /// The same to the first that has an entity-tag too.
    tagged: Vec<f64>,
    /// Responses with bytes of both files.
    mixed: u64,
    /// Responses with the old bytes after one with the new ones.
    back: u64,
    /// Responses with the old bytes and another entity-tag than the old one.
    old_with_new_tag: u64,
    /// Responses with the new bytes and the old entity-tag.
    new_with_old_tag: u64,
    /// Responses that were cut off or had another status.
    failed: u64,
    /// Resumes with the old entity-tag that were not answered with the whole new file.
    resumed_wrongly: u64,
}

pub(super) fn run(run: &mut Run) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, length, what) in [("page", 4 << 10, "4 KiB"), ("picture", 1 << 20, "1 MiB")] {
        let mut found = Found::default();
        run.write(1, name, &bytes(20, length))?;
        for number in 0..TIMES {
            let both = [bytes(20 + number, length), bytes(21 + number, length)];
            replaced(run, name, &both, &mut found)?;
        }
        rows.extend(found.rows(what));
    }
    Ok(rows)
}

impl Found {
    fn rows(&mut self, what: &str) -> [Row; 3] {
        let Self {
            mixed,
            back,
            old_with_new_tag,
            new_with_old_tag,
            failed,
            resumed_wrongly,
            ..
        } = *self;
        let is_right = mixed + back + failed == 0;
        let seen = format!(
            "after {}{}",
            spread(&mut self.seen),
            told(&[(mixed, "mixed"), (back, "old again"), (failed, "failed"),])
        );
        let tagged = format!(
            "after {}{}",
            spread(&mut self.tagged),
            told(&[
                (old_with_new_tag, "with old bytes and a new tag"),
                (new_with_old_tag, "with new bytes and the old tag"),
            ])
        );
        let is_tag_right = old_with_new_tag + new_with_old_tag == 0;
        let resumed = format!(
            "{} of {}",
            self.seen.len() as u64 - resumed_wrongly,
            self.seen.len()
        );
        [
            Row::new(
                &format!("{what}, replaced at node 1, are at node 2"),
                &seen,
                is_right,
            ),
            Row::new(
                "with a new entity-tag, which old bytes never have",
                &tagged,
                is_tag_right,
            ),
            Row::new(
                "a resume with the old one is the whole new file",
                &resumed,
                resumed_wrongly == 0,
            ),
        ]
    }

    /// Counts a response. Answers whether it is the new file.
    fn take(&mut self, answer: &Answer, tag: &str, is_seen: bool) -> bool {
        let is_new = answer.candidate == Some(1);
        if !matches!(answer.status, 200 | 206) || !answer.is_whole {
            self.failed += 1;
            return false;
        }
        let of = answer.etag.as_deref();
        self.mixed += u64::from(answer.candidate.is_none());
        self.back += u64::from(is_seen && answer.candidate == Some(0));
        self.old_with_new_tag +=
            u64::from(answer.candidate == Some(0) && of.is_some_and(|of| of != tag));
        self.new_with_old_tag += u64::from(is_new && of == Some(tag));
        is_new
    }
}

/// Counts that are not zero, in words.
fn told(counts: &[(u64, &str)]) -> String {
    counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("; {count} responses {what}"))
        .collect()
}

fn spread(seconds: &mut [f64]) -> String {
    let middle = median(seconds).unwrap_or(f64::NAN);
    format!(
        "{middle:.2} s (median of {}; at most {:.2})",
        seconds.len(),
        seconds.last().unwrap_or(&f64::NAN)
    )
}

/// Replaces a file once, and asks the other node until it has the new bytes with an entity-tag.
fn replaced(
    run: &Run,
    name: &str,
    [old, new]: &[Vec<u8>; 2],
    found: &mut Found,
) -> anyhow::Result<()> {
    let target = format!("/library/{name}");
    let tag = run.tag(2, &target, old)?;
    let library = run.cluster.www(1).join("library");
    let beside = library.join(format!(".{name}"));
    write(&beside, new)?;
    std::fs::rename(&beside, library.join(name)).context("cannot rename")?;
    let renamed = Instant::now();
    let candidates: [&[u8]; 2] = [old, new];
    let whole = Request {
        target: &target,
        candidates: &candidates,
        ..Request::default()
    };
    let mut seen = None;
    loop {
        go_on(&run.stop)?;
        ensure!(
            renamed.elapsed() < SEEN_MAX,
            "{target}: not seen after {} s",
            SEEN_MAX.as_secs()
        );
        let answer = run.get(2, whole)?;
        if found.take(&answer, &tag, seen.is_some()) {
            let seen = *seen.get_or_insert_with(|| renamed.elapsed());
            if answer.etag.is_some_and(|of| of != tag) {
                found.seen.push(seen.as_secs_f64());
                found.tagged.push(renamed.elapsed().as_secs_f64());
                let resumed = run.get(
                    2,
                    Request {
                        rest: Some((100, &tag)),
                        ..whole
                    },
                )?;
                let is_whole_new =
                    resumed.status == 200 && resumed.is_right() && resumed.candidate == Some(1);
                found.resumed_wrongly += u64::from(!is_whole_new);
                return Ok(());
            }
        }
        std::thread::sleep(ASK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_tags_that_do_not_belong_together_are_counted() {
        let answer = |candidate, etag: Option<&str>| Answer {
            status: 200,
            etag: etag.map(str::to_owned),
            bytes: 1,
            is_whole: true,
            candidate,
            time: Duration::ZERO,
        };
        let mut found = Found::default();
        assert!(!found.take(&answer(Some(0), Some("old")), "old", false));
        assert!(!found.take(&answer(Some(0), None), "old", false));
        assert!(found.take(&answer(Some(1), None), "old", false));
        assert!(found.take(&answer(Some(1), Some("new")), "old", true));
        assert_eq!(found, Found::default());
        found.take(&answer(None, None), "old", false);
        found.take(&answer(Some(0), Some("new")), "old", true);
        found.take(&answer(Some(1), Some("old")), "old", true);
        found.take(
            &Answer {
                is_whole: false,
                ..answer(Some(1), None)
            },
            "old",
            true,
        );
        let counts = Found {
            mixed: 1,
            back: 1,
            old_with_new_tag: 1,
            new_with_old_tag: 1,
            failed: 1,
            ..Found::default()
        };
        assert_eq!(found, counts);
    }
}
