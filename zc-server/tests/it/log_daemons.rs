//! `--access-log-to`: syslog and journald, that are there, away, stuck and started again.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::clients::Home;
use crate::harness::{HANG, Server, temp_root, wait_until};
use crate::log_file::{admin_of, dropped_lines, targets, text_of};

/// More than a socket of a daemon holds: the kernel keeps ten datagrams where nobody has asked for more.
const MANY: usize = 600;

fn to(daemon: &str, socket: &Path) -> String {
    format!("--access-log-to={daemon}:{}", socket.display())
}

fn bind(socket: &Path) -> UnixDatagram {
    let daemon = UnixDatagram::bind(socket).expect("a socket");
    daemon.set_read_timeout(Some(HANG)).expect("a timeout");
    daemon
}

/// Waits until no process has the socket: a program that another test starts meanwhile has it for a moment, and lines
/// go there and are lost.
fn wait_until_gone(socket: &Path) {
    wait_until("the daemon is gone", || {
        UnixDatagram::unbound().is_ok_and(|one| one.connect(socket).is_err())
    });
}

/// The next datagram, which must come.
fn next(daemon: &UnixDatagram) -> Vec<u8> {
    let mut datagram = vec![0; 256 << 10];
    let length = daemon.recv(&mut datagram).expect("a datagram");
    datagram.truncate(length);
    datagram
}

/// The target in a datagram in the form of `syslog(3)`.
fn target_of(datagram: &[u8]) -> String {
    let text = std::str::from_utf8(datagram).expect("ASCII");
    let (_, line) = text.split_once("]: ").expect("a line");
    let mut targets = targets(&format!("{line}\n"));
    assert_eq!(targets.len(), 1, "{text}");
    targets.remove(0)
}

/// The targets of all lines that are there.
fn drain(daemon: &UnixDatagram) -> Vec<String> {
    daemon.set_nonblocking(true).expect("a socket");
    let mut targets = Vec::new();
    let mut datagram = vec![0; 64 << 10];
    loop {
        match daemon.recv(&mut datagram) {
            Ok(length) => targets.push(target_of(&datagram[..length])),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return targets;
            }
        }
    }
}

#[test]
fn syslog_gets_each_line_in_the_form_of_the_c_library() {
    let directory = temp_root();
    let socket = directory.path().join("log");
    let daemon = bind(&socket);
    let server = Server::start(&[&to("syslog", &socket)]);
    for target in ["/1", "/2"] {
        assert_eq!(server.get(target).status, 404);
        let datagram = next(&daemon);
        assert_eq!(target_of(&datagram), target);
        let text = String::from_utf8(datagram).expect("ASCII");
        assert!(!text.contains('\n'), "{text}");
        // `<134>Nov 28 03:12:21 zc-server[4711]: `
        let rest = text.strip_prefix("<134>").expect("local0.info");
        let (time, rest) = rest.split_at(16);
        let local = Command::new("date").arg(format!("--date={time}")).output();
        let local = local.expect("date of coreutils");
        assert!(local.status.success(), "{time}");
        let shape = |text: &str| {
            let shape = text.bytes().map(|byte| match byte {
                b'0'..=b'9' => '0',
                b'A'..=b'Z' => 'A',
                b'a'..=b'z' => 'a',
                other => char::from(other),
            });
            shape.collect::<String>()
        };
        let shapes = ["Aaa 00 00:00:00 ", "Aaa  0 00:00:00 "];
        assert!(shapes.contains(&&*shape(time)), "{time}");
        let header = format!("zc-server[{}]: {{", server.pid());
        assert!(rest.starts_with(&header), "{rest}");
    }
}

#[test]
fn the_time_for_syslog_is_local() {
    let hours = |zone: &str| {
        let (directory, root) = (temp_root(), temp_root());
        let socket = directory.path().join("log");
        let daemon = bind(&socket);
        let mut command = crate::harness::binary();
        command.env("TZ", zone).args(["--bind", "127.0.0.1:0"]);
        command.arg(to("syslog", &socket)).arg(root.path());
        let server = Server::start_from(command, root);
        assert_eq!(server.get("/none").status, 404);
        let text = String::from_utf8(next(&daemon)).expect("ASCII");
        let hours: i32 = text[12..14].parse().expect("hours");
        // The line itself is in UTC, and was made a moment before.
        let (_, line) = text.split_once("/20").expect("a date");
        let utc: i32 = line[3..5].parse().expect("hours");
        (hours - utc).rem_euclid(24)
    };
    // The other hour is one that has just begun.
    assert!([5, 6].contains(&hours("XYZ-5")));
    assert!([0, 1].contains(&hours("UTC0")));
}

#[test]
fn journald_gets_fields_and_long_values_by_their_length() {
    let directory = temp_root();
    let socket = directory.path().join("journal");
    let daemon = bind(&socket);
    let server = Server::start(&[&to("journald", &socket)]);
    let rest = b"\nPRIORITY=6\nSYSLOG_IDENTIFIER=zc-server\n";
    assert_eq!(server.get("/short").status, 404);
    let datagram = next(&daemon);
    let line = datagram.strip_prefix(b"MESSAGE=").expect("a message");
    let line = line.strip_suffix(rest).expect("the other fields");
    let line = String::from_utf8(line.to_vec()).expect("ASCII");
    assert_eq!(targets(&format!("{line}\n")), ["/short"]);
    let long = format!("/{}", "x".repeat(7_000));
    assert_eq!(server.get(&long).status, 404);
    let datagram = next(&daemon);
    let value = datagram.strip_prefix(b"MESSAGE\n").expect("a message");
    let (length, value) = value.split_first_chunk::<8>().expect("a length");
    let length = usize::try_from(u64::from_le_bytes(*length)).expect("a length");
    let (line, after) = value.split_at(length);
    assert_eq!(after, rest);
    let line = String::from_utf8(line.to_vec()).expect("ASCII");
    assert_eq!(targets(&format!("{line}\n")), [long]);
}

