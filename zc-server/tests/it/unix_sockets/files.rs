//! The file of a socket: its mode, what is replaced by it, and when it is removed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;

use nix::sys::signal::Signal;
use socket2::{Domain, SockAddr, Socket, Type};

use super::Place;
use crate::harness::bounded::run_to_end;
use crate::harness::{Server, binary, pattern, temp_root, wait_until};

/// What a server says that cannot listen at `address`.
fn refusal(address: &str) -> String {
    let root = temp_root();
    let mut command = binary();
    command.args(["--bind", address]).arg(root.path());
    let (code, said) = run_to_end(&mut command);
    assert_eq!(code, Some(1), "{said}");
    said
}

#[test]
fn the_mode_is_what_is_asked_for_whatever_the_umask() {
    for umask in ["000", "077"] {
        for (options, mode) in [(&[][..], 0o660), (&["--socket-mode", "0606"], 0o606)] {
            let place = Place::new();
            let mut shell = Command::new("sh");
            let script = format!("umask {umask}; exec \"$0\" \"$@\"");
            shell.args(["-c", &script]).arg(binary().get_program());
            let root = temp_root();
            let served = root.path().to_owned();
            let address = place.address();
            let options = [&["--bind", &*address], options].concat();
            let server = Server::start_with(shell, root, &served, &options);
            let found = fs::symlink_metadata(place.path()).expect("a socket");
            assert_eq!(found.permissions().mode() & 0o777, mode, "umask {umask}");
            drop(server);
        }
    }
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced() {
    let place = Place::new();
    // One that never listened: a child of another test may hold it until its program starts.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    let address = SockAddr::unix(place.path()).expect("an address");
    socket.bind(&address).expect("a socket");
    drop(socket);
    assert!(UnixStream::connect(place.path()).is_err());
    let server = place.server(&[]);
    server.write("f", b"found");
    assert_eq!(place.connect().get("/f").body, b"found");
    // One that was killed leaves its own.
    drop(server);
    assert!(place.path().exists());
    let server = place.server(&[]);
    server.write("f", b"found again");
    assert_eq!(place.connect().get("/f").body, b"found again");
}

#[test]
fn a_path_that_is_in_use_stays_as_it_is() {
    let place = Place::new();
    let in_use = format!(
        "zc-server: cannot listen on {}: the address is in use; stop the other program or choose another path\n",
        place.address()
    );
    let server = place.server(&[]);
    server.write("f", b"found");
    assert_eq!(refusal(&place.address()), in_use);
    assert_eq!(place.connect().get("/f").body, b"found");
    drop(server);
    fs::remove_file(place.path()).expect("a socket");
    // One of another kind is in use as well.
    let _datagrams = UnixDatagram::bind(place.path()).expect("a socket");
    assert_eq!(refusal(&place.address()), in_use);
    assert!(place.path().exists());
}

#[test]
fn what_is_no_socket_is_named_and_left_alone() {
    let place = Place::new();
    let path = place.path();
    let said = |what: &str| {
        format!(
            "zc-server: cannot listen on {}: {what} is there; remove it or choose another path\n",
            place.address()
        )
    };
    fs::write(&path, "kept").expect("a file");
    assert_eq!(refusal(&place.address()), said("a regular file"));
    assert_eq!(fs::read(&path).expect("a file"), b"kept");
    fs::remove_file(&path).expect("a file");
    fs::create_dir(&path).expect("a directory");
    assert_eq!(refusal(&place.address()), said("a directory"));
    fs::remove_dir(&path).expect("a directory");
    symlink("elsewhere", &path).expect("a link");
    assert_eq!(refusal(&place.address()), said("a symbolic link"));
}

#[test]
fn a_path_that_cannot_be_is_named_with_the_mend() {
    let place = Place::new();
    let directory = place.directory.path().display();
    let missing = format!("unix:{directory}/none/zc.sock");
    assert_eq!(
        refusal(&missing),
        format!(
            "zc-server: cannot listen on {missing}: the directory does not exist; create it or choose another path\n"
        )
    );
    let long = format!("/{}", "x".repeat(107));
    assert_eq!(
        refusal(&format!("unix:{long}")),
        format!(
            "zc-server: cannot listen on unix:{long}: the path has 108 bytes, and that of a Unix-domain socket at \
             most 107; choose a shorter one\n"
        )
    );
    let both = binary()
        .args(["--bind", &missing, "--admin-bind", &missing])
        .arg(place.directory.path())
        .output()
        .expect("it starts");
    assert_eq!(both.status.code(), Some(2));
    let said = String::from_utf8(both.stderr).expect("text");
    assert!(
        said.contains(&format!("both listen on {missing}")),
        "{said}"
    );
}

#[test]
fn the_path_goes_when_the_drain_begins_and_responses_come_to_their_end() {
    let place = Place::new();
    let body = pattern(8 << 20, 5);
    for threads in ["1", "3"] {
        let server = place.server(&["--grace-period", "1h", "--threads", threads]);
        server.write("long", &body);
        let mut client = place.connect();
        client.send(b"GET /long HTTP/1.1\r\nHost: t\r\n\r\n");
        client.wait_until_begun();
        server.signal(Signal::SIGTERM);
        wait_until("the path is gone", || !place.path().exists());
        assert!(client.response(false).body == body);
        let (status, said) = server.wait();
        assert!(status.success(), "{said}");
    }
}

#[test]
fn a_path_that_another_server_has_taken_over_stays() {
    let place = Place::new();
    let first = place.server(&[]);
    fs::remove_file(place.path()).expect("a socket");
    let second = place.server(&[]);
    second.write("f", b"of the second");
    let inode = || {
        fs::symlink_metadata(place.path())
            .map(|found| found.ino())
            .ok()
    };
    let taken = inode();
    assert!(taken.is_some());
    first.signal(Signal::SIGTERM);
    assert!(first.wait().0.success());
    assert_eq!(inode(), taken);
    assert_eq!(place.connect().get("/f").body, b"of the second");
    second.signal(Signal::SIGTERM);
    assert!(second.wait().0.success());
    assert_eq!(inode(), None);
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    let place = Place::new();
    let root = temp_root();
    let occupied = place.directory.path().display();
    let output = binary()
        .args([
            "--bind",
            &place.address(),
            "--bind",
            &format!("unix:{occupied}"),
        ])
        .arg(root.path())
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!place.path().exists());
}
