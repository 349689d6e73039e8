//! Standard output and standard error lead to one pipe that nobody reads: the server ends all the same.

use std::io::{BufRead, BufReader, PipeReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Client, binary, temp_root, wait_until};

/// Writes to the other end until not a byte more goes in.
fn fill(reader: &PipeReader) {
    // Opened once more: the server's descriptors stay as they are, and writing there waits.
    let mut writer = std::fs::File::options()
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(format!("/proc/self/fd/{}", reader.as_raw_fd()))
        .expect("the same pipe");
    for bytes in [&[b'x'; 4096][..], b"x"] {
        while writer.write(bytes).is_ok() {}
    }
}

struct Unread {
    child: Child,
    client: Client,
    /// Kept, so that writing waits and does not fail.
    _reader: BufReader<PipeReader>,
    _root: tempfile::TempDir,
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Unread {
    /// A server whose pipe is full.
    fn start(grace: &str) -> Self {
        let root = temp_root();
        let file = std::fs::File::create(root.path().join("large")).expect("a file");
        file.set_len(1 << 30).expect("a sparse file");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = binary();
        command.args(["--bind", "127.0.0.1:0", "--access-log", "json"]);
        command.args(["--grace-period", grace]).arg(root.path());
        command.stdin(Stdio::null());
        command.stdout(writer.try_clone().expect("a descriptor"));
        command.stderr(writer);
        let child = command.spawn().expect("the server starts");
        // It holds the other end as long as it lives, and would keep the reader waiting.
        drop(command);
        let mut reader = BufReader::new(reader);
        let mut line = String::new();
        while !line.contains("Ctrl-C") {
            assert!(reader.read_line(&mut line).expect("a pipe") > 0);
        }
        let (_, address) = line.split_once("http://").expect("an address");
        let address = address.split('/').next().expect("a piece");
        fill(reader.get_ref());
        let mut client = Client::plain(std::net::TcpStream::connect(address).expect("it listens"));
        assert_eq!(client.get("/none").status, 404);
        Self {
            child,
            client,
            _reader: reader,
            _root: root,
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("our own child");
    }

    fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the server ends", || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        let status = status.expect("it has ended");
        assert_eq!(status.signal(), None);
        status.code()
    }
}

#[test]
fn a_server_whose_output_nobody_reads_ends_at_a_signal() {
    let mut server = Unread::start("30s");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn its_other_signals_do_not_keep_it_either() {
    let mut server = Unread::start("30s");
    // Each has a line, for which there is no room.
    server.signal(Signal::SIGHUP);
    server.signal(Signal::SIGUSR1);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn what_it_cuts_shows_in_its_exit_code() {
    let mut server = Unread::start("200ms");
    server
        .client
        .send(b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
    let begun = server.client.stream.peek(&mut [0]);
    assert_eq!(begun.expect("the response begins"), 1);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), Some(3));
}
