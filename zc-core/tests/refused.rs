//! Kernels and sandboxes that have no `sendfile`, played by a seccomp filter on one thread.
//!
//! On the portable path the calls are not made, so that a filter has nothing to refuse.

mod common;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;

use common::{
    Inbox, METHODS, PORTABLE, advance, assert_same_bytes, errno_of, file_of, patterned, refusal,
    refused_with, tcp_pair, unix_pair,
};
use nix::errno::Errno;
use nix::libc;
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};
use zc_core::{
    PipePool, Policy, Progress, Receive, ReceiveErrorKind, ReceiveMethod, SendErrorKind,
    SendMethod, Transfer,
};

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
            assert_eq!(report.fallback, Some(refused_with(refusal(errno))));
            assert_eq!((report.sendfile.bytes, report.sendfile.calls), (0, 1));
            assert_eq!(report.copy.bytes, 100_000);

            let mut named = Transfer::new(&file, 0, 10).with_method(SendMethod::Sendfile);
            let error = named.advance(&sender, u64::MAX).unwrap_err();
            assert_eq!((error.kind, error.sent), (SendErrorKind::Refused, 0));
            assert_eq!(errno_of(&error.source), refusal(errno));
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
        let mut named = Transfer::new(&file, 0, 1000).with_method(SendMethod::Splice);
        let error = named.advance(&sender, u64::MAX).unwrap_err();
        assert_eq!(error.kind, SendErrorKind::Refused);
        assert_eq!(errno_of(&error.source), refusal(Errno::EPERM));
        // What is refused to one method is no matter to another.
        for &method in METHODS
            .iter()
            .filter(|&&method| method != SendMethod::Splice)
        {
            let mut other = Transfer::new(&file, 0, 1000).with_method(method);
            let progress = other.advance(&sender, u64::MAX).unwrap();
            assert_eq!(progress, Progress::Complete);
        }
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
            let fallback = refused_with(refusal(Errno::EPERM));
            assert_eq!(transfer.report().fallback, Some(fallback));
            transfer.report().sendfile.calls
        };
        let (tcp, _tcp_reader) = tcp_pair(None, None);
        let (unix, _unix_reader) = unix_pair(None);
        // A filesystem that does not tell its kind cannot be remembered.
        let later = u64::from(PORTABLE);
        assert_eq!((calls(&tcp), calls(&tcp), calls(&tcp)), (1, later, later));
        let unix_calls = (calls(&unix), calls(&unix));
        assert_eq!(unix_calls, (1, later), "another kind of sink");
    });
}

#[test]
fn a_refused_sendfile_is_fetched_by_reading() {
    let file = file_of(&patterned(100_000, 103));
    refusing(&[libc::SYS_sendfile], Errno::EPERM, || {
        let fetcher = zc_core::Fetcher::new().unwrap();
        assert_eq!(fetcher.fetch(&file, 0..100_000).unwrap(), 100_000);
    });
}

#[test]
fn a_receive_that_may_not_splice_copies_and_says_why() {
    let bytes = patterned(100_000, 105);
    for errno in [Errno::EPERM, Errno::ENOSYS] {
        let (received, named_received) = (file_of(b""), file_of(b""));
        let (sender, source) = unix_pair(None);
        thread::scope(|scope| {
            let bytes = &bytes;
            scope.spawn(move || {
                sender.set_nonblocking(false).unwrap();
                std::io::Write::write_all(&mut &sender, bytes).unwrap();
            });
            source.set_nonblocking(false).unwrap();
            refusing(&[libc::SYS_splice], errno, || {
                let pool = PipePool::default();
                let mut named = Receive::new(&named_received, 0, 1000, &pool)
                    .with_method(ReceiveMethod::Splice);
                let error = named.advance(&source, u64::MAX).unwrap_err();
                let refused = (ReceiveErrorKind::Refused, 0);
                assert_eq!((error.kind, error.written), refused);
                assert_eq!(errno_of(&error.source), refusal(errno));

                let mut receive = Receive::new(&received, 0, 100_000, &pool);
                let progress = receive.advance(&source, u64::MAX).unwrap();
                assert_eq!(progress, Progress::Complete);
                let report = receive.report();
                assert_eq!(report.fallback_errno, Some(refusal(errno) as i32));
                assert_eq!((report.splice.bytes, report.copy.bytes), (0, 100_000));
            });
        });
        assert_same_bytes(&common::contents(&received), &bytes);
        assert_same_bytes(&common::contents(&named_received), b"");
    }
}

// The portable path itself, watched: a call that is made after all gives EIO, which is no refusal.
#[test]
#[cfg(feature = "portable")]
fn nothing_that_only_linux_has_is_called() {
    use zc_core::{FileSystem, Residency};

    let calls = [
        libc::SYS_sendfile,
        libc::SYS_splice,
        libc::SYS_copy_file_range,
        libc::SYS_preadv2,
        libc::SYS_fstatfs,
        libc::SYS_pipe2,
        libc::SYS_ioctl,
    ];
    let bytes = patterned(1000, 104);
    let (file, received, copied) = (file_of(&bytes), file_of(b""), file_of(b""));
    let (sender, source) = unix_pair(None);
    let enosys = |error: std::io::Error| assert_eq!(errno_of(&error), Errno::ENOSYS);
    refusing(&calls, Errno::EIO, || {
        enosys(zc_core::sendfile(&file, &sender, 0, 1).unwrap_err().source);
        let refused = zc_core::copy_file_range(&file, &copied, 0, 0, 1);
        enosys(refused.unwrap_err().source);
        enosys(zc_core::send_queue_bytes(&sender).unwrap_err());
        enosys(FileSystem::from_fd(&file).unwrap_err());
        enosys(PipePool::default().take().unwrap_err());
        assert_eq!(Residency::probe(&file, 0..1), Residency::Unknown);
        for method in [SendMethod::Sendfile, SendMethod::Splice] {
            let mut named = Transfer::new(&file, 0, 1).with_method(method);
            enosys(named.advance(&sender, 1).unwrap_err().source);
        }

        // What may choose copies, and every byte is there.
        let progress = Transfer::new(&file, 0, 1000).advance(&sender, u64::MAX);
        assert_eq!(progress.unwrap(), Progress::Complete);
        let pool = PipePool::default();
        let mut named = Receive::new(&received, 0, 1000, &pool).with_method(ReceiveMethod::Splice);
        enosys(named.advance(&source, 1).unwrap_err().source);
        let progress = Receive::new(&received, 0, 1000, &pool).advance(&source, u64::MAX);
        assert_eq!(progress.unwrap(), Progress::Complete);
        let report = zc_core::copy_file(&received, &copied, 0, 0, 1000).unwrap();
        assert_eq!(report.fallback_errno, Some(Errno::ENOSYS as i32));
    });
    assert_same_bytes(&common::contents(&received), &bytes);
    assert_same_bytes(&common::contents(&copied), &bytes);
}
