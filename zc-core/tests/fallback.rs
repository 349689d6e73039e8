//! Where `sendfile` is refused: who copies instead, and who says so.

mod common;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use common::{
    PORTABLE, advance, assert_same_bytes, errno_of, failure, fallback_of, file_of, patterned,
    refusal, refused_with,
};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use zc_core::{Progress, SendErrorKind, SendMethod, SendPath, Transfer};

const ALL_METHODS: [SendMethod; 4] = [
    SendMethod::Auto,
    SendMethod::Sendfile,
    SendMethod::Splice,
    SendMethod::Copy,
];

/// Why `sendfile` is not used for an appending sink.
fn reason() -> Errno {
    refusal(Errno::EINVAL)
}

/// A file opened for appending: `sendfile(2)` answers EINVAL, `write(2)` works.
fn appending(directory: &tempfile::TempDir) -> (File, PathBuf) {
    let path = directory.path().join("appended");
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .unwrap();
    (file, path)
}

fn contents(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn sendfile_still_refuses_an_appending_sink() {
    // The other tests here would pass for nothing if it did not.
    let directory = tempfile::tempdir().unwrap();
    let (sink, path) = appending(&directory);
    let error = zc_core::sendfile(file_of(b"bytes"), &sink, 0, 5).unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Refused);
    assert_eq!(errno_of(&error.source), reason());
    assert_same_bytes(&contents(&path), b"");
}

#[test]
fn auto_copies_what_sendfile_refuses_and_keeps_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let (sink, path) = appending(&directory);
    let bytes = patterned(200_001, 30);
    let file = file_of(&bytes);
    let mut transfer = Transfer::new(&file, 1, 200_000);
    assert_eq!(transfer.path(), SendPath::Sendfile);

    // A budget too small for the whole, so that the choice has to last.
    loop {
        match advance(&mut transfer, &sink, 70_000).unwrap() {
            Progress::BudgetSpent => assert_eq!(transfer.path(), SendPath::Copy),
            Progress::Complete => break,
            other => panic!("{other:?}"),
        }
    }
    let report = transfer.report();
    assert_eq!(report.fallback, Some(refused_with(reason())));
    assert_eq!(report.copy.bytes, 200_000);
    assert_eq!(report.sendfile.bytes, 0);
    assert_eq!(
        report.sendfile.calls, 1,
        "the refused call, and it is not tried again"
    );
    assert_same_bytes(&contents(&path), &bytes[1..]);

    let told = report.fallback.unwrap().to_string();
    assert!(told.contains("sendfile refused"), "{told}");
    let number = if PORTABLE {
        "os error 38"
    } else {
        "os error 22"
    };
    assert!(told.contains(number), "{told}");
    assert!(told.contains("used copy"), "{told}");
}

#[test]
fn auto_falls_back_in_the_middle_without_losing_a_byte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sink");
    let sink = File::options()
        .create_new(true)
        .write(true)
        .open(&path)
        .unwrap();
    let bytes = patterned(150_000, 31);
    let file = file_of(&bytes);
    let mut transfer = Transfer::new(&file, 0, 150_000);
    assert_eq!(
        advance(&mut transfer, &sink, 70_001).unwrap(),
        Progress::BudgetSpent
    );
    // What is refused from the start is copied from the start.
    let by_sendfile = if PORTABLE { 0 } else { 70_001 };
    assert_eq!(transfer.path() == SendPath::Copy, PORTABLE);

    fcntl(&sink, FcntlArg::F_SETFL(OFlag::O_APPEND)).unwrap();
    assert_eq!(
        advance(&mut transfer, &sink, u64::MAX).unwrap(),
        Progress::Complete
    );
    assert_eq!(transfer.path(), SendPath::Copy);
    let report = transfer.report();
    assert_eq!(report.sendfile.bytes, by_sendfile);
    assert_eq!(report.copy.bytes, 150_000 - by_sendfile);
    assert_eq!(report.bytes(), 150_000);
    assert_eq!(report.fallback, Some(refused_with(reason())));
    assert_same_bytes(&contents(&path), &bytes);
}

