//! What the tests of this crate share: bytes, nonblocking pairs, a reader that keeps
//! everything, and a drive of a transfer that checks its bookkeeping at every step.

// Each test file uses its own part of this one.
#![allow(dead_code, unreachable_pub, unused_imports)]

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use zc_core::{Body, ProbedTransfer, Progress, SendError, Transfer};

pub mod cases;
mod paths;
pub mod receiving;
pub mod signals;

pub use paths::*;

/// A hung test ends here, and fails; a working one never waits this long.
const HANG_MS: u16 = 60_000;

/// `len` bytes in which no stretch repeats, so that a wrong offset shows; the same on every machine,
/// and others for another `seed`.
pub fn patterned(len: usize, seed: u64) -> Vec<u8> {
    // SplitMix64: a counter whose numbers are mixed until none resembles the one before.
    let mut counter = seed;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = counter;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// An unnamed file with these contents.
pub fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// All that is in a file, whatever its position, which stays.
pub fn contents(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Fails with the place of the first difference; printing two large buffers helps nobody.
#[track_caller]
pub fn assert_same_bytes(actual: &[u8], expected: &[u8]) {
    let differs = actual.iter().zip(expected).position(|(a, e)| a != e);
    assert_eq!(differs, None, "the first differing byte");
    assert_eq!(actual.len(), expected.len(), "the number of bytes");
}

/// A TCP connection over loopback: a nonblocking sender and a nonblocking reader. `None` leaves a
/// buffer at the system's size; the kernel doubles what is asked and has a minimum.
pub fn tcp_pair(sndbuf: Option<usize>, rcvbuf: Option<usize>) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    if let Some(bytes) = rcvbuf {
        // An accepted socket inherits it, in time for the window it announces.
        setsockopt(&listener, sockopt::RcvBuf, &bytes).unwrap();
    }
    let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (reader, _) = listener.accept().unwrap();
    if let Some(bytes) = sndbuf {
        setsockopt(&sender, sockopt::SndBuf, &bytes).unwrap();
    }
    sender.set_nodelay(true).unwrap();
    sender.set_nonblocking(true).unwrap();
    reader.set_nonblocking(true).unwrap();
    (sender, reader)
}

/// A connected pair of nonblocking Unix stream sockets.
pub fn unix_pair(sndbuf: Option<usize>) -> (UnixStream, UnixStream) {
    let (sender, reader) = UnixStream::pair().unwrap();
    if let Some(bytes) = sndbuf {
        setsockopt(&sender, sockopt::SndBuf, &bytes).unwrap();
    }
    sender.set_nonblocking(true).unwrap();
    reader.set_nonblocking(true).unwrap();
    (sender, reader)
}

/// A pipe of which both ends are nonblocking: the writing end and the reading end.
pub fn pipe_pair() -> (File, File) {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).unwrap();
    (File::from(writer), File::from(reader))
}

/// Waits until one of `interests` is met; answers what each descriptor is ready for.
#[track_caller]
pub fn wait_for<const N: usize>(interests: [(BorrowedFd<'_>, PollFlags); N]) -> [PollFlags; N] {
    let mut descriptors = interests.map(|(fd, flags)| PollFd::new(fd, flags));
    loop {
        match poll(&mut descriptors, PollTimeout::from(HANG_MS)) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => panic!("poll: {errno}"),
            Ok(0) => panic!("nothing happened on any descriptor: the transfer hangs"),
            Ok(_) => return descriptors.map(|fd| fd.revents().unwrap_or(PollFlags::empty())),
        }
    }
}

#[track_caller]
pub fn wait_until_writable(sink: impl AsFd) {
    wait_for([(sink.as_fd(), PollFlags::POLLOUT)]);
}

/// Waits until the kernel knows that the other side is gone.
#[track_caller]
pub fn wait_until_hung_up(sink: impl AsFd) {
    // POLLHUP and POLLERR are always reported; nothing else is asked for.
    wait_for([(sink.as_fd(), PollFlags::empty())]);
}

/// The receiving end, which keeps all that it reads.
pub struct Inbox<R> {
    reader: R,
    pub bytes: Vec<u8>,
}

impl<R: Read + AsFd> Inbox<R> {
    /// `reader` must be nonblocking.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            bytes: Vec::new(),
        }
    }

    /// Reads what is there; answers true at the end of the stream.
    pub fn drain(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.reader.read(&mut chunk) {
                Ok(0) => return true,
                Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("the reader failed: {error}"),
            }
        }
    }

    /// Reads until `sink` is writable again.
    #[track_caller]
    pub fn read_until_writable(&mut self, sink: impl AsFd) {
        loop {
            let [sink_ready, _] = wait_for([
                (sink.as_fd(), PollFlags::POLLOUT),
                (self.reader.as_fd(), PollFlags::POLLIN),
            ]);
            self.drain();
            if !sink_ready.is_empty() {
                return;
            }
        }
    }

    /// Reads until `total` bytes have arrived over all.
    #[track_caller]
    pub fn read_until(&mut self, total: u64) {
        while (self.bytes.len() as u64) < total {
            wait_for([(self.reader.as_fd(), PollFlags::POLLIN)]);
            let ended = self.drain();
            assert!(
                !ended || self.bytes.len() as u64 >= total,
                "the stream ended early"
            );
        }
    }

    /// Reads to the end of the stream; answers all that was ever read. Close the sender first.
    #[track_caller]
    pub fn finish(mut self) -> Vec<u8> {
        self.read_to_end();
        self.bytes
    }

    /// Reads to the end of the stream, or to where a file ends now.
    #[track_caller]
    pub fn read_to_end(&mut self) {
        while !self.drain() {
            wait_for([(self.reader.as_fd(), PollFlags::POLLIN)]);
        }
    }
}

