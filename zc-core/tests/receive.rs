//! From a socket into a file: every byte, no byte too many, and none lost on the way. Generated
//! cases are in `receive_agrees.rs`.

mod common;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::receiving::{
    RECEIVE_METHODS, advance, assert_path, drive, pool, send_in_pieces, wait_until_readable,
};
use common::{
    PORTABLE, assert_same_bytes, contents, errno_of, file_of, patterned, pipe_pair, refusal,
    tcp_pair, unix_pair, wait_until_hung_up,
};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{MsgFlags, send};
use socket2::SockRef;
use zc_core::{PipePool, Progress, Receive, ReceiveErrorKind, ReceiveMethod, SourceTruncated};

/// The sizes of a peer's sends: a byte, less than a page, a page and many of them.
const PIECES: [usize; 5] = [17_001, 1, 4096, 39_999, 700];

#[test]
fn every_byte_of_every_size_arrives_in_its_place() {
    for (seed, length) in [0, 1, 4095, 65_537, 1_000_003].into_iter().enumerate() {
        let bytes = patterned(length, seed as u64);
        for &method in RECEIVE_METHODS {
            for budget in [1000, 70_000, u64::MAX] {
                let before = patterned(length + 200, 99);
                let mut file = file_of(&before);
                file.seek(SeekFrom::Start(17)).unwrap();
                let pool = pool();
                let (sender, source) = tcp_pair(Some(8192), Some(8192));
                let mut receive =
                    Receive::new(&file, 100, length as u64, &pool).with_method(method);
                std::thread::scope(|scope| {
                    scope.spawn(|| send_in_pieces(&sender, &bytes, &PIECES));
                    let end = drive(&mut receive, &source, || budget);
                    assert_eq!(end, Progress::Complete);
                });
                let again = advance(&mut receive, &source, 1).unwrap();
                assert_eq!(again, Progress::Complete, "harmless");
                let report = *receive.report();
                if length > 0 {
                    assert_path(&report, method, length as u64);
                }
                assert_eq!(pool.idle(), pool.alive(), "the pipe was given back");
                assert_eq!(file.stream_position().unwrap(), 17);
                let after = contents(&file);
                assert_same_bytes(&after[..100], &before[..100]);
                assert_same_bytes(&after[100..100 + length], &bytes);
                assert_same_bytes(&after[100 + length..], &before[100 + length..]);
            }
        }
    }
}

#[test]
fn nothing_to_read_is_would_block_and_holds_no_pipe() {
    for &method in RECEIVE_METHODS {
        let file = tempfile::tempfile().unwrap();
        let pool = pool();
        let (mut sender, source) = tcp_pair(None, None);
        let mut receive = Receive::new(&file, 0, 6, &pool).with_method(method);
        assert_eq!(
            advance(&mut receive, &source, 0).unwrap(),
            Progress::BudgetSpent
        );
        for part in [b"abc", b"def"] {
            let stopped = advance(&mut receive, &source, u64::MAX).unwrap();
            assert_eq!(stopped, Progress::WouldBlock);
            assert_eq!(pool.idle(), pool.alive(), "none is held while it waits");
            sender.write_all(part).unwrap();
            wait_until_readable(&source);
        }
        assert_eq!(drive(&mut receive, &source, || 2), Progress::Complete);
        assert_same_bytes(&contents(&file), b"abcdef");
    }
}

#[test]
fn a_peer_that_ends_early_is_truncation() {
    let bytes = patterned(10_000, 9);
    for &method in RECEIVE_METHODS {
        let file = tempfile::tempfile().unwrap();
        let (sender, source) = tcp_pair(None, None);
        send_in_pieces(&sender, &bytes, &PIECES);
        drop(sender);
        let mut receive = Receive::new(&file, 50, 10_001, &pool()).with_method(method);
        let truncated = Progress::SourceTruncated(SourceTruncated {
            offset: 10_050,
            missing: 1,
        });
        assert_eq!(drive(&mut receive, &source, || u64::MAX), truncated);
        assert_eq!(drive(&mut receive, &source, || u64::MAX), truncated);
        assert_same_bytes(&contents(&file)[50..], &bytes);
    }
}

