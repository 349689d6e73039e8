//! Files of every kind of filesystem at hand: the same bytes by every method that works there.

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{
    Inbox, METHODS, PORTABLE, advance, assert_only_path, assert_same_bytes, errno_of, patterned,
    refused_with, tcp_pair,
};
use nix::errno::Errno;
use zc_core::{Fallback, FileSystem, Progress, Reason, Report, SendMethod, SendPath, Transfer};

const LENGTH: usize = 300_001;

fn send(path: &Path, length: u64, method: SendMethod) -> (Report, Vec<u8>) {
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

fn assert_whole(directory: &Path, method: SendMethod) -> Report {
    let path = directory.join("source");
    let bytes = patterned(LENGTH, 110);
    std::fs::write(&path, &bytes).unwrap();
    let (report, received) = send(&path, LENGTH as u64, method);
    assert_same_bytes(&received, &bytes);
    report
}

#[test]
fn a_disk_and_memory_are_no_reason_for_a_fallback() {
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    for directory in [disk.path(), memory.path()] {
        for &method in METHODS {
            let report = assert_whole(directory, method);
            assert_only_path(&report, method, LENGTH as u64);
        }
    }
}

#[test]
fn a_disk_and_memory_are_told_apart_where_the_system_tells() {
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let kinds =
        [disk.path(), memory.path()].map(|path| FileSystem::from_fd(File::open(path).unwrap()));
    match kinds {
        [Ok(disk), Ok(memory)] if !PORTABLE => assert_ne!(disk, memory),
        [Err(disk), Err(memory)] if PORTABLE => {
            assert_eq!([errno_of(&disk), errno_of(&memory)], [Errno::ENOSYS; 2]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_of_proc_is_sent_to_its_length_by_any_way_that_works() {
    let path = Path::new("/proc/self/limits");
    let expected = std::fs::read(path).unwrap();
    for method in [SendMethod::Auto, SendMethod::Copy] {
        let (report, received) = send(path, expected.len() as u64, method);
        assert_same_bytes(&received, &expected);
        assert_eq!(report.bytes(), expected.len() as u64);
    }
}

#[test]
fn a_fuse_mount_is_copied_and_says_why() {
    let Some(mount) = Mount::new() else {
        println!("bindfs is not here or may not mount: nothing to test");
        return;
    };
    let report = assert_whole(mount.path(), SendMethod::Auto);
    let known = Fallback {
        from: SendPath::Sendfile,
        to: SendPath::Copy,
        reason: Reason::FileSystem("fuse"),
    };
    // Where it is known as FUSE it is copied from the start, elsewhere when sendfile was refused.
    let (fallback, calls) = if PORTABLE {
        (refused_with(Errno::ENOSYS), 1)
    } else {
        (known, 0)
    };
    assert_eq!(report.fallback, Some(fallback));
    assert_eq!(
        (report.sendfile.calls, report.copy.bytes),
        (calls, LENGTH as u64)
    );
    // A named method does as it is told.
    for &method in METHODS.iter().filter(|&&method| method != SendMethod::Auto) {
        let report = assert_whole(mount.path(), method);
        assert_only_path(&report, method, LENGTH as u64);
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
