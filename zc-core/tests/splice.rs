//! The thin call `splice`: every byte through a pipe, and none that is lost or seen by another.
// All of it needs a pipe, and the portable path has none to give: `pipes.rs` says so there.
#![cfg(not(feature = "portable"))]

mod common;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use common::{
    Inbox, assert_same_bytes, errno_of, file_of, patterned, pipe_pair, tcp_pair, unix_pair,
};
use nix::errno::Errno;
use zc_core::{PIPE_BYTES_DEFAULT, PipePool, PooledPipe, SendErrorKind, Tally, splice};

const SMALL: usize = 65_536;

/// Splices `length` bytes from `offset` on, by the rules of [`splice`]; the reader reads only when
/// the sink is full. Answers how often it was.
#[track_caller]
fn splice_all<R: Read + AsFd>(
    file: &File,
    sink: impl AsFd,
    (offset, length): (u64, u64),
    pipe: &mut PooledPipe,
    inbox: &mut Inbox<R>,
) -> u32 {
    let mut accepted = 0;
    let mut would_blocks = 0;
    while accepted < length {
        match splice(file, &sink, offset + accepted, length - accepted, pipe) {
            Ok(sent) => {
                assert!(sent.bytes > 0, "the file is long enough");
                assert!(sent.calls >= 1);
                accepted += sent.bytes;
            }
            Err(error) => {
                assert_eq!(error.kind, SendErrorKind::WouldBlock, "{error}");
                assert!(pipe.pending() > 0, "it is kept for the next call");
                accepted += error.sent;
                would_blocks += 1;
                inbox.read_until_writable(&sink);
            }
        }
        assert!(accepted <= length);
    }
    would_blocks
}

#[test]
fn a_pipe_that_outlives_its_pool_still_works() {
    let mut pipe = PipePool::new(1, SMALL).take().unwrap();
    let (sink, reader) = unix_pair(None);
    let sent = splice(file_of(b"bytes"), &sink, 0, 5, &mut pipe).unwrap();
    assert_eq!(sent.bytes, 5);
    drop(sink);
    assert_same_bytes(&Inbox::new(reader).finish(), b"bytes");
}

#[test]
fn every_byte_arrives_through_a_full_socket() {
    let bytes = patterned(1_500_007, 1);
    let file = file_of(&bytes);
    for (pipe_bytes, offset) in [(4096, 1), (SMALL, 4095), (PIPE_BYTES_DEFAULT, 0)] {
        let pool = PipePool::new(1, pipe_bytes);
        let mut pipe = pool.take().unwrap();
        let range = (offset, bytes.len() as u64 - offset);

        let (sink, reader) = tcp_pair(Some(1), Some(4096));
        let mut inbox = Inbox::new(reader);
        let tcp_blocks = splice_all(&file, &sink, range, &mut pipe, &mut inbox);
        drop(sink);
        assert!(tcp_blocks > 0, "the small buffer was full at times");
        assert_same_bytes(&inbox.finish(), &bytes[offset as usize..]);

        let (sink, reader) = unix_pair(Some(1));
        let mut inbox = Inbox::new(reader);
        let unix_blocks = splice_all(&file, &sink, range, &mut pipe, &mut inbox);
        drop(sink);
        assert!(unix_blocks > 0, "the small buffer was full at times");
        assert_same_bytes(&inbox.finish(), &bytes[offset as usize..]);

        let (sink, reader) = pipe_pair();
        let mut inbox = Inbox::new(reader);
        splice_all(&file, &sink, range, &mut pipe, &mut inbox);
        drop(sink);
        assert_same_bytes(&inbox.finish(), &bytes[offset as usize..]);

        assert_eq!(pipe.pending(), 0);
        drop(pipe);
        assert_eq!(pool.idle(), 1);
    }
}

#[test]
fn every_byte_arrives_in_a_file_and_no_source_position_moves() {
    let bytes = patterned(300_001, 2);
    let mut source = file_of(&bytes);
    source.seek(SeekFrom::Start(77)).unwrap();
    let mut sink = tempfile::tempfile().unwrap();
    let mut pipe = PipePool::new(1, SMALL).take().unwrap();
    let mut offset = 5;
    loop {
        let sent = splice(&source, &sink, offset, u64::MAX, &mut pipe).unwrap();
        assert_eq!(pipe.pending(), 0);
        if sent.bytes == 0 {
            assert_eq!(sent.calls, 1, "only the look that found the end");
            break;
        }
        assert!(sent.bytes <= pipe.capacity());
        offset += sent.bytes;
    }
    assert_eq!(offset, bytes.len() as u64);
    assert_eq!(source.stream_position().unwrap(), 77);
    sink.rewind().unwrap();
    let mut received = Vec::new();
    sink.read_to_end(&mut received).unwrap();
    assert_same_bytes(&received, &bytes[5..]);
}

