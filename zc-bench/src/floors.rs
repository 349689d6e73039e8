//! The least that a server can cost: loops that do one thing and know nothing of HTTP but where a
//! request ends. What they take is the kernel's price of a response; what a real server takes on top
//! of it is the server's own.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::SockRef;

/// The buffer of the copying loop, in bytes.
const COPY_BYTES: usize = 64 * 1024;
/// The key of the listener; connections have their descriptors.
const LISTENER: u64 = u64::MAX;

/// How a floor answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// One `send` of a head and a body that were put together before.
    Send,
    /// `send` of the head with `MSG_MORE`, then `sendfile` of the exact count.
    MoreSendfile,
    /// The same without `MSG_MORE`, on a socket that has `TCP_CORK` from before the head until after
    /// the last byte of the body. `MSG_MORE` holds bytes back within one call only. Between two calls
    /// an acknowledgement has the kernel send what is left over as a segment that is not full; a
    /// corked socket sends full ones alone ([tcp(7)](https://man7.org/linux/man-pages/man7/tcp.7.html)).
    CorkSendfile,
    /// `send` of the head, then `pread` and `write` of 64 KiB at a time.
    PreadWrite,
}

/// A floor that holds its listener.
#[derive(Debug)]
pub struct Server {
    floor: Floor,
    listener: TcpListener,
    bodies: Vec<Body>,
}

#[derive(Debug)]
struct Body {
    head: Vec<u8>,
    /// Head and body, for [`Floor::Send`].
    whole: Vec<u8>,
    file: File,
    length: u64,
}

/// A connection, and what is left of its response.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    body: usize,
    /// Bytes of the head sent; of the head and the body together for [`Floor::Send`].
    head_sent: usize,
    offset: u64,
    sending: bool,
    close: bool,
}

