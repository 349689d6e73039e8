//! The configuration file: what it sets is served, `check` says what is wrong with it, `print-config` shows it.

use std::path::PathBuf;
use std::process::Output;

use tempfile::TempDir;

use crate::harness::{Server, binary, temp_root};

/// A site, and beside it a configuration file whose first line names it.
struct Configured {
    directory: TempDir,
    file: PathBuf,
}

impl Configured {
    fn by(lines: &str) -> Self {
        let directory = temp_root();
        let site = directory.path().join("site");
        std::fs::create_dir(&site).expect("a directory");
        std::fs::write(site.join("f"), "body").expect("a file");
        let file = directory.path().join("zc.toml");
        let text = format!("root = \"{}\"\n{lines}", site.display());
        std::fs::write(&file, text).expect("a file");
        Self { directory, file }
    }

    fn run(&self, task: &str, options: &[&str]) -> Output {
        let mut command = binary();
        command
            .arg(task)
            .arg("--config")
            .arg(&self.file)
            .args(options);
        command.output().expect("the program starts")
    }

    #[track_caller]
    fn assert_check(&self, code: i32, said: &str) {
        let output = self.run("check", &[]);
        let told = [&output.stdout[..], &output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn a_server_is_configured_by_its_file() {
    let configured = Configured::by(
        "bind = \"127.0.0.1:0\"\nheader = [\"X-One: 1\", \"*.js=X-Two: 2\"]\nlisting = false\n",
    );
    let Configured { directory, file } = configured;
    let mut command = binary();
    command.arg("--config").arg(file);
    let server = Server::start_from(command, directory);
    let mut client = server.connect();
    let response = client.get("/f");
    assert_eq!((response.status, &response.body[..]), (200, &b"body"[..]));
    assert_eq!(response.field("x-one"), Some("1"));
    assert_eq!(response.field("x-two"), None);
    assert_eq!(client.get("/").status, 404);
}

#[test]
fn each_site_of_the_file_is_served_by_its_own_options() {
    let configured = Configured::by("");
    let directory = configured.directory.path();
    for (name, body) in [("a", "of a"), ("b", "of b")] {
        let root = directory.join(name);
        std::fs::create_dir_all(root.join("empty")).expect("a directory");
        std::fs::write(root.join(".hidden"), "dot").expect("a file");
        std::fs::write(root.join("f"), body).expect("a file");
        std::fs::write(root.join("gone.html"), "no such page").expect("a file");
    }
    let path = directory.display();
    let lines = format!(
        "root = \"{path}/site\"\nlisting = false\n[headers]\nX-All = \"1\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[site]]\nhost = [\"a.example\", \"www.a.example\"]\nroot = \"{path}/a\"\n\
         hidden = true\nlisting = true\nerror-page = \"404=gone.html\"\n\
         [site.headers]\nX-A = \"a\"\n[site.headers.f]\nX-F = \"f\"\n[site.cache-control]\nf = \"no-cache\"\n\
         [[site]]\nhost = \"b.example\"\nroot = \"{path}/a\"\nmime = [\"html=text/x-b\"]\n"
    );
    std::fs::write(&configured.file, lines).expect("a file");
    let mut command = binary();
    command.arg("--config").arg(&configured.file);
    let server = Server::start_from(command, configured.directory);
    let mut client = server.connect();
    let mut ask = |host: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.send(request.as_bytes());
        client.response(false)
    };
    // Twice each: from the disk, and from the cache, where both sites have the same directory.
    for _ in 0..2 {
        let of_a = ask("www.A.example:80", "/f");
        assert_eq!(&of_a.body[..], b"of a");
        let fields = ["x-a", "x-f", "cache-control", "x-all"].map(|name| of_a.field(name));
        assert_eq!(fields, [Some("a"), Some("f"), Some("no-cache"), None]);
        assert_eq!(&ask("a.example", "/.hidden").body[..], b"dot");
        assert_eq!(&ask("a.example", "/none").body[..], b"no such page");
        assert_eq!(ask("a.example", "/empty/").status, 200);

        let of_b = ask("b.example", "/f");
        let fields = ["x-a", "cache-control", "x-all"].map(|name| of_b.field(name));
        assert_eq!(fields, [None, None, Some("1")]);
        assert_eq!(ask("b.example", "/.hidden").status, 404);
        assert_eq!(ask("b.example", "/empty/").status, 404);
        let page = ask("b.example", "/gone.html");
        assert_eq!(page.field("content-type"), Some("text/x-b"));

        assert_eq!(&ask("c.example", "/f").body[..], b"body");
    }
}

#[cfg(feature = "tls")]
#[test]
fn without_plain_listeners_there_is_https_alone() {
    let configured = Configured::by("");
    let root = configured.directory.path().join("site");
    let mut command = binary();
    command.args(["--bind", "off", "--tls-self-signed", "--tls-bind"]);
    command
        .arg("127.0.0.1:0")
        .arg(root)
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let said = crate::harness::bounded::Bounded(child.stderr.take().expect("piped"));
    let mut said = std::io::BufReader::new(said);
    let mut lines = String::new();
    while !lines.contains("press Ctrl-C") {
        let count = std::io::BufRead::read_line(&mut said, &mut lines).expect("UTF-8");
        assert!(count > 0, "{lines}");
    }
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
    assert!(lines.contains("  https://127.0.0.1:"), "{lines}");
    assert!(!lines.contains("http://"), "{lines}");
}

#[test]
fn addresses_beside_off_and_no_address_at_all_are_wrong_usage() {
    for (bind, said) in [
        (
            "[\"off\", \"127.0.0.1:0\"]",
            "--bind: `off` cannot be combined",
        ),
        ("\"off\"", "--bind is `off`, and there is no HTTPS"),
    ] {
        Configured::by(&format!("bind = {bind}\n")).assert_check(2, said);
    }
}

#[test]
fn check_says_whether_the_server_could_start_and_what_is_wrong() {
    let right = Configured::by("threads = 1\n");
    right.assert_check(0, "the configuration is valid");
    let unknown = Configured::by("thread = 1\n");
    unknown.assert_check(
        2,
        "zc.toml:2:1: there is no option `thread`; did you mean `threads`?",
    );
    let value = Configured::by("threads = 0\n");
    value.assert_check(2, "the value comes from");
    let page = Configured::by("error-page = [\"404=missing.html\"]\n");
    page.assert_check(1, "missing.html");
    let site = Configured::by("site = [\"a.example=/nowhere\"]\n");
    site.assert_check(1, "/nowhere");
}

#[cfg(feature = "tls")]
#[test]
fn check_reads_certificates() {
    let missing = Configured::by("tls-cert = \"/nowhere/cert.pem\"\ntls-bind = \"127.0.0.1:0\"\n");
    missing.assert_check(1, "/nowhere/cert.pem");
    let own = Configured::by("tls-self-signed = true\n");
    own.assert_check(0, "the configuration is valid");
}

#[test]
fn check_warns_of_variables_that_no_option_has() {
    let configured = Configured::by("");
    let mut command = binary();
    command.env("ZC_BINDS", ":80").arg("check").arg("--config");
    let output = command.arg(&configured.file).output();
    let output = output.expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ZC_BINDS belongs to no option"), "{said}");
    assert!(output.status.success(), "{said}");
}

#[test]
fn check_does_not_listen() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    let configured = Configured::by(&format!("bind = \"{address}\"\n"));
    configured.assert_check(0, "the configuration is valid");
}

#[test]
fn a_file_below_a_root_is_refused() {
    let mut below = Configured::by("");
    let inside = below.directory.path().join("site/zc.toml");
    std::fs::rename(&below.file, &inside).expect("the same disk");
    below.file = inside;
    below.assert_check(1, "is below the root");
    // A link does not hide it.
    let link = below.directory.path().join("link.toml");
    std::os::unix::fs::symlink(&below.file, &link).expect("a link");
    below.file = link;
    below.assert_check(1, "is below the root");
}

#[test]
fn print_config_shows_where_each_value_comes_from() {
    let mut configured = Configured::by("threads = 2\nlisting = false\n");
    let output = configured.run("print-config", &["--listing", "on"]);
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let file = configured.file.display();
    for line in [
        format!("threads = \"2\" # {file}:2"),
        "listing = \"on\" # command line".to_owned(),
        "grace-period = \"30s\" # default".to_owned(),
    ] {
        assert!(
            printed.lines().any(|found| found == line),
            "{line}: {printed}"
        );
    }
    assert!(output.status.success());
    // It is a configuration file itself.
    configured.file = configured.directory.path().join("again.toml");
    std::fs::write(&configured.file, printed).expect("a file");
    configured.assert_check(0, "the configuration is valid");
}
