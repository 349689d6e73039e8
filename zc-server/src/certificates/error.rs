//! What is wrong with a file of certificates or keys.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustls::pki_types::pem;

use crate::text::{OneLine, counted};

/// Why a certificate, a key or a file beside them cannot be used. Displayed in one line that names the file and
/// says what to do.
#[derive(Debug)]
pub struct CertificateError {
    option: &'static str,
    path: PathBuf,
    fault: Fault,
}

/// What is wrong.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    NotRegular,
    TooLong,
    /// It is DER, and PEM is needed.
    Der,
    /// There is no certificate in it.
    NoCertificate,
    /// There is no key in it.
    NoKey,
    EncryptedKey,
    /// It is damaged.
    Damaged(pem::Error),
    UnsupportedKey,
    /// The key is of another certificate than the one in this file.
    OtherKey(PathBuf),
    /// The key is that of a later certificate of this file.
    NotFirst(PathBuf),
    /// Since this date.
    Expired(Date),
    /// Until this date.
    NotYetValid(Date),
    /// A certificate that rustls cannot use.
    Unusable(String),
    NotOcsp,
}

/// A time in seconds since 1970, shown as a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date(pub(super) u64);

impl CertificateError {
    pub(super) fn new(option: &'static str, path: &Path, fault: impl Into<Fault>) -> Self {
        Self {
            option,
            path: path.to_owned(),
            fault: fault.into(),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = i64::try_from(self.0).ok().and_then(|seconds| {
            let time = jiff::Timestamp::from_second(seconds).ok()?;
            Some(time.strftime("%Y-%m-%d %H:%M UTC").to_string())
        });
        f.write_str(time.as_deref().unwrap_or("a date after the year 9999"))
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = OneLine(&self.path);
        write!(f, "{} `{path}` ", self.option)?;
        match &self.fault {
            Fault::Io(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    f.write_str("does not exist; name a file")
                }
                io::ErrorKind::PermissionDenied => f.write_str(
                    "cannot be read: permission denied; give this user permission to read it",
                ),
                _ => write!(f, "cannot be read: {error}; name another file"),
            },
            Fault::NotRegular => f.write_str("is not a regular file; name one"),
            Fault::TooLong => f.write_str("is longer than 1 MiB; name another file"),
            Fault::Der => {
                let kind = if self.option == "--tls-key" {
                    "pkey"
                } else {
                    "x509"
                };
                write!(
                    f,
                    "is DER; make PEM of it: openssl {kind} -inform der -in {path} -out NAME.pem"
                )
            }
            Fault::NoCertificate => f.write_str(
                "has no certificate in PEM (BEGIN CERTIFICATE); name a file that has one",
            ),
            Fault::NoKey => f.write_str(
                "has no key in PEM (BEGIN PRIVATE KEY); name the file of the key with --tls-key",
            ),
            Fault::EncryptedKey => write!(
                f,
                "has a key that is encrypted; decrypt it: openssl pkey -in {path} -out NAME.pem"
            ),
            Fault::Damaged(error) => {
                let why = match error {
                    pem::Error::MissingSectionEnd { .. } => "a section has no END line",
                    pem::Error::IllegalSectionStart { .. } => "a BEGIN line is incomplete",
                    pem::Error::Base64Decode(_) => "a line is not base64",
                    _ => "it is not in PEM",
                };
                write!(f, "is damaged: {why}; copy the file again")
            }
            Fault::UnsupportedKey => f.write_str(
                "has a key of a kind or length that is not supported; use ECDSA (P-256, P-384 or P-521), \
                 Ed25519, or RSA of 2048 to 8192 bits",
            ),
            Fault::OtherKey(chain) => write!(
                f,
                "is not the key of `{}`; name the key that the certificate was made for",
                OneLine(chain)
            ),
            Fault::NotFirst(chain) => write!(
                f,
                "is the key of a later certificate of `{}`; put that certificate first",
                OneLine(chain)
            ),
            Fault::Expired(date) => write!(f, "expired on {date}; renew it"),
            Fault::NotYetValid(date) => write!(
                f,
                "is valid from {date} on; check the clock of this machine, or wait"
            ),
            Fault::Unusable(error) => write!(f, "cannot be used: {error}; make another one"),
            Fault::NotOcsp => f.write_str(
                "is not a successful OCSP response in DER; get one with openssl ocsp -respout",
            ),
        }
    }
}

impl Error for CertificateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            Fault::Io(error) => Some(error),
            Fault::Damaged(error) => Some(error),
            _ => None,
        }
    }
}

/// What the operator should know of HTTPS although it works. Displayed in one line that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateWarning {
    /// Every user of the machine can read a key.
    KeyReadable {
        /// The file of the key.
        path: PathBuf,
    },
    /// A certificate expires soon, or has expired.
    Expires {
        /// The file of the certificate.
        path: PathBuf,
        /// Whole days until then; `None` when it is over.
        days: Option<u64>,
    },
    /// The secrets of all connections are written.
    KeyLog {
        /// The file that has them.
        path: PathBuf,
    },
}

impl fmt::Display for CertificateWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyReadable { path } => {
                let path = OneLine(path);
                write!(
                    f,
                    "every user can read the key `{path}`; run chmod o-r {path}"
                )
            }
            Self::Expires { path, days: None } => {
                write!(
                    f,
                    "the certificate `{}` has expired; renew it",
                    OneLine(path)
                )
            }
            Self::Expires {
                path,
                days: Some(days),
            } => {
                let path = OneLine(path);
                match days {
                    0 => write!(f, "the certificate `{path}` expires today; renew it"),
                    days => write!(
                        f,
                        "the certificate `{path}` expires in {}; renew it",
                        counted(*days, "day")
                    ),
                }
            }
            Self::KeyLog { path } => write!(
                f,
                "ALL CONNECTIONS CAN BE DECRYPTED by whoever reads `{}` (--tls-key-log)",
                OneLine(path)
            ),
        }
    }
}
