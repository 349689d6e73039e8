//! A head for a peer that is gone raises no signal. Alone in this file, since signals belong to
//! the whole process.

mod common;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::unix_pair;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use zc_core::{Follows, send_head};

#[test]
fn a_head_for_a_peer_that_is_gone_raises_no_sigpipe() {
    let raised = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(Signal::SIGPIPE as i32, Arc::clone(&raised)).unwrap();
    let (sender, reader) = unix_pair(None);
    drop(reader);

    for follows in [Follows::Body, Follows::Nothing] {
        let error = send_head(&sender, b"head", follows).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
    assert!(!raised.load(Ordering::SeqCst));

    // A plain write does raise it, at once and in the thread that wrote: the flag works.
    assert_eq!(nix::unistd::write(&sender, b"head"), Err(Errno::EPIPE));
    assert!(raised.load(Ordering::SeqCst));
}
