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
    let configured = Configured::by("threads = 2\nlisting = false\n");
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
}
