//! Running out of file descriptors.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::tls::says_not_by_tls;
use crate::harness::workers::Workers;
use crate::harness::{Client, Server, binary, temp_root, wait_until};

/// A step of the clock that the kernel measures pauses with, and a little more.
const CLOCK_STEP: Duration = Duration::from_millis(10);

/// A server with a soft limit of open files and a hard one.
fn start(soft: &str, hard: &str, options: &[&str]) -> Server {
    let root = temp_root();
    std::fs::write(root.path().join("f"), b"body").expect("a file");
    let served = root.path().to_owned();
    let mut command = Command::new("sh");
    let limits = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    command.args(["-c", &limits]).arg(binary().get_program());
    Server::start_with(command, root, &served, options)
}

/// Clients with a part of a request under way each: idle ones would make room.
fn busy(server: &Server, count: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..count).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(b"GET /f HTTP/1.1\r\n");
    }
    clients
}

fn set_limit(server: &Server, limit: usize) {
    let status = Command::new("prlimit")
        .arg(format!("--pid={}", server.pid()))
        .arg(format!("--nofile={limit}:"))
        .status();
    assert!(status.expect("prlimit of util-linux").success());
}

#[test]
fn the_limit_of_open_files_is_raised_and_said() {
    let banner = start("200", "300", &["--max-connections", "10"]).banner();
    let said = "raised the limit of open files from 200 to 300\n";
    assert!(banner.contains(said), "{banner}");
    let banner = start("300", "300", &["--max-connections", "10"]).banner();
    assert!(!banner.contains("raised"), "{banner}");
}

#[test]
fn out_of_descriptors_new_connections_are_told_so() {
    if says_not_by_tls("a client that is not accepted cannot shake hands, and is waited for") {
        return;
    }
    const CLIENTS: usize = 100;
    let mut server = start("64", "64", &["--header-timeout", "1h"]);
    let mut clients = busy(&server, CLIENTS);
    let line = server.said_with("cannot accept connections");
    assert!(line.contains("answering 503; raise the limit"), "{line}");
    let mut refused = clients.split_off(CLIENTS - 40);
    for client in refused.iter_mut().rev() {
        let response = client.response(false);
        assert_eq!(response.status, 503);
        assert_eq!(response.field("retry-after"), Some("1"));
        assert_eq!(response.field("connection"), Some("close"));
        client.expect_end();
        let log = server.log();
        assert_eq!(
            (&log["status"], &log["outcome"]),
            (&503.into(), &"complete".into())
        );
    }
    // They are not refused for being late: when there is room, all are served.
    drop(refused);
    clients.truncate(10);
    wait_until("there are descriptors", || server.get("/f").status == 200);
    for client in &mut clients {
        client.send(b"Host: t\r\n\r\n");
        assert_eq!(client.response(false).body, b"body");
    }
    // The reserve is there again.
    let _busy = busy(&server, CLIENTS);
    let last = server.request("GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(last.status, 503);
}

#[test]
fn without_a_reserve_it_rests_and_recovers() {
    if says_not_by_tls("a client that is not accepted cannot shake hands, and is waited for") {
        return;
    }
    let server = start("64", "64", &["--header-timeout", "1h"]);
    let mut clients = busy(&server, 10);
    // Below all numbers that are in use: giving one up brings none.
    set_limit(&server, 3);
    let mut more = busy(&server, 10);
    // Between two tries to accept it sleeps, for as long as the pause is: a worker that spins never
    // sleeps, and one that tries at once has slept as often in no time. On a busy machine it only
    // takes longer.
    const PAUSE: Duration = Duration::from_millis(100);
    const PAUSES: u32 = 3;
    let workers = server.workers();
    let asleep = |workers: &Workers| {
        wait_until("the worker sleeps", || workers.wait_for_events());
        workers.sleeps()
    };
    let before = asleep(&workers);
    let since = Instant::now();
    wait_until("it tries again", || {
        asleep(&workers) > before + u64::from(PAUSES)
    });
    // The first pause may have begun before.
    assert!(
        since.elapsed() + CLOCK_STEP >= PAUSE * PAUSES,
        "it tried {PAUSES} times in {:?}",
        since.elapsed()
    );
    set_limit(&server, 64);
    for client in clients.iter_mut().chain(&mut more) {
        client.send(b"Host: t\r\n\r\n");
        assert_eq!(client.response(false).body, b"body");
    }
}
