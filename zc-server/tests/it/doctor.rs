//! `zc-server doctor`: what it finds, as text and as JSON.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use nix::errno::Errno;
use nix::libc::{SYS_io_uring_setup, SYS_openat2, SYS_sendfile};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use serde_json::Value;
use zc_bench::slow_fs::Content;

use crate::harness::mounts::slow_fs;
use crate::harness::{binary, pattern, temp_root};

/// What a run printed, and its exit code.
struct Examined {
    report: Value,
    code: Option<i32>,
}

impl Examined {
    fn of(output: &Output) -> Self {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said, "");
        Self {
            report: serde_json::from_slice(&output.stdout).expect("JSON"),
            code: output.status.code(),
        }
    }

    fn findings(&self) -> &[Value] {
        self.report["findings"].as_array().expect("findings")
    }

    #[track_caller]
    fn finding(&self, name: &str) -> &Value {
        let mut findings = self.findings().iter();
        let found = findings.find(|finding| finding["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {:#}", self.report))
    }

    #[track_caller]
    fn assert(&self, name: &str, state: &str, words: &str) {
        let finding = self.finding(name);
        let text = finding["text"].as_str().expect("a text");
        assert!(
            finding["state"] == state && text.contains(words),
            "{finding}"
        );
    }
}

fn run(root: &Path, options: &[&str]) -> Output {
    let output = binary().arg("doctor").args(options).arg(root).output();
    output.expect("the program starts")
}

fn examine(root: &Path) -> Examined {
    Examined::of(&run(root, &["--json"]))
}

/// The same where a system call is refused: the program inherits the filter of the thread that starts it.
fn examine_without(call: i64, errno: Errno, root: &Path) -> Examined {
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        TargetArch::try_from(std::env::consts::ARCH).expect("known to seccomp"),
    );
    let filter: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            seccompiler::apply_filter(&filter).expect("a sandbox");
            examine(root)
        });
        thread.join().expect("no panic")
    })
}

/// A root with one file in a directory, on a disk.
fn root_on_disk() -> tempfile::TempDir {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    std::fs::create_dir(root.path().join("below")).expect("a directory");
    std::fs::write(root.path().join("below/file"), pattern(40_000, 3)).expect("a file");
    root
}

