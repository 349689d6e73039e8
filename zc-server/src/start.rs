//! Why a server does not start, and what it warns of when it does.

use std::error::Error;
use std::path::PathBuf;
use std::{fmt, io};

use crate::files::content::ContentError;
use crate::reactor::listener::BindError;
use crate::text::OneLine;

/// Why a server could not start, or could not go on. Displayed in one line, which includes what its
/// [source](Error::source) says.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be listened on.
    Bind(BindError),
    /// The root could not be opened.
    Root(io::Error),
    /// A page of the configuration could not be opened.
    Page {
        /// The option that names it, with its value.
        option: String,
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with it.
        reason: Box<dyn Error + Send + Sync>,
    },
    /// The threads that wait for the disk could not be started.
    Disk(io::Error),
    /// A system call that every run needs failed.
    Io(io::Error),
    /// A worker panicked: a bug of ours. The others were stopped.
    WorkerPanicked,
}

impl From<ContentError> for StartError {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Root(error) => Self::Root(error),
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

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Root(error) if error.raw_os_error() == Some(nix::libc::ENOSYS) => write!(
                f,
                "cannot open the root: this kernel or sandbox has no openat2(2); Linux 5.6 or \
                 later is needed"
            ),
            Self::Root(error) => write!(f, "cannot open the root: {error}"),
            Self::Page {
                option,
                path,
                reason,
            } => write!(
                f,
                "{option}: `{}`: {reason}; create that file, or name another below the root",
                OneLine(path)
            ),
            Self::Disk(error) => write!(f, "cannot start the threads of the disk: {error}"),
            Self::Io(error) => write!(f, "a system call failed: {error}"),
            Self::WorkerPanicked => write!(f, "a worker panicked; please report it"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bind(error) => Some(error),
            Self::Page { reason, .. } => Some(reason.as_ref()),
            Self::Root(error) | Self::Disk(error) | Self::Io(error) => Some(error),
            Self::WorkerPanicked => None,
        }
    }
}

/// What the operator should know of a server that starts all the same. Displayed in one line that names the
/// mend.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartWarning {
    /// Connections are under BBR, and the default queueing discipline of the machine does not pace.
    Unpaced {
        /// The default queueing discipline.
        qdisc: String,
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
            Self::Unpaced { qdisc } => write!(
                f,
                "connections are under bbr, which costs twice the CPU unless the network interface \
                 has the queueing discipline fq (the default here is {qdisc}): set it (tc qdisc \
                 replace dev DEVICE root fq), or choose --congestion cubic"
            ),
            Self::Descriptors {
                connections_max,
                needed,
                limit,
            } => write!(
                f,
                "{connections_max} connections may need {needed} descriptors, the limit is \
                 {limit}: raise it (ulimit -n) or lower --max-connections"
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
            StartError::Root(failure()),
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
