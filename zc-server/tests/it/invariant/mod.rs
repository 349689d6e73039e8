//! With any one mount hung, slow or gone, every other is served as without it: hot requests, cold files
//! and listings all arrive before the bad mount answers. Afterwards the server has what it had before.

mod kinds;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::beside::{Holdings, HotRequests, SaysWhere};
use crate::harness::mounts::slow_fs;
use crate::harness::{Client, Server, binary, temp_root, wait_until};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use zc_bench::slow_fs::{Content, SlowFs, pattern};

/// Hot requests that are answered while the mount is bad, and as many after all else.
const HOT: usize = 200;
/// Cold files of each mount that is well.
const COLD: u64 = 20;
/// Listings of each mount that is well.
const LISTINGS: usize = 5;
/// Different targets on the bad mount: their files are more than a loop device has tags for.
const BAD_FILES: u64 = 240;
/// Clients that ask for something on the bad mount at a time: more than there are threads of the disk.
const WAVE: usize = 80;
/// Waves that are reset, before one that waits. Together they are more than two for each connection that
/// there may be at a time; two of them at once are not as many as that.
const RESET_WAVES: usize = 7;
const OPTIONS: [&str; 4] = ["--disk-threads", "8", "--max-connections", "250"];
const DISK_THREADS: usize = 8;
/// What the server may need more than before, in KiB: buffers of the sockets and stacks of threads that
/// were never needed at the same time before. A MiB for each client would be ten times that.
const MEMORY_KIB: u64 = 32 << 10;

/// A mount below the root that goes bad.
trait BadMount {
    fn spoil(&mut self, server: &Server);
    /// What waits for it goes on.
    fn release(&mut self);
}

/// A root with `hot`, `cold/`, a FUSE mount `fine/` that is well, and the mount `bad/`.
struct Site<B: BadMount> {
    // Dropped first: who reads from a mount keeps it from being unmounted.
    server: Server,
    bad: B,
    _fine: SlowFs,
    root: tempfile::TempDir,
}

impl<B: BadMount> Drop for Site<B> {
    fn drop(&mut self) {
        // No process ends that waits for a mount in the kernel.
        self.bad.release();
    }
}

fn body(seed: u64) -> Vec<u8> {
    pattern(seed, 0, length(seed) as usize)
}

/// Some are read by io_uring, some by threads.
fn length(seed: u64) -> u64 {
    if seed.is_multiple_of(2) {
        20_000
    } else {
        300_000
    }
}

fn content(seed: u64) -> Content {
    let length = length(seed);
    Content::Pattern { seed, length }
}

fn fill(directory: &Path, files: u64) {
    for seed in 0..files {
        std::fs::write(directory.join(seed.to_string()), body(seed)).expect("a file");
    }
}

fn fill_fuse(mount: &SlowFs) {
    for seed in 0..BAD_FILES {
        mount.add(seed.to_string(), content(seed));
    }
}

fn evict(path: &Path) {
    let file = File::open(path).expect("a file");
    // What is not written yet stays.
    let _ = file.sync_all();
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).expect("advice");
}

/// With one worker and with eight: the others are served while a mount is bad.
fn check<B: BadMount>(make: impl Fn(PathBuf) -> Option<B>) {
    check_with(&[], make);
}

/// The same by a server with these options.
fn check_with<B: BadMount>(options: &[&str], make: impl Fn(PathBuf) -> Option<B>) {
    for threads in ["1", "8"] {
        let options = [&["--threads", threads][..], &OPTIONS, options].concat();
        let Some(mut site) = Site::start(&options, &make) else {
            return;
        };
        println!("--threads {threads}");
        site.check();
    }
}

impl<B: BadMount> Site<B> {
    /// `None` where the mounts are refused.
    fn start(options: &[&str], make: impl Fn(PathBuf) -> Option<B>) -> Option<Self> {
        // On a disk, and not in memory as temporary directories may be.
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let path = |name| root.path().join(name);
        for name in ["cold", "fine", "bad"] {
            std::fs::create_dir(path(name)).expect("a directory");
        }
        std::fs::write(path("hot"), b"hot").expect("a file");
        fill(&path("cold"), COLD);
        let fine = slow_fs(&path("fine"))?;
        for seed in 0..COLD {
            fine.add(seed.to_string(), content(seed));
            fine.keep_out_of_memory(seed.to_string());
        }
        let bad = make(path("bad"))?;
        let server = Server::start_with(binary(), temp_root(), root.path(), options);
        server.wait_until_settled("/hot");
        Some(Self {
            server,
            bad,
            _fine: fine,
            root,
        })
    }

