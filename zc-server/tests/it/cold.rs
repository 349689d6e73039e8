//! Disks that are slow, or never answer: whoever asks for something else is served meanwhile.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::harness::tls::sent_by;
use crate::harness::{Client, Server, binary, codings, pattern, temp_root, wait_until};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::signal::Signal;
use zc_bench::slow_fs::{self, Content, Operation, SlowFs, Treatment};

/// Downloads that the disk holds back.
const COLD: usize = 8;
/// Requests that are answered meanwhile.
const HOT: usize = 1000;
const SEED: u64 = 77;

/// A root with a hot file, and below it one or two file systems that do what they are told.
struct Slow {
    // Dropped first: a server whose thread waits for a mount cannot end before it.
    mounts: Vec<SlowFs>,
    server: Server,
}

impl Slow {
    /// `None` where FUSE cannot be used.
    fn start(names: &[&str], length: u64, options: &[&str]) -> Option<Self> {
        let root = temp_root();
        std::fs::write(root.path().join("hot"), b"hot").expect("a file");
        let mut mounts = Vec::new();
        for name in names {
            std::fs::create_dir(root.path().join(name)).expect("a directory");
            match SlowFs::mount(root.path().join(name)) {
                Ok(mount) => mounts.push(mount),
                Err(error) => {
                    println!("no FUSE here ({error}): nothing to test");
                    return None;
                }
            }
        }
        for mount in &mounts {
            for index in 0..COLD as u64 {
                let seed = SEED + index;
                mount.add(format!("{index}"), Content::Pattern { seed, length });
            }
        }
        let served = root.path().to_owned();
        let server = Server::start_with(binary(), root, &served, options);
        Some(Self { mounts, server })
    }

    /// Sends one request for each file of `mount`, on a connection of its own.
    fn ask(&self, mount: &str) -> Vec<Client> {
        // Nobody could shake hands with a worker that the disk holds.
        let mut clients: Vec<_> = (0..COLD).map(|_| self.server.connect()).collect();
        clients.iter().for_each(Client::shake_hands);
        for (index, client) in clients.iter_mut().enumerate() {
            let request = format!("GET /{mount}/{index} HTTP/1.1\r\nHost: t\r\n\r\n");
            client.send(request.as_bytes());
        }
        clients
    }

    /// Hot requests on one connection, each answered before the next.
    fn serve_hot(&self) {
        let mut client = self.server.connect();
        for _ in 0..HOT {
            assert_eq!(client.get("/hot").body, b"hot");
        }
    }

    /// The same where the disk has a limit of time, which a machine that is busy may exceed.
    fn serve_hot_at_last(&self) {
        wait_until("what is hot", || self.server.get("/hot").body == b"hot");
    }

    /// The next line of the log that is not about the hot file.
    fn cold_log(&mut self) -> serde_json::Value {
        loop {
            let log = self.server.log();
            if log["target"] != "/hot" {
                return log;
            }
        }
    }
}

fn assert_all_arrive(clients: Vec<Client>, length: u64) {
    for (index, mut client) in clients.into_iter().enumerate() {
        let response = client.response(false);
        assert_eq!(response.status, 200, "{index}");
        let expected = slow_fs::pattern(SEED + index as u64, 0, length as usize);
        assert!(response.body == expected, "{index}");
    }
}

#[test]
fn hot_requests_are_answered_while_every_cold_read_is_held() {
    let length = 6_000_000;
    let Some(mut slow) = Slow::start(&["cold"], length, &[]) else {
        return;
    };
    slow.mounts[0].treat(Operation::Read, Treatment::Hold);
    let clients = slow.ask("cold");
    slow.mounts[0].wait_until_held(Operation::Read, COLD);
    slow.serve_hot();
    assert!(clients.iter().all(|client| client.buffered() == 0));
    slow.mounts[0].treat(Operation::Read, Treatment::Answer);
    assert_all_arrive(clients, length);
    for _ in 0..COLD {
        let log = slow.cold_log();
        assert_eq!(
            (&log["outcome"], &log["send_path"]),
            (&"complete".into(), &sent_by("copy").into())
        );
        assert!(log["cold_windows"].as_u64() >= Some(3), "{log}");
        assert!(log["disk_us"].as_u64() > Some(0), "{log}");
    }
}

