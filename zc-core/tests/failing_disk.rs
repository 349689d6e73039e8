//! Disks that fail or do not answer: a source whose reads end in an error, in the middle of a
//! transfer, of a fetch and of a copy.
#![cfg(target_os = "linux")]

mod common;

use std::fs::File;

use common::{Inbox, METHODS, advance, assert_same_bytes, errno_of, tcp_pair};
use nix::errno::Errno;
use nix::libc::EIO;
use zc_bench::slow_fs::{Content, Operation, SlowFs, Treatment, pattern};
use zc_core::{Fetcher, Progress, SendErrorKind, Transfer, copy_file};

const SEED: u64 = 200;
/// Far more than the kernel reads ahead of a transfer on FUSE.
const LENGTH: u64 = 4 << 20;
/// What is sent before the disk begins to fail.
const HEALTHY: u64 = 256 << 10;

/// A mount with one file, and the directory it stands on.
struct Disk {
    mount: SlowFs,
    _directory: tempfile::TempDir,
}

impl Disk {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mount = match SlowFs::mount(directory.path()) {
            Ok(mount) => mount,
            Err(error) => {
                println!("no FUSE here ({error}): nothing to test");
                return None;
            }
        };
        let (seed, length) = (SEED, LENGTH);
        mount.add("file", Content::Pattern { seed, length });
        Some(Self {
            mount,
            _directory: directory,
        })
    }

    fn open(&self) -> File {
        File::open(self.mount.point().join("file")).unwrap()
    }

    fn fail(&self) {
        self.mount.treat(Operation::Read, Treatment::Fail(EIO));
    }

    fn heal(&self) {
        self.mount.treat(Operation::Read, Treatment::Answer);
    }
}

#[test]
fn a_transfer_says_the_error_of_the_disk_and_goes_on_when_it_is_healed() {
    for &method in METHODS {
        // A mount for each method: pages that one has read are in memory for the next.
        let Some(disk) = Disk::new() else { return };
        let (sender, reader) = tcp_pair(None, None);
        let mut inbox = Inbox::new(reader);
        let mut transfer = Transfer::new(disk.open(), 0, LENGTH).with_method(method);
        let mut budget = HEALTHY;
        let error = loop {
            match advance(&mut transfer, &sender, budget) {
                Ok(Progress::WouldBlock) => inbox.read_until_writable(&sender),
                Ok(Progress::BudgetSpent) => {
                    disk.fail();
                    budget = u64::MAX;
                }
                Ok(end) => panic!("{method:?} ended in {end:?}"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind, SendErrorKind::Failed, "{method:?}");
        assert_eq!(errno_of(&error.source), Errno::EIO);
        assert!(
            transfer.offset() >= HEALTHY,
            "what was read before has gone"
        );
        assert!(transfer.remaining() > 0);
        inbox.read_until(transfer.offset());

        disk.heal();
        let progress = common::drive(&mut transfer, &sender, &mut inbox, || u64::MAX);
        assert_eq!(progress, Progress::Complete, "{method:?}");
        drop(sender);
        assert_same_bytes(&inbox.finish(), &pattern(SEED, 0, LENGTH as usize));
    }
}

#[test]
fn a_fetch_ends_with_the_error_of_the_disk() {
    let Some(disk) = Disk::new() else { return };
    let fetcher = Fetcher::new().unwrap();
    disk.fail();
    let error = fetcher.fetch(disk.open(), 0..LENGTH).unwrap_err();
    assert_eq!(errno_of(&error), Errno::EIO);
    disk.heal();
    assert_eq!(fetcher.fetch(disk.open(), 0..LENGTH).unwrap(), LENGTH);
}

#[test]
fn a_copy_from_file_to_file_says_how_far_it_came() {
    let Some(disk) = Disk::new() else { return };
    let source = disk.open();
    let sink = tempfile::tempfile().unwrap();
    let report = copy_file(&source, &sink, 0, 0, HEALTHY).unwrap();
    assert_eq!(report.bytes(), HEALTHY);
    disk.fail();
    let error = copy_file(&source, &sink, HEALTHY, HEALTHY, LENGTH - HEALTHY).unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Failed);
    assert_eq!(errno_of(&error.source), Errno::EIO);
    disk.heal();
    let done = HEALTHY + error.sent;
    let report = copy_file(&source, &sink, done, done, LENGTH - done).unwrap();
    assert_eq!(report.bytes(), LENGTH - done);
    let mut bytes = vec![0; LENGTH as usize];
    std::os::unix::fs::FileExt::read_exact_at(&sink, &mut bytes, 0).unwrap();
    assert_same_bytes(&bytes, &pattern(SEED, 0, LENGTH as usize));
}
