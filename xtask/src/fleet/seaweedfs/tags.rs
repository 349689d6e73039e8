//! The entity-tags of a file at two nodes, and a download that is resumed at the other one.

use std::fs::{self, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use super::client::Request;
use super::report::Row;
use super::{PART, Run, write};

pub(super) fn run(run: &mut Run) -> anyhow::Result<Vec<Row>> {
    let film = run.large(1);
    run.write(1, "film.bin", &film)?;
    let target = "/library/film.bin";
    let tags = [run.tag(1, target, &film)?, run.tag(2, target, &film)?];
    let stat = |node: u16| fs::metadata(run.cluster.www(node).join("library/film.bin"));
    let stats = [stat(1)?, stat(2)?];
    let inodes = stats.each_ref().map(MetadataExt::ino);
    let times = stats
        .each_ref()
        .map(|stat| (stat.mtime(), stat.mtime_nsec()));
    let mut rows = vec![
        Row::new(
            "both nodes have the same entity-tag",
            &tags.join(", "),
            tags[0] == tags[1],
        ),
        Row::shown(
            "inodes at both nodes",
            if inodes[0] == inodes[1] {
                "equal"
            } else {
                "different"
            },
        ),
        Row::shown(
            "modification times at both nodes",
            &format!(
                "{}, with {} ns",
                if times[0] == times[1] {
                    "equal"
                } else {
                    "different"
                },
                times[0].1
            ),
        ),
    ];

    rows.push(local_copy(run, &film, stats[1].modified()?, &tags[0])?);
    rows.push(whole_seconds(run)?);
    rows.push(resumed(run, &film, &tags[0])?);
    Ok(rows)
}

fn local_copy(run: &Run, film: &[u8], modified: SystemTime, tag: &str) -> anyhow::Result<Row> {
    // A copy on a local disk with the same time.
    let local = run.cluster.www(2).join("local/film.bin");
    write(&local, film)?;
    fs::File::options()
        .write(true)
        .open(&local)?
        .set_times(FileTimes::new().set_modified(modified))?;
    let copy = run.tag(2, "/local/film.bin", film)?;
    Ok(Row::new(
        "a local copy with the same time has it too",
        &copy,
        copy == tag,
    ))
}

fn resumed(run: &Run, film: &[u8], tag: &str) -> anyhow::Result<Row> {
    let target = "/library/film.bin";
    let candidates: [&[u8]; 1] = [film];
    let whole = Request {
        target,
        candidates: &candidates,
        ..Request::default()
    };
    let half = run.get(
        1,
        Request {
            leave_after: Some(film.len() as u64 / PART),
            ..whole
        },
    )?;
    let rest = run.get(
        2,
        Request {
            rest: Some((half.bytes, tag)),
            ..whole
        },
    )?;
    let is_right =
        half.candidate == Some(0) && !half.is_whole && rest.status == 206 && rest.is_right();
    let is_all = half.bytes + rest.bytes == film.len() as u64;
    let seen = format!("{} bytes of node 1; node 2: {}", half.bytes, rest.words());
    Ok(Row::new(
        "a download of node 1 is resumed at node 2, with If-Range",
        &seen,
        is_right && is_all,
    ))
}

/// A file whose time has no nanoseconds, as `tar` and mirrors leave it.
fn whole_seconds(run: &Run) -> anyhow::Result<Row> {
    let bytes = super::bytes(2, 100_000);
    run.write(1, "seconds.bin", &bytes)?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let path = run.cluster.www(1).join("library/seconds.bin");
    fs::File::options()
        .write(true)
        .open(path)?
        .set_times(FileTimes::new().set_modified(time))?;
    let other = run.cluster.www(2).join("library/seconds.bin");
    let is_there = || Ok(fs::metadata(&other)?.modified()? == time);
    super::wait_until(
        "a modification time of one node is at the other",
        &run.stop,
        is_there,
    )?;
    let target = "/library/seconds.bin";
    let tags = [run.tag(1, target, &bytes)?, run.tag(2, target, &bytes)?];
    Ok(Row::new(
        "so have they of a file with a time of whole seconds",
        &tags.join(", "),
        tags[0] == tags[1],
    ))
}
