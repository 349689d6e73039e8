//! SIGHUP has the configuration file read again: what can change does, what cannot is named, and a wrong file changes
//! nothing.

use std::path::Path;

use nix::sys::signal::Signal;

use zc_bench::slow_fs::{Content, Operation, Treatment};

use crate::harness::mounts::slow_fs;
use crate::harness::{Client, Response, Server, binary, pattern, temp_root};

/// More than the buffers of two sockets hold.
const LONG_BYTES: usize = 16 << 20;
const READ_AGAIN: &str = "the configuration was read again";

/// A server whose options stand in a file beside its roots `one` and `two`.
struct Reloaded {
    server: Server,
}

impl Reloaded {
    fn start(lines: &str) -> Self {
        let directory = temp_root();
        for name in ["one", "two"] {
            let root = directory.path().join(name);
            std::fs::create_dir_all(root.join("empty")).expect("a directory");
            std::fs::write(root.join("f"), name).expect("a file");
            std::fs::write(root.join("long"), pattern(LONG_BYTES, 3)).expect("a file");
        }
        write(directory.path(), lines);
        let mut command = binary();
        // Paths in the file are relative to it. A variable would take precedence over it.
        command.current_dir(directory.path());
        command.env_remove("ZC_IDLE_TIMEOUT");
        command.args([
            "--config",
            "zc.toml",
            "--threads",
            "2",
            "--bind",
            "127.0.0.1:0",
        ]);
        Self {
            server: Server::start_from(command, directory),
        }
    }

    #[track_caller]
    fn reload(&mut self, lines: &str, said: &str) {
        write(self.server.root.path(), lines);
        self.server.signal(Signal::SIGHUP);
        self.server.said_with(said);
    }
}

fn write(directory: &Path, lines: &str) {
    std::fs::write(directory.join("zc.toml"), lines).expect("a file");
}

fn ask(client: &mut Client, host: &str, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    client.send(request.as_bytes());
    client.response(false)
}

#[test]
fn roots_sites_and_rules_change_and_what_is_under_way_does_not() {
    let mut reloaded = Reloaded::start("root = \"one\"\nheader = [\"X-Config: 1\"]\n");
    let mut long = reloaded.server.connect();
    long.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
    long.wait_until_begun();
    let mut client = reloaded.server.connect();
    assert_eq!(&client.get("/f").body[..], b"one");
    reloaded.reload(
        "root = \"two\"\nlisting = false\n[headers]\nX-Config = \"2\"\n\
         [[site]]\nhost = \"one.example\"\nroot = \"one\"\n",
        READ_AGAIN,
    );
    // On the connection that was open before, and on a new one.
    for client in [&mut client, &mut reloaded.server.connect()] {
        let response = client.get("/f");
        assert_eq!(&response.body[..], b"two");
        assert_eq!(response.field("x-config"), Some("2"));
        assert_eq!(client.get("/empty/").status, 404);
        assert_eq!(&ask(client, "one.example", "/f").body[..], b"one");
    }
    let response = long.response(false);
    assert!(response.body == pattern(LONG_BYTES, 3), "it goes on");
    assert_eq!(response.field("x-config"), Some("1"));
}

