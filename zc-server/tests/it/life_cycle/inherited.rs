//! Sockets that another process has opened: `LISTEN_FDS`, and servers that take over from each other by them.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::{Load, Node, Speak, by_http, by_https};
use crate::harness::bounded::run_to_end;
use crate::harness::clients::Home;
use crate::harness::reserved::Reserved;
use crate::harness::tls::CertificateFiles;
use crate::harness::{Client, binary, temp_root, wait_until};

/// Becomes the server, to which its standard input is the socket number 3.
const SCRIPT: &str = r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@""#;
/// How often a server is replaced.
const TIMES: usize = 10;
const CLIENTS: usize = 8;

/// The server with `socket` inherited under this name.
fn inheriting(socket: impl Into<OwnedFd>, name: &str, root: &Path) -> Command {
    let binary = binary();
    let mut command = Command::new("sh");
    for (variable, value) in binary.get_envs() {
        match value {
            Some(value) => command.env(variable, value),
            None => command.env_remove(variable),
        };
    }
    command.args(["-c", SCRIPT]).arg(binary.get_program());
    command.stdin(Stdio::from(socket.into()));
    command.env("LISTEN_FDNAMES", name);
    command
        .args(["--bind", "127.0.0.1:0", "--threads", "3"])
        .arg(root);
    command
}

/// A socket that outlives the servers, and what they serve.
struct Shared {
    socket: TcpListener,
    address: SocketAddr,
    root: TempDir,
    certificate: CertificateFiles,
    name: &'static str,
    speak: Speak,
}

impl Shared {
    fn new(name: &'static str) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let root = temp_root();
        std::fs::write(root.path().join("f"), b"found").expect("a file");
        Self {
            address: socket.local_addr().expect("bound"),
            socket,
            root,
            certificate: CertificateFiles::write(),
            name,
            speak: if name == "https" { by_https } else { by_http },
        }
    }

    fn start(&self) -> Node {
        let socket = self.socket.try_clone().expect("a descriptor");
        let mut command = inheriting(socket, self.name, self.root.path());
        if self.name == "https" {
            command.args(self.certificate.options());
        }
        Node::start(&mut command)
    }

    fn load(&self) -> Load {
        Load::start(self.address, CLIENTS, self.speak)
    }
}

#[test]
fn ten_restarts_under_load_refuse_nobody() {
    for name in ["http", "https"] {
        let shared = Shared::new(name);
        let mut node = shared.start();
        let load = shared.load();
        for _ in 0..TIMES {
            load.wait_for(50);
            node.stop();
            node = shared.start();
        }
        load.wait_for(50);
        let (answered, failed) = load.finish();
        println!("{name}: {answered} answered");
        assert_eq!(failed, Vec::<String>::new(), "{name}");
        node.stop();
    }
}

#[test]
fn ten_overlapping_take_overs_under_load_refuse_nobody() {
    for name in ["http", "https"] {
        let shared = Shared::new(name);
        let mut node = shared.start();
        let load = shared.load();
        for _ in 0..TIMES {
            load.wait_for(50);
            let next = shared.start();
            std::mem::replace(&mut node, next).stop();
        }
        load.wait_for(50);
        let (answered, failed) = load.finish();
        println!("{name}: {answered} answered");
        assert_eq!(failed, Vec::<String>::new(), "{name}");
        node.stop();
    }
}