#[test]
fn without_the_guard_one_cold_read_holds_the_worker() {
    let length = 300_000;
    let Some(slow) = Slow::start(&["cold"], length, &["--offload-cold-reads", "off"]) else {
        return;
    };
    slow.mounts[0].treat(Operation::Read, Treatment::Hold);
    let workers = {
        assert_eq!(slow.server.get("/hot").body, b"hot");
        slow.server.workers()
    };
    let clients = slow.ask("cold");
    slow.mounts[0].wait_until_held(Operation::Read, 1);
    // The one worker sleeps, and not where events would wake it.
    wait_until("the worker sleeps in the disk", || {
        workers.sleep_elsewhere()
    });
    slow.mounts[0].treat(Operation::Read, Treatment::Answer);
    assert_all_arrive(clients, length);
    slow.serve_hot();
}

#[test]
fn hot_requests_are_answered_while_looking_up_and_opening_are_held() {
    let length = 10_000;
    for operation in [Operation::LookUp, Operation::Open] {
        let Some(slow) = Slow::start(&["cold"], length, &[]) else {
            return;
        };
        slow.mounts[0].treat(operation, Treatment::Hold);
        let clients = slow.ask("cold");
        slow.mounts[0].wait_until_held(operation, 1);
        slow.serve_hot();
        assert!(clients.iter().all(|client| client.buffered() == 0));
        slow.mounts[0].treat(operation, Treatment::Answer);
        assert_all_arrive(clients, length);
    }
}

#[test]
fn hot_requests_are_answered_while_all_that_belongs_to_a_response_is_looked_for() {
    let length = 10_000;
    let options = [
        "--cache-ttl=0",
        "--precompressed=gz",
        "--error-page=404=cold/1",
    ];
    let Some(slow) = Slow::start(&["cold"], length, &options) else {
        return;
    };
    // Its sidecar alone lies on the slow one.
    slow.server.write("page", b"page");
    let page = File::open(slow.server.path("page")).expect("a file");
    page.set_modified(SystemTime::UNIX_EPOCH).expect("a time");
    let gzip = codings::gzip(b"page");
    slow.mounts[0].add("page.gz", Content::Bytes(gzip.clone().into()));
    symlink("cold/page.gz", slow.server.path("page.gz")).expect("a link");
    slow.server.wait_until_settled("/cold/2");
    let kept = slow.server.get("/cold/2");
    assert_eq!(kept.status, 200);
    let etag = kept.field("etag").expect("a tag");
    let cold = |index| slow_fs::pattern(SEED + index, 0, length as usize);
    let is_kept = format!("If-None-Match: {etag}\r\n");
    for (what, target, fields, status, expected) in [
        ("a sidecar", "/page", "Accept-Encoding: gzip\r\n", 200, gzip),
        ("an error page", "/none", "", 404, cold(1)),
        ("a kept file", "/cold/2", "", 200, cold(2)),
        ("a kept validator", "/cold/2", &is_kept, 304, Vec::new()),
    ] {
        slow.mounts[0].treat(Operation::LookUp, Treatment::Hold);
        let mut client = slow.server.connect();
        let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\n{fields}\r\n");
        client.send(request.as_bytes());
        slow.mounts[0].wait_until_held(Operation::LookUp, 1);
        slow.serve_hot();
        assert_eq!(client.buffered(), 0, "{what}");
        slow.mounts[0].treat(Operation::LookUp, Treatment::Answer);
        let response = client.response(false);
        assert_eq!(response.status, status, "{what}");
        assert!(response.body == expected, "{what}");
    }
}

#[test]
fn closing_waits_on_nobodys_time() {
    let length = 10_000;
    let Some(slow) = Slow::start(&["cold"], length, &[]) else {
        return;
    };
    slow.mounts[0].treat(Operation::Close, Treatment::Hold);
    assert_all_arrive(slow.ask("cold"), length);
    slow.mounts[0].wait_until_held(Operation::Close, 1);
    slow.serve_hot();
}

