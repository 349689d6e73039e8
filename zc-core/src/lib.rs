//! Resumable zero-copy sends from a file to a socket, for any program: no runtime, no HTTP.
//!
//! *Zero-copy* here means that the bytes of a file go from the page cache to the socket by reference,
//! through [`sendfile(2)`], and never through the memory of this program. This crate handles the limits of
//! that call:
//!
//! * one call moves at most `0x7fff_f000` bytes, however much is asked for;
//! * a nonblocking socket accepts what fits and then says `EAGAIN`: the transfer is resumed later;
//! * a short count is **not** "would block": signals and batch limits shorten calls too;
//! * a file that is cut while it is being sent yields 0 bytes before the promised end, which is
//!   neither success nor a socket error. It is an outcome of its own: [`SourceTruncated`].
//!
//! # What is here
//!
//! | to … | there is |
//! | --- | --- |
//! | send a file and wait for it | [`copy`], [`copy_range`] |
//! | send from a reactor, resumed at each writable edge | [`Transfer`], driven by [`advance`](Transfer::advance) |
//! | send a head and a body together | [`HeadThenFile`] |
//! | receive into a file | [`Receive`] |
//! | copy from file to file | [`copy_file`] |
//! | send without waiting for the disk | [`ProbedTransfer`] |
//! | know whether a range is in memory | [`Residency::probe`], [`Residency::prefetch`] |
//! | have I/O threads wait for the disk | [`DiskPool`], or threads of your own with a [`Fetcher`] |
//! | wait for the disk without a thread, where io_uring is allowed | `DiskRing`, with the feature `io-uring` |
//! | run I/O threads at background priority, beside an event loop | [`set_background_priority`] |
//! | make the calls yourself | [`sendfile()`], [`splice()`], [`copy_file_range`], [`send_head`] |
//!
//! Every one takes the source first and the sink second, anything that is [`AsFd`], and offsets
//! and lengths in `u64` bytes. Offsets are positional: the shared file position of a descriptor is
//! neither read nor moved, so that one open file can serve any number of transfers at once.
//! Progress is reported in success and in failure alike.
//!
//! # Methods and paths
//!
//! [`SendMethod::Sendfile`], [`SendMethod::Splice`] and [`SendMethod::Copy`] do what they say or fail.
//! [`SendMethod::Auto`] begins with `sendfile`, copies where the kernel, the filesystem or a sandbox
//! refuses it, and keeps the reason in the [`Report`]. A [`Policy`] shared by many transfers
//! remembers refusals. Files on filesystems that are known to send wrong pages
//! ([`FileSystem::copied`]) are copied from the start.
//!
//! # When not to use it
//!
//! * The bytes must be changed on the way (compression, TLS in this program): they have to come through
//!   memory.
//! * Small bodies that are sent often: from about 32 KiB down, one `send` of bytes kept in memory
//!   costs less than any call on the file.
//! * Files that somebody overwrites in place while they are sent.
//!
//! [`AsFd`]: std::os::fd::AsFd
//!
//! # What it does not promise
//!
//! * Pages go by reference. Whoever writes to the file after `advance` returned may still change
//!   bytes that the peer has yet to receive. Replace files by `rename(2)`, do not overwrite them.
//! * *Sent* means accepted by the socket's buffer, not delivered to the peer.
//! * The disk is not nonblocking: a [`Transfer`] waits for a page that is not in memory. A
//!   [`ProbedTransfer`] says so instead.
//! * A peer that is gone raises `SIGPIPE` unless the program ignores it, as Rust programs do by
//!   default.
//!
//! # What may grow
//!
//! Methods, paths, kinds of errors, of sinks and of refusals, and the reports are
//! `#[non_exhaustive]`: a later version may know more of them, and matching on them needs a wildcard.
//! [`Progress`], [`Residency`] and [`Follows`] are exhaustive: every caller would have to handle a new
//! variant of them, and the compiler should say where.
//!
//! # Example
//!
//! ```
//! use std::io::{Read, Write};
//! use zc_core::{Progress, Transfer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut file = tempfile::tempfile()?;
//! file.write_all(b"hello, page cache")?;
//!
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let mut reader = std::net::TcpStream::connect(listener.local_addr()?)?;
//! let (socket, _) = listener.accept()?;
//!
//! let mut transfer = Transfer::new(&file, 7, 10);
//! match transfer.advance(&socket, u64::MAX)? {
//!     Progress::Complete => {}
//!     other => panic!("a blocking socket takes everything: {other:?}"),
//! }
//! assert_eq!(transfer.report().bytes(), 10);
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

mod blocking;
mod copy;
mod cork;
mod disk;
mod error;
mod file_copy;
mod head;
mod method;
mod pipe;
mod platform;
mod policy;
mod priority;
mod probed;
mod progress;
mod receive;
mod report;
mod residency;
#[cfg(all(feature = "io-uring", target_os = "linux", not(feature = "portable")))]
mod ring;
mod sendfile;
mod splice;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod sys;
mod transfer;
mod window;

pub use blocking::{copy, copy_range};
pub use copy::COPY_BUFFER_BYTES;
pub use cork::CORK_BYTES_MIN;
pub use disk::{DiskPool, Fetcher, QueueFull};
pub use error::{ReceiveError, ReceiveErrorKind, SendError, SendErrorKind};
pub use file_copy::{FileCopyReport, copy_file, copy_file_range};
pub use head::{Body, Follows, HeadThenFile, send_head};
pub use method::{Fallback, Reason, SendMethod, SendPath};
pub use pipe::{PIPE_BYTES_DEFAULT, PIPES_MAX_DEFAULT, PipePool, PooledPipe};
pub use platform::{send_queue_bytes, set_defer_accept};
pub use policy::{FileSystem, Policy, SinkKind};
pub use priority::set_background_priority;
pub use probed::ProbedTransfer;
pub use progress::{Progress, SourceTruncated};
pub use receive::{Receive, ReceiveMethod, ReceiveReport};
pub use report::{Report, Tally};
pub use residency::{PREFETCH_BYTES, Residency, read_resident};
#[cfg(all(feature = "io-uring", target_os = "linux", not(feature = "portable")))]
pub use ring::{Completion, DiskRing};
pub use sendfile::{CALL_BYTES_MAX, sendfile};
pub use splice::splice;
pub use transfer::Transfer;

/// The examples of the READMEs and of the book, compiled.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    mod of_the_crate {}

    #[doc = include_str!("../../README.md")]
    mod of_the_repository {}

    #[doc = include_str!("../../docs/src/zc-core.md")]
    mod of_the_book {}
}