#[test]
fn what_waits_in_the_queue_is_for_the_next_server() {
    let shared = Shared::new("http");
    let node = shared.start();
    node.signal(Signal::SIGSTOP);
    let stat = format!("/proc/{}/stat", node.child.id());
    wait_until("it is stopped", || {
        std::fs::read_to_string(&stat)
            .expect("our child")
            .contains(") T ")
    });
    let connect = |_| {
        let stream = std::net::TcpStream::connect(shared.address).expect("the kernel accepts");
        Client::plain(stream)
    };
    let mut clients: Vec<Client> = (0..50).map(connect).collect();
    for client in &mut clients {
        client.send(b"GET /f HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    }
    node.signal(Signal::SIGTERM);
    node.signal(Signal::SIGCONT);
    assert_eq!(node.wait().0.code(), Some(0));
    let node = shared.start();
    for client in &mut clients {
        assert_eq!(client.response(false).body, b"found");
    }
    drop(clients);
    node.stop();
}

#[test]
fn the_workers_share_an_inherited_socket_and_it_stands_for_the_addresses() {
    let shared = Shared::new("zc.socket");
    let node = shared.start();
    let line = format!("  http://{}/, on an inherited socket\n", shared.address);
    assert!(node.said.contains(&line), "{}", node.said);
    let listening = node.said.matches("http://").count();
    assert_eq!(listening, 1, "--bind is not listened on: {}", node.said);
    // Each worker of three gets some of the connections that stay.
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..12 {
        let stream = std::net::TcpStream::connect(shared.address).expect("it accepts");
        let mut client = Client::plain(stream);
        assert_eq!(client.get("/f").body, b"found");
        clients.push(client);
    }
    drop(clients);
    node.stop();
}

#[test]
fn the_proxy_protocol_is_spoken_on_an_inherited_socket_however_it_is_named() {
    let socket = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = socket.local_addr().expect("bound").port();
    let root = temp_root();
    let mut command = inheriting(socket, "http", root.path());
    command.args(["--bind", &port.to_string()]);
    command.arg(format!("--proxy-protocol={port}"));
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut lines = stderr.lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("http://"));
    child.kill().expect("our child");
    child.wait().expect("our child");
    let line = line.expect("a line for the socket");
    assert!(line.contains("behind the PROXY protocol"), "{line}");
}

/// What the server says that is given this socket, and ends with.
fn refused(socket: impl Into<OwnedFd>, name: &str, more: &[&str]) -> String {
    let root = temp_root();
    let mut command = inheriting(socket, name, root.path());
    let (code, said) = run_to_end(command.args(more));
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_socket_that_cannot_be_used_is_named_with_the_mend() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = || TcpListener::bind(any).expect("a port");
    let said = refused(listener(), "web", &[]);
    let expected = "zc-server: socket 1 of LISTEN_FDS, `web`, has a name that says nothing; name it http, https or \
                    admin (FileDescriptorName=)\n";
    assert_eq!(said, expected);
    let said = refused(listener(), "https", &[]);
    assert!(
        said.contains("`https`, is for HTTPS, and there is no certificate"),
        "{said}"
    );
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    bound.bind(&any.into()).expect("a port");
    let said = refused(bound, "http", &[]);
    assert!(said.contains("does not listen; hand over"), "{said}");
    let said = refused(UdpSocket::bind(any).expect("a port"), "", &[]);
    assert!(
        said.contains("socket 1 of LISTEN_FDS is no TCP socket"),
        "{said}"
    );
    let directory = tempfile::tempdir().expect("a directory");
    let unix = UnixListener::bind(directory.path().join("socket")).expect("a path");
    let said = refused(unix, "http", &[]);
    assert!(
        said.contains("is a Unix-domain socket; hand over a TCP socket"),
        "{said}"
    );
    let file = std::fs::File::open("/dev/null").expect("a file");
    let said = refused(file, "http", &[]);
    assert!(said.contains("is no TCP socket"), "{said}");
}

#[test]
fn what_was_given_to_another_process_is_left_alone() {
    let root = temp_root();
    let mut command = binary();
    // As where the parent was given them and passes its environment on.
    command.env("LISTEN_FDS", "7").env("LISTEN_PID", "1");
    command.args(["--bind", "127.0.0.1:0"]).arg(root.path());
    let node = Node::start(command.stdin(Stdio::null()));
    assert!(!node.said.contains("inherited"), "{}", node.said);
    node.stop();
}

#[test]
fn systemd_starts_it_by_the_first_connection() {
    if Home::for_clients(&["systemd-socket-activate"]).is_none() {
        return;
    }
    let root = temp_root();
    std::fs::write(root.path().join("f"), b"found").expect("a file");
    let certificate = CertificateFiles::write();
    let ports = [(); 3].map(|()| Reserved::at(Ipv4Addr::new(127, 80, 0, 1)));
    let [http, https, admin] = ports.each_ref().map(|port| port.address);
    let mut command = Command::new("systemd-socket-activate");
    for address in [http, https, admin] {
        command.arg("-l").arg(address.to_string());
    }
    command.arg("--fdname=http:https:admin");
    command
        .arg(binary().get_program())
        .args(certificate.options());
    command.args(["--threads", "2"]).arg(root.path());
    let mut node = Node::spawn(command.stdin(Stdio::null()));
    for _ in 0..3 {
        node.wait_for("Listening on ");
    }
    // The first connection waits in the queue until the server is there.
    let get = |address, speak: Speak, target: &str| {
        let stream = std::net::TcpStream::connect(address).expect("systemd listens");
        let response = speak(stream).get(target);
        assert_eq!(response.status, 200);
        response.body
    };
    assert_eq!(get(http, by_http, "/f"), b"found");
    assert_eq!(get(https, by_https, "/f"), b"found");
    assert_eq!(get(admin, by_http, "/readyz"), b"ready\n");
    node.wait_for("press Ctrl-C to stop");
    for line in [
        format!("  http://{http}/, on an inherited socket\n"),
        format!("  https://{https}/, on an inherited socket\n"),
        format!("metrics and health are at http://{admin}/, on an inherited socket\n"),
    ] {
        assert!(node.said.contains(&line), "{line}: {}", node.said);
    }
    node.stop();
}
