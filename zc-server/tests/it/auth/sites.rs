//! Users of sites, and what checking their passwords takes.

use std::time::Duration;

use super::{ANN, BOB, DENIED, GRANTED, SLOW, Users, ask, assert_challenged, basic};
use crate::admin::Watched;
use crate::harness::{Client, Response, Server, binary, temp_root, wait_until};

/// A configuration file beside the roots `main`, `open` and `own`, each with a file `f` of its name.
struct Sites {
    watched: Watched,
}

impl Sites {
    fn start(lines: &str) -> Self {
        let directory = temp_root();
        let path = |name: &str| directory.path().join(name);
        for name in ["main", "open", "own"] {
            std::fs::create_dir(path(name)).expect("a directory");
            std::fs::write(path(name).join("f"), name).expect("a file");
        }
        for (name, lines) in [
            ("ann", ANN),
            ("bob", BOB),
            ("slow", SLOW),
            ("zc.toml", lines),
        ] {
            std::fs::write(path(name), lines).expect("a file");
        }
        let mut command = binary();
        // Relative paths begin there, although the server leaves it.
        command.current_dir(directory.path());
        command.args(["--config", "zc.toml", "--bind", "127.0.0.1:0"]);
        command.args(["--admin-bind", "127.0.0.1:0", "--threads", "1"]);
        Self {
            watched: Watched::of(Server::start_from(command, directory)),
        }
    }

    fn get(&self, host: &str, target: &str, fields: &str) -> Response {
        let fields = format!("Host: {host}\r\nConnection: close\r\n{fields}");
        let server = &self.watched.server;
        server.request(&format!("GET {target} HTTP/1.1\r\n{fields}\r\n"))
    }
}

#[test]
fn each_site_has_its_users_or_none() {
    let sites = Sites::start(
        "root = \"main\"\nauth-file = \"ann\"\n\
         [[site]]\nhost = \"open.example\"\nroot = \"open\"\nauth-file = \"off\"\n\
         [[site]]\nhost = \"own.example\"\nroot = \"own\"\nauth-file = \"bob\"\n\
         [[site]]\nhost = \"same.example\"\nroot = \"open\"\n",
    );
    let (ann, bob) = (basic("ann:secret"), basic("bob:other"));
    for (host, fields, body) in [
        ("main.example", &ann, Some("main")),
        ("main.example", &bob, None),
        ("open.example", &String::new(), Some("open")),
        ("open.example", &bob, Some("open")),
        ("own.example", &bob, Some("own")),
        ("own.example", &ann, None),
        ("same.example", &ann, Some("open")),
        ("same.example", &String::new(), None),
    ] {
        for _ in 0..2 {
            let response = sites.get(host, "/f", fields);
            match body {
                Some(body) => assert_eq!(response.body, body.as_bytes(), "{host}"),
                None => assert_challenged(&response),
            }
        }
    }
    // Of two sites with the same file the one knows what the other has checked.
    assert_eq!(sites.watched.value(GRANTED), 2.0);
    assert_eq!(sites.watched.value(DENIED), 2.0);
}

#[test]
fn a_password_is_checked_once_and_remembered_right_or_wrong() {
    let users = Users::of(&format!("{ANN}{SLOW}"));
    let of_users = users.option();
    let watched = Watched::start(&[("f", &[7; 100_000])], &[&of_users, "--threads", "2"]);
    let server = &watched.server;
    // All at once, before anybody knows.
    let slow = basic("slow:secret");
    let clients: Vec<Client> = (0..16)
        .map(|part| {
            let mut client = server.connect();
            let range = format!("Range: bytes={part}000-{part}999\r\n");
            let request = format!("GET /f HTTP/1.1\r\nHost: t\r\n{range}{slow}\r\n");
            client.send(request.as_bytes());
            client
        })
        .collect();
    for mut client in clients {
        assert_eq!(client.response(false).status, 206);
    }
    assert_eq!((watched.value(GRANTED), watched.value(DENIED)), (1.0, 0.0));
    let mut client = server.connect();
    for _ in 0..20 {
        assert_eq!(ask(&mut client, "/f", &basic("ann:secret")).status, 200);
        // Neither a field that is none, nor its absence, takes a check.
        assert_eq!(ask(&mut client, "/f", "").status, 401);
        assert_eq!(
            ask(&mut client, "/f", "Authorization: Basic x\r\n").status,
            401
        );
    }
    assert_eq!((watched.value(GRANTED), watched.value(DENIED)), (2.0, 0.0));
    for number in 1..=3 {
        let wrong = basic(&format!("ann:wrong{number}"));
        assert_challenged(&ask(&mut client, "/f", &wrong));
        assert_eq!(watched.value(DENIED), f64::from(number));
    }
    // Unknown names are checked as well.
    assert_challenged(&ask(&mut client, "/f", &basic("nobody:x")));
    assert_eq!((watched.value(GRANTED), watched.value(DENIED)), (2.0, 4.0));
}

