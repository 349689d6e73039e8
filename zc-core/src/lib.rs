//! Resumable zero-copy sends from a file to a socket, for any program: no runtime, no HTTP.
//!
//! *Zero-copy* means that the bytes of a file go from the page cache to the socket by reference, through
//! [`sendfile(2)`], and never through the memory of this program. This crate handles the limits of that
//! call:
//!
//! * one call moves at most `0x7fff_f000` bytes, however many are requested;
//! * a nonblocking socket accepts what fits and then returns `EAGAIN`: the transfer is resumed later;
//! * a short count is **not** "would block": signals and batch limits shorten calls too;
//! * a file that is truncated while it is sent yields 0 bytes before the promised end. That is neither
//!   success nor a socket error, but an outcome of its own: [`SourceTruncated`].
//!
//! # Contents
//!
//! | to … | use |
//! | --- | --- |
//! | send a file and wait for it | [`copy`], [`copy_range`] |
//! | send from a reactor, resumed at each writable edge | [`Transfer`], by calling [`advance`](Transfer::advance) |
//! | send a head and a body together | [`HeadThenFile`] |
//! | receive into a file | [`Receive`] |
//! | copy from file to file | [`copy_file`] |
//! | have the bytes in memory, to change them on their way | [`HeadThenFile::read`], [`Transfer::read`] |
//! | send without waiting for the disk | [`ProbedTransfer`] |
//! | find out whether a range is in memory | [`Residency::probe`], [`Residency::prefetch`] |
//! | look at the page cache while a device answers late or not at all | [`Residency::peek`], [`Residency::probe_whole`] |
//! | let I/O threads wait for the disk | [`Fetcher`], on threads of your own |
//! | be told without a thread when uncached data has been loaded, where io_uring is allowed | `DiskRing`, with the feature `io-uring` |
//! | run I/O threads at background priority, beside an event loop | [`set_background_priority`], [`set_batch_priority`], [`set_event_loop_priority`] |
//! | send over TLS, sealed by the kernel | `ktls`, with the feature of that name |
//! | make the calls yourself | [`sendfile()`], [`splice()`], [`copy_file_range`], [`send_head`] |
//!
//! All of them take the source first and the sink second, as anything that implements [`AsFd`], and
//! offsets and lengths in `u64` bytes. Offsets are positional: the shared file position of a descriptor is
//! neither read nor moved, so that one open file can serve any number of transfers at once. Successes and
//! failures both report how many bytes were moved.
//!
//! # Methods and paths
//!
//! A [`SendMethod`] is requested; a [`SendPath`] is the way that the bytes went.
//! [`SendMethod::Sendfile`], [`SendMethod::Splice`] and [`SendMethod::Copy`] are used as named, or fail.
//! [`SendMethod::Auto`] begins with `sendfile`, copies where the kernel, the filesystem or a sandbox
//! refuses it, and keeps the reason in the [`Report`]. A [`Policy`] that many transfers share remembers
//! refusals. Files on filesystems where `sendfile` is known to send wrong pages
//! ([`FileSystem::copied`]) are copied from the start.
//!
//! # When not to use it
//!
//! * The bytes change on the way (compression, TLS in this program): they have to pass through memory.
//! * The bodies are small and sent often: up to about 32 KiB, one `send` from memory costs less than any
//!   call on the file.
//! * Somebody overwrites the files in place while they are sent.
//!
//! [`AsFd`]: std::os::fd::AsFd
//!
//! # What it does not promise
//!
//! * Pages are sent by reference. A write to the file after `advance` has returned may still change bytes
//!   that the peer has not received. Replace files by `rename(2)`; do not overwrite them.
//! * *Sent* means accepted by the socket's buffer, not delivered to the peer.
//! * The disk has no nonblocking mode: a [`Transfer`] waits for a page that is not in memory. A
//!   [`ProbedTransfer`] returns [`Progress::NeedsDisk`] instead.
//! * A peer that is gone raises `SIGPIPE` unless the program ignores it, as Rust programs do by
//!   default.
//!
//! # Compatibility
//!
//! Methods, paths, kinds of errors, of sinks and of refusals, and the reports are `#[non_exhaustive]`: a
//! later version may add to them, and a match on them needs a wildcard. [`Progress`], [`Residency`] and
//! [`Follows`] are exhaustive: every caller would have to handle a new variant, and the compiler should
//! show where.
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
mod error;
mod fetcher;
mod file_copy;
mod head;
#[cfg(all(feature = "ktls", target_os = "linux", not(feature = "portable")))]
pub mod ktls;
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
mod slots;
mod splice;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod sys;
mod transfer;
mod window;

pub use blocking::{copy, copy_range};
pub use copy::COPY_BUFFER_BYTES;
pub use cork::CORK_BYTES_MIN;
pub use error::{ReceiveError, ReceiveErrorKind, SendError, SendErrorKind};
pub use fetcher::Fetcher;
pub use file_copy::{FileCopyReport, copy_file, copy_file_range};
pub use head::{Body, Follows, HeadThenFile, send_head};
pub use method::{Fallback, Reason, SendMethod, SendPath};
pub use pipe::{PIPE_BYTES_DEFAULT, PIPES_MAX_DEFAULT, PipePool, PooledPipe};
pub use platform::{send_queue_bytes, set_defer_accept};
pub use policy::{FileSystem, Policy, SinkKind};
pub use priority::{set_background_priority, set_batch_priority, set_event_loop_priority};
pub use probed::ProbedTransfer;
pub use progress::{Progress, SourceTruncated};
pub use receive::{Receive, ReceiveMethod, ReceiveReport};
pub use report::{Report, Tally};
pub use residency::{PREFETCH_BYTES, Residency, read_resident};
#[cfg(all(feature = "io-uring", target_os = "linux", not(feature = "portable")))]
pub use ring::{Completion, DiskRing};
pub use sendfile::{CALL_BYTES_MAX, sendfile};
pub use slots::Slots;
pub use splice::splice;
pub use transfer::Transfer;

/// The examples of the READMEs and of the book, compiled. Those of the book with the feature that one of
/// them needs: lines that rustdoc hides would show elsewhere.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    mod of_the_crate {}

    #[doc = include_str!("../../README.md")]
    mod of_the_repository {}

    #[cfg(all(feature = "io-uring", target_os = "linux", not(feature = "portable")))]
    #[doc = include_str!("../../docs/src/zc-core.md")]
    mod of_the_book {}
}
