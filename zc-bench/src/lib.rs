//! Fixtures of the benchmarks and of the tests: a file that is in the page cache, a peer that
//! discards, and a file system that is slow on command.

pub mod floors;
pub mod load;
pub mod slow_fs;
pub mod streams;

use std::fs::File;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

/// How much the discarding reader takes in one call, in bytes.
const DISCARD_BYTES: usize = 1 << 20;

/// An anonymous file of `length` bytes that differ from place to place. Just written, it is in the
/// page cache.
///
/// # Errors
///
/// What creating and writing a temporary file may report.
pub fn cached_file(length: usize) -> io::Result<File> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut file = tempfile::tempfile()?;
    let mut chunk = Vec::with_capacity(64 * 1024);
    let mut left = length;
    while left > 0 {
        chunk.clear();
        while chunk.len() < left.min(64 * 1024) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk.extend_from_slice(&state.to_le_bytes());
        }
        chunk.truncate(left.min(64 * 1024));
        file.write_all(&chunk)?;
        left -= chunk.len();
    }
    Ok(file)
}

/// A connected socket whose peer discards all it gets, in the kernel and without a copy.
#[derive(Debug)]
pub struct Discard {
    /// Our end, blocking.
    pub socket: TcpStream,
    discarded: Receiver<u64>,
}

impl Discard {
    /// Connects over loopback and starts the thread that discards.
    ///
    /// # Errors
    ///
    /// What binding and connecting may report.
    pub fn connect() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let peer = TcpStream::connect(listener.local_addr()?)?;
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        let (sender, discarded) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = vec![0; DISCARD_BYTES];
            let mut total = 0;
            loop {
                match recv(peer.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
                    Err(Errno::EINTR) => {}
                    Ok(0) | Err(_) => break,
                    Ok(count) => total += count as u64,
                }
            }
            // Nobody asks when the benchmark was given up.
            let _ = sender.send(total);
        });
        Ok(Self { socket, discarded })
    }

    /// Ends the stream; answers how many bytes the peer got in all.
    #[must_use]
    pub fn finish(self) -> u64 {
        drop(self.socket);
        self.discarded.recv().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_counts_every_byte() {
        let mut discard = Discard::connect().expect("loopback");
        discard.socket.write_all(&[1; 3_000_000]).expect("a reader");
        assert_eq!(discard.finish(), 3_000_000);
    }

    #[test]
    fn a_cached_file_has_its_length() {
        for length in [0, 1, 65_537] {
            let file = cached_file(length).expect("a file");
            assert_eq!(file.metadata().expect("a file").len(), length as u64);
        }
    }
}