#[test]
fn a_named_sendfile_or_splice_is_refused_aloud() {
    let directory = tempfile::tempdir().unwrap();
    let (sink, path) = appending(&directory);
    let file = file_of(b"bytes");
    for (method, way) in [
        (SendMethod::Sendfile, SendPath::Sendfile),
        (SendMethod::Splice, SendPath::Splice),
    ] {
        let mut transfer = Transfer::new(&file, 0, 5).with_method(method);
        let error = advance(&mut transfer, &sink, u64::MAX).unwrap_err();
        assert_eq!(error.kind, SendErrorKind::Refused);
        assert_eq!(errno_of(&error.source), reason());
        assert_eq!(error.sent, 0);
        assert_eq!(transfer.path(), way);
        assert_eq!(transfer.report().fallback, None);
        assert_eq!(transfer.report().copy.calls, 0);
        assert_same_bytes(&contents(&path), b"");
    }
}

#[test]
fn a_named_copy_never_asks_sendfile() {
    let directory = tempfile::tempdir().unwrap();
    let (sink, path) = appending(&directory);
    let bytes = patterned(70_000, 32);
    let file = file_of(&bytes);
    let mut transfer = Transfer::new(&file, 0, 70_000).with_method(SendMethod::Copy);
    assert_eq!(
        advance(&mut transfer, &sink, u64::MAX).unwrap(),
        Progress::Complete
    );
    assert_eq!(transfer.report().sendfile.calls, 0);
    assert_eq!(transfer.report().fallback, None);
    assert_same_bytes(&contents(&path), &bytes);
}

#[test]
fn a_copy_that_fails_after_the_fallback_says_its_own_reason() {
    let file = file_of(b"bytes");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut transfer = Transfer::new(&file, 0, 5);
    let error = advance(&mut transfer, &full, u64::MAX).unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Failed);
    assert_eq!(error.source.kind(), ErrorKind::StorageFull);
    assert_eq!(transfer.path(), SendPath::Copy);
    assert_eq!(transfer.offset(), 0);
    assert_eq!(transfer.remaining(), 5);
}

#[test]
fn a_sink_that_cannot_be_written_is_a_failure_and_no_refusal() {
    let file = file_of(b"bytes");
    let read_only = File::open("/dev/null").unwrap();
    for method in ALL_METHODS {
        let mut transfer = Transfer::new(&file, 0, 5).with_method(method);
        let error = advance(&mut transfer, &read_only, u64::MAX).unwrap_err();
        let answer = (error.kind, errno_of(&error.source));
        assert_eq!(answer, failure(method, Errno::EBADF), "{method:?}");
        assert_eq!(transfer.report().fallback, fallback_of(method));
    }
}

#[test]
fn a_source_without_offsets_is_a_failure() {
    let (source, _writer) = std::io::pipe().unwrap();
    let sink = tempfile::tempfile().unwrap();
    for method in ALL_METHODS {
        let mut transfer = Transfer::new(&source, 0, 5).with_method(method);
        let error = advance(&mut transfer, &sink, u64::MAX).unwrap_err();
        let answer = (error.kind, errno_of(&error.source));
        assert_eq!(answer, failure(method, Errno::ESPIPE), "{method:?}");
    }
}

#[test]
fn an_offset_that_no_file_can_have_is_a_failure() {
    let file = file_of(b"bytes");
    let sink = tempfile::tempfile().unwrap();
    // The offset is looked at before anything is asked of the system, but for a pipe.
    for method in ALL_METHODS {
        let mut transfer = Transfer::new(&file, 1 << 63, 5).with_method(method);
        let error = advance(&mut transfer, &sink, u64::MAX).unwrap_err();
        let expected = match method {
            SendMethod::Splice => failure(method, Errno::EOVERFLOW),
            _ => (SendErrorKind::Failed, Errno::EOVERFLOW),
        };
        let answer = (error.kind, errno_of(&error.source));
        assert_eq!(answer, expected, "{method:?}");
        assert_eq!(error.sent, 0);
    }
}
