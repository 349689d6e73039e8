//! Files that change while clients ask for them all along: no answer is older than the time to live
//! of the cache, none is a mixture where the change was none, and a tag belongs to one state.
//!
//! Each test makes its changes once, below two servers: one that believes what it has for a while,
//! and one that looks at the disk for each request. What is changed first is kept by both.

use std::fs::{File, FileTimes, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::harness::clients::Home;
use crate::harness::load::{Answer, Change, Changes, Load, State, Watched, assert_coherent};
use crate::harness::tls::sent_by;
use crate::harness::{Server, binary, codings, temp_root, wait_until};

const TTLS: [Duration; 2] = [Duration::from_millis(100), Duration::ZERO];
/// Connections to each server.
const CLIENTS: usize = 2;
/// A file whose bytes are kept in memory, one that is read behind its head, and one that goes by
/// `sendfile`: their names, and their lengths in bytes.
const FILES: [(&str, usize); 3] = [
    ("small", 3 << 10),
    ("middle", 10 << 10),
    ("large", 300 << 10),
];
const CACHE_FILE_MAX: &str = "4KiB";

/// Two servers over one root, and what was done to the files.
struct Stage {
    servers: [Server; 2],
    watched: Vec<Watched>,
}

/// The same with clients that ask.
struct Running {
    servers: [Server; 2],
    watched: Arc<Vec<Watched>>,
    loads: [Load; 2],
    changes: Vec<Change>,
}

impl Stage {
    fn new() -> Self {
        let root = temp_root();
        let served = root.path().to_owned();
        let start = |root, ttl: Duration| {
            let ttl = format!("{}ms", ttl.as_millis());
            let cache = ["--cache-ttl", &ttl, "--cache-files", "64"];
            let options = [&cache[..], &["--cache-file-max", CACHE_FILE_MAX]].concat();
            Server::start_with(binary(), root, &served, &options)
        };
        let [some, none] = TTLS;
        Self {
            servers: [start(root, some), start(temp_root(), none)],
            watched: Vec::new(),
        }
    }

    /// Three files in their first state, to be watched under their own names.
    fn with_files(changes: Changes, states: impl Fn(usize) -> Vec<State>) -> Self {
        let mut stage = Self::new();
        for (name, length) in FILES {
            let states = states(length);
            put(&stage.path(name), &states[0].body, 1);
            stage.watch(name, changes, states);
        }
        stage
    }

    fn watch(&mut self, target: &str, changes: Changes, states: Vec<State>) {
        self.watched.push(Watched {
            target: format!("/{target}"),
            fields: "",
            states,
            changes,
            kept_tag: None,
        });
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.servers[0].path(name)
    }

    /// Waits until files that were just made count as such no more, has them kept, and begins to ask.
    fn run(mut self) -> Running {
        for server in &mut self.servers {
            for path in &mut self.watched {
                server.wait_until_settled(&path.target);
                have_kept(server, path);
            }
        }
        let watched = Arc::new(self.watched);
        let loads = self.servers.each_ref();
        let loads = loads.map(|server| Load::start(server.address, CLIENTS, &watched));
        let running = Running {
            servers: self.servers,
            watched,
            loads,
            changes: Vec::new(),
        };
        running.wait_until_asked();
        running
    }
}

impl Running {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.servers[0].path(name)
    }

    /// Changes each of the watched paths to one of its states, and waits until all who may still be
    /// shown the old one have been answered.
    fn change_all(&mut self, state: usize, change: impl Fn(&Self, &Watched)) {
        for path in 0..self.watched.len() {
            let began = Instant::now();
            change(self, &self.watched[path]);
            self.changes.push(Change {
                path,
                state,
                began,
                ended: Instant::now(),
            });
        }
        self.wait_until_asked();
    }

    fn wait_until_asked(&self) {
        let now = Instant::now();
        for (load, ttl) in self.loads.iter().zip(TTLS) {
            load.wait_until_asked_after(now + ttl);
        }
    }

    fn end(self) {
        for (load, ttl) in self.loads.into_iter().zip(TTLS) {
            let answers: Vec<Vec<Answer>> = load.stop();
            for (index, (path, answers)) in self.watched.iter().zip(&answers).enumerate() {
                let of_path = self.changes.iter().filter(|change| change.path == index);
                assert_coherent(path, answers, &of_path.collect::<Vec<_>>(), ttl);
            }
        }
    }
}

