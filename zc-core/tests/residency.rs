//! What is in memory is told from what is not, and a fetch brings in what is not.
//!
//! The files are on the disk of the build directory: `/tmp` is often memory, which has no cold
//! pages.

mod common;

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use common::{PORTABLE, patterned};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::memfd::{MFdFlags, memfd_create};
use zc_core::{Fetcher, PREFETCH_BYTES, Residency, read_resident};

const PAGE: u64 = 4096;

/// Longer than what a probe of an absent page reads ahead.
const LENGTH: u64 = 4 << 20;

/// A file of `LENGTH` bytes on a disk, all of it in memory and on the disk.
fn file_on_disk() -> File {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(&patterned(LENGTH as usize, 1)).unwrap();
    file.sync_all().unwrap();
    file
}

/// What a file of the build directory is when it is in memory: its filesystem may not tell, and the
/// portable path never does.
fn told(file: &File) -> Residency {
    let residency = Residency::probe(file, 0..LENGTH);
    assert!(!PORTABLE || residency == Residency::Unknown);
    if residency == Residency::Unknown {
        println!("the filesystem of the build directory does not tell what is in memory");
    } else {
        assert_eq!(residency, Residency::Hot);
    }
    residency
}

/// Throws the file out of memory; answers false where that cannot be observed.
fn evicted(file: &File) -> bool {
    if told(file) == Residency::Unknown {
        return false;
    }
    // The kernel keeps a page that somebody holds at that moment: hence more than one attempt.
    for _ in 0..100 {
        evict(file);
        if Residency::probe(file, 0..LENGTH) == Residency::Cold {
            // The probe itself has the kernel read a few pages.
            evict(file);
            return true;
        }
    }
    panic!("the file does not leave memory");
}

/// Pages being read cannot be evicted: so they are waited for first, by reading them all.
fn evict(file: &File) {
    file.read_exact_at(&mut vec![0; LENGTH as usize], 0)
        .unwrap();
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
}

fn pages(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    range
        .step_by(PAGE as usize)
        .map(|offset| offset..offset + PAGE)
}

/// Brings a range in.
fn fetched(file: impl AsFd, range: Range<u64>) -> io::Result<u64> {
    Fetcher::new().unwrap().fetch(file, range)
}

#[test]
fn a_file_just_written_is_hot_where_that_is_told() {
    let file = file_on_disk();
    let residency = told(&file);
    assert_eq!(Residency::probe(&file, 5..6), residency);
}

/// Both looks that have the kernel read what is absent.
const ASKS: [fn(&File, Range<u64>) -> Residency; 2] = [
    |file, range| Residency::prefetch(file, range),
    |file, range| Residency::probe_or_prefetch(file, range),
];

/// Whether a page is in memory when only these bytes were waited for, without reading ahead.
fn is_there_behind(file: &File, page: u64, waited_for: &[u64]) -> bool {
    // What is not prefetched is read page by page from here on, and only that.
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM).unwrap();
    for &offset in waited_for {
        file.read_exact_at(&mut [0], offset).unwrap();
    }
    Residency::probe(file, page..page + PAGE) == Residency::Hot
}

#[test]
fn prefetch_reads_more_than_a_few_pages() {
    for ask in ASKS {
        let file = file_on_disk();
        let hot = told(&file);
        assert_eq!(ask(&file, 0..LENGTH), hot);
        assert_eq!(ask(&file, LENGTH..LENGTH), Residency::Hot);
        assert_eq!(ask(&file, LENGTH..LENGTH + 1), Residency::Unknown);
        if !evicted(&file) {
            return;
        }
        let start = 1 << 20;
        let end = start + PREFETCH_BYTES;
        assert_eq!(ask(&file, start..end), Residency::Cold);
        let middle = start + PREFETCH_BYTES / 2;
        assert!(is_there_behind(&file, middle, &[middle + PAGE, end - PAGE]));
    }
}