#[test]
fn text_and_json_have_the_same_findings() {
    let root = root_on_disk();
    let examined = examine(root.path());
    assert_eq!(examined.code, Some(0), "{:#}", examined.report);
    assert_eq!(examined.report["can_serve"], true);
    let output = run(root.path(), &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(lines.len(), examined.findings().len(), "{text}");
    let mut group = "";
    for (finding, line) in examined.findings().iter().zip(lines) {
        let word = |field: &str| finding[field].as_str().expect("a text");
        let begin = format!("  {:<7} {}: ", word("state"), word("name"));
        let rest = line.strip_prefix(&begin);
        let rest = rest.unwrap_or_else(|| panic!("{line} is not {finding}"));
        // Times are taken anew.
        if !word("name").starts_with("sealing-") {
            let mend = finding["mend"].as_str();
            let mend = mend.map_or_else(String::new, |mend| format!("; {mend}"));
            assert_eq!(rest, format!("{}{mend}", word("text")));
        }
        if word("group") != group {
            group = word("group");
            assert!(text.contains(&format!("\n\n{group}\n{begin}")), "{text}");
        }
        assert_eq!(finding["needed"], false);
    }
}

#[test]
fn names_are_those_that_scripts_know() {
    let root = root_on_disk();
    let examined = examine(root.path());
    for name in [
        "kernel",
        "openat2",
        "cores",
        "aes",
        "io-uring",
        "root",
        "filesystem",
        "mount-ids",
        "sendfile",
        "residency",
        "cachestat",
        "descriptors",
        "pipe-size",
        "pipe-pages",
        "backlog",
        "congestion",
    ] {
        examined.finding(name);
    }
    #[cfg(feature = "tls")]
    for name in [
        "notsent-lowat",
        "kernel-tls",
        "sealing-aes-128-gcm",
        "sealing-aes-256-gcm",
        "sealing-chacha20-poly1305",
    ] {
        examined.finding(name);
    }
}

#[test]
fn a_file_of_the_root_is_sent_and_probed() {
    let root = root_on_disk();
    let examined = examine(root.path());
    examined.assert("sendfile", "ok", "sent 16384 bytes");
    examined.assert("sendfile", "ok", "below/file");
    examined.assert("root", "ok", "is a directory");
    let only = root.path().join("below/file");
    let examined = examine(&only);
    examined.assert("root", "ok", "is a file");
    examined.assert("sendfile", "ok", "sent 16384 bytes");
}

#[test]
fn nothing_is_written_where_there_is_no_file() {
    let root = temp_root();
    // Hidden files are not served.
    std::fs::write(root.path().join(".hidden"), b"bytes").expect("a file");
    let examined = examine(root.path());
    assert_eq!(examined.code, Some(0));
    for name in ["sendfile", "residency", "cachestat"] {
        examined.assert(name, "unknown", "none is written");
    }
    let names = std::fs::read_dir(root.path()).expect("a directory");
    assert_eq!(names.count(), 1);
}

#[test]
fn a_root_that_is_missing_fails() {
    let root = temp_root();
    let missing = root.path().join("missing");
    let examined = examine(&missing);
    assert_eq!(examined.code, Some(1));
    assert_eq!(examined.report["can_serve"], false);
    examined.assert("root", "missing", "does not exist");
    let finding = examined.finding("root");
    assert_eq!(finding["needed"], true);
    assert_eq!(finding["mend"], "name a directory or a file");
    let output = run(&missing, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("\nThe server cannot start here, see root: "),
        "{text}"
    );
}

#[test]
fn files_in_memory_need_no_probe() {
    let Ok(root) = tempfile::tempdir_in("/dev/shm") else {
        println!("there is no /dev/shm: nothing to test");
        return;
    };
    std::fs::write(root.path().join("file"), b"bytes").expect("a file");
    let examined = examine(root.path());
    examined.assert("filesystem", "ok", "tmpfs: files are in memory");
    examined.assert("sendfile", "ok", "sent 5 bytes");
    examined.assert("residency", "ok", "without a probe");
}

#[test]
fn a_filesystem_of_another_program_is_copied() {
    let point = temp_root();
    let Some(mount) = slow_fs(point.path()) else {
        return;
    };
    mount.add(
        "file",
        Content::Pattern {
            seed: 1,
            length: 10_000,
        },
    );
    let examined = examine(point.path());
    assert_eq!(examined.code, Some(0));
    examined.assert("filesystem", "warning", "fuse");
    examined.assert("sendfile", "warning", "files are copied");
    examined.assert("residency", "warning", "I/O threads read every file");
}

#[test]
fn the_kernels_own_files_are_not_served() {
    let examined = examine(Path::new("/proc"));
    examined.assert("filesystem", "warning", "are not served");
}

#[test]
fn what_a_sandbox_refuses_is_told() {
    let root = root_on_disk();
    let examined = examine_without(SYS_sendfile, Errno::EPERM, root.path());
    assert_eq!(examined.code, Some(0));
    examined.assert("sendfile", "missing", "files are copied");
    let examined = examine_without(SYS_io_uring_setup, Errno::EPERM, root.path());
    assert_eq!(examined.code, Some(0));
    examined.assert("io-uring", "missing", "I/O threads wait");
    let examined = examine_without(SYS_openat2, Errno::ENOSYS, root.path());
    assert_eq!(examined.code, Some(1));
    examined.assert("openat2", "missing", "nothing is served without it");
    assert_eq!(examined.finding("openat2")["needed"], true);
}
