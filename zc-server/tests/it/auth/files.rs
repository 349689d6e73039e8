//! The file of users: read, refused, read again.

use nix::sys::signal::Signal;

use super::{ANN, BOB, Users, basic, refused, start};
use crate::admin::Watched;
use crate::harness::{binary, temp_root};

#[test]
fn the_file_is_read_again_on_sighup_and_a_wrong_one_changes_nothing() {
    let users = Users::of(ANN);
    let of_users = users.option();
    // There is no configuration file to be read.
    let mut watched = Watched::start(&[("f", b"content")], &[&of_users]);
    let status = |watched: &Watched, credentials: &str| {
        watched.server.get_with("/f", &basic(credentials)).status
    };
    let both = |watched: &Watched| [status(watched, "ann:secret"), status(watched, "bob:other")];
    assert_eq!(both(&watched), [200, 401]);
    let reload = |watched: &mut Watched, lines: &str| {
        users.write(lines);
        watched.server.signal(Signal::SIGHUP);
        watched.server.said_with("the configuration ")
    };
    let said = reload(&mut watched, BOB);
    assert!(said.contains("was read again"), "{said}");
    // What was remembered of the earlier file counts no more.
    assert_eq!(both(&watched), [401, 200]);
    let wrong = format!("{ANN}eve:$apr1$x$y\n");
    let said = reload(&mut watched, &wrong);
    let path = users.path();
    let expected = format!(
        "the configuration stays as it was: --auth-file: {}:2: the password of `eve` is MD5, and only bcrypt is \
         read; set it again with htpasswd -B",
        path.display()
    );
    assert!(said.contains(&expected), "{said}");
    assert_eq!(both(&watched), [401, 200]);
    assert_eq!(watched.value("zc_config_last_reload_successful"), 0.0);
    // With nobody in it nobody comes in.
    reload(&mut watched, "");
    assert_eq!(both(&watched), [401, 401]);
}

#[test]
fn no_file_is_read_again_without_a_reload() {
    let users = Users::of(ANN);
    let server = start(&users, &[("f", b"content")], &[]);
    std::fs::remove_file(users.path()).expect("a file");
    assert_eq!(server.get_with("/f", &basic("ann:secret")).status, 200);
}

#[test]
fn a_file_that_cannot_be_used_keeps_the_server_from_starting() {
    let users = Users::of(&format!("{ANN}ann:x\n"));
    let root = temp_root();
    let said = refused(&[&users.option()], root.path());
    assert!(
        said.contains("users:2: the password of `ann` is plain text"),
        "{said}"
    );
    assert!(!said.contains("ann:x"), "{said}");
    users.write(&format!("{ANN}\n{ANN}"));
    let said = refused(&[&users.option()], root.path());
    assert!(
        said.contains(":3: the user `ann` is on line 1 already; remove one"),
        "{said}"
    );
    let mut check = binary();
    check.args(["check", &users.option()]).arg(root.path());
    let checked = check.output().expect("the program starts");
    assert_eq!(checked.status.code(), Some(1));
    std::fs::remove_file(users.path()).expect("a file");
    let said = refused(&[&users.option()], root.path());
    assert!(said.contains("--auth-file: cannot read `"), "{said}");
    assert!(said.contains("make it with htpasswd -B -c"), "{said}");
    // Nobody would ever write into it.
    let mode = nix::sys::stat::Mode::S_IRUSR;
    nix::unistd::mkfifo(&users.path(), mode).expect("a FIFO");
    let said = refused(&[&users.option()], root.path());
    assert!(said.contains("it is no regular file"), "{said}");
    std::fs::remove_file(users.path()).expect("a FIFO");
    // It would be served.
    std::fs::create_dir(root.path().join("d")).expect("a directory");
    std::fs::write(root.path().join("d/users"), ANN).expect("a file");
    let inside = format!("--auth-file={}", root.path().join("d/users").display());
    let said = refused(&[&inside], root.path());
    assert!(said.contains("--auth-file `"), "{said}");
    assert!(said.contains("where it would be served; move it"), "{said}");
    // By way of a link, and below the root of a site.
    std::os::unix::fs::symlink(root.path().join("d/users"), users.path()).expect("a link");
    let other = temp_root();
    let site = format!("--site=a.example={}", root.path().display());
    let said = refused(&[&users.option(), &site], other.path());
    assert!(said.contains("where it would be served; move it"), "{said}");
}