/// Asks for a path until it must be kept, and asserts that it is: its bytes, or its descriptor.
fn have_kept(server: &mut Server, path: &mut Watched) {
    let mut client = server.connect();
    let target = format!("{}?kept", path.target);
    let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\n{}\r\n", path.fields);
    let mut way = serde_json::Value::Null;
    for _ in 0..3 {
        client.send(request.as_bytes());
        let response = client.response(false);
        assert!(response.body == path.states[0].body, "{target}");
        let line = loop {
            let line = server.log();
            if line["target"] == target.as_str() {
                break line;
            }
        };
        way = line["send_path"].clone();
        if way == sent_by("memory") && path.changes != Changes::InPlaceUnseen {
            path.kept_tag = response.field("etag").map(str::to_owned);
        }
    }
    let length = path.states[0].body.len();
    let is_small = FILES[0].1 >= length;
    assert_eq!(way == sent_by("memory"), is_small, "{target}: {way}");
    let is_open = |descriptor: &Path| {
        std::fs::metadata(descriptor)
            .is_ok_and(|file| file.len() == length as u64 && file.is_file())
    };
    assert!(
        server.descriptor_paths().iter().any(|path| is_open(path)),
        "{target} is not kept open"
    );
}

/// Bytes of which each block of 16 tells the version and its own place.
fn content(version: usize, length: usize) -> Vec<u8> {
    let blocks = 0..length.div_ceil(16);
    let mut bytes: Vec<u8> = blocks
        .flat_map(|block| format!("v{version:06} {block:07}\n").into_bytes())
        .collect();
    bytes.truncate(length);
    bytes
}

/// As many versions of a file of one length.
fn versions(count: usize, length: usize) -> Vec<State> {
    let versions = 1..=count;
    versions
        .map(|version| State::file(content(version, length)))
        .collect()
}

/// Makes a file, or writes it anew in place, whose bytes are said to be of long ago, each version
/// having a time of its own.
fn put(path: &Path, bytes: &[u8], version: u64) {
    std::fs::write(path, bytes).expect("a file");
    date(path, version);
}

fn date(path: &Path, version: u64) {
    let file = File::open(path).expect("a file");
    let times = FileTimes::new().set_modified(time_of(version));
    file.set_times(times).expect("a time");
}

/// About an hour ago; not a whole second.
fn time_of(version: u64) -> SystemTime {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    let then = Duration::from_secs(now.as_secs() - 3600 + version * 60);
    SystemTime::UNIX_EPOCH + then + Duration::from_nanos(123_456_789)
}

/// Puts a file beside its place and then, at once, in its place.
fn replace(path: &Path, bytes: &[u8], version: u64) {
    let beside = path.with_extension("new");
    put(&beside, bytes, version);
    std::fs::rename(&beside, path).expect("a rename");
}

fn overwrite(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("the file");
    file.write_all_at(bytes, 0).expect("room");
}

#[test]
fn files_overwritten_in_place() {
    let stage = Stage::with_files(Changes::InPlace, |length| versions(4, length));
    let mut running = stage.run();
    for state in 1..4 {
        running.change_all(state, |running, path| {
            overwrite(&running.path(&path.target[1..]), &path.states[state].body);
        });
    }
    running.end();
}

#[test]
fn files_replaced_by_a_rename() {
    let stage = Stage::with_files(Changes::Atomic, |length| versions(4, length));
    let mut running = stage.run();
    for state in 1..4 {
        running.change_all(state, |running, path| {
            let place = running.path(&path.target[1..]);
            replace(&place, &path.states[state].body, state as u64 + 1);
        });
    }
    running.end();
}

