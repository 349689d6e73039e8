//! A thread that does something from time to time.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    _end: Sender<()>,
}

impl Watch {
    /// Calls `look` after each `interval`.
    pub(super) fn start(interval: Duration, look: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (end, ended) = mpsc::channel();
        thread::Builder::new()
            .name("zc-certificates".to_owned())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(interval) {
                    look();
                }
            })?;
        Ok(Self { _end: end })
    }
}