#[test]
fn what_follows_the_promised_bytes_stays_in_the_socket() {
    for &method in RECEIVE_METHODS {
        for tcp in [true, false] {
            let file = tempfile::tempfile().unwrap();
            let bytes = patterned(5000, 10);
            let mut receive = Receive::new(&file, 0, 3001, &pool()).with_method(method);
            let mut rest = vec![0; 1999];
            if tcp {
                let (mut sender, mut source) = tcp_pair(None, None);
                sender.write_all(&bytes).unwrap();
                let _ = drive(&mut receive, &source, || u64::MAX);
                source.set_nonblocking(false).unwrap();
                source.read_exact(&mut rest).unwrap();
            } else {
                let (mut sender, mut source) = unix_pair(None);
                sender.write_all(&bytes).unwrap();
                let _ = drive(&mut receive, &source, || u64::MAX);
                source.read_exact(&mut rest).unwrap();
            }
            assert_same_bytes(&contents(&file), &bytes[..3001]);
            assert_same_bytes(&rest, &bytes[3001..]);
        }
    }
}

#[test]
fn a_file_open_for_appending_is_refused_before_anything_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("appended");
    std::fs::write(&path, b"before").unwrap();
    let file = File::options().append(true).open(&path).unwrap();
    for &method in RECEIVE_METHODS {
        let (mut sender, mut source) = unix_pair(None);
        sender.write_all(b"kept").unwrap();
        let pool = pool();
        let mut receive = Receive::new(&file, 0, 4, &pool).with_method(method);
        for _ in 0..2 {
            let error = advance(&mut receive, &source, u64::MAX).unwrap_err();
            assert_eq!((error.written, error.kind), (0, ReceiveErrorKind::File));
            assert_eq!(
                error.source.to_string(),
                "the file is open with O_APPEND; open it without"
            );
        }
        assert_eq!((receive.unwritten(), pool.alive()), (0, 0));
        drop(sender);
        wait_until_hung_up(&source);
        let mut left = Vec::new();
        source.read_to_end(&mut left).unwrap();
        assert_same_bytes(&left, b"kept");
    }
    assert_same_bytes(&std::fs::read(&path).unwrap(), b"before");
}

/// Makes splice refuse the file: it is opened for appending after a receive has looked at it.
fn make_splice_refuse(receive: &mut Receive<&File>, source: &UnixStream, file: &File) {
    let looked = advance(receive, source, 0).unwrap();
    assert_eq!(looked, Progress::BudgetSpent);
    fcntl(file, FcntlArg::F_SETFL(OFlag::O_APPEND)).unwrap();
}

#[test]
fn auto_copies_where_splice_refuses_the_file_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = patterned(150_000, 11);
    let path = directory.path().join("refusing");
    let file = File::create(&path).unwrap();
    let (sender, source) = unix_pair(None);
    let pool = pool();
    let mut receive = Receive::new(&file, 0, 150_000, &pool);
    make_splice_refuse(&mut receive, &source, &file);
    std::thread::scope(|scope| {
        scope.spawn(|| send_in_pieces(&sender, &bytes, &PIECES));
        wait_until_readable(&source);
        let end = drive(&mut receive, &source, || 20_000);
        assert_eq!(end, Progress::Complete);
    });
    let report = *receive.report();
    assert_eq!(report.splice.bytes, 0);
    let errno = refusal(Errno::EINVAL) as i32;
    assert_eq!(report.fallback_errno, Some(errno));
    // Into the pipe, and refused on the way out of it; or there was no pipe.
    let (calls, pipes) = if PORTABLE { (0, 0) } else { (2, 1) };
    assert_eq!(report.splice.calls, calls);
    assert_same_bytes(&std::fs::read(&path).unwrap(), &bytes);
    assert_eq!((pool.alive(), pool.idle()), (pipes, pipes), "drained");
}

