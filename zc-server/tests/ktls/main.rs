//! The server where the kernel seals what it sends, as a client sees it.
//!
//! Most of these tests need a kernel with the module `tls`, and are skipped without it. `cargo xtask vm-test` runs
//! all of them in virtual machines, with `TEST_REQUIRE_KTLS=1` where nothing may be skipped.

#![cfg(feature = "tls")]

#[path = "../harness/mod.rs"]
mod harness;

mod bodies;
mod client;
mod doctor;
mod ends;
mod keys;
mod starts;

use std::net::SocketAddr;

use harness::{Server, binary, temp_root};

/// What is served.
const SMALL: &str = "small";
/// Its length in bytes.
const SMALL_BYTES: usize = 1000;

/// Whether the kernel can seal records.
fn has_module() -> bool {
    let support = zc_core::ktls::probe().unwrap();
    if let Some(refusal) = support.refusal {
        let is_required = std::env::var_os("TEST_REQUIRE_KTLS").is_some_and(|value| value == "1");
        assert!(!is_required, "{refusal}");
        println!("skipped: no TLS module");
    }
    support.refusal.is_none()
}

/// Bytes that are equal at no two offsets that are near or a multiple of a page apart.
fn patterned(length: usize) -> Vec<u8> {
    let byte = |at: usize| (at ^ (at >> 8).wrapping_mul(17) ^ (at >> 16).wrapping_mul(29)) as u8;
    (0..length).map(byte).collect()
}

/// Compares without printing megabytes.
#[track_caller]
fn assert_same_bytes(got: &[u8], expected: &[u8]) {
    let differ = got
        .iter()
        .zip(expected)
        .position(|(got, expected)| got != expected);
    let lengths = (got.len(), expected.len());
    assert_eq!(
        (lengths.0, differ),
        (lengths.1, None),
        "length, first other byte"
    );
}

/// A server whose long bodies the kernel seals, with a worker, and where it takes HTTPS.
fn start(files: &[(&str, usize)], options: &[&str]) -> (Server, SocketAddr) {
    let root = temp_root();
    let pair = client::certificate();
    std::fs::write(root.path().join("cert.pem"), &pair.certificate).unwrap();
    std::fs::write(root.path().join("key.pem"), &pair.key).unwrap();
    let served = root.path().join("served");
    std::fs::create_dir(&served).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = served.join(name);
        std::fs::write(&path, bytes).unwrap();
        // As though it had been written a minute ago: of a file that was written in this second not all is said.
        let written = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(written).unwrap();
    };
    for (name, length) in files {
        file(name, &patterned(*length));
    }
    file(SMALL, &patterned(SMALL_BYTES));
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| root.path().join(name));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let tls = [
        "--tls-bind",
        "127.0.0.1:0",
        "--tls-cert",
        cert,
        "--tls-key",
        key,
    ];
    let options = [&tls[..], &["--ktls", "on"], options].concat();
    let mut server = Server::start_with(binary(), root, &served, &options);
    let line = server.said_with("https://");
    let address = line.trim().trim_start_matches("https://");
    let address = address.trim_end_matches('/').parse().expect("an address");
    (server, address)
}

/// Waits until the worker has handled all that reached it before.
fn wait_for_worker(server: &Server) {
    // One connection more each time: its events come behind those of the others.
    for _ in 0..2 {
        assert_eq!(server.get("/small").status, 200);
    }
}

/// The next line of the log with this target.
fn log_of(server: &mut Server, target: &str) -> serde_json::Value {
    loop {
        let line = server.log();
        if line["target"] == target {
            return line;
        }
    }
}
