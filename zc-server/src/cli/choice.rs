//! The words of options whose value the configuration holds as another type: a `bool`, or a coding.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::config::Bind;

/// Whether io_uring is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IoUring {
    /// On Linux 6.1 and later, where it is permitted.
    Auto,
    /// Never.
    Off,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// A coding of precompressed files, by the extension of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precompressed {
    /// Brotli.
    Br,
    /// Zstandard.
    Zst,
    /// gzip.
    Gz,
    /// None.
    #[value(help = None::<&'static str>)]
    Off,
}

/// An address of plain HTTP, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// This address.
    At(Bind),
    /// None.
    Off,
}

/// A file of users, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthFile {
    /// This one.
    At(PathBuf),
    /// None.
    Off,
}
