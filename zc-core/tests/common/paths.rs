//! Which methods move bytes here, by which path, and how the others are refused.
//!
//! With the feature `portable` everything that only Linux has answers `ENOSYS`: what is left is
//! copying, by `Copy` and by `Auto`, which says why.

use nix::errno::Errno;
use zc_core::{Fallback, Method, Path, Reason, Report, SendErrorKind, Tally};

/// True where everything that only Linux has is refused.
pub const PORTABLE: bool = cfg!(any(not(target_os = "linux"), feature = "portable"));

/// The methods that move bytes here.
pub const METHODS: &[Method] = if PORTABLE {
    &[Method::Auto, Method::Copy]
} else {
    &[Method::Auto, Method::Sendfile, Method::Splice, Method::Copy]
};

/// The path by which `method` moves bytes here, where the kernel refuses none.
pub fn path_of(method: Method) -> Path {
    match method {
        Method::Copy => Path::Copy,
        Method::Auto if PORTABLE => Path::Copy,
        Method::Auto | Method::Sendfile => Path::Sendfile,
        Method::Splice => Path::Splice,
        other => panic!("no test knows the path of {other:?}"),
    }
}

/// The fallback of `method` between descriptors of which the kernel refuses nothing.
pub fn fallback_of(method: Method) -> Option<Fallback> {
    (PORTABLE && method == Method::Auto).then(|| refused_with(Errno::ENOSYS))
}

/// A fallback from `sendfile` to copying for `errno`.
pub fn refused_with(errno: Errno) -> Fallback {
    Fallback {
        from: Path::Sendfile,
        to: Path::Copy,
        reason: Reason::Refused {
            errno: errno as i32,
        },
    }
}

/// The `errno` of a refusal that the kernel of Linux words as `on_linux`.
pub fn refusal(on_linux: Errno) -> Errno {
    if PORTABLE { Errno::ENOSYS } else { on_linux }
}

/// How `method` fails where `write` and `pread` fail with `errno`: a method that is refused here
/// does not get that far.
pub fn failure(method: Method, errno: Errno) -> (SendErrorKind, Errno) {
    if METHODS.contains(&method) {
        (SendErrorKind::Failed, errno)
    } else {
        (SendErrorKind::Refused, Errno::ENOSYS)
    }
}

/// Fails unless all `bytes`, at least one, went by the path of `method`, and no other was tried but
/// the one that is refused here.
#[track_caller]
pub fn assert_only_path(report: &Report, method: Method, bytes: u64) {
    let (used, unused) = match path_of(method) {
        Path::Sendfile => (report.sendfile, [report.splice, report.copy]),
        Path::Splice => (report.splice, [report.sendfile, report.copy]),
        Path::Copy => (report.copy, [report.splice, report.sendfile]),
        other => panic!("no test knows the tally of {other:?}"),
    };
    assert_eq!(used.bytes, bytes);
    let refused_calls = u64::from(fallback_of(method).is_some());
    let tried = Tally {
        bytes: 0,
        calls: refused_calls,
    };
    assert_eq!(unused, [Tally::default(), tried]);
    assert_eq!(report.fallback, fallback_of(method));
}
