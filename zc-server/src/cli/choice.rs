//! The words of options whose value the configuration holds as another type: a `bool`, or a coding.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::config::{Bind, PortlessBind};

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

/// When a QR code is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Qr {
    /// On a terminal, with `--lan`.
    Auto,
    /// In any case.
    On,
    /// Never.
    Off,
}

/// An address of plain HTTP, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// This address.
    At(Bind),
    /// This one, with the port of `--port`.
    WithoutPort(PortlessBind),
    /// None.
    Off,
}

impl Listen {
    /// The address, with `port` where it names none.
    pub(crate) fn at(&self, port: u16) -> Option<Bind> {
        match self {
            Self::At(bind) => Some(bind.clone()),
            Self::WithoutPort(bind) => Some(bind.with(port)),
            Self::Off => None,
        }
    }
}

/// A file, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOrOff {
    /// This one.
    At(PathBuf),
    /// None.
    Off,
}
