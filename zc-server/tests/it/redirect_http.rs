//! HTTP beside HTTPS: redirected, but for what a certificate authority asks for; and browsers told to come by
//! HTTPS.

use crate::harness::clients::Home;
use crate::harness::{Server, temp_root};

const TLS: [&str; 3] = ["--tls-self-signed", "--tls-bind", "127.0.0.1:0"];

fn start(options: &[&str]) -> Server {
    let server = Server::start(&[&TLS[..], options].concat());
    server.write("a file", b"content");
    server
}

/// The port of HTTPS.
fn secure_port(server: &mut Server) -> String {
    let line = server.said_with("https://");
    let address = line.trim().trim_start_matches("https://");
    let (_, port) = address
        .trim_end_matches('/')
        .rsplit_once(':')
        .expect("a port");
    port.to_owned()
}

#[test]
fn requests_by_http_are_redirected_to_https() {
    let mut server = start(&["--redirect-http"]);
    let port = secure_port(&mut server);
    for (target, host, location) in [
        (
            "/a%20file?b=c",
            "a.example:80",
            format!("https://a.example:{port}/a%20file?b=c"),
        ),
        ("/", "[::1]:8080", format!("https://[::1]:{port}/")),
        // Nothing is looked up.
        (
            "/none",
            "A.example.",
            format!("https://A.example:{port}/none"),
        ),
        (
            "http://b.example/x",
            "a.example",
            format!("https://b.example:{port}/x"),
        ),
    ] {
        for method in ["GET", "HEAD"] {
            let response = server.request(&format!(
                "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            ));
            assert_eq!(response.status, 308, "{target}");
            assert_eq!(response.field("location"), Some(&location[..]));
            assert_eq!(response.field("strict-transport-security"), None);
        }
    }
    let refused = |request: &str| server.request(request).status;
    assert_eq!(
        refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        405
    );
    // There is no host to be redirected to.
    assert_eq!(refused("GET /a%20file HTTP/1.0\r\n\r\n"), 200);
}

#[test]
fn what_a_certificate_authority_asks_for_is_served_by_http() {
    let webroot = temp_root();
    let directory = webroot.path().join(".well-known/acme-challenge");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("token"), b"the answer").expect("a file");
    std::fs::write(webroot.path().join("other"), b"nothing").expect("a file");
    let path = webroot.path().to_str().expect("UTF-8");
    for options in [&["--redirect-http"][..], &[]] {
        let server = start(&[options, &["--acme-webroot", path]].concat());
        let get = |target| server.get(target);
        let answer = get("/.well-known/acme-challenge/token");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"the answer"[..]));
        assert_eq!(get("/.well-known/acme-challenge/none").status, 404);
        // Its names are nobody's business, nor is what lies beside it.
        let elsewhere = if options.is_empty() { 404 } else { 308 };
        for target in [
            "/other",
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/../../other",
            "/.well-known/acme-challenge/%2e%2e/%2e%2e/other",
        ] {
            assert_eq!(get(target).status, elsewhere, "{target}");
        }
    }
}

#[test]
fn browsers_are_told_to_use_https_by_https_alone() {
    let Some(home) = Home::for_clients(&["curl"]) else {
        return;
    };
    let mut server = start(&["--hsts=600"]);
    let port = secure_port(&mut server);
    server.wait_until_settled("/a%20file");
    let name = "strict-transport-security";
    // The second response comes from the cache.
    for _ in 0..3 {
        let plain = server.get("/a%20file");
        assert_eq!((plain.status, plain.field(name)), (200, None));
        for target in ["a%20file", "none", ""] {
            let url = format!("https://localhost:{port}/{target}");
            let text = home.succeed("curl", &["--disable", "-ksi", &url]);
            let field = "\r\nStrict-Transport-Security: max-age=600\r\n";
            assert_eq!(text.matches(field).count(), 1, "{text}");
        }
    }
}

#[test]
fn http_on_an_address_of_https_is_told_what_is_wrong() {
    let mut server = start(&[]);
    let port = secure_port(&mut server);
    server.address.set_port(port.parse().expect("a port"));
    let response = server.get("/a%20file");
    assert_eq!(response.status, 400);
    let text = String::from_utf8(response.body).expect("UTF-8");
    assert!(text.contains("use https:// in the URL"), "{text}");
}
