//! Ending the sending direction without losing what was accepted.

use std::io;
use std::os::fd::AsFd;

use nix::libc;

use super::{CLOSE_NOTIFY, ContentType, KernelTlsSocket};
use crate::sys;

/// How often close_notify is sent at most. Once as a rule, and twice if records wait in the kernel's list: a third was
/// not seen in 2,600 connections with send buffers from 4.5 to 400 KiB, on Linux 6.1, 6.12 and 7.3. The rest leaves time
/// to a kernel that encrypts records on another thread.
const ALERTS_MAX: u32 = 256;

/// How far [`KernelTlsSocket::finish`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Records wait for room in the send buffer: call again when the socket is writable.
    WouldBlock,
    /// TCP has all records, close_notify included: the socket may be shut down and closed.
    Complete,
}

/// Where the end of the sending direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No close_notify was accepted yet.
    Open,
    /// So many were, and TCP may not have all records.
    Notified { alerts: u32 },
    /// TCP has them all.
    Over,
}

impl<S: AsFd> KernelTlsSocket<S> {
    /// Sends close_notify, and finds out whether TCP has all records. Send nothing after it.
    ///
    /// It never waits for a nonblocking socket. After [`Finish::WouldBlock`], call it again when the socket is
    /// writable. After [`Finish::Complete`], `shutdown(2)` loses nothing; a `close(2)` before the peer has closed
    /// may still [reset the connection][rfc] if bytes of the peer were not read, so linger as usual.
    ///
    /// # How it is found out
    ///
    /// While the send buffer is full, the kernel keeps sealed records in a list, and counts them as sent. It
    /// shows the list nowhere. A socket that is writable again does not mean that the list is empty: a thread of the
    /// kernel empties it a little later. But records are handed to TCP in order. So if the bytes that TCP was
    /// handed while close_notify was sent are just those of close_notify, then nothing was in the list, and
    /// nothing is. Otherwise another close_notify is sent when the socket is writable. Peers ignore
    /// [what follows the first][closure].
    ///
    /// # Errors
    ///
    /// As [`send_record`](Self::send_record); `ETIMEDOUT`, `ECONNRESET` or `EPIPE` when the peer is gone. `Other` when
    /// 256 close_notify were sent, and none of them alone: records may be lost. The state stays, and the socket can only
    /// be closed.
    ///
    /// [rfc]: https://www.rfc-editor.org/rfc/rfc9112#section-9.6
    /// [closure]: https://www.rfc-editor.org/rfc/rfc8446#section-6.1
    pub fn finish(&mut self) -> io::Result<Finish> {
        let alert =
            CLOSE_NOTIFY.len() as u64 + self.state.cipher.overhead_bytes(self.state.version);
        loop {
            let alerts = match self.state.finish {
                State::Over => return Ok(Finish::Complete),
                State::Open => 0,
                State::Notified { alerts } => alerts,
            };
            let before = bytes_handed_to_tcp(&self.socket)?;
            match self.send_record(ContentType::Alert, &CLOSE_NOTIFY) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Finish::WouldBlock);
                }
                Err(error) => return Err(error),
            }
            let handed = bytes_handed_to_tcp(&self.socket)?.wrapping_sub(before);
            if handed == alert {
                self.state.finish = State::Over;
                return Ok(Finish::Complete);
            }
            self.state.finish = State::Notified { alerts: alerts + 1 };
            if alerts + 1 >= ALERTS_MAX {
                return Err(io::Error::other(format!(
                    "TCP was handed {handed} bytes with the last of {ALERTS_MAX} close_notify, which takes {alert}"
                )));
            }
            // The thread of the kernel that empties the list has to run: here, where there is one core.
            std::thread::yield_now();
        }
    }
}

/// How many bytes TCP was handed on this connection, sent or not.
fn bytes_handed_to_tcp(socket: impl AsFd) -> io::Result<u64> {
    // `struct tcp_info` of linux/tcp.h, of which the C libraries have only the beginning. Offsets in bytes.
    const NOTSENT_BYTES: usize = 144;
    const BYTES_SENT: usize = 200;
    const BYTES_RETRANS: usize = 208;
    const END: usize = 216;
    let mut info = [0; END];
    let length = sys::socket_option(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut info)?;
    if length < END {
        // Before Linux 4.19.
        return Err(io::ErrorKind::Unsupported.into());
    }
    let number = |offset: usize| {
        let bytes = info[offset..].first_chunk().copied();
        bytes.map_or(0, u64::from_ne_bytes)
    };
    let waiting = info[NOTSENT_BYTES..].first_chunk().copied();
    let waiting = waiting.map_or(0, u32::from_ne_bytes);
    Ok(number(BYTES_SENT)
        .wrapping_sub(number(BYTES_RETRANS))
        .wrapping_add(waiting.into()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn tcp_counts_what_it_was_handed_whether_it_was_sent_or_not() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("us");
        let (mut socket, _) = listener.accept().expect("us");
        socket.set_nonblocking(true).expect("a socket");
        let begun = bytes_handed_to_tcp(&socket).expect("TCP");
        let mut sent = 0;
        while let Ok(count) = socket.write(&[7; 65536]) {
            sent += count;
            assert_eq!(
                bytes_handed_to_tcp(&socket).expect("TCP") - begun,
                sent as u64
            );
        }
        peer.read_exact(&mut vec![0; sent]).expect("all of it");
        assert_eq!(
            bytes_handed_to_tcp(&socket).expect("TCP") - begun,
            sent as u64
        );
    }
}
