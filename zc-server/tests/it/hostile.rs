//! What must not be served, and files that are not files.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Server, temp_root};

/// The user and group `nobody` of every Linux: the tests may run as root, whom no mode stops.
const NOBODY: u32 = 65534;

#[test]
fn traversal_in_every_encoding() {
    let outside = temp_root();
    let served = outside.path().join("root");
    std::fs::create_dir(&served).expect("a directory");
    std::fs::write(outside.path().join("secret"), b"SECRET").expect("a file");
    std::fs::write(served.join("f"), b"fine").expect("a file");
    let server = Server::start_with(crate::harness::binary(), outside, &served, &[]);
    assert_eq!(server.get("/f").body, b"fine");
    let leaving = [
        "/../secret",
        "/%2e%2e/secret",
        "/%2E./secret",
        "/.%2e/secret",
        "/..%2fsecret",
        "/..%2Fsecret",
        "/%2e%2e%2fsecret",
        "/x/../../secret",
        "/f/../../secret",
        "/f%2f..%2f..%2fsecret",
        "/f/%2e%2e/%2e%2e/secret",
        "/f//..//../secret",
        "//../secret",
        "/..//secret",
        "/./../secret",
        "/f%00/../../secret",
        "/..%00/secret",
        "http://t/../secret",
        "http://t/f%2f../../secret",
        "/..",
        "/../",
    ];
    let missing = [
        "/%252e%252e/secret",
        "/%252e%252e%252fsecret",
        "/..%5csecret",
        "/..\\secret",
        "/f/../..\\secret",
        "/..%c0%afsecret",
        "/%c0%ae%c0%ae/secret",
        "/..;/secret",
        "/f/../secret",
    ];
    let all = leaving.map(|target| (target, 400));
    for (target, status) in all.into_iter().chain(missing.map(|target| (target, 404))) {
        let response = server.get(target);
        assert_eq!(response.status, status, "{target}");
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert!(!text.contains("SECRET"), "{target}");
    }
}

#[test]
fn links_that_leave_the_root_are_not_found() {
    let outside = temp_root();
    let served = outside.path().join("root");
    std::fs::create_dir_all(served.join("dir")).expect("a directory");
    std::fs::write(outside.path().join("secret"), b"SECRET").expect("a file");
    std::fs::write(served.join("dir/f"), b"inside").expect("a file");
    symlink("dir/f", served.join("inner")).expect("a link");
    symlink("../secret", served.join("relative")).expect("a link");
    symlink(outside.path().join("secret"), served.join("absolute")).expect("a link");
    symlink("..", served.join("up")).expect("a link");
    symlink("/proc/self/root", served.join("magic")).expect("a link");
    symlink("loop", served.join("loop")).expect("a link");
    let server = Server::start_with(crate::harness::binary(), outside, &served, &[]);
    assert_eq!(server.get("/inner").body, b"inside");
    let missing = server.get("/missing");
    for target in [
        "/relative",
        "/absolute",
        "/up/secret",
        "/up/",
        "/magic/etc/passwd",
        "/loop",
    ] {
        let response = server.get(target);
        assert_eq!(
            (response.status, &response.body),
            (404, &missing.body),
            "{target}"
        );
    }
}