#[test]
fn a_wrong_file_changes_nothing_and_says_why() {
    let right = "root = \"one\"\nheader = [\"X-Config: 1\"]\n";
    let mut reloaded = Reloaded::start(right);
    for (wrong, said) in [
        (
            "root = \"two\"\nthread = 1\n",
            "the configuration stays as it was: zc.toml:2:1: there is no option `thread`; did you mean `threads`?",
        ),
        (
            "root = \"two\"\nidle-timeout = \"soon\"\n",
            "not a time; examples: 500ms, 10s, 1m",
        ),
        (
            "root = \"none\"\n",
            "root `none` does not exist; name a directory or a file",
        ),
        (
            "root = \"two\"\nerror-page = \"404=none.html\"\n",
            "stays as it was: --error-page 404=none.html",
        ),
    ] {
        reloaded.reload(wrong, said);
        let response = reloaded.server.get("/f");
        assert_eq!(
            (&response.body[..], response.field("x-config")),
            (&b"one"[..], Some("1"))
        );
    }
    std::fs::remove_file(reloaded.server.path("zc.toml")).expect("a file");
    reloaded.server.signal(Signal::SIGHUP);
    reloaded
        .server
        .said_with("stays as it was: cannot read the configuration file `zc.toml`");
    reloaded.reload(&right.replace('1', "2"), READ_AGAIN);
    assert_eq!(reloaded.server.get("/f").field("x-config"), Some("2"));
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_changes() {
    let mut reloaded = Reloaded::start("root = \"one\"\n");
    let said = "until a restart these stay as they were: --cache-bytes, --disk-threads\n";
    for _ in 0..2 {
        reloaded.reload(
            "root = \"two\"\ncache-bytes = \"1MiB\"\ndisk-threads = 3\nthreads = 7\n",
            said,
        );
        assert_eq!(&reloaded.server.get("/f").body[..], b"two");
    }
}

#[test]
fn limits_change_for_connections_that_are_open() {
    let mut reloaded = Reloaded::start("root = \"one\"\nmax-connections = 1\n");
    let mut first = reloaded.server.connect();
    first.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
    first.wait_until_begun();
    // It waits in the listen queue as long as one may be open.
    let mut second = reloaded.server.connect();
    second.send(b"GET /f HTTP/1.1\r\nHost: t\r\n\r\n");
    reloaded.reload("root = \"one\"\nmax-connections = 2\n", READ_AGAIN);
    assert_eq!(&second.response(false).body[..], b"one");
    reloaded.reload("root = \"one\"\nidle-timeout = \"1ms\"\n", READ_AGAIN);
    // Its deadline was set by the earlier limit, and the next one by the new one.
    assert_eq!(second.get("/f").status, 200);
    second.expect_end();
    assert!(first.response(false).body == pattern(LONG_BYTES, 3));
}

#[test]
fn who_may_ask_changes() {
    let mut reloaded = Reloaded::start("root = \"one\"\n");
    let mut client = reloaded.server.connect();
    assert_eq!(client.get("/f").status, 200);
    reloaded.reload("root = \"one\"\ndeny = \"127.0.0.0/8\"\n", READ_AGAIN);
    assert_eq!(client.get("/f").status, 403);
    reloaded.reload(
        "root = \"one\"\nallow = \"127.0.0.0/8\"\nrequest-id = true\nmax-requests-per-connection = 2\n",
        READ_AGAIN,
    );
    let response = client.get("/f");
    assert_eq!(
        (response.status, response.field("connection")),
        (200, Some("close"))
    );
    assert!(response.field("x-request-id").is_some());
    client.expect_end();
}

#[test]
fn connections_that_are_open_count_when_the_limit_of_an_address_changes() {
    let mut reloaded = Reloaded::start("root = \"one\"\nmax-connections-per-ip = 3\n");
    let mut open = [reloaded.server.connect(), reloaded.server.connect()];
    for client in &mut open {
        assert_eq!(client.get("/f").status, 200);
    }
    if reloaded.server.is_tls() {
        // A connection too many is closed before the handshake.
        return;
    }
    reloaded.reload("root = \"one\"\nmax-connections-per-ip = 2\n", READ_AGAIN);
    assert_eq!(reloaded.server.connect().get("/f").status, 503);
    reloaded.reload("root = \"one\"\nmax-connections-per-ip = 3\n", READ_AGAIN);
    assert_eq!(reloaded.server.connect().get("/f").status, 200);
}

#[test]
fn signals_while_the_file_is_read_are_not_lost() {
    let mut reloaded = Reloaded::start("root = \"one\"\nheader = [\"X-Config: 0\"]\n");
    for number in 1..50 {
        write(
            reloaded.server.root.path(),
            &format!("root = \"two\"\nheader = [\"X-Config: {number}\"]\n"),
        );
        reloaded.server.signal(Signal::SIGHUP);
    }
    crate::harness::wait_until("the last file counts", || {
        reloaded.server.get("/f").field("x-config") == Some("49")
    });
    reloaded.server.said_with(READ_AGAIN);
}

#[test]
fn a_server_under_load_is_reloaded_without_a_failure() {
    let mut reloaded = Reloaded::start("root = \"one\"\n");
    let address = reloaded.server.address;
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let (is_over, server) = (&is_over, &reloaded.server);
    std::thread::scope(|scope| {
        let clients = Vec::from_iter((0..4).map(|_| {
            scope.spawn(move || {
                let mut asked = 0;
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    let stream = std::net::TcpStream::connect(address).expect("it listens");
                    let mut client = server.client(stream);
                    for _ in 0..20 {
                        let response = client.get("/f");
                        assert_eq!(response.status, 200);
                        assert!(
                            ["one", "two"]
                                .iter()
                                .any(|body| body.as_bytes() == response.body)
                        );
                        asked += 1;
                    }
                }
                asked
            })
        }));
        for number in 0..40 {
            let root = ["one", "two"][number % 2];
            let lines = format!("root = \"{root}\"\nheader = [\"X-Config: {number}\"]\n");
            write(server.root.path(), &lines);
            server.signal(Signal::SIGHUP);
            crate::harness::wait_until("it is in use", || {
                server.get("/f").field("x-config") == Some(&number.to_string())
            });
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        for client in clients {
            assert!(client.join().expect("every response was right") > 0);
        }
    });
    reloaded.reload("root = \"one\"\n", READ_AGAIN);
}

#[test]
fn an_answer_that_comes_too_late_has_no_fields_of_a_site_that_is_gone() {
    let directory = temp_root();
    for name in ["one", "two/slow"] {
        std::fs::create_dir_all(directory.path().join(name)).expect("a directory");
    }
    let Some(mount) = slow_fs(&directory.path().join("two/slow")) else {
        return;
    };
    let content = Content::Pattern { seed: 1, length: 9 };
    mount.add("f", content);
    let common = "root = \"one\"\n";
    let site = "[[site]]\nhost = \"two.example\"\nroot = \"two\"\nheader = [\"X-Site: two\"]\nlisting = false\n";
    write(directory.path(), &format!("{common}{site}"));
    let mut command = binary();
    command.current_dir(directory.path());
    command.args(["--config", "zc.toml", "--bind", "127.0.0.1:0"]);
    command.args(["--disk-timeout", "300ms"]);
    let mut reloaded = Reloaded {
        server: Server::start_from(command, directory),
    };
    mount.treat(Operation::LookUp, Treatment::Hold);
    let mut client = reloaded.server.connect();
    client.send(b"GET /slow/f HTTP/1.1\r\nHost: two.example\r\n\r\n");
    mount.wait_until_held(Operation::LookUp, 1);
    reloaded.reload(common, READ_AGAIN);
    let response = client.response(false);
    assert_eq!((response.status, response.field("x-site")), (504, None));
    mount.treat(Operation::LookUp, Treatment::Answer);
    drop(reloaded);
}
