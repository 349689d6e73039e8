//! From file to file: the same bytes as a slow copy, positional, and exact when it fails.

mod common;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use common::cases::{Promise, SIZE_MAX, broken, check, kept, size};
use common::signals::with_signals;
use common::{PORTABLE, assert_same_bytes, contents, errno_of, patterned, refusal};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use proptest::prelude::*;
use zc_core::{
    COPY_BUFFER_BYTES, FileCopyReport, Progress, SendErrorKind, SourceTruncated, copy_file,
    copy_file_range,
};

/// A file on the disk of the build directory.
fn on_disk(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A file in memory: another filesystem than the disk's.
fn in_memory(bytes: &[u8]) -> File {
    let mut file = File::from(memfd_create(c"file_copy", MFdFlags::MFD_CLOEXEC).unwrap());
    file.write_all(bytes).unwrap();
    file
}

/// What the sink must hold afterwards: a hole is zeros, what is beyond the range stays.
fn expected(sink: &[u8], moved: &[u8], sink_offset: usize) -> Vec<u8> {
    let mut bytes = sink.to_vec();
    if !moved.is_empty() {
        bytes.resize(bytes.len().max(sink_offset + moved.len()), 0);
        bytes[sink_offset..sink_offset + moved.len()].copy_from_slice(moved);
    }
    bytes
}

/// Everything that a copy depends on, but for the filesystems.
#[derive(Debug, Clone)]
struct Case {
    source: Promise,
    sink_size: u64,
    sink_offset: u64,
    /// Signals that come while it copies, if it takes that long.
    signals: u8,
}

fn cases(source: impl Strategy<Value = Promise>) -> impl Strategy<Value = Case> {
    let sink_offset = 0..2 * COPY_BUFFER_BYTES as u64;
    (source, size(), sink_offset, 0..4_u8).prop_map(|(source, sink_size, sink_offset, signals)| {
        Case {
            source,
            sink_size,
            sink_offset,
            signals,
        }
    })
}

/// Makes a file with these bytes.
type FileOf = fn(&[u8]) -> File;

/// Copies a generated range and compares all bytes, both positions and the report.
fn agrees_with_a_slow_copy(
    case: &Case,
    bytes: &[u8],
    [source_of, sink_of]: [FileOf; 2],
) -> FileCopyReport {
    let Promise {
        size,
        offset,
        length,
    } = case.source;
    let source_bytes = &bytes[..size as usize];
    // Other bytes than those that come.
    let sink_bytes = &bytes[bytes.len() - case.sink_size as usize..];
    let mut source = source_of(source_bytes);
    let mut sink = sink_of(sink_bytes);
    source.seek(SeekFrom::Start(17)).unwrap();
    sink.seek(SeekFrom::Start(23)).unwrap();
    let copy = || copy_file(&source, &sink, offset, case.sink_offset, length).unwrap();
    let (report, ()) = with_signals(copy, |aim| {
        for _ in 0..case.signals {
            aim.interrupt();
        }
    });

    assert_eq!(source.stream_position().unwrap(), 17);
    assert_eq!(sink.stream_position().unwrap(), 23);
    let moved = case.source.bytes(source_bytes);
    assert_same_bytes(
        &contents(&sink),
        &expected(sink_bytes, moved, case.sink_offset as usize),
    );
    assert_same_bytes(&contents(&source), source_bytes);
    assert_eq!(report.bytes(), moved.len() as u64);
    let end = report
        .truncated
        .map_or(Progress::Complete, Progress::SourceTruncated);
    assert_eq!(end, case.source.end());
    assert_eq!(report.calls() > 0, length > 0, "calls are counted");
    report
}

/// Copies generated ranges between such files, of promises that are kept and of others; `look` sees
/// the report of every copy that moved anything.
fn compare(files: [FileOf; 2], look: impl Fn(&FileCopyReport)) {
    let bytes = patterned(2 * SIZE_MAX as usize, 3);
    let copy = |case: Case| {
        let report = agrees_with_a_slow_copy(&case, &bytes, files);
        if report.bytes() > 0 {
            look(&report);
        }
        report.truncated
    };
    check(40, &cases(kept(size())), |case| {
        assert_eq!(copy(case), None)
    });
    check(40, &cases(broken(size())), |case| {
        assert_ne!(copy(case), None)
    });
}

/// One refused call and no more, then a read and a write per buffer. The `errno` is looked at where
/// it is known.
#[track_caller]
fn assert_copied_by_buffer(report: &FileCopyReport, errno: Option<Errno>) {
    let known = PORTABLE.then_some(Errno::ENOSYS).or(errno);
    if let Some(errno) = known {
        assert_eq!(report.fallback_errno, Some(errno as i32));
    }
    assert_eq!((report.in_kernel.bytes, report.in_kernel.calls), (0, 1));
    let buffers = report.bytes().div_ceil(COPY_BUFFER_BYTES as u64);
    // One more read at the end of the file.
    let at_end = u64::from(report.truncated.is_some());
    assert_eq!(report.copy.calls, 2 * buffers + at_end);
}

#[test]
fn copies_within_a_filesystem_are_exact() {
    compare([on_disk, on_disk], |report| {
        if report.fallback_errno.is_some() || PORTABLE {
            println!("copy_file_range is refused here: {report:?}");
            assert_copied_by_buffer(report, None);
        } else {
            assert_eq!(report.copy.bytes, 0, "all in the kernel: {report:?}");
        }
    });
}

#[test]
fn copies_between_filesystems_are_exact() {
    for files in [[on_disk as FileOf, in_memory], [in_memory, on_disk]] {
        compare(files, |report| {
            // Linux 5.3 to 5.18 copies between filesystems in the kernel.
            if report.fallback_errno.is_some() || PORTABLE {
                assert_copied_by_buffer(report, Some(Errno::EXDEV));
            } else {
                assert_eq!(report.copy.bytes, 0);
            }
        });
    }
}

#[test]
fn a_refusal_is_reported_and_gone_around() {
    // A device is no file: every kernel says EINVAL.
    let source = File::open("/dev/zero").unwrap();
    let before = patterned(300_000, 1);
    let sink = on_disk(&before);
    let refused = copy_file_range(&source, &sink, 0, 5, 200_000).unwrap_err();
    assert_eq!(refused.kind, SendErrorKind::Refused);
    assert_eq!(refused.sent, 0);
    assert_eq!(errno_of(&refused.source), refusal(Errno::EINVAL));
    assert_same_bytes(&contents(&sink), &before);

    let report = copy_file(&source, &sink, 0, 5, 200_000).unwrap();
    let errno = refusal(Errno::EINVAL) as i32;
    assert_eq!(report.fallback_errno, Some(errno));
    assert_eq!(report.copy.bytes, 200_000);
    assert_eq!(report.in_kernel.bytes, 0);
    assert_eq!(report.truncated, None);
    assert_same_bytes(&contents(&sink), &expected(&before, &[0; 200_000], 5));
}

#[test]
fn a_pseudo_file_is_copied_though_its_size_is_0() {
    let slow = fs::read("/proc/version").unwrap();
    let source = File::open("/proc/version").unwrap();
    let sink = on_disk(b"");
    let report = copy_file(&source, &sink, 0, 0, 1 << 20).unwrap();
    assert_same_bytes(&contents(&sink), &slow);
    assert_eq!(report.bytes(), slow.len() as u64);
    let end = SourceTruncated {
        offset: slow.len() as u64,
        missing: (1 << 20) - slow.len() as u64,
    };
    assert_eq!(report.truncated, Some(end));
}

#[test]
fn one_thin_call_is_positional_and_counts_itself() {
    let bytes = patterned(100_000, 1);
    let before = patterned(1_000, 2);
    let (mut source, mut sink) = (on_disk(&bytes), on_disk(&before));
    source.seek(SeekFrom::Start(17)).unwrap();
    sink.seek(SeekFrom::Start(23)).unwrap();
    let answer = copy_file_range(&source, &sink, 10, 900, 50_000);
    assert!(!PORTABLE || answer.is_err(), "there is no such call");
    let sent = match answer {
        Ok(sent) => sent,
        Err(error) => {
            assert_eq!((error.sent, error.kind), (0, SendErrorKind::Refused));
            assert!(!PORTABLE || errno_of(&error.source) == Errno::ENOSYS);
            assert_same_bytes(&contents(&sink), &before);
            println!("copy_file_range is refused here: {error}");
            return;
        }
    };
    assert_eq!(sent.calls, 1);
    assert!((1..=50_000).contains(&sent.bytes));
    let moved = &bytes[10..10 + sent.bytes as usize];
    assert_same_bytes(&contents(&sink), &expected(&before, moved, 900));
    assert_eq!(source.stream_position().unwrap(), 17);
    assert_eq!(sink.stream_position().unwrap(), 23);

    // At the end of the source, and for a count of 0, nothing goes.
    for (offset, count) in [(100_000, 10), (200_000, 10), (0, 0)] {
        let sent = copy_file_range(&source, &sink, offset, 0, count).unwrap();
        assert_eq!((sent.bytes, sent.calls), (0, 1));
    }
}

#[test]
fn an_empty_copy_calls_nothing() {
    let report = copy_file(on_disk(b"abc"), on_disk(b""), 1, 1, 0).unwrap();
    assert_eq!(report, FileCopyReport::default());
}

#[test]
fn a_sink_open_for_appending_is_refused_on_every_path() {
    // `pwrite` would ignore the offset there and append, see its man page.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("log");
    fs::write(&path, "before").unwrap();
    let sink = File::options().append(true).open(&path).unwrap();
    // The kernel refuses a device before it looks at the sink, so that one gets to the buffer.
    let device = File::open("/dev/zero").unwrap();
    for source in [on_disk(b"abcdef"), in_memory(b"abcdef"), device] {
        let error = copy_file(&source, &sink, 0, 0, 6).unwrap_err();
        assert_eq!(errno_of(&error.source), Errno::EBADF);
        assert_eq!((error.sent, error.kind), (0, SendErrorKind::Failed));
        assert_eq!(fs::read(&path).unwrap(), b"before");
    }
}

#[test]
fn overlapping_ranges_are_refused_and_others_of_one_file_are_not() {
    for file_of in [on_disk as fn(&[u8]) -> File, in_memory] {
        let bytes = patterned(400_000, 1);
        let file = file_of(&bytes);
        for (from, to) in [(0, 1), (1, 0), (5, 5), (0, 99_999)] {
            let error = copy_file(&file, &file, from, to, 100_000).unwrap_err();
            assert_eq!(errno_of(&error.source), Errno::EINVAL);
            assert_eq!(error.sent, 0);
            assert_same_bytes(&contents(&file), &bytes);
        }
        let report = copy_file(&file, &file, 0, 100_000, 100_000).unwrap();
        assert_eq!(report.bytes(), 100_000);
        assert_same_bytes(
            &contents(&file),
            &expected(&bytes, &bytes[..100_000], 100_000),
        );
    }
}

#[test]
fn offsets_that_do_not_fit_are_errors() {
    let (source, sink) = (on_disk(b"abc"), on_disk(b"xyz"));
    let last = i64::MAX as u64;
    for (from, to, length) in [
        (1 << 63, 0, 1),
        (0, 1 << 63, 1),
        (u64::MAX, 0, 1),
        (last, 0, 1),
        (0, last, 1),
        (0, 0, u64::MAX),
    ] {
        let error = copy_file(&source, &sink, from, to, length).unwrap_err();
        assert_eq!(errno_of(&error.source), Errno::EOVERFLOW);
        assert_eq!(error.sent, 0);
    }
    let error = copy_file_range(&source, &sink, 1 << 63, 0, 1).unwrap_err();
    assert_eq!(errno_of(&error.source), Errno::EOVERFLOW);
    assert_eq!(contents(&sink), b"xyz");
}

#[test]
fn descriptors_of_the_wrong_direction_or_kind_are_errors() {
    let bytes = patterned(10_000, 1);
    let readable = on_disk(&bytes);
    let write_only = File::options().write(true).open("/dev/null").unwrap();
    let read_only = File::open("/dev/zero").unwrap();
    let (_reader, pipe) = std::io::pipe().unwrap();
    let errno = |result: Result<FileCopyReport, zc_core::SendError>| {
        let error = result.unwrap_err();
        assert_eq!(error.sent, 0);
        errno_of(&error.source)
    };
    assert_eq!(
        errno(copy_file(&write_only, &readable, 0, 0, 10)),
        Errno::EBADF
    );
    assert_eq!(
        errno(copy_file(&readable, &read_only, 0, 0, 10)),
        Errno::EBADF
    );
    assert_eq!(errno(copy_file(&readable, &pipe, 0, 0, 10)), Errno::ESPIPE);
    assert_same_bytes(&contents(&readable), &bytes);
}

#[test]
fn a_full_device_is_an_error_and_not_a_fallback_loop() {
    let sink = File::options().write(true).open("/dev/full").unwrap();
    let error = copy_file(on_disk(&patterned(10_000, 1)), &sink, 0, 0, 10_000).unwrap_err();
    assert_eq!(errno_of(&error.source), Errno::ENOSPC);
    assert_eq!((error.sent, error.kind), (0, SendErrorKind::Failed));
}

/// A mounted tmpfs, unmounted at the end.
struct Mount(tempfile::TempDir);

impl Mount {
    /// `None`, with a line, where that is not permitted.
    fn new(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(directory.path())
            .output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(directory));
        }
        println!("skipped: mounting a tmpfs is not permitted here");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: the files of a failed test may still be open.
        let unmount = Command::new("umount").arg("-l").arg(self.path()).status();
        if !unmount.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.path().display());
        }
    }
}

