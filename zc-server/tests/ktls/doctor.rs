//! What `zc-server doctor` says of a kernel that has TLS.

use serde_json::Value;

use super::harness::{binary, temp_root};
use super::has_module;

#[test]
fn doctor_says_what_kernel_tls_can_do_here() {
    if !has_module() {
        return;
    }
    let report = doctor();
    let findings = report["findings"].as_array().expect("findings");
    let text_of = |name: &str| {
        let mut findings = findings.iter();
        let found = findings.find(|finding| finding["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no {name} in {report:#}"));
        let texts = ["state", "text"].map(|field| found[field].as_str().unwrap_or_default());
        println!("{name}: {}: {}", texts[0], texts[1]);
        texts
    };
    assert_eq!(text_of("kernel-tls")[0], "ok");
    let support = zc_core::ktls::probe().expect("a kernel that was asked before");
    for one in &support.ciphers {
        let cipher = one.cipher.to_string().to_lowercase();
        let version = one.version.to_string();
        let name = format!("kernel-tls-{}-{cipher}", version.trim_start_matches("TLS "));
        let expected = if one.refusal.is_none() {
            "ok"
        } else {
            "missing"
        };
        assert_eq!(text_of(&name)[0], expected, "{name}");
        // It was timed both here and in the kernel.
        let [state, text] = text_of(&format!("sealing-{cipher}"));
        assert!(state == "ok" && text.contains("by the kernel"), "{text}");
    }
    for (name, has) in [
        ("kernel-tls-rekeying", support.rekeying),
        ("kernel-tls-records", support.fills_records),
    ] {
        assert_eq!(text_of(name)[0] == "ok", has, "{name}");
    }
}

/// The kernel interrupts a thread that has closed an io_uring, as doctor has before it tries kernel TLS.
#[test]
fn doctor_says_the_same_of_the_records_each_time() {
    if !has_module() {
        return;
    }
    let has = zc_core::ktls::probe().expect("a kernel that was asked before");
    for _ in 0..6 {
        let report = doctor();
        let mut findings = report["findings"].as_array().expect("findings").iter();
        let found = findings.find(|finding| finding["name"] == "kernel-tls-records");
        let state = &found.expect("a finding")["state"];
        assert_eq!(*state == "ok", has.fills_records, "{state}");
    }
}

fn doctor() -> Value {
    let root = temp_root();
    let mut command = binary();
    let output = command.args(["doctor", "--json"]).arg(root.path()).output();
    let output = output.expect("the program starts");
    serde_json::from_slice(&output.stdout).expect("JSON")
}
