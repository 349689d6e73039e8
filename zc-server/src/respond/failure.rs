//! Failures of the server, and the status that each is answered with. No other place decides that.

use std::io;

use nix::errno::Errno;
use zc_http::Status;

use crate::files::archive::ArchiveError;
use crate::files::open_file::ResolveError;

/// Why a request is not answered with what it asks for, although nothing is wrong with the request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failure<'a> {
    /// The path of the request, or the file of an error page, cannot be opened.
    Open(&'a ResolveError),
    /// The directory cannot be listed.
    List(&'a io::Error),
    /// The directory cannot be sent as an archive.
    Archive(&'a ArchiveError),
    /// The file cannot be read, and no byte of the response was sent.
    Read,
    /// The root is missing, or cannot be opened for want of descriptors or memory.
    RootUnavailable,
    /// As many jobs as are allowed wait for the disk.
    DiskBusy,
    /// The disk has not answered in time.
    DiskTimeout,
}

impl Failure<'_> {
    /// The status of the response ([RFC 9110 §15](https://www.rfc-editor.org/rfc/rfc9110#section-15)): 404 and
    /// 403 for what this path is, 503 for what may pass, 504 for a disk that does not answer, and 500 for all
    /// else.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Open(ResolveError::NotFound) => Status::NotFound,
            Self::Open(ResolveError::Forbidden) => Status::Forbidden,
            Self::Open(ResolveError::Exhausted(_) | ResolveError::Busy(_)) => {
                Status::ServiceUnavailable
            }
            Self::Open(ResolveError::Failed(_) | ResolveError::WouldBlock) => {
                Status::InternalServerError
            }
            Self::List(error) if is_exhausted(error) => Status::ServiceUnavailable,
            Self::List(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Status::Forbidden
            }
            Self::Archive(ArchiveError::Open(error)) => Failure::Open(error).status(),
            Self::Archive(ArchiveError::Read(error)) => Failure::List(error).status(),
            Self::Archive(
                ArchiveError::TooManyEntries | ArchiveError::TooDeep | ArchiveError::TooLong,
            ) => Status::InternalServerError,
            Self::List(_) | Self::Read => Status::InternalServerError,
            Self::RootUnavailable | Self::DiskBusy => Status::ServiceUnavailable,
            Self::DiskTimeout => Status::GatewayTimeout,
        }
    }
}

/// Out of descriptors, or of memory: that of the machine or that of listings.
fn is_exhausted(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    error.kind() == io::ErrorKind::OutOfMemory
        || matches!(errno, Some(Errno::EMFILE | Errno::ENFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(errno: Errno) -> io::Error {
        errno.into()
    }

    #[test]
    fn each_failure_has_its_status() {
        for (error, code) in [
            (ResolveError::NotFound, 404),
            (ResolveError::Forbidden, 403),
            (ResolveError::Exhausted(os(Errno::EMFILE)), 503),
            (ResolveError::Busy(os(Errno::EAGAIN)), 503),
            (ResolveError::Failed(os(Errno::EIO)), 500),
            (ResolveError::WouldBlock, 500),
        ] {
            assert_eq!(Failure::Open(&error).status().code(), code, "{error:?}");
        }
        for (error, code) in [
            (os(Errno::EACCES), 403),
            (os(Errno::EPERM), 403),
            (os(Errno::EMFILE), 503),
            (os(Errno::ENFILE), 503),
            (os(Errno::ENOMEM), 503),
            (io::ErrorKind::OutOfMemory.into(), 503),
            (io::ErrorKind::FileTooLarge.into(), 500),
            (os(Errno::EIO), 500),
        ] {
            assert_eq!(Failure::List(&error).status().code(), code, "{error:?}");
        }
        for (error, code) in [
            (ArchiveError::Open(ResolveError::NotFound), 404),
            (ArchiveError::Read(os(Errno::EMFILE)), 503),
            (ArchiveError::TooManyEntries, 500),
            (ArchiveError::TooDeep, 500),
            (ArchiveError::TooLong, 500),
        ] {
            assert_eq!(Failure::Archive(&error).status().code(), code, "{error:?}");
        }
        for (failure, code) in [
            (Failure::Read, 500),
            (Failure::RootUnavailable, 503),
            (Failure::DiskBusy, 503),
            (Failure::DiskTimeout, 504),
        ] {
            assert_eq!(failure.status().code(), code, "{failure:?}");
        }
    }
}
