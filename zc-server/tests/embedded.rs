//! The server as a library, by the example that shows it.

mod harness;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

use harness::{pattern, temp_root};
use zc_server::Stopped;

// Its `main` takes the arguments of a program, which a test has none of.
#[allow(dead_code)]
#[path = "../examples/embedded.rs"]
mod embedded;

/// Runs the example; answers where it listened, and the head and the body of the response.
fn run(root: &std::path::Path, target: &str) -> (SocketAddr, String, Vec<u8>) {
    let mut output = Vec::new();
    let outcome = embedded::serve_one(root, target, &mut output).expect("a response");
    assert_eq!(outcome, Stopped::Drained);
    let line_end = output.iter().position(|&byte| byte == b'\n');
    let response = output.split_off(line_end.expect("a line") + 1);
    let line = String::from_utf8(output).expect("UTF-8");
    let address = line.strip_prefix("http://").expect("a URL");
    let address = address.strip_suffix("/\n").expect("the end of the line");
    let head_end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, body) = response.split_at(head_end.expect("a head") + 4);
    (
        address.parse().expect("an address"),
        String::from_utf8(head.to_vec()).expect("ASCII"),
        body.to_vec(),
    )
}

#[test]
fn a_server_in_another_program_answers_and_stops() {
    let root = temp_root();
    // More than the buffers of a socket hold: the server is stopped when all of it has come.
    let bytes = pattern(8 << 20, 3);
    std::fs::write(root.path().join("film"), &bytes).expect("a file");

    let (address, head, body) = run(root.path(), "/film");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let length = format!("Content-Length: {}\r\n", bytes.len());
    assert!(head.contains(&length), "{head}");
    assert!(body == bytes, "{} bytes", body.len());
    let refused = TcpStream::connect(address).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    let (_, head, body) = run(root.path(), "/none");
    assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n"), "{head}");
    assert_eq!(body, b"404 Not Found\n");
}

#[test]
fn a_root_that_is_not_there_is_an_error_that_names_it() {
    let missing = temp_root().path().join("missing");
    let error = embedded::serve_one(&missing, "/", &mut Vec::new()).expect_err("no root");
    let said = error.to_string();
    assert!(said.contains(missing.to_str().expect("UTF-8")), "{said}");
}
