//! Errors that keep a server from starting, and warnings of one that starts.

use std::error::Error;
use std::path::PathBuf;
use std::{fmt, io};

#[cfg(feature = "tls")]
use crate::certificates::{AcceptorError, CertificateError, CertificateWarning};
use crate::config::Bind;
use crate::files::content::ContentError;
use crate::observe::access_log::LogError;
use crate::reactor::listener::{BindError, InheritedError};
use crate::text::OneLine;
#[cfg(feature = "tls")]
use crate::tls::KernelTlsError;

/// Why a server could not start, or could not go on. Displayed in one line, which includes what its
/// [source](Error::source) says.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be listened on.
    Bind(BindError),
    /// A socket that was inherited cannot be used.
    Inherited(InheritedError),
    /// The root could not be opened.
    Root {
        /// The root as given, made absolute.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A page of the configuration could not be opened.
    Page {
        /// The option that names it, with its value.
        option: String,
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with it.
        reason: Box<dyn Error + Send + Sync>,
    },
    /// The file of `--auth-file` cannot be used.
    AuthFile(Box<dyn Error + Send + Sync>),
    /// The file of `--listing-style` cannot be used.
    ListingStyle(Box<dyn Error + Send + Sync>),
    /// The log file could not be opened.
    LogFile {
        /// Its path.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Earlier access logs have not ended: what they go to does not answer.
    LogsStuck {
        /// How many.
        logs: usize,
    },
    /// HTTPS cannot start: a certificate, a key or a file beside them is wrong.
    #[cfg(feature = "tls")]
    Certificate(CertificateError),
    /// Kernel TLS cannot be had as configured.
    #[cfg(feature = "tls")]
    KernelTls(KernelTlsError),
    /// The disk I/O threads could not be started.
    Disk(io::Error),
    /// A thread or an epoll instance could not be created, or `epoll_wait(2)` failed.
    Io(io::Error),
    /// A worker panicked: a bug of ours. The others were stopped.
    WorkerPanicked,
}

impl From<InheritedError> for StartError {
    fn from(error: InheritedError) -> Self {
        Self::Inherited(error)
    }
}

impl From<ContentError> for StartError {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Root { path, error } => Self::Root { path, error },
            ContentError::AuthFile(error) => Self::AuthFile(Box::new(error)),
            ContentError::Style(error) => Self::ListingStyle(Box::new(error)),
            ContentError::Page {
                option,
                path,
                reason,
            } => Self::Page {
                option,
                path,
                reason,
            },
        }
    }
}

impl From<LogError> for StartError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::File { path, error } => Self::LogFile { path, error },
            LogError::Stuck(logs) => Self::LogsStuck { logs },
            LogError::Thread(error) => Self::Io(error),
        }
    }
}

#[cfg(feature = "tls")]
impl From<AcceptorError> for StartError {
    fn from(error: AcceptorError) -> Self {
        match error {
            AcceptorError::Certificate(error) => Self::Certificate(error),
            AcceptorError::Io(error) => Self::Io(error),
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Inherited(error) => error.fmt(f),
            Self::AuthFile(error) | Self::ListingStyle(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::Certificate(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::KernelTls(error) => error.fmt(f),
            Self::Root { path, error } if error.raw_os_error() == Some(nix::libc::ENOSYS) => {
                write!(
                    f,
                    "cannot open the root `{}`: this kernel or sandbox does not support openat2(2); \
                 use Linux 5.6 or later, or permit the system call",
                    OneLine(path)
                )
            }
            Self::Root { path, error } => {
                write!(f, "cannot open the root `{}`: {error}", OneLine(path))
            }
            Self::Page {
                option,
                path,
                reason,
            } => write!(
                f,
                "{option}: cannot open `{}`: {reason}; create the file, or name another one",
                OneLine(path)
            ),
            Self::LogFile { path, error } => write!(
                f,
                "cannot open the log file `{}`: {error}; {}",
                OneLine(path),
                mend_of_log(error)
            ),
            Self::LogsStuck { logs } => write!(
                f,
                "the access log cannot go elsewhere: {logs} earlier logs wait for a disk or a reader that does \
                 not answer; mend that, or restart the server"
            ),
            Self::Disk(error) => write!(f, "cannot start the disk I/O threads: {error}"),
            Self::Io(error) => write!(
                f,
                "cannot create or run a worker thread: {error}; check the limits of threads and \
                 open files (ulimit -u, ulimit -n)"
            ),
            Self::WorkerPanicked => f.write_str(
                "a worker thread panicked; this is a bug in zc-server, please report it",
            ),
        }
    }
}

/// What helps where a log file cannot be opened.
fn mend_of_log(error: &io::Error) -> &'static str {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::NotFound, _) => "create its directory, or name another file",
        (io::ErrorKind::PermissionDenied, _) => {
            "give this user permission to write there, or name another file"
        }
        (_, Some(nix::libc::ENXIO)) => {
            "it is a FIFO that nobody reads, or a socket; start the reader first, or name another file"
        }
        _ => "name another file",
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bind(error) => Some(error),
            Self::Inherited(error) => Some(error),
            #[cfg(feature = "tls")]
            Self::Certificate(error) => Some(error),
            #[cfg(feature = "tls")]
            Self::KernelTls(error) => Some(error),
            Self::Page { reason, .. } => Some(reason.as_ref()),
            Self::AuthFile(error) | Self::ListingStyle(error) => error.source(),
            Self::Root { error, .. }
            | Self::LogFile { error, .. }
            | Self::Disk(error)
            | Self::Io(error) => Some(error),
            Self::LogsStuck { .. } | Self::WorkerPanicked => None,
        }
    }
}

