//! Reading what a program says: one that says nothing fails the test that waits for its words.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::HANG;

/// Waits until something can be read, or the end has come.
pub(crate) fn wait_until_readable(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let mut fds = [PollFd::new(pipe, PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(HANG).expect("some minutes");
    match poll(&mut fds, timeout)? {
        0 => Err(ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// A pipe whose reads fail where nothing comes for as long as a test may hang.
pub(crate) struct Bounded<P>(pub(crate) P);

impl<P: Read + AsFd> Read for Bounded<P> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        wait_until_readable(self.0.as_fd())?;
        self.0.read(bytes)
    }
}

/// Runs a program to its end; answers its exit code and what it said on standard error. A server that starts where it
/// must not is ended, and fails the test.
pub(crate) fn run_to_end(command: &mut Command) -> (Option<i32>, String) {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut said = String::new();
    let end = Bounded(child.stderr.take().expect("piped")).read_to_string(&mut said);
    if let Err(error) = end {
        let _ = child.kill();
        let _ = child.wait();
        panic!("it did not end ({error}): {said}");
    }
    (child.wait().expect("our own child").code(), said)
}