/// A link in the middle of a path, by a relative target, and one at its end, by an absolute one.
#[test]
fn links_flipped_during_requests_never_leak() {
    let outside = temp_root();
    let served = outside.path().join("root");
    std::fs::create_dir(&served).expect("a directory");
    std::fs::create_dir(served.join("in")).expect("a directory");
    std::fs::create_dir(outside.path().join("out")).expect("a directory");
    std::fs::write(served.join("in/f"), b"inside").expect("a file");
    std::fs::write(outside.path().join("out/f"), b"SECRET").expect("a file");
    let targets = [
        [PathBuf::from("../out"), "in".into()],
        [outside.path().join("out/f"), served.join("in/f")],
    ];
    let links = ["directory", "file"].map(|name| served.join(name));
    let next = served.join("next");
    let server = Server::start_with(
        crate::harness::binary(),
        outside,
        &served,
        &["--cache-ttl", "0"],
    );
    let done = std::sync::atomic::AtomicBool::new(false);
    let flip = || {
        for side in [0, 1] {
            for (link, targets) in links.iter().zip(&targets) {
                symlink(&targets[side], &next).expect("a link");
                std::fs::rename(&next, link).expect("a rename");
            }
        }
    };
    flip();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                flip();
            }
        });
        let mut client = server.connect();
        for target in ["/directory/f", "/file"] {
            let (mut served, mut refused) = (0, 0);
            while served < 500 || refused < 500 {
                let response = client.get(target);
                match response.status {
                    200 => {
                        assert_eq!(response.body, b"inside");
                        served += 1;
                    }
                    404 | 503 => refused += 1,
                    status => panic!("{status}"),
                }
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn fifos_sockets_and_devices_are_not_found_and_block_nobody() {
    let server = Server::start(&[]);
    server.write("f", b"x");
    nix::unistd::mkfifo(&server.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let _socket = std::os::unix::net::UnixListener::bind(server.path("socket")).expect("a socket");
    for target in ["/fifo", "/socket"] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    assert_eq!(server.get("/f").status, 200);
    let devices = temp_root();
    let server = Server::start_with(crate::harness::binary(), devices, "/dev".as_ref(), &[]);
    for target in ["/null", "/zero", "/tty"] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
}

/// Opening a FIFO wakes who waits to write to it, and opening a device may do anything.
#[test]
fn what_is_no_file_is_not_even_opened() {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    let server = Server::start(&[]);
    server.write("f", b"x");
    nix::unistd::mkfifo(&server.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    symlink("fifo", server.path("link")).expect("a link");
    symlink(server.path("fifo"), server.path("absolute")).expect("a link");
    let seen = Inotify::init(InitFlags::IN_NONBLOCK).expect("inotify(7)");
    for name in ["fifo", "f"] {
        let watched = seen.add_watch(&server.path(name), AddWatchFlags::IN_OPEN);
        watched.expect("a watch");
    }
    for target in ["/fifo", "/link", "/absolute"] {
        for _ in 0..3 {
            assert_eq!(server.get(target).status, 404, "{target}");
        }
    }
    // A listing looks at it as well.
    assert_eq!(server.get("/").status, 200);
    assert_eq!(seen.read_events().err(), Some(nix::errno::Errno::EAGAIN));
    // What is opened is seen so.
    assert_eq!(server.get("/f").status, 200);
    assert!(!seen.read_events().expect("events").is_empty());
}

/// As in a `chroot`.
#[test]
fn without_proc_files_are_served_and_pipes_are_not() {
    let served = temp_root();
    std::fs::write(served.path().join("f"), b"fine").expect("a file");
    std::fs::create_dir(served.path().join("dir")).expect("a directory");
    let fifo = served.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let hide = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
    let hidden = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", hide, program]);
        command
    };
    if !hidden("true").status().is_ok_and(|status| status.success()) {
        println!("no mount namespace here: nothing to test");
        return;
    }
    let program = crate::harness::binary();
    let mut command = hidden(program.get_program().to_str().expect("a path in UTF-8"));
    let set = program.get_envs();
    command.envs(set.filter_map(|(name, value)| Some((name, value?))));
    let path = served.path().to_owned();
    let server = Server::start_with(command, served, &path, &[]);
    for _ in 0..3 {
        assert_eq!(server.get("/f").body, b"fine");
        assert_eq!(server.get("/dir/").status, 200);
        assert_eq!(server.get("/fifo").status, 404);
    }
}

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    let root = temp_root();
    let served = root.path().join("root");
    std::fs::create_dir(&served).expect("a directory");
    std::fs::write(served.join("closed"), b"SECRET").expect("a file");
    std::fs::set_permissions(
        served.join("closed"),
        std::fs::Permissions::from_mode(0o000),
    )
    .expect("chmod");
    let mut command = Command::new(crate::harness::binary_in(root.path()));
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let server = Server::start_with(command, root, &served, &[]);
    let response = server.get("/closed");
    assert_eq!(
        (response.status, response.body.as_slice()),
        (403, &b"403 Forbidden\n"[..])
    );
}

#[test]
fn random_bytes_never_stop_the_server() {
    let server = Server::start(&[]);
    server.write("f", b"x");
    let valid = b"GET /f HTTP/1.1\r\nHost: t\r\nRange: bytes=0-\r\nContent-Length: 0\r\n\r\n";
    for seed in 1..=2000_u64 {
        let noise = crate::harness::pattern(16, seed);
        let mut request = valid.to_vec();
        for pair in noise.chunks_exact(2).take(1 + usize::from(noise[15] % 4)) {
            let at = usize::from(pair[0]) % request.len();
            request[at] = pair[1];
        }
        let mut client = server.connect();
        client.send(&request);
        // What the server takes for the beginning of a request ends here.
        client.shutdown_write();
        if let Ok(response) = client.try_response(true) {
            assert!(
                response.status < 500 || matches!(response.status, 501 | 505),
                "{request:?}"
            );
        }
    }
    assert_eq!(server.get("/f").body, b"x");
}
