//! `--log-file` where there is no room: a full disk, a limit of size, a FIFO that nobody reads.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use crate::harness::mounts::small_tmpfs;
use crate::harness::{Server, binary, temp_root, wait_until};
use crate::log_file::{admin_of, dropped_lines, refused, targets, text_of};

#[test]
fn a_full_disk_splits_no_line_and_what_is_dropped_is_counted() {
    let logs = temp_root();
    let Some(_mounted) = small_tmpfs(logs.path(), 128 << 10) else {
        return;
    };
    let file = logs.path().join("access.log");
    let filler = logs.path().join("filler");
    fs::write(&filler, vec![b'x'; 64 << 10]).expect("room");
    let option = format!("--log-file={}", file.display());
    let mut server = Server::start(&[&*option, "--admin-bind", "127.0.0.1:0"]);
    let admin = admin_of(&mut server);
    let dropped = || dropped_lines(&admin);
    let mut client = server.connect();
    let long = "x".repeat(2_000);
    let mut asked = 0;
    wait_until("the disk is full", || {
        assert_eq!(client.get(&format!("/{asked}-{long}")).status, 404);
        asked += 1;
        dropped() > 0
    });
    let said = server.said_with("dropped so far");
    assert!(
        said.contains(&format!(
            "cannot write to `{}`: No space left",
            file.display()
        )),
        "{said}"
    );
    fs::remove_file(&filler).expect("a file");
    for _ in 0..5 {
        assert_eq!(client.get(&format!("/{asked}-{long}")).status, 404);
        asked += 1;
    }
    let last = format!("/{}-{long}", asked - 1);
    wait_until("lines are written again", || text_of(&file).contains(&last));
    let written = targets(&text_of(&file));
    assert_eq!(written.len() + dropped(), asked);
    assert!(written.len() > 5);
}

#[test]
fn a_limit_of_the_size_of_files_is_no_end_of_the_server() {
    let root = temp_root();
    let log = root.path().join("log");
    let served = root.path().join("served");
    fs::create_dir(&served).expect("a directory");
    let inner = binary();
    let mut command = Command::new("sh");
    // In blocks of 512 or 1024 bytes.
    command.args(["-c", "ulimit -f 8; exec \"$0\" \"$@\""]);
    command.arg(inner.get_program());
    command.args([
        "--bind",
        "127.0.0.1:0",
        "--admin-bind",
        "127.0.0.1:0",
        "--log-file",
    ]);
    command.arg(&log).arg(&served);
    let mut server = Server::start_from(command, root);
    let admin = admin_of(&mut server);
    wait_until("lines are dropped", || {
        for _ in 0..50 {
            assert_eq!(server.get("/none").status, 404);
        }
        dropped_lines(&admin) > 0
    });
    assert!(fs::metadata(&log).expect("a log").len() <= 8 * 1024);
}

#[test]
fn a_fifo_is_not_waited_for() {
    let (logs, root) = (temp_root(), temp_root());
    let fifo = logs.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let option = format!("--log-file={}", fifo.display());
    let mut command = binary();
    let said = refused(
        command
            .args(["--bind", "127.0.0.1:0", &option])
            .arg(root.path()),
    );
    assert!(said.contains("start the reader first"), "{said}");
    let reader = || {
        let mut options = File::options();
        let opened = options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        opened.open(&fifo).expect("the FIFO")
    };
    let silent = reader();
    let mut server = Server::start(&[&option]);
    let mut client = server.connect();
    let target = format!("/{}", "x".repeat(7_000));
    // More than the FIFO holds. Nobody reads, and every request is answered.
    for _ in 0..40 {
        assert_eq!(client.get(&target).status, 404);
    }
    drop(silent);
    assert_eq!(client.get("/gone").status, 404);
    let said = server.said_with("dropped so far");
    assert!(said.contains("Broken pipe"), "{said}");
    // A new reader finds what the FIFO holds, and behind that whole lines.
    let mut reader = reader();
    let mut text = String::new();
    wait_until("lines come again", || {
        assert_eq!(client.get("/again").status, 404);
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = reader.read(&mut bytes) {
            text.push_str(std::str::from_utf8(&bytes[..length]).expect("ASCII"));
        }
        text.ends_with('\n') && text.contains("\"/again\"")
    });
    targets(&text);
}