#[test]
fn a_root_that_is_served_without_its_password_from_above_is_told() {
    let users = Users::of(ANN);
    let root = temp_root();
    let below = root.path().join("staff");
    std::fs::create_dir(&below).expect("a directory");
    let file = root.path().join("zc.toml");
    let told = |of_server: &str| {
        let (users, below) = (users.path(), below.display());
        let users = users.display();
        let text = format!(
            "{of_server}\n[[site]]\nhost = \"staff\"\nroot = \"{below}\"\nauth-file = \"{users}\"\n"
        );
        let elsewhere = temp_root();
        let config = elsewhere.path().join(file.file_name().expect("a name"));
        std::fs::write(&config, text).expect("a file");
        let mut command = binary();
        command.arg("check").arg("--config").arg(config);
        let output = command.arg(root.path()).output().expect("it starts");
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).contains("takes a password, and is below the root")
    };
    assert!(told(""));
    assert!(!told(&format!(
        "auth-file = \"{}\"",
        users.path().display()
    )));
}

#[test]
fn files_with_secrets_are_neither_served_nor_written_to() {
    let users = Users::of(ANN);
    let check = |options: &[&str], served: &std::path::Path| {
        let mut command = binary();
        let output = command.arg("check").args(options).arg(served).output();
        let output = output.expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let root = temp_root();
    let path = users.path().to_str().expect("UTF-8").to_owned();
    let (code, said) = check(&["--auth-file", &path, "--log-file", &path], root.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is the file of --auth-file"), "{said}");
    // A link below the root is followed by who may.
    let link = root.path().join("users");
    std::os::unix::fs::symlink(users.path(), &link).expect("a link");
    let link = link.to_str().expect("UTF-8");
    let (code, said) = check(&["--auth-file", link], root.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is below the root"), "{said}");
    // What a certificate authority asks for is for everybody.
    let users = users.path();
    let webroot = users.parent().and_then(std::path::Path::to_str);
    let webroot = webroot.expect("UTF-8");
    let tls = ["--tls-self-signed", "--acme-webroot", webroot];
    let (code, said) = check(&[&tls[..], &["--auth-file", &path]].concat(), root.path());
    if cfg!(feature = "tls") {
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("is below the root"), "{said}");
    }
}

#[test]
fn who_starts_a_server_is_warned_of_what_gives_passwords_away() {
    use std::os::unix::fs::PermissionsExt;
    let users = Users::of(ANN);
    let warnings = |options: &[&str]| {
        let root = temp_root();
        let mut command = binary();
        command.arg("check").arg(users.option()).args(options);
        let output = command
            .arg(root.path())
            .output()
            .expect("the program starts");
        assert!(output.status.success());
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        [
            "every user of this machine can read",
            "without encryption",
            "lets shared caches keep",
        ]
        .map(|words| said.contains(words))
    };
    let permit = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(users.path(), permissions).expect("chmod");
    };
    permit(0o644);
    assert_eq!(warnings(&["--bind", "8080"]), [true, false, false]);
    permit(0o640);
    assert_eq!(warnings(&["--bind", "8080"]), [false; 3]);
    assert_eq!(warnings(&["--bind", ":8080"]), [false, true, false]);
    let behind = ["--bind", ":8080", "--trusted-proxy", "10.0.0.0/8"];
    assert_eq!(warnings(&behind), [false; 3]);
    let shared = ["--cache-control", "*=public, max-age=60"];
    assert_eq!(warnings(&shared), [false, false, true]);
    assert_eq!(
        warnings(&["--cache-control", "*=private, max-age=60"]),
        [false; 3]
    );
}
