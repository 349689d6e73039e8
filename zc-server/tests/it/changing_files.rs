//! Files that change while they are sent, and clients that leave.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;

use crate::harness::tls::sent_by;
use crate::harness::{Server, pattern};

/// More than every socket buffer of the way holds, so that a transfer is under way until it is read.
const BIG: usize = 32 << 20;

#[test]
fn a_file_cut_while_it_is_sent_ends_the_connection() {
    for method in ["sendfile", "splice", "copy"] {
        let mut server = Server::start(&["--method-override"]);
        server.write("f", &pattern(BIG, 1));
        server.write("next", b"SECOND RESPONSE");
        let mut client = server.connect();
        // The second request is there already: its answer must not come inside the first body.
        client.send(
            format!(
                "GET /f?method={method} HTTP/1.1\r\nHost: t\r\n\r\n\
                     GET /next HTTP/1.1\r\nHost: t\r\n\r\n"
            )
            .as_bytes(),
        );
        let mut received = vec![0; 1000];
        client.read_exact(&mut received).expect("the beginning");
        let file = OpenOptions::new()
            .write(true)
            .open(server.path("f"))
            .expect("the file");
        file.set_len(4096).expect("a cut");
        // An orderly end and a reset are both right; more bytes than promised are not.
        let _ = client.read_to_end(&mut received);
        assert!(received.len() < BIG, "{method}: {} bytes", received.len());
        let text = String::from_utf8_lossy(&received);
        assert!(!text.contains("SECOND RESPONSE"), "{method}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{method}");
        let log = server.log();
        assert_eq!(log["outcome"], "truncated", "{log}");
        assert_eq!(
            server.get("/next").body,
            b"SECOND RESPONSE",
            "the server lives on"
        );
    }
}

#[test]
fn a_file_overwritten_while_it_is_sent_is_told_and_ends_the_connection() {
    // All lengths are as promised: other bytes, and a cut behind the range that is sent.
    type Change = fn(&File);
    let changes: [(&str, u64, Change); 2] = [
        ("", BIG as u64 - 1, |file| {
            file.write_all_at(b"other bytes", 0).expect("room");
        }),
        ("Range: bytes=0-25165823\r\n", 25_165_823, |file| {
            file.set_len(BIG as u64 - 1).expect("a cut");
        }),
    ];
    for method in ["sendfile", "splice", "copy"] {
        for (field, last, change) in &changes {
            let mut server = Server::start(&["--method-override"]);
            server.write("f", &pattern(BIG, 6));
            server.write("next", b"SECOND RESPONSE");
            let mut client = server.connect();
            client.send(
                format!(
                    "GET /f?method={method} HTTP/1.1\r\nHost: t\r\n{field}\r\n\
                     GET /next HTTP/1.1\r\nHost: t\r\n\r\n"
                )
                .as_bytes(),
            );
            client.wait_until_begun();
            let file = OpenOptions::new().write(true).open(server.path("f"));
            change(&file.expect("the file"));
            let mut received = Vec::new();
            // A reset is right after a cut.
            let _ = client.read_to_end(&mut received);
            let text = String::from_utf8_lossy(&received);
            assert!(!text.contains("SECOND RESPONSE"), "{method}");
            let log = server.log();
            assert_eq!(log["outcome"], "modified", "{log}");
            assert_eq!(log["bytes"], last + 1, "{log}");
            assert_eq!(log["send_path"], sent_by(method), "{log}");
            server.said_with("while it was sent");
        }
    }
}

#[test]
fn a_file_replaced_while_it_is_sent_comes_from_one_inode() {
    let mut server = Server::start(&[]);
    let (old, new) = (pattern(BIG, 2), pattern(BIG / 2, 3));
    server.write("f", &old);
    let mut client = server.connect();
    client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    client.wait_until_begun();
    server.write("f.new", &new);
    std::fs::rename(server.path("f.new"), server.path("f")).expect("a rename");
    assert!(client.response(false).body == old, "all of the old one");
    assert_eq!(server.log()["outcome"], "complete");
    assert!(client.get("/f").body == new, "then all of the new one");
    std::fs::remove_file(server.path("f")).expect("a removal");
    assert_eq!(client.get("/f").status, 404);
}

#[test]
fn a_file_that_grows_is_sent_to_the_promised_length() {
    let mut server = Server::start(&[]);
    let body = pattern(BIG, 4);
    server.write("f", &body);
    let mut client = server.connect();
    client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    client.wait_until_begun();
    let mut file = OpenOptions::new()
        .append(true)
        .open(server.path("f"))
        .expect("the file");
    file.write_all(b"and more").expect("growth");
    assert!(client.response(false).body == body);
    assert_eq!(server.log()["outcome"], "complete");
    let grown = client.get("/f").body;
    assert_eq!(grown.len(), BIG + 8);
}

#[test]
fn clients_that_leave_take_their_descriptors_along() {
    let mut server = Server::start(&["--cache-files", "0"]);
    server.write("f", &pattern(BIG, 5));
    server.write("small", b"x");
    // A line of the log is written when its turn is over, and its file and connection closed.
    let mut steady = server.connect();
    assert_eq!(steady.get("/small").status, 200);
    server.log();
    let before = server.descriptors();
    for round in 0..50 {
        let mut client = server.connect();
        client.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
        client.wait_until_begun();
        if round % 2 == 0 {
            // Unread bytes in our buffer make the end a reset.
            drop(client);
        } else {
            client
                .stream
                .shutdown(std::net::Shutdown::Both)
                .expect("an end");
            drop(client);
        }
        assert_eq!(server.log()["outcome"], "peer_gone", "round {round}");
    }
    assert_eq!(steady.get("/small").status, 200);
    server.log();
    assert_eq!(server.descriptors(), before);
}
