//! Errors of a configuration.

use std::error::Error;
use std::path::PathBuf;
use std::{fmt, io};

use super::ListenAddress;
use crate::text::OneLine;
#[cfg(feature = "tls")]
use crate::text::counted;

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
        /// The option that is given first, with its value.
        one: String,
        /// The option that is given then.
        other: String,
        /// The address that both have.
        address: ListenAddress,
    },
    /// An option names a listener that is not there.
    NoSuchListener {
        /// The option, with its value.
        option: String,
        /// The listeners, each by its option with its value.
        listeners: Vec<String>,
    },
    /// The same host has two roots.
    SiteRepeated {
        /// The host that is named again.
        host: String,
    },
    /// `--limit-rate` is given twice without a glob.
    RateRepeated,
    /// A file with secrets is below a root, and would be served.
    FileServed {
        /// What it is.
        what: &'static str,
        /// The file as given.
        file: PathBuf,
        /// The root.
        root: PathBuf,
    },
    /// The log file is a file that the server reads.
    LogRead {
        /// The file, made absolute.
        file: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// `--log-file` and `--access-log-to` are both given.
    LogTargets,
    /// `--bind` has `off` beside addresses.
    BindOffBesideOthers,
    /// `--bind` has `off`, and there is no HTTPS.
    NothingToListenOn,
    /// `--precompressed` has `off` beside codings.
    PrecompressedOffBesideOthers,
    /// An option that needs a certificate is given without one.
    #[cfg(feature = "tls")]
    CertificateMissing {
        /// The option, with its value.
        option: String,
    },
    /// There are not as many keys as certificates.
    #[cfg(feature = "tls")]
    KeyCount {
        /// How often `--tls-cert` is given.
        certificates: usize,
        /// How often `--tls-key` is given.
        keys: usize,
    },
    /// There are more OCSP responses than certificates.
    #[cfg(feature = "tls")]
    OcspCount {
        /// How often `--tls-cert` is given.
        certificates: usize,
        /// How often `--tls-ocsp` is given.
        responses: usize,
    },
    /// `--tls-key-log` is given, and the variable that names its file is not set.
    #[cfg(feature = "tls")]
    KeyLogFileUnset,
    /// The directory of `--acme-webroot` is missing, or no directory.
    #[cfg(feature = "tls")]
    AcmeWebroot {
        /// The directory as given.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A path is relative, and the directory that the program was started in cannot be read.
    CurrentDirectory {
        /// The path as given.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl ConfigError {
    /// The code that a program should exit with: 2 for wrong usage, 1 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::RootMissing { .. }
            | Self::RootUnreadable { .. }
            | Self::RootUnservable { .. }
            | Self::FileServed { .. }
            | Self::LogRead { .. }
            | Self::CurrentDirectory { .. } => 1,
            Self::Site { error, .. } => error.exit_code(),
            Self::BindRepeated { .. }
            | Self::NoSuchListener { .. }
            | Self::SiteRepeated { .. }
            | Self::BindOffBesideOthers
            | Self::NothingToListenOn
            | Self::RateRepeated
            | Self::LogTargets
            | Self::PrecompressedOffBesideOthers => 2,
            #[cfg(feature = "tls")]
            Self::AcmeWebroot { .. } => 1,
            #[cfg(feature = "tls")]
            Self::CertificateMissing { .. }
            | Self::KeyCount { .. }
            | Self::OcspCount { .. }
            | Self::KeyLogFileUnset => 2,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootMissing { .. } | Self::RootUnreadable { .. } | Self::RootUnservable { .. } => {
                fmt_root(self, f)
            }
            Self::Site { site, error } => {
                write!(f, "--site {}: {error}", OneLine(site.as_ref()))
            }
            Self::FileServed { what, file, root } => write!(
                f,
                "{what} `{}` is below the root `{}`, where it would be served; move it",
                OneLine(file),
                OneLine(root)
            ),
            Self::LogRead { file, what } => write!(
                f,
                "--log-file `{}` is {what}, and lines would be written to it; name another file",
                OneLine(file)
            ),
            Self::LogTargets => f.write_str(
                "--log-file and --access-log-to are both given, and there is one access log; remove one",
            ),
            Self::CurrentDirectory { path, error } => write!(
                f,
                "`{}` is relative, and the current directory cannot be read: {error}; write the path from `/` on",
                OneLine(path)
            ),
            Self::BindRepeated { one, other, .. } if one == other => {
                write!(f, "{one} is given twice; remove one")
            }
            Self::BindRepeated {
                one,
                other,
                address,
            } => write!(
                f,
                "{one} and {other} both listen on {address}; remove one"
            ),
            Self::NoSuchListener { option, listeners } => write!(
                f,
                "{option} is no listener; use one of {}",
                listeners.join(", ")
            ),
            Self::SiteRepeated { host } => {
                write!(f, "--site {host} is given twice; remove one")
            }
            Self::BindOffBesideOthers => f.write_str(
                "--bind: `off` cannot be combined with addresses; use `off`, or a list of addresses",
            ),
            Self::NothingToListenOn => f.write_str(
                "--bind is `off`, and there is no HTTPS; name an address, or add --tls-cert or --tls-self-signed",
            ),
            Self::RateRepeated => f.write_str(
                "--limit-rate is given twice without a glob; remove one, or write GLOB=RATE",
            ),
            Self::PrecompressedOffBesideOthers => f.write_str(
                "--precompressed: `off` cannot be combined with codings; use `off`, or a list of br, zst and gz",
            ),
            #[cfg(feature = "tls")]
            tls => fmt_tls(tls, f),
        }
    }
}

