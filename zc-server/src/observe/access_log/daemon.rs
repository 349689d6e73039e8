//! Daemons that take one line in each datagram: syslog and journald. None of them is waited for longer than a
//! moment, and one that is away is looked for again with each batch.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use jiff::Zoned;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What both know the server by.
const IDENTIFIER: &str = "zc-server";
/// The facility local0 and the severity info, as `facility * 8 + severity`.
const SYSLOG_PRIORITY: u8 = 16 * 8 + 6;
/// The severity info.
const JOURNALD_PRIORITY: u8 = 6;
/// The longest value that is written to journald as text: its own `LINE_MAX`.
const TEXT_VALUE_BYTES_MAX: usize = 2048;
/// How long a daemon that has no room is waited for. After that lines are dropped until it has.
const WAIT_MAX_MS: u16 = 1000;

/// What a daemon expects in a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The form of `syslog(3)`.
    Syslog,
    /// The native protocol of journald.
    Journald,
}

/// A daemon at a socket.
#[derive(Debug)]
pub(super) struct Daemon {
    path: PathBuf,
    protocol: Protocol,
    /// `None` while it is away.
    socket: Option<UnixDatagram>,
    /// It had no room for [`WAIT_MAX_MS`], and has taken nothing since.
    is_stuck: bool,
    datagram: Vec<u8>,
}

/// Lines of a batch that a daemon has not taken, and why.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) lines: u64,
    pub(super) error: io::Error,
}

impl Daemon {
    pub(super) fn new(path: PathBuf, protocol: Protocol) -> Self {
        Self {
            path,
            protocol,
            socket: None,
            is_stuck: false,
            datagram: Vec::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Sends each line of a batch.
    pub(super) fn send(&mut self, batch: &[u8]) -> Result<(), Refused> {
        let mut refused: Option<Refused> = None;
        let mut may_connect = true;
        // As in syslog(3), the time is that of sending.
        let time = Zoned::now().strftime("%b %e %H:%M:%S").to_string();
        for line in batch.split_inclusive(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.datagram.clear();
            match self.protocol {
                Protocol::Syslog => syslog(&mut self.datagram, &time, process::id(), line),
                Protocol::Journald => journald(&mut self.datagram, line),
            }
            if let Err(error) = self.send_line(&mut may_connect) {
                // The first one has the reason.
                let refused = refused.get_or_insert(Refused { lines: 0, error });
                refused.lines += 1;
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Sends the datagram. A daemon that is away, or was started again, is looked for once in a batch.
    fn send_line(&mut self, may_connect: &mut bool) -> io::Result<()> {
        loop {
            let socket = match &self.socket {
                Some(socket) => socket,
                None if !*may_connect => return Err(io::ErrorKind::NotConnected.into()),
                None => {
                    *may_connect = false;
                    self.socket.insert(connect(&self.path)?)
                }
            };
            match send_waiting(socket, &self.datagram, self.is_stuck) {
                Ok(()) => {
                    self.is_stuck = false;
                    return Ok(());
                }
                Err(error) if is_away(&error) => {
                    self.socket = None;
                    self.is_stuck = false;
                    if !*may_connect {
                        return Err(error);
                    }
                }
                Err(error) => {
                    self.is_stuck |= error.kind() == io::ErrorKind::TimedOut;
                    return Err(error);
                }
            }
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

/// Whether the socket leads to nobody any more.
fn is_away(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotConnected};
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | NotConnected
    )
}

/// Sends a datagram, and waits for room unless the daemon `is_stuck`.
fn send_waiting(socket: &UnixDatagram, datagram: &[u8], is_stuck: bool) -> io::Result<()> {
    let began = Instant::now();
    loop {
        match socket.send(datagram) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let waited_ms = u16::try_from(began.elapsed().as_millis()).unwrap_or(u16::MAX);
                let left_ms = WAIT_MAX_MS.saturating_sub(waited_ms);
                if is_stuck || left_ms == 0 {
                    let reason = "it takes no more lines";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
                }
                // What came of it shows when the datagram is sent again.
                let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut fds, PollTimeout::from(left_ms));
            }
            Err(error) => return Err(error),
        }
    }
}

/// The form of `syslog(3)`: `<134>Mon dd hh:mm:ss zc-server[pid]: line`.
fn syslog(datagram: &mut Vec<u8>, time: &str, pid: u32, line: &[u8]) {
    put(
        datagram,
        &format!("<{SYSLOG_PRIORITY}>{time} {IDENTIFIER}[{pid}]: "),
    );
    datagram.extend_from_slice(line);
}

/// Fields of journald. The line is in `MESSAGE`.
fn journald(datagram: &mut Vec<u8>, line: &[u8]) {
    field(datagram, "MESSAGE", line);
    field(
        datagram,
        "PRIORITY",
        JOURNALD_PRIORITY.to_string().as_bytes(),
    );
    field(datagram, "SYSLOG_IDENTIFIER", IDENTIFIER.as_bytes());
}

/// `NAME=value`; or, for a value that is long or has a line feed, the name, its length and the value.
fn field(datagram: &mut Vec<u8>, name: &str, value: &[u8]) {
    put(datagram, name);
    if value.len() > TEXT_VALUE_BYTES_MAX || value.contains(&b'\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value);
    datagram.push(b'\n');
}

fn put(datagram: &mut Vec<u8>, text: &str) {
    datagram.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_syslog_begins_as_that_of_the_c_library() {
        let mut datagram = Vec::new();
        syslog(&mut datagram, "Nov  8 09:05:01", 42, b"a line");
        assert_eq!(datagram, b"<134>Nov  8 09:05:01 zc-server[42]: a line");
        let time = jiff::civil::date(2026, 11, 8).at(9, 5, 1, 0);
        let time = time.strftime("%b %e %H:%M:%S").to_string();
        assert_eq!(time, "Nov  8 09:05:01");
    }

    #[test]
    fn values_for_journald_that_are_long_or_have_a_line_feed_have_a_length() {
        let rest = "PRIORITY=6\nSYSLOG_IDENTIFIER=zc-server\n";
        let mut datagram = Vec::new();
        journald(&mut datagram, b"a line");
        assert_eq!(datagram, format!("MESSAGE=a line\n{rest}").as_bytes());
        let long = vec![b'x'; TEXT_VALUE_BYTES_MAX + 1];
        for value in [&b"two\nlines"[..], &long] {
            let mut datagram = Vec::new();
            journald(&mut datagram, value);
            let length = (value.len() as u64).to_le_bytes();
            let expected = [b"MESSAGE\n", &length[..], value, b"\n", rest.as_bytes()].concat();
            assert_eq!(datagram, expected);
        }
    }
}
