//! Which methods move bytes here, by which path, and how the others are refused.
//!
//! With the feature `portable` everything that only Linux has answers `ENOSYS`: what is left is
//! copying, by `Copy` and by `Auto`, which says why.

use nix::errno::Errno;
use zc_core::{Fallback, Reason, Report, SendErrorKind, SendMethod, SendPath, Tally};

/// True where everything that only Linux has is refused.
pub const PORTABLE: bool = cfg!(any(not(target_os = "linux"), feature = "portable"));

/// The methods that move bytes here.
pub const METHODS: &[SendMethod] = if PORTABLE {
    &[SendMethod::Auto, SendMethod::Copy]
} else {
    &[
        SendMethod::Auto,
        SendMethod::Sendfile,
        SendMethod::Splice,
        SendMethod::Copy,
    ]
};

/// The path by which `method` moves bytes here, where the kernel refuses none.
pub fn path_of(method: SendMethod) -> SendPath {
    match method {
        SendMethod::Copy => SendPath::Copy,
        SendMethod::Auto if PORTABLE => SendPath::Copy,
        SendMethod::Auto | SendMethod::Sendfile => SendPath::Sendfile,
        SendMethod::Splice => SendPath::Splice,
        other => panic!("no test knows the path of {other:?}"),
    }
}

/// The fallback of `method` between descriptors of which the kernel refuses nothing.
pub fn fallback_of(method: SendMethod) -> Option<Fallback> {
    (PORTABLE && method == SendMethod::Auto).then(|| refused_with(Errno::ENOSYS))
}

/// A fallback from `sendfile` to copying for `errno`.
pub fn refused_with(errno: Errno) -> Fallback {
    Fallback {
        from: SendPath::Sendfile,
        to: SendPath::Copy,
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
pub fn failure(method: SendMethod, errno: Errno) -> (SendErrorKind, Errno) {
    if METHODS.contains(&method) {
        (SendErrorKind::Failed, errno)
    } else {
        (SendErrorKind::Refused, Errno::ENOSYS)
    }
}

/// Fails unless all `bytes`, at least one, went by the path of `method`, and no other was tried but
/// the one that is refused here.
#[track_caller]
pub fn assert_only_path(report: &Report, method: SendMethod, bytes: u64) {
    let (used, unused) = match path_of(method) {
        SendPath::Sendfile => (report.sendfile, [report.splice, report.copy]),
        SendPath::Splice => (report.splice, [report.sendfile, report.copy]),
        SendPath::Copy => (report.copy, [report.splice, report.sendfile]),
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
