//! A file that is replaced at one node, until the other node has it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::client::Request;
use super::report::{Row, median};
use super::{Run, bytes, go_on, write};

/// How often each file is replaced.
const TIMES: u64 = 7;
/// How often the other node is asked.
const ASK: Duration = Duration::from_millis(10);
/// How long a new file may take to be seen.
const SEEN_MAX: Duration = Duration::from_secs(30);

pub(super) fn run(run: &mut Run) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    // The first is small enough for the response cache, the second is in the page cache alone.
    for (name, length, what) in [("page", 4 << 10, "4 KiB"), ("picture", 1 << 20, "1 MiB")] {
        let mut seen = Vec::new();
        let mut tagged = Vec::new();
        run.write(1, name, &bytes(20, length))?;
        for number in 0..TIMES {
            let both = [bytes(20 + number, length), bytes(21 + number, length)];
            let (first, second) = replaced(run, name, &both)?;
            seen.push(first.as_secs_f64());
            tagged.push(second.as_secs_f64());
        }
        rows.push(Row::new(
            &format!("{what} replaced at node 1 are at node 2, old or new and never mixed"),
            &format!("after {}", spread(&mut seen)),
            true,
        ));
        rows.push(Row::new(
            "with a new entity-tag, and a resume with the old one is the whole new file",
            &format!("after {}", spread(&mut tagged)),
            true,
        ));
    }
    Ok(rows)
}

fn spread(seconds: &mut [f64]) -> String {
    let middle = median(seconds).unwrap_or(f64::NAN);
    format!(
        "{middle:.2} s (median of {}; at most {:.2})",
        seconds.len(),
        seconds.last().unwrap_or(&f64::NAN)
    )
}

/// How long after the renaming the new bytes were seen, and the new tag.
fn replaced(
    run: &Run,
    name: &str,
    [old, new]: &[Vec<u8>; 2],
) -> anyhow::Result<(Duration, Duration)> {
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
        let answer = run.get(2, whole)?;
        let is_new = answer.candidate == Some(1);
        ensure!(answer.is_right(), "{target}: {}", answer.words());
        ensure!(
            is_new || seen.is_none(),
            "{target}: old bytes after new ones"
        );
        ensure!(
            is_new != (answer.etag.as_ref() == Some(&tag)),
            "{target}: bytes and entity-tag do not belong together"
        );
        if is_new {
            let seen = *seen.get_or_insert(renamed.elapsed());
            if answer.etag.is_some() {
                let tagged = renamed.elapsed();
                let resumed = run.get(
                    2,
                    Request {
                        rest: Some((100, &tag)),
                        ..whole
                    },
                )?;
                let is_whole_new =
                    resumed.status == 200 && resumed.is_right() && resumed.candidate == Some(1);
                ensure!(
                    is_whole_new,
                    "{target}, resumed with the old entity-tag: {}",
                    resumed.words()
                );
                return Ok((seen, tagged));
            }
        }
        if renamed.elapsed() > SEEN_MAX {
            bail!("{target}: not seen after {} s", SEEN_MAX.as_secs());
        }
        std::thread::sleep(ASK);
    }
}
