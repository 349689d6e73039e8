//! `--max-connections-per-ip`.

use std::io::Read;
use std::net::TcpStream;

use nix::sys::signal::Signal;

use super::{connect_behind, connect_from, line};
use crate::harness::clients::{Home, assert_same_big, write_big};
use crate::harness::{Client, Server, wait_until};

/// What the book recommends at least.
const RECOMMENDED: &str = "64";

fn start(options: &[&str]) -> Server {
    let server = Server::start(options);
    server.write("f", b"found");
    server
}

/// Whether a request on this connection, which has no room, is refused as it has to be.
fn is_refused(server: &Server, mut client: Client) -> bool {
    let request = b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n";
    if server.is_tls() {
        // Before the handshake, by a reset or without a word.
        let answer = client.try_request(request);
        return answer.is_none_or(|answer| answer.is_err());
    }
    client.send(request);
    let response = client.response(false);
    if response.status == 200 {
        return false;
    }
    assert_eq!(
        (response.status, response.field("connection")),
        (503, Some("close"))
    );
    assert_eq!(response.field("retry-after"), Some("1"));
    assert_eq!(response.body, b"503 Service Unavailable\n");
    client.expect_end();
    true
}

/// A connection that has been answered, and stays.
fn keep(mut client: Client) -> Client {
    assert_eq!(client.get("/f").body, b"found");
    client
}

#[test]
fn a_connection_too_many_is_refused_until_another_has_ended() {
    let mut server = start(&["--max-connections-per-ip", "2"]);
    let first = keep(server.connect());
    let second = keep(server.connect());
    for _ in 0..3 {
        assert!(is_refused(&server, server.connect()));
    }
    let said = server.said_with("--max-connections-per-ip");
    assert!(
        said.starts_with("zc-server: --max-connections-per-ip: a connection from 127.0.0.1:"),
        "{said}"
    );
    assert!(
        said.ends_with(" was refused: its address has 2 connections\n"),
        "{said}"
    );
    // Those that it has are served.
    let first = keep(first);
    // Another address is another client.
    let other = keep(server.client(connect_from([127, 0, 0, 9], server.address)));
    drop(second);
    wait_until("the end is noticed", || {
        !is_refused(&server, server.connect())
    });
    drop((first, other));
}

#[test]
fn all_workers_count_together() {
    let server = start(&["--max-connections-per-ip", "8", "--threads", "4"]);
    let kept: Vec<_> = (0..8).map(|_| keep(server.connect())).collect();
    assert!(is_refused(&server, server.connect()));
    drop(kept);
    wait_until("the ends are noticed", || {
        !is_refused(&server, server.connect())
    });
}

#[test]
fn the_client_that_the_proxy_protocol_names_is_counted() {
    let server = start(&["--max-connections-per-ip", "1", "--proxy-protocol"]);
    let connect = |named| connect_behind(&server, &line(named));
    let first = keep(connect("192.0.2.1"));
    assert!(is_refused(&server, connect("192.0.2.1")));
    let second = keep(connect("192.0.2.2"));
    let third = keep(connect("2001:db8::1"));
    // The same /64.
    assert!(is_refused(&server, connect("2001:db8::2:0:0:1")));
    let fourth = keep(connect("2001:db8:0:1::1"));
    drop((first, second, third, fourth));
}

#[test]
fn trusted_proxies_are_not_counted() {
    let options = [
        "--max-connections-per-ip",
        "1",
        "--trusted-proxy",
        "127.0.0.1",
    ];
    let server = start(&options);
    let kept: Vec<_> = (0..5).map(|_| keep(server.connect())).collect();
    let other = |source| server.client(connect_from(source, server.address));
    let first = keep(other([127, 0, 0, 9]));
    assert!(is_refused(&server, other([127, 0, 0, 9])));
    drop((kept, first));
}

#[test]
fn one_that_is_refused_and_says_nothing_is_closed() {
    let server = start(&["--max-connections-per-ip", "1", "--defer-accept", "off"]);
    let first = keep(server.connect());
    let mut silent = TcpStream::connect(server.address).expect("the server accepts");
    // Although others have ten minutes.
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    drop(first);
}

#[test]
fn many_refusals_are_counted_and_few_told() {
    const COUNT: usize = 20;
    let server = start(&["--max-connections-per-ip", "1"]);
    let first = keep(server.connect());
    for _ in 0..COUNT {
        assert!(is_refused(&server, server.connect()));
    }
    drop(first);
    server.signal(Signal::SIGTERM);
    let (_, said) = server.wait();
    assert_eq!(said.matches("a connection from ").count(), 1, "{said}");
    let more = format!(
        "--max-connections-per-ip: {} more connections refused within a minute\n",
        COUNT - 1
    );
    assert!(said.contains(&more), "{said}");
}

#[test]
fn a_download_manager_fits_in_the_limit_that_is_recommended() {
    let Some(home) = Home::for_clients(&["aria2c"]) else {
        return;
    };
    let mut server = Server::start(&["--max-connections-per-ip", RECOMMENDED]);
    let log = server.follow_log();
    write_big(&server.path("big"), 64);
    let url = server.url("/big");
    // Two at once, and the six connections of a browser.
    let browser: Vec<_> = (0..6).map(|_| server.connect()).collect();
    std::thread::scope(|scope| {
        for name in ["one", "other"] {
            let (home, url) = (&home, &url);
            scope.spawn(move || {
                let how = [
                    "--no-conf",
                    "--ca-certificate=.authority.pem",
                    "--no-netrc",
                    "--quiet",
                ];
                let limits = [
                    "--file-allocation=none",
                    "--connect-timeout=10",
                    "--timeout=30",
                    "--max-tries=1",
                ];
                let segments = ["-x16", "-s16", "-k1M", "-o", name, url];
                home.succeed("aria2c", &[&how[..], &limits, &segments].concat());
            });
        }
    });
    for name in ["one", "other"] {
        assert_same_big(&home.path(name), &server.path("big"));
    }
    for mut client in browser {
        assert_eq!(client.get("/none").status, 404);
    }
    let lines = log.so_far(&server);
    assert!(lines.iter().all(|line| line["status"] != 503), "{lines:#?}");
}
