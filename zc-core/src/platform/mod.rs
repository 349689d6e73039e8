//! The system calls that only some systems have, behind the same names everywhere.
//!
//! Elsewhere than on Linux, and with the feature `portable`, they answer `ENOSYS`, which every
//! `Auto` takes for a refusal: what is left is copying, which needs nothing but POSIX.

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod linux;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
pub use linux::send_queue_bytes;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
pub(crate) use linux::*;

#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
mod portable;
#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
pub use portable::send_queue_bytes;
#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
pub(crate) use portable::*;

/// How a `splice(2)` is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpliceMode {
    Plain,
    /// More bytes follow at once: a segment that is not full may be held back.
    More,
    /// The pipe is not waited for.
    NonBlocking,
}
