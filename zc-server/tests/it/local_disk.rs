//! A disk of this machine that does not answer, or fails: short files on it are waited for by io_uring,
//! and by threads without that.
//!
//! The disk is an image of ext4 in a file of a file system that does what it is told, behind a loop
//! device.

use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::admin::Watched;
use crate::harness::mounts::LoopDisk;
use crate::harness::segments::Inbox;
use crate::harness::{Client, Server, binary, pattern, temp_root, wait_until};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc::EIO;
use nix::sys::signal::Signal;
use zc_bench::slow_fs::{Operation, Treatment};

const FILES: usize = 8;
const LENGTH: usize = 64 << 10;
/// Requests that are answered while the disk is not.
const HOT: usize = 200;
/// Both ways to wait.
const WAYS: [&[&str]; 2] = [&[], &["--io-uring", "off"]];

/// What the server reads of a long file in one go, in bytes.
const WINDOW: usize = 2 << 20;

/// A server of a root on such a disk: `hot`, in memory, and `0`, `1` and so on and `long`, which are not.
struct Slow {
    // Dropped first: a server that reads from the disk keeps it from being unmounted.
    server: Option<Server>,
    disk: LoopDisk,
    root: tempfile::TempDir,
}

impl Drop for Slow {
    fn drop(&mut self) {
        // No process ends that waits for the disk in the kernel.
        self.answer();
    }
}

fn body(index: usize) -> Vec<u8> {
    pattern(LENGTH, 40 + index as u64)
}

/// Of more than two windows.
fn long_body() -> Vec<u8> {
    pattern(2 * WINDOW + 100_003, 39)
}

