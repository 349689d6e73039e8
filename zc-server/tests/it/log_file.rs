//! `--log-file`: what is written where, opening again, a disk without room, and what is refused.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::harness::bounded::run_to_end;
use crate::harness::clients::Home;
use crate::harness::{Client, Server, binary, temp_root, wait_until};

const READ_AGAIN: &str = "the configuration was read again";

/// The targets of a log in JSON, each line of which must be whole.
pub(crate) fn targets(text: &str) -> Vec<String> {
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let target = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        line["target"].as_str().expect("a target").to_owned()
    };
    text.lines().map(target).collect()
}

/// What is in a file, which may not be there yet.
pub(crate) fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The address of the admin listener.
pub(crate) fn admin_of(server: &mut Server) -> String {
    let said = server.said_with("metrics and health are at ");
    let address = said.trim().trim_end_matches('/').rsplit('/').next();
    address.expect("an address").to_owned()
}

/// How many lines were dropped by the metrics of the listener at `admin`.
pub(crate) fn dropped_lines(admin: &str) -> usize {
    let stream = TcpStream::connect(admin).expect("it listens");
    let page = String::from_utf8(Client::plain(stream).get("/metrics").body).expect("UTF-8");
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix("zc_log_dropped_total "));
    value.expect("a metric").parse().expect("a number")
}

/// Waits until a log in JSON has these targets.
fn wait_for(path: &Path, expected: &[&str]) {
    // The last line may be on its way.
    wait_until(&format!("{expected:?} in {}", path.display()), || {
        let text = text_of(path);
        text.lines().count() >= expected.len() && text.ends_with('\n')
    });
    assert_eq!(targets(&text_of(path)), expected);
}

/// A server with exactly these options.
fn plain(options: &[&str]) -> Server {
    let root = temp_root();
    let mut command = binary();
    command.args(["--bind", "127.0.0.1:0", "--threads", "1"]);
    command.args(options).arg(root.path());
    Server::start_from(command, root)
}