/// A transfer of either kind.
pub trait AnyTransfer: Body {
    fn offset(&self) -> u64;
}

impl<F: AsFd> AnyTransfer for Transfer<F> {
    fn offset(&self) -> u64 {
        self.offset()
    }
}

impl<F: AsFd> AnyTransfer for ProbedTransfer<F> {
    fn offset(&self) -> u64 {
        self.offset()
    }
}

/// One `advance`, with the bookkeeping checked against what it answered.
#[track_caller]
pub fn advance(
    transfer: &mut impl AnyTransfer,
    sink: impl AsFd,
    budget: u64,
) -> Result<Progress, SendError> {
    let (offset, remaining) = (transfer.offset(), transfer.remaining());
    let before = *transfer.report();
    let result = transfer.advance(sink.as_fd(), budget);
    let after = *transfer.report();

    let sent = after.bytes() - before.bytes();
    assert!(sent <= budget, "sent {sent} on a budget of {budget}");
    assert_eq!(transfer.offset(), offset + sent);
    assert_eq!(transfer.remaining(), remaining - sent);
    let would_block = matches!(result, Ok(Progress::WouldBlock));
    assert_eq!(
        after.would_blocks,
        before.would_blocks + u64::from(would_block)
    );
    if sent > 0 || would_block {
        assert!(after.calls() > before.calls(), "calls are counted");
    }
    match &result {
        Ok(Progress::Complete) => assert_eq!(transfer.remaining(), 0),
        Ok(Progress::BudgetSpent) => {
            assert_eq!(sent, budget);
            assert!(transfer.remaining() > 0);
        }
        Ok(Progress::WouldBlock | Progress::NeedsDisk(_)) => assert!(transfer.remaining() > 0),
        Ok(Progress::SourceTruncated(truncated)) => {
            assert_eq!(truncated.offset, transfer.offset());
            assert_eq!(truncated.missing, transfer.remaining());
            assert!(truncated.missing > 0);
        }
        Err(error) => assert_eq!(error.sent, sent),
    }
    result
}

/// Drives a transfer to its end. The reader reads only when the sink accepts nothing more.
#[track_caller]
pub fn drive<F: AsFd, R: Read + AsFd>(
    transfer: &mut Transfer<F>,
    sink: impl AsFd,
    inbox: &mut Inbox<R>,
    mut budget: impl FnMut() -> u64,
) -> Progress {
    loop {
        match advance(transfer, sink.as_fd(), budget()).unwrap() {
            Progress::WouldBlock => inbox.read_until_writable(sink.as_fd()),
            Progress::BudgetSpent | Progress::NeedsDisk(_) => {}
            end @ (Progress::Complete | Progress::SourceTruncated(_)) => return end,
        }
    }
}

/// The `errno` in an error.
pub fn errno_of(error: &io::Error) -> nix::errno::Errno {
    nix::errno::Errno::from_raw(error.raw_os_error().expect("an error of a system call"))
}
