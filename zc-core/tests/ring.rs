//! The ring tells of what has come into memory, of what cannot be read, and of nothing else.
#![cfg(all(target_os = "linux", feature = "io-uring", not(feature = "portable")))]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc::{self, EIO};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use zc_bench::slow_fs::{Content, Operation, SlowFs, Treatment};
use zc_core::{DiskRing, Residency, Told};

/// A hung test ends here, and fails; a working one never waits this long.
const HANG_MS: u16 = 60_000;
/// As much as one request to the disk asks for.
const LENGTH: u64 = 64 << 10;

/// `None` where io_uring is refused.
fn ring(watched_max: u32) -> Option<DiskRing> {
    match DiskRing::new(watched_max) {
        Ok(ring) => Some(ring),
        Err(error) => {
            println!("no io_uring here ({error}): nothing to test");
            None
        }
    }
}

/// A reactor's way: the descriptor is waited for, as an edge or by its level.
fn wait(ring: &mut DiskRing) -> Told {
    loop {
        if let Some(told) = ring.take() {
            return told;
        }
        let mut descriptors = [PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut descriptors, PollTimeout::from(HANG_MS)).unwrap();
        assert_eq!(ready, 1, "nothing is told");
    }
}

/// On the disk of the build directory, and not in memory.
fn cold_files(count: usize) -> Vec<File> {
    let new = |_| {
        let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        file.write_all(&[7; LENGTH as usize]).unwrap();
        file.sync_all().unwrap();
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        file
    };
    (0..count).map(new).collect()
}

#[test]
fn what_was_requested_is_told_when_it_is_there() {
    const FILES: usize = 32;
    let Some(mut ring) = ring(FILES as u32) else {
        return;
    };
    let files = cold_files(FILES);
    for (tag, file) in files.iter().enumerate() {
        let _ = Residency::request(file, 0..LENGTH);
        // Closed at once: the kernel has its own hold of it.
        let file = file.try_clone().unwrap();
        ring.watch(file, LENGTH - 1, tag as u64).unwrap();
    }
    let mut told = BTreeMap::new();
    for _ in 0..FILES {
        let Told { tag, result } = wait(&mut ring);
        result.unwrap();
        assert_ne!(
            Residency::probe(&files[tag as usize], LENGTH - 1..LENGTH),
            Residency::Cold
        );
        *told.entry(tag).or_insert(0) += 1;
    }
    assert_eq!(told, (0..FILES as u64).map(|tag| (tag, 1)).collect());
    assert!(ring.take().is_none());
}

#[test]
fn a_file_that_has_ended_before_is_told_too() {
    let Some(mut ring) = ring(1) else { return };
    let file = &cold_files(1)[0];
    ring.watch(file, LENGTH + 5, 9).unwrap();
    let told = wait(&mut ring);
    assert_eq!(told.tag, 9);
    told.result.unwrap();
}

/// A mount with one file, and the directory it stands on; `None` where FUSE cannot be used.
fn slow_disk() -> Option<(SlowFs, tempfile::TempDir)> {
    let directory = tempfile::tempdir().unwrap();
    let mount = match SlowFs::mount(directory.path()) {
        Ok(mount) => mount,
        Err(error) => {
            println!("no FUSE here ({error}): nothing to test");
            return None;
        }
    };
    let (seed, length) = (5, LENGTH);
    mount.add("file", Content::Pattern { seed, length });
    Some((mount, directory))
}

#[test]
fn one_that_is_held_back_holds_no_other_and_is_told_in_the_end() {
    let (Some(mut ring), Some((mount, _directory))) = (ring(2), slow_disk()) else {
        return;
    };
    let held = File::open(mount.point().join("file")).unwrap();
    mount.treat(Operation::Read, Treatment::Hold);
    ring.watch(&held, LENGTH - 1, 1).unwrap();
    mount.wait_until_held(Operation::Read, 1);
    let other = &cold_files(1)[0];
    for tag in 2..10 {
        ring.watch(other, 0, tag).unwrap();
        // Two are watched, and no more.
        let error = ring.watch(other, 0, 99).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let told = wait(&mut ring);
        assert_eq!(told.tag, tag);
        told.result.unwrap();
        assert!(ring.take().is_none());
    }
    mount.treat(Operation::Read, Treatment::Answer);
    let told = wait(&mut ring);
    assert_eq!(told.tag, 1);
    told.result.unwrap();
}

#[test]
fn an_error_of_the_disk_is_told_as_one() {
    let (Some(mut ring), Some((mount, _directory))) = (ring(1), slow_disk()) else {
        return;
    };
    let file = File::open(mount.point().join("file")).unwrap();
    mount.treat(Operation::Read, Treatment::Fail(EIO));
    ring.watch(&file, 0, 3).unwrap();
    let told = wait(&mut ring);
    assert_eq!(told.tag, 3);
    let error = told.result.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(EIO));
}

#[test]
fn a_ring_that_is_dropped_waits_for_nothing() {
    let (Some(mut ring), Some((mount, _directory))) = (ring(1), slow_disk()) else {
        return;
    };
    let file = File::open(mount.point().join("file")).unwrap();
    mount.treat(Operation::Read, Treatment::Hold);
    ring.watch(&file, 0, 3).unwrap();
    mount.wait_until_held(Operation::Read, 1);
    drop(ring);
    mount.treat(Operation::Read, Treatment::Answer);
}

#[test]
fn a_sandbox_that_refuses_it_is_an_error() {
    let refused = thread::spawn(|| {
        let filter = SeccompFilter::new(
            [(libc::SYS_io_uring_setup, vec![])].into_iter().collect(),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::EPERM as u32),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        DiskRing::new(1).map(drop)
    });
    let error = refused.join().unwrap().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EPERM as i32));
}

#[test]
fn a_ring_cannot_watch_nothing_nor_more_than_the_kernel_keeps() {
    let Some(_) = ring(65_536) else { return };
    for watched_max in [0, 65_537] {
        let error = DiskRing::new(watched_max).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
