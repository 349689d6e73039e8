//! The scripts of `zc-server completions`, as shells use them.

use std::process::Command;

use crate::harness::{binary, temp_root};

fn script(shell: &str) -> String {
    let output = binary().args(["completions", shell]).output();
    let output = output.expect("the program starts");
    assert!(output.status.success(), "{shell}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn every_shell_has_a_script_with_options_and_tasks() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = script(shell);
        for word in ["cache-control", "tls-min", "print-config", "doctor"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
}

#[test]
fn bash_completes_options_values_and_tasks() {
    let root = temp_root();
    let path = root.path().join("script");
    std::fs::write(&path, script("bash")).expect("a file");
    for (words, expected) in [
        (&["--cache-c"][..], &["--cache-control"][..]),
        (&["--ktls", "o"], &["on", "off"]),
        (&["print"], &["print-config"]),
        (&["doctor", "--j"], &["--json"]),
    ] {
        if expected[0] == "on" && cfg!(not(feature = "tls")) {
            continue;
        }
        let last = words[words.len() - 1];
        let before = words[..words.len() - 1].last().unwrap_or(&"zc-server");
        let ask = format!(
            "source '{}'; COMP_WORDS=(zc-server {}); COMP_CWORD={}; \
             complete=$(complete -p zc-server); complete=${{complete##*-F }}; \
             ${{complete%% *}} zc-server '{last}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            path.display(),
            words.join(" "),
            words.len(),
        );
        let output = Command::new("bash")
            .args(["-c", &ask])
            .output()
            .expect("bash");
        let said = String::from_utf8_lossy(&output.stdout);
        let mut found: Vec<&str> = said.split_whitespace().collect();
        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(found, expected, "{words:?}: {errors}");
    }
}
