//! Certificates of HTTPS, as an operator meets them: at the start, and when they are renewed.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::bounded::run_to_end;
use crate::harness::{Server, binary, temp_root, wait_until};

/// Makes a certificate and its key, `NAME.pem` and `NAME.key`, in this directory.
fn make(directory: &Path, name: &str) {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-nodes", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=localhost", "-days", "90"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-keyout", &format!("{name}.key")])
        .args(["-out", &format!("{name}.pem")]);
    let made = command.current_dir(directory).output().expect("openssl");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
}

/// A server with the pair `a`, whose paths are relative to the directory that it is started in.
fn started(directory: &Path) -> Server {
    started_from(binary(), directory, &[])
}

/// The same with more options; `command` is the binary.
fn started_from(mut command: Command, directory: &Path, more: &[&str]) -> Server {
    let root = temp_root();
    let served = root.path().to_owned();
    command.current_dir(directory);
    let options = ["--tls-cert", "a.pem", "--tls-key", "a.key"];
    let options = [&options[..], &["--tls-bind", "127.0.0.1:0"], more].concat();
    Server::start_with(command, root, &served, &options)
}

/// What a client of OpenSSL prints of a handshake with the address that the server says next.
fn shaken(server: &mut Server, options: &[&str]) -> String {
    let secure = server.said_with("https://");
    let address = secure.trim().trim_start_matches("https://");
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", address.trim_end_matches('/')]);
    let output = command.args(options).stdin(Stdio::null()).output();
    String::from_utf8_lossy(&output.expect("openssl").stdout).into_owned()
}

