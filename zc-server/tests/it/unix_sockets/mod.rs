//! Unix-domain sockets: what is answered on them, who is believed there, and their files.

mod files;
mod proxies;

use std::io::{IoSlice, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::harness::clients::Home;
use crate::harness::{Client, Server, pattern, temp_root, wait_until};

/// A socket in a directory of its own, which every user may look into.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: temp_root(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("zc.sock")
    }

    /// The path as an address.
    fn address(&self) -> String {
        format!("unix:{}", self.path().display())
    }

    fn server(&self, options: &[&str]) -> Server {
        let address = self.address();
        Server::start(&[&["--bind", &address], options].concat())
    }

    fn connect(&self) -> Client {
        Client::plain(stream(&self.path()))
    }
}

/// A connection to the socket at `path`, for a client of TCP: what it does is the same on any socket.
fn stream(path: &Path) -> TcpStream {
    let stream = UnixStream::connect(path).expect("the server listens");
    OwnedFd::from(stream).into()
}

#[test]
fn files_come_whole_and_in_parts_by_each_method_on_one_connection() {
    // Far more than the socket holds.
    let body = pattern(8 << 20, 1);
    for method in ["sendfile", "splice", "copy"] {
        let place = Place::new();
        let mut server = place.server(&["--method", method]);
        server.write("long", &body);
        server.write("short", b"found");
        let mut client = place.connect();
        for _ in 0..2 {
            client.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
            client.wait_until_begun();
            wait_until("the socket is full", || server.workers().wait_for_events());
            assert!(client.response(false).body == body, "{method}");
            let logged = server.log();
            assert_eq!(logged["send_path"], method);
            assert!(logged["would_blocks"].as_u64() > Some(0), "{logged}");
            assert_eq!(
                (&logged["remote"], &logged["client"]),
                (&"unix:".into(), &"unix:".into())
            );
            client.send(b"GET /long HTTP/1.1\r\nHost: t\r\nRange: bytes=1000000-4999999\r\n\r\n");
            let part = client.response(false);
            assert_eq!(part.status, 206);
            assert!(part.body == body[1_000_000..5_000_000], "{method}");
            server.log();
            assert_eq!(client.get("/short").body, b"found");
            server.log();
        }
        // Several in one segment are answered in order.
        client.send(b"GET /short HTTP/1.1\r\nHost: t\r\n\r\nGET /none HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response(false).status, 200);
        assert_eq!(client.response(false).status, 404);
        client.shutdown_write();
        client.expect_end();
        // The address of TCP is served beside it.
        assert_eq!(server.get("/short").body, b"found");
    }
}

#[test]
fn all_workers_take_connections_of_one_socket() {
    let place = Place::new();
    let server = place.server(&["--threads", "3"]);
    server.write("f", b"found");
    let mut clients: Vec<Client> = (0..12).map(|_| place.connect()).collect();
    for _ in 0..2 {
        for client in &mut clients {
            assert_eq!(client.get("/f").body, b"found");
        }
    }
    server.signal(Signal::SIGTERM);
    for client in &mut clients {
        client.expect_end();
    }
    let (status, said) = server.wait();
    assert!(status.success(), "{said}");
}

#[test]
fn who_takes_nothing_and_who_goes_away_is_noticed() {
    let place = Place::new();
    let mut server = place.server(&["--send-timeout", "100ms"]);
    server.write("long", &pattern(8 << 20, 2));
    for (outcome, goes) in [("stalled", false), ("peer_gone", true)] {
        let mut client = place.connect();
        client.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
        client.wait_until_begun();
        let client = (!goes).then_some(client);
        assert_eq!(server.log()["outcome"], outcome);
        drop(client);
    }
}

#[test]
fn a_request_that_carries_descriptors_is_read_to_its_end() {
    let place = Place::new();
    let server = place.server(&[]);
    server.write("f", b"found");
    let stream = UnixStream::connect(place.path()).expect("the server listens");
    let mut client = Client::plain(OwnedFd::from(stream.try_clone().expect("a socket")).into());
    assert_eq!(client.get("/f").body, b"found");
    // All of it is there before the server looks, and it is told once.
    server.signal(Signal::SIGSTOP);
    let carried = [std::io::stdin().as_raw_fd()];
    let message = [ControlMessage::ScmRights(&carried)];
    let first = [IoSlice::new(b"GET /f HTTP/1.1\r\n")];
    sendmsg::<()>(
        stream.as_raw_fd(),
        &first,
        &message,
        MsgFlags::empty(),
        None,
    )
    .expect("room");
    (&stream).write_all(b"Host: t\r\n\r\n").expect("room");
    server.signal(Signal::SIGCONT);
    assert_eq!(client.response(false).body, b"found");
}

#[test]
fn curl_fetches_by_a_socket() {
    let Some(home) = Home::for_clients(&["curl"]) else {
        return;
    };
    let place = Place::new();
    let server = place.server(&[]);
    let body = pattern(3 << 20, 3);
    server.write("file", &body);
    let path = place.path();
    let socket = path.to_str().expect("UTF-8");
    home.succeed(
        "curl",
        &[
            "-sS",
            "--unix-socket",
            socket,
            "-o",
            "whole",
            "http://localhost/file",
        ],
    );
    assert!(home.read("whole") == body);
}

#[cfg(feature = "tls")]
#[test]
fn curl_fetches_by_https_on_a_socket() {
    use crate::harness::tls::CertificateFiles;
    let Some(home) = Home::for_clients(&["curl"]) else {
        return;
    };
    let place = Place::new();
    let certificate = CertificateFiles::write();
    let [cert, pem, key, secret, ..] = certificate.options();
    let address = place.address();
    let options = [&*cert, &pem, &key, &secret, "--tls-bind", &address];
    let mut server = Server::start(&options);
    let body = pattern(3 << 20, 4);
    server.write("file", &body);
    let path = place.path();
    let socket = path.to_str().expect("UTF-8");
    for _ in 0..2 {
        home.succeed(
            "curl",
            &[
                "-sS",
                "--unix-socket",
                socket,
                "-o",
                "whole",
                "https://localhost/file",
            ],
        );
        assert!(home.read("whole") == body);
        let logged = server.log();
        // The kernel seals for TCP alone.
        assert_eq!(
            (&logged["remote"], &logged["send_path"]),
            (&"unix:".into(), &"tls-copy".into())
        );
    }
    assert!(server.banner().contains(&format!("  https+{address}\n")));
}

#[cfg(feature = "tls")]
#[test]
fn redirects_lead_to_the_usual_port_of_https_where_that_is_on_a_socket() {
    let place = Place::new();
    let certificate = crate::harness::tls::CertificateFiles::write();
    let [cert, pem, key, secret, ..] = certificate.options();
    let address = place.address();
    let options = [&*cert, &pem, &key, &secret, "--tls-bind", &address];
    let server = Server::start(&[&options[..], &["--redirect-http"]].concat());
    let response = server.get("/f");
    assert_eq!(response.status, 308);
    assert_eq!(response.field("location"), Some("https://t/f"));
}

#[test]
fn metrics_and_health_are_told_on_a_socket() {
    let place = Place::new();
    let address = place.address();
    let server = Server::start(&["--admin-bind", &address]);
    let mut client = place.connect();
    let metrics = client.get("/metrics");
    assert!(String::from_utf8_lossy(&metrics.body).contains("zc_ready 1"));
    let healthcheck = || {
        let mut command = crate::harness::binary();
        let output = command.args(["healthcheck", &address]).output();
        let output = output.expect("it starts");
        (
            output.status.code(),
            String::from_utf8(output.stdout).expect("text"),
        )
    };
    let expected = format!("http+{address}:/readyz: 200 OK\n");
    assert_eq!(healthcheck(), (Some(0), expected));
    let url = format!("metrics and health are at http+{address}\n");
    let path = place.path();
    let pid = server.pid();
    server.signal(Signal::SIGTERM);
    let (status, said) = server.wait();
    assert!(status.success() && said.contains(&url), "{pid}: {said}");
    assert!(!path.exists());
    let (code, said) = healthcheck();
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot ask"), "{said}");
}

#[test]
fn a_table_names_a_socket_and_there_need_be_no_other_listener() {
    let place = Place::new();
    let root = temp_root();
    std::fs::write(root.path().join("f"), "found").expect("a file");
    let file = place.directory.path().join("zc.toml");
    // From where the server was started.
    let text = "[[listen]]\naddress = \"unix:zc.sock\"\nproxy-protocol = true\n";
    std::fs::write(&file, text).expect("a file");
    let mut command = crate::harness::binary();
    command
        .current_dir(place.directory.path())
        .args(["--config", "zc.toml", "--access-log", "off"])
        .arg(root.path())
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn().expect("it starts");
    wait_until("it listens", || UnixStream::connect(place.path()).is_ok());
    let mut client = place.connect();
    client.send(b"PROXY UNKNOWN\r\nGET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response(false).body, b"found");
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, Signal::SIGTERM).expect("our own child");
    assert!(child.wait().expect("our own child").success());
    assert!(!place.path().exists());
}
