//! A device whose queue of requests is full: whoever submits one more waits in the kernel, and no worker
//! may be the one who does.

use std::path::Path;
use std::time::Duration;

use crate::harness::beside::{HotRequests, SaysWhere};
use crate::harness::mounts::LoopDisk;
use crate::harness::{Client, Server, binary, temp_root, wait_until};
use zc_bench::slow_fs::{Operation, Treatment, pattern};

/// As many as a loop device has tags for.
const TAGS: usize = 128;
const HOT: usize = 200;
/// How often the workers are looked at.
const SAMPLES: usize = 300;
const LENGTH: usize = 64 << 10;
/// Both ways to wait.
const WAYS: [&[&str]; 2] = [&[], &["--io-uring", "off"]];

/// A root on a local disk: `hot`, in memory, and `0`, `1` and so on, which are not.
struct Slow {
    // Dropped first: a server that reads from the disk keeps it from being unmounted.
    server: Server,
    disk: LoopDisk,
    _root: tempfile::TempDir,
}

impl Drop for Slow {
    fn drop(&mut self) {
        // No process ends that waits for the disk in the kernel.
        self.disk.device.treat_all(Treatment::Answer);
    }
}

fn body(index: usize) -> Vec<u8> {
    pattern(index as u64, 0, LENGTH)
}

impl Slow {
    fn start(files: usize, options: &[&str]) -> Option<Self> {
        let root = temp_root();
        let fill = |directory: &Path| {
            std::fs::write(directory.join("hot"), b"hot").expect("a file");
            for index in 0..files {
                std::fs::write(directory.join(index.to_string()), body(index)).expect("a file");
            }
        };
        let bytes = (files * LENGTH * 5 / 4) as u64 + (8 << 20);
        let disk = LoopDisk::mount(root.path(), bytes, fill)?;
        let server = Server::start_with(binary(), temp_root(), root.path(), options);
        // Names and lengths are known from here on, and what is hot is in memory.
        assert_eq!(server.get("/hot").body, b"hot");
        let mut client = server.connect();
        for index in 0..files {
            client.send(format!("HEAD /{index} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
            assert_eq!(client.response(true).status, 200);
        }
        Some(Self {
            server,
            disk,
            _root: root,
        })
    }

    /// One request for each file, on a connection of its own.
    fn ask(&self, files: usize) -> Vec<Client> {
        let ask = |index| {
            let mut client = self.server.connect();
            client.send(format!("GET /{index} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
            client
        };
        (0..files).map(ask).collect()
    }

    /// The files come whole once the disk answers.
    fn release(&self, clients: Vec<Client>) {
        self.disk.device.treat(Operation::Read, Treatment::Answer);
        for (index, mut client) in clients.into_iter().enumerate() {
            let response = client.response(false);
            assert_eq!(response.status, 200, "{index}");
            assert!(response.body == body(index), "{index}");
        }
    }
}

#[test]
fn hot_requests_are_answered_while_the_queue_of_a_device_that_hangs_is_full() {
    for way in WAYS {
        // Each file needs a tag or more, and half as many again find none.
        let files = TAGS + TAGS / 2;
        let Some(slow) = Slow::start(files, way) else {
            return;
        };
        let workers = slow.server.workers();
        let _says_where = SaysWhere(slow.server.workers());
        let hot = HotRequests::start(&slow.server);
        slow.disk.device.treat(Operation::Read, Treatment::Hold);
        let clients = slow.ask(files);
        slow.disk.device.wait_until_held(Operation::Read, 1);
        wait_until("all requests are taken", || workers.wait_for_events());
        hot.wait_for(HOT);
        assert_eq!(workers.waits_for_a_device(), None);
        slow.release(clients);
        hot.stop();
    }
}

#[test]
fn no_worker_waits_for_a_tag_of_a_device_that_is_late() {
    for way in WAYS {
        let files = 600;
        let Some(slow) = Slow::start(files, way) else {
            return;
        };
        let workers = slow.server.workers();
        let hot = HotRequests::start(&slow.server);
        let late = Treatment::Delay(Duration::from_millis(100));
        slow.disk.device.treat(Operation::Read, late);
        let clients = slow.ask(files);
        for _ in 0..SAMPLES {
            assert_eq!(workers.waits_for_a_device(), None);
            hot.wait_for(1);
        }
        slow.release(clients);
        hot.stop();
    }
}
