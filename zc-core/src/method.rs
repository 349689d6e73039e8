//! How bytes are to be moved, how they were, and the rule of falling back.

use std::{fmt, io};

/// How a transfer is asked to move its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// `sendfile`, and a copy loop where the kernel refuses it; the reason is kept in the report.
    #[default]
    Auto,
    /// `sendfile(2)` and nothing else: a refusal is an error.
    Sendfile,
    /// A `pread`/`write` loop through one buffer, as `io.Copy` and its kin do.
    Copy,
}

/// The path that bytes took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// From the page cache to the socket, by `sendfile(2)`.
    Sendfile,
    /// Through a buffer of this program.
    Copy,
}

/// A method that was given up for another, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback {
    /// The path that was refused.
    pub from: Path,
    /// The path taken instead.
    pub to: Path,
    /// The `errno` of the refusal.
    pub errno: i32,
}

impl Path {
    /// The word used in logs: `sendfile` or `copy`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sendfile => "sendfile",
            Self::Copy => "copy",
        }
    }
}

impl Method {
    /// The path that this method tries first.
    pub(crate) fn first_path(self) -> Path {
        match self {
            Self::Auto | Self::Sendfile => Path::Sendfile,
            Self::Copy => Path::Copy,
        }
    }

    /// Where to go when `from` failed with `error`; `None` when the error stands. A named method
    /// never falls back.
    pub(crate) fn fallback(self, from: Path, error: &io::Error) -> Option<Fallback> {
        match (self, from) {
            (Self::Auto, Path::Sendfile) if crate::error::is_refusal(error) => Some(Fallback {
                from,
                to: Path::Copy,
                errno: error.raw_os_error()?,
            }),
            _ => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = io::Error::from_raw_os_error(self.errno);
        write!(f, "{} refused ({reason}), used {}", self.from, self.to)
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
            let fallback = Method::Auto.fallback(Path::Sendfile, &error);
            assert_eq!(
                fallback,
                Some(Fallback {
                    from: Path::Sendfile,
                    to: Path::Copy,
                    errno
                })
            );
            assert_eq!(Method::Sendfile.fallback(Path::Sendfile, &error), None);
            assert_eq!(Method::Copy.fallback(Path::Copy, &error), None);
            assert_eq!(Method::Auto.fallback(Path::Copy, &error), None);
        }
        for errno in [EAGAIN, EIO, EPIPE] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(Method::Auto.fallback(Path::Sendfile, &error), None);
        }
    }
}
