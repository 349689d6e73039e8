//! Health and readiness, asked over HTTP and by `zc-server healthcheck`.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use super::Watched;
use crate::harness::{binary, pattern, wait_until};

/// Runs `zc-server healthcheck`; its exit code and its line.
fn healthcheck(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().expect("it starts");
    assert!(output.stderr.is_empty(), "{output:?}");
    let line = String::from_utf8(output.stdout).expect("text");
    assert_eq!(line.lines().count(), 1, "{line}");
    (output.status.code(), line.trim_end().to_owned())
}

fn task() -> Command {
    let mut command = binary();
    command.arg("healthcheck");
    command
}

#[test]
fn a_server_is_ready_until_it_is_stopped_and_well_until_it_ends() {
    let body = pattern(24 << 20, 3);
    let watched = Watched::start(&[("long", &body)], &["--grace-period", "1h"]);
    let page = |target: &str| {
        let response = watched.get(target);
        (
            response.status,
            String::from_utf8(response.body).expect("text"),
        )
    };
    assert_eq!(page("/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(page("/healthz"), (200, "ok\n".to_owned()));
    let mut idle = watched.server.connect();
    idle.get("/none");
    let mut client = watched.server.connect();
    client.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
    client.wait_until_begun();
    watched.server.signal(Signal::SIGTERM);
    wait_until("it is not ready", || page("/readyz").0 == 503);
    assert_eq!(page("/readyz"), (503, "draining\n".to_owned()));
    assert_eq!(page("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(watched.value("zc_ready"), 0.0);
    watched.wait_for("zc_connections_closed_total{reason=\"shutdown\"}", 1.0);
    let (code, line) = healthcheck(task().arg(watched.admin.to_string()));
    let expected = format!(
        "http://{}/readyz: 503 Service Unavailable (draining)",
        watched.admin
    );
    assert_eq!((code, line), (Some(1), expected));
    assert!(client.response(false).body == body);
    drop(client);
    let (status, _) = watched.server.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn the_command_asks_where_the_server_would_listen() {
    let watched = Watched::start(&[("index.html", b"x")], &[]);
    let admin = watched.admin.to_string();
    let expected = (Some(0), format!("http://{admin}/readyz: 200 OK"));
    assert_eq!(healthcheck(task().arg(&admin)), expected);
    assert_eq!(healthcheck(task().args(["--admin-bind", &admin])), expected);
    assert_eq!(healthcheck(task().env("ZC_ADMIN_BIND", &admin)), expected);
    let port = format!(":{}", watched.admin.port());
    assert_eq!(healthcheck(task().arg(&port)), expected);
    let every = format!("0.0.0.0:{}", watched.admin.port());
    assert_eq!(healthcheck(task().env("ZC_ADMIN_BIND", every)), expected);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("zc.toml");
    std::fs::write(&file, format!("admin-bind = \"{admin}\"\n")).expect("a file");
    assert_eq!(healthcheck(task().arg("--config").arg(&file)), expected);
    assert_eq!(healthcheck(task().env("ZC_CONFIG", &file)), expected);
}

#[test]
fn without_an_admin_listener_the_command_asks_for_the_root() {
    let watched = Watched::start(&[("page", b"x")], &["--listing", "off"]);
    let address = watched.server.plain_address;
    let (code, line) = healthcheck(task().env("ZC_BIND", address.to_string()));
    assert_eq!(
        (code, line),
        (Some(0), format!("http://{address}/: 404 Not Found"))
    );
    let asks = |url: &str| healthcheck(task().args(["--url", url]));
    let url = format!("http://{address}/page");
    assert_eq!(asks(&url), (Some(0), format!("{url}: 200 OK")));
    let url = format!("http://{address}/none");
    let expected = format!("{url}: 404 Not Found");
    assert_eq!(asks(&url), (Some(1), expected));
}

#[test]
fn the_command_fails_where_nobody_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let asked = healthcheck(task().args([&address.to_string(), "--timeout", "100ms"]));
    let expected = format!("http://{address}/readyz: no answer within 100 ms");
    assert_eq!(asked, (Some(1), expected));
    // Bound and not listening: nobody else can take the port meanwhile.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).expect("a port");
    let address = socket.local_addr().expect("bound");
    let address = address.as_socket().expect("of IPv4");
    let (code, line) = healthcheck(task().arg(address.to_string()));
    assert_eq!(code, Some(1));
    assert!(line.contains("Connection refused"), "{line}");
    let wrong = task().args(["--url", "https://localhost/"]).output();
    let wrong = wrong.expect("it starts");
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(said.contains("not a URL of HTTP"), "{said}");
}

#[test]
fn two_listeners_on_one_address_are_wrong_usage() {
    let mut command = binary();
    command.args(["--bind", "127.0.0.1:9", "--admin-bind", ":9", "."]);
    let output = command.output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--admin-bind 127.0.0.1:9"), "{said}");
}
