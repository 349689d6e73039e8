//! Files of every kind of filesystem at hand: the same bytes by every method that works there.
#![cfg(not(feature = "portable"))]

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Inbox, advance, assert_same_bytes, patterned, tcp_pair};
use zc_core::{Fallback, FileSystem, Method, Path as Way, Progress, Reason, Report, Transfer};

const LENGTH: usize = 300_001;

fn send(path: &Path, length: u64, method: Method) -> (Report, Vec<u8>) {
    let file = File::open(path).unwrap();
    let (sender, reader) = tcp_pair(None, None);
    let mut inbox = Inbox::new(reader);
    let mut transfer = Transfer::new(&file, 0, length).with_method(method);
    loop {
        match advance(&mut transfer, &sender, u64::MAX).unwrap() {
            Progress::Complete => break,
            Progress::WouldBlock => inbox.read_until_writable(&sender),
            other => panic!("{other:?}"),
        }
    }
    let report = *transfer.report();
    drop((transfer, sender));
    (report, inbox.finish())
}

fn assert_whole(directory: &Path, method: Method) -> Report {
    let path = directory.join("source");
    let bytes = patterned(LENGTH, 110);
    std::fs::write(&path, &bytes).unwrap();
    let (report, received) = send(&path, LENGTH as u64, method);
    assert_same_bytes(&received, &bytes);
    report
}

#[test]
fn a_disk_and_memory_need_no_fallback() {
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    assert_ne!(
        FileSystem::of(File::open(disk.path()).unwrap()).unwrap(),
        FileSystem::of(File::open(memory.path()).unwrap()).unwrap(),
        "two kinds of filesystem"
    );
    for directory in [disk.path(), memory.path()] {
        for method in [Method::Sendfile, Method::Splice, Method::Copy] {
            assert_whole(directory, method);
        }
        let report = assert_whole(directory, Method::Auto);
        assert_eq!(
            (report.sendfile.bytes, report.fallback),
            (LENGTH as u64, None)
        );
    }
}

#[test]
fn a_file_of_proc_is_sent_to_its_length_by_any_way_that_works() {
    let path = Path::new("/proc/self/limits");
    let expected = std::fs::read(path).unwrap();
    for method in [Method::Auto, Method::Copy] {
        let (report, received) = send(path, expected.len() as u64, method);
        assert_same_bytes(&received, &expected);
        assert_eq!(report.bytes(), expected.len() as u64);
    }
}

#[test]
fn a_fuse_mount_is_copied_from_the_start_and_says_so() {
    let Some(mount) = Mount::new() else {
        println!("bindfs is not here or may not mount: nothing to test");
        return;
    };
    let report = assert_whole(mount.path(), Method::Auto);
    let copied = Fallback {
        from: Way::Sendfile,
        to: Way::Copy,
        reason: Reason::FileSystem("fuse"),
    };
    assert_eq!(report.fallback, Some(copied));
    assert_eq!(
        (report.sendfile.calls, report.copy.bytes),
        (0, LENGTH as u64)
    );
    // A named method does as it is told.
    for method in [Method::Sendfile, Method::Splice] {
        assert_eq!(assert_whole(mount.path(), method).fallback, None);
    }
}

/// A directory seen through FUSE.
struct Mount {
    point: PathBuf,
    _directory: tempfile::TempDir,
}

impl Mount {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let (below, point) = (
            directory.path().join("below"),
            directory.path().join("point"),
        );
        std::fs::create_dir(&below).unwrap();
        std::fs::create_dir(&point).unwrap();
        let mut bindfs = Command::new("bindfs");
        bindfs.arg(&below).arg(&point).stderr(Stdio::null());
        bindfs.status().ok()?.success().then_some(Self {
            point,
            _directory: directory,
        })
    }

    fn path(&self) -> &Path {
        &self.point
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        for command in ["fusermount", "fusermount3"] {
            let mut unmount = Command::new(command);
            unmount.arg("-u").arg(&self.point).stderr(Stdio::null());
            if unmount.status().is_ok_and(|status| status.success()) {
                return;
            }
        }
    }
}