#[test]
fn every_method_goes_by_a_thread_and_says_its_path() {
    let length = 6_000_000;
    let Some(mut slow) = Slow::start(&["cold"], length, &["--method-override"]) else {
        return;
    };
    let expected = slow_fs::pattern(SEED, 0, length as usize);
    for method in ["sendfile", "splice", "copy"] {
        let response = slow.server.get(&format!("/cold/0?method={method}"));
        assert!(response.body == expected, "{method}");
        let log = slow.cold_log();
        assert_eq!(log["send_path"], sent_by(method));
        assert!(log["cold_windows"].as_u64() >= Some(3), "{log}");
    }
    // Several parts, each of them by a thread.
    let ranges = "Range: bytes=0-9,1000000-5999999\r\n";
    let response = slow.server.get_with("/cold/0?method=sendfile", ranges);
    assert_eq!(response.status, 206);
    let part = &expected[1_000_000..];
    assert!(response.body.windows(part.len()).any(|bytes| bytes == part));
}

#[test]
fn a_disk_that_never_answers_takes_no_other_with_it() {
    let length = 10_000;
    // The limit of a disk is the default: what is fine is slow as well where the machine is busy.
    let options = ["--disk-threads", "4"];
    let Some(slow) = Slow::start(&["hung", "fine"], length, &options) else {
        return;
    };
    slow.mounts[0].treat(Operation::LookUp, Treatment::Hold);
    // Twice as many as there are threads.
    let hung = slow.ask("hung");
    slow.mounts[0].wait_until_held(Operation::LookUp, 1);
    assert_all_arrive(slow.ask("fine"), length);
    slow.serve_hot();
    assert!(hung.iter().all(|client| client.buffered() == 0));
}

#[test]
fn a_disk_that_never_answers_is_told() {
    let length = 10_000;
    let options = ["--disk-timeout", "300ms", "--disk-threads", "4"];
    let Some(mut slow) = Slow::start(&["hung"], length, &options) else {
        return;
    };
    slow.mounts[0].treat(Operation::LookUp, Treatment::Hold);
    // Twice as many as there are threads.
    let mut hung = slow.ask("hung");
    slow.mounts[0].wait_until_held(Operation::LookUp, 1);
    slow.serve_hot_at_last();
    for client in &mut hung {
        let response = client.response(false);
        assert_eq!(response.status, 504);
        assert_eq!(response.field("connection"), Some("close"));
    }
    // What was queued and is not wanted any more is not done either.
    let before = slow.mounts[0].count(Operation::Open);
    slow.mounts[0].treat(Operation::LookUp, Treatment::Answer);
    let mut asked = 0;
    for index in 0..COLD {
        // Once more where the machine, and not the disk, took too long.
        wait_until("the disk answers", || {
            asked += 1;
            let response = slow.server.get(&format!("/hung/{index}"));
            let expected = slow_fs::pattern(SEED + index as u64, 0, length as usize);
            response.status == 200 && response.body == expected
        });
    }
    let opened = slow.mounts[0].count(Operation::Open) - before;
    // Those of half of the threads had begun, and nobody can stop them.
    assert!(
        opened <= asked + 2,
        "{opened} files were opened for {asked} requests"
    );
    for _ in 0..COLD {
        assert_eq!(slow.cold_log()["status"], 504);
    }
}

#[test]
fn a_read_that_never_ends_is_504_before_the_head_and_a_cut_after_it() {
    let length = 8_000_000;
    let Some(mut slow) = Slow::start(&["hung"], length, &["--disk-timeout", "300ms"]) else {
        return;
    };
    slow.mounts[0].treat(Operation::Read, Treatment::Hold);
    assert_eq!(slow.server.get("/hung/0").status, 504);
    assert_eq!(slow.cold_log()["outcome"], "complete");
    slow.mounts[0].treat(Operation::Read, Treatment::Answer);
    // The head is out and some of the body when the disk stops; once more where the machine, and not the
    // disk, took too long for the head.
    let mut client = slow.server.connect();
    wait_until("the disk answers", || {
        client = slow.server.connect();
        client.send(b"GET /hung/1 HTTP/1.1\r\nHost: t\r\n\r\n");
        let mut first = [0; 12];
        client.read_exact(&mut first).expect("the head");
        let is_sent = first == *b"HTTP/1.1 200";
        if !is_sent {
            slow.cold_log();
        }
        is_sent
    });
    slow.mounts[0].treat(Operation::Read, Treatment::Hold);
    let mut rest = Vec::new();
    let ended = client.read_to_end(&mut rest);
    assert!(rest.len() < length as usize, "{ended:?}: it was cut");
    let log = slow.cold_log();
    assert_eq!(log["outcome"], "disk_timeout", "{log}");
    slow.serve_hot_at_last();
}