#[test]
fn a_wrong_pair_ends_the_start_with_its_mend() {
    let directory = temp_root();
    make(directory.path(), "a");
    make(directory.path(), "b");
    let run = |options: &[&str]| {
        let mut command = binary();
        command.current_dir(directory.path()).args(options);
        run_to_end(&mut command)
    };
    let here = directory.path().display();
    let (code, said) = run(&["--tls-cert", "a.pem", "--tls-key", "b.key"]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(
        said,
        format!(
            "zc-server: --tls-key `{here}/b.key` is not the key of `{here}/a.pem`; name the key that the \
             certificate was made for\n"
        )
    );
    let (code, said) = run(&["--tls-cert", "none.pem"]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(
        said,
        format!("zc-server: --tls-cert `{here}/none.pem` does not exist; name a file\n")
    );
    let (code, said) = run(&["--tls-bind", ":443"]);
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(
        said,
        "zc-server: --tls-bind :443 needs a certificate; add --tls-cert and --tls-key, or --tls-self-signed\n"
    );
}

#[test]
fn a_hangup_signal_has_the_certificates_read_again() {
    let directory = temp_root();
    make(directory.path(), "a");
    let mut server = started(directory.path());
    server.signal(Signal::SIGHUP);
    server.said_with("HTTPS: the certificates were read again; none has changed");
    make(directory.path(), "a");
    server.signal(Signal::SIGHUP);
    let said = server.said_with("is a new one");
    assert!(
        said.contains("/a.pem` is a new one, valid until "),
        "{said}"
    );
    // A pair that is wrong leaves the server as it is.
    std::fs::remove_file(directory.path().join("a.key")).expect("a file");
    server.signal(Signal::SIGHUP);
    server.said_with("/a.key` does not exist; name a file; until then the earlier one is used");
    assert_eq!(server.get("/").status, 200);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn a_renewed_certificate_is_found_without_a_signal() {
    let directory = temp_root();
    make(directory.path(), "a");
    let mut server = started(directory.path());
    make(directory.path(), "a");
    server.said_with("is a new one");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn a_key_that_all_can_read_and_a_self_signed_certificate_are_told_at_the_start() {
    let directory = temp_root();
    make(directory.path(), "a");
    let key = directory.path().join("a.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).expect("chmod");
    let said = started(directory.path()).banner();
    let key = key.display();
    let warning =
        format!("zc-server: warning: every user can read the key `{key}`; run chmod o-r {key}\n");
    assert!(said.starts_with(&warning), "{said}");
    assert!(!said.contains("SHA-256"), "{said}");

    let said = Server::start(&["--tls-self-signed", "--tls-bind", "127.0.0.1:0"]).banner();
    let line = said.lines().find(|line| line.contains("SHA-256"));
    let line = line.expect("a fingerprint");
    let (words, fingerprint) = line.rsplit_once(' ').expect("words");
    assert_eq!(
        words,
        "the certificate is self-signed, so clients warn; its SHA-256 fingerprint is"
    );
    assert_eq!(fingerprint.split(':').count(), 32, "{line}");
}

#[test]
fn an_ocsp_response_goes_with_the_certificate() {
    let directory = temp_root();
    make(directory.path(), "a");
    // An OCSPResponse that is successful, without the bytes of an answer (RFC 6960 §4.2.1).
    let response = b"\x30\x03\x0a\x01\x00";
    std::fs::write(directory.path().join("a.ocsp"), response).expect("a file");
    for (options, words) in [
        (&[][..], "OCSP response: no response sent"),
        (
            &["--tls-ocsp", "a.ocsp"],
            "OCSP Response Status: successful",
        ),
    ] {
        let mut server = started_from(binary(), directory.path(), options);
        let said = shaken(&mut server, &["-status"]);
        assert!(said.contains(words), "{options:?}: {said}");
    }
}

#[test]
fn secrets_are_those_of_the_client_and_written_on_demand_alone() {
    let directory = temp_root();
    make(directory.path(), "a");
    let [ours, of_client] = ["ours", "client"].map(|name| directory.path().join(name));
    for options in [&[][..], &["--tls-key-log"]] {
        let mut command = binary();
        command.env("SSLKEYLOGFILE", &ours);
        let mut server = started_from(command, directory.path(), options);
        let file = of_client.to_str().expect("UTF-8");
        shaken(&mut server, &["-keylogfile", file]);
        assert_eq!(ours.exists(), !options.is_empty(), "{options:?}");
    }
    let text = std::fs::read_to_string(&of_client).expect("a file");
    let name = "CLIENT_TRAFFIC_SECRET_0 ";
    let secret = text.lines().rfind(|line| line.starts_with(name));
    let secret = secret.expect("a handshake of TLS 1.3");
    wait_until("the server writes the secret of its client", || {
        let text = std::fs::read_to_string(&ours).expect("a file");
        text.lines().any(|line| line == secret)
    });
}

#[test]
fn a_signal_during_the_start_ends_the_program() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let directory = temp_root();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        // The start waits for a reader of the secrets.
        let mut command = binary();
        command
            .args(["--bind=127.0.0.1:0", "--tls-self-signed"])
            .args(["--tls-bind=127.0.0.1:0", "--tls-key-log"])
            .arg(directory.path())
            .env("SSLKEYLOGFILE", &fifo)
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the binary");
        let tasks = format!("/proc/{}/task", child.id());
        wait_until("it takes signals", || {
            let tasks = std::fs::read_dir(&tasks).expect("our child").flatten();
            let name = |task: std::fs::DirEntry| std::fs::read(task.path().join("comm"));
            let mut names = tasks.filter_map(|task| name(task).ok());
            names.any(|name| name == b"zc-signals\n")
        });
        kill(Pid::from_raw(child.id().cast_signed()), signal).expect("our child");
        let mut ended = None;
        wait_until("the program ends", || {
            ended = child.try_wait().expect("our child");
            ended.is_some()
        });
        let status = ended.expect("it has ended");
        assert_eq!(status.signal(), Some(signal as i32), "{status}");
    }
}

#[test]
fn a_configuration_that_is_read_again_may_name_another_certificate() {
    let directory = temp_root();
    for name in ["a", "b"] {
        make(directory.path(), name);
    }
    let root = temp_root();
    let file = root.path().join("zc.toml");
    let configure = |pair: &str, more: &str| {
        let lines = format!("tls-cert = \"{pair}.pem\"\ntls-key = \"{pair}.key\"\n{more}");
        std::fs::write(&file, lines).expect("a file");
    };
    configure("a", "");
    let mut command = binary();
    command.current_dir(directory.path());
    command.arg("--config").arg(&file);
    let served = root.path().join("served");
    std::fs::create_dir(&served).expect("a directory");
    let options = ["--tls-bind", "127.0.0.1:0"];
    let mut server = Server::start_with(command, temp_root(), &served, &options);
    let secure = server.said_with("https://");
    let address = secure.trim().trim_start_matches("https://");
    let address = address.trim_end_matches('/').to_owned();
    let shown = |options: &[&str]| {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-connect", &address])
            .args(options);
        let output = command.stdin(Stdio::null()).output().expect("openssl");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let certificate = shown
            .split_once("-----BEGIN")
            .and_then(|(_, rest)| rest.split_once("-----END"));
        certificate.map(|(certificate, _)| certificate.to_owned())
    };
    let of = |pair: &str| {
        let text = std::fs::read_to_string(directory.path().join(format!("{pair}.pem")));
        let text = text.expect("a file");
        let (_, rest) = text.split_once("-----BEGIN").expect("PEM");
        rest.split_once("-----END").expect("PEM").0.to_owned()
    };
    assert_eq!(shown(&[]), Some(of("a")));
    // One that is wrong changes nothing, whatever else has changed.
    configure("none", "redirect-http = true\n");
    server.signal(Signal::SIGHUP);
    server.said_with("the configuration stays as it was: --tls-cert");
    assert_eq!((shown(&[]), server.get("/").status), (Some(of("a")), 200));
    configure("b", "tls-min = \"1.3\"\nredirect-http = true\n");
    server.signal(Signal::SIGHUP);
    server.said_with("the configuration was read again");
    assert_eq!(shown(&[]), Some(of("b")));
    assert_eq!(shown(&["-tls1_2"]), None);
    if !server.is_tls() {
        assert_eq!(server.get("/").status, 308);
    }
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().0.code(), Some(0));
}
