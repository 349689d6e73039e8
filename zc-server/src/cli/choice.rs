//! The words of options whose value the configuration holds as another type: a `bool`, or a coding.

use clap::ValueEnum;

/// Whether workers wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColdGuard {
    /// They never do.
    Auto,
    /// They do, as most servers let them; for comparison.
    Off,
}

/// Whether io_uring is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IoUring {
    /// From Linux 6.1 on, where it is allowed; most containers refuse it, and threads wait there.
    Auto,
    /// Never.
    Off,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is done.
    On,
    /// It is not done.
    Off,
}

/// A coding of files that lie ready, by the extension of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precompressed {
    /// Brotli.
    Br,
    /// Zstandard.
    Zst,
    /// gzip.
    Gz,
    /// None at all.
    Off,
}
