//! Transfers that ask before they would wait for the disk.

mod common;

use std::fs::File;
use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use common::{Inbox, assert_same_bytes, patterned, tcp_pair};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use zc_core::{DiskPool, Progress, Residency, Transfer};

/// What one question is about, in bytes.
const WINDOW: u64 = 64 << 10;

#[test]
#[cfg(not(feature = "portable"))]
fn a_hot_file_is_sent_without_a_question() {
    let bytes = patterned(300_000, 90);
    let file = common::file_of(&bytes);
    let (sender, reader) = tcp_pair(None, None);
    let mut inbox = Inbox::new(reader);
    let mut transfer = Transfer::new(&file, 0, 300_000).with_residency_window(WINDOW);
    loop {
        match transfer.advance(&sender, u64::MAX).unwrap() {
            Progress::Complete => break,
            Progress::WouldBlock => inbox.read_until_writable(&sender),
            other => panic!("{other:?}"),
        }
    }
    drop(sender);
    assert_same_bytes(&inbox.finish(), &bytes);
}

#[test]
fn a_cold_file_is_asked_for_window_by_window_and_fetched_by_the_pool() {
    let bytes = patterned(1 << 20, 91);
    // A real disk: temporary directories may be memory, which is never cold.
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(&bytes).unwrap();
    drop_from_cache(&file);
    if Residency::probe(&file, 0..bytes.len() as u64) == Residency::Unknown {
        println!("this filesystem does not tell what is in memory: nothing to test");
        return;
    }
    let pool = DiskPool::new(1, 4).unwrap();
    let (sender, reader) = tcp_pair(None, None);
    let mut inbox = Inbox::new(reader);
    let mut transfer = Transfer::new(&file, 0, bytes.len() as u64).with_residency_window(WINDOW);
    let mut questions = 0;
    loop {
        match transfer.advance(&sender, u64::MAX).unwrap() {
            Progress::Complete => break,
            Progress::WouldBlock => inbox.read_until_writable(&sender),
            Progress::NeedsDisk(range) => {
                questions += 1;
                assert_eq!(range.start, transfer.offset());
                assert_eq!(range.end - range.start, WINDOW);
                let (done, wait) = mpsc::channel();
                let fetched = pool.fetch(file.try_clone().unwrap(), range, move |answer| {
                    done.send(answer).unwrap();
                });
                assert!(fetched.is_ok());
                let answer = wait.recv_timeout(Duration::from_secs(60)).unwrap();
                assert_eq!(answer.unwrap(), WINDOW);
            }
            other => panic!("{other:?}"),
        }
    }
    // Readahead may have brought later windows in, the first one it cannot.
    assert!(questions > 0, "a cold file went without a question");
    drop(sender);
    assert_same_bytes(&inbox.finish(), &bytes);
}

fn drop_from_cache(file: &File) {
    file.sync_all().unwrap();
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
}