/// What is wrong with a root.
fn fmt_root(error: &ConfigError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use ConfigError::{RootMissing, RootUnreadable, RootUnservable};
    match error {
        RootMissing { path } => write!(
            f,
            "root `{}` does not exist; name a directory or a file",
            OneLine(path)
        ),
        RootUnreadable { path, error } if error.kind() == io::ErrorKind::PermissionDenied => {
            write!(
                f,
                "root `{}` cannot be read: permission denied; \
                     give this user permission to read it, or name another root",
                OneLine(path)
            )
        }
        RootUnreadable { path, error } => {
            write!(
                f,
                "root `{}` cannot be read: {error}; name another root",
                OneLine(path)
            )
        }
        RootUnservable { path } => write!(
            f,
            "root `{}` is neither a directory nor a regular file; name one of those",
            OneLine(path)
        ),
        _ => Ok(()),
    }
}

/// What is wrong with the options of HTTPS.
#[cfg(feature = "tls")]
fn fmt_tls(error: &ConfigError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use ConfigError::{AcmeWebroot, CertificateMissing, KeyCount, KeyLogFileUnset, OcspCount};
    match error {
        CertificateMissing { option } => write!(
            f,
            "{} needs a certificate; add --tls-cert and --tls-key, or --tls-self-signed",
            OneLine(option.as_ref())
        ),
        KeyCount { certificates, keys } => {
            let certificates = counted(*certificates as u64, "certificate");
            let keys = counted(*keys as u64, "key");
            write!(
                f,
                "there are {certificates} (--tls-cert) and {keys} (--tls-key); \
                 give each certificate its key, in the same order"
            )
        }
        OcspCount {
            certificates,
            responses,
        } => {
            let certificates = counted(*certificates as u64, "certificate");
            let responses = counted(*responses as u64, "OCSP response");
            write!(
                f,
                "there are {certificates} (--tls-cert) and {responses} (--tls-ocsp); \
                 give at most one for each certificate, in the same order"
            )
        }
        KeyLogFileUnset => f.write_str(
            "--tls-key-log: the environment variable SSLKEYLOGFILE is not set; set it to the path of a file",
        ),
        AcmeWebroot { path, error } => write!(
            f,
            "--acme-webroot `{}` cannot be served: {error}; name a directory",
            OneLine(path)
        ),
        _ => Ok(()),
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::RootUnreadable { error, .. } | Self::CurrentDirectory { error, .. } => {
                Some(error)
            }
            Self::Site { error, .. } => Some(error.as_ref()),
            #[cfg(feature = "tls")]
            Self::AcmeWebroot { error, .. } => Some(error),
            _ => None,
        }
    }
}
