//! `--listing-style`: the pages of the server have a style of the operator, and the policy allows it.

use nix::sys::signal::Signal;

use crate::harness::bounded::run_to_end;
use crate::harness::own_page::{allowed_by_its_policy, contents};
use crate::harness::{Response, Server, binary, temp_root};

const BROWSER: &str = "Accept: text/html\r\n";
const POLICY: &str = "content-security-policy";

/// A listing and an error, each with the style that stands behind that of the server.
fn last_styles(server: &Server, host: &str) -> Vec<String> {
    let pages = ["/", "/none"].map(|path| of_host(server, host, path));
    let pages = pages.iter().map(|response| {
        let page = allowed_by_its_policy(response);
        let styles = contents(&page, "style");
        (*styles.last().expect("a style")).to_owned()
    });
    pages.collect()
}

fn of_host(server: &Server, host: &str, path: &str) -> Response {
    server.request(&format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{BROWSER}\r\n"
    ))
}

#[test]
fn each_page_has_the_style_of_the_operator_and_reads_it_again_on_sighup() {
    let beside = temp_root();
    let path = beside.path().join("own.css");
    std::fs::write(&path, "h1 { color: red }\r\n").expect("a file");
    let option = format!("--listing-style={}", path.display());
    let mut server = Server::start(&[&option]);
    let red = "h1 { color: red }\n";
    assert_eq!(last_styles(&server, "t"), [red, red]);
    let policy = server.get("/");
    let policy = policy.field(POLICY).expect("a policy");
    assert!(
        policy.contains("img-src 'self' data:; font-src 'self' data:;"),
        "{policy}"
    );

    // Without a configuration file, too.
    std::fs::write(&path, "h1 { color: blue }").expect("a file");
    server.signal(Signal::SIGHUP);
    server.said_with("the configuration was read again");
    let blue = "h1 { color: blue }";
    assert_eq!(last_styles(&server, "t"), [blue, blue]);

    std::fs::write(&path, "</STYLE><script>").expect("a file");
    server.signal(Signal::SIGHUP);
    let said = server.said_with("the configuration stays as it was");
    let expected = format!("--listing-style: {}:1: `</style` would end", path.display());
    assert!(said.contains(&expected), "{said}");
    assert_eq!(last_styles(&server, "t"), [blue, blue]);
}

#[test]
fn without_the_option_no_picture_may_stand_in_a_style() {
    let server = Server::start(&[]);
    let page = server.get("/");
    let policy = page.field(POLICY).expect("a policy");
    assert!(
        !policy.contains("data:") && !policy.contains("font-src"),
        "{policy}"
    );
}

#[test]
fn a_site_has_its_own_style_or_none() {
    let root = temp_root();
    for name in ["one.css", "two.css"] {
        std::fs::write(root.path().join(name), name).expect("a file");
    }
    let site = |host: &str, style: &str| {
        format!("[[site]]\nhost = \"{host}\"\nroot = \"site\"\n{style}\n")
    };
    let lines = [
        "root = \"site\"\nlisting-style = \"one.css\"\n".to_owned(),
        site("two", "listing-style = \"two.css\""),
        site("off", "listing-style = \"off\""),
        site("same", ""),
    ];
    std::fs::create_dir(root.path().join("site")).expect("a directory");
    std::fs::write(root.path().join("zc.toml"), lines.concat()).expect("a file");
    let mut command = binary();
    command.current_dir(root.path());
    command.args(["--config", "zc.toml", "--bind", "127.0.0.1:0"]);
    let server = Server::start_from(command, root);
    for (host, style) in [("t", "one.css"), ("two", "two.css"), ("same", "one.css")] {
        assert_eq!(last_styles(&server, host), [style, style], "{host}");
    }
    let of_server = last_styles(&server, "off");
    assert!(
        of_server.iter().all(|style| style.len() > 100),
        "{of_server:?}"
    );
}

#[test]
fn a_style_that_cannot_be_used_keeps_the_server_from_starting() {
    let root = temp_root();
    for (name, bytes) in [("no.css", &b"\xff"[..]), ("long.css", &[b' '; 70_000])] {
        std::fs::write(root.path().join(name), bytes).expect("a file");
    }
    for (name, reason) in [
        ("no.css", "is not UTF-8; save the file as UTF-8"),
        (
            "long.css",
            "has more than 64 KiB, which every page would have; make it shorter",
        ),
        ("none.css", "create the file, or name another one"),
        (".", "is not a file; name a file of CSS"),
    ] {
        let mut command = binary();
        command.args(["--bind", "127.0.0.1:0", "--listing-style"]);
        command.arg(root.path().join(name)).arg(root.path());
        let (code, said) = run_to_end(&mut command);
        assert_eq!(code, Some(1), "{name}");
        assert!(said.starts_with("zc-server: --listing-style: "), "{said}");
        assert!(said.trim_end().ends_with(reason), "{said}");
    }
}
