//! Errors of a configuration.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fmt, io};

use super::bind::Bind;
use crate::text::OneLine;

/// Why a configuration cannot be served. Displayed in one line that says what to change.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The root does not exist.
    RootMissing {
        /// The root as given.
        path: PathBuf,
    },
    /// The root exists and cannot be read.
    RootUnreadable {
        /// The root as given.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The root is neither a directory nor a regular file.
    RootUnservable {
        /// The root as given.
        path: PathBuf,
    },
    /// The root of a site cannot be served.
    Site {
        /// The value of the option, as given.
        site: String,
        /// Why not.
        error: Box<Self>,
    },
    /// The same address and port is to be listened on twice.
    BindRepeated {
        /// The one that is named first.
        one: Bind,
        /// The one that is named then.
        other: Bind,
        /// The address that both have.
        address: SocketAddr,
    },
    /// The same host has two roots.
    SiteRepeated {
        /// The host that is named again.
        host: String,
    },
    /// `--precompressed` has `off` beside codings.
    PrecompressedOffBesideOthers,
}

impl ConfigError {
    /// The code that a program should exit with: 2 for wrong usage, 1 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::RootMissing { .. }
            | Self::RootUnreadable { .. }
            | Self::RootUnservable { .. } => 1,
            Self::Site { error, .. } => error.exit_code(),
            Self::BindRepeated { .. }
            | Self::SiteRepeated { .. }
            | Self::PrecompressedOffBesideOthers => 2,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootMissing { path } => write!(
                f,
                "root `{}` does not exist; name a directory or a file",
                OneLine(path)
            ),
            Self::RootUnreadable { path, error }
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                write!(
                    f,
                    "root `{}` cannot be read: permission denied; \
                     give this user permission to read it, or name another root",
                    OneLine(path)
                )
            }
            Self::RootUnreadable { path, error } => {
                write!(
                    f,
                    "root `{}` cannot be read: {error}; name another root",
                    OneLine(path)
                )
            }
            Self::RootUnservable { path } => write!(
                f,
                "root `{}` is neither a directory nor a regular file; name one of those",
                OneLine(path)
            ),
            Self::Site { site, error } => {
                write!(f, "--site {}: {error}", OneLine(site.as_ref()))
            }
            Self::BindRepeated { one, other, .. } if one == other => {
                write!(f, "--bind {one} is given twice; remove one")
            }
            Self::BindRepeated {
                one,
                other,
                address,
            } => write!(
                f,
                "--bind {one} and --bind {other} both listen on {address}; remove one"
            ),
            Self::SiteRepeated { host } => {
                write!(f, "--site {host} is given twice; remove one")
            }
            Self::PrecompressedOffBesideOthers => f.write_str(
                "--precompressed: `off` cannot be combined with codings; use `off`, or a list of br, zst and gz",
            ),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::RootUnreadable { error, .. } => Some(error),
            Self::Site { error, .. } => Some(error.as_ref()),
            _ => None,
        }
    }
}
