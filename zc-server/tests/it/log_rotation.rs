//! logrotate, as it is installed, with the configuration of the book: no line is lost or split.

use std::collections::HashMap;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;

use crate::harness::clients::Home;
use crate::harness::{Server, temp_root, wait_until};
use crate::log_file::{targets, text_of};

const ROTATIONS: usize = 20;
const CLIENTS: usize = 4;
/// Where the book has the configuration.
const BOOK: &str = include_str!("../../../docs/src/logging.md");

/// The configuration of the book for this file and this process.
fn configuration(log: &Path, pid: u32, signal: &str) -> String {
    let begin = BOOK
        .find("/var/log/zc-server/access.log {")
        .expect("it is there");
    let end = begin + BOOK[begin..].find("\n}\n").expect("its end") + 3;
    let mut text = BOOK[begin..end].to_owned();
    for (of_book, of_test) in [
        ("/var/log/zc-server/access.log", log.display().to_string()),
        // As many as are made here.
        ("rotate 14", "rotate 100".to_owned()),
        (
            "systemctl kill --kill-whom=main --signal=USR1 zc-server.service",
            format!("kill -{signal} {pid}"),
        ),
    ] {
        assert_eq!(text.matches(of_book).count(), 1, "{of_book}: {text}");
        text = text.replace(of_book, &of_test);
    }
    text
}

/// Asks all along until it is over; answers how often.
fn ask(server: &Server, client: usize, is_over: &AtomicBool) -> usize {
    let mut asked = 0;
    while !is_over.load(Ordering::Relaxed) {
        let stream = TcpStream::connect(server.address).expect("it listens");
        let mut connection = server.client(stream);
        for _ in 0..50 {
            let response = connection.get(&format!("/{client}-{asked}"));
            assert_eq!(response.status, 404);
            asked += 1;
        }
    }
    asked
}

/// The lines of the log and of all files that it was renamed to.
fn all_targets(home: &Home, directory: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.to_str().expect("UTF-8");
        let text = if name.ends_with(".gz") {
            home.succeed("gzip", &["--decompress", "--stdout", name])
        } else {
            text_of(&path)
        };
        all.extend(targets(&text));
    }
    all
}

fn logrotate_renames_and_signals(signal: &str) {
    let Some(home) = Home::for_clients(&["logrotate", "gzip"]) else {
        return;
    };
    // In memory, where there is a place for it: a disk may take longer than the queue of the log has room for.
    let logs = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| temp_root());
    let logs = logs.path();
    // logrotate passes over files in a directory that others may write to.
    fs::set_permissions(logs, fs::Permissions::from_mode(0o755)).expect("chmod");
    let log = logs.join("access.log");
    let server = Server::start(&[&format!("--log-file={}", log.display()), "--threads", "2"]);
    home.write(
        "logrotate.conf",
        configuration(&log, server.pid(), signal).as_bytes(),
    );
    let is_over = AtomicBool::new(false);
    let (is_over, asked_of) = (&is_over, &server);
    let asked = std::thread::scope(|scope| {
        let clients =
            (0..CLIENTS).map(|client| scope.spawn(move || ask(asked_of, client, is_over)));
        let clients = Vec::from_iter(clients);
        for _ in 0..ROTATIONS {
            // An empty file is not rotated.
            wait_until("a line is in the log", || !text_of(&log).is_empty());
            home.succeed(
                "logrotate",
                &["--force", "--state", "state", "logrotate.conf"],
            );
            // The server makes it. From then on it writes no more to the renamed one, which the next rotation
            // compresses.
            wait_until("the log is opened again", || log.exists());
        }
        is_over.store(true, Ordering::Relaxed);
        let asked = clients
            .into_iter()
            .map(|client| client.join().expect("answers"));
        Vec::from_iter(asked)
    });
    server.signal(Signal::SIGTERM);
    let (status, said) = server.wait();
    assert!(status.success() && !said.contains("dropped"), "{said}");
    let files = fs::read_dir(logs).expect("a directory").count();
    assert_eq!(files, ROTATIONS + 1, "{said}");
    let mut seen: HashMap<String, usize> = HashMap::new();
    for target in all_targets(&home, logs) {
        *seen.entry(target).or_default() += 1;
    }
    for (client, asked) in asked.iter().enumerate() {
        for number in 0..*asked {
            let target = format!("/{client}-{number}");
            assert_eq!(seen.remove(&target), Some(1), "{target} of {asked}: {said}");
        }
    }
    assert!(seen.is_empty(), "{seen:?}");
}

#[test]
fn logrotate_renames_and_signals_usr1() {
    logrotate_renames_and_signals("USR1");
}

#[test]
fn logrotate_renames_and_signals_hup() {
    logrotate_renames_and_signals("HUP");
}
