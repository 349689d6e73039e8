//! Resumable zero-copy sends from a file to a socket, for any program: no runtime, no HTTP.
//!
//! *Zero-copy* here means that the bytes of a file go from the page cache to the socket by
//! reference, through [`sendfile(2)`], and never through the memory of this program. The kernel
//! limits that shape every use of it are handled here, once:
//!
//! * one call moves at most `0x7fff_f000` bytes, however much is asked for;
//! * a nonblocking socket accepts what fits and then says `EAGAIN`: the transfer is resumed later;
//! * a short count is **not** "would block": signals and batch limits shorten calls too;
//! * a file that is cut while it is being sent yields 0 bytes before the promised end, which is
//!   neither success nor a socket error. It is an outcome of its own: [`SourceTruncated`].
//!
//! [`Transfer`] is the state machine that knows these rules. It is driven by
//! [`advance`](Transfer::advance) from a blocking loop or from a reactor, and never blocks on a
//! nonblocking socket itself. Offsets are positional: the shared file position of the descriptor
//! is neither read nor moved, so one open file can serve any number of transfers at once.
//!
//! # What it does not promise
//!
//! * Pages go by reference. Whoever writes to the file after `advance` returned may still change
//!   bytes that the peer has yet to receive. Replace files by `rename(2)`, do not overwrite them.
//! * *Sent* means accepted by the socket's buffer, not delivered to the peer.
//! * The disk is not nonblocking: a page that is not in memory is waited for.
//! * A peer that is gone raises `SIGPIPE` unless the program ignores it, as Rust programs do by
//!   default.
//!
//! # Example
//!
//! ```
//! use std::io::{Read, Write};
//! use zc_core::{Method, Progress, Transfer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut file = tempfile::tempfile()?;
//! file.write_all(b"hello, page cache")?;
//!
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let mut reader = std::net::TcpStream::connect(listener.local_addr()?)?;
//! let (socket, _) = listener.accept()?;
//!
//! let mut transfer = Transfer::new(&file, 7, 10).with_method(Method::Sendfile);
//! match transfer.advance(&socket, u64::MAX)? {
//!     Progress::Complete => {}
//!     other => panic!("a blocking socket takes everything: {other:?}"),
//! }
//! assert_eq!(transfer.report().sendfile.bytes, 10);
//!
//! drop(socket);
//! let mut received = String::new();
//! reader.read_to_string(&mut received)?;
//! assert_eq!(received, "page cache");
//! # Ok(())
//! # }
//! ```
//!
//! [`sendfile(2)`]: https://man7.org/linux/man-pages/man2/sendfile.2.html

mod copy;
mod error;
mod head;
mod method;
mod progress;
mod report;
mod sendfile;
mod sys;
mod transfer;

pub use copy::COPY_BUFFER_BYTES;
pub use error::{SendError, SendErrorKind};
pub use head::{Follows, send_head};
pub use method::{Fallback, Method, Path};
pub use progress::{Progress, SourceTruncated};
pub use report::{Report, Tally};
pub use sendfile::{CALL_BYTES_MAX, sendfile};
pub use sys::send_queue_bytes;
pub use transfer::Transfer;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