#[test]
fn prefetch_reads_the_middle_where_the_beginning_is_in_memory() {
    for ask in ASKS {
        let file = file_on_disk();
        if !evicted(&file) {
            return;
        }
        file.read_exact_at(&mut [0; PAGE as usize], 0).unwrap();
        // More than what that has read ahead.
        let end = PREFETCH_BYTES;
        let rest = (64 << 10, end as i64);
        posix_fadvise(
            &file,
            rest.0,
            rest.1,
            PosixFadviseAdvice::POSIX_FADV_DONTNEED,
        )
        .unwrap();
        assert_ne!(ask(&file, 0..end), Residency::Unknown);
        let middle = PREFETCH_BYTES / 2;
        assert!(is_there_behind(&file, middle, &[middle + PAGE, end - PAGE]));
    }
}

#[test]
fn an_evicted_file_is_cold_until_it_is_fetched() {
    let file = file_on_disk();
    let residency = told(&file);
    // Where nobody can tell, it is read all the same.
    assert_eq!(evicted(&file), residency == Residency::Hot);
    let bytes = fetched(&file, 0..LENGTH).unwrap();
    assert_eq!(bytes, LENGTH);
    assert_eq!(Residency::probe(&file, 0..LENGTH), residency);
    for page in pages(0..LENGTH) {
        assert_eq!(Residency::probe(&file, page.clone()), residency, "{page:?}");
    }
}

#[test]
fn only_what_is_in_memory_is_read() {
    let file = file_on_disk();
    let content = patterned(LENGTH as usize, 1);
    let mut buffer = vec![0; content.len()];
    if told(&file) == Residency::Unknown {
        let error = read_resident(&file, &mut buffer, 0).expect_err("nobody can tell");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        return;
    }
    assert_eq!(read_resident(&file, &mut buffer, 0).unwrap(), content.len());
    assert!(buffer == content);
    // The file ends, and is not read from its end on.
    let near_end = LENGTH - 100;
    assert_eq!(
        read_resident(&file, &mut buffer[..1000], near_end).unwrap(),
        100
    );
    assert!(buffer[..100] == content[near_end as usize..]);
    assert_eq!(read_resident(&file, &mut buffer, LENGTH).unwrap(), 0);
    // A read that comes to an absent page ends before it, and one that begins there fails.
    assert!(evicted(&file));
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM).unwrap();
    file.read_exact_at(&mut [0], 0).unwrap();
    let error = read_resident(&file, &mut buffer, LENGTH / 2).expect_err("not in memory");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(
        read_resident(&file, &mut buffer[..2 * PAGE as usize], 10).unwrap() as u64,
        PAGE - 10
    );
}

// The answers of `preadv2` itself; the portable path has one answer only, as above.
#[test]
#[cfg(not(feature = "portable"))]
fn each_end_of_a_range_counts() {
    let file = file_on_disk();
    if !evicted(&file) {
        return;
    }
    // Without readahead only what is asked for comes in, so that one end can be hot alone.
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM).unwrap();
    let middle = LENGTH / 2;
    let window = middle..middle + 2 * PAGE;
    assert_eq!(fetched(&file, window.clone()).unwrap(), 2 * PAGE);
    assert_eq!(Residency::probe(&file, window.clone()), Residency::Hot);
    assert_eq!(Residency::probe(&file, 0..window.end), Residency::Cold);
    assert_eq!(
        Residency::probe(&file, window.start..LENGTH),
        Residency::Cold
    );
}

#[test]
fn an_empty_range_is_hot_and_fetches_nothing() {
    let (pipe, _writer) = io::pipe().unwrap();
    assert_eq!(Residency::probe(&pipe, 7..7), Residency::Hot);
    let reversed = Range { start: 7, end: 3 };
    assert_eq!(Residency::probe(&pipe, reversed.clone()), Residency::Hot);
    assert_eq!(fetched(&pipe, reversed).unwrap(), 0);
}

#[test]
fn what_cannot_be_asked_is_unknown() {
    let file = file_on_disk();
    let (pipe, _writer) = io::pipe().unwrap();
    assert_eq!(Residency::probe(&pipe, 0..1), Residency::Unknown);
    // Beyond the end; and beyond all files.
    for range in [
        LENGTH - PAGE..LENGTH + 1,
        LENGTH + PAGE..LENGTH + 2 * PAGE,
        u64::MAX - 1..u64::MAX,
    ] {
        assert_eq!(
            Residency::probe(&file, range.clone()),
            Residency::Unknown,
            "{range:?}"
        );
    }
    // Pseudo files make their bytes when they are read: Linux 6.18 answers EOPNOTSUPP.
    let version = File::open("/proc/version").unwrap();
    assert_ne!(Residency::probe(&version, 0..1), Residency::Cold);
}