#[test]
fn a_flood_of_wrong_passwords_hinders_neither_files_nor_other_clients() {
    let sites = Sites::start(
        "root = \"main\"\nauth-file = \"slow\"\ntrusted-proxy = \"127.0.0.1\"\n\
         [[site]]\nhost = \"open.example\"\nroot = \"open\"\nauth-file = \"off\"\n",
    );
    let watched = &sites.watched;
    let flood: Vec<Client> = (0..100)
        .map(|number| {
            let mut client = watched.server.connect();
            let fields = basic(&format!("slow:{number}"));
            let client_field = "X-Forwarded-For: 192.0.2.1\r\n";
            let request = format!("GET /f HTTP/1.1\r\nHost: t\r\n{client_field}{fields}\r\n");
            client.send(request.as_bytes());
            client
        })
        .collect();
    let waiting = "zc_disk_queue_jobs{pool=\"auth\"}";
    wait_until("the flood waits", || watched.value(waiting) > 50.0);
    // Half of the threads are left to others.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / 2).clamp(2, 16);
    let busy = "zc_disk_queue_threads_busy{pool=\"auth\"}";
    wait_until("a thread checks", || watched.value(busy) >= 1.0);
    let busy = watched.value(busy);
    assert!(busy <= threads.div_ceil(2) as f64, "{busy} of {threads}");
    assert!(watched.value("zc_disk_queue_threads{pool=\"auth\"}") >= 1.0);
    // A listing takes a thread of the disk.
    for (target, status) in [("/f", 200), ("/", 200), ("/none", 404)] {
        assert_eq!(sites.get("open.example", target, "").status, status);
    }
    // Another client need not wait for the flood.
    let other = format!("X-Forwarded-For: 192.0.2.2\r\n{}", basic("slow:secret"));
    assert_eq!(sites.get("main.example", "/f", &other).body, b"main");
    assert!(watched.value(waiting) > 50.0, "the flood waits still");
    assert_eq!(watched.value(GRANTED), 1.0);
    // Nobody checks for who is gone.
    for client in flood {
        let socket = socket2::SockRef::from(&client.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    }
    watched.wait_for(waiting, 0.0);
    assert!(watched.value(DENIED) < 50.0);
}

#[test]
fn who_comes_to_a_full_queue_is_asked_to_come_again() {
    let sites = Sites::start("root = \"main\"\nauth-file = \"slow\"\n");
    let server = &sites.watched.server;
    let mut flood = server.connect();
    let mut others = Vec::new();
    // Of 512 places one client may have 256.
    for number in 0..300 {
        let fields = basic(&format!("slow:{number}"));
        let mut client = server.connect();
        client.send(format!("GET /f HTTP/1.1\r\nHost: t\r\n{fields}\r\n").as_bytes());
        others.push(client);
    }
    let refused = "zc_disk_queue_refused_total{pool=\"auth\"}";
    wait_until("some are refused", || sites.watched.value(refused) >= 10.0);
    let response = ask(&mut flood, "/f", &basic("slow:another"));
    assert_eq!(
        (response.status, response.field("retry-after")),
        (503, Some("1"))
    );
}
