//! Who is believed on a Unix-domain socket, and who may ask there.

use std::net::TcpStream;

use super::Place;
use crate::harness::clients::Home;
use crate::harness::haproxy::Haproxy;
use crate::harness::nginx::Nginx;
use crate::harness::{Client, Server, pattern};

const FORWARDED: &[u8] = b"GET /f HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";

/// Asks on behalf of 192.0.2.1; the status, and whom the log has as the client.
fn ask(place: &Place, server: &mut Server) -> (u16, String) {
    let mut client = place.connect();
    client.send(FORWARDED);
    let status = client.response(false).status;
    let logged = server.log();
    assert_eq!(logged["remote"], "unix:");
    (status, logged["client"].as_str().expect("one").to_owned())
}

#[test]
fn a_peer_is_believed_where_that_is_said() {
    for (options, client) in [
        (&[][..], "unix:"),
        (&["--trusted-proxy", "127.0.0.1"], "unix:"),
        (&["--trusted-proxy", "0.0.0.0/0,::/0"], "unix:"),
        (&["--trusted-proxy", "unix:"], "192.0.2.1"),
    ] {
        let place = Place::new();
        let mut server = place.server(options);
        server.write("f", b"found");
        assert_eq!(
            ask(&place, &mut server),
            (200, client.to_owned()),
            "{options:?}"
        );
        // Peers of TCP are none of those.
        server.get_with("/f", "X-Forwarded-For: 192.0.2.1\r\n");
        let logged = server.log();
        let of_tcp = if options.len() < 2 || options[1] == "unix:" {
            "127.0.0.1"
        } else {
            "192.0.2.1"
        };
        assert_eq!(logged["client"], of_tcp, "{options:?}");
    }
}

#[test]
fn peers_are_allowed_and_denied_by_their_word() {
    for (options, status) in [
        (&["--allow", "127.0.0.1"][..], 403),
        (&["--allow", "127.0.0.1,unix:"], 200),
        (&["--deny", "127.0.0.0/8"], 200),
        (&["--deny", "unix:"], 403),
        (&["--allow", "unix:", "--trusted-proxy", "unix:"], 403),
        (&["--allow", "192.0.2.1", "--trusted-proxy", "unix:"], 200),
    ] {
        let place = Place::new();
        let mut server = place.server(options);
        server.write("f", b"found");
        assert_eq!(ask(&place, &mut server).0, status, "{options:?}");
    }
}

#[test]
fn peers_are_not_counted_by_an_address() {
    let place = Place::new();
    let server = place.server(&["--max-connections-per-ip", "1"]);
    server.write("f", b"found");
    let mut clients: Vec<Client> = (0..4).map(|_| place.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/f").status, 200);
    }
}

#[test]
fn a_proxy_header_names_the_client() {
    let place = Place::new();
    let proxied = format!("--proxy-protocol={}", place.address());
    let mut server = place.server(&[&proxied, "--max-connections-per-ip", "1"]);
    server.write("f", b"found");
    let behind = |header: &[u8]| {
        let mut client = place.connect();
        client.send(header);
        client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
        let status = client.response(false).status;
        (client, status)
    };
    let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n";
    let (first, status) = behind(line);
    assert_eq!(status, 200);
    let logged = server.log();
    assert_eq!(
        (&logged["remote"], &logged["client"]),
        (&"unix:".into(), &"192.0.2.1".into())
    );
    // That client has an address, and counts.
    assert_eq!(behind(line).1, 503);
    drop(first);
    server.log();
    // Of version 2, without a client: the peer is it.
    let (_client, status) = behind(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    assert_eq!(status, 200);
    assert_eq!(server.log()["client"], "unix:");
    // Without the header it is closed, and the line has a peer.
    let mut wrong = place.connect();
    wrong.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    server.said_with("PROXY protocol: the connection from unix: was closed");
    // The address of TCP speaks no PROXY protocol.
    assert_eq!(server.get("/f").status, 200);
}

#[test]
fn nginx_forwards_to_a_socket() {
    let Some(home) = Home::for_clients(&["nginx"]) else {
        return;
    };
    let place = Place::new();
    // nginx that is started by root asks as another user.
    let mut server = place.server(&["--socket-mode", "0666", "--trusted-proxy", "unix:"]);
    let body = pattern(8 << 20, 6);
    server.write("f", &body);
    let location = format!(
        "location / {{ proxy_pass http://{}; proxy_max_temp_file_size 0;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}",
        place.address()
    );
    let nginx = Nginx::start(&home, &location);
    let mut client = Client::plain(TcpStream::connect(nginx.address).expect("nginx listens"));
    for spoofed in ["", "X-Forwarded-For: 203.0.113.1\r\n"] {
        client.send(format!("GET /f HTTP/1.1\r\nHost: t\r\n{spoofed}\r\n").as_bytes());
        assert!(client.response(false).body == body);
        let logged = server.log();
        assert_eq!(
            (&logged["remote"], &logged["client"]),
            (&"unix:".into(), &"127.0.0.1".into())
        );
    }
}

#[test]
fn haproxy_passes_on_to_a_socket_behind_its_header() {
    let Some(home) = Home::for_clients(&["haproxy"]) else {
        return;
    };
    for send in ["send-proxy", "send-proxy-v2"] {
        let place = Place::new();
        let proxied = format!("--proxy-protocol={}", place.address());
        let mut server = place.server(&[&proxied]);
        let body = pattern(3 << 20, 7);
        server.write("f", &body);
        let section = format!(
            "  mode tcp\n  server one unix@{} {send}\n",
            place.path().display()
        );
        let haproxy = Haproxy::start(&home, &section);
        let mut client = Client::plain(TcpStream::connect(haproxy.address).expect("it listens"));
        for _ in 0..2 {
            assert!(client.get("/f").body == body);
            let logged = server.log();
            assert_eq!(
                (&logged["remote"], &logged["client"]),
                (&"unix:".into(), &"127.0.0.1".into())
            );
        }
    }
}
