//! `--request-id`.

use std::collections::HashSet;

use crate::harness::{Response, Server};

fn start(options: &[&str]) -> Server {
    let server = Server::start(options);
    server.write("f", b"found");
    server.write("big", &[7; 1 << 20]);
    server
}

/// The identifier that response and log have.
#[track_caller]
fn id_of(response: &Response, server: &mut Server) -> String {
    let id = response.field("x-request-id").expect("an identifier");
    assert_eq!(server.log()["request_id"], id);
    id.to_owned()
}

fn is_made(id: &str) -> bool {
    id.len() == 32
        && id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[test]
fn an_identifier_that_can_be_used_is_taken_and_any_other_replaced() {
    let mut server = start(&["--request-id"]);
    let longest = "x".repeat(64);
    for given in [
        "a",
        "0b9d4f6e-9c1a-4d5e-8f00-112233445566",
        "\"\\{}",
        &longest,
    ] {
        let response = server.get_with("/f", &format!("X-Request-Id: {given}\r\n"));
        assert_eq!(response.field("x-request-id"), Some(given));
        let logged = server.log()["request_id"]
            .as_str()
            .expect("text")
            .to_owned();
        // The log escapes what could end its texts.
        let escaped = given.replace('\\', "\\x5C").replace('"', "\\x22");
        assert_eq!(logged, escaped.replace("\\x5Cx22", "\\x22"));
    }
    let too_long = "x".repeat(65);
    for given in ["", "a b", "\u{e4}", &too_long] {
        let response = server.get_with("/f", &format!("X-Request-Id: {given}\r\n"));
        assert!(is_made(&id_of(&response, &mut server)), "{given}");
    }
}

#[test]
fn every_response_has_one_and_no_two_are_alike() {
    let mut server = start(&["--request-id"]);
    let mut seen = HashSet::new();
    let mut client = server.connect();
    for _ in 0..3 {
        // Kept ready, sent by several calls, an error, a listing, and an error of what is no file.
        for target in ["/f", "/f", "/big", "/none", "/", "/%00"] {
            let id = id_of(&client.get(target), &mut server);
            assert!(is_made(&id) && seen.insert(id), "{target}");
        }
    }
    for request in [
        "GET /f HTTP/1.1\r\nHost: t\r\nRange: bytes=1-2\r\n\r\n",
        "GET /f HTTP/1.1\r\nHost: t\r\nIf-None-Match: *\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /f HTTP/1.0\r\n\r\n",
        "GET /f HTTP/1.1\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(request.as_bytes());
        let id = id_of(&client.response(false), &mut server);
        assert!(is_made(&id) && seen.insert(id), "{request}");
    }
    // Pipelined requests have one each.
    let mut client = server.connect();
    client.send(&b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n".repeat(5));
    for _ in 0..5 {
        let response = client.response(false);
        assert_eq!(response.body, b"found");
        assert!(seen.insert(id_of(&response, &mut server)));
    }
}

#[test]
fn without_the_option_there_is_none() {
    let mut server = start(&[]);
    let response = server.get_with("/f", "X-Request-Id: a\r\n");
    assert_eq!(response.field("x-request-id"), None);
    assert_eq!(server.log()["request_id"], serde_json::Value::Null);
}
