//! Connections with the segments of an Ethernet, and what the kernel holds back of them.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::{Client, Response, Server, wait_until};

/// The payload of a segment, in bytes; the loopback has segments of 64 KiB.
const SEGMENT_BYTES: u32 = 1460;

/// A client that gets segments of an Ethernet, and takes them when it is told to.
pub(crate) struct Inbox {
    client: Client,
    server: SocketAddr,
}

impl Inbox {
    pub(crate) fn connect(server: &Server) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_tcp_mss(SEGMENT_BYTES).expect("TCP_MAXSEG");
        let address = server.address.into();
        socket.connect(&address).expect("the server accepts");
        let client = server.client(TcpStream::from(socket));
        client.shake_hands();
        client.stream.set_nonblocking(true).expect("a socket");
        Self {
            client,
            server: server.address,
        }
    }

    /// A few bytes, which any socket takes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.client.send(bytes);
    }

    /// What came and is not taken apart into responses.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.client.buffer
    }

    /// The next response, all of which has come.
    pub(crate) fn response(&mut self) -> Response {
        self.client.response(false)
    }

    /// Takes what is there.
    pub(crate) fn drain(&mut self) {
        loop {
            match self.client.more() {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until all that the server has sent is here; it must not be sending any more. Fails when the
    /// end of it is held back, be it for no longer than the kernel does by itself.
    #[track_caller]
    pub(crate) fn expect_all_that_was_sent(&mut self) {
        wait_until("all that was sent", || {
            self.drain();
            let (queued_bytes, is_on_its_way) = self.send_queue();
            let is_end = (1..u64::from(SEGMENT_BYTES)).contains(&queued_bytes);
            assert!(
                is_on_its_way || !is_end,
                "{queued_bytes} bytes are held back"
            );
            queued_bytes == 0
        });
        self.drain();
    }

    /// What the server has sent and not had acknowledged, in bytes, and whether any of it is on its way,
    /// from `/proc/net/tcp`. When nothing is, the kernel has set a timer, the fourth of its kinds, after
    /// which it sends something nevertheless.
    fn send_queue(&self) -> (u64, bool) {
        let client = self.client.stream.local_addr().expect("connected");
        let table = std::fs::read_to_string("/proc/self/net/tcp").expect("the table");
        let (server, client) = (self.server.port(), client.port());
        let ends = format!(":{server:04X} 0100007F:{client:04X} 01 ");
        let line = table.lines().find(|line| line.contains(&ends));
        let words: Vec<_> = line.expect("the connection").split_whitespace().collect();
        let first = |pair: &str| {
            let (first, _) = pair.split_once(':').expect("two numbers");
            u64::from_str_radix(first, 16).expect("a number")
        };
        (first(words[4]), first(words[5]) != 4)
    }
}
