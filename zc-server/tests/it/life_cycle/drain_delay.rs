//! `--drain-delay`: the server is not ready, and serves all the same.

use nix::sys::signal::Signal;

use crate::admin::Watched;
use crate::harness::{Server, wait_until};

/// Longer than any test.
const LONG: &[&str] = &["--drain-delay", "1h"];

/// Waits until a worker has learnt of the signal, and asks once more: one that had closed its listener answers nobody.
fn expect_service(server: &Server) {
    wait_until("the worker knows", || {
        let response = server.request("GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(response.body, b"found");
        response.field("connection") == Some("close")
    });
    assert_eq!(server.get("/f").body, b"found");
}

fn wait_until_not_ready(watched: &Watched) {
    wait_until("it is not ready", || watched.get("/readyz").status == 503);
}

#[test]
fn it_is_not_ready_and_answers_new_connections_until_the_delay_is_over() {
    let mut watched = Watched::start(&[("f", b"found")], &["--drain-delay", "1500ms"]);
    let mut idle = watched.server.connect();
    let response = idle.get("/f");
    assert_eq!(response.field("connection"), None);
    watched.server.signal(Signal::SIGTERM);
    let line = watched.server.said_with("not ready any more");
    let expected = "zc-server: SIGTERM: not ready any more; connections are accepted for 1.5s, then responses in \
                    progress are waited for; press Ctrl-C again to stop now\n";
    assert_eq!(line, expected);
    wait_until_not_ready(&watched);
    expect_service(&watched.server);
    // When the delay is over.
    idle.expect_end();
    let address = watched.server.address;
    wait_until("nobody listens", || {
        std::net::TcpStream::connect(address).is_err()
    });
    assert_eq!(watched.server.wait().0.code(), Some(0));
}

#[test]
fn meanwhile_each_response_ends_its_connection() {
    let watched = Watched::start(&[("f", b"found")], LONG);
    let mut kept = watched.server.connect();
    assert_eq!(kept.get("/f").field("connection"), None);
    let mut untouched = watched.server.connect();
    assert_eq!(untouched.get("/f").body, b"found");
    watched.server.signal(Signal::SIGTERM);
    wait_until_not_ready(&watched);
    let mut new = watched.server.connect();
    for client in [&mut kept, &mut new] {
        expect_service(&watched.server);
        let response = client.get("/f");
        assert_eq!(response.body, b"found");
        assert_eq!(response.field("connection"), Some("close"));
        client.expect_end();
    }
    // One that asks for nothing is left alone until the delay is over.
    assert_eq!(untouched.get("/f").body, b"found");
}

#[test]
fn the_second_signal_ends_it_during_the_delay() {
    let mut watched = Watched::start(&[("f", b"found")], LONG);
    watched.server.signal(Signal::SIGTERM);
    watched.server.said_with("not ready any more");
    expect_service(&watched.server);
    watched.server.signal(Signal::SIGINT);
    let (status, said) = watched.server.wait();
    assert_eq!(status.code(), Some(3));
    assert!(
        said.contains("a second signal, SIGINT: ending now"),
        "{said}"
    );
}

#[test]
fn the_delay_is_that_of_the_configuration_that_was_read_last() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("zc.toml");
    std::fs::write(&file, "drain-delay = \"1h\"\n").expect("a file");
    let path = file.to_str().expect("UTF-8");
    let mut server = Server::start(&["--config", path]);
    std::fs::write(&file, "drain-delay = \"0s\"\n").expect("a file");
    server.signal(Signal::SIGHUP);
    server.said_with("the configuration was read again\n");
    server.signal(Signal::SIGTERM);
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!said.contains("not ready"), "{said}");
}