/// What a server says that does not start.
pub(crate) fn refused(command: &mut Command) -> String {
    let (code, said) = run_to_end(command);
    assert_ne!(code, Some(0), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_log_file_is_appended_to_and_others_may_not_read_it() {
    let logs = temp_root();
    let (one, other) = (logs.path().join("one"), logs.path().join("other"));
    fs::write(&one, "a line\n").expect("a file");
    for file in [&one, &other] {
        let server = plain(&[&format!("--log-file={}", file.display())]);
        assert_eq!(server.get("/none").status, 404);
        server.signal(Signal::SIGTERM);
        let (status, said) = server.wait();
        assert!(status.success(), "{said}");
    }
    let mode = fs::metadata(&other).expect("a file").permissions().mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
    let (one, other) = (text_of(&one), text_of(&other));
    // Its format is combined where no other is named.
    let line = one.strip_prefix("a line\n").expect("what was there");
    for line in [line, &other] {
        let is_combined = line.contains("\"GET /none HTTP/1.1\" 404 14 \"-\" \"-\" host=t");
        assert!(is_combined && line.lines().count() == 1, "{line}");
    }
}

#[test]
fn a_relative_path_begins_where_the_server_was_started() {
    let (directory, root) = (temp_root(), temp_root());
    fs::create_dir(directory.path().join("logs")).expect("a directory");
    let mut command = binary();
    command.current_dir(directory.path());
    command.args(["--bind", "127.0.0.1:0", "--access-log", "json"]);
    command
        .args(["--log-file", "logs/access.log"])
        .arg(root.path());
    let mut server = Server::start_from(command, root);
    let file = directory.path().join("logs/access.log");
    assert_eq!(server.get("/1").status, 404);
    wait_for(&file, &["/1"]);
    fs::remove_file(&file).expect("a file");
    // The server has left that directory long since.
    server.signal(Signal::SIGUSR1);
    server.said_with("opened");
    assert_eq!(server.get("/2").status, 404);
    wait_for(&file, &["/2"]);
}

#[test]
fn off_opens_no_file() {
    let (logs, root) = (temp_root(), temp_root());
    let file = logs.path().join("access.log");
    let mut command = binary();
    command.args(["--bind", "127.0.0.1:0", "--access-log", "off", "--log-file"]);
    command.arg(&file).arg(root.path());
    let mut server = Server::start_from(command, root);
    assert_eq!(server.get("/none").status, 404);
    server.signal(Signal::SIGUSR1);
    server.said_with("SIGUSR1 ignored: there are no log files to reopen");
    assert!(!file.exists());
}

#[test]
fn both_signals_have_a_renamed_file_opened_again() {
    for signal in [Signal::SIGUSR1, Signal::SIGHUP] {
        let logs = temp_root();
        let file = logs.path().join("access.log");
        let mut server = Server::start(&[&format!("--log-file={}", file.display())]);
        let renamed = logs.path().join("access.log.1");
        assert_eq!(server.get("/1").status, 404);
        wait_for(&file, &["/1"]);
        fs::rename(&file, &renamed).expect("a rename");
        assert_eq!(server.get("/2").status, 404);
        wait_for(&renamed, &["/1", "/2"]);
        assert!(!file.exists());
        server.signal(signal);
        let said = server.said_with("access log: opened `");
        assert!(said.contains(&*file.to_string_lossy()), "{said}");
        assert_eq!(server.get("/3").status, 404);
        wait_for(&file, &["/3"]);
        assert_eq!(targets(&text_of(&renamed)), ["/1", "/2"]);
    }
}

#[test]
fn a_file_that_cannot_be_opened_again_stays_in_use() {
    let logs = temp_root();
    let (here, there) = (logs.path().join("here"), logs.path().join("there"));
    fs::create_dir(&here).expect("a directory");
    let file = here.join("access.log");
    let mut server = Server::start(&[&format!("--log-file={}", file.display())]);
    assert_eq!(server.get("/1").status, 404);
    wait_for(&file, &["/1"]);
    fs::rename(&here, &there).expect("a rename");
    server.signal(Signal::SIGUSR1);
    let said = server.said_with("cannot open");
    assert!(
        said.contains("No such file") && said.contains("lines go to the file that is open"),
        "{said}"
    );
    assert_eq!(server.get("/2").status, 404);
    wait_for(&there.join("access.log"), &["/1", "/2"]);
    fs::create_dir(&here).expect("a directory");
    server.signal(Signal::SIGUSR1);
    server.said_with("opened");
    assert_eq!(server.get("/3").status, 404);
    wait_for(&file, &["/3"]);
}

#[test]
fn a_log_file_that_would_be_served_is_refused() {
    let (logs, root, site) = (temp_root(), temp_root(), temp_root());
    let at = |name: &str| logs.path().join(name);
    symlink(root.path(), at("alias")).expect("a link");
    symlink(root.path().join("new.log"), at("dangling")).expect("a link");
    symlink(at("elsewhere"), root.path().join("out")).expect("a link");
    for (file, served) in [
        (root.path().join("access.log"), root.path()),
        (at("alias").join("access.log"), root.path()),
        (at("dangling"), root.path()),
        (root.path().join("out"), root.path()),
        (site.path().join("access.log"), site.path()),
    ] {
        let mut command = binary();
        command
            .args(["--bind", "127.0.0.1:0", "--log-file"])
            .arg(&file);
        command.arg(format!("--site=a.example={}", site.path().display()));
        let said = refused(command.arg(root.path()));
        let expected = format!(
            "--log-file `{}` is below the root `{}`, where it would be served; move it",
            file.display(),
            served.display()
        );
        assert!(said.contains(&expected), "{said}");
        assert!(!root.path().join("new.log").exists());
    }
}

#[test]
fn a_file_that_cannot_be_opened_ends_the_start_with_its_mend() {
    let (logs, root) = (temp_root(), temp_root());
    let at = |name: &str| logs.path().join(name).display().to_string();
    for (options, said) in [
        (
            vec![format!("--log-file={}", at("none/access.log"))],
            format!(
                "cannot open the log file `{}`: No such file",
                at("none/access.log")
            ),
        ),
        (
            vec![format!("--log-file={}", logs.path().display())],
            "Is a directory".to_owned(),
        ),
        (
            vec![
                format!("--log-file={}", at("a")),
                "--access-log-to=stdout".to_owned(),
            ],
            "--log-file and --access-log-to are both given".to_owned(),
        ),
    ] {
        for task in [None, Some("check")] {
            let mut command = binary();
            command.args(task).args(&options);
            let answer = refused(command.args(["--bind", "127.0.0.1:0"]).arg(root.path()));
            assert!(answer.contains(&said), "{answer}");
            let mends = ["name another file", "remove one"];
            assert!(mends.iter().any(|mend| answer.contains(mend)), "{answer}");
        }
    }
    // What could be opened is not made by a check.
    let mut command = binary();
    command.args(["check", &format!("--log-file={}", at("a"))]);
    let output = command.arg(root.path()).output().expect("the binary");
    assert!(output.status.success());
    assert!(!logs.path().join("a").exists());
}

/// A server whose options stand in a file beside its root.
struct Configured {
    server: Server,
    /// One connection, so that the same worker is told of each change.
    client: Client,
}

impl Configured {
    fn start(lines: &str) -> Self {
        let directory = temp_root();
        fs::create_dir(directory.path().join("root")).expect("a directory");
        configure(directory.path(), lines);
        let mut command = binary();
        command.current_dir(directory.path());
        command.args(["--config", "zc.toml"]);
        let server = Server::start_from(command, directory);
        let client = server.connect();
        Self { server, client }
    }

    fn reload(&mut self, lines: &str, said: &str) -> String {
        configure(self.server.root.path(), lines);
        self.server.signal(Signal::SIGHUP);
        self.server.said_with(said)
    }

    fn ask(&mut self, target: &str) {
        assert_eq!(self.client.get(target).status, 404);
    }
}

fn configure(directory: &Path, lines: &str) {
    let lines = format!("root = \"root\"\nbind = \"127.0.0.1:0\"\nthreads = 1\n{lines}");
    fs::write(directory.join("zc.toml"), lines).expect("a file");
}

#[test]
fn a_reload_changes_the_file_and_the_format() {
    let mut configured = Configured::start("access-log = \"json\"\nlog-file = \"one\"\n");
    let [one, two, three] = ["one", "two", "three"].map(|name| configured.server.path(name));
    configured.ask("/1");
    wait_for(&one, &["/1"]);
    configured.reload("access-log = \"json\"\nlog-file = \"two\"\n", READ_AGAIN);
    configured.ask("/2");
    wait_for(&two, &["/2"]);
    wait_for(&one, &["/1"]);
    // The format alone.
    configured.reload("access-log = \"clf\"\nlog-file = \"two\"\n", READ_AGAIN);
    configured.ask("/3");
    wait_until("a line in the other format", || {
        text_of(&two).ends_with("\"GET /3 HTTP/1.1\" 404 14\n")
    });
    // No log at all, and one again.
    configured.reload("access-log = \"off\"\nlog-file = \"two\"\n", READ_AGAIN);
    configured.ask("/4");
    configured.reload("access-log = \"json\"\nlog-file = \"three\"\n", READ_AGAIN);
    configured.ask("/5");
    wait_for(&three, &["/5"]);
    assert_eq!(text_of(&two).lines().count(), 2);
    // To standard output.
    configured.reload("access-log = \"json\"\n", READ_AGAIN);
    configured.ask("/6");
    assert_eq!(configured.server.log()["target"], "/6");
    wait_for(&three, &["/5"]);
    let Configured { server, client } = configured;
    drop(client);
    server.signal(Signal::SIGTERM);
    let (status, said) = server.wait();
    assert!(status.success() && !said.contains("gave up"), "{said}");
}

#[test]
fn a_reload_with_a_file_that_cannot_be_opened_changes_nothing() {
    let mut configured = Configured::start("access-log = \"json\"\nlog-file = \"one\"\n");
    let one = configured.server.path("one");
    for (lines, reason) in [
        ("log-file = \"none/two\"\n", "create its directory"),
        ("log-file = \"root/two\"\n", "where it would be served"),
        ("log-file = \"root\"\n", "where it would be served"),
        ("log-fil = \"two\"\n", "did you mean `log-file`"),
    ] {
        let lines = format!("access-log = \"clf\"\nheader = \"X-Wrong: 1\"\n{lines}");
        // What the program that rotates has renamed is opened again all the same.
        fs::remove_file(&one).expect("a file");
        let said = configured.reload(&lines, "the configuration stays as it was");
        assert!(said.contains(reason), "{said}");
        wait_until("the file is opened again", || one.exists());
        let response = configured.client.get("/1");
        assert_eq!(response.field("x-wrong"), None);
        wait_until("a line", || text_of(&one).ends_with("}\n"));
        assert_eq!(targets(&text_of(&one)), ["/1"]);
    }
}

#[test]
fn goaccess_reads_every_line_in_the_format_combined() {
    let Some(home) = Home::for_clients(&["goaccess"]) else {
        return;
    };
    let file = home.path("access.log");
    let server = plain(&[&format!("--log-file={}", file.display())]);
    server.write("page.html", b"<p>x</p>");
    // What stands in quotes, what is not found, what has no body, and what is no request.
    for request in [
        "GET /page.html HTTP/1.1\r\nHost: t\r\nUser-Agent: \"a\\b\" \u{e9}\r\nReferer: http://t/\r\n\r\n",
        "GET /page.html HTTP/1.1\r\nHost: t\r\nRange: bytes=1-2\r\n\r\n",
        "HEAD /page.html HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /none?a=\"b\" HTTP/1.1\r\nHost: t\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n",
        "DELETE /page.html HTTP/1.1\r\nHost: t\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        server.request(request);
    }
    // One that is given up before it has an answer.
    let mut client = server.connect();
    client.send(b"GET /page.ht");
    drop(client);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().0.success());
    let text = text_of(&file);
    let arguments = [
        "access.log",
        "--log-format=COMBINED",
        "--no-global-config",
        "--no-progress",
        "-o",
        "report.json",
    ];
    home.succeed("goaccess", &arguments);
    let report: serde_json::Value =
        serde_json::from_slice(&home.read("report.json")).expect("JSON");
    let general = &report["general"];
    assert_eq!(general["failed_requests"], 0, "{text}");
    assert_eq!(general["total_requests"], text.lines().count(), "{text}");
    assert!(text.lines().count() >= 7, "{text}");
    let count = |panel: &str, data: &str| {
        let rows = report[panel]["data"].as_array().expect("a panel");
        let rows = rows.iter().flat_map(|row| {
            let items = row["items"].as_array();
            items.into_iter().flatten().chain([row])
        });
        let is_named = |row: &&serde_json::Value| {
            let name = row["data"].as_str();
            name.is_some_and(|name| name.starts_with(data))
        };
        let hits = |row: &serde_json::Value| row["hits"]["count"].as_u64().expect("a number");
        // One for each method.
        rows.filter(is_named).map(hits).sum::<u64>()
    };
    assert_eq!(count("status_codes", "200"), 2, "{report}");
    assert_eq!(count("status_codes", "206"), 1, "{report}");
    assert_eq!(count("status_codes", "404"), 1, "{report}");
    assert_eq!(count("requests", "/page.html"), 4, "{report}");
}
