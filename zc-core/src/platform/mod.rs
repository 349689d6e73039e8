//! The system calls that only some systems have, behind the same names everywhere.
//!
//! Linux has all of them. FreeBSD, DragonFly and Apple's systems have a `sendfile(2)` of their own. A call
//! that a system lacks returns `ENOSYS`. Every `Auto` treats that as a refusal and copies, which needs
//! POSIX only. With the feature `portable`, all of these calls return `ENOSYS` on every system.

cfg_select! {
    all(target_os = "linux", not(feature = "portable")) => {
        mod linux;
        pub use linux::{send_queue_bytes, set_defer_accept};
        pub(crate) use linux::*;
    }
    all(
        any(target_os = "freebsd", target_os = "dragonfly", target_vendor = "apple"),
        not(feature = "portable"),
    ) => {
        mod portable;
        mod sendfile_bsd;
        pub use portable::{send_queue_bytes, set_defer_accept};
        pub(crate) use {portable::*, sendfile_bsd::*};
    }
    _ => {
        mod portable;
        mod sendfile_refused;
        pub use portable::{send_queue_bytes, set_defer_accept};
        pub(crate) use {portable::*, sendfile_refused::*};
    }
}

/// How a `splice(2)` is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpliceMode {
    Plain,
    /// More bytes follow at once: a segment that is not full may be held back.
    More,
    /// The pipe is not waited for.
    NonBlocking,
}