impl Server {
    /// A floor that serves `files`. Which one is asked for it knows by the last number in the path,
    /// counted from 0: `/4k/17.bin` is the file 17.
    ///
    /// # Errors
    ///
    /// What binding, and reading the files, may report.
    pub fn bind(floor: Floor, address: SocketAddr, files: &[PathBuf]) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        let bodies = files.iter().map(|path| Body::open(path, floor));
        Ok(Self {
            floor,
            listener,
            bodies: bodies.collect::<io::Result<_>>()?,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` reports.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for ever.
    ///
    /// # Errors
    ///
    /// What epoll reports.
    pub fn run(self) -> io::Result<()> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(
            &self.listener,
            EpollEvent::new(EpollFlags::EPOLLIN, LISTENER),
        )?;
        let mut connections: Vec<Option<Connection>> = Vec::new();
        let mut events = vec![EpollEvent::empty(); 1024];
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                answer => answer?,
            };
            for event in &events[..count] {
                if event.data() == LISTENER {
                    self.accept(&epoll, &mut connections)?;
                    continue;
                }
                let slot = &mut connections[event.data() as usize];
                let Some(connection) = slot else { continue };
                if !self.serve(connection, &mut buffer) {
                    *slot = None;
                }
            }
        }
    }

    fn accept(&self, epoll: &Epoll, connections: &mut Vec<Option<Connection>>) -> io::Result<()> {
        loop {
            let (stream, _) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => continue,
            };
            stream.set_nonblocking(true)?;
            let key = stream.as_raw_fd() as usize;
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
            epoll.add(&stream, EpollEvent::new(flags, key as u64))?;
            if connections.len() <= key {
                connections.resize_with(key + 1, || None);
            }
            connections[key] = Some(Connection::new(stream));
        }
    }

    /// Answers false when the connection is over.
    fn serve(&self, connection: &mut Connection, buffer: &mut [u8]) -> bool {
        loop {
            if !connection.sending {
                let fd = connection.stream.as_raw_fd();
                let count = match recv(fd, buffer, MsgFlags::empty()) {
                    Ok(0) => return false,
                    Ok(count) => count,
                    Err(Errno::EAGAIN) => return true,
                    Err(_) => return false,
                };
                // Clients that measure send a request whole.
                let request = &buffer[..count];
                if !request.ends_with(b"\r\n\r\n") {
                    return false;
                }
                connection.body = number_in(request) % self.bodies.len();
                connection.close = memchr::memmem::find(request, b"onnection: close").is_some();
                (connection.head_sent, connection.offset) = (0, 0);
                connection.sending = true;
            }
            match self.send(connection) {
                Ok(()) if connection.close => return false,
                Ok(()) => connection.sending = false,
                Err(Errno::EAGAIN) => return true,
                Err(_) => return false,
            }
            // A request that came whole leaves nothing behind it: no read to be told so.
            if !connection.sending {
                return true;
            }
        }
    }

    fn send(&self, connection: &mut Connection) -> nix::Result<()> {
        let body = &self.bodies[connection.body];
        let fd = connection.stream.as_raw_fd();
        let (bytes, flags) = match self.floor {
            Floor::Send => (&body.whole, MsgFlags::MSG_NOSIGNAL),
            Floor::CorkSendfile => (&body.head, MsgFlags::MSG_NOSIGNAL),
            Floor::MoreSendfile | Floor::PreadWrite => (
                &body.head,
                MsgFlags::MSG_NOSIGNAL | MsgFlags::from_bits_retain(libc::MSG_MORE),
            ),
        };
        let is_corked = self.floor == Floor::CorkSendfile;
        if is_corked && connection.head_sent == 0 {
            connection.cork(true)?;
        }
        while connection.head_sent < bytes.len() {
            connection.head_sent += send(fd, &bytes[connection.head_sent..], flags)?;
        }
        match self.floor {
            Floor::Send => Ok(()),
            Floor::MoreSendfile | Floor::CorkSendfile => {
                while connection.offset < body.length {
                    let mut offset = connection.offset.cast_signed();
                    let left = (body.length - connection.offset) as usize;
                    let sent = sendfile64(&connection.stream, &body.file, Some(&mut offset), left)?;
                    connection.offset += sent as u64;
                }
                if is_corked {
                    connection.cork(false)?;
                }
                Ok(())
            }
            Floor::PreadWrite => {
                let mut buffer = [0; COPY_BYTES];
                while connection.offset < body.length {
                    let count = body
                        .file
                        .read_at(&mut buffer, connection.offset)
                        .map_err(|_| Errno::EIO)?;
                    // What does not fit is read again: a loop without state.
                    let sent = nix::unistd::write(connection.stream.as_fd(), &buffer[..count])?;
                    connection.offset += sent as u64;
                }
                Ok(())
            }
        }
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            body: 0,
            head_sent: 0,
            offset: 0,
            sending: false,
            close: false,
        }
    }

    fn cork(&self, is_corked: bool) -> nix::Result<()> {
        let set = SockRef::from(&self.stream).set_tcp_cork(is_corked);
        set.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    }
}

impl Body {
    fn open(path: &PathBuf, floor: Floor) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        // The fields that a server of files has to send, so that packets are as long as its own.
        let head = format!(
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: zc\r\n\
             Content-Type: application/octet-stream\r\nETag: \"18cf1b6f2f3c4d5e-400\"\r\n\
             Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nVary: Accept-Encoding\r\n\
             Accept-Ranges: bytes\r\nContent-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        let mut whole = Vec::new();
        if floor == Floor::Send {
            whole.extend_from_slice(&head);
            whole.extend_from_slice(&std::fs::read(path)?);
        }
        Ok(Self {
            head,
            whole,
            file,
            length,
        })
    }
}

/// The last number in the path of a request; 0 where there is none.
fn number_in(request: &[u8]) -> usize {
    let path = request
        .split(|&byte| byte == b' ')
        .nth(1)
        .unwrap_or_default();
    let end = path
        .iter()
        .rposition(u8::is_ascii_digit)
        .map_or(0, |at| at + 1);
    let start = path[..end]
        .iter()
        .rposition(|byte| !byte.is_ascii_digit())
        .map_or(0, |at| at + 1);
    path[start..end]
        .iter()
        .fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Load, Target};
    use std::io::Read;
    use std::time::Duration;

    #[test]
    fn the_last_number_in_the_path_counts() {
        for (request, expected) in [
            ("GET /4k/00017.bin HTTP/1.1\r\n", 17),
            ("GET /1k.bin HTTP/1.1\r\n", 1),
            ("GET / HTTP/1.1\r\n", 0),
            ("GET /f9 HTTP/1.1\r\n", 9),
        ] {
            assert_eq!(number_in(request.as_bytes()), expected, "{request}");
        }
    }

    #[test]
    fn files_are_not_read_for_fewer_responses_than_are_looked_at() {
        let served = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(served.path(), "content").expect("a file");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let files = [served.path().to_owned()];
        let server = Server::bind(Floor::Send, address, &files).expect("a port");
        let address = server.address().expect("bound");
        std::thread::spawn(move || server.run());
        let load = Load {
            address,
            targets: vec![Target {
                path: "/0.bin".to_owned(),
                // Reading it would be an error.
                file: Some("/nowhere/0.bin".into()),
            }],
            connections: 8,
            keep_alive: true,
            tls: None,
            rate: None,
            warm_up: Duration::ZERO,
            duration: Duration::from_millis(50),
            responses_min: 0,
            duration_max: Duration::ZERO,
            verify_every: u64::MAX,
        };
        let outcome = load.run().expect("no file is read");
        assert_eq!((outcome.verified, outcome.errors), (0, 0));
    }

    /// Sends one response of 4 MiB to a client that reads when it is told to; answers whether the
    /// socket was corked each time that it was full, and at the end.
    fn corked_when_full_and_at_the_end(floor: Floor) -> (Vec<bool>, bool) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let length: u64 = 4 << 20;
        file.as_file().set_len(length).expect("a file");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(floor, address, &[file.path().to_owned()]).expect("a port");
        let mut client =
            TcpStream::connect(server.address().expect("bound")).expect("the floor listens");
        server.listener.set_nonblocking(false).expect("a listener");
        let (stream, _) = server.listener.accept().expect("the client");
        stream.set_nonblocking(true).expect("a socket");
        let is_corked = |connection: &Connection| {
            let corked = SockRef::from(&connection.stream).tcp_cork();
            corked.expect("an option of TCP")
        };
        let mut connection = Connection::new(stream);
        let mut when_full = Vec::new();
        let mut received = 0;
        loop {
            match server.send(&mut connection) {
                Ok(()) => break,
                Err(Errno::EAGAIN) => when_full.push(is_corked(&connection)),
                Err(errno) => panic!("{errno}"),
            }
            received += client.read(&mut vec![0; 1 << 20]).expect("bytes");
        }
        let at_the_end = is_corked(&connection);
        drop(connection);
        received += client.read_to_end(&mut Vec::new()).expect("the rest");
        let head_bytes = server.bodies[0].head.len() as u64;
        assert_eq!(received as u64, head_bytes + length);
        (when_full, at_the_end)
    }

    #[test]
    fn the_corked_floor_is_corked_until_the_last_byte_and_no_longer() {
        let (when_full, at_the_end) = corked_when_full_and_at_the_end(Floor::CorkSendfile);
        assert!(!when_full.is_empty(), "the socket was never full");
        assert!(when_full.iter().all(|is_corked| *is_corked));
        assert!(!at_the_end);
        let (when_full, at_the_end) = corked_when_full_and_at_the_end(Floor::MoreSendfile);
        assert!(!when_full.iter().any(|is_corked| *is_corked) && !at_the_end);
    }

    #[test]
    fn every_floor_sends_the_bytes_of_its_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let lengths = [1, 1024, 300_000];
        let files: Vec<_> = (0..lengths.len())
            .map(|index| {
                let path = directory.path().join(format!("{index}.bin"));
                let bytes = crate::slow_fs::pattern(index as u64, 0, lengths[index]);
                std::fs::write(&path, bytes).expect("a file");
                path
            })
            .collect();
        for floor in [
            Floor::Send,
            Floor::MoreSendfile,
            Floor::CorkSendfile,
            Floor::PreadWrite,
        ] {
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            let server = Server::bind(floor, address, &files).expect("a port");
            let address = server.address().expect("bound");
            std::thread::spawn(move || server.run());
            for keep_alive in [true, false] {
                let load = Load {
                    address,
                    targets: (0..files.len())
                        .map(|index| Target {
                            path: format!("/{index}.bin"),
                            file: Some(files[index].clone()),
                        })
                        .collect(),
                    connections: 4,
                    keep_alive,
                    tls: None,
                    rate: None,
                    warm_up: Duration::ZERO,
                    duration: Duration::ZERO,
                    // Each file some times, whatever time that takes.
                    responses_min: 60,
                    duration_max: Duration::from_secs(60),
                    verify_every: 1,
                };
                let outcome = load.run().expect("every body is its file");
                assert!(outcome.verified >= 60, "{floor:?}: {outcome:?}");
                assert_eq!(outcome.verified, outcome.responses);
                assert_eq!((outcome.errors, outcome.other_status), (0, 0), "{floor:?}");
            }
        }
    }
}
