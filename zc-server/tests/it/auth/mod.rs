//! `--auth-file`: who has no name and password of the file is answered with 401.

mod files;
mod real_clients;
mod requests;
mod sites;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::bounded::run_to_end;
use crate::harness::own_page::base64;
use crate::harness::{Client, Response, Server, binary, temp_root};

const CHALLENGE: &str = "Basic realm=\"zc\", charset=\"UTF-8\"";
/// The passwords `secret` and `other`, which take no time.
const ANN: &str = "ann:$2y$04$1h2KDfuvZtc.2QNR14YFS.Wyt7ZvL0uYzeA9/xeFseBWl3I/GNDJ6\n";
const BOB: &str = "bob:$2y$04$/4.Rv8opJmnq..bomD87auQfqwe349c3QgvvXkHugOPrJ/IXY0FJS\n";
/// The password `secret`, which takes half a second of a processor.
const SLOW: &str = "slow:$2y$12$sA6CiAfbd6S4Ci8vDRpPPuhrVTFkqZtJHSoXDFUB99Xhyheas/wf2\n";
const GRANTED: &str = "zc_auth_checks_total{result=\"granted\"}";
const DENIED: &str = "zc_auth_checks_total{result=\"denied\"}";

/// A file of users, outside of what is served.
struct Users {
    directory: TempDir,
}

impl Users {
    fn of(lines: &str) -> Self {
        let users = Self {
            directory: temp_root(),
        };
        users.write(lines);
        users
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("users")
    }

    fn write(&self, lines: &str) {
        std::fs::write(self.path(), lines).expect("a file");
    }

    fn option(&self) -> String {
        format!("--auth-file={}", self.path().display())
    }
}

fn start(users: &Users, files: &[(&str, &[u8])], options: &[&str]) -> Server {
    let of_users = users.option();
    Server::start_over(files, &[&[&of_users[..]], options].concat())
}

/// The field for a name and a password.
fn basic(credentials: &str) -> String {
    let text = base64(credentials.as_bytes());
    format!("Authorization: Basic {text}\r\n")
}

fn ask(client: &mut Client, target: &str, fields: &str) -> Response {
    let request = format!("GET {target} HTTP/1.1\r\nHost: t\r\n{fields}\r\n");
    client.send(request.as_bytes());
    client.response(false)
}

#[track_caller]
fn assert_challenged(response: &Response) {
    let challenge = response.field("www-authenticate");
    assert_eq!((response.status, challenge), (401, Some(CHALLENGE)));
}

/// What a server says that does not start.
fn refused(options: &[&str], root: &Path) -> String {
    let mut command = binary();
    command
        .args(["--bind", "127.0.0.1:0"])
        .args(options)
        .arg(root);
    let (code, said) = run_to_end(&mut command);
    assert_eq!(code, Some(1), "{said}");
    said
}