#[test]
fn a_read_that_fails_is_500_before_the_head() {
    let Some(mut slow) = Slow::start(&["cold"], 1_000_000, &[]) else {
        return;
    };
    slow.mounts[0].treat(Operation::Read, Treatment::Fail(nix::libc::EIO));
    assert_eq!(slow.server.get("/cold/0").status, 500);
    assert_eq!(slow.cold_log()["status"], 500);
    slow.mounts[0].treat(Operation::Open, Treatment::Fail(nix::libc::EACCES));
    assert_eq!(slow.server.get("/cold/1").status, 403);
    slow.mounts[0].treat(Operation::Open, Treatment::Fail(nix::libc::EIO));
    assert_eq!(slow.server.get("/cold/1").status, 500);
}

#[test]
fn a_client_that_leaves_while_the_disk_is_waited_for_leaves_nothing_behind() {
    let length = 1_000_000;
    let options = ["--disk-threads", "2", "--cache-files", "0"];
    let Some(mut slow) = Slow::start(&["cold"], length, &options) else {
        return;
    };
    slow.serve_hot();
    let before = slow.server.descriptors();
    for operation in [Operation::LookUp, Operation::Read] {
        slow.mounts[0].treat(operation, Treatment::Hold);
        let clients = slow.ask("cold");
        slow.mounts[0].wait_until_held(operation, 1);
        // A reset discards a request that nobody has read.
        let workers = slow.server.workers();
        wait_until("all requests are taken", || workers.wait_for_events());
        for client in clients {
            // A reset, so that nobody can take it for the end of sending alone.
            socket2::SockRef::from(&client.stream)
                .set_linger(Some(Duration::ZERO))
                .expect("a socket");
            drop(client);
        }
        for _ in 0..COLD {
            let log = slow.cold_log();
            assert_eq!(
                (&log["outcome"], &log["bytes"]),
                (&"peer_gone".into(), &0.into())
            );
            let has_answer = !log["status"].is_null();
            assert!(operation == Operation::Read || !has_answer, "{log}");
        }
        slow.mounts[0].treat(operation, Treatment::Answer);
    }
    // Each has a socket, a copy of it, and a file; the threads let go of theirs in their own time.
    wait_until("all descriptors are closed", || {
        slow.server.descriptors() <= before
    });
    slow.serve_hot();
}

#[test]
fn files_that_are_kept_open_make_room_for_one_on_a_slow_disk() {
    let length = 10_000;
    // One is needed for the file, and one for the socket, by which a thread sends.
    for spare in [0, 1] {
        let options = ["--cache-files", "100"];
        let Some(slow) = Slow::start(&["cold"], length, &options) else {
            return;
        };
        let mut client = slow.server.connect();
        for index in 0..10 {
            slow.server.write(&format!("kept{index}"), b"x");
        }
        slow.server.wait_until_settled("/kept9");
        for index in 0..10 {
            for _ in 0..2 {
                assert_eq!(client.get(&format!("/kept{index}")).status, 200);
            }
        }
        slow.server.leave_descriptors(spare);
        let response = client.get("/cold/0");
        assert_eq!(response.status, 200, "with {spare} to spare");
        assert!(response.body == slow_fs::pattern(SEED, 0, length as usize));
    }
}

#[test]
fn the_server_stops_although_the_disk_does_not_answer() {
    let options = ["--grace-period", "200ms", "--disk-threads", "2"];
    let Some(mut slow) = Slow::start(&["hung"], 1_000_000, &options) else {
        return;
    };
    slow.mounts[0].treat(Operation::Read, Treatment::Hold);
    let clients = slow.ask("hung");
    slow.mounts[0].wait_until_held(Operation::Read, 1);
    slow.server.signal(Signal::SIGTERM);
    for _ in 0..COLD {
        assert_eq!(slow.cold_log()["outcome"], "shutdown");
    }
    let Slow { mounts, server } = slow;
    // The kernel lets the threads go once the mount does.
    drop(mounts);
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(3), "{said}");
    drop(clients);
}

