//! What is said at the start.

use super::client::certificate;
use super::harness::bounded::run_to_end;
use super::harness::{Server, binary, temp_root};
use super::has_module;

#[test]
fn the_choice_is_said_with_what_was_measured() {
    let said = Server::start(&[
        "--tls-self-signed",
        "--tls-bind",
        "127.0.0.1:0",
        "--ktls",
        "auto",
    ])
    .banner();
    let line = said.lines().find(|line| line.contains("kernel TLS"));
    let line = line.expect("a line of kernel TLS");
    println!("{line}");
    if has_module() {
        assert!(
            line.contains("CPU in ms/GiB") && line.contains("used;"),
            "{line}"
        );
    } else {
        assert!(line.contains("no kernel TLS"), "{line}");
    }
}

#[test]
fn where_it_is_required_and_missing_the_start_fails_and_says_what_helps() {
    let support = zc_core::ktls::probe().unwrap();
    let Some(refusal) = support.refusal else {
        println!("skipped: the kernel has the module");
        return;
    };
    let root = temp_root();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| root.path().join(name));
    std::fs::write(&cert, &certificate().certificate).unwrap();
    std::fs::write(&key, &certificate().key).unwrap();
    let mut command = binary();
    command
        .args([
            "--bind=127.0.0.1:0",
            "--tls-bind=127.0.0.1:0",
            "--ktls=on",
            "--tls-cert",
        ])
        .arg(cert)
        .arg("--tls-key")
        .arg(key)
        .arg(root.path());
    let (code, said) = run_to_end(&mut command);
    assert_ne!(code, Some(0), "{said}");
    assert!(said.contains(&format!("--ktls on: {refusal}")), "{said}");
    assert!(said.contains("use --ktls auto"), "{said}");
}