#[test]
fn files_deleted_and_made_again() {
    let stage = Stage::with_files(Changes::InPlace, |length| {
        let file = |version| State::file(content(version, length));
        vec![file(1), State::missing(), file(2)]
    });
    let mut running = stage.run();
    running.change_all(1, |running, path| {
        std::fs::remove_file(running.path(&path.target[1..])).expect("the file");
    });
    running.change_all(2, |running, path| {
        std::fs::write(running.path(&path.target[1..]), &path.states[2].body).expect("a file");
    });
    running.change_all(1, |running, path| {
        std::fs::remove_file(running.path(&path.target[1..])).expect("the file");
    });
    running.end();
}

#[test]
fn links_that_lead_elsewhere() {
    let mut stage = Stage::new();
    let place = |running: &Running| running.path("");
    std::fs::create_dir(stage.path("v1")).expect("a directory");
    std::fs::create_dir(stage.path("v2")).expect("a directory");
    for (name, length) in FILES {
        let states = versions(2, length);
        put(&stage.path("v1").join(name), &states[0].body, 1);
        put(&stage.path("v2").join(name), &states[1].body, 2);
        stage.watch(&format!("current/{name}"), Changes::Atomic, states);
    }
    symlink("v1", stage.path("current")).expect("a link");
    for (name, _) in FILES {
        stage.servers[0].wait_until_settled(&format!("/v2/{name}"));
    }
    let mut running = stage.run();
    // One change is that of all paths, and the files on both ways have settled: they are kept.
    for round in 0..6 {
        let state = (round + 1) % 2;
        let began = Instant::now();
        replace_link(&place(&running), ["v1", "v2"][state]);
        let ended = Instant::now();
        let changes = (0..FILES.len()).map(|path| Change {
            path,
            state,
            began,
            ended,
        });
        running.changes.extend(changes);
        running.wait_until_asked();
    }
    running.end();
}

fn replace_link(root: &Path, target: &str) {
    let beside = root.join("next");
    symlink(target, &beside).expect("a link");
    std::fs::rename(&beside, root.join("current")).expect("a rename");
}

#[test]
fn files_overwritten_whose_time_is_put_back() {
    let stage = Stage::with_files(Changes::InPlaceUnseen, |length| versions(3, length));
    let before = time_of_file(&stage.path("small"));
    let mut running = stage.run();
    for state in 1..3 {
        running.change_all(state, |running, path| {
            let place = running.path(&path.target[1..]);
            let time = time_of_file(&place);
            overwrite(&place, &path.states[state].body);
            let times = FileTimes::new().set_modified(time);
            File::open(&place)
                .expect("the file")
                .set_times(times)
                .expect("a time");
        });
    }
    assert_eq!(time_of_file(&running.path("small")), before);
    running.end();
}

fn time_of_file(path: &Path) -> SystemTime {
    let file = std::fs::metadata(path).expect("the file");
    file.modified().expect("a time")
}

#[test]
fn files_cut_and_extended() {
    let stage = Stage::with_files(Changes::InPlace, |length| {
        let (old, new) = (content(1, length), content(2, length));
        let third = length / 3;
        let extended = [&old[..third], &new[third..]].concat();
        vec![
            State::file(old.clone()),
            State::file(old[..third].to_vec()),
            State::file(extended),
        ]
    });
    let mut running = stage.run();
    running.change_all(1, |running, path| {
        let place = running.path(&path.target[1..]);
        let file = OpenOptions::new()
            .write(true)
            .open(place)
            .expect("the file");
        file.set_len(path.states[1].body.len() as u64)
            .expect("a cut");
    });
    running.change_all(2, |running, path| {
        let place = running.path(&path.target[1..]);
        let mut file = OpenOptions::new()
            .append(true)
            .open(place)
            .expect("the file");
        let rest = &path.states[2].body[path.states[1].body.len()..];
        file.write_all(rest).expect("room");
    });
    running.end();
}

