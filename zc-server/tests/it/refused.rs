//! A kernel that refuses `sendfile`, as some sandboxes do.

use std::collections::BTreeMap;

use nix::errno::Errno;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use crate::harness::tls::says_not_by_tls;
use crate::harness::{Server, pattern};

/// A server to which `sendfile(2)` is refused: it inherits the filter of the thread that starts it.
pub(super) fn without_sendfile(files: &[(&str, &[u8])], options: &[&str]) -> Server {
    let filter = SeccompFilter::new(
        BTreeMap::from([(nix::libc::SYS_sendfile, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(Errno::EPERM as u32),
        TargetArch::try_from(std::env::consts::ARCH).expect("known to seccomp"),
    );
    let filter: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            seccompiler::apply_filter(&filter).expect("a sandbox");
            Server::start_over(files, options)
        });
        thread.join().expect("no panic")
    })
}

#[test]
fn a_refusal_is_remembered_and_not_asked_for_again() {
    if says_not_by_tls("nothing asks for sendfile") {
        return;
    }
    // Too long to be read behind its head or to be kept, and short enough for one read and one send.
    let bytes = pattern(48 * 1024, 7);
    let mut server = without_sendfile(&[("file", &bytes)], &[]);
    let mut calls = Vec::new();
    for _ in 0..3 {
        assert!(server.get("/file").body == bytes);
        let log = server.log();
        assert_eq!(log["send_path"], "copy", "{log}");
        let fallback = log["fallback"].as_str().expect("a reason");
        assert!(fallback.contains("refused"), "{log}");
        calls.push(log["calls"].as_u64().expect("a number"));
    }
    assert_eq!(calls, [calls[1] + 1, calls[1], calls[1]]);
}

#[test]
fn a_named_method_is_refused_each_time() {
    if says_not_by_tls("nothing asks for sendfile") {
        return;
    }
    let bytes = pattern(48 * 1024, 8);
    let options = ["--method", "sendfile"];
    let mut server = without_sendfile(&[("file", &bytes)], &options);
    for _ in 0..2 {
        let mut client = server.connect();
        client.send(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.try_response(false).is_err(), "it is cut");
        let log = server.log();
        assert_eq!(log["outcome"], "failed", "{log}");
    }
}
