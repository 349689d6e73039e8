//! Room for new connections where there is none: the connection that has been idle longest makes it.

use std::io::Read;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::harness::{Client, Server, pattern, wait_until};

const MAX: usize = 10;
const AT_MOST_TEN: &[&str] = &["--max-connections", "10"];

/// A server that closes no connection for being idle.
fn server(threads: &str, more: &[&str]) -> Server {
    let options = ["--threads", threads, "--idle-timeout", "1h"];
    let options = [&options[..], more].concat();
    let server = Server::start(&options);
    server.write("f", b"body");
    server
}

/// A connection that is idle after one response.
fn idle(server: &Server) -> Client {
    let mut client = server.connect();
    assert_eq!(client.get("/f").body, b"body");
    wait_until_told(server);
    client
}

/// Waits until each worker has told the others since when its connections are idle: it does so behind its answers.
fn wait_until_told(server: &Server) {
    let workers = server.workers();
    wait_until("the workers sleep", || workers.wait_for_events());
}

/// How many connections these lines say were closed, and in how many lines.
fn reported(said: &str, why: &str) -> (usize, usize) {
    let lines = said.lines().filter(|line| line.contains(why));
    let counts = lines.map(|line| {
        let words = line.strip_prefix("zc-server: closed ").expect("its words");
        let count = words.split(' ').next().expect("a word");
        count.parse::<usize>().expect("a number")
    });
    counts.fold((0, 0), |(sum, lines), count| (sum + count, lines + 1))
}

#[test]
fn the_connection_that_was_idle_longest_makes_room() {
    for threads in ["1", "4"] {
        let server = server(threads, AT_MOST_TEN);
        let mut clients: Vec<Client> = (0..MAX).map(|_| idle(&server)).collect();
        let mut eleventh = idle(&server);
        clients.remove(0).expect_end();
        // The others have not lost theirs, and have now been idle for less time than the eleventh.
        for client in &mut clients {
            assert_eq!(client.get("/f").body, b"body", "{threads} threads");
        }
        wait_until_told(&server);
        let mut more = vec![idle(&server)];
        eleventh.expect_end();
        for _ in 0..4 {
            more.push(idle(&server));
            clients.remove(0).expect_end();
        }
        for client in clients.iter_mut().chain(&mut more) {
            assert_eq!(client.get("/f").body, b"body", "{threads} threads");
        }
        server.signal(Signal::SIGTERM);
        let (_, said) = server.wait();
        // The first is reported at once, the others of the same minute together: at the end.
        let (closed, lines) = reported(&said, "at --max-connections 10; raise it");
        assert_eq!(closed, 6, "{said}");
        assert!(lines >= 2, "{said}");
        assert!(threads == "4" || lines == 2, "{said}");
    }
}

#[test]
fn one_closed_connection_is_one_line() {
    let mut server = server("1", AT_MOST_TEN);
    let _clients: Vec<Client> = (0..=MAX).map(|_| idle(&server)).collect();
    let line = server.said_with("closed 1 idle connection");
    assert!(line.contains("lower --idle-timeout"), "{line}");
    server.signal(Signal::SIGTERM);
    let (_, said) = server.wait();
    assert!(!said.contains("closed"), "{said}");
}

#[test]
fn no_connection_with_a_request_makes_room() {
    for threads in ["1", "4"] {
        let server = server(threads, AT_MOST_TEN);
        let large = pattern(16 << 20, 3);
        server.write("large", &large);
        let mut partial: Vec<Client> = (0..MAX / 2).map(|_| server.connect()).collect();
        for client in &mut partial {
            client.send(b"GET /f HTTP/1.1\r\nHost: t\r\nX: ");
        }
        let mut downloads: Vec<Client> = (0..MAX / 2).map(|_| server.connect()).collect();
        for client in &mut downloads {
            client.send(b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n");
            client.wait_until_begun();
        }
        let mut eleventh = server.connect();
        std::thread::scope(|scope| {
            let eleventh = scope.spawn(move || eleventh.get("/f").body);
            // Once one of them is idle, there is room.
            let mut first = partial.remove(0);
            first.send(b"y\r\n\r\n");
            assert_eq!(first.response(false).body, b"body");
            assert_eq!(eleventh.join().expect("no panic"), b"body");
            first.expect_end();
        });
        for client in &mut partial {
            client.send(b"y\r\n\r\n");
            assert_eq!(client.response(false).body, b"body", "{threads} threads");
        }
        for client in &mut downloads {
            let is_whole = client.response(false).body == large;
            assert!(is_whole, "{threads} threads");
        }
    }
}

#[test]
fn a_connection_that_never_sent_a_byte_makes_room() {
    for threads in ["1", "4"] {
        let server = server(threads, &[AT_MOST_TEN, &["--defer-accept", "off"]].concat());
        let sockets = || {
            let links = server.descriptor_paths().into_iter();
            let targets = links.filter_map(|path| std::fs::read_link(path).ok());
            let is_socket = |target: &PathBuf| target.to_string_lossy().starts_with("socket:");
            targets.filter(is_socket).count()
        };
        let listeners = sockets();
        let mut silent: Vec<Client> = (0..MAX).map(|_| server.connect()).collect();
        wait_until("all are accepted", || sockets() == listeners + MAX);
        let mut eleventh = idle(&server);
        // Which one was accepted first depends on the workers.
        for client in &silent {
            client.stream.set_nonblocking(true).expect("a socket");
        }
        let has_ended = |client: &&mut Client| matches!((&client.stream).read(&mut [0]), Ok(0));
        wait_until("one of them has ended", || {
            silent.iter_mut().filter(has_ended).count() == 1
        });
        assert_eq!(eleventh.get("/f").body, b"body");
    }
}

#[test]
fn idle_connections_make_room_where_descriptors_have_run_out() {
    let server = server("1", &[]);
    let options = |client: &mut Client| {
        // It needs no file.
        client.send(b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n");
        assert!(matches!(client.response(true).status, 200 | 204));
    };
    let mut clients: Vec<Client> = (0..MAX).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(options);
    server.leave_descriptors(0);
    let mut more: Vec<Client> = Vec::new();
    for _ in 0..MAX / 2 {
        let mut client = server.connect();
        options(&mut client);
        more.push(client);
        clients.remove(0).expect_end();
    }
    clients.iter_mut().chain(&mut more).for_each(options);
    server.signal(Signal::SIGTERM);
    let (_, said) = server.wait();
    let (closed, _) = reported(&said, "no file descriptor was free");
    assert_eq!(closed, MAX / 2, "{said}");
    assert!(!said.contains("cannot accept"), "{said}");
}