#[test]
fn an_index_that_comes_and_goes() {
    let mut stage = Stage::new();
    let length = FILES[0].1;
    let index = |stage: &Stage| stage.path("d").join("index.html");
    std::fs::create_dir(stage.path("d")).expect("a directory");
    let listing = State::file(stage.servers[0].get("/d/").body);
    let [first, second] = [1, 2].map(|version| State::file(content(version, length)));
    put(&index(&stage), &first.body, 1);
    // The index is looked for before the directory is read: a listing may name one that came between.
    stage.watch("d/", Changes::InPlace, vec![first, listing, second]);
    let index = index(&stage);
    let mut running = stage.run();
    running.change_all(1, |_, _| std::fs::remove_file(&index).expect("the index"));
    // Put together elsewhere: a name that is there for a moment would be listed.
    let beside = running.path("beside");
    put(&beside, &running.watched[0].states[2].body, 2);
    running.change_all(2, |_, _| {
        std::fs::rename(&beside, &index).expect("a rename")
    });
    running.change_all(1, |_, _| std::fs::remove_file(&index).expect("the index"));
    running.end();
}

#[test]
fn precompressed_files_that_come_go_and_age() {
    let mut stage = Stage::new();
    for (name, length) in FILES {
        let coded = |version| State {
            coding: Some("gzip"),
            ..State::file(codings::gzip(&content(version, length)))
        };
        let states = vec![State::file(content(1, length)), coded(2), coded(3)];
        put(&stage.path(name), &states[0].body, 10);
        stage.watch(name, Changes::Atomic, states);
    }
    for path in &mut stage.watched {
        path.fields = "Accept-Encoding: gzip\r\n";
    }
    let mut running = stage.run();
    let sibling =
        |running: &Running, path: &Watched| running.path(&format!("{}.gz", &path.target[1..]));
    running.change_all(1, |running, path| {
        replace(&sibling(running, path), &path.states[1].body, 20);
    });
    // Older than the original, so that it is taken for one of an earlier original.
    running.change_all(0, |running, path| date(&sibling(running, path), 5));
    running.change_all(2, |running, path| {
        replace(&sibling(running, path), &path.states[2].body, 30);
    });
    running.change_all(0, |running, path| {
        std::fs::remove_file(sibling(running, path)).expect("the sibling");
    });
    running.end();
}

/// On tmpfs such a write never changes the modification time.
#[test]
fn bytes_written_through_a_mapping_are_seen() {
    // The first write to a page moves the time of the file, and those after it do not.
    const WRITER: &str = "
import mmap, sys
with open(sys.argv[1], 'r+b') as file, mmap.mmap(file.fileno(), 0) as bytes:
    for line in sys.stdin:
        bytes[0:5] = line[0:5].encode()
        print('written', flush=True)
";
    if Home::for_clients(&["python3"]).is_none() {
        return;
    }
    let Ok(root) = tempfile::tempdir_in("/dev/shm") else {
        println!("no /dev/shm: nothing to test");
        return;
    };
    let served = root.path().to_owned();
    // One worker, so that no other one reads the file for the first time.
    let options = ["--cache-ttl", "20ms", "--threads", "1"];
    let server = Server::start_with(binary(), root, &served, &options);
    server.write("f", b"empty bytes");
    let mut writer = std::process::Command::new("python3")
        .args(["-c", WRITER])
        .arg(server.path("f"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut input = writer.stdin.take().expect("a pipe");
    let mut output = BufReader::new(writer.stdout.take().expect("a pipe"));
    let mut write = |line: &str| {
        input.write_all(line.as_bytes()).expect("it reads");
        output.read_line(&mut String::new()).expect("it answers");
        let file = std::fs::metadata(server.path("f")).expect("the file");
        file.modified().expect("a time")
    };
    let before = write("first\n");
    server.wait_until_settled("/f");
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/f").body, b"first bytes");
    }
    assert_eq!(write("other\n"), before);
    wait_until("the bytes are sent", || {
        client.get("/f").body == b"other bytes"
    });
    drop(input);
    assert!(writer.wait().expect("our child").success());
}