impl Slow {
    /// `None` where FUSE, loop devices or ext4 cannot be used.
    fn start(options: &[&str]) -> Option<Self> {
        let root = temp_root();
        let disk = LoopDisk::mount(root.path(), 16 << 20, |files| {
            std::fs::write(files.join("hot"), b"hot").expect("a file");
            std::fs::write(files.join("long"), long_body()).expect("a file");
            for index in 0..FILES {
                std::fs::write(files.join(index.to_string()), body(index)).expect("a file");
            }
        })?;
        let server = Server::start_with(binary(), temp_root(), root.path(), options);
        // Names and lengths are known from here on, and what is hot is in memory; once more where the
        // machine takes longer than the disk may.
        wait_until("what is hot", || server.get("/hot").body == b"hot");
        for index in 0..FILES {
            wait_until("a length", || {
                server.head_with(&format!("/{index}"), "").status == 200
            });
        }
        Some(Self {
            server: Some(server),
            disk,
            root,
        })
    }

    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("it runs")
    }

    /// One request for each file, on a connection of its own, of which the disk has some.
    fn ask(&mut self) -> Vec<Client> {
        self.disk.device.treat(Operation::Read, Treatment::Hold);
        let ask = |index| {
            let mut client = self.server().connect();
            client.send(format!("GET /{index} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
            client
        };
        let clients = (0..FILES).map(ask).collect();
        self.disk.device.wait_until_held(Operation::Read, 1);
        clients
    }

    fn answer(&self) {
        self.disk.device.treat(Operation::Read, Treatment::Answer);
    }

    fn serve_hot(&mut self) {
        let mut client = self.server().connect();
        for _ in 0..HOT {
            assert_eq!(client.get("/hot").body, b"hot");
        }
    }

    /// Threads of the disk that wait for it now: others may be there, which have looked names up.
    fn waiting_threads(&mut self) -> usize {
        let tasks = format!("/proc/{}/task", self.server().pid());
        std::fs::read_dir(tasks)
            .expect("our child")
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
            .filter(|stat| stat.contains("(zc-read-") && stat.contains(") D "))
            .count()
    }

    /// The next line of the log about one of the files on the disk.
    fn cold_log(&mut self) -> serde_json::Value {
        loop {
            let log = self.server().log();
            if log["target"] != "/hot" && log["method"] == "GET" {
                return log;
            }
        }
    }
}

/// A server of which one thread at a time may wait for the disk, and what waits until a series about those that read
/// has a value.
fn one_reader(options: &[&str]) -> Option<(Slow, impl Fn(&str, usize) + use<>)> {
    let one = ["--io-uring", "off", "--disk-threads", "2"];
    let options = [&one[..], &["--admin-bind", "127.0.0.1:0"], options].concat();
    let mut slow = Slow::start(&options)?;
    let Watched { server, admin } = Watched::of(slow.server.take().expect("it runs"));
    slow.server = Some(server);
    let wait_for = move |series: &str, number: usize| {
        let line = format!("\nzc_disk_queue_{series}{{pool=\"read\"}} {number}\n");
        wait_until(&line, || {
            let stream = TcpStream::connect(admin).expect("the listener accepts");
            let page = Client::plain(stream).get("/metrics").body;
            String::from_utf8(page).expect("text").contains(&line)
        });
    };
    Some((slow, wait_for))
}

#[test]
fn reads_that_the_disk_does_not_answer_are_jobs() {
    let Some((mut slow, wait_for)) = one_reader(&[]) else {
        return;
    };
    let clients = slow.ask();
    wait_for("jobs", FILES - 1);
    wait_for("threads_busy", 1);
    slow.answer();
    for (index, mut client) in clients.into_iter().enumerate() {
        assert!(client.response(false).body == body(index));
    }
    wait_for("jobs", 0);
    wait_for("threads_busy", 0);
}

#[test]
fn a_read_for_which_the_queue_has_no_place_is_refused() {
    let directory = temp_root();
    let config = directory.path().join("zc.toml");
    std::fs::write(&config, "").expect("a file");
    let options = ["--config", config.to_str().expect("UTF-8")];
    let Some((mut slow, wait_for)) = one_reader(&options) else {
        return;
    };
    let mut late = slow.server().connect();
    assert_eq!(late.get("/hot").body, b"hot");
    let clients = slow.ask();
    wait_for("jobs", FILES - 1);
    // There are two places for each connection that may be open, and more jobs than that.
    std::fs::write(&config, "max-connections = 3\n").expect("a file");
    slow.server().signal(Signal::SIGHUP);
    slow.server().said_with("the configuration was read again");
    wait_for("refused_total", 0);
    late.send(b"GET /0 HTTP/1.1\r\nHost: t\r\n\r\n");
    let refused = late.response(false);
    assert_eq!(
        (refused.status, refused.field("retry-after")),
        (503, Some("1"))
    );
    wait_for("refused_total", 1);
    slow.answer();
    for (index, mut client) in clients.into_iter().enumerate() {
        assert!(client.response(false).body == body(index));
    }
}

#[test]
fn hot_requests_are_answered_while_the_disk_is_not() {
    for way in WAYS {
        let Some(mut slow) = Slow::start(way) else {
            return;
        };
        let clients = slow.ask();
        slow.serve_hot();
        assert!(clients.iter().all(|client| client.buffered() == 0));
        let workers = slow.server().workers();
        wait_until("all requests are taken", || workers.wait_for_events());
        if way.is_empty() && zc_core::DiskRing::<std::fs::File>::new(1).is_ok() {
            assert_eq!(slow.waiting_threads(), 0);
        } else {
            wait_until("each has a thread", || slow.waiting_threads() == FILES);
        }
        slow.answer();
        for (index, mut client) in clients.into_iter().enumerate() {
            let response = client.response(false);
            assert_eq!(response.status, 200, "{index}");
            assert!(response.body == body(index), "{index}");
        }
        for _ in 0..FILES {
            let log = slow.cold_log();
            assert_eq!(log["outcome"], "complete");
            assert!(log["cold_windows"].as_u64() >= Some(1), "{log}");
            assert!(log["disk_us"].as_u64() > Some(0), "{log}");
        }
    }
}

#[test]
fn what_was_sent_of_a_long_file_is_at_the_client_before_the_disk_answers() {
    let Some(mut slow) = Slow::start(&[]) else {
        return;
    };
    let body = long_body();
    // The first window is in memory, and nothing is read ahead.
    let file = std::fs::File::open(slow.root.path().join("long")).expect("a file");
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM).expect("advice");
    file.read_exact_at(&mut vec![0; WINDOW], 0)
        .expect("a window");
    assert_eq!(slow.server().head_with("/long", "").status, 200);
    slow.disk.device.treat(Operation::Read, Treatment::Hold);
    let mut inbox = Inbox::connect(slow.server());
    inbox.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
    wait_until("a thread waits for the second window", || {
        inbox.drain();
        slow.waiting_threads() == 1
    });
    inbox.expect_all_that_was_sent();
    assert!(inbox.bytes().ends_with(&body[..WINDOW]));
    slow.answer();
    wait_until("the end", || {
        inbox.drain();
        inbox.bytes().ends_with(&body[WINDOW..])
    });
    assert!(inbox.response().body == body);
    assert_eq!(slow.cold_log()["outcome"], "complete");
}

#[test]
fn a_file_whose_end_alone_is_in_memory_is_waited_for() {
    for way in WAYS {
        let Some(mut slow) = Slow::start(way) else {
            return;
        };
        for index in 0..FILES {
            let path = slow.root.path().join(index.to_string());
            let file = std::fs::File::open(path).expect("a file");
            let last = LENGTH as u64 - 1;
            file.read_exact_at(&mut [0], last).expect("its last byte");
            let there = zc_core::Residency::probe(&file, last..last + 1);
            assert_eq!(there, zc_core::Residency::Hot, "{index}");
        }
        let clients = slow.ask();
        slow.serve_hot();
        assert!(clients.iter().all(|client| client.buffered() == 0));
        slow.answer();
        for (index, mut client) in clients.into_iter().enumerate() {
            assert!(client.response(false).body == body(index), "{index}");
        }
    }
}

