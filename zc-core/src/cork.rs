//! `TCP_CORK` around long bodies: full segments while the body is sent, and no delay at its end.

use std::io;
use std::os::fd::AsFd;

/// The shortest body around which [`HeadThenFile`](crate::HeadThenFile) sets `TCP_CORK`, in bytes.
///
/// `sendfile(2)` passes 64 KiB at a time to the socket, which is not a whole number of segments. Within
/// one call `MSG_MORE` holds the partial segment back. Between two calls an acknowledgement makes the
/// kernel send it as a packet of its own; a corked socket holds it back there too. Cost of 1 GB over
/// loopback, with segments of 1448 bytes that the kernel joins to packets of up to 64 KiB, on Linux 6.18:
///
/// | body | s of CPU with cork | without | packets with cork | without |
/// | --- | --- | --- | --- | --- |
/// | 300 MB | 0.129 | 0.144 | 27,300 | 32,800 |
/// | 1 MiB | 0.135 | 0.144 | | |
/// | 100 KiB | 0.229 | 0.173 | | |
///
/// The break-even is between 512 and 768 KiB: responses of 512 KiB cost 1.5 to 4 % more CPU with a cork,
/// those of 768 KiB 1 to 3 % less.
pub const CORK_BYTES_MIN: u64 = 768 << 10;

/// Whether the socket is corked: holds back a segment that is not full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cork {
    /// It is not, and is not to be.
    Unwanted,
    /// It is not yet; it is to be from the next byte on.
    Wanted,
    /// It is.
    Set,
}

impl Cork {
    /// For a body of `length` bytes, to be corked from `min` bytes on.
    pub(crate) fn for_body(length: u64, min: u64) -> Self {
        if length < min {
            Self::Unwanted
        } else {
            Self::Wanted
        }
    }

    /// To be called before bytes are sent. A sink that is not a TCP socket refuses, and is not asked again.
    /// Other faults of the sink are left for the send to report.
    pub(crate) fn set(&mut self, sink: impl AsFd) {
        if *self == Self::Wanted {
            *self = match crate::platform::set_cork(sink, true) {
                Ok(()) => Self::Set,
                Err(_) => Self::Unwanted,
            };
        }
    }

    /// To be called when no bytes are sent for now: the held-back segment leaves.
    pub(crate) fn pause(&mut self, sink: impl AsFd) -> io::Result<()> {
        self.clear(sink, Self::Wanted)
    }

    /// To be called when no more bytes are sent: the held-back segment leaves.
    pub(crate) fn end(&mut self, sink: impl AsFd) -> io::Result<()> {
        self.clear(sink, Self::Unwanted)
    }

    fn clear(&mut self, sink: impl AsFd, then: Self) -> io::Result<()> {
        if *self == Self::Set {
            crate::platform::set_cork(sink, false)?;
            *self = then;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn from_the_least_length_on_a_body_is_long() {
        for (length, min, expected) in [
            (0, 1, Cork::Unwanted),
            (1, 1, Cork::Wanted),
            (99, 100, Cork::Unwanted),
            (100, 100, Cork::Wanted),
            (1 << 40, u64::MAX, Cork::Unwanted),
        ] {
            assert_eq!(Cork::for_body(length, min), expected, "{length} of {min}");
        }
    }

    #[test]
    fn what_is_no_tcp_socket_is_asked_once() {
        let (unix, _peer) = UnixStream::pair().expect("a pair");
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        let (_reader, pipe) = io::pipe().expect("a pipe");
        let file = tempfile::tempfile().expect("a file");
        for sink in [unix.as_fd(), udp.as_fd(), pipe.as_fd(), file.as_fd()] {
            let mut cork = Cork::Wanted;
            cork.set(sink);
            assert_eq!(cork, Cork::Unwanted);
            cork.pause(sink).expect("nothing to do");
            cork.end(sink).expect("nothing to do");
            assert_eq!(cork, Cork::Unwanted);
        }
    }

    #[test]
    #[cfg(all(target_os = "linux", not(feature = "portable")))]
    fn after_a_pause_it_is_set_again_and_after_the_end_it_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let socket = std::net::TcpStream::connect(address).expect("us");
        let is_set = || socket2::SockRef::from(&socket).tcp_cork().expect("TCP");
        let mut cork = Cork::Wanted;
        cork.set(&socket);
        assert!(is_set());
        cork.pause(&socket).expect("TCP");
        assert!(!is_set());
        cork.set(&socket);
        assert!(is_set());
        cork.end(&socket).expect("TCP");
        assert!(!is_set());
        cork.set(&socket);
        assert!(!is_set());
    }
}
