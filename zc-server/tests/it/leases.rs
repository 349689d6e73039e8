//! Files on which another process holds a lease (`F_SETLEASE`, `fcntl(2)`), as Samba does for its clients.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::harness::clients::Home;
use crate::harness::{Server, pattern};

const FILES: usize = 20;

/// Takes a write lease, says so, says when it is asked to give it up, and does when it is told to.
const HOLDER: &str = "
import fcntl, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
signal.sigwait([signal.SIGIO])
print('asked', flush=True)
sys.stdin.readline()
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
";

struct Holder {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Holder {
    fn of(path: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", HOLDER])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut holder = Self {
            child,
            stdin,
            stdout,
        };
        holder.expect("held");
        holder
    }

    fn expect(&mut self, word: &str) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), word);
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn body(index: usize) -> Vec<u8> {
    pattern(1000, 70 + index as u64)
}

/// A server of some files that its cache holds if it may, and of one that nobody has asked for.
fn serve(options: &[&str]) -> Option<Server> {
    Home::for_clients(&["python3"])?;
    let first = body(0);
    let server = Server::start_over(&[("0", &first)], options);
    for index in 0..FILES {
        server.write(&index.to_string(), &body(index));
    }
    server.write("leased", &pattern(100_000, 69));
    server.wait_until_settled("/0");
    Some(server)
}

/// Asks for all files but the leased one twice.
fn ask_for_all(server: &Server) {
    for index in (0..FILES).chain(0..FILES) {
        let response = server.get(&format!("/{index}"));
        assert!(response.body == body(index), "{index}");
    }
}

/// How many of the files but the leased one the server has open.
fn open_files(server: &Server) -> usize {
    let links = server.descriptor_paths().into_iter();
    let targets = links.filter_map(|link| std::fs::read_link(link).ok());
    targets
        .filter(|target| target.starts_with(server.root.path()))
        .filter(|target| target.is_file() && !target.ends_with("leased"))
        .count()
}

#[test]
fn a_file_under_a_lease_is_sent_when_the_lease_is_given_up() {
    let Some(server) = serve(&[]) else { return };
    // Nobody else may have it open who takes a lease.
    let mut holder = Holder::of(&server.path("leased"));
    ask_for_all(&server);
    let open_before = open_files(&server);
    let mut client = server.connect();
    client.send(b"GET /leased HTTP/1.1\r\nHost: t\r\n\r\n");
    holder.expect("asked");
    // Who waits for the lease is no worker.
    ask_for_all(&server);
    holder.stdin.write_all(b"\n").expect("it waits for this");
    let response = client.response(false);
    assert_eq!(response.status, 200);
    assert!(response.body == pattern(100_000, 69));
    assert_eq!(open_files(&server), open_before);
}

#[test]
fn a_lease_that_is_not_given_up_is_504_and_empties_no_cache() {
    let Some(server) = serve(&["--disk-timeout", "1s", "--error-page=504=0"]) else {
        return;
    };
    let mut holder = Holder::of(&server.path("leased"));
    ask_for_all(&server);
    let open_before = open_files(&server);
    let response = server.get("/leased");
    assert_eq!(response.status, 504);
    assert_eq!(response.body, body(0), "its page");
    holder.expect("asked");
    assert_eq!(
        open_files(&server),
        open_before,
        "no file was closed for it"
    );
}