#[test]
fn who_has_waited_for_the_disk_comes_after_who_has_not() {
    let Some(mut slow) = Slow::start(&["--threads", "1"]) else {
        return;
    };
    let log = slow.server().follow_log();
    // A file that changed a moment ago is not kept, and looked up by a thread each time.
    slow.server().wait_until_settled("/hot");
    let mut quick = slow.server().connect();
    for _ in 0..2 {
        assert_eq!(quick.get("/hot").body, b"hot");
    }
    let mut waiters = slow.ask();
    slow.answer();
    for (index, client) in waiters.iter_mut().enumerate() {
        assert!(client.response(false).body == body(index));
    }
    // All that comes while the server stands still is there at its next poll.
    slow.server().signal(Signal::SIGSTOP);
    let tasks = format!("/proc/{}/task", slow.server().pid());
    wait_until("every thread stands still", || {
        let mut tasks = std::fs::read_dir(&tasks).expect("our child");
        tasks.all(|task| {
            let stat = task.expect("our child").path().join("stat");
            std::fs::read_to_string(stat).is_ok_and(|stat| stat.contains(") T "))
        })
    });
    for client in &mut waiters {
        client.send(b"GET /hot?waiters HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    quick.send(b"GET /hot?quick HTTP/1.1\r\nHost: t\r\n\r\n");
    slow.server().signal(Signal::SIGCONT);
    for client in waiters.iter_mut().chain([&mut quick]) {
        assert_eq!(client.response(false).body, b"hot");
    }
    let targets: Vec<_> = (log.so_far(slow.server()).into_iter())
        .map(|line| line["target"].clone())
        .filter(|target| target.as_str().is_some_and(|target| target.contains('?')))
        .collect();
    assert_eq!(targets.len(), FILES + 1, "{targets:?}");
    assert_eq!(targets[0], "/hot?quick", "{targets:?}");
    assert!(targets[1..].iter().all(|target| target == "/hot?waiters"));
}

#[test]
fn a_disk_that_does_not_answer_in_time_is_told() {
    for way in WAYS {
        let options = [way, &["--disk-timeout", "300ms"]].concat();
        let Some(mut slow) = Slow::start(&options) else {
            return;
        };
        for mut client in slow.ask() {
            assert_eq!(client.response(false).status, 504);
            client.expect_end();
        }
        slow.answer();
        // What comes too late is for nobody, and the next one gets it.
        wait_until("the disk has answered", || {
            let response = slow.server().get("/0");
            response.status == 200 && response.body == body(0)
        });
    }
}

#[test]
fn a_disk_that_fails_is_500() {
    for way in WAYS {
        let Some(mut slow) = Slow::start(way) else {
            return;
        };
        slow.disk
            .device
            .treat(Operation::Read, Treatment::Fail(EIO));
        for index in 0..FILES {
            assert_eq!(slow.server().get(&format!("/{index}")).status, 500);
        }
        slow.answer();
        let response = slow.server().get("/1");
        assert!(response.status == 200 && response.body == body(1));
    }
}

#[test]
fn a_client_that_leaves_is_not_waited_for() {
    for way in WAYS {
        let Some(mut slow) = Slow::start(way) else {
            return;
        };
        let clients = slow.ask();
        // A reset discards a request that nobody has read.
        let workers = slow.server().workers();
        wait_until("all requests are taken", || workers.wait_for_events());
        for client in clients {
            // A reset, so that nobody can take it for the end of sending alone.
            socket2::SockRef::from(&client.stream)
                .set_linger(Some(Duration::ZERO))
                .expect("a socket");
        }
        for _ in 0..FILES {
            assert_eq!(slow.cold_log()["outcome"], "peer_gone");
        }
        slow.answer();
        let response = slow.server().get("/2");
        assert!(response.status == 200 && response.body == body(2));
    }
}

#[test]
fn the_server_stops_although_the_disk_does_not_answer() {
    for way in WAYS {
        let options = [way, &["--grace-period", "200ms"]].concat();
        let Some(mut slow) = Slow::start(&options) else {
            return;
        };
        let _clients = slow.ask();
        slow.server().signal(Signal::SIGTERM);
        for _ in 0..FILES {
            assert_eq!(slow.cold_log()["outcome"], "shutdown");
        }
        // A thread in the kernel ends with the disk alone.
        slow.answer();
        let (status, _) = slow.server.take().expect("it runs").wait();
        assert_eq!(status.code(), Some(3));
    }
}

/// Each read of a window takes less than the limit, and all of them together take several times as long.
#[test]
fn a_long_file_on_a_slow_disk_arrives_although_a_window_takes_longer_than_the_limit() {
    let Some(mut slow) = Slow::start(&["--disk-timeout", "1s"]) else {
        return;
    };
    let delay = Treatment::Delay(Duration::from_millis(200));
    let mut is_whole = || {
        let inner = std::fs::File::open(slow.root.path().join("long")).expect("a file");
        posix_fadvise(inner, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).expect("advice");
        slow.disk.device.treat(Operation::Read, delay);
        let mut client = slow.server().connect();
        client.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
        let response = client.try_response(false);
        slow.answer();
        response.is_ok_and(|response| response.status == 200 && response.body == long_body())
    };
    // Once more where the machine, and not the disk, takes longer than the limit.
    assert!((0..5).any(|_| is_whole()), "it never arrived as a whole");
}