    fn check(&mut self) {
        let workers = self.server.workers();
        let _says_where = SaysWhere(self.server.workers());
        // All is known, and nothing of the bad mount is in memory.
        for _ in 0..2 {
            self.serve_others();
            for index in 0..BAD_FILES {
                self.server.head_with(&target(index), "");
            }
        }
        let hot = HotRequests::start(&self.server);
        hot.wait_for(HOT);
        let before = Holdings::of(&self.server);

        self.bad.spoil(&self.server);
        let mut waiting = Vec::new();
        for wave in 0..=RESET_WAVES {
            for (_, client) in std::mem::take(&mut waiting) {
                reset(client);
            }
            waiting = ask(&self.server, wave);
            // A reset discards a request that nobody has read.
            wait_until("all requests are taken", || workers.wait_for_events());
        }
        hot.wait_for(HOT);
        self.serve_others();
        hot.wait_for(HOT);

        self.bad.release();
        for (index, mut client) in waiting {
            // It may be refused, or cut short; it is not left waiting, and gets no wrong bytes.
            if let Ok(response) = client.try_response(false)
                && let Some(seed) = seed(index)
                && response.status == 200
            {
                assert!(response.body == body(seed), "{index}");
            }
        }
        let mut now = Holdings::of(&self.server);
        wait_until("the server has what it had", || {
            now = Holdings::of(&self.server);
            // A thread that has just begun has the name of the one that started it.
            now.descriptors <= before.descriptors && now.threads <= before.threads
        });
        self.serve_others();
        hot.wait_for(HOT);
        hot.stop();
        // As many look up and list as read.
        assert!(now.disk_threads <= 2 * DISK_THREADS, "{now:?}");
        assert!(
            now.memory_kib <= before.memory_kib + MEMORY_KIB,
            "{now:?}, {before:?}"
        );
    }

    /// Cold files and listings of the mounts that are well.
    fn serve_others(&self) {
        for seed in 0..COLD {
            evict(&self.root.path().join(format!("cold/{seed}")));
            for mount in ["cold", "fine"] {
                assert!(
                    self.get(&format!("/{mount}/{seed}")) == body(seed),
                    "{mount}/{seed}"
                );
            }
        }
        for _ in 0..LISTINGS {
            for mount in ["cold", "fine"] {
                let listing = self.get(&format!("/{mount}/?format=json"));
                let entries: serde_json::Value = serde_json::from_slice(&listing).expect("JSON");
                assert_eq!(entries.as_array().map(Vec::len), Some(COLD as usize));
            }
        }
    }

    /// The body of a response.
    fn get(&self, target: &str) -> Vec<u8> {
        let mut client = self.server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
        let response = client.try_response(false);
        let response = response.unwrap_or_else(|error| panic!("{target}: {error}"));
        assert_eq!(response.status, 200, "{target}");
        response.body
    }
}

/// Requests to the bad mount with their numbers, each on a connection of its own.
fn ask(server: &Server, wave: usize) -> Vec<(u64, Client)> {
    let ask = |index| {
        let index = (wave * WAVE + index) as u64 % BAD_FILES;
        let mut client = server.connect();
        client.send(format!("GET {} HTTP/1.1\r\nHost: t\r\n\r\n", target(index)).as_bytes());
        (index, client)
    };
    (0..WAVE).map(ask).collect()
}

/// What the client of this number asks of the bad mount: files, and now and then what is not there or
/// the directory.
fn target(index: u64) -> String {
    match (index % 10, seed(index)) {
        (8, _) => format!("/bad/none{index}"),
        (_, Some(seed)) => format!("/bad/{seed}"),
        (_, None) => "/bad/?format=json".to_owned(),
    }
}

/// The file that it asks for, if it does.
fn seed(index: u64) -> Option<u64> {
    (index % 10 < 8).then_some(index)
}

/// Ends it so that nobody can take it for the end of sending alone.
fn reset(client: Client) {
    socket2::SockRef::from(&client.stream)
        .set_linger(Some(Duration::ZERO))
        .expect("a socket");
}
