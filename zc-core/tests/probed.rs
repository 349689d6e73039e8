//! Transfers that answer `NeedsDisk` where they would wait for the disk.

mod common;

use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::ops::Range;
#[cfg(not(feature = "portable"))]
use std::os::unix::fs::FileExt;

use common::{Inbox, PORTABLE, advance, assert_same_bytes, patterned, tcp_pair};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::memfd::{MFdFlags, memfd_create};
use zc_core::{Fetcher, ProbedTransfer, Progress, Residency, SendMethod, Transfer};

/// What one question is about, in bytes.
const WINDOW: u64 = 64 << 10;

/// Sends a file of these bytes and answers what was asked on the way; each question is answered by
/// going on.
fn questions(file: &File, bytes: &[u8]) -> Vec<Range<u64>> {
    let (sender, reader) = tcp_pair(None, None);
    let mut inbox = Inbox::new(reader);
    let length = bytes.len() as u64;
    let mut transfer = ProbedTransfer::new(Transfer::new(file, 0, length), WINDOW);
    let asked = send_rest(&mut transfer, &sender, &mut inbox);
    drop(sender);
    assert_same_bytes(&inbox.finish(), bytes);
    asked
}

/// Sends to the end, and answers what was asked on the way; each question is answered by going on.
fn send_rest(
    transfer: &mut ProbedTransfer<&File>,
    sender: &TcpStream,
    inbox: &mut Inbox<TcpStream>,
) -> Vec<Range<u64>> {
    let mut asked = Vec::new();
    loop {
        match advance(transfer, sender, u64::MAX).unwrap() {
            Progress::Complete => return asked,
            Progress::WouldBlock => inbox.read_until_writable(sender),
            Progress::NeedsDisk(range) => {
                assert_eq!(range.start, transfer.offset(), "nothing went unasked");
                asked.push(range);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_hot_file_is_sent_without_a_question_and_another_window_by_window() {
    let bytes = patterned(300_000, 90);
    let mut on_disk = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // Of a file in memory nobody can tell, at least up to Linux 6.18.
    let mut in_memory = File::from(memfd_create(c"probed", MFdFlags::MFD_CLOEXEC).unwrap());
    for file in [&mut on_disk, &mut in_memory] {
        file.write_all(&bytes).unwrap();
        let windows = (0..300_000).step_by(WINDOW as usize);
        let expected: Vec<_> = match Residency::probe(&*file, 0..300_000) {
            Residency::Hot => Vec::new(),
            Residency::Unknown => windows.map(|at| at..(at + WINDOW).min(300_000)).collect(),
            Residency::Cold => panic!("it was just written"),
        };
        assert!(!PORTABLE || !expected.is_empty(), "nobody can tell there");
        assert_eq!(questions(file, &bytes), expected);
    }
}

#[test]
fn what_the_caller_assumes_to_be_resident_is_not_probed() {
    let bytes = patterned(300_000, 92);
    // Nobody can tell whether it is in memory, so that every window would be asked about.
    let mut file = File::from(memfd_create(c"assumed", MFdFlags::MFD_CLOEXEC).unwrap());
    file.write_all(&bytes).unwrap();
    let (sender, reader) = tcp_pair(None, None);
    let mut inbox = Inbox::new(reader);
    let mut transfer = ProbedTransfer::new(Transfer::new(&file, 0, 300_000), WINDOW);
    transfer.assume_resident_until(200_000);
    // A smaller offset takes nothing back.
    transfer.assume_resident_until(100_000);
    let asked = send_rest(&mut transfer, &sender, &mut inbox);
    drop(sender);
    assert_same_bytes(&inbox.finish(), &bytes);
    // The first window ends between two batches of 64 KiB.
    assert_eq!(asked, [200_000..262_144, 262_144..300_000]);
}

#[test]
fn with_everything_assumed_resident_it_sends_as_a_plain_transfer_does() {
    let length = 300_000;
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(&patterned(length, 94)).unwrap();
    // Takes all that it is given, so that both transfers make the same calls.
    let null = File::options().write(true).open("/dev/null").unwrap();
    for method in [SendMethod::Auto, SendMethod::Copy] {
        for budget in [7_001, 64 << 10, 100_000, u64::MAX] {
            let new = || Transfer::new(&file, 0, length as u64).with_method(method);
            let (mut plain, mut probed) = (new(), ProbedTransfer::new(new(), WINDOW));
            probed.assume_resident_until(u64::MAX);
            // Nothing is left of which this could be said.
            probed.assume_cold();
            loop {
                let stopped = advance(&mut plain, &null, budget).unwrap();
                assert_eq!(advance(&mut probed, &null, budget).unwrap(), stopped);
                assert_eq!(probed.report(), plain.report());
                if stopped == Progress::Complete {
                    break;
                }
            }
        }
    }
}

#[test]
fn after_a_cold_window_nothing_is_probed_until_the_caller_resumes_probing() {
    // Two of them go into any socket at once.
    let window = WINDOW / 8;
    let bytes = patterned(100_000, 95);
    // Just written, and so in memory.
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(&bytes).unwrap();
    let told = Residency::probe(&file, 0..100_000) == Residency::Hot;
    let (sender, reader) = tcp_pair(None, None);
    let mut inbox = Inbox::new(reader);
    let mut transfer = ProbedTransfer::new(Transfer::new(&file, 0, 100_000), window);
    transfer.assume_cold();
    for start in [0, window] {
        let asked = transfer.advance(&sender, window).unwrap();
        assert_eq!(asked, Progress::NeedsDisk(start..start + window));
        let sent = transfer.advance(&sender, window).unwrap();
        assert_eq!(sent, Progress::BudgetSpent);
    }
    transfer.resume_probing();
    let asked = send_rest(&mut transfer, &sender, &mut inbox);
    assert_eq!(asked.is_empty(), told, "{asked:?}");
    drop(sender);
    assert_same_bytes(&inbox.finish(), &bytes);
}

#[test]
fn a_cold_file_is_asked_for_window_by_window_and_fetched() {
    let bytes = patterned(1 << 20, 91);
    // A real disk: temporary directories may be memory, which is never cold.
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(&bytes).unwrap();
    drop_from_cache(&file);
    let told = Residency::probe(&file, 0..bytes.len() as u64) != Residency::Unknown;
    assert!(!PORTABLE || !told, "nobody can tell there");
    let fetcher = Fetcher::new().unwrap();
    let (sender, reader) = tcp_pair(None, None);
    let mut inbox = Inbox::new(reader);
    let mut transfer = ProbedTransfer::new(Transfer::new(&file, 0, bytes.len() as u64), WINDOW);
    let mut questions = 0;
    loop {
        match transfer.advance(&sender, u64::MAX).unwrap() {
            Progress::Complete => break,
            Progress::WouldBlock => inbox.read_until_writable(&sender),
            Progress::NeedsDisk(range) => {
                questions += 1;
                assert_eq!(range.start, transfer.offset());
                assert_eq!(range.end - range.start, WINDOW);
                assert_eq!(fetcher.fetch(&file, range).unwrap(), WINDOW);
            }
            other => panic!("{other:?}"),
        }
    }
    if told {
        // Readahead may have brought later windows in, the first one it cannot.
        assert!(questions > 0, "a cold file went without a question");
    } else {
        assert_eq!(questions, bytes.len() as u64 / WINDOW, "each is asked for");
    }
    drop(sender);
    assert_same_bytes(&inbox.finish(), &bytes);
}

/// A file of these bytes on a disk, of which nothing is in memory, and nothing is read ahead. `None`
/// where nobody can tell.
#[cfg(not(feature = "portable"))]
fn cold_file(bytes: &[u8]) -> Option<File> {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(bytes).unwrap();
    drop_from_cache(&file);
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM).unwrap();
    match Residency::probe(&file, 0..bytes.len() as u64) {
        Residency::Cold => Some(file),
        Residency::Unknown => None,
        Residency::Hot => panic!("it was dropped from memory"),
    }
}

#[test]
#[cfg(not(feature = "portable"))]
fn what_the_sink_did_not_take_of_a_cold_window_is_probed_again() {
    let bytes = patterned(8 << 20, 93);
    let Some(file) = cold_file(&bytes) else {
        return;
    };
    // Buffers that do not grow: else they take all of the file now and then.
    let (sender, reader) = tcp_pair(Some(256 << 10), Some(256 << 10));
    let mut inbox = Inbox::new(reader);
    let length = bytes.len() as u64;
    // One window for all of it, and a sink that is full before.
    let mut transfer = ProbedTransfer::new(Transfer::new(&file, 0, length), length);
    // The probes of this test have begun to read what they found absent.
    transfer.assume_cold();
    let first = transfer.advance(&sender, u64::MAX).unwrap();
    assert_eq!(first, Progress::NeedsDisk(0..length));
    assert_eq!(
        transfer.advance(&sender, u64::MAX).unwrap(),
        Progress::WouldBlock
    );
    // While it is there, the rest is sent.
    file.read_exact_at(&mut vec![0; bytes.len()], 0).unwrap();
    inbox.read_until_writable(&sender);
    assert_eq!(
        transfer.advance(&sender, u64::MAX).unwrap(),
        Progress::WouldBlock
    );
    let sent = transfer.offset();
    assert!(0 < sent && sent < length);
    inbox.read_until_writable(&sender);
    drop_from_cache(&file);
    assert_eq!(
        transfer.advance(&sender, u64::MAX).unwrap(),
        Progress::NeedsDisk(sent..length)
    );
    send_rest(&mut transfer, &sender, &mut inbox);
    drop(sender);
    assert_same_bytes(&inbox.finish(), &bytes);
}

fn drop_from_cache(file: &File) {
    file.sync_all().unwrap();
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
}

#[test]
#[cfg(not(feature = "portable"))]
fn a_quiet_probe_finds_a_hole_between_two_ends_that_are_in_memory() {
    let bytes = patterned(WINDOW as usize, 3);
    let Some(file) = cold_file(&bytes) else {
        return;
    };
    if Residency::peek(&file, 0..WINDOW) != Residency::Cold {
        println!("the kernel is older than Linux 6.5: nothing to test");
        return;
    }
    for end in [0, WINDOW - 1] {
        file.read_exact_at(&mut [0], end).unwrap();
    }
    if Residency::probe(&file, 0..WINDOW) != Residency::Hot
        || Residency::peek(&file, 0..WINDOW) != Residency::Cold
    {
        println!("the readahead here has read the whole file: nothing to test");
        return;
    }
    let (socket, _peer) = tcp_pair(None, None);
    let mut transfer = ProbedTransfer::new(Transfer::new(&file, 0, WINDOW), WINDOW);
    transfer.set_quiet(true);
    let answer = advance(&mut transfer, &socket, u64::MAX).unwrap();
    assert_eq!(answer, Progress::NeedsDisk(0..WINDOW));
}