#[test]
fn a_named_splice_is_refused_aloud_and_keeps_what_it_took() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("refusing");
    let file = File::create(&path).unwrap();
    let (mut sender, mut source) = unix_pair(None);
    sender.write_all(b"kept").unwrap();
    let pool = pool();
    let mut receive = Receive::new(&file, 0, 4, &pool).with_method(ReceiveMethod::Splice);
    make_splice_refuse(&mut receive, &source, &file);
    let error = advance(&mut receive, &source, u64::MAX).unwrap_err();
    assert_eq!((error.written, error.kind), (0, ReceiveErrorKind::Refused));
    assert_eq!(errno_of(&error.source), refusal(Errno::EINVAL));
    assert_eq!(receive.report().fallback_errno, None);
    // Where there is no pipe nothing was taken.
    let taken = if PORTABLE { 0 } else { 4 };
    assert_eq!(receive.unwritten(), taken);
    assert_eq!(pool.alive(), usize::from(taken > 0));
    drop(receive);
    assert_eq!(pool.alive(), 0, "a dirty pipe is closed");
    drop(sender);
    // A program that another test starts may have a copy of it for a moment.
    wait_until_hung_up(&source);
    let mut left = Vec::new();
    source.read_to_end(&mut left).unwrap();
    assert_same_bytes(&left, &b"kept"[taken as usize..]);
    assert_same_bytes(&std::fs::read(&path).unwrap(), b"");
}

#[test]
fn a_pool_without_a_pipe_makes_auto_copy_and_splice_fail() {
    let busy = PipePool::new(1, 4096);
    // Where no pipe can be made that is the reason; a pool of none is busy everywhere.
    let lent = busy.take();
    assert_eq!(lent.is_err(), PORTABLE);
    let none = PipePool::new(0, 4096);
    for (pool, errno) in [(&busy, refusal(Errno::EBUSY)), (&none, Errno::EBUSY)] {
        let file = tempfile::tempfile().unwrap();
        let (mut sender, source) = unix_pair(None);
        sender.write_all(b"copied").unwrap();
        let mut named = Receive::new(&file, 0, 6, pool).with_method(ReceiveMethod::Splice);
        let error = advance(&mut named, &source, u64::MAX).unwrap_err();
        let kind = std::io::Error::from(errno).kind();
        assert_eq!((error.written, error.source.kind()), (0, kind));
        let is_busy = errno == Errno::EBUSY;
        let kind = if is_busy {
            ReceiveErrorKind::NoPipe
        } else {
            ReceiveErrorKind::Refused
        };
        assert_eq!(error.kind, kind);
        let mut auto = Receive::new(&file, 0, 6, pool);
        assert_eq!(drive(&mut auto, &source, || u64::MAX), Progress::Complete);
        assert_eq!(auto.report().fallback_errno, Some(errno as i32));
        assert_same_bytes(&contents(&file), b"copied");
    }
}

#[test]
fn a_full_device_is_an_error_that_keeps_the_bytes() {
    let file = File::options().write(true).open("/dev/full").unwrap();
    for method in [ReceiveMethod::Auto, ReceiveMethod::Copy] {
        let (mut sender, source) = unix_pair(None);
        sender.write_all(b"stays").unwrap();
        let mut receive = Receive::new(&file, 0, 5, &pool()).with_method(method);
        for _ in 0..2 {
            let error = advance(&mut receive, &source, u64::MAX).unwrap_err();
            assert_eq!(errno_of(&error.source), Errno::ENOSPC);
            assert_eq!(error.kind, ReceiveErrorKind::File);
            assert_eq!((error.written, receive.unwritten()), (0, 5));
        }
    }
}

