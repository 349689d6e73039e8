//! `--trusted-proxy`: who is believed about the client, and who is not.

use super::{connect_behind, line};
use crate::harness::Server;

/// The client in the log of a request with these fields.
fn logged(server: &mut Server, fields: &str) -> serde_json::Value {
    assert_eq!(server.get_with("/f", fields).status, 404);
    let mut line = server.log();
    assert!(
        line["remote"]
            .as_str()
            .is_some_and(|remote| remote.starts_with("127.0.0.1:"))
    );
    line["client"].take()
}

#[test]
fn a_trusted_proxy_names_the_client() {
    let options = [
        "--trusted-proxy",
        "127.0.0.0/8",
        "--trusted-proxy",
        "10.0.0.0/8",
    ];
    let mut server = Server::start(&options);
    for (fields, client) in [
        ("", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
        (
            "X-Forwarded-For: 203.0.113.1, 192.0.2.7, 10.0.0.1\r\n",
            "192.0.2.7",
        ),
        (
            "X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: 192.0.2.7\r\n",
            "192.0.2.7",
        ),
        ("X-Forwarded-For: 203.0.113.1, unknown\r\n", "127.0.0.1"),
        ("X-Forwarded-For: unknown, 10.0.0.1\r\n", "10.0.0.1"),
        (
            "Forwarded: for=203.0.113.1, for=\"[2001:db8::9]:80\";proto=https\r\n",
            "2001:db8::9",
        ),
        (
            "Forwarded: for=203.0.113.1\r\nX-Forwarded-For: 192.0.2.7\r\n",
            "192.0.2.7",
        ),
    ] {
        assert_eq!(logged(&mut server, fields), client, "{fields}");
    }
    // What is no request has the client of its connection.
    let mut client = server.connect();
    client.send(b"GET\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
    assert_eq!(client.response(false).status, 400);
    assert_eq!(server.log()["client"], "127.0.0.1");
}

#[test]
fn strangers_are_not_believed() {
    for options in [&[][..], &["--trusted-proxy", "10.0.0.0/8"]] {
        let mut server = Server::start(options);
        for fields in [
            "X-Forwarded-For: 192.0.2.7\r\n",
            "X-Forwarded-For: 10.0.0.1\r\n",
            "Forwarded: for=192.0.2.7\r\n",
        ] {
            assert_eq!(logged(&mut server, fields), "127.0.0.1", "{fields}");
        }
    }
}

#[test]
fn the_client_of_the_proxy_protocol_counts_as_the_peer() {
    let options = ["--proxy-protocol", "--trusted-proxy", "10.0.0.0/8"];
    let mut server = Server::start(&options);
    for (named, client) in [("10.1.1.1", "192.0.2.7"), ("198.51.100.1", "198.51.100.1")] {
        let mut connection = connect_behind(&server, &line(named));
        connection.send(b"GET /f HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
        assert_eq!(connection.response(false).status, 404);
        assert_eq!(server.log()["client"], client);
    }
}

#[test]
fn each_request_of_a_connection_has_its_own_client() {
    let mut server = Server::start(&["--trusted-proxy", "127.0.0.1"]);
    server.write("f", &[7; 1 << 20]);
    let mut connection = server.connect();
    for number in 1..5 {
        // A body that takes several calls, an error, and an answer in memory.
        for target in ["/f", "/none", "/../"] {
            let request = format!(
                "GET {target} HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.{number}\r\n\r\n"
            );
            connection.send(request.as_bytes());
            connection.response(false);
            assert_eq!(
                server.log()["client"],
                format!("192.0.2.{number}"),
                "{target}"
            );
        }
    }
}
