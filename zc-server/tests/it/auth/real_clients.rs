//! curl and wget, with files that `htpasswd` makes.

use super::refused;
use crate::harness::clients::Home;
use crate::harness::{Server, temp_root};

/// A home with a file of these users.
fn home_of(programs: &[&str], users: &[(&str, &str)]) -> Option<Home> {
    let home = Home::for_clients(programs)?;
    for (index, (user, password)) in users.iter().enumerate() {
        let options = if index == 0 { "-bBc" } else { "-bB" };
        home.succeed("htpasswd", &[options, "users", user, password]);
    }
    Some(home)
}

fn start(home: &Home) -> Server {
    let file = format!("--auth-file={}", home.path("users").display());
    Server::start_over(&[("f", b"content")], &[&file])
}

#[test]
fn curl_comes_in_with_users_of_htpasswd() {
    let passwords = [
        ("ann", "secret"),
        ("bob", "with:a colon"),
        ("\u{e9}mile", "p\u{e4}ss w\u{f6}rd \u{20ac}"),
    ];
    let Some(home) = home_of(&["htpasswd", "curl"], &passwords) else {
        return;
    };
    let mut server = start(&home);
    let url = server.url("/f");
    let code = |credentials: &str| {
        let answer = ["-s", "-o", "got", "-w", "%{http_code}"];
        home.succeed("curl", &[&answer[..], &["-u", credentials, &url]].concat())
    };
    for (user, password) in passwords {
        assert_eq!(code(&format!("{user}:{password}")), "200");
        assert_eq!(home.read("got"), b"content");
        // As the log has it, in which nothing is but printable ASCII.
        let logged = user.replace('\u{e9}', "\\xC3\\xA9");
        assert_eq!(server.log()["user"], logged);
        assert_eq!(code(&format!("{user}:{password}x")), "401");
        assert_eq!(home.read("got"), b"401 Unauthorized\n");
        assert_eq!(server.log()["user"], serde_json::Value::Null);
    }
    assert_eq!(code("nobody:secret"), "401");
    assert_eq!(code("ann:"), "401");
}

#[test]
fn wget_comes_in_when_it_is_asked_for_a_password() {
    let Some(home) = home_of(&["htpasswd", "wget"], &[("bob", "with:a colon")]) else {
        return;
    };
    let mut server = start(&home);
    let url = server.url("/f");
    let authority = format!("--ca-certificate={}", home.authority());
    let fetches = |password: &str| {
        let password = format!("--password={password}");
        let options = ["-q", "-O", "got", "-t1", &authority, "--user=bob"];
        let arguments = [&options[..], &[&password, &url]].concat();
        home.run("wget", &arguments).status.success()
    };
    assert!(fetches("with:a colon"));
    assert_eq!(home.read("got"), b"content");
    // It says no password before it is asked for one.
    for (status, user) in [(401, serde_json::Value::Null), (200, "bob".into())] {
        let line = server.log();
        assert_eq!((&line["status"], &line["user"]), (&status.into(), &user));
    }
    assert!(!fetches("with"));
}

#[test]
fn hashes_of_other_kinds_that_htpasswd_makes_are_refused() {
    let Some(home) = Home::for_clients(&["htpasswd"]) else {
        return;
    };
    let root = temp_root();
    for (option, kind) in [
        ("-m", "MD5"),
        ("-s", "SHA-1"),
        ("-d", "plain text, or DES of crypt"),
        ("-p", "plain text, or DES of crypt"),
    ] {
        home.succeed("htpasswd", &["-bc", option, "users", "ann", "secret"]);
        let file = format!("--auth-file={}", home.path("users").display());
        let said = refused(&[&file], root.path());
        assert!(
            said.contains(&format!("`ann` is {kind}, and only bcrypt")),
            "{said}"
        );
    }
}
