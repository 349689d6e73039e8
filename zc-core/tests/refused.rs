//! Kernels and sandboxes that have no `sendfile`, played by a seccomp filter on one thread.
#![cfg(not(feature = "portable"))]

mod common;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;

use common::{Inbox, advance, assert_same_bytes, file_of, patterned, tcp_pair, unix_pair};
use nix::errno::Errno;
use nix::libc;
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};
use zc_core::{Fallback, Method, Path, Policy, Progress, Reason, SendErrorKind, Transfer};

/// Runs `work` in a thread for which each of `calls` fails with `errno`.
fn refusing<T: Send>(calls: &[i64], errno: Errno, work: impl FnOnce() -> T + Send) -> T {
    let rules = calls
        .iter()
        .map(|&call| (call, Vec::new()))
        .collect::<BTreeMap<_, _>>();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        TargetArch::try_from(std::env::consts::ARCH).unwrap(),
    )
    .unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            seccompiler::apply_filter(&program).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

fn fallback(errno: Errno) -> Fallback {
    Fallback {
        from: Path::Sendfile,
        to: Path::Copy,
        reason: Reason::Refused {
            errno: errno as i32,
        },
    }
}

#[test]
fn auto_copies_and_says_why_and_a_named_method_fails() {
    let bytes = patterned(100_000, 100);
    let file = file_of(&bytes);
    for errno in [Errno::EPERM, Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::EXDEV] {
        let (sender, reader) = tcp_pair(None, None);
        let mut inbox = Inbox::new(reader);
        refusing(&[libc::SYS_sendfile], errno, || {
            let mut transfer = Transfer::new(&file, 0, 100_000);
            while advance(&mut transfer, &sender, u64::MAX).unwrap() != Progress::Complete {
                inbox.read_until_writable(&sender);
            }
            let report = transfer.report();
            assert_eq!(report.fallback, Some(fallback(errno)));
            assert_eq!((report.sendfile.bytes, report.sendfile.calls), (0, 1));
            assert_eq!(report.copy.bytes, 100_000);

            let mut named = Transfer::new(&file, 0, 10).with_method(Method::Sendfile);
            let error = named.advance(&sender, u64::MAX).unwrap_err();
            assert_eq!((error.kind, error.sent), (SendErrorKind::Refused, 0));
            assert_eq!(error.source.raw_os_error(), Some(errno as i32));
        });
        drop(sender);
        assert_same_bytes(&inbox.finish(), &bytes);
    }
}

#[test]
fn splice_refused_is_an_error_too() {
    let file = file_of(&patterned(1000, 101));
    let (sender, _reader) = tcp_pair(None, None);
    refusing(&[libc::SYS_splice], Errno::EPERM, || {
        let mut named = Transfer::new(&file, 0, 1000).with_method(Method::Splice);
        let error = named.advance(&sender, u64::MAX).unwrap_err();
        assert_eq!(error.kind, SendErrorKind::Refused);
        // What is refused to one method is no matter to another.
        let mut other = Transfer::new(&file, 0, 1000).with_method(Method::Sendfile);
        assert_eq!(
            other.advance(&sender, u64::MAX).unwrap(),
            Progress::Complete
        );
    });
}

#[test]
fn a_policy_asks_once_for_each_kind_of_sink() {
    let bytes = patterned(1000, 102);
    let file = file_of(&bytes);
    let policy = Arc::new(Policy::new());
    refusing(&[libc::SYS_sendfile], Errno::EPERM, || {
        let calls = |sink: &dyn AsFd| {
            let mut transfer = Transfer::new(&file, 0, 1000).with_policy(Arc::clone(&policy));
            let progress = transfer.advance(sink.as_fd(), u64::MAX).unwrap();
            assert_eq!(progress, Progress::Complete);
            assert_eq!(transfer.report().fallback, Some(fallback(Errno::EPERM)));
            transfer.report().sendfile.calls
        };
        let (tcp, _tcp_reader) = tcp_pair(None, None);
        let (unix, _unix_reader) = unix_pair(None);
        assert_eq!((calls(&tcp), calls(&tcp), calls(&tcp)), (1, 0, 0));
        assert_eq!((calls(&unix), calls(&unix)), (1, 0), "another kind of sink");
    });
}

#[test]
fn a_refused_sendfile_is_fetched_by_reading() {
    let file = file_of(&patterned(100_000, 103));
    // The threads of a pool inherit the filter of the one that makes it.
    refusing(&[libc::SYS_sendfile], Errno::EPERM, || {
        let pool = zc_core::DiskPool::new(1, 1).unwrap();
        let (done, wait) = std::sync::mpsc::channel();
        let file = file.try_clone().unwrap();
        let fetched = pool.fetch(file, 0..100_000, move |answer| done.send(answer).unwrap());
        assert!(fetched.is_ok());
        assert_eq!(wait.recv().unwrap().unwrap(), 100_000);
    });
}
