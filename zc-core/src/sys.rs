//! The one place with `unsafe`: system calls that nix does not wrap, each safe to call.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;

/// Bytes in the send queue of the socket `sink` that its peer has not acknowledged yet.
///
/// A sink that accepts nothing now may still be draining: a queue that has become shorter since
/// the last look is progress, however slow the peer.
///
/// # Errors
///
/// `EINVAL` or `ENOTTY` when `sink` is not a stream socket. See `SIOCOUTQ` in
/// [`tcp(7)`](https://man7.org/linux/man-pages/man7/tcp.7.html).
pub fn send_queue_bytes(sink: impl AsFd) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (spelled TIOCOUTQ here, the same number) writes one `int` through its
    // argument, which points to one that lives until the call returns.
    let answer = unsafe { libc::ioctl(sink.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::try_from(bytes).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_queue_grows_without_a_reader_and_shrinks_with_one() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut reader = TcpStream::connect(listener.local_addr().expect("bound")).expect("us");
        let (mut sender, _) = listener.accept().expect("us");
        sender.set_nonblocking(true).expect("a socket");
        let mut sent = 0;
        while let Ok(count) = sender.write(&[7; 65536]) {
            sent += count;
        }
        let full = send_queue_bytes(&sender).expect("a socket");
        assert!(full > 0);
        let mut received = vec![0; sent];
        reader.read_exact(&mut received).expect("all of it");
        assert!(send_queue_bytes(&sender).expect("a socket") < full);
    }

    #[test]
    fn a_file_has_no_send_queue() {
        let file = tempfile::tempfile().expect("a file");
        assert!(send_queue_bytes(&file).is_err());
    }
}