/// A tmpfs that is unmounted when it is dropped.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", size, "tmpfs"]);
        let status = command.arg(directory.path()).stderr(Stdio::null()).status();
        status.is_ok_and(|s| s.success()).then(|| Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_an_error_and_going_on_loses_nothing() {
    let bytes = patterned(300_000, 12);
    for &method in RECEIVE_METHODS {
        let Some(disk) = TinyDisk::mount("size=256k") else {
            println!("not tested: a full tmpfs, which only root can mount");
            return;
        };
        let ballast = File::create(disk.path().join("ballast")).unwrap();
        ballast.write_all_at(&[0; 131_072], 0).unwrap();
        let mut options = File::options();
        let options = options.create_new(true).read(true).write(true);
        let file = options.open(disk.path().join("received")).unwrap();
        let (sender, source) = unix_pair(None);
        let length = 200_000;
        let mut receive = Receive::new(&file, 0, length, &pool()).with_method(method);
        std::thread::scope(|scope| {
            scope.spawn(|| send_in_pieces(&sender, &bytes, &PIECES));
            let error = loop {
                match advance(&mut receive, &source, u64::MAX) {
                    Ok(Progress::WouldBlock) => wait_until_readable(&source),
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => break error,
                }
            };
            assert_eq!(errno_of(&error.source), Errno::ENOSPC);
            assert_eq!(receive.offset(), 131_072, "what fitted is there");
            assert!(receive.unwritten() > 0);

            ballast.set_len(0).unwrap();
            let end = drive(&mut receive, &source, || 30_000);
            assert_eq!(end, Progress::Complete);
            // What follows is not ours; it lets the sender end.
            let mut rest = vec![0; 100_000];
            source.set_nonblocking(false).unwrap();
            (&source).read_exact(&mut rest).unwrap();
            assert_same_bytes(&rest, &bytes[200_000..]);
        });
        assert_same_bytes(&contents(&file), &bytes[..200_000]);
    }
}

#[test]
fn urgent_data_is_not_taken_for_the_end() {
    for &method in RECEIVE_METHODS {
        let file = tempfile::tempfile().unwrap();
        let (mut sender, source) = tcp_pair(None, None);
        let mut receive = Receive::new(&file, 0, 6, &pool()).with_method(method);
        sender.write_all(b"abc").unwrap();
        send(sender.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        sender.write_all(b"def").unwrap();
        assert_eq!(
            drive(&mut receive, &source, || u64::MAX),
            Progress::Complete
        );
        assert_same_bytes(&contents(&file), b"abcdef");
    }
}

#[test]
fn a_source_that_blocks_is_waited_for() {
    for &method in RECEIVE_METHODS {
        let bytes = patterned(100_000, 13);
        let file = tempfile::tempfile().unwrap();
        let (mut sender, source) = UnixStream::pair().unwrap();
        // A hang fails instead.
        let io_timeout = Some(Duration::from_secs(60));
        sender.set_write_timeout(io_timeout).unwrap();
        source.set_read_timeout(io_timeout).unwrap();
        let mut receive = Receive::new(&file, 0, 100_000, &pool()).with_method(method);
        std::thread::scope(|scope| {
            scope.spawn(|| sender.write_all(&bytes).unwrap());
            let end = advance(&mut receive, &source, u64::MAX).unwrap();
            assert_eq!(end, Progress::Complete, "in one call");
        });
        assert_eq!(receive.report().would_blocks, 0);
        assert_same_bytes(&contents(&file), &bytes);
    }
}

#[test]
fn a_file_or_a_pipe_that_cannot_be_written_is_an_error() {
    let (mut sender, source) = unix_pair(None);
    sender.write_all(b"bytes").unwrap();
    let (pipe, _reader) = pipe_pair();
    let mut receive = Receive::new(&pipe, 0, 5, &pool());
    let error = advance(&mut receive, &source, u64::MAX).unwrap_err();
    assert_eq!(errno_of(&error.source), Errno::ESPIPE);
    assert_eq!(error.kind, ReceiveErrorKind::File);
    assert_eq!(receive.unwritten(), 5);
}

#[test]
fn an_error_tells_the_peer_from_the_source_and_keeps_errno_for_a_question_mark() {
    for &method in RECEIVE_METHODS {
        let file = tempfile::tempfile().unwrap();
        let (sender, source) = tcp_pair(None, None);
        SockRef::from(&sender)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(sender);
        wait_until_hung_up(&source);
        let mut receive = Receive::new(&file, 0, 5, &pool()).with_method(method);
        let error = advance(&mut receive, &source, u64::MAX).unwrap_err();
        assert_eq!(error.kind, ReceiveErrorKind::PeerGone, "{method:?}");
        assert!(error.is_peer_gone());
        assert!(std::error::Error::source(&error).is_some());
        let text = error.to_string();
        assert!(text.starts_with("receive failed after 0 bytes: "), "{text}");
        let error = std::io::Error::from(error);
        assert_eq!(errno_of(&error), Errno::ECONNRESET);

        // No descriptor that can be read: open for writing alone.
        let unreadable = File::options().write(true).open("/dev/null").unwrap();
        let mut receive = Receive::new(&file, 0, 5, &pool()).with_method(method);
        let error = advance(&mut receive, &unreadable, u64::MAX).unwrap_err();
        assert_eq!(errno_of(&error.source), Errno::EBADF);
        assert_eq!(error.kind, ReceiveErrorKind::Source, "{method:?}");
        assert!(!error.is_peer_gone());
    }
}
