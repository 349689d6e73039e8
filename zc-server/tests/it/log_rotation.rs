//! logrotate, as it is installed, with the configuration of the book: no line is lost or split.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::clients::Home;
use crate::harness::{Server, temp_root, wait_until};
use crate::log_file::{targets, text_of};

const ROTATIONS: usize = 20;
const CLIENTS: usize = 4;
/// Requests of each client for each rotation. The lines of all of them fit in the queue of the log: a thread that has
/// to wait for a processor for seconds drops none.
const REQUESTS: usize = 200;
/// How often a client looks for the next rotation.
const PAUSE: Duration = Duration::from_millis(1);
/// Where the book has the configuration.
const BOOK: &str = include_str!("../../../docs/src/logging.md");

/// The configuration of the book for this file and this process.
fn configuration(log: &Path, pid: u32, signal: &str) -> String {
    let begin = BOOK.find("/var/log/zc/access.log {").expect("it is there");
    let end = begin + BOOK[begin..].find("\n}\n").expect("its end") + 3;
    let mut text = BOOK[begin..end].to_owned();
    for (of_book, of_test) in [
        ("/var/log/zc/access.log", log.display().to_string()),
        // As many as are made here.
        ("rotate 14", "rotate 100".to_owned()),
        (
            "systemctl kill --kill-whom=main --signal=USR1 zc.service",
            format!("kill -{signal} {pid}"),
        ),
    ] {
        assert_eq!(text.matches(of_book).count(), 1, "{of_book}: {text}");
        text = text.replace(of_book, &of_test);
    }
    text
}

/// Asks as often as the rotations that were begun allow, until all are over; answers how often.
fn ask(server: &Server, client: usize, rotations: &AtomicUsize) -> usize {
    let mut connection = server.connect();
    let mut asked = 0;
    while asked < ROTATIONS * REQUESTS {
        let begun = rotations.load(Ordering::Acquire);
        if asked == begun * REQUESTS {
            std::thread::park_timeout(PAUSE);
            continue;
        }
        let response = connection.get(&format!("/{client}-{asked}"));
        assert_eq!(response.status, 404);
        asked += 1;
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
    // In memory, where there is a place for it: a disk takes a while for each rotation.
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
    let rotations = AtomicUsize::new(0);
    let (rotations, asked_of) = (&rotations, &server);
    let asked = std::thread::scope(|scope| {
        let clients =
            (0..CLIENTS).map(|client| scope.spawn(move || ask(asked_of, client, rotations)));
        let clients = Vec::from_iter(clients);
        for rotation in 1..=ROTATIONS {
            rotations.store(rotation, Ordering::Release);
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
