//! The admin listener: metrics, health, and what is under way.

mod disk;
mod grafana;
mod health;
mod metrics;
mod reasons;
mod status;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};

use crate::harness::{Client, Response, Server, wait_until};

/// A server with an admin listener.
pub(super) struct Watched {
    pub(super) server: Server,
    pub(super) admin: SocketAddr,
}

/// A value of each series, by its name with labels.
pub(super) type Series = BTreeMap<String, f64>;

impl Watched {
    pub(super) fn start(files: &[(&str, &[u8])], options: &[&str]) -> Self {
        let options = [&["--admin-bind", "127.0.0.1:0"], options].concat();
        Self::of(Server::start_over(files, &options))
    }

    /// One that was started with such a listener.
    pub(super) fn of(mut server: Server) -> Self {
        let said = server.said_with("metrics and health are at ");
        let address = said.trim().trim_end_matches('/').rsplit('/').next();
        let admin = address.and_then(|address| address.parse().ok());
        Self {
            server,
            admin: admin.expect("an address"),
        }
    }

    pub(super) fn connect(&self) -> Client {
        Client::plain(TcpStream::connect(self.admin).expect("the listener accepts"))
    }

    pub(super) fn get(&self, target: &str) -> Response {
        self.connect().get(target)
    }

    /// The page at `target`, which must be the good one.
    pub(super) fn text(&self, target: &str) -> String {
        let response = self.get(target);
        assert_eq!(response.status, 200, "{target}");
        String::from_utf8(response.body).expect("text")
    }

    pub(super) fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.text("/status")).expect("JSON")
    }

    pub(super) fn series(&self) -> Series {
        let text = self.text("/metrics");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            (name.to_owned(), value.parse().expect("a number"))
        });
        series.collect()
    }

    /// The value of a series; 0 where there is none.
    pub(super) fn value(&self, name: &str) -> f64 {
        self.series().get(name).copied().unwrap_or_default()
    }

    /// Waits until a series has this value.
    #[track_caller]
    pub(super) fn wait_for(&self, name: &str, value: f64) {
        wait_until(&format!("{name} {value}"), || self.value(name) == value);
    }
}

#[test]
fn nothing_but_get_and_head_of_its_pages() {
    let watched = Watched::start(&[("metrics.txt", b"x")], &[]);
    let mut client = watched.connect();
    for target in ["/metrics", "/healthz", "/readyz", "/status"] {
        let response = client.get(target);
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(response.field("cache-control"), Some("no-store"));
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let head = client.response(true);
        assert_eq!(head.status, 200, "{target}");
        assert_eq!(
            head.field("content-type"),
            response.field("content-type"),
            "{target}"
        );
        client.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let refused = client.response(false);
        assert_eq!(
            (refused.status, refused.field("allow")),
            (405, Some("GET, HEAD"))
        );
        // A query is for nobody.
        assert_eq!(client.get(&format!("{target}?a=b")).status, 200);
    }
    for target in [
        "/",
        "/metrics/",
        "/metrics.txt",
        "/Metrics",
        "/%2e%2e/metrics",
        "/healthz/..",
    ] {
        let response = client.get(target);
        let expected = (404, &b"404 Not Found\n"[..]);
        assert_eq!((response.status, &response.body[..]), expected, "{target}");
    }
}

#[test]
fn its_pages_are_nowhere_else() {
    let watched = Watched::start(&[], &["--header", "X-A: b"]);
    for target in ["/metrics", "/healthz", "/readyz", "/status"] {
        let response = watched.server.get(target);
        assert_eq!(response.status, 404, "{target}");
        assert_eq!(response.field("x-a"), Some("b"));
        // What is configured for files is not for the pages.
        assert_eq!(watched.get(target).field("x-a"), None);
    }
}

#[test]
fn its_requests_have_the_limits_of_any_other() {
    let watched = Watched::start(&[], &["--header-timeout", "100ms"]);
    let mut client = watched.connect();
    client.send(b"GET /metrics HTTP/1.1\r\nHost: a");
    assert_eq!(client.response(false).status, 408);
    client.expect_end();
    let mut client = watched.connect();
    client.send(b"GET /metrics\r\n\r\n");
    let response = client.response(false);
    assert_eq!(
        (response.status, &response.body[..]),
        (400, &b"400 Bad Request\n"[..])
    );
    let mut client = watched.connect();
    let long = "x".repeat(100_000);
    client.send(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    assert_eq!(client.response(false).status, 414);
}

#[test]
fn without_the_option_there_is_no_listener() {
    let server = Server::start(&[]);
    assert!(!server.banner().contains("metrics"));
}