/// An empty file that can be read too.
fn sink_at(path: &Path) -> File {
    let mut options = File::options();
    options.create_new(true).read(true).write(true);
    options.open(path).unwrap()
}

#[test]
fn a_full_filesystem_says_how_much_arrived_and_the_rest_can_follow() {
    let Some(mount) = Mount::new("1m") else {
        return;
    };
    let source_bytes = patterned(700_001, 1);
    let source = on_disk(&source_bytes);
    let ballast = mount.path().join("ballast");
    fs::write(&ballast, vec![1; 800_000]).unwrap();
    let sink = sink_at(&mount.path().join("sink"));

    let error = copy_file(&source, &sink, 0, 0, 700_001).unwrap_err();
    assert_eq!(errno_of(&error.source), Errno::ENOSPC);
    assert_eq!(error.kind, SendErrorKind::Failed);
    assert!((1..700_001).contains(&error.sent), "{}", error.sent);
    assert_same_bytes(&contents(&sink), &source_bytes[..error.sent as usize]);

    // Cut and not removed: a program that another test starts may have it open for a moment.
    fs::write(&ballast, []).unwrap();
    let rest = copy_file(&source, &sink, error.sent, error.sent, 700_001 - error.sent).unwrap();
    assert_eq!(error.sent + rest.bytes(), 700_001);
    assert_same_bytes(&contents(&sink), &source_bytes);
}

#[test]
fn a_filesystem_filled_by_the_kernel_says_how_much_arrived() {
    let Some(mount) = Mount::new("1m") else {
        return;
    };
    // Both files are on the small filesystem, so the copy stays in the kernel until it is full.
    let source_bytes = patterned(700_001, 1);
    let path = mount.path().join("source");
    fs::write(&path, &source_bytes).unwrap();
    let source = File::open(&path).unwrap();
    let sink = sink_at(&mount.path().join("sink"));
    let first = copy_file_range(&source, &sink, 0, 0, 4096);
    println!("copy_file_range within a tmpfs: {first:?}");

    let error = copy_file(&source, &sink, 0, 0, 700_001).unwrap_err();
    assert_eq!(errno_of(&error.source), Errno::ENOSPC);
    assert_eq!(error.kind, SendErrorKind::Failed);
    assert!((1..700_001).contains(&error.sent), "{}", error.sent);
    assert_same_bytes(&contents(&sink), &source_bytes[..error.sent as usize]);
}
