//! Bytes before a body, held back so that both share a segment.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

/// Whether more bytes follow the ones being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// A body follows at once: the kernel may hold these bytes back to fill a segment
    /// (`MSG_MORE`). A caller that then sends nothing makes the peer wait up to 200 ms.
    Body,
    /// Nothing follows: the bytes leave now.
    Nothing,
}

/// Sends `bytes` on the socket `sink`; answers how many it accepted.
///
/// A partial send is not an error: send the rest later, with the same [`Follows`]. `TCP_CORK` is
/// never used: it costs two system calls and, for small bodies, a segment.
///
/// # Errors
///
/// `WouldBlock` when a nonblocking socket is full, and what [`send(2)`] reports; a peer that is
/// gone gives `BrokenPipe` without a `SIGPIPE`.
///
/// [`send(2)`]: https://man7.org/linux/man-pages/man2/send.2.html
pub fn send_head(sink: impl AsFd, bytes: &[u8], follows: Follows) -> io::Result<usize> {
    let more = match follows {
        Follows::Body => MsgFlags::from_bits_retain(nix::libc::MSG_MORE),
        Follows::Nothing => MsgFlags::empty(),
    };
    let socket = sink.as_fd();
    loop {
        match nix::sys::socket::send(socket.as_raw_fd(), bytes, more | MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(sent) => return Ok(sent),
        }
    }
}
