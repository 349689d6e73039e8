//! Send methods (requested), send paths (used), and the rule for fallbacks.

use std::{fmt, io};

/// How a transfer moves its bytes: the caller's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SendMethod {
    /// `sendfile(2)`; a copy loop where the kernel refuses that. The report has the reason.
    #[default]
    Auto,
    /// `sendfile(2)` and nothing else: a refusal is an error.
    Sendfile,
    /// `splice(2)` from the file to a pipe and from the pipe to the sink, and nothing else.
    Splice,
    /// A loop of `pread` and `write` through one buffer.
    Copy,
}

/// How bytes were moved: the result of a [`SendMethod`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendPath {
    /// From the page cache to the socket, by `sendfile(2)`.
    Sendfile,
    /// From the page cache to the socket through a pipe, by `splice(2)`.
    Splice,
    /// Through a buffer of this program.
    Copy,
}

/// A path that was replaced by another, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback {
    /// The path that was refused.
    pub from: SendPath,
    /// The path taken instead.
    pub to: SendPath,
    /// Why.
    pub reason: Reason,
}

/// Why a path was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The kernel, the filesystem or a seccomp filter refused it with this `errno`.
    Refused {
        /// The error of the system call.
        errno: i32,
    },
    /// `sendfile` is known to send wrong bytes from this filesystem; see [`FileSystem::copied`].
    ///
    /// [`FileSystem::copied`]: crate::FileSystem::copied
    FileSystem(
        /// The name of the filesystem.
        &'static str,
    ),
}

impl SendPath {
    /// The word used in logs: `sendfile`, `splice` or `copy`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sendfile => "sendfile",
            Self::Splice => "splice",
            Self::Copy => "copy",
        }
    }
}

impl SendMethod {
    /// The path that this method tries first.
    pub(crate) fn first_path(self) -> SendPath {
        match self {
            Self::Auto | Self::Sendfile => SendPath::Sendfile,
            Self::Splice => SendPath::Splice,
            Self::Copy => SendPath::Copy,
        }
    }

    /// The path to take when `from` failed with `error`; `None` when the error is final. A named method
    /// never falls back.
    pub(crate) fn fallback(self, from: SendPath, error: &io::Error) -> Option<Fallback> {
        match (self, from) {
            (Self::Auto, SendPath::Sendfile) if crate::error::is_refusal(error) => Some(Fallback {
                from,
                to: SendPath::Copy,
                reason: Reason::Refused {
                    errno: error.raw_os_error()?,
                },
            }),
            _ => None,
        }
    }
}

impl fmt::Display for SendPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; used {}", self.from, self.reason, self.to)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { errno } => {
                write!(f, "refused ({})", io::Error::from_raw_os_error(*errno))
            }
            Self::FileSystem(name) => write!(f, "is unreliable on {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::{EAGAIN, EINVAL, EIO, ENOSYS, EOPNOTSUPP, EPERM, EPIPE, EXDEV};

    #[test]
    fn only_auto_falls_back_and_only_on_a_refusal() {
        for errno in [EINVAL, ENOSYS, EOPNOTSUPP, EPERM, EXDEV] {
            let error = io::Error::from_raw_os_error(errno);
            let fallback = SendMethod::Auto.fallback(SendPath::Sendfile, &error);
            assert_eq!(
                fallback,
                Some(Fallback {
                    from: SendPath::Sendfile,
                    to: SendPath::Copy,
                    reason: Reason::Refused { errno }
                })
            );
            assert_eq!(
                SendMethod::Sendfile.fallback(SendPath::Sendfile, &error),
                None
            );
            assert_eq!(SendMethod::Copy.fallback(SendPath::Copy, &error), None);
            assert_eq!(SendMethod::Auto.fallback(SendPath::Copy, &error), None);
        }
        for errno in [EAGAIN, EIO, EPIPE] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(SendMethod::Auto.fallback(SendPath::Sendfile, &error), None);
        }
    }
}