#[test]
fn a_count_is_kept_and_a_pipe_goes_on_where_it_was() {
    let bytes = patterned(50_000, 3);
    let file = file_of(&bytes);
    let pool = PipePool::new(1, SMALL);
    let mut pipe = pool.take().unwrap();
    let (sink, _unread) = pipe_pair();
    // A pipe of the default size takes 65,536 bytes: this is more, so the sink refuses the rest.
    let mut accepted = splice(&file, &sink, 0, 50_000, &mut pipe).unwrap().bytes;
    assert_eq!(accepted, 50_000);
    let error = loop {
        match splice(&file, &sink, 0, 50_000, &mut pipe) {
            Ok(sent) => accepted += sent.bytes,
            Err(error) => break error,
        }
        assert!(accepted < 200_000, "a pipe is not that large");
    };
    assert_eq!(error.kind, SendErrorKind::WouldBlock);
    assert_eq!(errno_of(&error.source), Errno::EAGAIN);
    let first = error.sent;
    let left = pipe.pending();
    assert_eq!(first + left, 50_000, "no byte is lost or counted twice");

    // The same pipe, another sink, 10 bytes only; then the rest, and what is read on after it.
    let (sink, reader) = unix_pair(None);
    let sent = splice(&file, &sink, first, 10, &mut pipe).unwrap();
    assert_eq!(
        sent,
        Tally {
            bytes: 10,
            calls: 1
        },
        "flushed, not read"
    );
    assert_eq!(pipe.pending(), left - 10);
    let mut inbox = Inbox::new(reader);
    splice_all(&file, &sink, (first + 10, left - 10), &mut pipe, &mut inbox);
    drop(sink);
    assert_same_bytes(&inbox.finish(), &bytes[first as usize..]);
    assert_eq!(pipe.pending(), 0);
}

#[test]
fn pending_bytes_go_first_and_reading_goes_on_behind_them() {
    let bytes = patterned(40_000, 8);
    let file = file_of(&bytes);
    let mut pipe = PipePool::new(1, SMALL).take().unwrap();
    // A sink opened for appending is refused when the pipe is full already.
    let directory = tempfile::tempdir().unwrap();
    let mut options = File::options();
    let appended = options.create(true).append(true);
    let refusing = appended.open(directory.path().join("appended")).unwrap();
    let error = splice(&file, refusing, 100, 1000, &mut pipe).unwrap_err();
    assert_eq!((error.sent, error.kind), (0, SendErrorKind::Refused));
    assert_eq!(pipe.pending(), 1000);

    let (sink, reader) = unix_pair(None);
    let sent = splice(&file, &sink, 100, 30_000, &mut pipe).unwrap();
    assert_eq!(sent.bytes, 30_000);
    drop(sink);
    assert_same_bytes(&Inbox::new(reader).finish(), &bytes[100..30_100]);
}

#[test]
fn a_dirty_pipe_is_never_lent_again() {
    let pool = PipePool::new(1, SMALL);
    let mut pipe = pool.take().unwrap();
    let gone = {
        let (sink, reader) = unix_pair(None);
        drop(reader);
        sink
    };
    let error = splice(file_of(b"secret"), gone, 0, 6, &mut pipe).unwrap_err();
    assert_eq!((error.sent, error.kind), (0, SendErrorKind::PeerGone));
    assert_eq!(pipe.pending(), 6);
    drop(pipe);
    assert_eq!((pool.alive(), pool.idle()), (0, 0));

    let mut pipe = pool.take().unwrap();
    let (sink, reader) = unix_pair(None);
    assert_eq!(
        splice(file_of(b"public"), &sink, 0, 6, &mut pipe)
            .unwrap()
            .bytes,
        6
    );
    drop(sink);
    assert_same_bytes(&Inbox::new(reader).finish(), b"public");
}

#[test]
fn a_file_that_ends_gives_0_bytes() {
    let file = file_of(b"short");
    let mut pipe = PipePool::new(1, SMALL).take().unwrap();
    let (sink, reader) = unix_pair(None);
    let mut moved = |offset, count| {
        splice(&file, &sink, offset, count, &mut pipe)
            .unwrap()
            .bytes
    };
    assert_eq!(moved(2, 100), 3);
    assert_eq!(moved(5, 100), 0);
    assert_eq!(moved(1 << 40, 100), 0);
    assert_eq!(moved(0, 0), 0);
    // Pages go by reference: what was sent is read before the file changes.
    let mut inbox = Inbox::new(reader);
    inbox.read_until(3);
    file.set_len(1).unwrap();
    assert_eq!(moved(1, 4), 0, "cut meanwhile");
    file.write_all_at(b"grown", 1).unwrap();
    assert_eq!(moved(1, 5), 5);
    let error = splice(&file, &sink, u64::MAX, 1, &mut pipe).unwrap_err();
    assert_eq!(errno_of(&error.source), Errno::EOVERFLOW);
    drop(sink);
    assert_same_bytes(&inbox.finish(), b"ortgrown");
}

#[test]
fn a_sink_that_blocks_is_waited_for() {
    let bytes = patterned(400_000, 4);
    let file = file_of(&bytes);
    let mut pipe = PipePool::new(1, SMALL).take().unwrap();
    let (socket, mut socket_reader) = UnixStream::pair().unwrap();
    let (read, write) = nix::unistd::pipe().unwrap();
    let mut pipe_reader = File::from(read);
    let (file, bytes) = (&file, &bytes);
    // The sinks move in, so that a failure closes them and ends the readers.
    std::thread::scope(move |scope| {
        let (socket, write) = (socket, write);
        let socket_bytes = scope.spawn(move || {
            let mut received = Vec::new();
            socket_reader.read_to_end(&mut received).unwrap();
            received
        });
        let pipe_bytes = scope.spawn(move || {
            let mut received = Vec::new();
            pipe_reader.read_to_end(&mut received).unwrap();
            received
        });
        for sink in [socket.as_fd(), write.as_fd()] {
            let mut offset = 0;
            while offset < 400_000 {
                let left = 400_000 - offset;
                offset += splice(file, sink, offset, left, &mut pipe).unwrap().bytes;
            }
        }
        drop((socket, write));
        assert_same_bytes(&socket_bytes.join().unwrap(), bytes);
        assert_same_bytes(&pipe_bytes.join().unwrap(), bytes);
    });
}