#[test]
fn a_daemon_that_is_away_is_said_once_and_found_when_it_comes() {
    let directory = temp_root();
    let socket = directory.path().join("log");
    let mut server = Server::start(&[&to("syslog", &socket), "--admin-bind", "127.0.0.1:0"]);
    let admin = admin_of(&mut server);
    // It was never there, and then it is started twice.
    for round in 0..3 {
        for _ in 0..20 {
            assert_eq!(server.get("/lost").status, 404);
        }
        let said = server.said_with("access log: ");
        let reason = if round == 0 {
            "No such file"
        } else {
            "refused"
        };
        assert!(
            said.contains("cannot send to `") && said.contains(reason),
            "{said}"
        );
        let dropped = 20 * (round + 1);
        wait_until("all lines are dropped", || dropped_lines(&admin) == dropped);
        let _ = std::fs::remove_file(&socket);
        let daemon = bind(&socket);
        assert_eq!(server.get("/found").status, 404);
        assert_eq!(target_of(&next(&daemon)), "/found");
        // Nothing else was said meanwhile.
        let said = server.said_with("access log: ");
        let expected = format!("takes lines again; {dropped} lines dropped so far\n");
        assert!(said.contains(&expected), "{said}");
        drop(daemon);
        wait_until_gone(&socket);
    }
    server.signal(Signal::SIGTERM);
    let (status, said) = server.wait();
    assert!(status.success() && !said.contains("gave up"), "{said}");
}

#[test]
fn a_daemon_that_takes_nothing_holds_up_nobody() {
    let directory = temp_root();
    let socket = directory.path().join("log");
    let daemon = bind(&socket);
    let mut server = Server::start(&[&to("syslog", &socket)]);
    let mut client = server.connect();
    for _ in 0..MANY {
        assert_eq!(client.get("/none").status, 404);
    }
    let said = server.said_with("cannot send to `");
    assert!(
        said.contains("it takes no more lines; lines are dropped"),
        "{said}"
    );
    wait_until("a line comes that was asked for now", || {
        assert_eq!(client.get("/again").status, 404);
        drain(&daemon).iter().any(|target| target == "/again")
    });
    server.said_with("takes lines again; ");
}

/// rsyslogd with a socket of its own, ended when it is dropped.
struct Rsyslog(Child);

impl Rsyslog {
    fn start(home: &Home, socket: &Path) -> Self {
        let lines = format!(
            "global(workDirectory=\"{0}\" maxMessageSize=\"64k\")\n\
             module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket=\"{1}\")\n\
             template(name=\"t\" type=\"string\" string=\"%pri-text%|%programname%|%procid%|%msg%\\n\")\n\
             action(type=\"omfile\" file=\"{0}/out\" template=\"t\")\n",
            home.path(".").display(),
            socket.display()
        );
        home.write("rsyslog.conf", lines.as_bytes());
        let mut command = Command::new("/usr/sbin/rsyslogd");
        command.args(["-n", "-f"]).arg(home.path("rsyslog.conf"));
        command.arg("-i").arg(home.path("pid"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut daemon = Self(command.spawn().expect("rsyslogd starts"));
        wait_until("rsyslogd listens", || {
            let ended = daemon.0.try_wait().expect("our own child");
            assert!(ended.is_none(), "rsyslogd ended: {ended:?}");
            UnixDatagram::unbound().is_ok_and(|one| one.connect(socket).is_ok())
        });
        daemon
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

#[test]
fn rsyslog_reads_each_line_also_after_it_was_started_again() {
    let Some(home) = Home::for_clients(&["rsyslogd"]) else {
        return;
    };
    let (socket, out): (PathBuf, PathBuf) = (home.path("log"), home.path("out"));
    let daemon = Rsyslog::start(&home, &socket);
    let mut server = Server::start(&[&to("syslog", &socket)]);
    let long = format!("/{}", "x".repeat(7_000));
    let asked = ["/1", "/a%20b", &long, "/4"];
    for target in asked {
        assert_eq!(server.get(target).status, 404);
    }
    wait_until("rsyslogd writes", || {
        text_of(&out).matches("\"/4\"").count() == 1
    });
    let lines = |text: String| {
        let begin = format!("local0.info|zc-server|{}| ", server.pid());
        let line = |line: &str| line.strip_prefix(&begin).expect(line).to_owned() + "\n";
        targets(&text.lines().map(line).collect::<String>())
    };
    assert_eq!(lines(text_of(&out)), asked);
    drop(daemon);
    wait_until_gone(&socket);
    assert_eq!(server.get("/lost").status, 404);
    server.said_with("cannot send to `");
    let _daemon = Rsyslog::start(&home, &socket);
    assert_eq!(server.get("/again").status, 404);
    server.said_with("takes lines again; 1 line dropped so far");
    wait_until("rsyslogd writes again", || {
        text_of(&out).contains("\"/again\"")
    });
}
