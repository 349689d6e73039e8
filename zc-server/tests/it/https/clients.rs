//! Programs that speak TLS by other libraries than ours. Those that are tested over HTTP as well are run over TLS by
//! all tests with `TEST_TLS`.

use std::io::{BufReader, Read, Write};
use std::process::Stdio;

use crate::harness::clients::Home;
use crate::harness::{Server, pattern};

const BODY_BYTES: usize = 300_000;

/// Every version with every cipher, in the words of OpenSSL.
const CIPHERS: [[&str; 3]; 6] = [
    ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"],
    ["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
    ["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
    ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
    ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
    ["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
];

/// A server with a file of text, so that it can be told from what a client says.
fn start() -> (Server, Vec<u8>) {
    let server = Server::start_https(&[]);
    let digits = pattern(BODY_BYTES, 1).into_iter();
    let body: Vec<u8> = digits.map(|byte| b'a' + byte % 26).collect();
    server.write("f", &body);
    (server, body)
}

/// What OpenSSL's client gets of the file.
fn s_client(home: &Home, server: &Server, options: &[&str]) -> Vec<u8> {
    let mut command = home.command("sh");
    command.args([
        "-c",
        r#"printf 'GET /f HTTP/1.0\r\n\r\n' | openssl s_client "$@""#,
        "sh",
    ]);
    command.args(["-connect", &server.address.to_string()]);
    command.args(["-CAfile", &home.authority(), "-verify_return_error"]);
    command.args(["-quiet", "-ign_eof"]).args(options);
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{options:?}: {said}");
    let head = output
        .stdout
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n");
    output.stdout[head.expect("a head") + 4..].to_vec()
}

#[test]
fn openssl_gets_a_file_with_every_cipher_and_resumes() {
    let Some(home) = Home::for_clients(&["openssl"]) else {
        return;
    };
    let (mut server, body) = start();
    for cipher in CIPHERS {
        let sessions = [
            (["-sess_out", "session"], false),
            (["-sess_in", "session"], true),
        ];
        for (session, is_resumed) in sessions {
            for names in [&["-servername", "localhost"][..], &["-noservername"]] {
                // A session is for one name.
                let name = format!("session-{}", names.len());
                let session = [session[0], &name];
                let options = [&cipher[..], &session, names].concat();
                assert!(s_client(&home, &server, &options) == body, "{options:?}");
                let log = server.log();
                assert_eq!(log["resumed"], is_resumed, "{options:?}: {log}");
                let version = cipher[0][4..].replace('_', ".");
                assert_eq!(log["tls"], version, "{log}");
                let sni = (names.len() == 2).then_some("localhost");
                assert_eq!(log["sni"].as_str(), sni, "{log}");
            }
        }
    }
}

#[test]
fn openssl_changes_keys_while_it_asks() {
    let Some(home) = Home::for_clients(&["openssl"]) else {
        return;
    };
    let (server, body) = start();
    let mut command = home.command("sh");
    command.args(["-c", r#"exec openssl s_client "$@" 2>&1"#, "sh", "-tls1_3"]);
    command.args(["-connect", &server.address.to_string()]);
    command.args(["-CAfile", &home.authority(), "-crlf"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut typed = child.stdin.take().expect("piped");
    let mut printed = BufReader::new(child.stdout.take().expect("piped"));
    let mut wait_for = |words: &[u8]| {
        let mut said = Vec::new();
        while !said.ends_with(words) {
            let mut byte = [0];
            printed.read_exact(&mut byte).expect("it goes on");
            said.push(byte[0]);
        }
    };
    // A line with K alone has both sides change their keys; with k it changes its own.
    for line in ["", "K\n", "k\n", "K\n"] {
        typed.write_all(line.as_bytes()).expect("it reads");
        if !line.is_empty() {
            wait_for(b"KEYUPDATE\n");
        }
        typed
            .write_all(b"GET /f HTTP/1.1\nHost: t\n\n")
            .expect("it reads");
        wait_for(&body);
    }
    drop(typed);
    child.wait().expect("our own child");
}

#[test]
fn curl_asks_by_name_and_by_address() {
    let Some(home) = Home::for_clients(&["curl"]) else {
        return;
    };
    let (server, body) = start();
    let port = server.address.port();
    for version in [
        ["--tlsv1.2", "--tls-max", "1.2"],
        ["--tlsv1.3", "--tls-max", "1.3"],
    ] {
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("https://{host}:{port}/f");
            let always = [
                "--disable",
                "--silent",
                "--show-error",
                "--fail",
                "-4",
                "-o",
                "got",
            ];
            // The second one goes on the same connection.
            let urls = [&url[..], "-o", "again", &url];
            home.succeed("curl", &[&always[..], &version, &urls].concat());
            assert!(
                home.read("got") == body && home.read("again") == body,
                "{url}"
            );
        }
    }
    let url = format!("https://127.0.0.1:{port}/f");
    let refused = home.run(
        "curl",
        &["--disable", "--silent", "--cacert", "/dev/null", &url],
    );
    assert!(!refused.status.success(), "nobody else is believed");
}

/// testssl.sh looks for what is known to be wrong with servers: versions, ciphers, keys and their order.
#[test]
fn testssl_finds_nothing_above_low() {
    let Some(home) = Home::for_clients(&["testssl"]) else {
        return;
    };
    let (server, _) = start();
    let what = [
        "--protocols",
        "--std",
        "--fs",
        "--server-preference",
        "--server-defaults",
    ];
    let how = [
        "--quiet",
        "--color",
        "0",
        "--warnings",
        "batch",
        "--ip",
        "one",
    ];
    let report = ["--severity", "MEDIUM", "--jsonfile", "report.json"];
    let target = server.address.to_string();
    // It ends with the number of its findings.
    home.run("testssl", &[&what[..], &how, &report, &[&target]].concat());
    let found: serde_json::Value = serde_json::from_slice(&home.read("report.json")).expect("JSON");
    let found = found.as_array().expect("a list").iter();
    let is_ours = |finding: &&serde_json::Value| {
        let id = finding["id"].as_str().expect("an id");
        // The certificate is one of a test. Clients choose among ciphers that are all good, so that who has no
        // AES in hardware gets ChaCha20.
        // Whether it could look is a warning: it does not wait for the ticket that it would come back with.
        !id.starts_with("cert") && id != "cipher_order" && finding["severity"] != "WARN"
    };
    let ours: Vec<_> = found.filter(is_ours).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}
