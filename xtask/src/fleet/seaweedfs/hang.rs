//! A mount that hangs, since its program is stopped: what is answered meanwhile, and what becomes of the rest.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};

use super::client::{Answer, Request};
use super::cluster::wait_until;
use super::report::Row;
use super::{PART, Run, bytes, evict, go_on, write};

/// The node whose mount hangs. The other one writes.
const NODE: u16 = 1;
/// Requests that hang at once: more than the 32 threads that one mount may have.
const HUNG: u64 = 48;
/// How often a file is asked for meanwhile.
const ASK: Duration = Duration::from_millis(50);
/// How long the download of a large file takes at least, in seconds.
const SECONDS: u64 = 3;

/// What was asked for meanwhile.
#[derive(Debug, Default)]
struct Meanwhile {
    answered: u64,
    other: u64,
    slowest: Duration,
    /// The end of the last answer with the expected bytes, from the beginning of the hang.
    last: Duration,
}

pub(super) fn run(run: &mut Run) -> anyhow::Result<Vec<Row>> {
    let mut rows = before_the_first_byte(run)?;
    rows.push(goes_on(run)?);
    rows.push(closed(run)?);
    Ok(rows)
}

/// Requests that hang before a byte was sent, and others meanwhile.
fn before_the_first_byte(run: &Run) -> anyhow::Result<Vec<Row>> {
    let timeout = Duration::from_secs_f64(run.options.disk_timeout);
    let bodies = hung_files(run)?;
    let file = bytes(30, 1 << 20);
    let local = run.cluster.www(NODE).join("local");
    write(&local.join("hot.bin"), &file)?;
    write(&local.join("cold.bin"), &file)?;
    // Written at the other node: here its pages come from reading.
    run.write(2, "cached.bin", &file)?;
    run.tag(NODE, "/library/cached.bin", &file)?;

    let is_over = AtomicBool::new(false);
    let hang = run.cluster.hang(NODE)?;
    let began = Instant::now();
    let meanwhile = |target: &str, evicted: Option<&Path>| {
        let candidates: [&[u8]; 1] = [&file];
        let request = Request {
            target,
            candidates: &candidates,
            ..Request::default()
        };
        ask_until(&is_over, began, || {
            evicted.map_or(Ok(()), evict)?;
            run.get(NODE, request)
        })
    };
    let cold_path = local.join("cold.bin");
    let (hung, hot, cold, cached) = std::thread::scope(|scope| {
        let hung = bodies
            .iter()
            .enumerate()
            .map(|one| scope.spawn(move || get_hung(run, one)));
        let hung: Vec<_> = hung.collect();
        let hot = scope.spawn(|| meanwhile("/local/hot.bin", None));
        let cold = scope.spawn(|| meanwhile("/local/cold.bin", Some(&cold_path)));
        let cached = scope.spawn(|| meanwhile("/library/cached.bin", None));
        let hung: Vec<_> = hung.into_iter().map(ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::SeqCst);
        (hung, hot.join(), cold.join(), cached.join())
    });
    let lasted = began.elapsed();
    drop(hang);
    let panicked = |_| anyhow!("a thread has panicked");
    let hung = hung
        .into_iter()
        .map(|one| one.map_err(panicked)?)
        .collect::<Result<Vec<Answer>, _>>()?;
    let (hot, cold) = (hot.map_err(panicked)??, cold.map_err(panicked)??);
    let cached = cached.map_err(panicked)??;
    Ok(vec![
        timed_out(&hung, timeout),
        Row::new(
            "meanwhile, a local file in the page cache",
            &hot.words(lasted),
            hot.is_all(),
        ),
        Row::new(
            "meanwhile, a local file that is cold",
            &cold.words(lasted),
            cold.is_all(),
        ),
        Row::shown(
            "meanwhile, a file of the mount in the page cache",
            &cached.words(lasted),
        ),
        afterwards(run, &bodies)?,
    ])
}

/// Writes the files that are to hang, and answers their bytes.
fn hung_files(run: &Run) -> anyhow::Result<Vec<Vec<u8>>> {
    let bodies: Vec<Vec<u8>> = (0..HUNG)
        .map(|number| bytes(40 + number, 100_000))
        .collect();
    for (number, body) in bodies.iter().enumerate() {
        run.write(2, &format!("hung-{number}.bin"), body)?;
    }
    Ok(bodies)
}

/// Asks for one of the files that hang.
fn get_hung(run: &Run, (number, body): (usize, &Vec<u8>)) -> anyhow::Result<Answer> {
    let target = format!("/library/hung-{number}.bin");
    run.get(
        NODE,
        Request {
            target: &target,
            candidates: &[body],
            ..Request::default()
        },
    )
}

/// Asks again and again until the others have their answers.
fn ask_until(
    is_over: &AtomicBool,
    began: Instant,
    ask: impl Fn() -> anyhow::Result<Answer>,
) -> anyhow::Result<Meanwhile> {
    let mut found = Meanwhile::default();
    while !is_over.load(Ordering::SeqCst) {
        let asked = Instant::now();
        if ask()?.is_right() {
            found.answered += 1;
            found.slowest = found.slowest.max(asked.elapsed());
            found.last = began.elapsed();
        } else {
            found.other += 1;
        }
        std::thread::sleep(ASK);
    }
    Ok(found)
}

impl Meanwhile {
    /// Whether each request had its bytes.
    fn is_all(&self) -> bool {
        self.other == 0 && self.answered > 1
    }

