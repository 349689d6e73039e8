//! `--lan`, `--qr` and `--open`: what people see who share a folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Node;
use crate::harness::bounded::run_to_end;
use crate::harness::clients::{Home, say_missing};
use crate::harness::{binary, temp_root, wait_until};

/// Runs a script of sh with the server as `$zc` and the root as `$root`, in a network of its own: two interfaces with
/// addresses, one of them with the default route, and a third one that is down.
fn in_network(root: &Path, script: &str) -> Option<String> {
    let network = "ip link set lo up; \
         link() { ip link add $1 type veth peer name $1-peer; ip addr add $2 dev $1; }; \
         up() { ip link set $1 up; ip link set $1-peer up; }; \
         link one 198.51.100.7/24; up one; link two 10.9.8.7/24; up two; link three 10.1.1.1/24; \
         ip addr add 2001:db8::7/64 dev two nodad; ip route add default via 10.9.8.1 dev two";
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "--net",
            "sh",
            "-e",
            "-c",
            script,
        ]);
        command.env("zc", binary().get_program()).env("root", root);
        command
    };
    if !unshared(network)
        .output()
        .is_ok_and(|output| output.status.success())
    {
        say_missing("a network namespace with interfaces");
        return None;
    }
    let (code, said) = run_to_end(&mut unshared(&format!("{network}\n{script}")));
    assert_eq!(code, Some(0), "{said}");
    Some(said)
}

/// Starts the server with these options, waits for it, and asks for `f` at each URL that it prints. What the server
/// before it has said is gone before it starts.
fn script(options: &str) -> String {
    format!(
        ": > \"$root/../said\"; \"$zc\" {options} \"$root\" 2> \"$root/../said\" & server=$!\n\
         until grep -q 'press Ctrl-C' \"$root/../said\"; do kill -0 $server; sleep 0.02; done\n\
         for url in $(grep -o '    http[^ ]*' \"$root/../said\"); do\n\
           echo \"$url has $(curl -sk --max-time 60 \"$url\"f)\" >&2\n\
         done\n\
         kill $server; wait $server; cat \"$root/../said\" >&2"
    )
}

#[test]
fn the_addresses_that_others_can_type_are_printed_and_answer() {
    if Home::for_clients(&["curl"]).is_none() {
        return;
    }
    let directory = temp_root();
    let root = directory.path().join("shared");
    fs::create_dir(&root).expect("a directory");
    fs::write(root.join("f"), "found").expect("a file");
    let Some(said) = in_network(&root, &script("--lan --port 8123 --tls-self-signed")) else {
        return;
    };
    for line in [
        "http://10.9.8.7:8123/ has found\n",
        "http://198.51.100.7:8123/ has found\n",
        "https://10.9.8.7:8443/ has found\n",
        "https://198.51.100.7:8443/ has found\n",
        "  http://[::]:8123/ (every address, IPv4 and IPv6)\n    http://10.9.8.7:8123/ on two\n    \
         http://198.51.100.7:8123/ on one\n",
        "    https://10.9.8.7:8443/ on two\n    https://198.51.100.7:8443/ on one\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    for absent in ["10.1.1.1", "127.0.0.1", "2001:db8", "QR"] {
        assert!(!said.contains(absent), "{absent}: {said}");
    }
    // Without the option they are not printed.
    let said = in_network(&root, &script("--bind :8123")).expect("there was a network");
    assert!(!said.contains("10.9.8.7"), "{said}");
}

#[test]
fn a_reader_of_qr_codes_finds_the_best_address() {
    let Some(home) = Home::for_clients(&["zbarimg"]) else {
        return;
    };
    let directory = temp_root();
    let root = directory.path().join("shared");
    fs::create_dir(&root).expect("a directory");
    let said = |options: &str| in_network(&root, &script(options));
    let Some(shared) = said("--lan --qr on") else {
        return;
    };
    for (said, expected) in [
        (shared, "http://10.9.8.7:8080/"),
        (
            said("--qr on --bind 198.51.100.7:80").expect("a network"),
            "http://198.51.100.7:80/",
        ),
        (
            said("--qr on").expect("a network"),
            "http://127.0.0.1:8080/",
        ),
    ] {
        assert!(
            said.contains(&format!("the QR code is of {expected}\n")),
            "{said}"
        );
        home.write("code.pbm", picture(&said).as_bytes());
        let read = home.succeed("zbarimg", &["--quiet", "--raw", "code.pbm"]);
        assert_eq!(read, format!("{expected}\n"), "{said}");
    }
    let said = said("--lan --qr off").expect("a network");
    assert!(!said.contains('█') && !said.contains("QR"), "{said}");
}

/// The code in what was said, as a picture: a block is light, and a place without one dark.
fn picture(said: &str) -> String {
    const SCALE: usize = 6;
    let is_drawn = |line: &&str| line.chars().all(|one| " ▀▄█".contains(one)) && line.contains('█');
    let lines: Vec<&str> = said.lines().filter(is_drawn).collect();
    assert!(lines.len() > 10, "{said}");
    let mut rows = Vec::new();
    for line in lines {
        for light in ["▀█", "▄█"] {
            let module = |one| {
                if light.contains::<char>(one) {
                    "0 "
                } else {
                    "1 "
                }
            };
            let row: String = line.chars().map(|one| module(one).repeat(SCALE)).collect();
            rows.extend(std::iter::repeat_n(row, SCALE));
        }
    }
    let width = rows[0].len() / 2;
    format!("P1\n{width} {}\n{}\n", rows.len(), rows.join("\n"))
}

#[test]
fn what_cannot_be_shown_is_said() {
    let directory = temp_root();
    let root = directory.path().join("shared");
    fs::create_dir(&root).expect("a directory");
    let without = |options: &str| {
        let script = script(options);
        in_network(
            &root,
            &format!("ip link del one; ip link del two; ip link del three\n{script}"),
        )
    };
    let Some(said) = without("--lan --qr on") else {
        return;
    };
    for line in [
        "warning: no network interface is up: nobody else can connect\n",
        "no QR code is printed: there is no address to show\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let said = without("--qr on --bind \"unix:$root/../socket\"").expect("there was a network");
    assert!(said.contains("no QR code is printed"), "{said}");
}

#[test]
fn a_browser_is_opened_where_there_is_a_desktop() {
    let directory = temp_root();
    let root = directory.path();
    let opened = root.join("opened");
    let program = root.join("xdg-open");
    let script = format!(
        "#!/bin/sh\necho \"$@\" > '{0}.new'; mv '{0}.new' '{0}'\n",
        opened.display()
    );
    fs::write(&program, script).expect("a file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
    let path = format!("{}:/usr/bin:/bin", root.display());
    let start = |desktop: &str| {
        let mut command = binary();
        command.args(["--open", "--bind=127.0.0.1:0"]).arg(root);
        command
            .env("PATH", &path)
            .env("DISPLAY", desktop)
            .env_remove("WAYLAND_DISPLAY");
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        Node::start(&mut command)
    };
    let node = start(":0");
    wait_until("a browser is opened", || opened.is_file());
    let url = fs::read_to_string(&opened).expect("text");
    assert!(
        node.said.contains(&format!("  {}", url.trim())),
        "{}: {url}",
        node.said
    );
    node.stop();
    let mut node = start("");
    let line = node.wait_for("no browser is opened");
    assert!(line.contains("there is no desktop"), "{line}");
    node.stop();
}