#[test]
fn a_file_in_memory_is_never_cold() {
    // tmpfs, which answers EOPNOTSUPP up to Linux 6.18 and could say better.
    let mut file = File::from(memfd_create(c"residency", MFdFlags::MFD_CLOEXEC).unwrap());
    file.write_all(&patterned(PAGE as usize, 2)).unwrap();
    let residency = Residency::probe(&file, 0..PAGE);
    println!("tmpfs answers {residency:?}");
    assert_ne!(residency, Residency::Cold);
    assert_eq!(fetched(&file, 0..PAGE).unwrap(), PAGE);
}

#[test]
fn a_range_beyond_the_end_gives_a_short_count() {
    let file = file_on_disk();
    for (range, expected) in [
        (LENGTH - 10..LENGTH + 10, 10),
        (5..u64::MAX, LENGTH - 5),
        (LENGTH..LENGTH + 1, 0),
        (3..4, 1),
    ] {
        let bytes = fetched(&file, range.clone()).unwrap();
        assert_eq!(bytes, expected, "{range:?}");
    }
}

#[test]
fn what_sendfile_refuses_is_read_through_a_buffer() {
    // /proc/self/pagemap has offsets, and no splice: sendfile says EINVAL.
    let Ok(file) = File::open("/proc/self/pagemap") else {
        println!("skipped: there is no /proc/self/pagemap here");
        return;
    };
    let null = File::options().write(true).open("/dev/null").unwrap();
    if zc_core::sendfile(&file, &null, 0, 8).is_ok() {
        println!("skipped: this kernel sends /proc/self/pagemap by sendfile");
        return;
    }
    // More than one buffer, and not a multiple of one.
    let range = 8..8 + 3 * zc_core::COPY_BUFFER_BYTES as u64 + 16;
    let expected = range.end - range.start;
    assert_eq!(fetched(&file, range).unwrap(), expected);
    // A file shorter than the buffer.
    let version = std::fs::read("/proc/version").unwrap();
    let file = File::open("/proc/version").unwrap();
    assert_eq!(
        fetched(&file, 1..1 << 20).unwrap(),
        version.len() as u64 - 1
    );
}

#[test]
fn a_fetch_reports_the_error_of_the_file() {
    let directory = File::open("/").unwrap();
    let error = fetched(&directory, 0..1).unwrap_err();
    assert_eq!(common::errno_of(&error), nix::errno::Errno::EISDIR);
    let unreadable = File::options().write(true).open("/dev/null").unwrap();
    let error = fetched(&unreadable, 0..1).unwrap_err();
    assert_eq!(common::errno_of(&error), nix::errno::Errno::EBADF);
}

#[test]
fn a_peek_tells_what_is_absent_and_reads_nothing() {
    let file = file_on_disk();
    if Residency::peek(&file, 0..LENGTH) != Residency::Hot {
        println!("the kernel is older than Linux 6.5, or it is the portable path");
        return;
    }
    assert_eq!(Residency::peek(&file, 5..5), Residency::Hot);
    // Neither ends at a page, nor at a piece that is thrown away at a time.
    for range in [0..LENGTH, 1..LENGTH - 1, 5000..2_000_001, 7..7] {
        assert_eq!(Residency::probe_whole(&file, range), Residency::Hot);
    }
    if !evicted(&file) {
        return;
    }
    // The probe of `evicted` has read some of the first pages.
    let rest = LENGTH / 2..LENGTH;
    for _ in 0..3 {
        assert_eq!(Residency::peek(&file, rest.clone()), Residency::Cold);
        assert_eq!(Residency::probe_whole(&file, rest.clone()), Residency::Cold);
    }
    let last = LENGTH - PAGE;
    file.read_exact_at(&mut [0], last).unwrap();
    assert_eq!(Residency::peek(&file, last..LENGTH), Residency::Hot);
    assert_eq!(Residency::peek(&file, rest), Residency::Cold);
}
