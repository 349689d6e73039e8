//! Starting, flags and the access log, as a user meets them.

use std::net::TcpListener;
use std::process::Command;

use crate::harness::bounded::run_to_end;
use crate::harness::tls::sent_by;
use crate::harness::{Client, Server, binary, pattern, temp_root, wait_until};
use nix::sys::signal::Signal;

/// Runs the binary to its end; answers its exit code and what it said on standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    run_to_end(binary().args(arguments))
}

#[test]
fn an_address_in_use_is_refused_even_by_a_second_instance() {
    let server = Server::start(&[]);
    let address = server.address.to_string();
    let root = temp_root();
    let path = root.path().to_str().expect("UTF-8");
    let (code, said) = run(&["--bind", &address, path]);
    assert_eq!(code, Some(1));
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = other.local_addr().expect("bound").to_string();
    let (code, said) = run(&["--bind", &address, path]);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
}

#[test]
fn wrong_arguments_name_the_thing_and_the_mend() {
    let rows: [(&[&str], i32, &[&str]); 9] = [
        (&["/no/such/root"], 1, &["/no/such/root"]),
        (&["/dev/null"], 1, &["/dev/null"]),
        (&["--method", "mmap"], 2, &["mmap", "sendfile"]),
        (&["--threads", "0"], 2, &["--threads", "0"]),
        (&["--bind", "nonsense"], 2, &["--bind", "nonsense"]),
        (&["--send-timeout", "0"], 2, &["--send-timeout"]),
        (&["--idle-timeout", "soon"], 2, &["--idle-timeout", "soon"]),
        (&["--max-connections", "-1"], 2, &["-1"]),
        (&["--no-such-flag"], 2, &["--no-such-flag"]),
    ];
    for (arguments, code, words) in rows {
        let (answer, said) = run(arguments);
        assert_eq!(answer, Some(code), "{arguments:?}: {said}");
        for word in words {
            assert!(
                said.contains(word),
                "{arguments:?} does not say {word}: {said}"
            );
        }
    }
}

#[test]
fn a_missing_dev_null_is_named() {
    // A mount namespace whose /dev is empty, as in a chroot that nobody has filled.
    let in_namespace = |program: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        command.arg("mount -t tmpfs tmpfs /dev && exec \"$0\" \"$@\"");
        command
            .args(program)
            .output()
            .expect("unshare of util-linux")
    };
    if !in_namespace(&["true"]).status.success() {
        println!("no mount namespaces here: nothing to test");
        return;
    }
    let root = temp_root();
    let path = root.path().to_str().expect("UTF-8");
    let output = in_namespace(&[
        env!("CARGO_BIN_EXE_zc-server"),
        "--bind",
        "127.0.0.1:0",
        path,
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/dev/null: No such file"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn pages_that_are_missing_are_told_of_at_the_start() {
    let root = temp_root();
    let (main, site) = (root.path().join("main"), root.path().join("site"));
    for directory in [&main, &site] {
        std::fs::create_dir(directory).expect("a directory");
    }
    std::fs::write(main.join("page.html"), b"x").expect("a file");
    std::fs::create_dir(main.join("dir")).expect("a directory");
    std::os::unix::fs::symlink("../site", main.join("out")).expect("a link");
    std::fs::write(site.join("secret.html"), b"x").expect("a file");
    let main = main.canonicalize().expect("a path");
    let site = site.canonicalize().expect("a path");
    let shown = |directory: &std::path::Path| directory.display().to_string();
    let site_option = format!("--site=one.example={}", shown(&site));
    let rows: [(&[&str], &str, String); 6] = [
        (
            &["--spa"],
            "--spa=index.html",
            format!("`{}/index.html`", shown(&main)),
        ),
        (
            &["--error-page", "404=no/page.html"],
            "--error-page 404=no/page.html",
            format!("`{}/no/page.html`", shown(&main)),
        ),
        (
            &["--spa=dir"],
            "--spa=dir",
            format!("`{}/dir`", shown(&main)),
        ),
        // What is outside the root is not there.
        (
            &["--spa=out/secret.html"],
            "--spa=out/secret.html",
            format!("`{}/out", shown(&main)),
        ),
        // Every site needs its own.
        (
            &["--spa=page.html", &site_option],
            "--spa=page.html",
            shown(&site),
        ),
        (
            &["--site=one.example=/no/such/root"],
            "--site one.example=/no/such/root: ",
            "`/no/such/root` does not exist".to_owned(),
        ),
    ];
    for (options, option, path) in rows {
        let arguments = [
            options,
            &["--bind=127.0.0.1:0", main.to_str().expect("UTF-8")],
        ]
        .concat();
        let (code, said) = run(&arguments);
        assert_eq!(
            (code, said.lines().count()),
            (Some(1), 1),
            "{options:?}: {said}"
        );
        assert!(
            said.contains(option) && said.contains(&path),
            "{options:?}: {said}"
        );
    }
}

#[test]
fn several_addresses_and_an_unread_environment() {
    let root = temp_root();
    std::fs::write(root.path().join("f"), b"x").expect("a file");
    let mut command = binary();
    command.args(["--bind", "[::1]:0"]).env("ZC_THREADS", "1");
    let served = root.path().to_owned();
    let server = Server::start_with(command, root, &served, &[]);
    assert!(
        server.plain_address.is_ipv6(),
        "the first address named is printed first"
    );
    assert_eq!(server.get("/f").body, b"x");
}

#[test]
fn the_environment_has_a_value_on_each_line_and_an_empty_variable_is_none() {
    let root = temp_root();
    std::fs::write(root.path().join("f"), b"x").expect("a file");
    let mut command = binary();
    command
        .env("ZC_ROOT", root.path())
        .env("ZC_BIND", "127.0.0.1:0\n127.0.0.1:0\n")
        .env("ZC_HEADER", "X-A: one, two\nX-B: three\n")
        .env("ZC_THREADS", "")
        .env("ZC_LISTING", "");
    let server = Server::start_from(command, root);
    let response = server.get("/f");
    assert_eq!(response.body, b"x");
    assert_eq!(response.field("x-a"), Some("one, two"));
    assert_eq!(response.field("x-b"), Some("three"));
    let mut wrong = binary();
    let output = wrong
        .env("ZC_BIND", "nonsense")
        .output()
        .expect("the binary");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("nonsense") && said.contains("ZC_BIND"),
        "{said}"
    );
}

