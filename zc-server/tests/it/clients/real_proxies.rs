//! HAProxy and nginx in front.

use std::net::SocketAddr;

use super::connect_from;
use crate::harness::clients::Home;
use crate::harness::haproxy::Haproxy;
use crate::harness::nginx::Nginx;
use crate::harness::tls::says_not_by_tls;
use crate::harness::{Client, Server};

/// Where clients are.
const CLIENT: [u8; 4] = [127, 0, 0, 9];

fn start(options: &[&str]) -> Server {
    let server = Server::start(options);
    server.write("f", b"found");
    server.write("big", &[7; 3 << 20]);
    server
}

/// Asks through the proxy at `address`, which passes on bytes.
fn expect_passed(server: &mut Server, address: SocketAddr) {
    let mut client = server.client(connect_from(CLIENT, address));
    for _ in 0..2 {
        assert_eq!(client.get("/f").body, b"found");
        expect_logged(server);
        assert!(client.get("/big").body == [7; 3 << 20]);
        expect_logged(server);
    }
}

#[track_caller]
fn expect_logged(server: &mut Server) {
    let mut logged = server.log();
    // Beside that there are checks, which have no client.
    while logged["target"] == "/health" {
        assert_eq!(logged["client"], "127.0.0.1");
        logged = server.log();
    }
    assert_eq!(logged["client"], "127.0.0.9", "{logged}");
    assert!(
        logged["remote"]
            .as_str()
            .is_some_and(|remote| remote.starts_with("127.0.0.1:"))
    );
}

#[test]
fn haproxy_sends_headers_of_both_versions() {
    let Some(home) = Home::for_clients(&["haproxy"]) else {
        return;
    };
    for send in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    ] {
        let mut server = start(&["--proxy-protocol"]);
        // With HTTPS it passes on TLS.
        let section = format!(
            "  mode tcp\n  unique-id-format %[uuid()]\n  server one {} source 127.0.0.1 {send}\n",
            server.address
        );
        let haproxy = Haproxy::start(&home, &section);
        expect_passed(&mut server, haproxy.address);
    }
}

#[test]
fn haproxy_checks_a_server_behind_the_proxy_protocol() {
    let Some(home) = Home::for_clients(&["haproxy"]) else {
        return;
    };
    if says_not_by_tls("the check is the same, in TLS of HAProxy's own") {
        return;
    }
    for send in ["send-proxy", "send-proxy-v2"] {
        let mut server = start(&["--proxy-protocol"]);
        server.write("health", b"ok");
        let section = format!(
            "  mode http\n  option httpchk GET /health\n  http-check expect status 200\n\
             \x20 server one {} source 127.0.0.1 check inter 50ms {send} check-send-proxy\n",
            server.address
        );
        let haproxy = Haproxy::start(&home, &section);
        let checked = server.log();
        assert_eq!(
            (&checked["target"], &checked["status"]),
            (&"/health".into(), &200.into())
        );
        assert_eq!(checked["client"], "127.0.0.1");
        let mut client = Client::plain(connect_from(CLIENT, haproxy.address));
        assert_eq!(client.get("/f").body, b"found");
        expect_logged(&mut server);
    }
}

#[test]
fn haproxy_forwards_for_clients_who_say_that_they_are_others() {
    let Some(home) = Home::for_clients(&["haproxy"]) else {
        return;
    };
    if says_not_by_tls("the field is the same, in TLS of HAProxy's own") {
        return;
    }
    let mut server = start(&["--trusted-proxy", "127.0.0.1"]);
    let section = format!(
        "  mode http\n  option forwardfor\n  server one {} source 127.0.0.1\n",
        server.address
    );
    let haproxy = Haproxy::start(&home, &section);
    let mut client = Client::plain(connect_from(CLIENT, haproxy.address));
    for spoofed in [
        "",
        "X-Forwarded-For: 203.0.113.1\r\n",
        "Forwarded: for=203.0.113.1\r\n",
    ] {
        let request = format!("GET /f HTTP/1.1\r\nHost: t\r\n{spoofed}\r\n");
        client.send(request.as_bytes());
        assert_eq!(client.response(false).body, b"found");
        expect_logged(&mut server);
    }
}

#[test]
fn nginx_sends_the_header_in_front_of_a_stream() {
    let Some(home) = Home::for_clients(&["nginx"]) else {
        return;
    };
    let mut server = start(&["--proxy-protocol"]);
    let directives = format!("proxy_pass {}; proxy_protocol on;", server.address);
    let Some(nginx) = Nginx::start_stream(&home, &directives) else {
        return;
    };
    expect_passed(&mut server, nginx.address);
}

#[test]
fn nginx_forwards_for_its_clients() {
    let Some(home) = Home::for_clients(&["nginx"]) else {
        return;
    };
    if says_not_by_tls("the field is the same, in TLS of nginx's own") {
        return;
    }
    let mut server = start(&["--trusted-proxy", "127.0.0.1", "--request-id"]);
    let location = format!(
        "location / {{ proxy_pass http://{}; proxy_set_header X-Request-Id $request_id;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}",
        server.address
    );
    let nginx = Nginx::start(&home, &location);
    let mut client = Client::plain(connect_from(CLIENT, nginx.address));
    client.send(b"GET /f HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n");
    let response = client.response(false);
    assert_eq!(response.body, b"found");
    let logged = server.log();
    assert_eq!(logged["client"], "127.0.0.9");
    assert_eq!(
        logged["request_id"],
        response.field("x-request-id").expect("one")
    );
}