#[test]
fn a_file_cut_while_its_window_is_fetched_ends_the_connection() {
    let length = 2_000_000;
    let Some(mut slow) = Slow::start(&["cold"], length, &[]) else {
        return;
    };
    slow.mounts[0].treat(Operation::Read, Treatment::Hold);
    let mut client = slow.server.connect();
    client.send(b"GET /cold/0 HTTP/1.1\r\nHost: t\r\n\r\nGET /hot HTTP/1.1\r\nHost: t\r\n\r\n");
    slow.mounts[0].wait_until_held(Operation::Read, 1);
    slow.mounts[0].set_content(
        "0",
        Content::Pattern {
            seed: SEED,
            length: 100_000,
        },
    );
    slow.mounts[0].treat(Operation::Read, Treatment::Answer);
    let cut = client
        .try_response(false)
        .expect_err("the promise is not met");
    assert!(cut.contains("of 2000000 bytes"), "{cut}");
    assert_eq!(slow.cold_log()["outcome"], "truncated");
}

/// A root on a disk, and not in memory as temporary directories may be.
fn root_on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

/// Drops these bytes of a file from memory.
fn evict(path: &Path, offset: i64, length: i64) {
    let file = File::open(path).expect("a file");
    file.sync_all().expect("a disk");
    let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    posix_fadvise(&file, offset, length, advice).expect("advice");
}

#[test]
fn files_that_are_not_in_memory_arrive_whole() {
    let root = root_on_disk();
    let lengths = [1, 4096, 65_537, 1 << 20, 5_000_001];
    let bodies: Vec<_> = lengths
        .iter()
        .map(|&length| pattern(length, length as u64))
        .collect();
    let served = root.path().to_owned();
    for (index, body) in bodies.iter().enumerate() {
        std::fs::write(served.join(index.to_string()), body).expect("a file");
    }
    let mut server = Server::start_with(binary(), root, &served, &[]);
    let mut cold_windows = 0;
    for round in 0..3 {
        for (index, body) in bodies.iter().enumerate() {
            evict(&served.join(index.to_string()), 0, 0);
            let response = server.get(&format!("/{index}"));
            assert!(response.body == *body, "{index} in round {round}");
            let log = server.log();
            assert_eq!(log["outcome"], "complete");
            let waited = log["cold_windows"].as_u64().expect("a number");
            // A short one that the kernel did not drop is read behind its head.
            assert!(
                log["send_path"] == sent_by("sendfile") || (waited == 0 && body.len() <= 16 << 10),
                "{log}"
            );
            cold_windows += waited;
        }
    }
    assert!(cold_windows > 0, "nothing was ever out of memory");
    // And when they are, nobody but the worker has to do with them.
    for index in 0..bodies.len() {
        server.get(&format!("/{index}"));
        assert_eq!(server.log()["cold_windows"], 0, "{index}");
    }
}

#[test]
fn a_hole_between_two_ends_that_are_in_memory_is_survived() {
    let root = root_on_disk();
    let served = root.path().to_owned();
    let body = pattern(4 << 20, 3);
    std::fs::write(served.join("f"), &body).expect("a file");
    let server = Server::start_with(binary(), root, &served, &[]);
    for _ in 0..5 {
        for window in 0..4 {
            evict(
                &served.join("f"),
                (window << 20) + 65_536,
                (1 << 20) - 131_072,
            );
        }
        assert!(server.get("/f").body == body);
    }
}

#[test]
fn eviction_at_any_moment_changes_no_byte() {
    let root = root_on_disk();
    let served = root.path().to_owned();
    let body = pattern(6_000_000, 4);
    std::fs::write(served.join("f"), &body).expect("a file");
    let server = Server::start_with(binary(), root, &served, &[]);
    std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let path = served.join("f");
        scope.spawn(move || {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                evict(&path, 0, 0);
                // Without a pause the threads of the disk, which come after everybody, have no turn.
                std::thread::park_timeout(Duration::from_micros(200));
            }
        });
        for _ in 0..15 {
            assert!(server.get("/f").body == body);
        }
        drop(stop);
    });
}