/// A warning about a server that starts. Displayed in one line that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartWarning {
    /// Connections are under BBR, and the default queueing discipline of the machine does not pace.
    Unpaced {
        /// The default queueing discipline.
        qdisc: String,
    },
    /// A certificate, or a file beside it, needs attention.
    #[cfg(feature = "tls")]
    Certificate(CertificateWarning),
    /// Every user of the machine may read the file of `--auth-file`.
    AuthFileReadable {
        /// The file.
        path: PathBuf,
    },
    /// Passwords are sent to this address without encryption.
    PasswordsInClear {
        /// The address, as it is named to listen on.
        bind: Bind,
    },
    /// What takes a password is served without it, or for others, from a root that it is below.
    ServedFromAbove {
        /// The root that takes a password.
        root: PathBuf,
        /// The root above.
        above: PathBuf,
    },
    /// Shared caches may keep what takes a password.
    SharedCaches {
        /// The value of `--cache-control` that lets them.
        value: String,
    },
    /// The limit of open files is too low for the connections that are allowed.
    Descriptors {
        /// The connections that are allowed.
        connections_max: usize,
        /// The descriptors that they may need.
        needed: u64,
        /// The descriptors that the process may have.
        limit: u64,
    },
}

impl fmt::Display for StartWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "tls")]
            Self::Certificate(warning) => warning.fmt(f),
            Self::Unpaced { qdisc } => write!(
                f,
                "bbr uses twice the CPU without the queueing discipline fq, and net.core.default_qdisc is \
                 {qdisc}; run sysctl -w net.core.default_qdisc=fq, or use --congestion cubic"
            ),
            Self::AuthFileReadable { path } => write!(
                f,
                "every user of this machine can read `{}`, and try passwords against it; take that away: \
                 chmod o-r",
                OneLine(path)
            ),
            Self::SharedCaches { value } => write!(
                f,
                "--cache-control `{}` lets shared caches keep what takes a password, and send it to anybody; use \
                 private",
                OneLine(value.as_ref())
            ),
            Self::ServedFromAbove { root, above } => write!(
                f,
                "`{}` takes a password, and is below the root `{}`, which serves it without that; move it out of there",
                OneLine(root),
                OneLine(above)
            ),
            Self::PasswordsInClear { bind } => write!(
                f,
                "passwords are sent to {bind} without encryption; use HTTPS, or listen on the loopback behind \
                 a proxy that has it"
            ),
            Self::Descriptors {
                connections_max,
                needed,
                limit,
            } => write!(
                f,
                "{connections_max} connections may need {needed} file descriptors, but the limit is \
                 {limit}; raise it (ulimit -n) or lower --max-connections"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_failure_below_it_as_its_source() {
        let failure = || io::Error::from(io::ErrorKind::PermissionDenied);
        let page = StartError::Page {
            option: "--spa=index.html".to_owned(),
            path: PathBuf::from("/srv/index.html"),
            reason: Box::new(failure()),
        };
        for error in [
            StartError::Root {
                path: PathBuf::from("/srv"),
                error: failure(),
            },
            StartError::LogFile {
                path: PathBuf::from("/var/log/zc.log"),
                error: failure(),
            },
            StartError::Disk(failure()),
            StartError::Io(failure()),
            page,
        ] {
            let source = error.source().and_then(|source| source.downcast_ref());
            let kind = source.map(io::Error::kind);
            assert_eq!(kind, Some(io::ErrorKind::PermissionDenied), "{error}");
            assert!(error.to_string().contains("permission denied"), "{error}");
        }
        assert!(StartError::WorkerPanicked.source().is_none());
    }
}
