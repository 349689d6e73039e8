//! Completions of a `DiskRing`: one for each byte that was read or cannot be read, and no other.
#![cfg(all(target_os = "linux", feature = "io-uring", not(feature = "portable")))]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc::{self, EIO};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use zc_bench::slow_fs::{Content, Operation, SlowFs, Treatment};
use zc_core::{Completion, DiskRing, Residency};

/// A hung test ends here, and fails; a working one never waits this long.
const HANG_MS: u16 = 60_000;
/// As much as one request to the disk asks for.
const LENGTH: u64 = 64 << 10;

/// A file, and a number by which it is known again.
#[derive(Debug)]
struct Read<F>(F, u64);

impl<F: AsFd> AsFd for Read<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `None` where io_uring is refused.
fn ring<F: AsFd>(in_flight_max: u32) -> Option<DiskRing<Read<F>>> {
    match DiskRing::new(in_flight_max) {
        Ok(ring) => Some(ring),
        Err(error) => {
            println!("no io_uring here ({error}): nothing to test");
            None
        }
    }
}

/// A reactor's way: the descriptor is waited for, as an edge or by its level.
fn wait<F: AsFd>(ring: &mut DiskRing<Read<F>>) -> (u64, io::Result<()>) {
    loop {
        if let Some(Completion { read, result }) = ring.next_completion() {
            return (read.1, result);
        }
        let mut descriptors = [PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut descriptors, PollTimeout::from(HANG_MS)).unwrap();
        assert_eq!(ready, 1, "no completion");
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
fn what_was_requested_completes_when_it_is_in_memory() {
    const FILES: usize = 32;
    let Some(mut ring) = ring(FILES as u32) else {
        return;
    };
    let files = cold_files(FILES);
    for (tag, file) in files.iter().enumerate() {
        let _ = Residency::prefetch(file, 0..LENGTH);
        ring.submit(Read(file, tag as u64), LENGTH - 1).unwrap();
    }
    let mut completed = BTreeMap::new();
    for _ in 0..FILES {
        let (tag, result) = wait(&mut ring);
        result.unwrap();
        assert_ne!(
            Residency::probe(&files[tag as usize], LENGTH - 1..LENGTH),
            Residency::Cold
        );
        *completed.entry(tag).or_insert(0) += 1;
    }
    assert_eq!(completed, (0..FILES as u64).map(|tag| (tag, 1)).collect());
    assert!(ring.next_completion().is_none());
}

#[test]
fn a_read_beyond_the_end_of_the_file_completes_too() {
    let Some(mut ring) = ring(1) else { return };
    let file = &cold_files(1)[0];
    ring.submit(Read(file, 9), LENGTH + 5).unwrap();
    let (tag, result) = wait(&mut ring);
    assert_eq!(tag, 9);
    result.unwrap();
}

/// Has the kernel answer a system call of this thread with an error, from now on.
fn refuse_with(call: i64, errno: i32) {
    let filter = SeccompFilter::new(
        [(call, vec![])].into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
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
fn a_slow_read_delays_no_other_and_completes_in_the_end() {
    let (Some(mut ring), Some((mount, _directory))) = (ring(2), slow_disk()) else {
        return;
    };
    let held = File::open(mount.point().join("file")).unwrap();
    mount.treat(Operation::Read, Treatment::Hold);
    ring.submit(Read(&held, 1), LENGTH - 1).unwrap();
    mount.wait_until_held(Operation::Read, 1);
    let other = &cold_files(1)[0];
    for tag in 2..10 {
        ring.submit(Read(other, tag), 0).unwrap();
        // Two reads are in flight, and no more are taken.
        let error = ring.submit(Read(other, 99), 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let (told, result) = wait(&mut ring);
        assert_eq!(told, tag);
        result.unwrap();
        assert!(ring.next_completion().is_none());
    }
    mount.treat(Operation::Read, Treatment::Answer);
    let (tag, result) = wait(&mut ring);
    assert_eq!(tag, 1);
    result.unwrap();
}

#[test]
fn an_error_of_the_disk_is_in_the_completion() {
    let (Some(mut ring), Some((mount, _directory))) = (ring(1), slow_disk()) else {
        return;
    };
    let file = File::open(mount.point().join("file")).unwrap();
    mount.treat(Operation::Read, Treatment::Fail(EIO));
    ring.submit(Read(&file, 3), 0).unwrap();
    let (tag, result) = wait(&mut ring);
    assert_eq!(tag, 3);
    let error = result.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(EIO));
}

#[test]
fn a_ring_that_is_dropped_waits_for_nothing() {
    let (Some(mut ring), Some((mount, _directory))) = (ring(1), slow_disk()) else {
        return;
    };
    let file = File::open(mount.point().join("file")).unwrap();
    mount.treat(Operation::Read, Treatment::Hold);
    ring.submit(Read(&file, 3), 0).unwrap();
    mount.wait_until_held(Operation::Read, 1);
    drop(ring);
    mount.treat(Operation::Read, Treatment::Answer);
}

#[test]
fn a_sandbox_that_refuses_it_is_an_error() {
    let refused = thread::spawn(|| {
        refuse_with(libc::SYS_io_uring_setup, libc::EPERM);
        DiskRing::<File>::new(1).map(drop)
    });
    let error = refused.join().unwrap().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EPERM as i32));
}

#[test]
fn a_read_that_the_kernel_does_not_take_keeps_its_descriptor() {
    let refused = thread::spawn(|| {
        let Some(mut ring) = ring(4) else { return };
        let file = File::open("/dev/zero").unwrap();
        let number = file.as_raw_fd();
        refuse_with(libc::SYS_io_uring_enter, libc::EAGAIN);
        let error = ring.submit(Read(file, 1), 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        // The entry is in the queue still, with that number: no other file may get it.
        let other = File::open("/dev/null").unwrap();
        assert_ne!(other.as_raw_fd(), number);
    });
    refused.join().unwrap();
}

#[test]
fn a_ring_of_no_reads_or_of_more_than_the_kernel_keeps_is_refused() {
    let Some(_) = ring::<File>(65_536) else {
        return;
    };
    for in_flight_max in [0, 65_537] {
        let error = DiskRing::<File>::new(in_flight_max).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
