//! Programs that people fetch with, run as they are: in a home of their own, with nothing of this
//! user's settings, and within a limit of time.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::tls::CERTIFICATE;
use super::{Server, pattern, temp_root};

/// Where programs may be that are not in the `PATH` of every user.
const MORE_PATHS: &str = "/usr/sbin:/sbin";
/// A limit that only ends a client that hangs. A browser may take half a minute to begin where the machine
/// is busy with something else.
const CLIENT_HANGS: Duration = Duration::from_secs(120);
/// What is asked for to see that the log has come so far.
const MARK: &str = "/the-log-has-come-so-far";

/// Where a home has the certificate of the authority.
const AUTHORITY: &str = ".authority.pem";

/// A directory in which clients run and leave what they fetched.
pub(crate) struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    /// `None` when one of these programs is not installed: its test then has nothing to test.
    pub(crate) fn for_clients(programs: &[&str]) -> Option<Self> {
        if let Some(program) = programs
            .iter()
            .find(|program| find_program(program).is_none())
        {
            say_missing(program);
            return None;
        }
        let home = Self {
            directory: temp_root(),
        };
        home.write(AUTHORITY, CERTIFICATE.authority_pem.as_bytes());
        Some(home)
    }

    /// The certificate of the authority of the tests, for who is told of it by an option.
    pub(crate) fn authority(&self) -> String {
        self.path(AUTHORITY).to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a directory");
        }
        std::fs::write(path, bytes).expect("a file");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The program with this home as its directory, and no variable of this process but `PATH`:
    /// proxies, for one, are named by variables.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.command_for(program, CLIENT_HANGS)
    }

    /// The same with its own limit of time, which only ends a program that hangs.
    pub(crate) fn command_for(&self, program: &str, limit: Duration) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", &limit.as_secs().to_string(), program])
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", self.directory.path())
            .env("TMPDIR", self.directory.path())
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        // curl and git; those that use OpenSSL or are written in Go.
        for variable in ["CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "SSL_CERT_FILE"] {
            command.env(variable, self.path(AUTHORITY));
        }
        command
    }

    /// Runs the program to its end, whatever that is.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> Output {
        let mut command = self.command(program);
        command.args(arguments).output().expect("timeout(1) starts")
    }

    /// Runs the program, which must succeed; answers its standard output.
    pub(crate) fn succeed<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> String {
        said(&self.run(program, arguments), program)
    }
}

/// Says that a program is missing, which is a failure with `TEST_REQUIRE_CLIENTS=1` in the
/// environment, as in `.ci/run`.
pub(crate) fn say_missing(program: &str) {
    let required = std::env::var_os("TEST_REQUIRE_CLIENTS").is_some_and(|value| value == "1");
    assert!(!required, "{program} is not here, and required");
    println!("{program} is not here: nothing to test");
}

/// What a program that succeeded wrote on its standard output.
pub(crate) fn said(output: &Output, program: &str) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program}: {}\n{stdout}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:{MORE_PATHS}")
}

/// Where the program is in the path. One in a snap does not count: it sees another `/tmp`.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    search_path()
        .split(':')
        .filter(|directory| !directory.starts_with("/snap"))
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.is_file())
}

/// The access log, read as it comes: a pipe that nobody reads fills, and lines are then dropped.
pub(crate) struct Log {
    lines: mpsc::Receiver<serde_json::Value>,
}

impl Log {
    /// The lines up to the first for which `is_last` holds, which must come.
    pub(crate) fn until(
        &self,
        is_last: impl Fn(&serde_json::Value) -> bool,
    ) -> Vec<serde_json::Value> {
        let mut lines = Vec::new();
        loop {
            let line = self
                .lines
                .recv_timeout(CLIENT_HANGS)
                .unwrap_or_else(|error| {
                    panic!("the line did not come ({error}); these did: {lines:#?}")
                });
            let is_last = is_last(&line);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// The lines of all responses that ended before this call and were not taken yet. The server
    /// must have one worker: lines of several are not in order.
    pub(crate) fn so_far(&self, server: &Server) -> Vec<serde_json::Value> {
        assert_eq!(server.get(MARK).status, 404);
        let mut lines = self.until(|line| line["target"] == MARK);
        lines.pop();
        lines
    }
}

impl Server {
    /// Reads the access log from now on.
    pub(crate) fn follow_log(&mut self) -> Log {
        let stdout = self.stdout.take().expect("not taken");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                // The last line of a server that is killed may be half a line.
                let Some(line) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else {
                    break;
                };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Log { lines }
    }

    pub(crate) fn url(&self, target: &str) -> String {
        let scheme = if self.is_tls() { "https" } else { "http" };
        format!("{scheme}://{}{target}", self.address)
    }
}

/// Method and status of each line.
pub(crate) fn answers(lines: &[serde_json::Value]) -> Vec<(&str, u64)> {
    lines
        .iter()
        .map(|line| {
            (
                line["method"].as_str().expect("a method"),
                line["status"].as_u64().expect("a status"),
            )
        })
        .collect()
}

/// Every file below a directory, by its path from there.
pub(crate) fn files_below(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in std::fs::read_dir(&next).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let name = path.strip_prefix(directory).expect("below it").to_owned();
            files.insert(name, std::fs::read(&path).expect("a file"));
        }
    }
    files
}

/// Compares two trees: names, then every byte.
pub(crate) fn assert_same_files(one: &Path, other: &Path) {
    let (one, other) = (files_below(one), files_below(other));
    assert!(
        one.keys().eq(other.keys()),
        "only in one: {:?}; only in the other: {:?}",
        one.keys()
            .filter(|name| !other.contains_key(*name))
            .collect::<Vec<_>>(),
        other
            .keys()
            .filter(|name| !one.contains_key(*name))
            .collect::<Vec<_>>()
    );
    for (name, bytes) in &one {
        assert!(*bytes == other[name], "{} differs", name.display());
    }
}

/// Writes a big file, fast: each block of 1 MiB is a pattern with its number in every 4 KiB.
pub(crate) fn write_big(path: &Path, blocks: u64) {
    use std::io::Write;
    let mut block = pattern(1 << 20, 77);
    let mut file = std::fs::File::create(path).expect("a file");
    for number in 0..blocks {
        for page in block.chunks_mut(4096) {
            page[..8].copy_from_slice(&number.to_le_bytes());
        }
        file.write_all(&block).expect("space");
    }
}

/// Compares two big files without holding them in memory.
pub(crate) fn assert_same_big(one: &Path, other: &Path) {
    let open = |path: &Path| std::fs::File::open(path).expect("a file");
    let (mut one, mut other) = (open(one), open(other));
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut offset = 0;
    let length = one.metadata().expect("a length").len();
    assert_eq!(other.metadata().expect("a length").len(), length);
    while offset < length {
        let count = left
            .len()
            .min(usize::try_from(length - offset).expect("a length"));
        one.read_exact(&mut left[..count]).expect("readable");
        other.read_exact(&mut right[..count]).expect("readable");
        assert!(left[..count] == right[..count], "differ behind {offset}");
        offset += count as u64;
    }
}
