//! The example that explains says the truth on every path, and the one for tokio sends every byte.

mod common;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use common::{PORTABLE, assert_same_bytes, patterned, tcp_pair};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tokio::runtime::{Builder, Runtime};
use zc_core::Fetcher;

// Its `main` takes the arguments of a program, which a test has none of.
#[allow(dead_code)]
#[path = "../examples/which_path.rs"]
mod which_path;

#[allow(dead_code)]
#[path = "../examples/tokio_server.rs"]
mod tokio_server;

/// The lines about a file of these bytes, on the disk of the build directory.
fn told(bytes: &[u8]) -> String {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    let mut lines = Vec::new();
    which_path::tell(&path, &mut lines).unwrap();
    String::from_utf8(lines).unwrap()
}

#[test]
fn which_path_answers_where_the_filesystem_is_not_told() {
    let told = told(&[7; 5000]);
    let (path, filesystem) = if PORTABLE {
        ("path        copy", "unknown: ")
    } else {
        ("path        sendfile", "FileSystem(")
    };
    for part in [path, filesystem, ": 5000 bytes", "received    4096 bytes"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let refused = told.contains("because     sendfile refused");
    assert_eq!(refused, PORTABLE, "{told}");
}

#[test]
fn which_path_says_in_one_line_what_cannot_be_sent() {
    let directory = tempfile::tempdir().unwrap();
    let mut lines = Vec::new();
    for (path, said) in [
        (directory.path().join("none"), "give a file: No such file"),
        (directory.path().to_owned(), "is not a regular file"),
    ] {
        let error = which_path::tell(&path, &mut lines).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(said) && !error.contains('\n'), "{error}");
    }
    assert_eq!(lines, b"");
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_io().build().unwrap()
}

/// A file of these bytes on a disk, of which as little is in memory as the system can be told.
fn cold_file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
    file
}

/// A socket of tokio's, and its peer, which does not block. Their buffers hold less than a turn.
fn tokio_pair() -> (tokio::net::TcpStream, TcpStream) {
    let (sender, reader) = tcp_pair(Some(128 << 10), Some(128 << 10));
    (tokio::net::TcpStream::from_std(sender).unwrap(), reader)
}

fn received_from(address: SocketAddr) -> Vec<u8> {
    let mut received = Vec::new();
    let mut client = TcpStream::connect(address).unwrap();
    client.read_to_end(&mut received).unwrap();
    received
}

#[test]
fn under_tokio_a_full_socket_is_waited_for_and_every_byte_arrives() {
    let bytes = patterned(8 << 20, 120);
    let file = cold_file(&bytes);
    let report = runtime().block_on(async {
        let (stream, mut peer) = tokio_pair();
        let length = bytes.len() as u64 - 3;
        let fetcher = Arc::new(Fetcher::new().unwrap());
        let sending = tokio::spawn(async move {
            tokio_server::send(&stream, Arc::new(file), 3, length, fetcher).await
        });
        // There is one thread, so that nobody reads while a turn is sent: it meets a full socket.
        let mut received = Vec::new();
        let mut chunk = [0; 64 << 10];
        loop {
            match peer.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            tokio::task::yield_now().await;
        }
        assert_same_bytes(&received, &bytes[3..]);
        sending.await.unwrap().unwrap()
    });
    assert_eq!(report.bytes(), (8 << 20) - 3);
    assert!(report.would_blocks > 0, "the socket was never full");
    assert_eq!(report.fallback.is_some(), PORTABLE);
}

#[test]
fn under_tokio_everyone_who_connects_gets_the_file() {
    let bytes = patterned(5 << 20, 121);
    let file = cold_file(&bytes);
    runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(tokio_server::serve(listener, file));
        let clients: Vec<_> = (0..4)
            .map(|_| tokio::task::spawn_blocking(move || received_from(address)))
            .collect();
        for client in clients {
            assert_same_bytes(&client.await.unwrap(), &bytes);
        }
        serving.abort();
    });
}

#[test]
fn under_tokio_a_file_that_is_cut_is_an_error_and_not_a_short_success() {
    let file = cold_file(&patterned(10_000, 122));
    let error = runtime().block_on(async {
        let (stream, _peer) = tokio_pair();
        let fetcher = Arc::new(Fetcher::new().unwrap());
        let sent = tokio_server::send(&stream, Arc::new(file), 0, 10_001, fetcher).await;
        sent.unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("10000"), "{error}");
}
