//! The security fields of pages that the server writes itself.

use std::os::unix::process::ExitStatusExt;

use super::browser::{CRASHES_MAX, TURN, always, lock};
use super::gallery::GIF;
use crate::harness::clients::{Home, said};
use crate::harness::{Response, Server};

const POLICY: &str = "content-security-policy";
const SNIFFING: &str = "x-content-type-options";

fn server(options: &[&str]) -> Server {
    let server = Server::start(options);
    server.write("dir/f.html", b"<title>of the user</title>");
    server.write("dir/p.gif", GIF);
    server
}

/// One response of each kind whose body is the server's own.
fn own_pages(server: &Server) -> Vec<(&'static str, Response)> {
    let json = "Accept: application/json\r\n";
    let end = "Host: t\r\nConnection: close\r\n\r\n";
    vec![
        ("a listing", server.get("/dir/")),
        ("a listing as JSON", server.get_with("/dir/", json)),
        ("a gallery", server.get("/dir/?view=gallery")),
        ("a player", server.get("/dir/p.gif?view=play")),
        ("an error", server.get("/none")),
        ("a cached error", server.get("/none")),
        ("a redirect", server.get("/dir")),
        (
            "416",
            server.get_with("/dir/f.html", "Range: bytes=99-\r\n"),
        ),
        (
            "405",
            server.request(&format!("DELETE /dir/ HTTP/1.1\r\n{end}")),
        ),
        ("400", server.request("GET / HTTP/1.1\r\n\r\n")),
    ]
}

#[test]
fn pages_of_the_server_are_strict_and_files_are_the_users() {
    let server = server(&[]);
    for (what, response) in own_pages(&server) {
        assert_eq!(response.field(SNIFFING), Some("nosniff"), "{what}");
        let policy = response.field(POLICY).expect(what);
        assert!(policy.starts_with("default-src 'none'; "), "{what}");
    }
    let part = "Range: bytes=0-1\r\n";
    let page: (&str, &[u8]) = ("e.html", b"<title>an error</title>");
    let paged = Server::start_over(&[page], &["--error-page", "404=e.html"]);
    for (what, response) in [
        ("a file", server.get("/dir/f.html")),
        ("an error page", paged.get("/none")),
        ("a part", server.get_with("/dir/f.html", part)),
        (
            "OPTIONS",
            server.request("OPTIONS /dir/f.html HTTP/1.1\r\nHost: t\r\n\r\n"),
        ),
    ] {
        assert_eq!(response.field(POLICY), None, "{what}");
        assert_eq!(response.field(SNIFFING), None, "{what}");
    }
}

#[test]
fn configured_fields_replace_those_of_the_server() {
    let options = [
        "--header=content-security-policy: sandbox",
        "--header=*.html=X-Content-Type-Options: of the user",
    ];
    let server = server(&options);
    // A field that stands twice is a failure of the client here.
    for (what, response) in own_pages(&server) {
        assert_eq!(response.field(POLICY), Some("sandbox"), "{what}");
        assert_eq!(response.field(SNIFFING), Some("nosniff"), "{what}");
    }
    let file = server.get("/dir/f.html");
    assert_eq!(file.field(POLICY), Some("sandbox"));
    assert_eq!(file.field(SNIFFING), Some("of the user"));
}

/// What Chromium writes to its console about a page.
fn console(home: &Home, url: &str) -> String {
    let turn = lock(&TURN);
    let dump = ["--enable-logging=stderr", "--dump-dom", url];
    let outputs = (0..CRASHES_MAX).map(|_| home.run("chromium", &[&always()[..], &dump].concat()));
    let output = { outputs }.find(|output| output.status.signal().is_none());
    drop(turn);
    let output = output.expect("it crashes each time");
    said(&output, "chromium");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn chromium_applies_the_policy_without_a_complaint() {
    const COMPLAINT: &str = "Content Security Policy";
    let Some(home) = Home::for_clients(&["chromium"]) else {
        return;
    };
    let strict = server(&[]);
    for page in [
        "/dir/",
        "/dir/?view=gallery",
        "/dir/p.gif?view=play",
        "/none",
    ] {
        let said = console(&home, &strict.url(page));
        assert!(!said.contains(COMPLAINT), "{page}: {said}");
    }
    // It would say so.
    let forbidden = server(&["--header=Content-Security-Policy: default-src 'none'"]);
    let said = console(&home, &forbidden.url("/dir/"));
    assert!(said.contains(COMPLAINT), "{said}");
}