    fn words(&self, lasted: Duration) -> String {
        let other = match self.other {
            0 => String::new(),
            other => format!(", {other} not"),
        };
        if self.answered == 0 {
            return format!("none answered{other}, in {:.1} s", lasted.as_secs_f64());
        }
        format!(
            "{} answered{other}, the slowest after {:.3} s, the last {:.1} s after the beginning of {:.1} s",
            self.answered,
            self.slowest.as_secs_f64(),
            self.last.as_secs_f64(),
            lasted.as_secs_f64()
        )
    }
}

fn timed_out(hung: &[Answer], timeout: Duration) -> Row {
    let count = |status: u16| hung.iter().filter(|answer| answer.status == status).count();
    let longest = hung
        .iter()
        .map(|answer| answer.time)
        .max()
        .unwrap_or_default();
    let seen = format!(
        "{} of {} with 504, {} with 200, {} with 503, the last after {:.1} s",
        count(504),
        hung.len(),
        count(200),
        count(503),
        longest.as_secs_f64()
    );
    let what = format!(
        "files of it that are asked for have 504 after {:.0} s",
        timeout.as_secs_f64()
    );
    Row::new(&what, &seen, count(504) == hung.len())
}

/// The same files when the mount goes on.
fn afterwards(run: &Run, bodies: &[Vec<u8>]) -> anyhow::Result<Row> {
    let mut right = 0;
    for one in bodies.iter().enumerate() {
        right += usize::from(get_hung(run, one)?.is_right());
    }
    let seen = format!("{right} of {}", bodies.len());
    Ok(Row::new(
        "when it goes on, the same files are whole and equal",
        &seen,
        right == bodies.len(),
    ))
}

/// A hang within a download that is shorter than the disk timeout.
fn goes_on(run: &Run) -> anyhow::Result<Row> {
    let film = run.large(33);
    let (answer, hung) = hang_within(run, "short.bin", &film, |_| {
        let began = Instant::now();
        while began.elapsed().as_secs_f64() < run.options.disk_timeout / 2.0 {
            go_on(&run.stop)?;
            std::thread::sleep(ASK);
        }
        Ok(())
    })?;
    let seen = format!(
        "{}, of which it hung {:.1}",
        answer.words(),
        hung.as_secs_f64()
    );
    let what = "a download during which it hangs for half of the disk timeout is whole and equal";
    Ok(Row::new(what, &seen, answer.is_right()))
}

/// A hang within a download that is longer, and its rest from the other node.
fn closed(run: &Run) -> anyhow::Result<Row> {
    let film = run.large(34);
    let (answer, hung) = hang_within(run, "long.bin", &film, |is_over| {
        wait_until("the connection is closed", &run.stop, || {
            Ok(is_over.load(Ordering::SeqCst))
        })
    })?;
    ensure!(
        answer.candidate == Some(0),
        "other bytes: {}",
        answer.words()
    );
    let tag = run.tag(2, "/library/long.bin", &film)?;
    let candidates: [&[u8]; 1] = [&film];
    let whole = Request {
        target: "/library/long.bin",
        candidates: &candidates,
        ..Request::default()
    };
    let rest = run.get(
        2,
        Request {
            rest: Some((answer.bytes, &tag)),
            ..whole
        },
    )?;
    let seen = format!(
        "{}, of which it hung {:.1}; node 2: {}",
        answer.words(),
        hung.as_secs_f64(),
        rest.words()
    );
    let what = "one during which it hangs for longer is closed, and node 2 has the rest";
    Ok(Row::new(
        what,
        &seen,
        !answer.is_whole && rest.status == 206 && rest.is_right(),
    ))
}

/// A download during which the mount hangs until `wait` returns. `wait` gets whether the download is over.
fn hang_within(
    run: &Run,
    name: &str,
    bytes: &[u8],
    wait: impl FnOnce(&AtomicBool) -> anyhow::Result<()>,
) -> anyhow::Result<(Answer, Duration)> {
    run.write(2, name, bytes)?;
    let (progress, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let length = bytes.len() as u64;
    let candidates: [&[u8]; 1] = [bytes];
    let target = format!("/library/{name}");
    let request = Request {
        target: &target,
        candidates: &candidates,
        bytes_per_second: Some(length / SECONDS),
        progress: Some(&progress),
        ..Request::default()
    };
    std::thread::scope(|scope| {
        let download = scope.spawn(|| {
            let answer = run.get(NODE, request);
            is_over.store(true, Ordering::SeqCst);
            answer
        });
        let has_come =
            || Ok(progress.load(Ordering::SeqCst) >= length / PART || download.is_finished());
        wait_until("a quarter of the file", &run.stop, has_come)?;
        let hang = run.cluster.hang(NODE)?;
        let began = Instant::now();
        wait(&is_over)?;
        let hung = began.elapsed();
        drop(hang);
        let answer = download
            .join()
            .map_err(|_| anyhow!("the download has ended by a panic"))?;
        Ok((answer?, hung))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_answered_is_told() {
        let mut found = Meanwhile {
            answered: 3,
            ..Meanwhile::default()
        };
        assert!(found.is_all());
        found.other = 1;
        assert!(!found.is_all());
        assert!(
            found
                .words(Duration::from_secs(5))
                .starts_with("3 answered, 1 not, the slowest after 0.000 s")
        );
    }

    #[test]
    fn a_hung_request_that_is_answered_otherwise_is_not_as_expected() {
        let answer = |status| Answer {
            status,
            etag: None,
            bytes: 0,
            is_whole: true,
            candidate: None,
            time: Duration::from_secs(5),
        };
        let timeout = Duration::from_secs(5);
        assert_eq!(
            timed_out(&[answer(504), answer(504)], timeout).holds,
            Some(true)
        );
        assert_eq!(
            timed_out(&[answer(504), answer(503)], timeout).holds,
            Some(false)
        );
    }
}