#[test]
fn a_named_method_and_the_default_one_are_logged() {
    for (method, path) in [
        ("auto", "sendfile"),
        ("sendfile", "sendfile"),
        ("splice", "splice"),
        ("copy", "copy"),
    ] {
        let mut server = Server::start(&["--method", method]);
        server.write("f", &pattern(50_000, 41));
        assert_eq!(server.get("/f").body.len(), 50_000);
        let log = server.log();
        assert_eq!(log["send_path"], sent_by(path), "{log}");
        assert_eq!(log["target"], "/f", "{log}");
        assert_eq!(log["method"], "GET", "{log}");
        assert!(log["us"].as_u64().is_some(), "{log}");
    }
}

#[test]
fn a_connection_without_a_request_is_the_kernels_unless_told_otherwise() {
    for (word, accepted) in [("on", 1), ("off", 2)] {
        let server = Server::start(&["--defer-accept", word, "--congestion", "cubic"]);
        // The root is opened by the first request.
        let mut first = server.connect();
        assert_eq!(first.get("/missing").status, 404);
        let before = server.descriptors();
        let _silent = server.connect();
        // Accepted in order: with this one answered, the one before would have been taken, too.
        let mut client = server.connect();
        assert_eq!(client.get("/missing").status, 404);
        assert_eq!(server.descriptors(), before + accepted, "{word}");
    }
}

#[test]
fn no_worker_is_idle_while_another_has_two_connections() {
    const WORKERS: usize = 4;
    let server = Server::start(&["--threads", "4"]);
    let mut clients: Vec<Client> = Vec::new();
    for count in 1..=3 * WORKERS {
        let mut client = server.connect();
        assert_eq!(client.get("/missing").status, 404);
        clients.push(client);
        // A connection is registered after its first answer at the latest.
        let workers = server.workers();
        wait_until("all wait for events", || workers.wait_for_events());
        let mut loads = watched_by_each_worker(&server);
        loads.sort_unstable();
        // Beside connections each watches a listener, one more of HTTPS, its waker and, where it may have one,
        // its ring.
        let has_ring = zc_core::DiskRing::<std::fs::File>::new(1).is_ok();
        let own = 2 + usize::from(server.is_tls()) + usize::from(has_ring);
        let expected: Vec<usize> = (0..WORKERS)
            .map(|worker| own + (count + worker) / WORKERS)
            .collect();
        assert_eq!(loads, expected, "{count} connections");
    }
}

/// How many descriptors each epoll instance of the server watches.
fn watched_by_each_worker(server: &Server) -> Vec<usize> {
    std::fs::read_dir(format!("/proc/{}/fdinfo", server.pid()))
        .expect("our child")
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
        .map(|info| info.lines().filter(|line| line.starts_with("tfd:")).count())
        .filter(|&watched| watched > 0)
        .collect()
}

#[test]
fn a_full_disk_below_the_log_is_told_as_that() {
    let root = temp_root();
    let mut command = Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_zc-server");
    command.args(["-c", "exec \"$0\" \"$@\" >/dev/full", binary]);
    let served = root.path().to_owned();
    let server = Server::start_with(command, root, &served, &[]);
    assert_eq!(server.get("/none").status, 404);
    server.signal(Signal::SIGTERM);
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(
        said.contains("1 line dropped") && said.contains("No space left"),
        "{said}"
    );
    assert!(!said.contains("too slow"), "{said}");
}

#[test]
fn the_log_has_the_host_that_was_asked_for() {
    let mut server = Server::start(&[]);
    server.write("f", b"x");
    for (target, host, expected) in [
        ("/f", "Example.org:8080", "Example.org:8080".into()),
        (
            "http://target.example/f",
            "field.example",
            "target.example".into(),
        ),
        ("/f", "", serde_json::Value::Null),
        ("/%zz", "bad.example", "bad.example".into()),
    ] {
        server.request(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let log = server.log();
        assert_eq!(log["host"], expected, "{log}");
        assert_eq!(log["path"], serde_json::Value::Null, "{log}");
    }
    server.request("GET /f HTTP/1.1\r\n\r\n");
    assert_eq!(server.log()["host"], serde_json::Value::Null);
}

#[test]
fn log_lines_that_found_the_queue_full_are_written_without_another_request() {
    // A line a turn, and more turns than the pipe and the queue hold: the last lines stay with the
    // worker. Nothing but the log wakes it, since it has no connection left and no deadline is near.
    const REQUESTS: usize = 600;
    let timeouts = ["--header-timeout", "--idle-timeout", "--disk-timeout"];
    let mut server = Server::start(&timeouts.map(|name| [name, "600s"]).concat());
    let target = format!("/{}", "x".repeat(1000));
    let before = server.descriptors();
    let mut client = server.connect();
    for _ in 0..REQUESTS {
        assert_eq!(client.get(&target).status, 404);
    }
    drop(client);
    let workers = server.workers();
    wait_until("the connection is closed and all wait for events", || {
        server.descriptors() <= before && workers.wait_for_events()
    });
    for _ in 0..REQUESTS {
        assert_eq!(server.log()["status"], 404);
    }
}
